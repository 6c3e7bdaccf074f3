"""Arms that bid with a short plan each, of which the best for its price is carried out: `@3 bid`.

    q = P(some right) * pick + P(none right) * repair

with pick the chance that the winner is one that would be right, where one would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .kind import Kind, Likely, some_right, stopping
from .merge import anew, made_of

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, World

__all__ = ["Bid"]

_PLAN: Final = 160
"""Tokens of a bid: 120 words at most."""

_SCORES: Final = 40
"""Tokens of an arm's scores for all bids."""

_ASKING: Final = 120
_ROUNDS: Final = 1.3
"""How many bids an arm makes on average: cheaper arms may revise theirs once. Chosen, not measured."""


class Bid(Kind):
    """The arm answers whose short plan is worth most for what it would cost."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        some = some_right(anew(group, world), group.repeats)
        return stopping(made_of(some, "bid", group.arms[:, 0], world), group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return the bids, the scores, and an answer of each arm in equal parts."""
        n = len(stage.arms)
        bids = [(Likely(arm, (), _ASKING, _PLAN), _ROUNDS) for arm in stage.arms]
        scores = [(Likely(arm, (), _ASKING + n * _PLAN, _SCORES), _ROUNDS) for arm in stage.arms]
        return (*bids, *scores, *((Likely(arm, (), _PLAN), 1.0 / n) for arm in stage.arms))
