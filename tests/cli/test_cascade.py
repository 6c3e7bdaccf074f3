"""`ask --check` and `ask --cascade`: escalation, money, labels, exit codes, and the log that replays it all."""

import json

import pytest
from pauses import no_pause

GOOD, BAD = "say@text=It_is_42", "say@text=no_idea"


def ask(scrimp, *argv):
    done = scrimp("ask", "--json", *argv)
    return done, (json.loads(done.out) if done.out else None)


def shown(scrimp, which="last"):
    return json.loads(scrimp("log", "show", which, "--json").out)


def charged(scrimp, path):
    return sum(round(row["charged_usd"] * 1e9) for row in json.loads(scrimp("spend", "--json", "-p", path).out)["rows"])


def test_a_passing_answer_exits_0_and_is_labelled(scrimp, profile):
    done, answer = ask(
        scrimp, "-p", profile(small=GOOD), "--check", "number:42", "--check", "words:..5", "six times seven?"
    )
    assert done.code == 0, done.err
    assert answer["passed"] is True
    assert {check["check"]: check["outcome"] for check in answer["checks"]} == {
        "number:42": "pass",
        "words:..5": "pass",
    }
    labels = shown(scrimp)["labels"]
    assert {(label["source"], label["reward"]) for label in labels} == {("check", 1.0)}
    weights = {label["note"]: label["weight"] for label in labels}
    assert weights["number:42"] > weights["words:..5"] > 0


def test_a_failing_answer_is_shown_and_exits_7(scrimp, profile, server):
    done = scrimp("ask", "-p", profile(small=BAD), "--check", "number:42", "six times seven?")
    assert done.code == 7
    assert done.out == "no idea\n"
    assert "no number" in done.err
    assert "Tried: small answered for $" in done.err
    assert [label["reward"] for label in shown(scrimp)["labels"]] == [0.0]
    assert len(server.chats) == 1


def test_of_several_verdicts_the_fail_is_the_label_that_counts(scrimp, profile):
    scrimp("ask", "-p", profile(small=GOOD), "--check", "words:1", "--check", "number:42", "six times seven?")
    assert [label["reward"] for label in shown(scrimp)["labels"]] == [1.0, 0.0]


def test_a_check_that_cannot_be_made_sends_nothing(scrimp, profile, server):
    for spec, code in (("re:(", 2), ("nonsense", 2), ("judge:nobody", 2), ('schema:{"type": 1}', 78)):
        assert scrimp("ask", "-p", profile(small=GOOD), "--check", spec, "hello").code == code
    assert server.chats == []


def test_a_cascade_escalates_where_the_check_fails(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD)
    done, answer = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "cmd:grep -q 42", "6 x 7?")
    assert done.code == 0, done.err
    assert answer["answer"] == "It is 42"
    assert (answer["arm"], answer["passed"]) == ("large", True)
    assert [(s["arm"], s["taken"]) for s in answer["steps"]] == [("small", False), ("large", True)]
    assert "escalating to large" in done.err
    assert round(answer["total_charged_usd"] * 1e9) == charged(scrimp, path) > 0
    row = shown(scrimp)
    assert row["answer"] == "It is 42"
    assert row["arm"] == "large"
    assert row["propensity"] is None
    assert [(s["arm"], s["verdicts"][0]["outcome"], s["answer"]) for s in row["steps"]] == [
        ("small", "fail", "no idea"),
        ("large", "pass", "It is 42"),
    ]
    assert {(label["arm"], label["reward"]) for label in row["labels"]} == {("small", 0.0), ("large", 1.0)}
    assert row["decision"]["plan"]["text"] == "small ? checks > large"
    assert {attempt["kind"] for attempt in row["attempts"]} == {"first", "step"}
    text = scrimp("log", "show", "last").out
    assert "1. ask small -> if all checks pass" in text
    assert "2. ask large -> that stands" in text


def test_the_planner_tries_the_cheap_arm_first_and_explains(scrimp, profile):
    path = profile(small=BAD, large=GOOD)
    done = scrimp("ask", "-x", "-p", path, "--cascade", "--check", "cmd:grep -q 42", "6 x 7?")
    assert (done.code, done.out) == (0, "It is 42\n")
    assert "plan:\n  1. ask small -> if cmd:grep -q 42 passes, that stands; else\n" in done.err
    assert "best arm" in done.err
    assert "a prior" in done.err
    assert "for all 2 calls" in done.err


