"""The page of promises: each names tests that hold it, and they are there."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
PROMISES = re.findall(r"^- \*\*(.+?)\n(?=- |\n|\Z)", PAGE, re.DOTALL | re.MULTILINE)


@cache
def names_in(path):
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_names_a_test():
    assert len(PROMISES) == PAGE.count("\n- **") > 20
    assert not [promise for promise in PROMISES if not re.search(r"`tests/\S+::\S+`", promise)]


def test_the_tests_that_promises_name_are_there():
    named = re.findall(r"`(tests/\S+?)::(\S+?)`", PAGE)
    missing = [f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in names_in(path)]
    assert not missing
