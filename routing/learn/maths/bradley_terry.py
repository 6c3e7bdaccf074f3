"""How strong contestants are, from which of two was preferred: Bradley and Terry's model, with ties and sides.

For contestants i on the left and j on the right, eta = s_i - s_j + side (Bradley and Terry, 1952; Davidson and Beaver,
1977, for the order of presentation), and by Davidson (1970, doi:10.1080/01621459.1970.10481082)

    P(left) : P(tie) : P(right) = exp(eta / 2) : nu : exp(-eta / 2)

So P(left | no tie) is the logistic function of eta: strengths are in logits, and only their differences are told by
duels. A Gaussian prior on strengths, side and log nu makes the maximum a posteriori finite after any duels, also where
one contestant has won all. The log-likelihood is concave in all of them; intervals are Laplace's, from its curvature.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["LEFT", "RIGHT", "TIE", "BradleyTerry", "outcome_chances"]

LEFT: Final = 0
TIE: Final = 1
RIGHT: Final = 2

_MOST_STEPS: Final = 100
_SMALL: Final = 1e-9


def outcome_chances(eta: Floats, nu: float) -> Floats:
    """Return `(n, 3)` chances that the left wins, that they tie, and that the right wins.

    Parameters
    ----------
    eta
        `(n,)` by how much the left is the stronger, its side included, in logits.
    nu
        How readily there are ties: P(tie) = nu / (2 + nu) between equals.

    Examples
    --------
    >>> outcome_chances(np.array([0.0]), 0.5).round(3).tolist()
    [[0.4, 0.2, 0.4]]
    """
    logits = np.column_stack([eta / 2.0, np.full(len(eta), np.log(nu)), -eta / 2.0])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Floats = weights / weights.sum(axis=1, keepdims=True)
    return chances


class BradleyTerry:
    """Strengths of contestants with their posterior, as in the module's docstring.

    Parameters
    ----------
    prior_sd
        Standard deviation of strengths around 0, in logits: 1.5 lets one contestant win 9 of 10 against an average one.
    side_sd
        That of the side's pull, in logits.
    tie_mean, tie_sd
        Mean and standard deviation of log nu: by default a fifth of the duels of equals are ties.

    Attributes
    ----------
    strength_
        `(m,)` float64, in logits; their mean is near 0.
    side_
        By how much being on the left helps, in logits; 0 is no bias.
    nu_
        How readily there are ties, > 0.
    covariance_
        `(m + 2, m + 2)` float64, of strengths, side and log nu.
    """

    def __init__(
        self, *, prior_sd: float = 1.5, side_sd: float = 1.0, tie_mean: float = float(np.log(0.5)), tie_sd: float = 1.0
    ) -> None:
        self.prior_sd = prior_sd
        self.side_sd = side_sd
        self.tie_mean = tie_mean
        self.tie_sd = tie_sd

    def fit(
        self,
        m: int,
        left: Sequence[int] | NDArray[Any],
        right: Sequence[int] | NDArray[Any],
        outcome: Sequence[int] | NDArray[Any],
    ) -> Self:
        """Find the maximum a posteriori by Newton's method, and the curvature there.

        Parameters
        ----------
        m
            How many contestants there are; those without duels stay at the prior.
        left, right
            `(n,)` int: who stood on each side, from 0 to m - 1.
        outcome
            `(n,)` int: `LEFT`, `TIE` or `RIGHT`.

        Raises
        ------
        ValueError
            If the lengths differ, or a contestant stands on both sides of a duel.
        """
        who_left, who_right = np.asarray(left, np.intp), np.asarray(right, np.intp)
        outcomes = np.asarray(outcome, np.intp)
        if not len(who_left) == len(who_right) == len(outcomes):
            raise ValueError("left, right and outcome differ in length")
        if bool((who_left == who_right).any()):
            raise ValueError("a contestant cannot meet itself")
        keys, counts = self._counted(m, who_left, who_right, outcomes)
        rows = np.arange(len(keys))
        contrast = np.zeros((len(keys), m + 1))
        contrast[rows, keys // m] = 1.0
        contrast[rows, keys % m] = -1.0
        contrast[:, m] = 1.0
        mean = np.append(np.zeros(m + 1), self.tie_mean)
        precision = 1.0 / np.append(np.full(m, self.prior_sd), [self.side_sd, self.tie_sd]) ** 2
        at = mean.copy()
        value = self._log_posterior(at, contrast, counts, mean, precision)
        for _ in range(_MOST_STEPS):
            gradient, hessian = self._derivatives(at, contrast, counts, mean, precision)
            step: Floats = np.asarray(np.linalg.solve(hessian, gradient), np.float64)
            size = 1.0
            while (tried := self._log_posterior(at + size * step, contrast, counts, mean, precision)) < value - _SMALL:
                size /= 2.0
            at, value = at + size * step, tried
            if float(np.abs(size * step).max()) < _SMALL:
                break
        _, hessian = self._derivatives(at, contrast, counts, mean, precision)
        self.strength_: Floats = at[:m]
        self.side_ = float(at[m])
        self.nu_ = float(np.exp(at[m + 1]))
        self.covariance_: Floats = np.asarray(np.linalg.inv(hessian), np.float64)
        return self

    @staticmethod
    def _counted(
        m: int, left: NDArray[np.intp], right: NDArray[np.intp], outcome: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], Floats]:
        """Return each pair that met, as left * m + right, and `(n_pairs, 3)` how often each outcome came of it."""
        keys, place = np.unique(left * m + right, return_inverse=True)
        counts = np.zeros((len(keys), 3))
        np.add.at(counts, (place, outcome), 1.0)
        return keys.astype(np.intp), counts

    @staticmethod
    def _log_posterior(at: Floats, contrast: Floats, counts: Floats, mean: Floats, precision: Floats) -> float:
        eta = contrast @ at[:-1]
        logits = np.column_stack([eta / 2.0, np.full(len(eta), at[-1]), -eta / 2.0])
        top = logits.max(axis=1, initial=0.0, keepdims=True)
        logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        return float((counts * logs).sum() - 0.5 * (precision * (at - mean) ** 2).sum())

    @staticmethod
    def _derivatives(
        at: Floats, contrast: Floats, counts: Floats, mean: Floats, precision: Floats
    ) -> tuple[Floats, Floats]:
        """Return the gradient of the log-posterior and its negative Hessian."""
        p = outcome_chances(contrast @ at[:-1], float(np.exp(at[-1])))
        n = counts.sum(axis=1)
        lead, lead_p = (counts[:, LEFT] - counts[:, RIGHT]) / 2.0, (p[:, LEFT] - p[:, RIGHT]) / 2.0
        gradient = np.append(contrast.T @ (lead - n * lead_p), (counts[:, TIE] - n * p[:, TIE]).sum())
        own = n * ((1.0 - p[:, TIE]) / 4.0 - lead_p**2)
        cross = contrast.T @ (-n * lead_p * p[:, TIE])
        size = len(at)
        hessian = np.zeros((size, size))
        hessian[:-1, :-1] = contrast.T @ (own[:, None] * contrast)
        hessian[:-1, -1] = hessian[-1, :-1] = cross
        hessian[-1, -1] = (n * p[:, TIE] * (1.0 - p[:, TIE])).sum()
        return gradient - precision * (at - mean), hessian + np.diag(precision)

    # -- what follows from the posterior --------------------------------------------------------------------------

    def variance_of(self, i: int, j: int) -> float:
        """Return the posterior variance of strength i less strength j."""
        c = self.covariance_
        return float(c[i, i] + c[j, j] - 2.0 * c[i, j])

    def intervals(self, among: Sequence[int] | None = None, *, level: float = 0.95) -> Floats:
        """Return `(k, 3)` strengths less their mean, and the lower and upper ends of their intervals, in logits.

        Parameters
        ----------
        among
            The contestants whose mean is 0; None takes all.
        level
            Of the posterior that each interval holds, in (0, 1).
        """
        m = len(self.strength_)
        kept = np.arange(m) if among is None else np.asarray(among, np.intp)
        centre = np.eye(len(kept)) - 1.0 / max(len(kept), 1)
        middle = centre @ self.strength_[kept]
        covariance = centre @ self.covariance_[np.ix_(kept, kept)] @ centre.T
        half = NormalDist().inv_cdf(0.5 + level / 2.0) * np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return np.column_stack([middle, middle - half, middle + half])

    def side_interval(self, *, level: float = 0.95) -> tuple[float, float, float]:
        """Return by how much being on the left helps, in logits, with the ends of its interval."""
        m = len(self.strength_)
        half = NormalDist().inv_cdf(0.5 + level / 2.0) * float(np.sqrt(self.covariance_[m, m]))
        return self.side_, self.side_ - half, self.side_ + half
