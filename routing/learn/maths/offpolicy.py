"""Off-policy estimates: what another policy would have been worth, from a log of what this one did.

Notation: prompt i of n, arm a of m; pi(a | x_i) the target policy; p_ia the chance that the reward of that cell was
observed (the logged propensity; 1 where every arm was tried); O_ia whether it was; q_ia a model of the reward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "FLOOR",
    "Estimate",
    "Gap",
    "bootstrap",
    "cell_scores",
    "cells_of_log",
    "cross_fitted",
    "dr",
    "effective_size",
    "ips",
    "mean_estimate",
    "quantile_t",
    "snips",
    "support_gaps",
]

FLOOR: Final = 0.01
"""A cell whose chance of being observed is below this has no support: an inverse weight above 100 is not evidence."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated mean with its interval.

    Attributes
    ----------
    value, low, high
        In the reward's unit.
    ess
        Effective sample size of the weights, (sum w)^2 / sum w^2; n where every arm was tried.
    clipped
        Share of rows whose weight was cut.
    """

    value: float
    low: float
    high: float
    n: int
    ess: float
    clipped: float = 0.0

    def to_dict(self) -> dict[str, float | int]:
        """Return plain data."""
        return {"estimate": self.value, "low": self.low, "high": self.high, "n": self.n, "ess": round(self.ess, 1)}


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a policy goes and the log does not: an arm, and the share of prompts."""

    arm: str
    share: float


def effective_size(weight: Floats) -> float:
    """Return Kish's effective sample size, (sum w)^2 / sum w^2; 0 where all weights are 0.

    Examples
    --------
    >>> effective_size(np.array([1.0, 1.0, 1.0, 0.0]))
    3.0
    """
    square = float(weight @ weight)
    return float(weight.sum()) ** 2 / square if square > 0.0 else 0.0


def quantile_t(alpha: float, n: int) -> float:
    """Return the upper alpha-quantile of Student's t with n - 1 degrees of freedom (Cornish-Fisher, error below 1%).

    Examples
    --------
    >>> round(quantile_t(0.025, 31), 2)
    2.04
    """
    z = NormalDist().inv_cdf(1.0 - alpha)
    nu = max(n - 1, 1)
    return z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)


