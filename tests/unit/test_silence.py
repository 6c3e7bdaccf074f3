"""Reading on where passages say nothing: what that is worth by how likely the text is silent, and when it is chosen."""

import pytest

from scrimp.routing.plans.grammar import read_plan
from scrimp.routing.plans.power import Observation, learn_power, prior_power
from scrimp.routing.plans.silence import UNANSWERABLE, fires, reading_on, shown_to_pay, told_of_silence
from scrimp.routing.plans.tariff import Flat
from scrimp.routing.plans.value import Gate, Planner

ARMS = ["small/passages", "small/whole", "large/passages", "large/whole"]
COSTS = dict(zip(ARMS, (1_000, 10_000, 10_000, 100_000), strict=True))
SEEN = [Observation(n % 5 != 0, 1.0) for n in range(20)] + [Observation(n % 3 != 0, 0.0) for n in range(15)]


def right(quality, unanswerable):
    """P(right) of `small/passages ? found > small/whole`."""
    gate = Gate("found", told_of_silence(prior_power("found"), unanswerable), kind="found")
    plan = read_plan("small/passages ? found > small/whole", ["small"], ["found"])
    tariff = Flat(COSTS, COSTS)
    return float(Planner((gate,)).values((plan,), ARMS[:2], quality, tariff)[0][0])


def test_the_prior_is_that_of_texts_of_which_some_are_silent():
    right_fires, wrong_fires = fires(UNANSWERABLE)
    power = prior_power("found")
    assert power.true_positive == pytest.approx(1 - right_fires, abs=0.005)
    assert power.false_positive == pytest.approx(1 - wrong_fires, abs=0.005)
    assert told_of_silence(power, UNANSWERABLE) == power


def test_reading_on_gains_on_answerable_questions_and_loses_the_more_of_them_are_not():
    """By LaRA: 1.5 to 3.6 points over passages on answerable ones; 8 points lost by gpt-4o-mini with 39% others."""
    answerable = right((0.62, 0.66), 0.0) - 0.62
    assert 0.015 <= answerable <= 0.036
    mixed = right((0.676, 0.615), 0.39) - 0.676
    assert -0.10 <= mixed <= -0.04
    worth = [right((0.65, 0.65), u) for u in (0.0, 0.1, 0.2, 0.4, 0.6, 0.9)]
    assert worth == sorted(worth, reverse=True)
    assert len(set(worth)) == len(worth)


def test_plans_that_read_on_are_weighed_once_labels_stand_behind_their_check():
    unseen, seen = (
        Gate("found", prior_power("found"), kind="found"),
        Gate("found", learn_power("found", SEEN), kind="found"),
    )
    assert reading_on(COSTS, (unseen,)) == []
    assert [str(plan) for plan in reading_on(COSTS, (seen,))] == [
        "small/passages ? found > small/whole",
        "small/passages ? found > large/whole",
        "large/passages ? found > large/whole",
    ]


@pytest.mark.parametrize(
    ("text", "learned", "shown"),
    [
        ("small/passages ? found > large/whole", False, False),
        ("small/passages ? found > large/whole", True, True),
        ("small ? found > large", False, False),
        ("small/passages ? json > large/whole", False, False),
        ("small ? json > large", False, True),
        ("small/passages ? json > large/passages", False, True),
        ("small/split", True, False),
        ("small ? json > small/split => large", True, False),
    ],
)
def test_what_is_new_is_not_chosen_unasked_before_labels_speak(text, learned, shown):
    power = learn_power("found", SEEN) if learned else prior_power("found")
    gates = (
        Gate("found", power, kind="found"),
        Gate("json", learn_power("json", SEEN if learned else ()), kind="json"),
    )
    assert shown_to_pay(read_plan(text, ["small", "large"], ["found", "json"]), gates) is shown
