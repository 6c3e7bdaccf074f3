"""A vote, weighted by predicted quality."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.plans.power import WEIGHTS

from .kind import Kind, asks, stopping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, Likely, World

__all__ = ["Vote"]


class Vote(Kind):
    """Several answers, of which the one of greatest weight is taken."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        return stopping(_vote_right(world.q[group.arms], world.same_wrong), group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call of each arm."""
        return asks(stage)


@lru_cache(maxsize=16)
def _patterns(n: int) -> NDArray[np.bool_]:
    """Return `(2^n - 1, n)`: which of n answers are right, where some are."""
    return np.array(list(itertools.product((True, False), repeat=n)))[:-1]


def _vote_right(quality: Floats, same_wrong: float) -> Floats:
    """Return `(k, K)` P(a weighted vote is right); n wrong answers are all the same with P same_wrong^(n - 1)."""
    mean = np.clip(quality @ WEIGHTS, 0.05, 0.95)
    weights = np.maximum(0.05, np.log(4.0 * mean / (1.0 - mean)))  # (k, n)
    right = _patterns(quality.shape[1])  # (m, n)
    sure = weights @ right.T + 1e-9 * right[:, 0]  # of equal weights what the first says is taken
    wrong = np.where(right, 0.0, weights[:, None, :])  # (k, m, n)
    together = same_wrong ** np.maximum(0, (~right).sum(axis=1) - 1)
    wins = together * (sure > wrong.sum(axis=2)) + (1.0 - together) * (sure > wrong.max(axis=2))
    chance = np.where(right[None, :, :, None], quality[:, None], 1.0 - quality[:, None]).prod(axis=2)  # (k, m, K)
    total: Floats = np.einsum("kmd,km->kd", chance, wins)
    return total
