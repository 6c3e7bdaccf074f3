"""`scrimp probe`, `train` and `eval` from the command line."""

import json
import random

import pytest


def test_a_probe_places_the_arm_and_is_undone(scrimp, profile, server):
    path = profile(small="echo", large="echo")
    done = scrimp("probe", "small", "-p", path, "--limit", "12", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n"] == 12 == len(server.chats)
    assert found["ability"]["low"] < found["ability"]["mean"] < found["ability"]["high"]
    assert found["ability"]["mean"] < found["ability"]["prior"], "an echo is not an able model"
    assert found["charged_usd"] == server.cost_nano / 1e9
    assert "rollback" in done.err
    versions = scrimp("router", "list").out
    assert found["router_version"] in versions
    assert scrimp("router", "rollback").code == 0


def test_a_probe_keeps_to_its_money(scrimp, profile, server):
    done = scrimp("probe", "small", "-p", profile(small="fill"), "--max-usd", "0.004", "--dry-place", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n"] < 60
    assert found["ended_early"]
    assert server.cost_nano <= 4_000_000
    assert found["router_version"] is None
    assert scrimp("probe", "small", "-p", profile(small="fill"), "--max-usd", "0").code == 3
    assert scrimp("probe", "nobody", "-p", profile(small="fill")).code == 2


def test_a_probe_says_who_answered(scrimp, profile):
    done = scrimp("probe", "small", "-p", profile(small="other-model"), "--limit", "2", "--dry-place")
    assert "which is not openai/other-model" in done.err


@pytest.fixture
def outcomes(tmp_path):
    """Two models on 120 prompts of two kinds: the large one is right more often on the hard kind."""
    rng = random.Random(3)
    path = tmp_path / "outcomes.jsonl"
    with path.open("w") as file:
        for n in range(120):
            hard = n % 2 == 0
            prompt = f"Prove that {n} has property P({n})." if hard else f"What colour is item {n}?"
            cells = {
                "weak": {
                    "score": float(rng.random() < (0.2 if hard else 0.9)),
                    "input_tokens": 10,
                    "output_tokens": 20,
                    "cost_usd": 0.0001,
                },
                "strong": {
                    "score": float(rng.random() < 0.9),
                    "input_tokens": 10,
                    "output_tokens": 40,
                    "cost_usd": 0.002,
                },
            }
            file.write(
                json.dumps({"id": str(n), "source": "hard" if hard else "easy", "prompt": prompt, "models": cells})
                + "\n"
            )
    return path


def test_train_then_eval(scrimp, outcomes, tmp_path):
    done = scrimp("train", outcomes, "-o", tmp_path / "version", "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "version" / "card.json").exists()
    done = scrimp("eval", outcomes, "--fit", "60", "--strong", "strong", "--weak", "weak", "--seed", "1", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    names = {row["router"] for row in report["rows"]}
    assert {"fitted", "random"} <= names
    fitted = next(row for row in report["rows"] if row["router"] == "fitted")
    assert 0.0 <= fitted["apgr"] <= 1.2
    assert report["best_single"]
    assert scrimp("eval", outcomes, "--strong", "nobody", "--weak", "weak").code != 0


def test_malformed_outcomes_are_named_by_line(scrimp, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"id": "1", "prompt": "x", "models": {"m": {"score": 1}}}\n{"id": "2", "prompt": "y", "models": {"m": {"score": 7}}}\n'
    )
    done = scrimp("eval", path)
    assert done.code == 78
    assert "bad.jsonl" in done.err
    assert "2" in done.err
