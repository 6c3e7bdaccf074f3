"""One arm, with or without a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kind import Kind, asks, stopping

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, Likely, World

__all__ = ["Single"]


class Single(Kind):
    """The answer of one arm stands, or the check says whether it does."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        return stopping(world.q[group.arms[:, 0]], group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return the one call."""
        return asks(stage)