def test_a_dry_run_of_a_cascade_sends_nothing(scrimp, profile, server):
    done = scrimp(
        "ask", "--dry-run", "-p", profile(small=BAD, large=GOOD), "--cascade", "--check", "cmd:true", "6 x 7?"
    )
    assert done.code == 0
    assert "predicted quality" in done.out
    assert server.chats == []


def test_a_profile_may_ask_for_cascades_and_name_checks(scrimp, profile, server):
    extra = '[policy]\nmode = "cascade"\n[checks.right]\nspec = "number:42"\n'
    path = profile(small=BAD, large=GOOD, extra=extra)
    done, answer = ask(scrimp, "-p", path, "--check", "right", "6 x 7?")
    assert done.code == 0, done.err
    assert answer["arm"] == "large"
    assert [s["arm"] for s in answer["steps"]] == ["small", "large"]
    done, answer = ask(scrimp, "-p", path, "-m", "small", "--check", "right", "6 x 7?")
    assert (done.code, answer["arm"]) == (7, "small")
    assert scrimp("ask", "-p", path, "--cascade", "-m", "small", "6 x 7?").code == 2


def test_all_candidates_failing_exits_7_with_the_best_shown(scrimp, profile, server):
    path = profile(small="say@text=It_is_41", large=BAD)
    checks = ("--check", "number:42", "--check", "has:is")
    done, answer = ask(scrimp, "-p", path, "--plan", "small ? number:42 > large", *checks, "6 x 7?")
    assert done.code == 7
    assert answer["answer"] == "It is 41"  # it failed one check, the other two
    assert "small answered" in done.err
    assert "large answered" in done.err
    assert round(answer["total_charged_usd"] * 1e9) == charged(scrimp, path) > 0


def test_a_plan_that_cannot_be_paid_to_its_end_is_not_begun(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD, caps="per_run_usd = 0.002")
    done = scrimp("ask", "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    assert done.code == 3
    assert "not begun" in done.err
    assert server.chats == []
    # Left to itself the planner keeps to what can be paid.
    done, answer = ask(scrimp, "-p", path, "--cascade", "--check", "number:42", "6 x 7?")
    assert done.code == 7
    assert {step["arm"] for step in answer["steps"]} == {"small"}


def test_max_cost_covers_the_whole_plan(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD)
    done = scrimp(
        "ask", "-p", path, "--max-cost", "0.0095", "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?"
    )
    assert done.code == 3
    assert server.chats == []


def test_a_cap_that_fills_up_in_the_middle_ends_the_plan_with_what_there_is(scrimp, profile, server, monkeypatch):
    # As if another process had taken the rest meanwhile.
    monkeypatch.setattr("scrimp.routing.asking.workspace.rooms_of", lambda *_, **__: [])
    dry = json.loads(scrimp("ask", "--dry-run", "--json", "-p", profile(small=BAD, large=GOOD), "6 x 7?").out)
    bound = next(arm["bound_usd"] for arm in dry["arms"] if arm["name"] == "large")
    path = profile(small=BAD, large=GOOD, caps=f"per_run_usd = {bound + 1e-6:.9f}")
    done, answer = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    assert done.code == 7
    assert answer["answer"] == "no idea"
    assert answer["steps"][1]["outcome"] == "refused"
    assert "the plan ended early" in done.err
    assert charged(scrimp, path) == server.cost_nano  # small's prices are the server's own


def test_an_arm_that_is_down_is_passed_over(scrimp, profile, server, monkeypatch):
    no_pause(monkeypatch)
    path = profile(small="400", large=GOOD)
    done, answer = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "large")
    assert [step["outcome"] for step in answer["steps"]] == ["failed", "answered"]
    done = scrimp(
        "ask", "-p", profile(small="400", large="404"), "--plan", "small ? checks > large", "--check", "json", "x"
    )
    assert done.code == 5
    assert shown(scrimp)["status"] == "failed"


