"""Placing an unseen model: towards the truth as outcomes come in, with an interval that covers it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scrimp.routing.learn.collecting.probe_suite import in_order
from scrimp.routing.learn.fitting.prior import Beside, place, with_ability
from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router
from scrimp.routing.router.in_force import shipped_folder
from scrimp.routing.router.placed import Placed

BEFORE = Placed(0.0, 0.5, "what a test says")
ARM = ArmInfo(name="new", model="acme/new", tier="medium", placed=BEFORE)
NO_LOG = np.zeros(5, dtype=bool)


@pytest.fixture(scope="module")
def router():
    return read_router(shipped_folder())


def prompts(router, n, seed):
    rng = np.random.default_rng(seed)
    e = router.weights.landmarks[rng.integers(len(router.weights.landmarks), size=n)]
    s = router.weights.surface_mean + rng.normal(size=(n, len(FEATURE_NAMES))) * router.weights.surface_sd
    return e, s


def outcomes(router, e, s, ability, seed):
    logit = router.view(router.features(e, s)).logit(np.array([ability]) - router.prior["ability_mean"])[:, 0]
    return (np.random.default_rng(seed).random(len(e)) < sigmoid(logit)).astype(float)


def on_suite(router, score, *, arm=ARM):
    """Place an arm by what it got on the first prompts of the suite."""
    e, s = prompts(router, len(score), 0)
    return place(router, e, s, np.asarray(score, dtype=float), arm, level=levels(len(score)))


def levels(n):
    return np.array([item.level for item in in_order()[:n]])


def curve(router, placed):
    """P(right) at the whole levels, 1 to 5."""
    return placed.p_right(router, np.arange(1.0, 6.0), NO_LOG)


def test_nothing_tried_leaves_the_prior(router):
    placed = place(router, *prompts(router, 5, 0), np.full(5, np.nan), ARM)
    assert placed.n == 0
    found = (placed.median, placed.sd, placed.low, placed.high)
    assert found == pytest.approx((BEFORE.ability, BEFORE.sd, BEFORE.low, BEFORE.high), abs=0.02)
    assert (placed.prior_low, placed.prior_high) == pytest.approx((BEFORE.low, BEFORE.high))
    assert placed.prior_basis == BEFORE.basis


def test_the_interval_covers_the_truth_and_narrows(router):
    covered, errors = [], {20: [], 80: []}
    for seed in range(100):
        truth = BEFORE.ability + BEFORE.sd * np.random.default_rng(seed).normal()
        e, s = prompts(router, 80, seed)
        score = outcomes(router, e, s, truth, seed + 1000)
        for n in (20, 80):
            placed = place(router, e[:n], s[:n], score[:n], ARM)
            errors[n].append(abs(placed.median - truth))
            covered.append(placed.low <= truth <= placed.high)
    assert 0.72 < np.mean(covered) < 0.9
    assert np.mean(errors[80]) < np.mean(errors[20]) < BEFORE.sd * 0.8


@pytest.mark.parametrize("truth", [-3.0, -1.5, 0.0, 2.0])
def test_judged_levels_stand_in_for_the_router(router, truth):
    """However far the truth lies from the prior, four rounds of the suite find it."""
    level = np.tile(levels(70), 4)
    e, s = prompts(router, len(level), 3)
    right = sigmoid(router.shared_logit(level, np.array([truth]))[:, 0])
    score = (np.random.default_rng(4).random(len(level)) < right).astype(float)
    assert place(router, e, s, score, ARM, level=level).median == pytest.approx(truth, abs=0.4)


def test_nothing_right_overrules_tier_and_price(router):
    placed = on_suite(router, np.zeros(18))
    assert curve(router, placed)[0] < 0.35, "a level that any model is right on"
    assert placed.high < -2.0, "the interval does not reach back to what was believed"
    assert placed.low > -9.0


def test_all_right_is_near_the_top(router):
    placed = on_suite(router, np.ones(18))
    assert placed.median > 1.0
    assert (curve(router, placed) > curve(router, on_suite(router, np.zeros(0)))).all()
    assert curve(router, placed)[3] > 0.65
    assert np.isfinite([placed.median, placed.sd, placed.low, placed.high]).all()


def test_what_the_curve_says_leaves_the_prior(router):
    right = sigmoid(router.shared_logit(levels(70), np.array([BEFORE.ability]))[:, 0])
    placed = on_suite(router, right)
    assert placed.median == pytest.approx(BEFORE.ability, abs=0.05)
    assert placed.sd < 0.7 * BEFORE.sd


def test_right_on_hard_ones_says_more_than_right_on_easy_ones(router):
    level = np.repeat([1.0, 5.0], 5)
    e, s = prompts(router, 10, 0)
    easy, hard = ((level == of).astype(float) for of in (1.0, 5.0))
    only = np.where(level == 5.0, 1.0, np.nan)
    both = [place(router, e, s, score, ARM, level=level).median for score in (easy, only)]
    assert both[0] < BEFORE.ability + 0.1 < both[1]
    assert place(router, e, s, hard, ARM, level=level).median < both[1]


def test_where_prior_and_outcomes_disagree_the_interval_is_wider(router):
    right = sigmoid(router.shared_logit(levels(20), np.array([BEFORE.ability]))[:, 0])
    assert on_suite(router, np.ones(20)).sd > 2.0 * on_suite(router, right).sd


def test_the_prior_counts_by_its_own_width(router):
    loose = replace(ARM, placed=replace(BEFORE, sd=1.0))
    score = np.ones(12)
    assert on_suite(router, score, arm=loose).median > on_suite(router, score).median + 0.3


def test_a_second_probe_is_not_more_evidence(router):
    """The same prompts asked twice of one arm: the second placement stands in place of the first."""
    score = (levels(20) < 3.0).astype(float)
    first = on_suite(router, score)
    again = on_suite(with_ability(router, ARM.model, first, version="probed"), score)
    assert again == first


def test_a_placed_arm_is_predicted_by_its_ability(router):
    e, s = prompts(router, 60, 6)
    placed = place(router, e, s, np.zeros(60), ARM)
    lower = with_ability(router, ARM.name, placed, version="probed")
    before, after = (r.predict(e, s, [ARM]) for r in (router, lower))
    assert (after.quality < before.quality + 1e-9).all()
    assert (after.quality_high - after.quality_low).mean() < (before.quality_high - before.quality_low).mean()
    assert after.basis == ("prior",)
    assert lower.placed(ARM).ability == placed.median


def test_what_was_learnt_under_the_arms_name_gives_way_to_a_placement_under_its_model(router):
    earlier = with_ability(router, ARM.name, on_suite(router, np.ones(20)), version="before")
    placed = on_suite(router, np.zeros(20))
    assert with_ability(earlier, ARM.model, placed, version="new").placed(ARM).ability > placed.median
    assert with_ability(earlier, ARM.model, placed, version="new", of_arm=ARM.name).placed(ARM).ability == placed.median


def test_a_log_harder_than_it_looks_is_told_by_what_other_arms_got(router):
    known = ArmInfo(name="old", model="acme/old", placed=Placed(0.0, 0.3, "what a test says"))
    errors, alone, covered = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = BEFORE.ability + BEFORE.sd * rng.normal()
        other = 0.3 * rng.normal()
        e, s = prompts(router, 40, seed)
        logit = router.view(router.features(e, s)).logit(np.array([truth, other]) - router.prior["ability_mean"]) - 1.5
        score = (rng.random(logit.shape) < sigmoid(logit)).astype(float)
        beside = Beside((known,) * 40, e, s, score[:, 1], np.ones(40))
        own = np.full(40, np.nan)
        placed = place(router, e, s, score[:, 0], ARM, level=own, beside=beside)
        assert placed.shift_sd is not None
        errors.append(placed.median - truth)
        alone.append(place(router, e, s, score[:, 0], ARM).median - truth)
        covered.append(placed.low <= truth <= placed.high)
    assert abs(np.mean(errors)) < 0.5 * abs(np.mean(alone))
    assert np.mean(covered) > 0.72


def test_the_shift_of_a_log_is_part_of_the_chance(router):
    e, s = prompts(router, 30, 9)
    other = ArmInfo(name="old", model="acme/old", placed=Placed(0.0, 0.1, "what a test says"))
    beside = Beside((other,) * 30, e, s, np.zeros(30), np.ones(30))
    placed = place(router, e, s, np.zeros(30), ARM, level=np.full(30, np.nan), beside=beside)
    assert placed.shift < -0.5
    at = np.arange(1.0, 6.0)
    assert (placed.p_right(router, at, ~NO_LOG) < placed.p_right(router, at, NO_LOG)).all()


def test_an_outcome_of_no_weight_says_nothing(router):
    e, s = prompts(router, 10, 7)
    placed = place(router, e, s, np.ones(10), ARM, weight=np.zeros(10))
    assert (placed.median, placed.sd) == pytest.approx((BEFORE.ability, BEFORE.sd), abs=0.02)
