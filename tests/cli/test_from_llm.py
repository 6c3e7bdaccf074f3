"""`scrimp setup` finds what llm has, and takes it over."""

import json

import pytest
from conftest import CANARY


@pytest.fixture
def llm(tmp_path, monkeypatch):
    folder = tmp_path / "llm"
    (folder / "templates").mkdir(parents=True)
    (folder / "keys.json").write_text(json.dumps({"anthropic": CANARY}))
    (folder / "aliases.json").write_text(json.dumps({"mini": "gpt-5-mini", "nobody": "no-such-model"}))
    (folder / "templates" / "sum.yaml").write_text("prompt: 'Sum it up: $input'\nmodel: mini\n")
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    return folder


def test_setup_takes_it_over(scrimp, llm):
    done = scrimp("setup", "--yes")
    assert done.code == 0, done.err
    assert CANARY not in done.out + done.err
    assert "Take over what llm has" in done.err or "took ANTHROPIC_API_KEY" in done.err
    keys = json.loads(scrimp("keys", "list", "--json").out)["keys"]
    assert [key["name"] for key in keys] == ["ANTHROPIC_API_KEY"]
    arms = json.loads(scrimp("profile", "show", "--json").out)["profile"]["arms"]
    assert any(arm["model"].startswith("anthropic/") for arm in arms), "its keys count for the profile"
    assert "mini" in scrimp("alias", "list").out
    assert "alias nobody is not taken" in done.err
    assert "sum" in scrimp("templates", "list").out


def test_where_there_is_none_setup_says_nothing_of_it(scrimp, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "none"))
    done = scrimp("setup", "--yes")
    assert (done.code, "llm" in done.err) == (0, False)
