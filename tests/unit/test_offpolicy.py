"""Off-policy estimators: by hand, by what must hold, and against a truth that is known."""

import numpy as np
import pytest
from simulated_log import cells_of_log

from scrimp.routing.learn.maths.offpolicy import (
    bootstrap,
    cell_scores,
    cross_fitted,
    effective_size,
    mean_estimate,
    quantile_t,
    self_normalised,
    support_gaps,
)


def ips(policy, cells, chance):
    """Inverse propensity: doubly robust without a model."""
    return mean_estimate(cell_scores(policy, cells, chance, np.zeros(cells.shape))[0])


def test_by_hand():
    cells, chance = cells_of_log(np.array([1.0, 0.0, 1.0]), np.array([0, 1, 0]), np.array([0.5, 0.25, 0.5]), 2)
    always_0 = np.tile([1.0, 0.0], (3, 1))
    assert ips(always_0, cells, chance).value == pytest.approx((2 + 0 + 2) / 3)
    assert self_normalised(always_0, cells, chance, rng=np.random.default_rng(0)).value == pytest.approx(1.0)
    scores, _ = cell_scores(always_0, cells, chance, np.full((3, 2), 0.5))
    assert scores.tolist() == pytest.approx([1.5, 0.5, 1.5])
    assert effective_size(np.array([2.0, 0.0, 2.0])) == 2.0
    assert effective_size(np.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("alpha", "n", "table"),
    [
        (0.025, 2, 12.706),
        (0.025, 3, 4.303),
        (0.025, 10, 2.262),
        (0.005, 2, 63.657),
        (0.001, 5, 7.173),
        (0.05, 61, 1.671),
    ],
)
def test_students_quantiles_are_those_of_the_tables(alpha, n, table):
    assert quantile_t(alpha, n) == pytest.approx(table, abs=5e-4)


def test_the_logging_policy_is_worth_what_it_earned():
    rng = np.random.default_rng(0)
    pi = np.full((200, 2), 0.5)
    reward = rng.random(200)
    cells, chance = cells_of_log(reward, rng.integers(0, 2, 200), np.full(200, 0.5), 2)
    assert ips(pi, cells, chance).value == pytest.approx(reward.mean())
    assert self_normalised(pi, cells, chance, rng=rng).value == pytest.approx(reward.mean())


def test_with_every_outcome_the_cells_are_the_rewards():
    rng = np.random.default_rng(0)
    reward = rng.random((50, 3))
    policy = np.zeros((50, 3))
    policy[:, 1] = 1.0
    scores, weight = cell_scores(policy, reward, np.ones((50, 3)), rng.random((50, 3)))
    assert scores == pytest.approx(reward[:, 1])
    assert (weight == 1.0).all()


def test_what_has_no_support_is_named():
    policy = np.array([[0.0, 1.0], [1.0, 0.0]])
    (gap,) = support_gaps(policy, np.array([[1.0, 0.001], [1.0, 0.001]]), ["small", "large"])
    assert (gap.arm, gap.share) == ("large", 0.5)


def test_what_was_next_to_impossible_is_no_evidence():
    cells, chance = np.array([[0.0, np.nan]]), np.array([[0.001, 0.999]])
    scores, weight = cell_scores(np.array([[1.0, 0.0]]), cells, chance, np.array([[0.7, 0.7]]))
    assert scores.tolist() == [0.7], "the model's word"
    assert weight.tolist() == [0.0]
    assert np.isnan(self_normalised(np.array([[1.0, 0.0]]), cells, chance, rng=np.random.default_rng(0)).value)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_or_one_row_is_no_evidence(n):
    estimate = mean_estimate(np.ones(n))
    assert not np.isfinite(estimate.low)
    assert not np.isfinite(estimate.high)
    if n == 0:
        assert np.isnan(bootstrap(np.ones(0), rng=np.random.default_rng(0))[0])


def test_the_bootstrap_agrees_with_student():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    low, high = bootstrap(values, rng=rng)
    student = mean_estimate(values)
    assert (low, high) == (pytest.approx(student.low, abs=0.02), pytest.approx(student.high, abs=0.02))


def test_intervals_cover_the_truth_as_often_as_they_say():
    """500 runs of 400 prompts, three arms, 30% exploration: 95% intervals cover in 92% to 98% of runs."""
    rng = np.random.default_rng(7)
    n, m, runs = 400, 3, 500
    slopes = np.array([[1, 0.5, 0], [0.2, -1, 0.5], [-0.5, 0.3, 1]])

    def draw(size):
        x = rng.normal(size=(size, 3))
        q = 1 / (1 + np.exp(-(0.8 * x @ slopes.T + np.array([0.2, 0.6, 0.9]))))
        target = np.zeros((size, m))
        target[np.arange(size), x.argmax(axis=1)] = 1.0
        return x, q, target

    _, q, target = draw(400_000)
    truth = float((target * q).sum(axis=1).mean())
    hits = {"ips": 0, "snips": 0, "dr": 0}
    for _ in range(runs):
        x, q, target = draw(n)
        pi = np.full((n, m), 0.1)
        pi[np.arange(n), (x @ slopes.T).argmax(axis=1)] += 0.7
        chosen = (pi.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        p = pi[np.arange(n), chosen]
        reward = (rng.random(n) < q[np.arange(n), chosen]).astype(float)
        cells, chance = cells_of_log(reward, chosen, p, m)
        model = cross_fitted(x, cells, rng=rng, folds=2)
        for name, estimate in (
            ("ips", ips(target, cells, chance)),
            ("snips", self_normalised(target, cells, chance, rng=rng, n_resamples=200)),
            ("dr", mean_estimate(cell_scores(target, cells, chance, model)[0])),
        ):
            hits[name] += estimate.low <= truth <= estimate.high
    assert {name: 0.92 <= count / runs <= 0.98 for name, count in hits.items()} == dict.fromkeys(hits, True), hits