def test_repair_hands_over_the_failed_answer_and_the_evidence(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD)
    plan = ("--plan", "small ? checks > large", "--check", "number:42")
    assert scrimp("ask", "-p", path, *plan, "--repair", "6 x 7?").code == 0
    first, second = server.chats
    assert first.prompt == "6 x 7?"
    assert second.prompt.startswith("6 x 7?")
    assert "no idea" in second.prompt
    assert "has no number" in second.prompt
    assert scrimp("ask", "-p", path, *plan, "6 x 7?").code == 0
    assert server.chats[-1].prompt == "6 x 7?"
    assert scrimp("ask", "-p", path, "--repair", "6 x 7?").code == 2


def test_an_arm_that_cannot_take_the_failed_answer_is_asked_the_prompt_itself(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD)
    # It has room for the prompt and its answer, and for little more: what is reserved is for that.
    head, large = path.read_text().split('name = "large"')
    path.write_text(head + 'name = "large"' + large.replace("context_window = 100000", "context_window = 240"))
    plan = ("--plan", "small ? checks > large", "--check", "number:42", "--repair")
    assert scrimp("ask", "-p", path, *plan, "6 x 7?").code == 0
    assert [chat.prompt for chat in server.chats] == ["6 x 7?", "6 x 7?"]


def test_arms_that_agree_stop_the_plan(scrimp, profile, server):
    path = profile(small=GOOD, medium="say@text=The_answer_is_42.", large=BAD)
    done, answer = ask(scrimp, "-p", path, "--plan", "small + medium ? agree > large", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "medium")
    assert [step["arm"] for step in answer["steps"]] == ["small", "medium"]
    assert all(step["verdicts"][0]["check"] == "agree" for step in answer["steps"])
    assert {(label["arm"], label["reward"]) for label in shown(scrimp)["labels"]} == {("small", 1.0), ("medium", 1.0)}


def test_arms_that_disagree_escalate(scrimp, profile, server):
    path = profile(small=GOOD, medium=BAD, large="say@text=It_is_43")
    done, answer = ask(scrimp, "-p", path, "--plan", "small + medium ? agree > large", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "large")


def test_a_third_arm_may_agree_with_one_of_the_first_two(scrimp, profile, server):
    path = profile(small=GOOD, medium=BAD, large="say@text=42", other="say@text=43")
    done, answer = ask(scrimp, "-p", path, "--plan", "small + medium ? agree > large ? most > other", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "large"), done.err
    assert len(server.chats) == 3


def test_an_empty_sample_agrees_with_nothing(scrimp, profile, server):
    path = profile(small="say@text=42", medium="empty-content", large="say@text=43")
    done, answer = ask(scrimp, "-p", path, "--plan", "small + medium ? agree > large", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "large"), done.err


def test_a_vote_takes_what_most_arms_say(scrimp, profile, server):
    path = profile(small="say@text=42", medium="say@text=The_answer_is_42", large="say@text=43")
    done, answer = ask(scrimp, "-p", path, "--plan", "small + medium + large vote", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "medium")
    assert "a vote of" in done.err


def test_the_best_of_several_stops_at_one_that_passes(scrimp, profile, server):
    server.script([BAD, GOOD, BAD])
    path = profile(small="ok")
    done, answer = ask(scrimp, "-p", path, "--plan", "small + small + small best", "--check", "number:42", "6 x 7?")
    assert (done.code, answer["answer"]) == (0, "It is 42")
    assert len(server.chats) == 2
    assert server.chats[1].body["temperature"] == 1.0  # a further sample must be able to differ


def judged(score):
    return f"say@text=Score:_{score}_of_10"


@pytest.mark.parametrize(("reply", "outcome", "code"), [(9, "pass", 0), (2, "fail", 7)])
def test_a_judge_is_paid_for_and_its_verdict_counts(scrimp, profile, server, reply, outcome, code):
    path = profile(small=GOOD, large=judged(reply))
    done, answer = ask(scrimp, "-p", path, "-m", "small", "--check", "judge:large:Is it right?", "6 x 7?")
    assert done.code == code, done.err
    assert answer["answer"] == "It is 42"
    (check,) = answer["checks"]
    assert check["outcome"] == outcome
    assert check["cost_usd"] > 0
    assert "Is it right?" in server.chats[1].prompt
    assert round(answer["total_charged_usd"] * 1e9) == charged(scrimp, path)
    assert shown(scrimp)["answer"] == "It is 42"


