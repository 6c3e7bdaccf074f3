"""Placing an unseen model: towards the truth as outcomes come in, with an interval that covers it."""

from __future__ import annotations

import numpy as np
import pytest

from scrimp.routing.learn.fitting.prior import Beside, place, with_ability
from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router
from scrimp.routing.router.in_force import shipped_folder

ARM = ArmInfo(name="new", model="acme/new", tier="medium")


@pytest.fixture(scope="module")
def router():
    return read_router(shipped_folder())


def prompts(router, n, seed):
    rng = np.random.default_rng(seed)
    e = router.weights.landmarks[rng.integers(len(router.weights.landmarks), size=n)]
    s = router.weights.surface_mean + rng.normal(size=(n, len(FEATURE_NAMES))) * router.weights.surface_sd
    return e, s


def outcomes(router, e, s, ability, seed):
    logit = router.shared_logit(router.features(e, s), np.array([ability]))[:, 0]
    return (np.random.default_rng(seed).random(len(e)) < sigmoid(logit)).astype(float)


def test_nothing_tried_leaves_the_prior(router):
    placed = place(router, *prompts(router, 5, 0), np.full(5, np.nan), ARM)
    assert placed.mean == pytest.approx(router.prior["ability_medium"])
    assert placed.sd == pytest.approx(router.prior["ability_sd"])
    assert placed.n == 0


def test_the_interval_covers_the_truth_and_narrows(router):
    covered, errors = [], {20: [], 80: []}
    for seed in range(100):
        truth = router.prior["ability_medium"] + router.prior["ability_sd"] * np.random.default_rng(seed).normal()
        e, s = prompts(router, 80, seed)
        score = outcomes(router, e, s, truth, seed + 1000)
        for n in (20, 80):
            placed = place(router, e[:n], s[:n], score[:n], ARM)
            errors[n].append(abs(placed.mean - truth))
            covered.append(placed.low <= truth <= placed.high)
    assert 0.83 < np.mean(covered) < 0.97
    assert np.mean(errors[80]) < np.mean(errors[20]) < router.prior["ability_sd"] * 0.8


def test_known_difficulties_stand_in_for_the_router(router):
    e, s = prompts(router, 200, 3)
    hard = np.linspace(-2, 2, 200)
    rng = np.random.default_rng(4)
    truth = 1.0
    score = (rng.random(200) < sigmoid(-hard + truth - router.prior["ability_mean"])).astype(float)
    placed = place(router, e, s, score, ARM, difficulty=hard)
    assert placed.mean == pytest.approx(truth, abs=0.4)


def test_all_right_stays_finite(router):
    e, s = prompts(router, 60, 5)
    placed = place(router, e, s, np.ones(60), ARM)
    assert np.isfinite([placed.mean, placed.sd]).all()
    assert placed.mean > placed.prior_mean


def test_a_placed_arm_is_predicted_by_its_ability(router):
    e, s = prompts(router, 60, 6)
    placed = place(router, e, s, np.zeros(60), ARM)
    lower = with_ability(router, ARM.name, placed, version="probed")
    before, after = (r.predict(e, s, [ARM]) for r in (router, lower))
    assert (after.quality < before.quality + 1e-9).all()
    assert (after.quality_high - after.quality_low).mean() < (before.quality_high - before.quality_low).mean()
    assert after.basis == ("prior",)


def test_a_log_harder_than_it_looks_is_told_by_what_other_arms_got(router):
    known = ArmInfo(name="old", model="acme/old", tier="medium")
    errors, alone, covered = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = router.prior["ability_medium"] + 0.5 * rng.normal()
        other = router.prior["ability_medium"] + 0.3 * rng.normal()
        shift = -1.0
        e, s = prompts(router, 40, seed)
        x = router.features(e, s)
        logit = router.shared_logit(x, np.array([truth, other])) + shift
        score = (rng.random(logit.shape) < sigmoid(logit)).astype(float)
        beside = Beside((known,) * 40, e, s, score[:, 1], np.ones(40))
        own = np.full(40, np.nan)
        placed = place(router, e, s, score[:, 0], ARM, difficulty=own, beside=beside)
        assert placed.shift_sd is not None
        errors.append(placed.mean - truth)
        alone.append(place(router, e, s, score[:, 0], ARM).mean - truth)
        covered.append(placed.low <= truth <= placed.high)
    assert abs(np.mean(errors)) < 0.5 * abs(np.mean(alone))
    assert np.mean(covered) > 0.9


def test_an_outcome_of_no_weight_says_nothing(router):
    e, s = prompts(router, 10, 7)
    placed = place(router, e, s, np.ones(10), ARM, weight=np.zeros(10))
    assert placed.mean == pytest.approx(router.prior["ability_medium"])
    assert placed.sd == pytest.approx(router.prior["ability_sd"])
