"""Lengths learnt from the log, from the command line: what `route` expects after calls, and what `report` says of it."""

import json
import sqlite3

QUESTION = "Explain tides to a child"


def routed(scrimp, path, *argv):
    done = scrimp("route", "--json", "-p", path, *argv, QUESTION)
    assert done.code == 0, done.err
    return {each["name"]: each for each in json.loads(done.out)["arms"]}


def test_what_came_is_what_is_expected_and_the_report_says_how_often(scrimp, profile, server):
    path = profile(small="ok@tokens=7", large="ok@tokens=120", caps="per_day_usd = 20")
    before = routed(scrimp, path)
    for _ in range(12):
        assert scrimp("ask", "-p", path, "-m", "large", QUESTION).code == 0
    after = routed(scrimp, path)
    assert after["small"]["output_tokens_p90"] == before["small"]["output_tokens_p90"]
    assert after["small"]["length_rests_on"] == "the router"
    assert after["large"]["length_rests_on"] == "12 calls of its own"
    assert abs(after["large"]["output_tokens_p50"] - 120) < abs(before["large"]["output_tokens_p50"] - 120)
    assert after["large"]["cost_usd"] != before["large"]["cost_usd"]
    shown = scrimp("route", "-x", "-p", path, QUESTION).out
    assert "output lengths rest on: large 12 calls of its own; all others on the router's prediction" in shown
    (row,) = json.loads(scrimp("report", "--json").out)["lengths"]
    assert (row["arm"], row["n"] + row["n_bounded"]) == ("large", 12)
    assert "within p90" in scrimp("report").out


def test_each_call_records_what_was_expected_without_and_with_the_arm_s_own(scrimp, profile, home):
    path = profile(large="ok@tokens=150", caps="per_day_usd = 20")
    for _ in range(6):
        assert scrimp("ask", "-p", path, QUESTION).code == 0
    with sqlite3.connect(home / "scrimp.db") as db:
        rows = db.execute("SELECT expected_output, prompt_output FROM attempts ORDER BY id").fetchall()
    expected, by_prompt = zip(*rows, strict=True)
    assert len(set(by_prompt)) == 1, "what is learnt from does not move with what was learnt"
    assert len(set(expected)) > 1
    assert abs(expected[-1] - 150) <= abs(expected[0] - 150)


def test_another_profile_s_calls_of_the_same_model_count_and_another_model_s_do_not(scrimp, profile):
    one = profile(large="ok@tokens=150", caps="per_day_usd = 20")
    for _ in range(5):
        assert scrimp("ask", "-p", one, QUESTION).code == 0
    other = profile(name="other", large="ok@tokens=150", caps="per_day_usd = 20")
    assert routed(scrimp, other)["large"]["length_rests_on"] == "5 calls of its own"
    third = profile(name="third", large="ok@tokens=151", caps="per_day_usd = 20")
    assert routed(scrimp, third)["large"]["length_rests_on"] == "the router"
    assert {each["arm"] for each in json.loads(scrimp("report", "--json", "-p", "other").out)["lengths"]} == set()


def test_a_batch_s_forecast_goes_by_them(scrimp, profile, tmp_path):
    path = profile(large="ok@tokens=150", caps="per_day_usd = 20")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": QUESTION, "id": str(n)}) + "\n" for n in range(5)))

    def forecast():
        done = scrimp("batch", "--dry-run", "--json", "-p", path, rows)
        assert done.code == 0, done.err
        return json.loads(done.out)

    before = forecast()
    for _ in range(10):
        assert scrimp("ask", "-p", path, QUESTION).code == 0
    assert forecast() != before


def test_an_empty_log_says_nothing(scrimp, profile):
    assert routed(scrimp, profile())["small"]["length_rests_on"] == "the router"
    assert json.loads(scrimp("report", "--json").out)["lengths"] == []
