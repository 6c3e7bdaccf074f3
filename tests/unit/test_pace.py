"""Pacing: never above the preset, nothing on plan, and a month's spending that ends under its cap."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.deciding.pace import Pace, pace, pace_factor

shares = st.floats(0, 1, allow_nan=False)


@given(st.floats(0, 5), shares)
def test_pacing_never_raises_what_an_answer_is_worth(used, gone):
    assert 0.0 <= pace_factor(used, gone) <= 1.0


@given(shares, shares)
def test_on_or_behind_the_calendar_nothing_changes(used, gone):
    if used <= gone:
        assert pace_factor(used, gone) == 1.0
    elif not math.isclose(1 - used, 1 - gone, rel_tol=1e-9):
        assert pace_factor(used, gone) < 1.0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.999))
def test_more_spent_is_never_worth_more(one, other, gone):
    low, high = sorted((one, other))
    assert pace_factor(high, gone) <= pace_factor(low, gone)


@pytest.mark.parametrize(
    ("used", "gone", "factor"),
    [(0, 0, 1), (1, 1, 1), (1.2, 1, 0), (1, 0.5, 0), (0.75, 0.5, 1 / 16), (0.55, 0.1, 1 / 16)],
)
def test_by_hand(used, gone, factor):
    assert pace_factor(used, gone) == pytest.approx(factor)


def test_the_tightest_month_counts():
    assert pace([], 0.5) is None
    assert pace([("month", 100, 75), ("shared:month", 100, 20)], 0.5) == Pace(1 / 16, "month", 0.75, 0.5)
    assert pace([("month", 0, 0)], 0.5).factor == 0.0


def spend_a_month(*, paced, demand, cap_usd=20.0, wtp_usd=0.1, seed=0):
    """Route a month of prompts, as the policy does: the dearer arm wherever what it adds is worth its price.

    `demand` is what the month would cost unpaced, as a multiple of the cap. Returns (share of the cap used at the end,
    when the cap was hit or None, every wtp used).
    """
    rng = random.Random(seed)
    prompts = [(rng.betavariate(1, 3), rng.lognormvariate(0, 1)) for _ in range(4000)]  # quality gained, length
    cheap, dear = 1.0, 25.0
    unpaced = sum((dear if wtp_usd * gain > 0.02 * size else cheap) * size for gain, size in prompts)
    unit = demand * cap_usd / unpaced
    spent, hit, worths = 0.0, None, []
    for n, (gain, size) in enumerate(prompts):
        gone = n / len(prompts)
        worth = wtp_usd * (pace_factor(spent / cap_usd, gone) if paced else 1.0)
        worths.append(worth)
        cost = unit * size * (dear if worth * gain > 0.02 * size else cheap)
        if spent + cost > cap_usd:
            hit = gone if hit is None else hit
            continue
        spent += cost
    return spent / cap_usd, hit, worths


@pytest.mark.parametrize("demand", [0.5, 0.9, 1.2, 2.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_paced_month_ends_under_its_cap(demand, seed):
    used, hit, worths = spend_a_month(paced=True, demand=demand, seed=seed)
    assert max(worths) <= 0.1
    assert used <= 1.0
    assert hit is None or hit > 0.97
    if demand > 1.1:
        assert used > 0.95  # and what may be spent is spent
        _, unpaced_hit, _ = spend_a_month(paced=False, demand=demand, seed=seed)
        assert unpaced_hit is not None
        assert unpaced_hit < 0.9
