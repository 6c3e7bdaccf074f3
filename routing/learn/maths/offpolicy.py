"""Off-policy estimates: what another policy would have been worth, from a log of what this one did.

Notation: prompt i of n, arm a of m; pi(a | x_i) the target policy; p_ia the chance that the reward of that cell was
observed (the logged propensity; 1 where every arm was tried); O_ia whether it was; q_ia a model of the reward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    "cross_fitted",
    "effective_size",
    "mean_estimate",
    "quantile_t",
    "self_normalised",
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
    """

    value: float
    low: float
    high: float
    n: int
    ess: float

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
    """Return the upper alpha-quantile of Student's t with n - 1 degrees of freedom, at least 1.

    Examples
    --------
    >>> round(quantile_t(0.025, 2), 2), round(quantile_t(0.025, 31), 2)
    (12.71, 2.04)
    """
    from scipy.special import stdtrit

    return -float(stdtrit(max(n - 1, 1), alpha))


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


def mean_estimate(scores: Floats, *, alpha: float = 0.05) -> Estimate:
    """Return the mean of rows' scores with Student's interval at level 1 - alpha."""
    n = len(scores)
    if n < 2:
        return Estimate(float(scores[0]) if n else math.nan, -math.inf, math.inf, n, float(n))
    value = float(scores.mean())
    half = quantile_t(alpha / 2, n) * float(scores.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - half, value + half, n, float(n))


def cell_scores(
    policy: Floats, reward: Floats, chance: Floats, model: Floats, *, floor: float = FLOOR
) -> tuple[Floats, Floats]:
    """Return each row's doubly robust score of a policy, and the weight of what was observed in it.

    score_i = sum_a pi(a | x_i) [q_ia + O_ia / p_ia (r_ia - q_ia)]: with p = 1 it is the observed reward itself, with
    one observed cell a row the usual doubly robust estimate (arXiv:1103.4601), and with q = 0 besides inverse
    propensity's (Horvitz and Thompson, 1952). Cells with a chance below the floor count as not observed.

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


def self_normalised(
    policy: Floats, reward: Floats, chance: Floats, *, rng: np.random.Generator, n_resamples: int = 1000
) -> Estimate:
    """Return a policy's value by self-normalised weights (SNIPS; Swaminathan, Joachims, 2015): no model of the reward.

    sum w r / sum w over cells with w = pi / p where an outcome was seen.

    Parameters
    ----------
    policy, reward, chance
        As for `cell_scores`.
    """
    shown = ~np.isnan(reward) & (chance >= FLOOR)
    weight = np.divide(policy, chance, out=np.zeros_like(policy), where=shown)
    top, bottom = (weight * np.where(shown, reward, 0.0)).sum(axis=1), weight.sum(axis=1)
    total = float(bottom.sum())
    if total <= 0.0:
        return Estimate(math.nan, math.nan, math.nan, len(reward), 0.0)
    low, high = bootstrap(top, bottom, rng=rng, n_resamples=n_resamples)
    return Estimate(float(top.sum()) / total, low, high, len(reward), effective_size(bottom))


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
