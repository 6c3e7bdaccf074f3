"""`scrimp probe`, `train` and `eval` from the command line."""

import dataclasses
import json
import random
import re
import sqlite3

import pytest

from scrimp.profiles.paths import paths
from scrimp.routing.learn.data.judged import Judged
from scrimp.routing.learn.fitting import train
from scrimp.routing.ledger.packing import unpack

AWAY = """
[[arms]]
name = "away"
model = "openai/gpt-4o-mini"
price = { input_usd_per_mtok = 1, output_usd_per_mtok = 1 }
"""


def test_a_probe_places_the_arm_and_is_undone(scrimp, profile, server):
    path = profile(small="echo", large="echo")
    done = scrimp("probe", "small", "-p", path, "--limit", "12", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n"] == 12 == len(server.chats)
    assert found["ability"]["low"] < found["ability"]["median"] < found["ability"]["high"]
    assert found["ability"]["median"] < found["ability"]["prior"] - 2.0, "an echo is not an able model"
    assert found["ability"]["prior_basis"]
    assert (found["in_force"], found["why"]) == (True, None)
    assert [each["level"] for each in found["levels"]] == [1, 2, 3, 4, 5], "a short probe tries every level"
    assert sum(each["n_scored"] for each in found["levels"]) == 12
    assert all(1.0 <= item["level"] <= 5.0 for item in found["items"])
    assert found["charged_usd"] == server.cost_nano / 1e9
    assert "rollback" in done.err
    versions = scrimp("router", "list").out
    assert found["router_version"] in versions
    assert scrimp("router", "rollback").code == 0


def test_an_arm_that_got_nothing_right_is_believed_to_get_the_easiest_wrong(scrimp, profile):
    def quality(path):
        decided = json.loads(scrimp("route", "-p", path, "--json", "What is the capital of France?").out)
        return {arm["name"]: arm["quality"] for arm in decided["arms"]}

    path = profile(small="echo", large="fill")
    before = quality(path)
    done = scrimp("probe", "small", "-p", path, "--limit", "18")
    assert "0 of 18 right" in done.out
    assert "believed before" in done.out
    after = quality(path)
    assert before["small"] > 0.7
    assert after["small"] < 0.35
    assert after["large"] > 0.7, "another model is none the worse for it"


@pytest.mark.parametrize("n", [2, 9, 10])
def test_a_router_is_not_made_of_a_few_outcomes(scrimp, profile, n):
    path = profile(small="echo", large="echo")
    done = scrimp("probe", "small", "-p", path, "--limit", n, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n_scored"] == n
    assert found["ability"] is not None
    assert found["in_force"] == (n >= 10)
    current = next(each for each in json.loads(scrimp("router", "list", "--json").out)["versions"] if each["current"])
    if n >= 10:
        assert found["router_version"] == current["name"]
        return
    assert found["router_version"] is None
    assert found["why"] == f"{n} outcomes were scored, and 10 are the least"
    assert f"scrimp probe small -p {path} --limit 20` gives enough" in done.err
    assert current["name"] == "shipped"


def test_a_probe_shows_each_level_beside_what_it_expects(scrimp, profile):
    done = scrimp("probe", "small", "-p", profile(small="echo"), "--limit", "20", "--no-place")
    rows = [line.split("\t") for line in done.out.splitlines() if "\t" in line]
    assert rows[0] == ["level", "right", "expected"]
    assert [row[0] for row in rows[1:]] == ["1 very easy", "2 easy", "3 middling", "4 hard", "5 very hard"]
    assert {row[1].partition("/")[0] for row in rows[1:]} == {"0"}
    expected = [int(row[2].rstrip("%")) for row in rows[1:]]
    assert expected == sorted(expected, reverse=True)
    assert expected[0] < 35
    assert re.search(r"^ability -\d\.\d \(-\d\.\d to -\d\.\d\), l(ike|ess able than any) ", done.out, re.MULTILINE)


def test_a_probe_keeps_to_its_money(scrimp, profile, server):
    done = scrimp("probe", "small", "-p", profile(small="fill"), "--max-cost", "0.004", "--no-place", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n"] < 60
    assert found["ended_early"]
    assert server.cost_nano <= 4_000_000
    assert (found["router_version"], found["in_force"], found["why"]) == (None, False, "--no-place")
    assert scrimp("probe", "small", "-p", profile(small="fill"), "--max-cost", "0").code == 3
    assert scrimp("probe", "nobody", "-p", profile(small="fill")).code == 2


def test_a_probe_says_who_answered(scrimp, profile):
    done = scrimp("probe", "small", "-p", profile(small="other-model"), "--limit", "2", "--no-place")
    assert "which is not openai/other-model" in done.err


@pytest.fixture
def checked(scrimp, profile):
    """A log of three prompts that `small`, an echo, was asked: it got one of them right."""
    path = profile(small="echo", large="say@text=7")
    for prompt in ("Say 7", "What is 3 plus 4?", "How many days has a week?"):
        assert scrimp("ask", "-p", path, "-m", "small", "--check", "number:7", "--json", prompt).code in (0, 7)
    return path


def test_a_probe_asks_what_was_checked_before(scrimp, checked, server):
    before = server.cost_nano
    done = scrimp("probe", "large", "-p", checked, "--from-log", "--limit", "0", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert sorted(chat.prompt for chat in server.chats[3:]) == [
        "How many days has a week?", "Say 7", "What is 3 plus 4?",
    ]  # fmt: skip
    assert (found["n"], found["n_right"], found["n_log"], found["n_known"]) == (3, 3, 3, 0)
    assert {item["kind"] for item in found["items"]} == {"log"}
    spent = 10 * (server.cost_nano - before)  # `large` costs ten times what the server reckons with
    assert found["charged_usd"] == spent / 1e9
    assert sum(item["charged_usd"] for item in found["items"]) == pytest.approx(spent / 1e9)
    assert found["ability"]["shift_sd"] > 0
    (of_log,) = found["levels"]
    assert (of_log["level"], of_log["n_right"], of_log["n_scored"]) == (None, 3, 3)
    assert 0.0 < of_log["expected"] < 1.0
    assert not found["in_force"], "three outcomes are too few"
    (day,) = [cap for cap in json.loads(scrimp("spend", "-p", checked, "--json").out)["caps"] if cap["scope"] == "day"]
    assert day["settled_usd"] == pytest.approx((before + spent) / 1e9)
    answered = json.loads(scrimp("log", "show", "last", "--json").out)
    assert answered["labels"][-1]["source"] == "probe"
    assert answered["redo_of"]
    status = json.loads(scrimp("learn", "status", "-p", checked, "--json").out)
    assert status["n_prompts"] == 3, "a prompt asked of two arms is one prompt"


def test_what_the_arm_answered_before_is_not_paid_for_again(scrimp, checked, server):
    n = len(server.chats)
    done = scrimp("probe", "small", "-p", checked, "--from-log", "--limit", "0", "--json")
    found = json.loads(done.out)
    assert (found["n_known"], found["n_right"], found["charged_usd"]) == (3, 1, 0)
    assert len(server.chats) == n
    assert "3 outcomes of small known already" in done.err


def test_the_suite_and_the_log_take_turns_and_share_the_money(scrimp, profile, server):
    path = profile(small="echo", large="fill")
    for n in range(4):
        assert scrimp("ask", "-p", path, "-m", "small", "--check", f"has:{n}", f"Say {n}").code == 0
    args = ("probe", "large", "-p", path, "--from-log", "--no-place", "--limit", "4", "--json")
    capped = json.loads(scrimp(*args, "--max-cost", "0.02").out)
    assert 0 < capped["charged_usd"] <= 0.02
    assert capped["n"] < 8
    assert capped["ended_early"] or capped["left_out"]
    found = json.loads(scrimp(*args).out)
    kinds = [item["kind"] == "log" for item in found["items"]]
    assert sum(kinds) == 4
    assert kinds[:2].count(True) == 1
    assert scrimp("probe", "large", "-p", path, "--check", "has:1").code == 2
    assert scrimp("probe", "large", "-p", path, "--limit", "0").code == 2


def test_commands_of_checks_are_run_only_when_named(scrimp, profile, server):
    path = profile(small="echo", large="echo", extra='[checks.seven]\ncmd = ["grep", "-q", "7"]\n')
    assert scrimp("ask", "-p", path, "-m", "small", "--check", "seven", "Say 7").code == 0
    args = ("probe", "large", "-p", path, "--from-log", "--limit", "0", "--json")
    refused = scrimp(*args)
    assert refused.code == 2
    assert "runs a command (--check seven allows it)" in refused.err
    found = json.loads(scrimp(*args, "--check", "seven").out)
    assert (found["n"], found["n_right"]) == (1, 1)
    assert "not checked by has:x" in scrimp(*args, "--check", "has:x").err


def test_a_prompt_kept_on_this_machine_stays_there(scrimp, profile):
    path = profile(small="echo", large="echo", extra=AWAY)
    assert scrimp("ask", "-p", path, "--local-only", "-m", "small", "--check", "has:7", "Say 7").code == 0
    done = scrimp("probe", "away", "-p", path, "--from-log", "--limit", "0")
    assert done.code == 2
    assert "was to stay on this machine" in done.err
    audit = ("learn", "audit", "--max-cost", "1", "-p", path, "--json", "-m")
    assert [json.loads(scrimp(*audit, arm).out)["n_pool"] for arm in ("away", "large")] == [0, 1]


def test_an_older_trace_that_may_have_kept_a_prompt_here_keeps_it_still(scrimp, profile):
    """Traces used to give the reason in words alone, and a suspension hid that the prompt was to stay."""
    path = profile(small="echo", extra=AWAY)
    assert scrimp("ask", "-p", path, "--local-only", "--check", "has:7", "Say 7").code == 0
    with sqlite3.connect(paths().ledger) as conn:
        trace = json.loads(unpack(conn.execute("SELECT decision FROM requests").fetchone()[0]))
        for each in trace["arms"]:
            del each["barrier"]
            each["why"] = "suspended"
        conn.execute("UPDATE requests SET decision = ?", (json.dumps(trace),))
    done = scrimp("probe", "away", "-p", path, "--from-log", "--limit", "0")
    assert done.code == 2
    assert "does not say whether it may leave this machine" in done.err


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


@pytest.fixture
def few_judged(monkeypatch):
    """Have every eighth of the everyday prompts learnt with, of all kinds and levels: to embed them all takes a minute."""
    whole = train.everyday()
    few = Judged(*(getattr(whole, field.name)[::8] for field in dataclasses.fields(whole)))
    monkeypatch.setattr(train, "everyday", lambda: few)
    return few


def test_train_then_eval(scrimp, outcomes, few_judged, tmp_path):
    done = scrimp("train", outcomes, "-o", tmp_path / "version", "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "version" / "card.json").exists()
    assert json.loads(done.out)["n_judged"] == len(few_judged)
    done = scrimp("eval", outcomes, "--fit", "60", "--strong", "strong", "--weak", "weak", "--seed", "1", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    names = {row["router"] for row in report["rows"]}
    assert {"fitted", "random"} <= names
    fitted = next(row for row in report["rows"] if row["router"] == "fitted")
    assert 0.0 <= fitted["apgr"] <= 1.2
    assert report["best_single"]
    assert scrimp("eval", outcomes, "--strong", "nobody", "--weak", "weak").code != 0


def test_means_over_seeds(scrimp, outcomes):
    args = ("eval", outcomes, "--fit", "60", "--strong", "strong", "--weak", "weak", "--json")
    each = [json.loads(scrimp(*args, "--seed", str(seed)).out) for seed in (4, 5)]
    both = json.loads(scrimp(*args, "--seed", "4", "--seeds", "2").out)
    values = [next(row["apgr"] for row in report["rows"] if row["router"] == "fitted") for report in each]
    fitted = next(row for row in both["rows"] if row["router"] == "fitted")
    assert fitted["apgr"] == pytest.approx(sum(values) / 2)
    assert fitted["apgr_sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert both["n_seeds"] == 2
    assert "seeds" in both["why"]
    assert scrimp("eval", outcomes, "--seeds", "2").code == 2


def test_malformed_outcomes_are_named_by_line(scrimp, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"id": "1", "prompt": "x", "models": {"m": {"score": 1}}}\n{"id": "2", "prompt": "y", "models": {"m": {"score": 7}}}\n'
    )
    done = scrimp("eval", path)
    assert done.code == 78
    assert "bad.jsonl" in done.err
    assert "2" in done.err
