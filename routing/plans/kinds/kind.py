"""What a kind of stage has to say for itself: how likely it ends right, and which calls it likely makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scrimp.routing.plans.plan import Stage
    from scrimp.routing.text.compare import Quorum

    Floats = NDArray[np.float64]

__all__ = ["MARGIN", "REPEATS", "Group", "Kind", "Likely", "World", "asks", "some_right", "stopping"]

REPEATS: Final = 0.8
"""P(an arm asked again comes to the same answer), whatever it sampled: what it got wrong it mostly gets wrong again."""

MARGIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Likely:
    """Calls of one sort that a stage likely makes.

    Attributes
    ----------
    arm
        Whom they go to.
    quotes
        The arms whose answers each carries besides the request's prompt.
    more
        Further input tokens of each.
    output
        Its output tokens; None: as many as the arm's answer to the prompt has.
    """

    arm: str
    quotes: tuple[str, ...] = ()
    more: int = 0
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Stages of one kind and shape, which are valued together.

    Attributes
    ----------
    at
        `(k,)` their places in the table.
    arms, by
        `(k, n)` the arms they ask, and `(k, m)` those that merge, lead or judge, as rows of the qualities.
    again
        `(k, n)` whether an earlier stage has asked that arm.
    gates
        `(k,)` what they stop at, as rows of the powers; -1 where that is nothing, or agreement.
    gated
        Whether a check is what they stop at.
    earlier
        `(k, m)` the arms whose answers theirs is compared with.
    quorum, unmet
        How many answers have to say the same, and of the earlier ones did not.
    repeats
        For each of the answers that are compared (a stage's own, or the earlier ones), the position of the first of
        the same arm.
    """

    kind: str
    at: NDArray[np.intp]
    arms: NDArray[np.intp]
    by: NDArray[np.intp]
    again: NDArray[np.bool_]
    gates: NDArray[np.intp]
    gated: bool
    earlier: NDArray[np.intp]
    quorum: Quorum | None
    unmet: Quorum | None
    repeats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class World:
    """What is predicted of arms and checks for one prompt, at each of K nodes of its hidden difficulty.

    Attributes
    ----------
    q
        `(n_arms, K)` P(right) of each arm.
    right, wrong
        `(n_gates, K)` P(pass | right) and P(pass | wrong) of each gate; the last is all together.
    same_wrong
        P(two wrong answers are the same).
    pick, repair
        `(n_arms,)` of each role (`plans.skills`): P(what comes of answers is right | one of them is), and P(it is |
        none is), where that arm has the role.
    """

    q: Floats
    right: Floats
    wrong: Floats
    same_wrong: float
    pick: Mapping[str, Floats]
    repair: Mapping[str, Floats]


class Kind(Protocol):
    """How stages of one kind are valued."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops) of each stage at the nodes."""
        ...

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return the calls it likely makes, with how many there are of each; those of checks aside."""
        ...


def asks(stage: Stage) -> tuple[tuple[Likely, float], ...]:
    """Return one call for each arm that a stage asks."""
    return tuple((Likely(arm), 1.0) for arm in stage.arms)


def stopping(chance: Floats, group: Group, world: World) -> tuple[Floats, Floats]:
    """Return P(stops and is right) and P(stops) of answers that are right with `(k, K)` chance, by the gates."""
    if not group.gated:
        return chance, np.ones_like(chance)
    passes_right = chance * world.right[group.gates]
    return passes_right, passes_right + (1.0 - chance) * world.wrong[group.gates]


def some_right(quality: Floats, repeats: tuple[int, ...]) -> Floats:
    """Return `(k, K)` P(some of n answers is right), with `quality` `(k, n, K)` of each by itself.

    An arm that was wrong is wrong again with REPEATS, and else answers anew.
    """
    none = np.ones_like(quality[:, 0])
    for i, first in enumerate(repeats):
        each = quality[:, i]
        none = none * (1.0 - (each if first == i else (1.0 - REPEATS) * each))
    return 1.0 - none
