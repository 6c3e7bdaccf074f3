"""Measures by hand, their invariants, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from scrimp.routing.learn.maths.metrics import aiq, apgr, brier, convex_hull, cost_save, cpt, ece, reliability

A = np.array


def test_apgr_by_hand():
    # Four prompts; strong right on all, weak on the last two. The router ranks the two that need it first.
    strong, weak = A([1.0, 1, 1, 1]), A([0.0, 0, 1, 1])
    rank = A([4.0, 3, 2, 1])
    # Shares 0, .25, .5, .75, 1; scores .5, .75, 1, 1, 1: area .9375 - .0625 = .875 + ... by trapezoids:
    # (.5+.75)/8 + (.75+1)/8 + (1+1)/8 + (1+1)/8 = .15625 + .21875 + .25 + .25 = .875; (.875 - .5) / .5 = .75.
    assert apgr(rank, strong, weak) == pytest.approx(0.75)
    assert apgr(-rank, strong, weak) == pytest.approx(0.25)
    assert cpt(rank, strong, weak, 0.5) == pytest.approx(25.0)
    assert cpt(rank, strong, weak, 0.8) == pytest.approx(40.0)
    assert cpt(-rank, strong, weak, 0.5) == pytest.approx(75.0)


def test_a_rank_that_knows_nothing_recovers_half():
    strong, weak = A([1.0, 1, 1, 0]), A([0.0, 1, 0, 1])
    assert apgr(np.zeros(4), strong, weak) == pytest.approx(0.5)
    assert cpt(np.zeros(4), strong, weak, 0.5) == pytest.approx(50.0)
    rng = np.random.default_rng(0)
    strong, weak = (rng.random(20_000) < 0.8).astype(float), (rng.random(20_000) < 0.6).astype(float)
    assert apgr(rng.random(20_000), strong, weak) == pytest.approx(0.5, abs=0.03)


def test_equal_models_have_no_gap_to_recover():
    same = A([1.0, 0, 1])
    assert np.isnan(apgr(A([1.0, 2, 3]), same, same))
    assert np.isnan(cpt(A([1.0, 2, 3]), same, same, 0.5))


def test_hull_and_aiq_by_hand():
    # (2, .6) lies under the line from (1, .5) to (3, .9); (4, .8) is dearer and worse.
    x, y = convex_hull(A([1.0, 2, 3, 4]), A([0.5, 0.6, 0.9, 0.8]))
    assert x.tolist() == [1, 3]
    assert y.tolist() == [0.5, 0.9]
    # Between costs 1 and 4: trapezoid (.5 + .9) / 2 * 2 = 1.4, then .9 * 1; over 3.
    assert aiq(A([1.0, 2, 3, 4]), A([0.5, 0.6, 0.9, 0.8]), 1.0, 4.0) == pytest.approx((1.4 + 0.9) / 3)


def test_aiq_left_of_the_cheapest_point_is_the_way_to_no_answer():
    assert aiq(A([2.0]), A([0.8]), 1.0, 3.0) == pytest.approx((0.6 * 1 + 0.8 * 1) / 2)
    assert np.isnan(aiq(A([1.0]), A([1.0]), 1.0, 1.0))


def test_more_points_never_lower_aiq():
    rng = np.random.default_rng(1)
    cost, quality = rng.random(30) + 0.1, rng.random(30)
    areas = [aiq(cost[:k], quality[:k], 0.1, 1.1) for k in range(1, 31)]
    assert (np.diff(areas) >= -1e-12).all()


def test_cost_save_by_hand():
    cost, quality = A([1.0, 2, 5, 10]), A([0.6, 0.79, 0.8, 0.85])
    assert cost_save(cost, quality, 10.0, 0.8) == pytest.approx(0.5)
    assert cost_save(cost, quality, 10.0, 0.8, 0.01) == pytest.approx(0.8)
    assert cost_save(cost, quality, 4.0, 0.8) == 0.0
    assert cost_save(cost, quality, 10.0, 0.9) == 0.0
    assert cost_save(cost, quality, 0.0, 0.5) == 0.0


def test_ece_and_brier_by_hand():
    # Two bins of ten: .15 said and half seen (twice), .95 said and all seen (twice): .5 * .35 + .5 * .05 = .2.
    said, seen = A([0.15, 0.15, 0.95, 0.95]), A([0.0, 1, 1, 1])
    assert ece(said, seen, 10) == pytest.approx(0.2)
    assert brier(said, seen) == pytest.approx((0.15**2 + 0.85**2 + 2 * 0.05**2) / 4)
    mean_said, mean_seen, weight = reliability(said, seen, 10)
    assert mean_said.tolist() == pytest.approx([0.15, 0.95])
    assert mean_seen.tolist() == [0.5, 1]
    assert weight.tolist() == [0.5, 0.5]
    assert ece(A([1.0, 0.0]), A([1.0, 0.0])) == 0.0
    assert np.isnan(ece(A([]), A([])))


def test_ece_of_true_probabilities_vanishes():
    rng = np.random.default_rng(2)
    p = rng.random(100_000)
    assert ece(p, (rng.random(100_000) < p).astype(float)) < 0.01
    assert ece(np.clip(p + 0.2, 0, 1), (rng.random(100_000) < p).astype(float)) > 0.1
