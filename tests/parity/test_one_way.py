"""There is one way to pay: one caller settles what calls cost, and whoever makes calls is a way of the table."""

import ast
from pathlib import Path

from parity.ways import WAYS

ROOT = Path(__file__).parents[2]

APART = {
    "probe": "asks a suite of its own, of every arm in turn",
    "audit": "draws the prompts that it asks again",
    "duel": "asks two arms each, and is judged at a terminal",
    "templates": "asks what the best answers of each kind of prompt have in common",
    "keys test": "asks one word, to see whether a key is taken",
}
"""Commands that make paid calls and have no prompt of the user's to play a world with."""


def modules():
    for folder in ("cli", "routing"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def called(node):
    """Return the name that a call is made by: `settle` of both settle(...) and reservations.settle(...)."""
    return getattr(node.func, "id", getattr(node.func, "attr", None))


def names_of_settle(tree):
    """Return what a module calls the ledger's `settle`, where it imports it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith("ledger.reservations"):
            yield from (alias.asname or alias.name for alias in node.names if alias.name == "settle")
        elif isinstance(node, ast.ImportFrom) and any(alias.name == "reservations" for alias in node.names):
            yield "settle"


def settling(path, tree):
    names = set(names_of_settle(tree))
    for outer in ast.walk(tree):
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(outer):
                if isinstance(node, ast.Call) and called(node) in names:
                    yield f"{path}:{node.lineno}"


def test_settle_has_one_caller():
    callers = {
        where for path, tree in modules() if not path.startswith("routing/ledger/") for where in settling(path, tree)
    }
    assert len(callers) == 1, sorted(callers)


def test_every_command_that_pays_is_a_way_of_the_table():
    paying = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("Ask", "Charge"):
                told = [word.value for word in node.keywords if word.arg in ("command", "source")]
                paying |= {value.value for value in told if isinstance(value, ast.Constant)}
    paying.add("ask")  # what `Ask` is by itself
    assert paying == {way.command for way in WAYS} | set(APART)
