"""Many plans as arrays of stages, so that all are valued at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
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

__all__ = ["REPEATS", "PlanTable", "StageAt", "grouped", "stages_of"]


REPEATS: Final = 0.8
"""P(an arm asked again comes to the same answer), whatever it sampled: what it got wrong it mostly gets wrong again."""

_SEEN: Final = 0.97**0.5
"""P(a right answer is recognised as what it says), so that two of them are the same with 0.97."""

_MARGIN: Final = 1e-12


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
        if stage.how != "one":
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
        total: Floats = _says(chance, repeats, seen)[needed:].sum(axis=0)
        return total

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
        one_short, enough = counts[needed - 1 : min(needed, below)].sum(axis=0), counts[needed:below].sum(axis=0)
        joint: Floats = one_short * seen * chance[:, -1] + enough
        return joint

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


def _says(chance: Floats, repeats: tuple[int, ...], seen: float) -> Floats:
    """Return `(n + 1, k, K)` P(so many of n answers say one value), each of which says it with a `(k, n, K)` chance."""
    counts = np.ones((1, chance.shape[0], chance.shape[2]))
    for first in dict.fromkeys(repeats):
        says = chance[:, first]
        n_again = repeats.count(first) - 1
        anyway = (1.0 - REPEATS) * says
        if_said, if_not = (
            _sum([seen * np.ones_like(says), *[seen * (REPEATS + anyway)] * n_again]),
            _sum([np.zeros_like(says), *[seen * anyway] * n_again]),
        )
        counts = _convolved(counts, says * if_said + (1.0 - says) * if_not)
    return counts


def _sum(chances: Sequence[Floats]) -> Floats:
    """Return `(n + 1, ...)` P(so many of n independent events happen)."""
    counts = np.ones((1, *chances[0].shape))
    for chance in chances:
        counts = _convolved(counts, np.stack([1.0 - chance, chance]))
    return counts


def _convolved(one: Floats, other: Floats) -> Floats:
    """Return the distribution of the sum of two independent counts, each `(n + 1, ...)`."""
    total = np.zeros((len(one) + len(other) - 1, *one.shape[1:]))
    for i, each in enumerate(other):
        total[i : i + len(one)] += one * each
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


@dataclass(slots=True)
class PlanTable:
    """What does not depend on the prompt: the stages that plans are made of, and each plan as their indices."""

    plans: Sequence[Plan]
    stages: list[StageAt]
    index: NDArray[np.intp]
    names: list[str]
    calls: Floats  # of the first stage
    later: Floats
    n_stage_calls: Floats
    single: list[bool]
    groups: list[_Group]
    again: Floats
    asks: Floats
    checks: NDArray[np.intp]
    n_checked: Floats
