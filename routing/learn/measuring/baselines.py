"""What a router must beat: nearest neighbours, clusters, ridge and prompt length, fitted on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid

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
    centres = _k_means(fit, min(k, len(fit)), np.random.default_rng(seed))
    mine = (fit @ centres.T).argmax(axis=1)
    tried = ~np.isnan(score)
    values = np.where(tried, score, 0.0)
    overall = _column_means(score)
    table = np.array(
        [
            (values[mine == c].sum(axis=0) + 5.0 * overall) / (tried[mine == c].sum(axis=0) + 5.0)
            for c in range(len(centres))
        ]
    )
    return np.asarray(table[(test @ centres.T).argmax(axis=1)], dtype=np.float64)


def _k_means(points: NDArray[np.float32], k: int, rng: np.random.Generator, steps: int = 30) -> Floats:
    """Return `(k, dim)` unit centres by spherical k-means, begun far apart (k-means++), the best of four runs."""
    best, best_fit = points[:k].astype(np.float64), -np.inf
    for _ in range(4):
        chosen = [int(rng.integers(len(points)))]
        for _ in range(k - 1):
            gap = np.maximum(1.0 - (points @ points[chosen].T).max(axis=1), 0.0).astype(np.float64)
            total = gap.sum()
            chance = gap / total if total > 0 else np.full(len(points), 1.0 / len(points))
            chosen.append(int(rng.choice(len(points), p=chance)))
        centres = points[chosen].astype(np.float64)
        for _ in range(steps):
            mine = (points @ centres.T).argmax(axis=1)
            for c in np.unique(mine):
                mean = points[mine == c].mean(axis=0)
                centres[c] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        fitness = float((points @ centres.T).max(axis=1).sum())
        if fitness > best_fit:
            best, best_fit = centres, fitness
    return best


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
