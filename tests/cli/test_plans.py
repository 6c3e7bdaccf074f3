"""Plans by name and with picks: checked when a profile is loaded, followed, weighed against the best arm, listed."""

import json

import pytest

import scrimp as library

GOOD, BAD = "say@text=It_is_42", "say@text=no_idea"
PLANS = '[plans]\ncareful = "small ? number:42 > large"\nthree = "@3 vote"\nmerged = "@2 => large"\n'
DEAR = '[policy]\nwtp_usd = 100\n[plans]\nthree = "@3 vote"\n'


def ask(scrimp, *argv):
    done = scrimp("ask", "--json", *argv)
    return done, (json.loads(done.out) if done.out else None)


@pytest.mark.parametrize(
    ("plans", "line", "said"),
    [
        ('careful = "small ? most > large"', 1, "column 7: one answer cannot agree with itself"),
        ('careful = "small ? checks > lrage"', 1, "column 18: no arm 'lrage' here (did you mean 'large'?)"),
        ('a = "small"\ncareful = "small ? a > large"', 2, "column 9: no check 'a'"),
        ('careful = "small ? checks > careful"', 1, "column 18: careful is a plan: expected an arm: a plan is made of"),
        ('a = "careful ? json > large"\ncareful = "small"', 1, "column 1: careful is a plan"),
        ('small = "small ? json > large"', 1, "an arm has that name"),
        ('cheap = "small ? json > large"', 1, "scrimp/cheap"),
        ('"a b" = "small ? json > large"', 1, "letters, digits, dots"),
        ('careful = ""', 1, "expected a plan such as"),
        ("careful = 3", 1, "expected a plan such as"),
    ],
)
def test_a_profile_with_a_plan_that_is_none_is_refused_where_it_stands(scrimp, profile, server, plans, line, said):
    path = profile(small=GOOD, large=GOOD, extra=f"[plans]\n{plans}\n")
    first = path.read_text().splitlines().index("[plans]") + 1
    done = scrimp("route", "-p", path, "6 x 7?")
    assert done.code == 78
    assert f"{path}:{first + line}: " in done.err
    assert said in done.err
    assert server.chats == []


def test_a_plan_is_followed_by_its_name_with_the_checks_it_brings(scrimp, profile, server):
    path = profile(small=BAD, large=GOOD, extra=PLANS)
    done, answer = ask(scrimp, "-p", path, "--plan", "careful", "6 x 7?")
    assert (done.code, answer["arm"], answer["passed"]) == (0, "large", True)
    trace = json.loads(scrimp("log", "show", "--json").out)["decision"]
    assert (trace["plan"]["name"], trace["plan"]["spelled"]) == ("careful", "small ? number:42 > large")
    assert trace["propensity"] is None
    assert len(server.chats) == 2


def test_picks_are_recruited_for_the_prompt_and_logged_as_resolved(scrimp, profile, server):
    path = profile(small=GOOD, medium=GOOD, large=GOOD, extra=PLANS)
    _, answer = ask(scrimp, "-p", path, "--plan", "@2 ? agree > @cheap1", "6 x 7?")
    plan = json.loads(scrimp("log", "show", "--json").out)["decision"]["plan"]
    first, second = plan["recruited"]["@2"]
    (third,) = plan["recruited"]["@cheap1"]
    assert {first, second, third} == {"small", "medium", "large"}
    assert plan["text"] == f"{first} + {second} ? agree > {third}"
    assert (plan["spelled"], plan["name"]) == ("@2 ? agree > @cheap1", None)
    assert answer["text" if "text" in answer else "answer"] == "It is 42"
    assert len(server.chats) == 2
    done = scrimp("route", "-p", path, "--plan", "three", "6 x 7?")
    assert "plan three (asked for):" in done.out
    assert "@3 is " in done.out


