"""What a router must beat: nearest neighbours, clusters, ridge and prompt length, fitted on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.learn.maths.kmeans import clusters_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["cluster_means", "cost_ridge", "length_heads", "nearest_means", "ridge_heads"]


def _column_means(score: Floats) -> Floats:
    tried = ~np.isnan(score)
    means: Floats = np.nansum(score, axis=0) / np.maximum(tried.sum(axis=0), 1)
    return means


def nearest_means(fit: NDArray[np.float32], score: Floats, test: NDArray[np.float32], *, k: int = 100) -> Floats:
    """Return `(n_test, m)`: mean scores of the k nearest fitted prompts, drawn a little to the overall mean."""
    k = min(k, len(fit))
    tried = ~np.isnan(score)
    values = np.where(tried, score, 0.0)
    overall = _column_means(score)
    near = np.argpartition(-(test @ fit.T), k - 1, axis=1)[:, :k]
    count = tried[near].sum(axis=1)
    means: Floats = (values[near].sum(axis=1) + 2.0 * overall) / (count + 2.0)
    return means


def cluster_means(
    fit: NDArray[np.float32], score: Floats, test: NDArray[np.float32], *, k: int = 8, seed: int = 0
) -> Floats:
    """Return `(n_test, m)`: mean scores of each prompt's k-means cluster, with a little of the overall mean."""
    mine, theirs = clusters_of(fit, k, others=test, seed=seed)
    tried = ~np.isnan(score)
    values = np.where(tried, score, 0.0)
    overall = _column_means(score)
    table = np.array(
        [
            (values[mine == c].sum(axis=0) + 5.0 * overall) / (tried[mine == c].sum(axis=0) + 5.0)
            for c in range(max(mine.max(), theirs.max()) + 1)
        ]
    )
    return np.asarray(table[theirs], dtype=np.float64)


def ridge_heads(fit: Floats, score: Floats, test: Floats, *, l2: float = 10.0) -> Floats:
    """Return `(n_test, m)`: a ridge regression per model on the router's features, clipped to [0, 1]."""
    out = np.empty((len(test), score.shape[1]))
    penalty = np.diag(np.append(np.full(fit.shape[1] - 1, l2), 1e-6))
    for j in range(score.shape[1]):
        rows = np.flatnonzero(~np.isnan(score[:, j]))
        x = fit[rows]
        out[:, j] = test @ np.linalg.solve(x.T @ x + penalty, x.T @ score[rows, j])
    return np.clip(out, 0.0, 1.0)


def length_heads(fit: Floats, score: Floats, test: Floats) -> Floats:
    """Return `(n_test, m)`: a logistic head per model on one number, ln of the prompt's length."""
    out = np.empty((len(test), score.shape[1]))
    mean, sd = float(fit.mean()), float(fit.std()) or 1.0
    train_x, test_x = (np.column_stack([(v - mean) / sd, np.ones(len(v))]) for v in (fit, test))
    for j in range(score.shape[1]):
        rows = np.flatnonzero(~np.isnan(score[:, j]))
        w = map_logistic(train_x[rows], score[rows, j], precision=np.array([0.1, 0.01]))
        out[:, j] = sigmoid(test_x @ w)
    return out


def cost_ridge(fit: Floats, cost: Floats, test: Floats, *, l2: float = 10.0) -> Floats:
    """Return `(n_test, m)` expected costs: ridge on ln cost, put right for the mean by the ratio of sums."""
    out = np.zeros((len(test), cost.shape[1]))
    penalty = np.diag(np.append(np.full(fit.shape[1] - 1, l2), 1e-6))
    for j in range(cost.shape[1]):
        rows = np.flatnonzero(cost[:, j] > 0)
        if not len(rows):
            continue
        x = fit[rows]
        w = np.linalg.solve(x.T @ x + penalty, x.T @ np.log(cost[rows, j]))
        out[:, j] = np.exp(test @ w) * (cost[rows, j].sum() / np.exp(x @ w).sum())
    return out
