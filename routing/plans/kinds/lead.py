"""A planner that asks other arms what it likes, and answers itself: `large leads small + medium`.

    q = P(some right) * pick + P(none right) * repair

where "some right" counts the planner's own answer and those of its workers to the whole prompt: how much of that it
makes good is what pick and repair are learned for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .kind import Kind, Likely, some_right, stopping
from .merge import anew, made_of

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, World

__all__ = ["Lead"]

_ROUNDS: Final = 2.0
"""How many questions a planner asks on average, and `_QUESTION`: tokens of one. Chosen, not measured."""

_QUESTION: Final = 80
_MENU: Final = 200
"""Tokens of what a planner is told of its workers and of its task."""


class Lead(Kind):
    """One arm asks the others, each time for a part, and answers."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        by = group.by[:, 0]
        every = np.concatenate([anew(group, world), world.q[by][:, None]], axis=1)
        some = some_right(every, (*group.repeats, len(group.repeats)))
        return stopping(made_of(some, "lead", by, world), group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return the rounds of the planner, its answer, and the workers' answers, which all get alike often."""
        (planner,) = stage.by
        asked = [(Likely(arm, (), _QUESTION), _ROUNDS / len(stage.arms)) for arm in stage.arms]
        rounds = (Likely(planner, stage.arms[:1], _MENU, _QUESTION), _ROUNDS)
        return (rounds, *asked, (Likely(planner, stage.arms[:2], _MENU + round(_ROUNDS) * _QUESTION), 1.0))