def test_a_pick_that_finds_no_arm_is_an_error(scrimp, profile, server):
    path = profile(small=GOOD, large=GOOD)
    done = scrimp("ask", "-p", path, "--plan", "small + large ? agree > @1", "6 x 7?")
    assert done.code == 2
    assert "@1 finds no arm" in done.err
    done = scrimp("ask", "-p", path, "--plan", "@3 ? agree > small", "6 x 7?")
    assert done.code == 2  # one is left, which cannot agree with itself
    assert "for this prompt: column" in done.err
    assert server.chats == []


def test_a_pick_for_which_the_caps_leave_no_arm_is_refused_for_money(scrimp, profile, server):
    path = profile(small=GOOD, large=GOOD, caps="per_call_usd = 0.001")
    done = scrimp("ask", "-p", path, "--plan", "small ? json > @1", "--check", "json", "6 x 7?")
    assert done.code == 3, done.err
    assert server.chats == []


def test_a_named_plan_takes_a_prompt_where_it_is_worth_more_than_the_best_arm(scrimp, profile, server):
    path = profile(small=GOOD, medium=GOOD, large=GOOD, extra=DEAR)
    route = json.loads(scrimp("route", "-p", path, "--json", "How many are 6 x 7?").out)
    (weighed,) = route["plans"]
    assert weighed["name"] == "three"
    greedy = next(arm for arm in route["arms"] if arm["name"] == route["greedy_arm"])
    assert weighed["utility"] > greedy["utility"] + 0.02 * 100  # what nobody has measured is not paid for
    assert route["plan"]["name"] == "three"
    assert route["propensity"] is None
    _, answer = ask(scrimp, "-p", path, "How many are 6 x 7?")
    assert len(server.chats) == 3
    assert [step["kind"] for step in answer["steps"]] == ["ask"] * 3
    # Prose cannot be compared; an arm that was asked for is asked; and a cheap right answer is not paid for thrice.
    for argv in (("Write a poem about trees",), ("-m", "small", "How many are 6 x 7?"), ("--wtp", "0.001", "6 x 7?")):
        server.reset()
        assert scrimp("ask", "-p", path, *argv).code == 0
        assert len(server.chats) == 1


def test_what_an_arm_is_drawn_with_is_as_it_was_where_no_plan_is_taken(scrimp, profile):
    plain, planned = profile(small=GOOD, large=GOOD), profile(small=GOOD, large=GOOD, name="other", extra=PLANS)
    draws = [
        json.loads(scrimp("route", "-p", path, "--json", "--seed", "3", "--wtp", "0.001", "Write a poem").out)
        for path in (plain, planned)
    ]
    assert draws[0]["propensity"] is not None
    assert [draw["propensity"] for draw in draws] == [draws[0]["propensity"]] * 2
    assert [each["propensity"] for each in draws[0]["arms"]] == [each["propensity"] for each in draws[1]["arms"]]
    assert draws[0]["plans"] == []


def test_a_merge_is_not_taken_by_itself_and_says_so(scrimp, profile):
    path = profile(small=GOOD, medium=GOOD, large=GOOD, extra='[policy]\nwtp_usd = 100\n[plans]\nm = "@2 => large"\n')
    route = json.loads(scrimp("route", "-p", path, "--json", "How many are 6 x 7?").out)
    assert (route["plan"], route["plans"][0]["why"]) == (None, "not by itself before 30 labels")


def test_a_plan_that_would_run_a_command_is_not_weighed_unasked(scrimp, profile, tmp_path):
    extra = f'[plans]\nrun = "small ? cmd:touch {tmp_path}/ran > large"\n[policy]\nwtp_usd = 100\n'
    path = profile(small=GOOD, large=GOOD, extra=extra)
    route = json.loads(scrimp("route", "-p", path, "--json", "How many are 6 x 7?").out)
    assert route["plans"] == []
    assert scrimp("ask", "-p", path, "How many are 6 x 7?").code == 0
    assert not (tmp_path / "ran").exists()
    assert scrimp("ask", "-p", path, "--plan", "run", "How many are 6 x 7?").code == 0
    assert (tmp_path / "ran").exists()


