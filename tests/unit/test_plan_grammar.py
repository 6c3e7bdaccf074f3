"""The language of plans: what each text means, how it is printed, and errors that point at what is wrong."""

import re

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.routing.plans.grammar import gates_in, is_plan, read_plan
from scrimp.routing.plans.picks import Pick, named_arms, pick_of, recruit
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.plans.pointing import PlanError
from scrimp.routing.plans.whole import MOST_ASKED

ARMS = ["small", "medium", "large", "small:low", "small:high", "gpt-5.1_mini", "vote", "leads"]
CHECKS = ["tests", "has:42", "words:3 or more", "re:^a>b$"]


def read(text, arms=ARMS, checks=CHECKS, **more):
    return read_plan(text, arms, checks, **more)


MEANT = [
    ("small", [Stage(("small",))]),
    ("small*3 ? most > large", [Stage(("small",) * 3, "most"), Stage(("large",))]),
    ("small * 2 + medium vote", [Stage(("small", "small", "medium"), None, "vote")]),
    ("@3 vote", [Stage(("@3",), None, "vote")]),
    ("@cheap3 ? agree > large", [Stage(("@cheap3",), "agree"), Stage(("large",))]),
    ("small ? tests > @1", [Stage(("small",), "tests"), Stage(("@1",))]),
    ("small ? checks > large", [Stage(("small",), "*"), Stage(("large",))]),
    ("small + medium best", [Stage(("small", "medium"), None, "best")]),
    ("small + medium => large", [Stage(("small", "medium"), None, "merge", ("large",))]),
    ("small => medium => large", [Stage(("small",), None, "merge", ("medium", "large"))]),
    ("small=>small", [Stage(("small",), None, "merge", ("small",))]),
    ("large leads small + medium", [Stage(("small", "medium"), None, "lead", ("large",))]),
    ("large leads @2", [Stage(("@2",), None, "lead", ("large",))]),
    ("@3 bid", [Stage(("@3",), None, "bid")]),
    ("small + medium + large bid", [Stage(("small", "medium", "large"), None, "bid")]),
    ("@4 knockout large", [Stage(("@4",), None, "knockout", ("large",))]),
    ("small:low ? checks > small:high", [Stage(("small:low",), "*"), Stage(("small:high",))]),
    (
        "small*3 ? most > @2 ? most > large",
        [Stage(("small",) * 3, "most"), Stage(("@2",), "most"), Stage(("large",))],
    ),
    ("@3 => large", [Stage(("@3",), None, "merge", ("large",))]),
    ("small ? checks > @2 => large", [Stage(("small",), "*"), Stage(("@2",), None, "merge", ("large",))]),
    ("@2 => large ? tests > medium", [Stage(("@2",), "tests", "merge", ("large",)), Stage(("medium",))]),
    ("gpt-5.1_mini ? has:42 > large", [Stage(("gpt-5.1_mini",), "has:42"), Stage(("large",))]),
    ("small ? words:3 or more > large", [Stage(("small",), "words:3 or more"), Stage(("large",))]),
    ("small ? re:^a>b$ > large", [Stage(("small",), "re:^a>b$"), Stage(("large",))]),
    ("vote + leads vote", [Stage(("vote", "leads"), None, "vote")]),
    ("leads leads vote", [Stage(("vote",), None, "lead", ("leads",))]),
    ("vote ? tests > vote", [Stage(("vote",), "tests"), Stage(("vote",))]),
    ("small ? tests", [Stage(("small",))]),
    ("small + medium ? agree", [Stage(("small", "medium"), "agree")]),
    ("small/passages ? tests > large/whole", [Stage(("small/passages",), "tests"), Stage(("large/whole",))]),
    ("small/passages*3 ? most > large", [Stage(("small/passages",) * 3, "most"), Stage(("large",))]),
    ("small:low/none + medium/whole vote", [Stage(("small:low/none", "medium/whole"), None, "vote")]),
    (
        "small/whole + small/passages => large/whole",
        [Stage(("small/whole", "small/passages"), None, "merge", ("large/whole",))],
    ),
    ("large/whole leads small/passages", [Stage(("small/passages",), None, "lead", ("large/whole",))]),
    ("@3/passages vote", [Stage(("@3/passages",), None, "vote")]),
    ("small/split", [Stage(("small/split",), None, "split")]),
    ("@cheap1/split => large", [Stage(("@cheap1/split",), None, "split", ("large",))]),
    (
        "small/passages ? tests > small/split => large",
        [Stage(("small/passages",), "tests"), Stage(("small/split",), None, "split", ("large",))],
    ),
]


@pytest.mark.parametrize(("text", "stages"), MEANT, ids=[text for text, _ in MEANT])
def test_a_text_means_its_stages_and_is_printed_back(text, stages):
    plan = read(text)
    assert plan.stages == tuple(stages)
    assert read(str(plan)) == plan
    assert Plan.from_dict(plan.to_dict()) == plan
    assert read(f"\n  {text.replace(' > ', '>')}\t") == plan


