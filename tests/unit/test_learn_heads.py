"""The two fits: drawn towards their prior, right on simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from scrimp.routing.learn.maths.heads import map_logistic, platt, sigmoid


def simulate(n=4000, p=5, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(n, p)), np.ones(n)])
    truth = np.append(rng.normal(size=p), 0.4)
    y = (rng.random(n) < sigmoid(x @ truth)).astype(float)
    return x, y, truth


def test_the_truth_is_found():
    x, y, truth = simulate(40_000)
    found = map_logistic(x, y, precision=np.full(6, 1e-3))
    assert np.abs(found - truth).max() < 0.1


def test_no_data_leaves_the_prior_and_much_data_leaves_it_behind():
    x, y, truth = simulate()
    prior = np.full(6, 2.0)
    none = map_logistic(x[:0], y[:0], precision=np.ones(6), prior=prior)
    assert none == pytest.approx(prior)
    errors = [
        np.abs(map_logistic(x[:n], y[:n], precision=np.full(6, 5.0), prior=prior) - truth).max() for n in (20, 4000)
    ]
    assert errors[1] < 0.2 < errors[0]


def test_a_good_prior_beats_none_on_few_rows():
    gains = []
    for seed in range(20):
        x, y, truth = simulate(40, seed=seed)
        test_x, _, _ = simulate(500, seed=seed)
        near = truth + np.random.default_rng(seed).normal(scale=0.2, size=6)
        error = [
            np.abs(sigmoid(test_x @ w) - sigmoid(test_x @ truth)).mean()
            for w in (
                map_logistic(x, y, precision=np.full(6, 4.0)),
                map_logistic(x, y, precision=np.full(6, 4.0), prior=near),
            )
        ]
        gains.append(error[0] - error[1])
    assert np.mean(gains) > 0.03


def test_offset_and_weight_mean_what_they_say():
    x, y, truth = simulate(2000)
    precision = np.full(6, 1.0)
    whole = map_logistic(x, y, precision=precision)
    rest = map_logistic(x, y, precision=precision, prior=-truth, offset=x @ truth)
    assert rest + truth == pytest.approx(whole, abs=1e-4)
    twice = map_logistic(np.repeat(x, 2, axis=0), np.repeat(y, 2), precision=precision)
    assert map_logistic(x, y, precision=precision, weight=np.full(2000, 2.0)) == pytest.approx(twice, abs=1e-6)


def test_separable_data_do_not_run_away():
    x = np.column_stack([np.linspace(-1, 1, 20), np.ones(20)])
    found = map_logistic(x, (x[:, 0] > 0).astype(float), precision=np.array([0.1, 0.1]))
    assert np.isfinite(found).all()


def test_platt_repairs_an_overconfident_logit():
    rng = np.random.default_rng(3)
    true_logit = rng.normal(size=50_000)
    y = (rng.random(50_000) < sigmoid(true_logit)).astype(float)
    slope, intercept = platt(3.0 * true_logit + 1.0, y)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert intercept == pytest.approx(-1 / 3, abs=0.03)
