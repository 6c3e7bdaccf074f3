"""What is said of a prompt before it is sent, on figures made by hand: who cannot take it, and how risky it is."""

import json
import random

import pytest

from scrimp.profiles.schema import Guard
from scrimp.routing.deciding.outlook import feasibility, held_back, risk_of, way_out
from scrimp.routing.deciding.policy import Barrier, Option, choose
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.guard.verdict import Outcome


def option(arm, quality, cost_usd=0.001, barrier=None, **more):
    nano = round(cost_usd * 1e9)
    return Option(
        arm=arm, model=f"openai/{arm}", quality=quality, quality_low=quality - 0.1, quality_high=quality + 0.1,
        basis="prior", input_tokens=10, output_tokens_p50=100, output_tokens_p90=300, input_bound=40,
        output_limit=4096, cost_nano=nano, cost_p90_nano=2 * nano, bound_nano=10 * nano, barrier=barrier,
        infeasible=None if barrier is None else f"{barrier}", **more,
    )  # fmt: skip


def decision(*options, **wishes):
    choice = choose(options, wtp_usd=0.1, rng=random.Random(0), **wishes)
    return Decision(
        id="d", profile="p", choice=choice, wtp_usd=0.1, min_quality=0.0, explore=0.0, ood=0.5,
        router_version="r", embedder_id="e", input_tokens=10,
    )  # fmt: skip


SMALL, LARGE = option("small", 0.2), option("large", 0.4, 0.05)


@pytest.mark.parametrize(
    ("options", "wishes", "arm"),
    [
        ((SMALL, LARGE), {}, "large"),  # though small is the one that is worth most
        ((SMALL, LARGE), {"forced": "small"}, "small"),
        ((SMALL, LARGE), {"sent": "small"}, "small"),
        ((SMALL, LARGE), {"stays": "small"}, "small"),
        ((SMALL, option("large", 0.4, 0.05, Barrier.CAP)), {}, "small"),
        ((option("small/whole", 0.2), option("small/passages", 0.3), LARGE), {"forced": "small"}, "small/passages"),
    ],
)
def test_the_best_that_may_answer_counts(options, wishes, arm):
    made = decision(*options, **wishes)
    found = risk_of(made, Guard(risky="warn", risk_below=0.25))
    assert found.detail["arm"] == arm
    quality = next(each.quality for each in options if each.arm == arm)
    assert found.detail["quality"] == quality
    assert (found.detail["low"], found.detail["high"]) == (pytest.approx(quality - 0.1), pytest.approx(quality + 0.1))
    assert found.outcome is (Outcome.WARNED if quality < 0.25 else Outcome.PASSED)


@pytest.mark.parametrize(
    ("risky", "outcome"),
    [("warn", "warned"), ("ask", "refused"), ("refuse", "refused"), ("arm:large", "changed")],
)
def test_each_way_has_its_outcome(risky, outcome):
    made = decision(SMALL, LARGE)
    found = risk_of(made, Guard(risky=risky, risk_below=0.41))
    assert (found.outcome, "below 41% (guard.risk_below)" in found.why) == (outcome, True)
    assert risk_of(made, Guard(risky=risky, risk_below=0.4)).outcome is Outcome.PASSED  # it is not below
    assert json.loads(json.dumps(found.to_dict()))["detail"]["threshold"] == 0.41


def test_nothing_is_said_where_nothing_is_asked_for_or_can_be_said():
    assert risk_of(decision(SMALL), Guard(risk_below=1.0)) is None
    assert risk_of(decision(option("small", 0.2, barrier=Barrier.CAP)), Guard(risky="warn", risk_below=1.0)) is None


def test_what_an_earlier_guard_sent_stays_where_it_is():
    found = risk_of(decision(SMALL, LARGE, sent="small"), Guard(risky="arm:large", risk_below=0.5))
    assert found.outcome is Outcome.WARNED


def test_the_way_out_names_an_abler_arm_else_a_cap():
    guard = Guard(risky="refuse", risk_below=0.3)
    assert "ask large (-m large: 40%)" in way_out(decision(SMALL, LARGE, forced="small"), guard)
    dear = option("large", 0.4, 0.05, Barrier.CAP)
    assert "raise the cap that keeps it from large (40%" in way_out(decision(SMALL, dear), guard)
    assert "take a profile with an abler arm" in way_out(decision(SMALL), guard)


def test_a_decision_that_is_held_back_has_no_arm_that_could_take_it():
    made = held_back(decision(SMALL, option("large", 0.4, barrier=Barrier.WINDOW)), "too risky")
    options = [each.option for each in made.choice.weighed]
    assert [(each.barrier, each.infeasible) for each in options] == [
        (Barrier.RULE, "too risky"),
        (Barrier.WINDOW, "window"),
    ]
    assert (made.arm, made.choice.propensity, made.fallbacks()) == (None, None, [])
    assert Decision.from_dict(json.loads(json.dumps(made.to_dict()))).arm is None


# -- who can take it ---------------------------------------------------------------------------------------------------


def test_an_arm_that_can_take_it_at_one_reading_can_take_it():
    whole, passages = option("small/whole", 0.5, barrier=Barrier.WINDOW), option("small/passages", 0.4)
    assert feasibility([whole, passages], {}) is None
    found = feasibility([whole, option("large/whole", 0.5)], {})
    assert (found.outcome, found.detail["arms"], found.detail["n_able"]) == ("changed", {"small": "window"}, 1)


@pytest.mark.parametrize("barrier", [each for each in Barrier if each not in ("capability", "window", "unbounded")])
def test_what_is_not_about_the_prompt_is_not_said_of_it(barrier):
    assert feasibility([option("small", 0.5, barrier=barrier)], {}) is None


def test_what_all_lack_is_named_where_none_can():
    bad = [option(name, 0.5, barrier=Barrier.CAPABILITY) for name in ("a", "b")]
    found = feasibility(bad, {"a": ["pdf", "vision"], "b": ["vision"]})
    assert (found.outcome, found.detail["needs"]) == ("refused", ["vision"])
    assert found.why.startswith("no arm can read an image (a: capability; b: capability)")
    mixed = feasibility([bad[0], option("b", 0.5, barrier=Barrier.WINDOW)], {"a": ["vision"]})
    assert mixed.why.startswith("no arm can take this prompt (")


def test_of_many_arms_a_few_are_named():
    many = [option(f"a{n}", 0.5, barrier=Barrier.CAPABILITY) for n in range(50)]
    found = feasibility([*many, option("b", 0.5)], {})
    assert found.why.count("capability") == 6
    assert "; and 44 more" in found.why
    assert len(found.detail["arms"]) == 50
