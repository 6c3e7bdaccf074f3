"""The best of several answers by the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .kind import MARGIN, Kind, asks

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, Likely, World

__all__ = ["Best"]


class Best(Kind):
    """Several answers, of which the first that passes all checks is taken, else the one that does best by them."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        quality, given_right, given_wrong = world.q[group.arms], world.right[-1], world.wrong[-1]
        q = quality[:, 0]
        right, undecided = np.zeros_like(q), np.ones_like(q)
        for i in range(quality.shape[1]):
            each = quality[:, i]
            right = right + undecided * each * given_right
            undecided = undecided * (1.0 - each * given_right - (1.0 - each) * given_wrong)
        if group.gated:
            return right, 1.0 - undecided
        failed_right = q * (1.0 - given_right)
        failed = failed_right + (1.0 - q) * (1.0 - given_wrong)
        return right + undecided * failed_right / np.maximum(failed, MARGIN), np.ones_like(q)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call of each arm: that the first may pass is not counted on."""
        return asks(stage)
