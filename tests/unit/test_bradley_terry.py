"""Strengths from preferences: cases with a known answer, what must not matter, and a world of known truth."""

import math

import numpy as np
import pytest

from scrimp.routing.learn.maths.bradley_terry import LEFT, RIGHT, TIE, BradleyTerry, outcome_chances

FLAT = {"prior_sd": 1e4, "side_sd": 1e-4, "tie_sd": 1e4}


def test_two_who_met_often_enough_have_the_strengths_of_their_shares():
    """Without a prior the model of one pair is saturated: 60 : 20 : 15 is eta = log(60 / 15), nu = 20 / sqrt(60 * 15)."""
    left = [0] * 95
    outcome = [LEFT] * 60 + [TIE] * 20 + [RIGHT] * 15
    fit = BradleyTerry(**FLAT).fit(2, left, [1] * 95, outcome)
    assert fit.strength_[0] - fit.strength_[1] == pytest.approx(math.log(4.0), abs=1e-4)
    assert fit.nu_ == pytest.approx(20 / 30, abs=1e-4)
    (chances,) = outcome_chances(np.array([math.log(4.0)]), fit.nu_)
    assert (95 * chances).tolist() == pytest.approx([60, 20, 15], abs=0.01)


def test_the_side_is_told_from_the_arm():
    """Each won by the side it stood on, three to one: neither is the stronger."""
    left, right = [0] * 40 + [1] * 40, [1] * 40 + [0] * 40
    outcome = ([LEFT] * 30 + [RIGHT] * 10) * 2
    fit = BradleyTerry(prior_sd=1e4, side_sd=1e4, tie_sd=1.0).fit(2, left, right, outcome)
    assert fit.strength_[0] == pytest.approx(fit.strength_[1], abs=1e-6)
    assert fit.side_ == pytest.approx(math.log(3.0), abs=0.05)
    mirrored = BradleyTerry(prior_sd=1e4, side_sd=1e4, tie_sd=1.0).fit(2, right, left, [2 - each for each in outcome])
    assert mirrored.side_ == pytest.approx(-fit.side_, abs=1e-6)


def test_the_covariance_is_the_inverse_of_the_curvature():
    """As the log-posterior itself says, by differences."""
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 2, 30), rng.integers(2, 4, 30)
    outcome = rng.integers(0, 3, 30)
    model = BradleyTerry().fit(4, left, right, outcome)
    at = np.append(model.strength_, [model.side_, math.log(model.nu_)])

    def value(x):
        chances = outcome_chances(x[left] - x[right] + x[4], math.exp(x[5]))
        told = np.log(chances[np.arange(30), outcome]).sum()
        pull = np.append(x[:4] / 1.5, [x[4], x[5] - math.log(0.5)])
        return told - 0.5 * float(pull @ pull)

    step = 1e-3
    basis = step * np.eye(6)
    curvature = np.array(
        [
            [
                (value(at + a + b) - value(at + a - b) - value(at - a + b) + value(at - a - b)) / (4 * step**2)
                for a in basis
            ]
            for b in basis
        ]
    )
    assert np.linalg.inv(-curvature) == pytest.approx(model.covariance_, abs=1e-4)
    for each in basis:
        assert value(at) >= max(value(at + each), value(at - each)), "it is the maximum"


def test_who_has_won_all_is_strong_and_not_beyond_measure():
    fit = BradleyTerry().fit(2, [0] * 500, [1] * 500, [LEFT] * 500)
    assert 3.0 < fit.strength_[0] - fit.strength_[1] < 12.0
    assert fit.intervals()[0, 1] > 0.0


def test_without_duels_there_is_the_prior():
    fit = BradleyTerry().fit(3, [], [], [])
    assert fit.strength_.tolist() == [0.0, 0.0, 0.0]
    assert fit.variance_of(0, 1) == pytest.approx(2 * 1.5**2)
    assert fit.side_interval() == pytest.approx((0.0, -1.96, 1.96), abs=1e-3)
    assert BradleyTerry().fit(1, [], [], []).intervals().tolist() == [[0.0, 0.0, 0.0]]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="length"):
        BradleyTerry().fit(2, [0], [1, 0], [LEFT])
    with pytest.raises(ValueError, match="itself"):
        BradleyTerry().fit(2, [0], [0], [LEFT])


def test_intervals_hold_the_truth_as_often_as_they_say():
    """200 worlds of 5 contestants with strengths from the prior, who meet 60 times: 95% of 1,000 intervals."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(200):
        truth = rng.normal(0.0, 1.5, 5)
        pairs = np.array([rng.choice(5, 2, replace=False) for _ in range(60)])
        chances = outcome_chances(truth[pairs[:, 0]] - truth[pairs[:, 1]] + 0.3, 0.5)
        outcome = [int(rng.choice(3, p=each)) for each in chances]
        found = BradleyTerry().fit(5, pairs[:, 0], pairs[:, 1], outcome).intervals()
        centred = truth - truth.mean()
        held += ((found[:, 1] <= centred) & (centred <= found[:, 2])).tolist()
    assert 0.93 <= np.mean(held) <= 0.97
