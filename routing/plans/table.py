"""Many plans as arrays of stages, so that all are valued at once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from .power import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
from .plan import ALL, Plan, Stage

__all__ = []


REPEATS: Final = 0.8
"""P(an arm asked again comes to the same answer), whatever it sampled: what it got wrong it mostly gets wrong again."""

_SAME_RIGHT: Final = 0.97  # two right answers are recognised as the same
_MARGIN: Final = 1e-12


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
        `(k, m)` the arms of the stages before, which did not agree.
    """

    kind: Literal["alone", "gated", "joins", "agree", "first", "vote", "best"]
    at: NDArray[np.intp]
    arms: NDArray[np.intp]
    gates: NDArray[np.intp]
    earlier: NDArray[np.intp]

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
        if self.kind == "joins":
            return _joins(first, q[self.earlier], same_wrong)
        if self.kind == "agree":
            same = (self.arms == self.arms[:, :1]).all(axis=1)
            again = np.where(same, REPEATS, 0.0)[:, None, None]
            others = mine[:, 1:]
            agree_right = first * _majority(_SAME_RIGHT * (again + (1.0 - again) * others))
            agree_wrong = (1.0 - first) * _majority(again + (1.0 - again) * same_wrong * (1.0 - others))
            return agree_right, agree_right + agree_wrong
        always = np.ones_like(first)
        if self.kind == "vote":
            return _vote_right(mine, same_wrong), always
        if self.kind == "best":
            return _best_right(mine, right[-1], wrong[-1]), always
        return first, always  # alone; or the first of several stands, whether or not the others agree


def grouped(
    stages: Sequence[tuple[Stage, bool, tuple[str, ...]]], arms: Sequence[str], gates: Sequence[str]
) -> list[_Group]:
    """Return stages in groups of one kind and size."""
    row = {name: i for i, name in enumerate(arms)}
    gate_row = {name: i for i, name in enumerate([*gates, ALL])}
    places: dict[tuple[Any, int, int], list[int]] = {}
    for i, (stage, _, earlier) in enumerate(stages):
        kind: Any = stage.how
        if stage.how == "one":
            several = len(stage.arms) > 1
            if stage.gate is None:
                kind = "first" if several else "alone"
            elif stage.gate == "agree":
                kind = "agree" if several else "joins"
            else:
                kind = "gated"
        places.setdefault((kind, len(stage.arms), len(earlier) if kind == "joins" else 0), []).append(i)
    return [
        _Group(
            kind,
            np.array(at, dtype=np.intp),
            np.array([[row[arm] for arm in stages[i][0].arms] for i in at], dtype=np.intp),
            np.array([gate_row.get(stages[i][0].gate or "", -1) for i in at], dtype=np.intp),
            np.array([[row[arm] for arm in stages[i][2][:n_earlier]] for i in at], dtype=np.intp),
        )
        for (kind, _, n_earlier), at in places.items()
    ]


def _joins(q: Floats, earlier: Floats, same_wrong: float) -> tuple[Floats, Floats]:
    """Return P(right and as one of the earlier answers says) and P(as one of them says), given that those differed.

    Of answers that differ at most one is right: it is with the odds of exactly one against none, these all apart.
    `earlier` is `(k, m, K)`.
    """
    wrong = 1.0 - earlier
    none = wrong.prod(axis=1) * (1.0 - same_wrong)
    m = earlier.shape[1]
    one = sum((earlier[:, j] * np.delete(wrong, j, axis=1).prod(axis=1) for j in range(m)), np.zeros_like(q))
    some = one / np.maximum(one + none, _MARGIN)
    joins_right = q * some * _SAME_RIGHT
    return joins_right, joins_right + (1.0 - q) * (1.0 - (1.0 - same_wrong) ** (m - some))


def _majority(chances: Floats) -> Floats:
    """Return `(k, K)` P(more than half of some independent events happen); `chances` is `(k, n, K)`."""
    n = chances.shape[1]
    if n == 1:
        only: Floats = chances[:, 0]
        return only
    counts = np.zeros((n + 1, chances.shape[0], chances.shape[2]))
    counts[0] = 1.0
    for i in range(n):
        chance = chances[:, i]
        counts[1:] = counts[1:] * (1.0 - chance) + counts[:-1] * chance
        counts[0] *= 1.0 - chance
    total: Floats = counts[n // 2 + 1 :].sum(axis=0)
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
        wins = together * (sure > wrong.sum(axis=1)) + (1.0 - together) * (sure > wrong.max(axis=1, initial=0.0))
        total += chance * wins[:, None]
    return total


@dataclass(slots=True)
class PlanTable:
    """What does not depend on the prompt: the stages that plans are made of, and each plan as their indices."""

    plans: Sequence[Plan]
    stages: list[tuple[Stage, bool, tuple[str, ...]]]
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
