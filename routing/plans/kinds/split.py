"""A text that is read piece by piece: `small/split`, `small/split => large`.

    q = p(m) * pick

with p(m) the chance that the arm answers rightly for a piece of m tokens (`plans.pieces`), which is its quality here,
and pick the chance that what comes of the pieces is put together rightly. That pieces which hold nothing of what was
asked for are taken for such is part of p(m): all pieces of a prompt are right or wrong together, by its difficulty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.plans.pieces import NOTHING_SHARE, PIECE_ANSWER

from .kind import Kind, Likely, some_right, stopping
from .merge import anew, made_of

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, World

__all__ = ["Split"]

_ASKING: Final = 120


class Split(Kind):
    """One arm for every piece, and one answer of theirs."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        some = some_right(anew(group, world), group.repeats)
        return stopping(made_of(some, "split", group.arms[:, 0], world), group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call for each piece, and of whoever merges."""
        pieces = tuple((Likely(arm, (), 0, PIECE_ANSWER), float(stage.pieces)) for arm in stage.arms)
        more = _ASKING + round(stage.pieces * (1.0 - NOTHING_SHARE) * PIECE_ANSWER)
        return (*pieces, *((Likely(arm, (), more), 1.0) for arm in stage.by))
