"""The house: which rooms may import which, and which libraries are let in where (docs/decisions/0014)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = (
    ("weights", "text"),
    ("prompts", "prices"),
    ("calls", "ledger", "router", "checks", "retrieval", "guard"),
    ("deciding", "plans", "signals"),
    ("strategies", "reports"),
    ("asking",),
    ("batch", "learn", "serving"),
)
"""Rooms of routing/ from the ground up: a room imports from floors below its own, and from itself."""

STAIRS = {
    "batch": ("files", "state", "planning", "rows", "workers", "running"),
    "learn": ("maths", "data", "fitting", "judging", "measuring", "collecting"),
}
"""Within these rooms a folder imports from those before it, and from itself."""

FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    found = {}
    for path in (ROOT / "routing").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(("scrimp", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


MODULES = modules()


def imports_of(name):
    """Every module of routing/ that a module imports, lazily or for its types alone too, with the line."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            asked = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            asked = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]
        else:
            continue
        for other in asked:
            if other in MODULES and other != name:
                yield other, node.lineno


def test_every_room_has_its_floor():
    rooms = {path.name for path in (ROOT / "routing").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(FLOOR)
    loose = {path.name for path in (ROOT / "routing").glob("*.py")}
    assert loose == {"__init__.py"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down(name):
    room, *rest = name.split(".")[2:] or [None]
    for other, line in imports_of(name):
        theirs, *their_rest = other.split(".")[2:]
        where = f"{MODULES[name].relative_to(ROOT)}:{line} imports {other}"
        if theirs != room:
            assert FLOOR[theirs] < FLOOR[room], f"{where}, which is not below it"
        elif room in STAIRS and len(rest) > 1 and len(their_rest) > 1:
            order = STAIRS[room]
            assert order.index(their_rest[0]) <= order.index(rest[0]), f"{where}, up the stairs"


def test_no_import_goes_round():
    ahead = {name: {other for other, _ in imports_of(name)} for name in MODULES}
    while free := [name for name, others in ahead.items() if not others & ahead.keys()]:
        for name in free:
            del ahead[name]
    assert not ahead, f"these import one another: {sorted(ahead)}"


COUNTER = {"text", "asking", "batch", "learn", "reports", "serving"}
"""The rooms that cli may call: the floors where commands stand ready, what the log says, and plain text."""

STILL = {
    ("batch_flags.py", "deciding"),
    ("batch_report.py", "ledger"),
    ("batch_runs.py", "ledger"),
    ("batching.py", "ledger"),
}
"""(module of cli, room) that still goes past the counter. Only ever taken from."""


def for_types(tree):
    """Every node below an `if TYPE_CHECKING`: such an import calls nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from (inner for child in node.body for inner in ast.walk(child))


def test_cli_calls_only_at_the_counter():
    found = set()
    for path in (ROOT / "cli").rglob("*.py"):
        tree = ast.parse(path.read_text())
        types = {*for_types(tree)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node not in types
                and (node.module or "").startswith("scrimp.routing.")
            ):
                room = node.module.split(".")[2]
                found |= {(path.name, room)} - {(path.name, each) for each in COUNTER}
    assert found - STILL == set(), "cli goes past its counter"
    assert STILL - found == set(), "these do not any more: take them from STILL"


def importers(library):
    return {
        str(path.relative_to(ROOT))
        for folder in ("cli", "routing", "profiles")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] == library and getattr(node, "level", 0) == 0
    }


def test_only_the_room_of_calls_imports_litellm():
    assert all(path.startswith("routing/calls/") for path in importers("litellm"))


SQL = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|PRAGMA)\s|\bSELECT\b.+\bFROM\b", re.DOTALL)

OTHER_DATABASES = {
    "routing/batch/files/cache.py",
    "routing/learn/data/llm_log.py",
    "routing/retrieval/passages_kept.py",
    "routing/retrieval/store.py",
}
"""SQL of files that are not the ledger: caches of replies and of texts, and the log of another program (llm)."""


def sql_of(path):
    """Every string of a module that looks like a statement, and every use of a ledger's connection, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
            yield node.lineno, node.value
        elif isinstance(node, ast.Attribute) and node.attr == "conn":
            yield node.lineno, "conn"


def test_sql_stands_in_the_ledger():
    found = {
        str(path.relative_to(ROOT)): [*sql_of(path)]
        for folder in ("cli", "routing", "profiles")
        for path in (ROOT / folder).rglob("*.py")
        if ROOT / "routing" / "ledger" not in path.parents
    }
    found = {name: lines for name, lines in found.items() if lines and name not in OTHER_DATABASES}
    assert not found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('rows("SELECT 1 FROM x")', 1),
        ('rows(f"  UPDATE {table} SET a = 1")', 1),
        ('rows("a" if b else "INSERT INTO x VALUES (1)")', 1),
        ("ledger.conn", 1),
        ('say("Select one from these"); x = "WITHOUT"; y = "UPDATED"', 0),
    ],
)
def test_what_looks_like_sql(tmp_path, text, lines):
    path = tmp_path / "module.py"
    path.write_text(text)
    assert len([*sql_of(path)]) == lines
