"""Answers that another arm reads and writes one from: `a + b => c`, `a => a`, `a => b => c`.

    q = P(some answer right) * pick + P(none right) * repair

with pick and repair of the arm that merges (`plans.skills`), at each node of difficulty; of several that merge one
after the other each has the answer of the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .kind import REPEATS, Kind, Likely, asks, some_right, stopping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scrimp.routing.plans.plan import Stage

    from .kind import Floats, Group, World

__all__ = ["Merge", "anew", "made_of"]

_ASKING: Final = 120
"""Tokens of what is said around quoted answers."""

_FEEDBACK: Final = 250
"""Tokens of what is said to be wrong with an answer before it is written anew. Chosen, not measured."""


def anew(group: Group, world: World) -> Floats:
    """Return `(k, n, K)` P(right) of the arms that are asked, where one that was asked before mostly says the same."""
    return np.where(group.again[:, :, None], 1.0 - REPEATS, 1.0) * world.q[group.arms]


def made_of(some: Floats, role: str, by: NDArray[np.intp], world: World) -> Floats:
    """Return `(k, K)` P(what arms in a role make of answers is right), of which some are right with chance `some`."""
    pick, repair = world.pick[role][by][:, None], world.repair[role][by][:, None]
    made: Floats = some * pick + (1.0 - some) * repair
    return made


class Merge(Kind):
    """Answers of which one is written anew, by one arm or by several in turn."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        chance = some_right(anew(group, world), group.repeats)
        for nth in range(group.by.shape[1]):
            chance = made_of(chance, "merge", group.by[:, nth], world)
        return stopping(chance, group, world)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call of each arm, and of each that merges; of a single answer it is first said what is wrong."""
        calls = [*asks(stage)]
        given = stage.arms
        for arm in stage.by:
            said = 0
            if len(given) == 1:
                calls.append((Likely(arm, given, _ASKING, _FEEDBACK), 1.0))
                said = _FEEDBACK
            calls.append((Likely(arm, given, _ASKING + said), 1.0))
            given = (arm,)
        return tuple(calls)
