"""Measures of a router, each with its formula and paper; arrays in, numbers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "aiq",
    "apgr",
    "brier",
    "convex_hull",
    "cost_save",
    "cpt",
    "ece",
    "reliability",
    "strong_call_curve",
]


def strong_call_curve(rank: Floats, strong: Floats, weak: Floats, *, n_thresholds: int = 11) -> tuple[Floats, Floats]:
    """Return the share of calls to the strong model, and the mean score, at thresholds on a router's score.

    Thresholds lie at the 0, 10, ..., 100% quantiles of the score (arXiv:2406.18665, section 5); calls at or above the
    threshold go to the strong model. Prompts with equal scores go together, in the limit of a fair draw: the curve is
    joined by straight lines. The ends, no call and all calls, are always on it.

    Parameters
    ----------
    rank
        `(n,)`, the larger, the sooner the strong model is called.
    strong, weak
        `(n,)` scores of the two models.

    Returns
    -------
    Two arrays `(n_points,)`: increasing shares from 0 to 1, and mean scores.
    """
    thresholds = np.unique(np.quantile(rank, np.linspace(0.0, 1.0, n_thresholds)))[::-1]
    calls = rank[None, :] >= thresholds[:, None]
    share = np.concatenate([[0.0], calls.mean(axis=1), [1.0]])
    score = np.concatenate([[weak.mean()], np.where(calls, strong, weak).mean(axis=1), [strong.mean()]])
    return share, score


def apgr(rank: Floats, strong: Floats, weak: Floats) -> float:
    """Return the average performance gap recovered (arXiv:2406.18665, equation 7).

    (AUC(router) - AUC(weak)) / (AUC(strong) - AUC(weak)) over the share of strong calls; about 0.5 at random. NaN where
    the two models are equally good.
    """
    gap = float(strong.mean() - weak.mean())
    if gap == 0.0:
        return float("nan")
    share, score = strong_call_curve(rank, strong, weak)
    return float((np.trapezoid(score, share) - weak.mean()) / gap)


def cpt(rank: Floats, strong: Floats, weak: Floats, recovered: float) -> float:
    """Return the share of strong calls, in percent, that recovers a share of the gap (arXiv:2406.18665, section 3).

    The smallest point of the curve, with straight lines between thresholds. NaN where the strong model is no better.
    """
    gap = float(strong.mean() - weak.mean())
    if gap <= 0.0:
        return float("nan")
    share, score = strong_call_curve(rank, strong, weak)
    target = float(weak.mean()) + recovered * gap
    for k in range(len(share)):
        if score[k] >= target - 1e-12:
            if k == 0:
                return 0.0
            step = (target - score[k - 1]) / (score[k] - score[k - 1])
            return float(100.0 * (share[k - 1] + step * (share[k] - share[k - 1])))
    return 100.0


def convex_hull(cost: Floats, quality: Floats) -> tuple[Floats, Floats]:
    """Return the non-decreasing upper convex hull of points (cost, quality), by increasing cost (arXiv:2403.12031)."""
    order = np.lexsort((-quality, cost))
    hull: list[tuple[float, float]] = []
    for x, y in zip(cost[order].tolist(), quality[order].tolist(), strict=True):
        if hull and (y <= hull[-1][1] or x == hull[-1][0]):
            continue
        while len(hull) >= 2:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (y1 - y0) * (x - x0) <= (y - y0) * (x1 - x0):
                hull.pop()
            else:
                break
        hull.append((x, y))
    points = np.array(hull)
    return points[:, 0], points[:, 1]


def aiq(cost: Floats, quality: Floats, low: float, high: float) -> float:
    """Return the average improvement in quality (arXiv:2403.12031, equation 4).

    The mean height of the non-decreasing convex hull between two costs, the same for all routers that are compared.
    Left of the cheapest point a router cannot answer everything: there the hull is the straight line to no answers at
    no cost.

    Parameters
    ----------
    cost, quality
        `(n_points,)` mean cost in USD and mean score at each setting of the router.
    low, high
        The range of costs in USD.
    """
    if not high > low:
        return float("nan")
    x, y = convex_hull(np.append(cost, 0.0), np.append(quality, 0.0))
    grid = np.unique(np.concatenate([[low, high], x[(x > low) & (x < high)]]))
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (high - low))


def cost_save(cost: Floats, quality: Floats, best_cost: float, best_quality: float, tolerance: float = 0.0) -> float:
    """Return the largest cut in cost that keeps the best single model's accuracy, less a tolerance (arXiv:2601.07206).

    1 - cost / best_cost over the points with quality >= best_quality - tolerance; 0 where none is cheaper.
    """
    if best_cost <= 0.0:
        return 0.0
    good = cost[quality >= best_quality - tolerance - 1e-12]
    return max(0.0, float(1.0 - good.min() / best_cost)) if len(good) else 0.0


def reliability(predicted: Floats, observed: Floats, n_bins: int = 15) -> tuple[Floats, Floats, Floats]:
    """Return mean prediction, mean outcome and weight of the non-empty bins of equal width."""
    bins = np.minimum((predicted * n_bins).astype(int), n_bins - 1)
    count = np.bincount(bins, minlength=n_bins).astype(float)
    keep = count > 0
    said = np.bincount(bins, weights=predicted, minlength=n_bins)[keep] / count[keep]
    seen = np.bincount(bins, weights=observed, minlength=n_bins)[keep] / count[keep]
    return said, seen, count[keep] / count.sum()


def ece(predicted: Floats, observed: Floats, n_bins: int = 15) -> float:
    """Return the expected calibration error (arXiv:1706.04599, equation 3).

    sum_b weight_b * |mean outcome_b - mean prediction_b| over bins of equal width.
    """
    if not len(predicted):
        return float("nan")
    said, seen, weight = reliability(predicted, observed, n_bins)
    return float(weight @ np.abs(said - seen))


def brier(predicted: Floats, observed: Floats) -> float:
    """Return the mean squared difference of prediction and outcome."""
    return float(np.mean((predicted - observed) ** 2)) if len(predicted) else float("nan")