def bootstrap(
    numerator: Floats,
    denominator: Floats | None = None,
    *,
    rng: np.random.Generator,
    alpha: float = 0.05,
    n_resamples: int = 1000,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval, at level 1 - alpha, of a mean, or of a ratio of means.

    Parameters
    ----------
    numerator, denominator
        `(n,)`; rows are resampled together.
    """
    n = len(numerator)
    if n == 0:
        return math.nan, math.nan
    if n > 20_000:
        n_resamples = min(n_resamples, 200)
    drawn = []
    step = max(1, 4_000_000 // n)
    for start in range(0, n_resamples, step):
        rows = rng.integers(0, n, size=(min(step, n_resamples - start), n))
        top = numerator[rows].sum(axis=1)
        if denominator is None:
            drawn.append(top / n)
        else:
            bottom = denominator[rows].sum(axis=1)
            drawn.append(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))
    values = np.concatenate(drawn)
    low, high = np.nanquantile(values, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def mean_estimate(scores: Floats, *, ess: float | None = None, clipped: float = 0.0, alpha: float = 0.05) -> Estimate:
    """Return the mean of rows' scores with Student's interval at level 1 - alpha."""
    n = len(scores)
    if n < 2:
        value = float(scores[0]) if n else math.nan
        return Estimate(value, -math.inf, math.inf, n, float(n) if ess is None else ess, clipped)
    value = float(scores.mean())
    half = quantile_t(alpha / 2, n) * float(scores.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - half, value + half, n, float(n) if ess is None else ess, clipped)


def _weights(chosen: NDArray[np.intp], propensity: Floats, target: Floats, clip: float) -> tuple[Floats, float]:
    """Return `(n,)` weights pi(a_i | x_i) / p_i, cut at `clip`, and the share of them that was cut."""
    raw = target[np.arange(len(chosen)), chosen] / propensity
    return np.minimum(raw, clip), float((raw > clip).mean()) if len(raw) else 0.0


def ips(
    reward: Floats,
    chosen: NDArray[np.intp],
    propensity: Floats,
    target: Floats,
    *,
    clip: float = 1.0 / FLOOR,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate a policy's value by inverse propensity: mean_i of w_i r_i (Horvitz and Thompson, 1952).

    Parameters
    ----------
    reward, chosen, propensity
        `(n,)`: what was observed, of which arm, and P(that arm | context) when it was drawn.
    target
        `(n, m)` probabilities of the policy to be valued.
    clip
        Weights are cut here; what is cut biases the value towards 0.
    """
    weight, clipped = _weights(chosen, propensity, target, clip)
    return mean_estimate(weight * reward, ess=effective_size(weight), clipped=clipped, alpha=alpha)


def snips(
    reward: Floats,
    chosen: NDArray[np.intp],
    propensity: Floats,
    target: Floats,
    *,
    clip: float = 1.0 / FLOOR,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate a policy's value by self-normalised inverse propensity: sum w r / sum w (Swaminathan, Joachims, 2015).

    The interval is the delta method's: residuals w_i (r_i - value) / mean(w).
    """
    weight, clipped = _weights(chosen, propensity, target, clip)
    total = float(weight.sum())
    n = len(weight)
    if total <= 0.0 or n < 2:
        return Estimate(math.nan, -math.inf, math.inf, n, 0.0, clipped)
    value = float(weight @ reward) / total
    residual = weight * (reward - value) * (n / total)
    half = quantile_t(alpha / 2, n) * float(residual.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - half, value + half, n, effective_size(weight), clipped)


def dr(
    reward: Floats,
    chosen: NDArray[np.intp],
    propensity: Floats,
    target: Floats,
    model: Floats,
    *,
    clip: float = 1.0 / FLOOR,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate a policy's value doubly robustly: mean_i of sum_a pi q + w_i (r_i - q_i) (arXiv:1103.4601).

    Parameters
    ----------
    model
        `(n, m)` predicted rewards, each made without its own row (`cross_fitted`).
    """
    weight, clipped = _weights(chosen, propensity, target, clip)
    rows = np.arange(len(chosen))
    scores = (target * model).sum(axis=1) + weight * (reward - model[rows, chosen])
    return mean_estimate(scores, ess=effective_size(weight), clipped=clipped, alpha=alpha)


def cells_of_log(reward: Floats, chosen: NDArray[np.intp], propensity: Floats, n_arms: int) -> tuple[Floats, Floats]:
    """Return a log as cells: `(n, m)` rewards, NaN where not observed, and `(n, m)` chances, 0 where not known."""
    rows = np.arange(len(chosen))
    cells, chance = np.full((len(chosen), n_arms), np.nan), np.zeros((len(chosen), n_arms))
    cells[rows, chosen], chance[rows, chosen] = reward, propensity
    return cells, chance


def cell_scores(
    policy: Floats, reward: Floats, chance: Floats, model: Floats, *, floor: float = FLOOR
) -> tuple[Floats, Floats]:
    """Return each row's doubly robust score of a policy, and the weight of what was observed in it.

    score_i = sum_a pi(a | x_i) [q_ia + O_ia / p_ia (r_ia - q_ia)]: with p = 1 it is the observed reward itself, with
    one observed cell a row it is `dr`. Cells with a chance below the floor count as not observed.

    Parameters
    ----------
    policy, reward, chance, model
        `(n, m)`; a reward is NaN where it was not observed. A difference of two policies may stand for one.
    """
    observed = ~np.isnan(reward) & (chance >= floor)
    inverse = np.divide(1.0, chance, out=np.zeros_like(chance), where=observed)
    residual = np.where(observed, np.where(observed, reward, 0.0) - model, 0.0)
    scores: Floats = (policy * (model + inverse * residual)).sum(axis=1)
    weight: Floats = (np.abs(policy) * inverse).sum(axis=1)
    return scores, weight


def cross_fitted(
    design: Floats,
    reward: Floats,
    *,
    rng: np.random.Generator,
    folds: int = 5,
    l2: float = 5.0,
    prior: Floats | None = None,
) -> Floats:
    """Return `(n, m)` predicted rewards, each made by a ridge fitted without the row's fold.

    Parameters
    ----------
    design
        `(n, k)` shared by all arms, or `(n, m, k)`; an intercept is added.
    reward
        `(n, m)`, NaN where not observed.
    l2
        Penalty on the slopes, in rows.
    prior
        `(k,)` slopes that the ridge is drawn towards; 0 unless given.
    """
    n, m = reward.shape
    shared = design.ndim == 2
    k = design.shape[-1]
    fold = rng.permutation(n) % folds
    out = np.zeros((n, m))
    penalty = np.diag(np.append(np.full(k, l2), 1e-3))
    centre = np.zeros(k + 1) if prior is None else np.append(prior, 0.0)
    for a in range(m):
        x = np.column_stack([design if shared else design[:, a], np.ones(n)])
        known = ~np.isnan(reward[:, a])
        for f in range(folds):
            train = known & (fold != f)
            gram = x[train].T @ x[train] + penalty
            step = np.linalg.solve(gram, x[train].T @ (reward[train, a] - x[train] @ centre))
            out[fold == f, a] = x[fold == f] @ (centre + step)
    return np.clip(out, 0.0, 1.0)


def support_gaps(policy: Floats, chance: Floats, names: Sequence[str], *, floor: float = FLOOR) -> tuple[Gap, ...]:
    """Return where a policy goes that the log hardly ever went: arms and the share of prompts, largest first."""
    lost = (policy * (chance < floor)).mean(axis=0) if len(policy) else np.zeros(len(names))
    gaps = [Gap(name, float(share)) for name, share in zip(names, lost, strict=True) if share > 0.0]
    return tuple(sorted(gaps, key=lambda gap: -gap.share))