def test_rows_of_a_batch_name_their_plans(scrimp, profile, server, tmp_path):
    path = profile(small=BAD, large=GOOD, extra=PLANS)
    rows = [
        {"prompt": "6 x 7?", "plan": "careful"},
        {"prompt": "6 x 8?", "plan": "small"},
        {"prompt": "a", "plan": "x"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = scrimp("batch", tmp_path / "rows.jsonl", "-p", path, "-o", tmp_path / "out.jsonl", "--yes")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.code == 6
    assert [(row["status"], row["arm"]) for row in out[:2]] == [("ok", "large"), ("ok", "small")]
    assert out[2]["status"] != "ok"
    assert "column 1: no arm 'x' here" in out[2]["error"]


def test_python_takes_a_plan_by_name(profile, home, server):
    path = profile(small=BAD, large=GOOD, extra=PLANS)
    with library.Scrimp(str(path)) as client:
        answer = client.ask("6 x 7?", plan="careful")
        assert client.route("6 x 7?", plan="careful").plan == "small ? number:42 > large"
        assert client.route("6 x 7?", arm="small").plan is None
    assert (answer.arm, answer.text) == ("large", "It is 42")


def test_plans_lists_what_each_cost_and_brought(scrimp, profile):
    path = profile(small=BAD, large=GOOD, extra=PLANS)
    empty = json.loads(scrimp("plans", "-p", path, "--json").out)["plans"]
    assert [(row["name"], row["n_runs"], row["success"]) for row in empty] == [
        ("careful", 0, None), ("three", 0, None), ("merged", 0, None),
    ]  # fmt: skip
    for _ in range(2):
        scrimp("ask", "-p", path, "--plan", "careful", "6 x 7?")
    scrimp("rate", "last", "good")
    scrimp("ask", "-p", path, "--plan", "small ? has:no > large", "--check", "has:no", "6 x 7?")
    rows = {row["name"]: row for row in json.loads(scrimp("plans", "-p", path, "--json").out)["plans"]}
    careful = rows["careful"]
    assert (careful["n_runs"], careful["n_labels"], careful["success"]) == (2, 1, 1.0)
    assert careful["success_low"] < 1.0 == careful["success_high"]
    assert careful["stopped"] == {"2": 2}
    assert careful["cost_usd"] > 0
    assert careful["expected"]["n"] == 3
    assert 0 < careful["expected"]["quality"] < 1
    assert rows[None]["text"] == "small ? has:no > large"
    assert rows[None]["stopped"] == {"1": 1}
    one = json.loads(scrimp("plans", "careful", "-p", path, "--json").out)
    assert len(one["runs"]) == 2
    done = scrimp("plans", "-p", path)
    assert "careful" in done.out
    assert "2: 100%" in done.out
    done = scrimp("plans", "carefull", "-p", path)
    assert (done.code, "did you mean 'careful'" in done.err) == (2, True)


@pytest.mark.parametrize(
    "plan",
    [
        "@2 => large",
        "small => small",
        "large leads small + medium",
        "@3 bid",
        "small + medium knockout large",
        "small*3 ? most > @2 vote",
        "small ? has:42 > @1 => large",
    ],
)
def test_a_plan_is_begun_with_its_bound_and_with_a_nano_dollar_less_it_is_not(scrimp, profile, server, plan):
    path = profile(small=GOOD, medium=GOOD, large=GOOD, caps="per_day_usd = 100")
    argv = ("-p", path, "--plan", plan, "--check", "has:42", "6 x 7?")
    expected = json.loads(scrimp("route", "--json", *argv).out)["plan"]["expected"]
    bound = round(expected["bound_usd"] * 1e9)
    assert 0 < expected["cost_usd"] * 1e9 < bound
    done = scrimp("ask", "--max-cost", f"{(bound - 1) / 1e9:.9f}", *argv)
    assert done.code == 3, done.err
    assert "The plan is not begun" in done.err
    assert server.chats == []
    done, answer = ask(scrimp, "--max-cost", f"{bound / 1e9:.9f}", *argv)
    assert done.code == 0, done.err
    assert 0 < round(answer["total_charged_usd"] * 1e9) <= bound