def test_a_judge_that_answers_prose_abstains(scrimp, profile):
    path = profile(small=GOOD, large="say@text=Rather_good")
    done, answer = ask(scrimp, "-p", path, "-m", "small", "--check", "judge:large", "6 x 7?")
    assert done.code == 0
    assert answer["checks"][0]["outcome"] == "abstain"
    assert shown(scrimp)["labels"] == []


def test_a_judge_picks_the_best_of_several(scrimp, profile, server):
    path = profile(small="ok", large="ok")
    server.script(["say@text=so-so", judged(3), "say@text=better", judged(6)])
    done, answer = ask(scrimp, "-p", path, "--plan", "small + small best", "--check", "judge:large", "6 x 7?")
    assert (done.code, answer["answer"]) == (7, "better")  # neither gets the judge's 7 of 10
    assert [(step["kind"], step["taken"]) for step in answer["steps"]] == [
        ("ask", False),
        ("judge", False),
        ("ask", True),
        ("judge", False),
    ]
    assert round(answer["total_charged_usd"] * 1e9) == charged(scrimp, path)


def test_agreement_is_a_check_of_a_cascade_too(scrimp, profile, server):
    path = profile(small=GOOD, large="say@text=It_is_43")
    done, answer = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "agree", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "small"), done.err
    assert [step["kind"] for step in answer["steps"]] == ["ask", "sample", "sample"]
    assert answer["checks"][0]["check"] == "agree:3"


def test_most_gives_the_answer_that_most_samples_give(scrimp, profile, server):
    server.script(["say@text=41", "say@text=It_is_42", "say@text=42"])
    path = profile(small="ok")
    done, answer = ask(scrimp, "-p", path, "--check", "most:3", "--check", "words:..5", "6 x 7?")
    assert (done.code, answer["answer"]) == (0, "It is 42"), done.err
    assert {check["check"]: check["outcome"] for check in answer["checks"]} == {"most:3": "pass", "words:..5": "pass"}
    assert [(step["kind"], step["taken"]) for step in answer["steps"]] == [
        ("ask", False),
        ("sample", True),
        ("sample", False),
    ]
    assert shown(scrimp)["answer"] == "It is 42"
    assert {label["reward"] for label in shown(scrimp)["labels"]} == {1.0}
    assert round(answer["total_charged_usd"] * 1e9) == server.cost_nano


def test_of_three_arms_most_agree_where_not_all_do(scrimp, profile, server):
    path = profile(small=BAD, medium=GOOD, large="say@text=42", other="say@text=43")
    arms = "small + medium + large"
    done, answer = ask(scrimp, "-p", path, "--plan", f"{arms} ? most > other", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "large"), done.err
    assert {label["arm"]: label["reward"] for label in shown(scrimp)["labels"]} == {
        "small": 0.0,
        "medium": 1.0,
        "large": 1.0,
    }
    done, answer = ask(scrimp, "-p", path, "--plan", f"{arms} ? agree > other", "6 x 7?")
    assert (done.code, answer["arm"]) == (0, "other"), done.err


def test_a_check_that_cannot_tell_says_so(scrimp, profile):
    done = scrimp("ask", "-p", profile(small=GOOD), "--check", "language:en", "6 x 7?")
    assert done.code == 0
    assert "check language:en cannot tell: too little text" in done.err


def test_a_missing_command_is_found_out_before_anything_is_paid(scrimp, profile, server):
    extra = '[checks.gone]\ncmd = ["no-such-program-anywhere"]\n'
    path = profile(small=GOOD, extra=extra)
    for check in ("gone", "cmd:no-such-program-anywhere {file}"):
        done = scrimp("ask", "-p", path, "--check", check, "6 x 7?")
        assert done.code == 2
        assert "there is no command 'no-such-program-anywhere'" in done.err
    assert server.chats == []


