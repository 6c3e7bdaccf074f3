"""The choice: utility, minimum quality, ties, guards, exploration, propensities that are exact, and what the choice turned on."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.deciding.policy import NEAR_TIE, Barrier, Option, choose, utility
from scrimp.routing.deciding.price_share import price_share


def option(arm, quality, cost_usd, **changes):
    values = {
        "arm": arm,
        "model": f"openai/{arm}",
        "quality": quality,
        "quality_low": max(0.0, quality - 0.1),
        "quality_high": min(1.0, quality + 0.1),
        "basis": "calibrated",
        "input_tokens": 10,
        "output_tokens_p50": 100,
        "output_tokens_p90": 300,
        "input_bound": 40,
        "output_limit": 4096,
        "cost_nano": None if cost_usd is None else round(cost_usd * 1e9),
        "cost_p90_nano": None if cost_usd is None else round(cost_usd * 2e9),
        "bound_nano": None if cost_usd is None else round(cost_usd * 1e10),
    }
    return Option(**{**values, **changes})


def pick(options, seed=0, **wishes):
    return choose(options, **{"wtp_usd": 0.1, "rng": random.Random(seed), **wishes})


def test_by_hand():
    """0.1 * 0.8 - 0.001 = 0.079 beats 0.1 * 0.9 - 0.02 = 0.07; at wtp 1 it is the other way about."""
    options = [option("small", 0.8, 0.001), option("large", 0.9, 0.02)]
    assert utility(options[0], 0.1) == pytest.approx(0.079)
    assert pick(options).arm == "small"
    assert pick(options, wtp_usd=1.0).arm == "large"
    # They are worth the same at (0.02 - 0.001) / (0.9 - 0.8) = 0.19.
    large = pick(options).weighed[1]
    assert large.flip_wtp_usd == pytest.approx(0.19)
    assert large.flip_cost_usd == pytest.approx(0.1 * 0.9 - 0.079)


@pytest.mark.parametrize("side", [-1e-6, 1e-6])
def test_the_flip_points_are_where_the_choice_flips(side):
    options = [option("small", 0.8, 0.001), option("large", 0.9, 0.02)]
    weighed = pick(options).weighed
    assert pick(options, wtp_usd=weighed[1].flip_wtp_usd + side).arm == ("large" if side > 0 else "small")
    dearer = option("small", 0.8, weighed[0].flip_cost_usd + side)
    assert pick([dearer, options[1]]).arm == ("large" if side > 0 else "small")


def test_minimum_quality_takes_the_cheapest_that_reaches_it():
    options = [option("a", 0.6, 0.001), option("b", 0.8, 0.004), option("c", 0.8, 0.003), option("d", 0.95, 0.1)]
    assert pick(options, min_quality=0.75).arm == "c"
    assert pick(options, min_quality=0.9).arm == "d"
    assert pick(options, min_quality=0.99).arm == "d", "none reaches it: the best there is"


def test_ties_one_arm_and_no_arm():
    assert pick([option("a", 0.5, 0.01), option("b", 0.5, 0.01)]).arm == "a", "exact ties go by the profile's order"
    assert pick([option("a", 0.5, 0.001), option("b", 0.5, 0.002)]).arm == "a"
    only = pick([option("a", 0.1, 0.5)])
    assert (only.arm, only.propensity) == ("a", 1.0)
    none = pick([option("a", 0.5, 0.01, infeasible="no"), option("b", 0.5, None)])
    assert none.arm is None
    assert none.weighed[0].why == "no"
    assert pick([]).arm is None


def test_what_was_not_a_draw_has_no_propensity():
    options = [option("small", 0.8, 0.001), option("large", 0.9, 0.02)]
    assert pick(options, forced="large").propensity is None
    guarded = pick(options, default_arm="large", guard="unlike anything")
    assert (guarded.arm, guarded.propensity) == ("large", None)
    capped = pick([options[0], option("large", 0.9, 0.02, infeasible="too dear", barrier=Barrier.CAP)])
    assert (capped.arm, capped.propensity) == ("small", None)
    assert pick([option("small", 0.8, 0.001, limit_lowered=True), options[1]]).propensity is None


def test_a_guard_whose_default_is_not_feasible_takes_the_best_there_is():
    options = [option("small", 0.8, 0.001), option("large", 0.9, 0.02, infeasible="window")]
    assert pick(options, default_arm="large", guard="unlike anything").arm == "small"


def test_propensities_over_100_000_draws():
    """Greedy 1 - eps + eps/k, the other near-tied arms eps/k each, the rest never: as logged and as drawn."""
    eps, k, n = 0.2, 3, 100_000
    options = [
        option("a", 0.800, 0.001),
        option("b", 0.795, 0.001),
        option("c", 0.790, 0.001),
        option("far", 0.5, 0.001),
    ]
    assert NEAR_TIE * 0.1 > 0.1 * (0.8 - 0.79)
    rng = random.Random(7)
    taken, logged = Counter(), {}
    for _ in range(n):
        choice = choose(options, wtp_usd=0.1, explore=eps, rng=rng)
        taken[choice.arm] += 1
        logged[choice.arm] = choice.propensity
        assert choice.explored == (choice.arm != "a")
    assert logged == pytest.approx({"a": 1 - eps + eps / k, "b": eps / k, "c": eps / k})
    assert taken["far"] == 0
    for arm, propensity in logged.items():
        error = 4 * (propensity * (1 - propensity) / n) ** 0.5
        assert taken[arm] / n == pytest.approx(propensity, abs=error)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
    st.floats(1e-6, 10),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.integers(0, 100),
)
def test_any_distribution_sums_to_one_over_feasible_arms(arms, wtp, min_quality, explore, seed):
    options = [option(f"arm{n}", quality, cost) for n, (quality, cost) in enumerate(arms)]
    choice = choose(options, wtp_usd=wtp, min_quality=min_quality, explore=explore, rng=random.Random(seed))
    total = sum(weighed.probability for weighed in choice.weighed)
    assert total == pytest.approx(1.0)
    assert choice.propensity == pytest.approx(
        next(weighed.probability for weighed in choice.weighed if weighed.option.arm == choice.arm)
    )
    assert choice.propensity > 0 or explore == 0


def test_a_seed_repeats_the_draw():
    options = [option("a", 0.8, 0.001), option("b", 0.8, 0.001)]
    draws = [[pick(options, seed=seed, explore=0.5).arm for seed in range(50)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert set(draws[0]) == {"a", "b"}


ANY_ARM = st.builds(option, st.just("a"), st.floats(0.0, 1.0), st.one_of(st.none(), st.floats(0.0, 10.0)))


def test_price_share_by_hand():
    """$0.018 dearer, and 0.07 better at $0.10 a right answer, which is $0.007: 18 / 25 of it is price."""
    small, large = option("small", 0.8, 0.002), option("large", 0.87, 0.02)
    assert price_share(small, large, 0.1) == pytest.approx(0.72)
    assert price_share(small, large, 1.0) == pytest.approx(0.018 / 0.088)


def test_price_share_at_its_ends_and_where_something_is_not_known():
    small = option("small", 0.8, 0.002)
    assert price_share(small, option("dearer", 0.8, 0.003), 0.1) == 1.0
    assert price_share(small, option("better", 0.9, 0.002), 0.1) == 0.0
    assert price_share(small, option("twin", 0.8, 0.002), 0.1) is None
    assert price_share(small, option("unpriced", 0.9, None), 0.1) is None
    assert price_share(small, option("better", 0.9, 0.002), 0.0) is None, "worth nothing, and no dearer"


@given(ANY_ARM, ANY_ARM, st.floats(0.0, 100.0))
def test_price_share_is_a_share_and_the_same_from_either_side(one, other, wtp_usd):
    share = price_share(one, other, wtp_usd)
    assert share == price_share(other, one, wtp_usd)
    assert share is None or 0.0 <= share <= 1.0
    assert (share is None) >= (one.cost_nano is None or other.cost_nano is None)


PRICED = ANY_ARM.filter(lambda each: each.cost_nano is not None)


@given(PRICED, PRICED.map(lambda each: replace(each, arm="b")))
def test_half_of_it_is_price_where_the_choice_flips(one, other):
    """At the wtp at which two arms are worth the same, what the one saves is what the other is better by."""
    wtp = pick([one, other]).weighed[1].flip_wtp_usd or pick([other, one]).weighed[1].flip_wtp_usd
    if wtp is not None and 1e-6 < wtp < 1e6:
        assert price_share(one, other, wtp) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bases", "taken"),
    [(("prior", "prior"), "a"), (("calibrated", "prior"), "a"), (("calibrated", "calibrated"), "b")],
)
def test_two_points_that_nobody_has_measured_are_not_paid_for(bases, taken):
    """A dearer arm that may be a point better: outcomes may say so, a guess may not."""
    cheap, dear = option("a", 0.95, 0.0001), option("b", 0.965, 0.0010)
    arms = [replace(each, basis=basis) for each, basis in zip((cheap, dear), bases, strict=True)]
    choice = choose(arms, wtp_usd=0.1, rng=random.Random(0))
    assert choice.arm == taken
    if taken == "a":
        assert "nobody has measured" in choice.weighed[1].why
        flip = choice.weighed[0].flip_cost_usd
        for cost, arm in ((flip * 0.999, "a"), (flip * 1.001, "b")):
            moved = [replace(arms[0], cost_nano=round(cost * 1e9)), arms[1]]
            assert choose(moved, wtp_usd=0.1, rng=random.Random(0)).arm == arm
        wtp = choice.weighed[1].flip_wtp_usd
        assert wtp is None, "at no price of an answer is a point worth it that nobody has measured"


def test_more_than_two_points_are_paid_for_unmeasured():
    arms = [replace(option("a", 0.80, 0.0001), basis="prior"), replace(option("b", 0.90, 0.0010), basis="prior")]
    choice = choose(arms, wtp_usd=0.1, rng=random.Random(0))
    assert choice.arm == "b"
    wtp = choice.weighed[0].flip_wtp_usd
    for worth, arm in ((wtp * 0.99, "a"), (wtp * 1.01, "b")):
        assert choose(arms, wtp_usd=worth, rng=random.Random(0)).arm == arm
