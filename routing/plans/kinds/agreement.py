"""Answers that are compared: all or most have to say the same.

A right answer is recognised with P _SEEN, else it says the same as nothing. A wrong one is any of 1 / same_wrong wrong
answers alike, so that two are the same with P same_wrong. An arm asked again says with P REPEATS what it said first,
whatever that was. With c_v the number of answers that say v, and at most one v that reaches a quorum (more than half,
or all),

    P(right answers make the quorum) = P(c_right >= needed)
    P(wrong ones do) = sum over wrong v of P(c_v >= needed) = P(c_v >= needed) / same_wrong

where c_v is a sum over arms, which are independent given the difficulty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.text.compare import n_needed

from .kind import MARGIN, REPEATS, Kind, asks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.plans.plan import Stage
    from scrimp.routing.text.compare import Quorum

    from .kind import Floats, Group, Likely, World

__all__ = ["Joins", "Together"]

_SEEN: Final = 0.97**0.5
"""P(a right answer is recognised as what it says), so that two of them are the same with 0.97."""

_ONE: Final[Floats] = np.ones(())


class Together(Kind):
    """Several arms, whose answers are compared among themselves."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        assert group.quorum is not None  # noqa: S101 - so it was grouped
        return _quorum(world.q[group.arms], group.quorum, group.repeats, world.same_wrong)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return a call of each arm."""
        return asks(stage)


class Joins(Kind):
    """One arm, whose answer is compared with all that were given before."""

    def values(self, group: Group, world: World) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops)."""
        assert group.quorum is not None  # noqa: S101 - so it was grouped
        mine, earlier = world.q[group.arms[:, 0]], world.q[group.earlier]
        return _joins(mine, earlier, group.quorum, group.unmet, group.repeats, world.same_wrong)

    def likely(self, stage: Stage) -> tuple[tuple[Likely, float], ...]:
        """Return the one call."""
        return asks(stage)


def _quorum(quality: Floats, how: Quorum, repeats: tuple[int, ...], same_wrong: float) -> tuple[Floats, Floats]:
    """Return P(enough of some answers say the same, which is right), and P(enough do); `quality` is `(k, n, K)`."""
    needed = n_needed(how, quality.shape[1])

    def met(chance: Floats, seen: float) -> Floats:
        return sum(_says(chance, repeats, seen)[needed:], 0.0 * _ONE)

    return _right_or_wrong(met, quality, same_wrong)


def _joins(
    q: Floats, earlier: Floats, how: Quorum, unmet: Quorum | None, repeats: tuple[int, ...], same_wrong: float
) -> tuple[Floats, Floats]:
    """Return what `_quorum` does of one more answer and the earlier ones together, given that those made no quorum.

    A value v of which the earlier say too little for `unmet` and with one more enough for `how` leaves no room for
    another that made a quorum: so P(c_v so many and no quorum before) is P(c_v so many), divided by P(no quorum). That
    is exact where the earlier are of one stage, or of one and then single arms; `earlier` is `(k, m, K)`.
    """
    m = earlier.shape[1]
    needed, below = n_needed(how, m + 1), m + 1 if unmet is None else n_needed(unmet, m)
    both = np.concatenate([earlier, q[:, None]], axis=1)

    def met(chance: Floats, seen: float) -> Floats:
        counts = _says(chance[:, :-1], repeats, seen)
        one_short = sum(counts[needed - 1 : min(needed, below)], 0.0 * _ONE)
        return one_short * seen * chance[:, -1] + sum(counts[needed:below], 0.0 * _ONE)

    right, stops = _right_or_wrong(met, both, same_wrong)
    if unmet is None:
        return right, stops
    reach = np.maximum(1.0 - _quorum(earlier, unmet, repeats, same_wrong)[1], MARGIN)
    return right / reach, np.minimum(stops / reach, 1.0)


def _right_or_wrong(
    met: Callable[[Floats, float], Floats], quality: Floats, same_wrong: float
) -> tuple[Floats, Floats]:
    """Return P(right answers meet a condition), and P(those or wrong ones do).

    `met` returns P(one value meets it) from P(each answer is that value) and P(it is recognised).
    """
    share = max(same_wrong, MARGIN)
    right = met(quality, _SEEN)
    wrong = met(share * (1.0 - quality), 1.0) / share
    return right, np.minimum(right + wrong, 1.0)


def _says(chance: Floats, repeats: tuple[int, ...], seen: float) -> list[Floats]:
    """Return P(so many of n answers say one value), `(k, K)` for each of 0 to n.

    `chance` is `(k, n, K)`, of each answer by itself.
    """
    by_arm: list[list[Floats]] = []
    for first in dict.fromkeys(repeats):
        says, n_again = chance[:, first], repeats.count(first) - 1
        if n_again == 0:
            by_arm.append([1.0 - seen * says, seen * says])
            continue
        again, anew = seen * (REPEATS + (1.0 - REPEATS) * says), seen * (1.0 - REPEATS) * says
        if_said = _sum([_ONE - seen, _ONE * seen], *[[1.0 - again, again]] * n_again)
        if_not = _sum([_ONE, _ONE * 0.0], *[[1.0 - anew, anew]] * n_again)
        by_arm.append([says * a + (1.0 - says) * b for a, b in zip(if_said, if_not, strict=True)])
    return _sum(*by_arm)


def _sum(*counts: Sequence[Floats]) -> list[Floats]:
    """Return the distribution of the sum of independent counts, each given as P(0), P(1), ..."""
    total: list[Floats] = [_ONE]
    for each in counts:
        grown = [_ONE * 0.0] * (len(total) + len(each) - 1)
        for i, one in enumerate(total):
            for j, other in enumerate(each):
                grown[i + j] = grown[i + j] + one * other
        total = grown
    return total