def test_what_was_not_taken_stands_in_the_log_too(scrimp, profile):
    path = profile(small=BAD, large=GOOD)
    scrimp("ask", "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    assert "answer of step 1, small, not taken:\nno idea" in scrimp("log", "show").out


def test_route_points_to_where_the_plan_is_shown(scrimp, profile):
    path = profile(small=GOOD, large=GOOD, extra='[policy]\nmode = "cascade"\n')
    assert "ask --dry-run -x" in scrimp("route", "-p", path, "6 x 7?").err
    assert "ask --dry-run -x" not in scrimp("route", "-p", path, "-m", "small", "6 x 7?").err


def test_a_repair_is_planned_within_the_caps_by_what_each_call_can_carry(scrimp, profile, server):
    path = profile(small=BAD, medium=GOOD, caps="per_run_usd = 0.012")
    argv = ("--cascade", "--repair", "--check", "number:42", "6 x 7?")
    plan = ask(scrimp, "--dry-run", "-p", path, *argv)[1]["plan"]
    # One call of any arm is paid for easily; one that carries a failed answer (14,000 tokens at most) is not.
    assert (" ? " in plan["text"], plan["n_unpayable"]) == (False, plan["n_plans"] - 2)
    assert ask(scrimp, "-p", profile(small=BAD, medium=GOOD, caps="per_run_usd = 0.5"), *argv)[1]["arm"] == "medium"
    assert "no idea" in server.chats[-1].prompt


def test_agreement_of_samples_is_paid_for(scrimp, profile, server):
    server.script([GOOD, GOOD, BAD])
    path = profile(small="ok")
    done, answer = ask(scrimp, "-p", path, "--check", "agree:3", "6 x 7?")
    assert done.code == 7
    assert len(server.chats) == 3
    assert "only 2 of 3 answers say the same" in done.err
    assert round(answer["total_charged_usd"] * 1e9) == server.cost_nano


def test_checks_keep_no_text_where_the_profile_keeps_none(scrimp, profile):
    path = profile(small=BAD, large=GOOD, extra='[log]\nkeep = "features"\n')
    done, _ = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "is:It is 42", "6 x 7?")
    assert done.code == 0
    row = shown(scrimp)
    assert all(step["answer"] is None for step in row["steps"])
    assert all(not verdict["evidence"] for step in row["steps"] for verdict in step["verdicts"])
    assert "no idea" not in json.dumps(row)
    done, _ = ask(
        scrimp, "-p", path, "--no-log", "--plan", "small ? checks > large", "--check", "is:It is 42", "6 x 7?"
    )
    assert done.code == 0


def test_forgetting_a_request_forgets_its_steps(scrimp, profile):
    path = profile(small=BAD, large=GOOD)
    _, answer = ask(scrimp, "-p", path, "--plan", "small ? checks > large", "--check", "number:42", "6 x 7?")
    assert scrimp("log", "rm", answer["id"], "--yes").code == 0
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.store import open_ledger

    with open_ledger(paths().ledger) as ledger:
        assert ledger.rows("SELECT * FROM steps") == []


def test_a_schema_is_a_check_like_any_other(scrimp, profile, server):
    schema = '{"type": "object", "required": ["answer"]}'
    done, answer = ask(
        scrimp, "-p", profile(small=BAD, large="json"), "--plan", "small ? schema > large", "--schema", schema, "x"
    )
    assert (done.code, answer["arm"]) == (0, "large")
    assert scrimp("ask", "-p", profile(small=BAD), "--schema", schema, "x").code == 7


def test_what_ratings_say_of_a_check_moves_its_power(scrimp, profile):
    path = profile(small=GOOD, large=GOOD)
    argv = ("-p", path, "--plan", "small ? has:42 > large", "--check", "has:42", "6 x 7?")
    for _ in range(5):
        _, answer = ask(scrimp, *argv)
        scrimp("rate", answer["id"], "bad")
    _, answer = ask(scrimp, *argv)
    power = answer["decision"]["plan"]["checks"]["has:42"]
    assert power["n_wrong"] == 5
    # The kind's prior, and five passes; less than all of them count, where a prompt is easier than the middling one.
    assert 6 / 10 + 0.03 < power["passes_wrong"] <= (6 + 5) / (10 + 5) + 0.03