# What is wrong, the column of it, and what the error says should stand there.
MALFORMED = [
    ("", 1, "an arm, or a pick"),
    ("   ", 1, "an arm, or a pick"),
    (">", 1, "an arm, or a pick"),
    ("> large", 1, "an arm, or a pick"),
    ("small >", 8, "an arm, or a pick"),
    ("small ? tests >", 16, "an arm, or a pick"),
    ("small ? tests > > large", 17, "an arm, or a pick"),
    ("smal", 1, "an arm, or a pick"),
    ("small ? tests > lrage", 17, "an arm, or a pick"),
    ("small + huge vote", 9, "an arm, or a pick"),
    ("small ? tests > large:low", 17, "an arm, or a pick"),
    ("small + ", 8, "an arm, or a pick"),
    ("small + + medium vote", 9, "an arm, or a pick"),
    ("+ small", 1, "an arm, or a pick"),
    ("? tests", 1, "an arm, or a pick"),
    ("*3", 1, "an arm, or a pick"),
    ("= large", 1, "an arm, or a pick"),
    ("small ?", 8, "one of agree, most, checks, tests"),
    ("small ? > large", 9, "one of agree, most, checks, tests"),
    ("small ? test > large", 9, "one of agree, most, checks, tests"),
    ("small ? tests large", 9, "one of agree, most, checks, tests"),
    ("small ? most vote > large", 9, "one of agree, most, checks, tests"),
    ("small ? tests => large", 15, "it before `?`"),
    ("small medium", 7, "`+`, `=>`, vote"),
    ("small , medium", 7, "`+`, `=>`, vote"),
    ("small + medium votes", 16, "did you mean 'vote'"),
    ("small + medium Best", 16, "`+`, `=>`, vote"),
    ("small + medium vote vote", 21, "`+`, `=>`, vote"),
    ("small + medium vote => large", 21, "`+`, `=>`, vote"),
    ("small = large", 7, "`+`, `=>`, vote"),
    ("small*", 7, "a number of samples"),
    ("small*0 ? most > large", 7, "a number of samples"),
    ("small*13 vote", 7, "a number of samples"),
    ("small*three vote", 7, "a number of samples"),
    ("small*99999999999999999999 vote", 7, "a number of samples"),
    ("small**3 vote", 7, "a number of samples"),
    ("small*3", 8, "vote, best, bid"),
    ("@", 1, "`@` and a number"),
    ("@0 vote", 1, "`@` and a number"),
    ("@13 vote", 1, "`@` and a number"),
    ("@best3 vote", 1, "`@` and a number"),
    ("@cheap vote", 1, "`@` and a number"),
    ("@-3 vote", 1, "`@` and a number"),
    ("@2*2 vote", 3, "`+`, or more arms"),
    ("@3", 3, "vote, best, bid"),
    ("small + medium", 15, "vote, best, bid"),
    ("small + medium > large", 15, "vote, best, bid"),
    ("small > large", 6, "`?` and what stops it"),
    ("small => medium > large", 16, "`?` and what stops it"),
    ("small ? agree", 7, "two or more answers"),
    ("small ? most > large", 7, "two or more answers"),
    ("@1 ? most > large", 4, "two or more answers"),
    ("small + medium vote ? most > large", 21, "no ? most here"),
    ("@2 => large ? agree > small", 13, "no ? agree here"),
    ("large leads @2 ? most > small", 16, "no ? most here"),
    ("small + medium ? agree > large ? agree > small", 26, "two arms or more here"),
    ("small + medium + large ? most > large ? most > small", 33, "two arms or more here"),
    (" + ".join(["small"] * 13) + " vote", 1, "12 at most"),
    ("@12 => large", 1, "12 at most"),
    ("small*6 ? most > @6 ? most > large", 30, "12 at most"),
    ("small =>", 9, "the arm that merges"),
    ("small => @1", 10, "the arm that merges, by name"),
    ("small => huge", 10, "an arm, or a pick"),
    ("@3 => large + medium", 13, "`+`, `=>`, vote"),
    ("large leads", 12, "an arm, or a pick"),
    ("large leads large + small", 1, "workers that do not plan"),
    ("large leads small + small", 1, "each worker once"),
    ("small + large leads medium", 15, "one arm before `leads`"),
    ("@2 leads medium", 4, "one arm before `leads`"),
    ("large leads small vote", 19, "`+`, `=>`, vote"),
    ("small bid", 1, "two arms or more"),
    ("@1 bid", 1, "two arms or more"),
    ("small + small bid", 1, "each arm once"),
    ("small + medium knockout", 24, "the arm that drops the worst answer"),
    ("small + medium knockout @1", 25, "the arm that drops the worst answer, by name"),
    ("small knockout large", 1, "two arms or more"),
    ("small ? tests > careful", 17, "an arm: a plan is made of arms"),
]


