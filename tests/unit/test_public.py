"""The view of public prompts: the parts that it is fitted by, where the truth is known."""

import numpy as np
import pytest

from scrimp.routing.learn.fitting.public import _within_gap, fit_gate, ridge_within, slope_of
from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.router.learned import View


def test_a_model_with_one_missing_cell_still_teaches_spread():
    able, weak = np.array([1.0] * 16 + [0.0] * 4), np.array([1.0] * 12 + [0.0] * 8)
    whole = _within_gap(np.column_stack([able, weak]))
    assert whole.tolist() == (able - weak).tolist()
    weak[13] = np.nan
    missing = _within_gap(np.column_stack([able, weak]))
    np.testing.assert_array_equal(np.delete(missing, 13), np.delete(whole, 13))
    assert missing[13] == pytest.approx(1.0 - 12 / 19)  # as it does on average
    weak[:3] = np.nan  # four of twenty are too many
    assert not _within_gap(np.column_stack([able, weak])).any()


def test_only_what_differs_within_groups_is_learnt_unless_they_are_pooled():
    rng = np.random.default_rng(0)
    groups = [np.arange(300), np.arange(300, 400)]
    x = rng.normal(size=(400, 3))
    x[300:, 1] += 5.0
    y = x @ [1.0, 0.0, -2.0]
    y[300:] += 10.0
    within = ridge_within(x, y, groups, precision=np.full(3, 1e-6))
    np.testing.assert_allclose(within, [1.0, 0.0, -2.0], atol=1e-4)
    pooled = ridge_within(x, y, groups, precision=np.full(3, 1e-6), pooling=1.0)
    assert pooled[1] > 1.0


def test_the_slope_of_an_ease_is_found_whatever_the_level_of_a_source():
    rng = np.random.default_rng(1)
    ease = rng.normal(size=6000)
    groups = np.array(["a", "b", "c"])[np.arange(6000) % 3]
    level = np.array([1.0, 0.0, -1.5])[np.arange(6000) % 3]
    p = sigmoid(1.5 * ease + level)
    score = (rng.random((6000, 4)) < p[:, None]).astype(float)
    assert slope_of(groups, score, ease) == pytest.approx(1.5, abs=0.15)
    assert slope_of(groups, score, np.zeros(6000)) == 1.0


def test_the_gate_tells_sorts_apart_and_in_doubt_says_everyday():
    rng = np.random.default_rng(2)
    public, everyday = (
        np.column_stack([rng.normal(size=(n, 4)) + np.array([shift, 0.0, 0.0, 0.0]), np.ones(n)])
        for n, shift in ((900, 4), (300, 0))
    )
    groups = np.array(["a"] * 800 + ["b"] * 100)
    gate = fit_gate(public, groups, everyday, 0.1)
    assert sigmoid(public @ gate).mean() > 0.7
    assert sigmoid(everyday @ gate).mean() < 0.05
    assert sigmoid(np.array([2.0, 0, 0, 0, 1.0]) @ gate) < 0.4
    alone = fit_gate(public, groups, everyday[:0], 0.1)
    assert sigmoid(public @ alone).min() > 0.999


def test_a_view_at_no_gap_is_its_ease():
    view = View(np.array([1.0, 5.0]), np.array([2.0, -1.0]), np.array([0.5, 1.0]))
    assert view.logit(np.array([0.0, 2.0])).tolist() == [[2.0, 3.0], [-1.0, 1.0]]
