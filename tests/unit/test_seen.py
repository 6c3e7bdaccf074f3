"""What the resident process writes down of the environment while libraries are imported."""

import os
import sys
from pathlib import Path

import pytest

from scrimp.cli.resident.seen import Seen

WAYS = {
    "item": "os.environ['ASKED_FOR']",
    "get": "os.environ.get('ASKED_FOR')",
    "getenv": "os.getenv('ASKED_FOR', 'x')",
    "in": "'ASKED_FOR' in os.environ",
    "setdefault": "os.environ.setdefault('ASKED_FOR', 'here')",
    "pop": "os.environ.pop('ASKED_FOR')",
    "imported": "environ.get('ASKED_FOR')",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_variable_that_a_module_asks_for_as_it_is_imported(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKED_FOR", "here")
    name = f"module_that_asks_{way}"
    (tmp_path / f"{name}.py").write_text(f"import os\nfrom os import environ\nfound = {WAYS[way]}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    env = {**os.environ, "NOT_ASKED_FOR": "1"}
    seen = Seen()
    assert seen.differs({**env, "ASKED_FOR": "otherwise"}) is None, "nobody has asked yet"
    with seen.watching():
        __import__(name)
    del sys.modules[name]
    assert seen.differs({**env, "ASKED_FOR": "otherwise"}) == "ASKED_FOR"
    del env["ASKED_FOR"]
    assert seen.differs(env) == "ASKED_FOR"
    assert seen.differs({**env, "ASKED_FOR": "here"}) is None


def test_what_is_asked_for_and_not_there_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASKED_FOR", raising=False)
    seen = Seen()
    with seen.watching():
        assert os.environ.get("ASKED_FOR") is None
    assert seen.differs(dict(os.environ)) is None
    assert seen.differs({**os.environ, "ASKED_FOR": "1"}) == "ASKED_FOR"


def test_what_is_set_is_set_for_commands_and_what_was_set_before_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE", "ours")
    monkeypatch.delenv("SET_BY_A_LIBRARY", raising=False)
    seen = Seen()
    with seen.watching():
        monkeypatch.setenv("SET_BY_A_LIBRARY", "1")
    assert seen.laid_over({"BEFORE": "theirs"}) == {"BEFORE": "theirs", "SET_BY_A_LIBRARY": "1"}
