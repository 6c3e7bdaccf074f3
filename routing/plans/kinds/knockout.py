"""A judge that drops the worst answer until one is left: `@4 knockout large`.

    q = P(some right) * pick + P(none right) * repair

with pick the chance that a right answer is the one left, where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .kind import Kind, Likely, asks, some_right, stopping
from .merge import anew, made_of

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, World

__all__ = ["Knockout"]

_ASKING: Final = 120
_CHOICE: Final = 20
"""Tokens of the name of the worst answer."""


class Knockout(Kind):
    """Several answers, of which a judge leaves one."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        some = some_right(anew(group, world), group.repeats)
        return stopping(made_of(some, "knockout", group.by[:, 0], world), group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call of each arm, and the judge's, each with one answer less; which one is not known."""
        (judge,) = stage.by
        drops = [(Likely(judge, stage.arms[:left], _ASKING, _CHOICE), 1.0) for left in range(len(stage.arms), 1, -1)]
        return (*asks(stage), *drops)
