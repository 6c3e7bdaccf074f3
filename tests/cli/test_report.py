"""`scrimp report`: what the log says of quality."""

import json

import pytest

from scrimp.routing.checks.base import FORM_ONLY
from scrimp.routing.plans import power
from scrimp.routing.reports.quality import quantile, tep, wilson


def report(scrimp, *argv):
    done = scrimp("report", "--json", *argv)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_nothing_is_known_of_an_empty_log(scrimp, home):
    data = report(scrimp)
    assert data["requests"] == 0
    for name in ("success", "cost_per_success_usd", "schema_validity", "escalation", "latency_p50_s"):
        assert data[name] is None
    assert "unknown" in scrimp("report").out


def test_success_and_its_price_escalation_and_checks(scrimp, profile):
    good, bad = "say@text=It_is_42", "say@text=no_idea"
    path = profile(small=bad, large=good)
    ids = []
    for question in ("6 x 7?", "7 x 6?"):
        done = scrimp("ask", "--json", "-p", path, "--plan", "small ? checks > large", "--check", "number:42", question)
        assert done.code == 0, done.err
        ids.append(json.loads(done.out)["id"])
    assert scrimp("ask", "-p", profile(small=good), "hello").code == 0  # nothing is known of this one
    scrimp("rate", ids[1], "bad")
    data = report(scrimp)
    assert (data["requests"], data["known"], data["right"]) == (3, 2, 1)
    assert data["success"] == 0.5
    charged = sum(row["charged_usd"] for row in json.loads(scrimp("log", "--json").out)["rows"] if row["id"] in ids)
    assert data["cost_per_success_usd"] == pytest.approx(charged)
    assert data["escalation"] == 1.0
    assert data["latency_p95_s"] >= data["latency_p50_s"] > 0
    (check,) = data["checks"]
    # It passed two of large's answers, one of which was rated, and bad at that.
    assert (check["n_pass"], check["n_fail"], check["n_labelled"], check["precision"]) == (2, 2, 1, 0.0)
    assert check["recall"] is None
    arms = {arm["arm"]: arm for arm in data["arms"]}
    assert arms["large"]["success"] == 0.5
    assert arms["small"]["success"] is None
    assert "precision" in scrimp("report").out
    quality = json.loads(scrimp("spend", "--json", "-p", path).out)["quality"]
    assert (quality["right"], quality["escalation"]) == (data["right"], data["escalation"])
    assert quality["arms"] == data["arms"]
    assert "right answers: 50% (1 of 2)" in scrimp("spend", "-p", path).out
    assert report(scrimp, "-p", "nobody")["requests"] == 0
    # One that was right after all, and passed: of two passes one was right, of one right answer one passed.
    scrimp("rate", ids[0], "good")
    (check,) = report(scrimp)["checks"]
    assert (check["n_labelled"], check["precision"], check["recall"]) == (2, 0.5, 1.0)
    assert check["precision_interval"][0] < 0.5 < check["precision_interval"][1]


def test_schema_validity(scrimp, profile):
    schema = '{"type": "object", "required": ["answer"]}'
    assert scrimp("ask", "-p", profile(small="json"), "--schema", schema, "x").code == 0
    assert scrimp("ask", "-p", profile(small="ok"), "--schema", schema, "x").code == 7
    data = report(scrimp)
    assert (data["schema_requests"], data["schema_validity"]) == (2, 0.5)


def test_form_is_no_evidence_of_a_right_answer(scrimp, profile):
    schema = '{"type": "object"}'
    assert scrimp("ask", "-p", profile(small="json"), "--schema", schema, "--check", "words:1..50", "x").code == 0
    assert scrimp("ask", "-p", profile(small="ok"), "--check", "json", "x").code == 7
    data = report(scrimp)
    assert (data["requests"], data["known"], data["success"], data["cost_per_success_usd"]) == (2, 0, None, None)
    assert data["schema_validity"] == 1.0
    assert [arm["success"] for arm in data["arms"]] == [None]
    assert "right: unknown" in scrimp("report").out
    # One that can tell right from wrong counts, whatever the others of the same answer say.
    path = profile(small="say@text=42")
    assert scrimp("ask", "-p", path, "--check", "number:42", "--check", "json", "--check", "language:de", "x").code == 0
    assert scrimp("ask", "-p", path, "--check", "number:41", "--check", "words:1..9", "x").code == 7
    assert scrimp("ask", "-p", path, "--check", "number:42", "--check", "words:5..9", "x").code == 7
    data = report(scrimp)
    assert (data["known"], data["right"]) == (3, 2)


def test_that_somebody_asked_again_does_not_make_the_answer_wrong(scrimp, profile):
    path = profile(small="ok", large="ok")
    first = json.loads(scrimp("ask", "-p", path, "-m", "small", "--json", "x").out)["id"]
    assert scrimp("redo", "-p", path, "-m", "large").code == 0
    assert [label["source"] for label in json.loads(scrimp("log", "show", first, "--json").out)["labels"]] == ["redo"]
    data = report(scrimp)
    assert (data["requests"], data["known"], data["success"]) == (2, 0, None)
    assert {arm["arm"]: arm["success"] for arm in data["arms"]} == {"small": None, "large": None}


def test_what_looks_at_form_and_what_tells_right_from_wrong():
    assert power._PRIORS.keys() > FORM_ONLY
    for kind, (_, _, wrong_pass, wrong_fail) in power._PRIORS.items():
        assert (kind in FORM_ONLY) == (wrong_pass >= wrong_fail), kind


def test_token_elasticity_of_performance():
    assert tep(0.9, 300.0, 0.6, 100.0) == 0.25  # half as good again, for three times the tokens
    assert tep(0.9, 100.0, 0.6, 100.0) is None
    assert tep(None, 1.0, 0.5, 2.0) is None
    assert tep(0.5, 1.0, 0.0, 2.0) is None


def test_quantiles_and_intervals():
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.5
    assert quantile([1.0], 0.95) == 1.0
    assert wilson(0, 0) is None
    low, high = wilson(5, 10)
    assert 0.2 < low < 0.5 < high < 0.8
