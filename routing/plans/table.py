"""Many plans as arrays of stages, so that all are valued at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from scrimp.routing.text.compare import n_needed

from .plan import ALL
from .power import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.text.compare import Quorum

    from .plan import Plan, Stage

    Floats = NDArray[np.float64]
    Kind = Literal["alone", "gated", "joins", "quorum", "vote", "best"]

__all__ = ["PlanTable", "plan_arrays"]


REPEATS: Final = 0.8
"""P(an arm asked again comes to the same answer), whatever it sampled: what it got wrong it mostly gets wrong again."""

_SEEN: Final = 0.97**0.5
"""P(a right answer is recognised as what it says), so that two of them are the same with 0.97."""

_MARGIN: Final = 1e-12
_ONE: Final[Floats] = np.ones(())


@dataclass(frozen=True, slots=True)
class StageAt:
    """A stage, and what its value takes from where in a plan it stands.

    Attributes
    ----------
    again
        Whether an earlier stage has asked one of its arms.
    earlier
        Whose answers its own is compared with: those before it, for a quorum of a single arm.
    unmet
        The quorum that those answers did not make; None where they were not compared.
    """

    stage: Stage
    again: bool = False
    earlier: tuple[str, ...] = ()
    unmet: Quorum | None = None


def stages_of(plan: Plan) -> list[StageAt]:
    """Return a plan's stages, each with what its value depends on."""
    found: list[StageAt] = []
    before: tuple[str, ...] = ()
    for number, stage in enumerate(plan.stages, start=1):
        again = any(arm in before for arm in stage.arms)
        if stage.quorum is None:
            at = StageAt(stage, again)
        elif number == len(plan.stages):
            # It ends the plan, met or not: what most say stands then; of a single arm mostly its own answer.
            at = StageAt(replace(stage, gate=None, how="vote" if len(stage.arms) > 1 else "one"), again)
        elif len(stage.arms) > 1:
            at = StageAt(stage, again)
        else:
            at = StageAt(stage, again, before, plan.stages[number - 2].quorum)
        found.append(at)
        before += stage.arms
    return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Stages of one kind, which are valued together.

    Attributes
    ----------
    at
        `(k,)` their places in the table.
    arms
        `(k, n)` the arms they ask, as rows of the qualities.
    gates
        `(k,)` what they stop at, as rows of the powers; -1 where that is nothing, or agreement.
    earlier
        `(k, m)` the arms whose answers theirs is compared with.
    quorum, unmet
        How many answers have to say the same, and of the earlier ones did not.
    repeats
        For each of the answers that are compared (a stage's own, or the earlier ones), the position of the first of
        the same arm.
    """

    kind: Kind
    at: NDArray[np.intp]
    arms: NDArray[np.intp]
    gates: NDArray[np.intp]
    earlier: NDArray[np.intp]
    quorum: Quorum | None
    unmet: Quorum | None
    repeats: tuple[int, ...]

    def values(self, q: Floats, right: Floats, wrong: Floats, same_wrong: float) -> tuple[Floats, Floats]:
        """Return `(k, K)` P(stops and is right) and P(stops) of each stage, given each of K nodes of difficulty.

        Parameters
        ----------
        q
            `(n_arms, K)` P(right) of each arm at the nodes.
        right, wrong
            `(n_gates, K)` P(pass | right) and P(pass | wrong) of each gate at the nodes; the last is all together.
        same_wrong
            P(two wrong answers are the same).
        """
        mine = q[self.arms]  # (k, n, K)
        first = mine[:, 0]
        if self.kind == "gated":
            passes_right = first * right[self.gates]
            return passes_right, passes_right + (1.0 - first) * wrong[self.gates]
        if self.kind == "quorum":
            assert self.quorum is not None  # noqa: S101 - so it was grouped
            return _quorum(mine, self.quorum, self.repeats, same_wrong)
        if self.kind == "joins":
            assert self.quorum is not None  # noqa: S101 - so it was grouped
            return _joins(first, q[self.earlier], self.quorum, self.unmet, self.repeats, same_wrong)
        always = np.ones_like(first)
        if self.kind == "vote":
            return _vote_right(mine, same_wrong), always
        if self.kind == "best":
            return _best_right(mine, right[-1], wrong[-1]), always
        return first, always


def grouped(stages: Sequence[StageAt], arms: Sequence[str], gates: Sequence[str]) -> list[_Group]:
    """Return stages in groups that are valued by one formula."""
    row = {name: i for i, name in enumerate(arms)}
    gate_row = {name: i for i, name in enumerate([*gates, ALL])}
    places: dict[tuple[Kind, int, Quorum | None, Quorum | None, tuple[int, ...]], list[int]] = {}
    for i, at in enumerate(stages):
        stage = at.stage
        kind: Kind
        if stage.how in ("vote", "best"):
            kind = stage.how
        elif stage.quorum is not None:
            kind = "quorum" if len(stage.arms) > 1 else "joins"
        else:
            kind = "alone" if stage.gate is None else "gated"
        compared = at.earlier or stage.arms
        repeats = tuple(compared.index(arm) for arm in compared)
        places.setdefault((kind, len(stage.arms), stage.quorum, at.unmet, repeats), []).append(i)
    return [
        _Group(
            kind,
            np.array(at, dtype=np.intp),
            np.array([[row[arm] for arm in stages[i].stage.arms] for i in at], dtype=np.intp),
            np.array([gate_row.get(stages[i].stage.gate or "", -1) for i in at], dtype=np.intp),
            np.array([[row[arm] for arm in stages[i].earlier] for i in at], dtype=np.intp),
            quorum,
            unmet,
            repeats,
        )
        for (kind, _, quorum, unmet, repeats), at in places.items()
    ]


# Agreement. A right answer is recognised with P _SEEN, else it says the same as nothing. A wrong one is any of
# 1 / same_wrong wrong answers alike, so that two are the same with P same_wrong. An arm asked again says with P REPEATS
# what it said first, whatever that was. With c_v the number of answers that say v, and at most one v that reaches a
# quorum (more than half, or all),
#
#     P(right answers make the quorum) = P(c_right >= needed)
#     P(wrong ones do) = sum over wrong v of P(c_v >= needed) = P(c_v >= needed) / same_wrong
#
# where c_v is a sum over arms, which are independent given the difficulty.


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
    reach = np.maximum(1.0 - _quorum(earlier, unmet, repeats, same_wrong)[1], _MARGIN)
    return right / reach, np.minimum(stops / reach, 1.0)


def _right_or_wrong(
    met: Callable[[Floats, float], Floats], quality: Floats, same_wrong: float
) -> tuple[Floats, Floats]:
    """Return P(right answers meet a condition), and P(those or wrong ones do).

    `met` returns P(one value meets it) from P(each answer is that value) and P(it is recognised).
    """
    share = max(same_wrong, _MARGIN)
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


def _best_right(quality: Floats, given_right: Floats, given_wrong: Floats) -> Floats:
    """Return `(k, K)` P(the best by the checks is right): the first that passes is taken, else the first."""
    q = quality[:, 0]
    right, undecided = np.zeros_like(q), np.ones_like(q)
    for i in range(quality.shape[1]):
        each = quality[:, i]
        right = right + undecided * each * given_right
        undecided = undecided * (1.0 - each * given_right - (1.0 - each) * given_wrong)
    failed_right = q * (1.0 - given_right)
    failed = failed_right + (1.0 - q) * (1.0 - given_wrong)
    return right + undecided * failed_right / np.maximum(failed, _MARGIN)


def _vote_right(quality: Floats, same_wrong: float) -> Floats:
    """Return `(k, K)` P(a weighted vote is right); n wrong answers are all the same with P same_wrong^(n - 1)."""
    mean = np.clip(quality @ WEIGHTS, 0.05, 0.95)
    weights = np.maximum(0.05, np.log(4.0 * mean / (1.0 - mean)))  # (k, n)
    total = np.zeros_like(quality[:, 0])
    for pattern in itertools.product((True, False), repeat=quality.shape[1]):
        right = np.array(pattern)
        if not right.any():
            continue
        sure, wrong = weights[:, right].sum(axis=1), weights[:, ~right]
        chance = np.where(right[:, None], quality, 1.0 - quality).prod(axis=1)
        together = same_wrong ** max(0, wrong.shape[1] - 1)
        sure = sure + (1e-9 if right[0] else 0.0)  # of equal weights what the first says is taken
        wins = together * (sure > wrong.sum(axis=1)) + (1.0 - together) * (sure > wrong.max(axis=1, initial=0.0))
        total += chance * wins[:, None]
    return total


@dataclass(frozen=True, slots=True)
class PlanTable:
    """What does not depend on the prompt: the stages that plans are made of, and each plan as their places.

    Attributes
    ----------
    stages, index
        The different stages, and `(n_plans, most_stages)` which of them each plan has, in order; -1 after its last.
    names
        The arms, as the columns of `calls`, `later` and `asks`.
    calls, later
        `(n_plans, n_arms)` how often a plan asks an arm in its first stage, and in all others together.
    groups
        The stages by the formula that values them.
    again
        `(n_stages, 1)` by what P(right) is multiplied: an arm that was asked before mostly says the same again.
    asks, checks, n_checked
        Of each stage: how often it asks each arm; whose cost its checks are, as a row of the gates, all together, or
        none; and how often they are used.
    """

    plans: tuple[Plan, ...]
    stages: tuple[StageAt, ...]
    index: NDArray[np.intp]
    names: tuple[str, ...]
    calls: Floats
    later: Floats
    groups: list[_Group]
    again: Floats
    asks: Floats
    checks: NDArray[np.intp]
    n_checked: Floats


@lru_cache(maxsize=32)
def plan_arrays(plans: tuple[Plan, ...], gates: tuple[str, ...]) -> PlanTable:
    """Return plans as arrays, for checks of these names."""
    stages: dict[StageAt, int] = {}
    index = np.full((len(plans), max((len(plan.stages) for plan in plans), default=1)), -1, dtype=np.intp)
    for i, plan in enumerate(plans):
        for j, at in enumerate(stages_of(plan)):
            index[i, j] = stages.setdefault(at, len(stages))
    names = sorted({arm for plan in plans for arm in plan.arms})
    gate_row = {name: i for i, name in enumerate([*gates, ALL])}
    own = [at.stage for at in stages]

    def asked(calls: Sequence[tuple[str, ...]]) -> Floats:
        table = np.array([[arms.count(name) for name in names] for arms in calls], dtype=np.float64)
        return table.reshape(len(calls), len(names))

    first = asked([plan.stages[0].arms for plan in plans])
    return PlanTable(
        plans,
        tuple(stages),
        index,
        tuple(names),
        first,
        asked([plan.arms for plan in plans]) - first,
        grouped(list(stages), names, gates),
        np.array([[1.0 - REPEATS if at.again else 1.0] for at in stages]),
        asked([stage.arms for stage in own]),
        # What a stage's checks cost: of its gate once, or of all for each of several answers.
        np.array([gate_row.get(ALL if stage.how == "best" else stage.gate or "", -1) for stage in own]),
        np.array([len(stage.arms) if stage.how == "best" else 1.0 for stage in own]),
    )