@pytest.mark.parametrize(("text", "column", "expected"), MALFORMED, ids=[text or "nothing" for text, *_ in MALFORMED])
def test_an_error_names_the_column_and_what_was_expected(text, column, expected):
    with pytest.raises(PlanError) as caught:
        read(text, plans=("careful",))
    error = caught.value
    assert (error.column, error.exit_code) == (column, 2)
    assert f"column {column}:" in error.message
    assert ": expected " in error.message
    assert expected in error.expected
    shown, caret = error.message.split("\n")[-2:]
    assert caret.index("^") == 2 + column - 1
    assert shown[2:].startswith(text[:100].rstrip("\n"))


def test_the_table_is_long_enough():
    assert len({text for text, *_ in MALFORMED}) >= 60


def test_near_names_and_what_there_is_are_said():
    with pytest.raises(PlanError, match="did you mean 'large'") as caught:
        read("small ? tests > lrage")
    assert "The arms are: small, medium, large" in caught.value.hint
    with pytest.raises(PlanError, match="did you mean 'tests'"):
        read("small ? test > large")
    with pytest.raises(PlanError, match="no checks to stop at"):
        read("small ? checks > large", checks=[])
    with pytest.raises(PlanError, match="nothing to tell by"):
        read("small*2 best", checks=[])


def test_the_caret_stands_below_what_is_wrong_in_a_long_plan_too():
    text = " + ".join(["medium"] * 11) + " ? most > lar\x1b[ge"
    with pytest.raises(PlanError) as caught:
        read(text)
    shown, caret = caught.value.message.split("\n")[-2:]
    assert shown[caret.index("^") :].startswith("lar [ge")
    assert "\x1b" not in shown
    with pytest.raises(PlanError) as caught:
        read("大 ? tests > small")
    assert caught.value.message.endswith("\n  ^~")


def test_where_it_is_spelled_is_said():
    with pytest.raises(PlanError, match=re.escape("work.toml:7: plans.careful: column 3:")):
        read("a b", arms=["a", "b"], where="work.toml:7: plans.careful")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("small ? tests > large", True),
        ("small*3 ? most", True),
        ("@3 vote", True),
        ("large leads small", True),
        ("a + b bid", True),
        ("small=>large", True),
        ("cohere/command-r+", False),
        ("vertex_ai/claude-3-5-sonnet@20240620", False),
        ("openai/gpt-5-mini", False),
        ("voter", False),
        ("scrimp/best", False),
    ],
)
def test_what_is_meant_as_a_plan(text, meant):
    assert is_plan(text) is meant


def test_gates_are_what_follows_a_question_mark():
    assert gates_in("a ? has:42 > b ? re:x? > @2 ? most > c ? checks => d ? json") == ("has:42", "re:x?", "json")


def test_whom_a_pick_comes_to():
    utility = {"small": 0.3, "medium": 0.5, "large": 0.4, "tiny": 0.1}
    cost = {"small": 10, "medium": 100, "large": 1000, "tiny": 10}
    plan = read_plan("@2 ? agree > @cheap1 ? most > large", list(utility), [])
    recruited, found = recruit(plan, utility, cost)
    assert str(recruited) == "medium + small ? agree > tiny ? most > large"
    assert found == {"@2": ("medium", "small"), "@cheap1": ("tiny",)}
    cheap, _ = recruit(read_plan("@cheap3 vote", list(utility), []), utility, cost)
    assert cheap.stages[0].arms == ("small", "tiny", "medium")  # of two that cost the same the better goes first
    few, found = recruit(read_plan("@9 => large", list(utility), []), utility, cost)
    assert few.stages[0].arms == ("medium", "small", "tiny")
    assert named_arms(plan) == ("large",)
    none, found = recruit(
        read_plan("small + medium + large + tiny ? agree > @2 vote", list(utility), []), utility, cost
    )
    assert (none.stages[1].arms, found) == ((), {"@2": ()})
    twice, found = recruit(read_plan("@1 ? tests > @1", list(utility), ["tests"]), utility, cost)
    assert str(twice) == "medium ? tests > large"
    assert list(found) == ["@1", "@1 of stage 2"]


def test_of_a_ladder_one_rung_is_recruited_while_there_are_other_models():
    utility = {"s:low": 3.0, "s:high": 2.5, "a": 2.0, "b": 1.0}
    cost = {"s:low": 3, "s:high": 9, "a": 1, "b": 2}
    arms = list(utility)
    assert str(recruit(read_plan("@3 vote", arms, []), utility, cost)[0]) == "s:low + a + b vote"
    assert str(recruit(read_plan("@4 vote", arms, []), utility, cost)[0]) == "s:low + a + b + s:high vote"
    assert str(recruit(read_plan("@2 => s:high", arms, []), utility, cost)[0]) == "a + b => s:high"
    assert str(recruit(read_plan("a + b ? agree > @1", arms, []), utility, cost)[0]) == "a + b ? agree > s:low"


def test_picks():
    assert pick_of("@cheap12") == Pick(12, cheapest=True)
    assert pick_of("large") is None
    assert str(Pick(3)) == "@3"


def test_twelve_arms_are_the_most():
    assert MOST_ASKED == 12
    assert len(read("@11 => large").stages[0].arms) == 1
    with pytest.raises(UsageError):
        read("@11 => large => small")