def test_spread_is_learned_from_prompts_with_several_labelled_answers(scrimp, profile):
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.labels import add_label
    from scrimp.routing.ledger.store import instant, open_ledger
    from scrimp.routing.plans.power import SPREAD
    from scrimp.routing.plans.record import learned_spread

    path = profile(small=GOOD, large=GOOD)
    for i in range(10):
        scrimp("ask", "-q", "-p", path, f"6 x {i}?")
    with open_ledger(paths().ledger) as ledger:
        assert learned_spread(ledger) == SPREAD
        for n, row in enumerate(ledger.rows("SELECT id FROM requests")):
            for arm in ("small", "large"):
                reward = float(n % 2)
                add_label(ledger, request_id=row["id"], arm=arm, reward=reward, source="import", at=instant(0.0))
        assert learned_spread(ledger) > SPREAD  # both arms are right or wrong together


def outcome(i):
    cells = {}
    for j, price in enumerate((0.0002, 0.0003, 0.01)):
        right = j == 2 or i % (j + 3) > 0
        answer = "7" if right else f"1{i}{j}"
        cells[f"m{j}"] = {
            "score": float(right),
            "input_tokens": 9,
            "output_tokens": 9,
            "cost_usd": price,
            "answer": answer,
        }
    return {"id": f"q{i}", "source": "s", "prompt": f"question {i}", "gold": "7", "models": cells}


def test_eval_measures_cascades(scrimp, home):
    from pathlib import Path

    Path("o.jsonl").write_text("".join(json.dumps(outcome(i)) + "\n" for i in range(120)))
    done = scrimp("eval", "o.jsonl", "--router", "cascade", "--fit", "80", "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    rows = {row["router"]: row for row in data["rows"]}
    assert list(rows) == ["cascade", "fixed", "one-arm", "random"]
    assert data["n_test"] == 40
    assert data["best_single"]["accuracy"] == pytest.approx(1.0)
    # The two cheap ones agree only when they are right: all that the third gets is had for the price of two and some.
    assert rows["cascade"]["cost_save"] > 0.3 > rows["one-arm"]["cost_save"]
    table = scrimp("eval", "o.jsonl", "--router", "cascade", "--fit", "80").out
    assert "USD/right" in table
    for more in (("--router", "knn"), ("--strong", "m2"), ("--plot", "c.svg")):
        done = scrimp("eval", "o.jsonl", "--router", "cascade", *more)
        assert done.code == 2
        assert "stands alone" in done.err


def test_no_key_that_a_check_prints_goes_anywhere(scrimp, profile, server, monkeypatch, tmp_path):
    """Not to the next arm, stdout, stderr, the log, a batch's rows, or a traceback."""
    key = "canary-Zq7Tn5vX2bLw8Kd4"
    monkeypatch.setenv("BARS", key)
    (tmp_path / "leak").write_text(f"config: {key}\n" * 3)
    check = f"sh:cat {tmp_path}/leak; grep -q 42"
    path = profile(small=BAD, large=GOOD, key_env="BARS")
    plan = ("-p", path, "--plan", "small ? checks > large", "--check", check, "--repair")
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text('{"prompt": "6 x 7?"}\n')
    leaky = ("-p", path, "-m", "small", "--check", check)
    told = [
        scrimp("--debug", "ask", "-x", *plan, "6 x 7?"), scrimp("ask", "--json", *plan, "6 x 7?"),
        scrimp("--debug", "ask", *leaky, "6 x 7?"), scrimp("batch", rows, "-o", out, *leaky),
        scrimp("log", "show", "last"), scrimp("log", "show", "last", "--json"), scrimp("log", "export"),
    ]  # fmt: skip
    assert "[redacted]" in told[0].err
    repaired = next(chat.prompt for chat in server.chats if "WHAT IS WRONG" in chat.prompt)
    for text in (repaired, out.read_text(), *(done.out + done.err for done in told)):
        assert not any(key[i : i + 8] in text for i in range(len(key) - 7)), text
    assert "[redacted]" in json.loads(out.read_text())["error"]
    wrong = repaired.partition("WHAT IS WRONG WITH IT\n")[2].partition("=====")[0]
    assert "[redacted]" in wrong
    assert len(wrong) < 2_010
