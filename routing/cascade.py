"""Cascades: plans as data, and the choice among them by expected utility. Pure.

A plan is a short row of stages. A stage asks one arm or several, and says what lets the plan stop there: a check that
the answer passes, arms that agree, or nothing more to do. One-arm routing is the plan of one stage without a check;
best-of-N by a check is a plan whose stages ask the same arm again; a vote is a stage of several arms that is final.

How likely a plan ends right comes from each arm's predicted quality and each check's power, given how hard the prompt
turns out to be. What makes a prompt hard for one arm makes it hard for the next, and often fools the check too, so all
of it hangs on one hidden difficulty d ~ N(0, 1), which is summed over. For stage s of a plan, with w_k the weights of
the nodes d_k,

    P(right) = sum_k w_k sum_s reach_sk * stops_right_sk,    reach_(s+1)k = reach_sk * (1 - stops_sk)
    E[cost]  = sum_k w_k sum_s reach_sk * cost_s

    utility = wtp_usd * P(right) - E[cost]
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import NANO

from .power import NODES, SPREAD, WEIGHTS, power_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .power import Power

    Floats = NDArray[np.float64]

__all__ = [
    "ALL",
    "MAX_STAGES",
    "Chosen",
    "Gate",
    "Plan",
    "Planner",
    "Stage",
    "Valued",
    "plan_table",
    "read_plan",
]

MAX_STAGES: Final = 3
ALL: Final = "*"
"""The gate that is all checks together."""

REPEATS: Final = 0.8
"""P(an arm asked again comes to the same answer), whatever it sampled: what it got wrong it mostly gets wrong again."""

_SAME_RIGHT: Final = 0.97  # two right answers are recognised as the same
_MARGIN: Final = 1e-12

How = Literal["one", "vote", "best"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a plan.

    Attributes
    ----------
    arms
        Asked one after the other; the same name twice is two samples.
    gate
        What lets the plan stop here: the name of a check, `*` for all checks, `agree` for arms that agree (of a
        single arm: with one that was asked before); None stops always.
    how
        Which of several answers is the stage's: the first that the others agree with, a vote's, or the best by a check
        or judge.
    """

    arms: tuple[str, ...]
    gate: str | None = None
    how: How = "one"

    def __str__(self) -> str:
        text = " + ".join(self.arms)
        if self.how != "one":
            text += f" {self.how}"
        return text if self.gate is None else f"{text} ? {'checks' if self.gate == ALL else self.gate}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An order of stages; the last one always stops.

    Attributes
    ----------
    repair
        Whether a stage that follows another is given the failed answer and what was wrong with it.
    """

    stages: tuple[Stage, ...]
    repair: bool = False

    def __str__(self) -> str:
        return " > ".join(str(stage) for stage in self.stages)

    @property
    def arms(self) -> tuple[str, ...]:
        """Every call of the plan, in order, where none of its stages stops it."""
        return tuple(arm for stage in self.stages for arm in stage.arms)

    @property
    def single(self) -> bool:
        """Whether it is one call."""
        return len(self.arms) == 1

    @property
    def kind(self) -> str:
        """Its kind in a word: one, check, agree, vote or best."""
        if self.single:
            return "one"
        if any(stage.gate == "agree" for stage in self.stages):
            return "agree"
        last = self.stages[-1]
        return last.how if last.how != "one" else "check"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "text": str(self),
            "repair": self.repair,
            "stages": [{"arms": list(each.arms), "gate": each.gate, "how": each.how} for each in self.stages],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read it back."""
        stages = tuple(Stage(tuple(each["arms"]), each["gate"], each["how"]) for each in data["stages"])
        return cls(stages, data.get("repair", False))


def read_plan(text: str, arms: Sequence[str], gates: Sequence[str], *, repair: bool = False) -> Plan:
    """Read a plan that a user spelled: stages parted by `>`, arms by `+`, what stops a stage after `?`.

    Raises
    ------
    UsageError
        If it is not a plan, or names an arm or check that is not there.

    Examples
    --------
    >>> str(read_plan("small ? checks > large", ["small", "large"], ["tests"]))
    'small ? checks > large'
    >>> str(read_plan("small + medium ? agree > large", ["small", "medium", "large"], []))
    'small + medium ? agree > large'
    >>> read_plan("a + b + c vote", ["a", "b", "c"], []).kind
    'vote'
    """
    stages: list[Stage] = []
    for part in text.split(">"):
        calls, mark, gate = (piece.strip() for piece in part.partition("?"))
        how: How = "one"
        found = re.fullmatch(r"(.*\S)\s+(vote|best)", calls)
        if found is not None and found[1] not in arms:
            calls, how = found[1], "vote" if found[2] == "vote" else "best"
        names = tuple(name.strip() for name in calls.split("+"))
        for name in names:
            if name not in arms:
                raise UsageError(f"--plan: no arm {name!r} here", hint=f"The arms are: {', '.join(arms)}.")
        known = ("agree", "checks", *gates)
        if mark and gate not in known:
            raise UsageError(f"--plan: no check {gate!r} to stop at", hint=f"There are: {', '.join(known)}.")
        if gate == "checks" and not gates:
            raise UsageError("--plan stops at checks, and there are none", hint="Give one with --check.")
        if gate == "agree" and len(names) < 2 and not stages:
            raise UsageError("--plan: one answer cannot agree with itself: give two, as in a + b ? agree")
        if len(names) > 1 and how == "one" and gate != "agree":
            raise UsageError(f"--plan: say what becomes of several answers: {calls} vote, best, or ? agree")
        if how == "best" and not gates:
            raise UsageError("--plan: `best` needs a check or judge to tell", hint="Give one with --check.")
        stages.append(Stage(names, None if not mark else ALL if gate == "checks" else gate, how))
    if sum(len(stage.arms) for stage in stages) > 12:
        raise UsageError("--plan: more than 12 calls for one prompt")
    if any(stage.gate is None for stage in stages[:-1]):
        raise UsageError("--plan: a stage without `? CHECK` always stops, so nothing can follow it")
    stages[-1] = Stage(stages[-1].arms, stages[-1].gate if stages[-1].gate == "agree" else None, stages[-1].how)
    return Plan(tuple(stages), repair)


def plan_table(
    arms: Sequence[str],
    costs: Sequence[float],
    gates: Sequence[str],
    *,
    comparable: bool = True,
    repair: bool = False,
) -> tuple[Plan, ...]:
    """Return every plan worth weighing for some arms and checks.

    One call; cheaper before dearer with a check between, of two or three arms; the same arm again; two arms that
    agree, else a third; and votes of the best three.

    Parameters
    ----------
    arms, costs
        Arms that can take the prompt, with their expected costs, which put them in order.
    gates
        Names of checks. With several, each alone and all together can be what stops a plan.
    comparable
        Whether answers to this prompt can be compared, so that agreement and votes make sense.
    """
    order = tuple(arms[i] for i in sorted(range(len(arms)), key=lambda i: (costs[i], i)))
    return _plan_table(order, tuple(gates), comparable, repair)


@lru_cache(maxsize=64)
def _plan_table(order: tuple[str, ...], gates: tuple[str, ...], comparable: bool, repair: bool) -> tuple[Plan, ...]:
    stops = [*gates, ALL] if len(gates) > 1 else list(gates)
    plans = [Plan((Stage((arm,)),)) for arm in order]
    for gate in stops:
        plans += [Plan((Stage((first,), gate), Stage((first,))), repair) for first in order]
        plans += [
            Plan((Stage((first,), gate), Stage((second,))), repair)
            for first, second in itertools.combinations(order, 2)
        ]
        plans += [
            Plan((Stage((first,), gate), Stage((second,), gate), Stage((third,))), repair)
            for first, second, third in itertools.combinations(order, 3)
        ]
    if comparable:
        plans += [
            Plan((Stage((first, second), "agree"), Stage((third,))), repair)
            for first, second, third in itertools.combinations(order, 3)
        ]
        plans += [
            Plan((Stage((first, first), "agree"), Stage((second,))), repair)
            for first, second in itertools.combinations(order, 2)
        ]
        plans += [
            Plan((Stage((first, second), "agree"), Stage((third,), "agree"), Stage((fourth,))), repair)
            for first, second, third, fourth in itertools.combinations(order, 4)
        ]
        plans += [Plan((Stage(trio, None, "vote"),)) for trio in itertools.combinations(order[-5:], 3)]
    return tuple(plans)


@dataclass(frozen=True, slots=True)
class Gate:
    """A check as the planner sees it.

    Attributes
    ----------
    cost_nano, bound_nano
        What using it once is expected to cost, and costs at most, nano-USD (a judge's call).
    """

    name: str
    power: Power
    cost_nano: int = 0
    bound_nano: int = 0
    payer: str | None = None


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


def _groups(
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


@dataclass(frozen=True, slots=True)
class Valued:
    """A plan with what is expected of it.

    Attributes
    ----------
    quality
        P(the final answer is right).
    cost_nano, bound_nano
        Expected cost, and what its calls could cost together at most, nano-USD.
    n_calls
        Expected number of calls.
    infeasible
        Why it is not begun, or None.
    """

    plan: Plan
    quality: float
    cost_nano: int
    bound_nano: int
    n_calls: float
    utility_usd: float
    infeasible: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "plan": str(self.plan),
            "quality": round(self.quality, 6),
            "cost_usd": self.cost_nano / NANO,
            "bound_usd": self.bound_nano / NANO,
            "calls": round(self.n_calls, 3),
            "utility": round(self.utility_usd, 9),
            "why": self.infeasible,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """The plan taken, with the best one-arm plan and the runners-up.

    Attributes
    ----------
    n_plans, n_unpayable
        How many were weighed, and how many of them could not be paid to the end.
    """

    taken: Valued | None
    one: Valued | None
    others: tuple[Valued, ...]
    n_plans: int
    n_unpayable: int


@dataclass(slots=True)
class _Table:
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


@dataclass(slots=True)
class Planner:
    """Chooses plans for one profile's arms and one set of checks.

    Parameters
    ----------
    gates
        The checks.
    spread
        How much hidden difficulty moves the arms' logits.
    same_wrong
        P(two wrong answers are the same), where answers can be compared.
    """

    gates: tuple[Gate, ...] = ()
    spread: float = SPREAD
    same_wrong: float = 0.2
    _tables: dict[int, _Table] = field(default_factory=dict)

    def values(
        self,
        plans: Sequence[Plan],
        arms: Sequence[str],
        quality: Sequence[float],
        cost_nano: Sequence[int],
    ) -> tuple[Floats, Floats, Floats]:
        """Return `(n_plans,)` P(right), expected cost in nano-USD, and expected number of calls."""
        table = self._table(plans)
        return self._values(table, arms, quality, cost_nano)

    def _table(self, plans: Sequence[Plan]) -> _Table:
        known = self._tables.get(id(plans))
        if known is not None and known.plans is plans:  # it holds them, so that the id stays theirs
            return known
        # With whether an earlier stage has asked this arm already, and whom the answer may agree with.
        stages: dict[tuple[Stage, bool, tuple[str, ...]], int] = {}
        index = np.full((len(plans), max((len(plan.stages) for plan in plans), default=1)), -1, dtype=np.intp)
        for i, plan in enumerate(plans):
            for j, stage in enumerate(plan.stages):
                again = any(arm in each.arms for each in plan.stages[:j] for arm in stage.arms)
                before = tuple(arm for each in plan.stages[:j] for arm in each.arms) if stage.gate == "agree" else ()
                index[i, j] = stages.setdefault((stage, again, before), len(stages))
        names = sorted({arm for plan in plans for arm in plan.arms})
        calls = np.array([[plan.arms.count(name) for name in names] for plan in plans], dtype=np.float64)
        first = np.array([[plan.stages[0].arms.count(name) for name in names] for plan in plans], dtype=np.float64)
        sizes = np.array([len(stage.arms) for stage, _, _ in stages], dtype=np.float64)
        gate_row = {name: i for i, name in enumerate([*(gate.name for gate in self.gates), ALL])}
        table = _Table(
            plans,
            list(stages),
            index,
            names,
            first.reshape(len(plans), len(names)),
            (calls - first).reshape(len(plans), len(names)),
            sizes,
            [plan.single for plan in plans],
            _groups(list(stages), names, [gate.name for gate in self.gates]),
            np.array([[1.0 - REPEATS if again else 1.0] for _, again, _ in stages]),
            np.array([[stage.arms.count(name) for name in names] for stage, _, _ in stages], dtype=np.float64),
            # What a stage's checks cost: of its gate once, or of all for each of several answers.
            np.array([gate_row.get(ALL if stage.how == "best" else stage.gate or "", -1) for stage, _, _ in stages]),
            np.array([len(stage.arms) if stage.how == "best" else 1.0 for stage, _, _ in stages]),
        )
        if len(self._tables) > 32:
            self._tables.clear()
        self._tables[id(plans)] = table
        return table

    def _values(
        self, table: _Table, arms: Sequence[str], quality: Sequence[float], cost_nano: Sequence[int]
    ) -> tuple[Floats, Floats, Floats]:
        q = np.clip(np.asarray(quality, dtype=np.float64), 1e-4, 1.0 - 1e-4)
        centre = np.log(q / (1.0 - q)) * math.sqrt(1.0 + math.pi * self.spread**2 / 8.0)
        at_nodes = 1.0 / (1.0 + np.exp(-(centre[:, None] - self.spread * NODES[None, :])))
        at_nodes *= (q / (at_nodes @ WEIGHTS))[:, None]  # the mean over difficulty is what was predicted
        at_nodes = np.minimum(at_nodes, 1.0)
        order = [list(arms).index(name) for name in table.names]
        at_nodes = at_nodes[order]
        costs = np.asarray(cost_nano, dtype=np.float64)[order]
        ease = float(np.log(q / (1.0 - q)).mean())
        powers = [power_at(gate.power, ease - self.spread * NODES) for gate in self.gates]
        given_right, given_wrong = (
            np.array(
                [*(power[y] for power in powers), np.prod([power[y] for power in powers], axis=0) * np.ones_like(NODES)]
            )
            for y in (0, 1)
        )
        extra = np.array([float(gate.cost_nano) for gate in self.gates])
        extra = np.concatenate([extra, [extra.sum(), 0.0]])  # of each gate, of all together, of none
        n_nodes = len(NODES)
        right = np.zeros((len(table.stages) + 1, n_nodes))
        stops = np.zeros((len(table.stages) + 1, n_nodes))
        for group in table.groups:
            right[group.at], stops[group.at] = group.values(at_nodes, given_right, given_wrong, self.same_wrong)
        right[:-1] *= table.again
        cost = np.append(table.asks @ costs + extra[table.checks] * table.n_checked, 0.0)
        sizes = np.append(table.n_stage_calls, 0.0)
        shape = (len(table.plans), n_nodes)
        reach = np.ones(shape)
        p_right, p_cost, p_calls = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for j in range(table.index.shape[1]):
            at = table.index[:, j]  # -1 is the empty stage at the end of the arrays
            p_cost += reach * cost[at][:, None]
            p_calls += reach * sizes[at][:, None]
            p_right += reach * right[at]
            reach = reach * (1.0 - stops[at])
        return p_right @ WEIGHTS, p_cost @ WEIGHTS, p_calls @ WEIGHTS

    def choose(
        self,
        plans: Sequence[Plan],
        arms: Sequence[str],
        quality: Sequence[float],
        cost_nano: Sequence[int],
        bound_nano: Sequence[int],
        *,
        wtp_usd: float,
        min_quality: float = 0.0,
        later_nano: Sequence[int] | None = None,
        left: Sequence[tuple[str | None, int]] = (),
        n_others: int = 4,
    ) -> Chosen:
        """Choose the plan of greatest utility among those that can be paid to the end.

        With `min_quality` it is the cheapest whose P(right) reaches it, or the best there is.

        Parameters
        ----------
        quality, cost_nano, bound_nano
            Of each arm: P(right), expected cost, and what is reserved for a call.
        later_nano
            What is reserved for a call after the first stage, where that is more: it may carry the failed answer.
        left
            What each cap over a day, month or run leaves, nano-USD, with the arm it is about (None: all of them).
        """
        table = self._table(plans)
        p_right, p_cost, p_calls = self._values(table, arms, quality, cost_nano)
        names = table.names
        first, later = (
            np.array([dict(zip(arms, each, strict=True))[name] for name in names], dtype=np.float64)
            for each in (bound_nano, bound_nano if later_nano is None else later_nano)
        )
        per_arm = table.calls * first + table.later * later
        checks = np.zeros(len(table.plans))
        if any(gate.bound_nano for gate in self.gates):
            checks = np.array([_gate_bounds(plan, self.gates) for plan in table.plans], dtype=np.float64)
        total = per_arm.sum(axis=1) + checks
        payable = np.ones(len(table.plans), dtype=bool)
        for arm, nano in left:
            if arm is None:
                payable &= (total <= max(nano, 0)) | (total == 0)
            elif arm in names:
                mine = per_arm[:, names.index(arm)]
                payable &= (mine <= max(nano, 0)) | (mine == 0)
        utility = wtp_usd * p_right - p_cost / NANO

        def valued(i: int) -> Valued:
            return Valued(
                plan=table.plans[i],
                quality=float(p_right[i]),
                cost_nano=round(float(p_cost[i])),
                bound_nano=int(total[i]),
                n_calls=float(p_calls[i]),
                utility_usd=float(utility[i]),
                infeasible=None if payable[i] else "the caps leave too little to pay it to its end",
            )

        if not payable.any():
            return Chosen(None, None, (), len(plans), len(plans))
        if min_quality > 0.0 and (p_right[payable] >= min_quality).any():
            ranked = np.lexsort((-p_right, p_cost, ~(payable & (p_right >= min_quality))))
        elif min_quality > 0.0:
            ranked = np.lexsort((p_cost, -p_right, ~payable))
        else:
            # Of equal plans the one of fewer calls: a check without power is not worth its own complication.
            ranked = np.lexsort((p_calls, -np.where(payable, utility - 1e-9 * wtp_usd * p_calls, -np.inf)))
        best = int(ranked[0])
        one = next((i for i in ranked.tolist() if table.single[i] and payable[i]), None)
        others = [i for i in ranked[: n_others + 2].tolist() if i not in (best, one)][:n_others]
        return Chosen(
            valued(best),
            None if one is None else valued(one),
            tuple(valued(i) for i in others),
            len(plans),
            int((~payable).sum()),
        )


def _gate_bounds(plan: Plan, gates: Sequence[Gate]) -> int:
    """Return what the checks of a plan can cost at most, nano-USD."""
    by_name = {gate.name: gate.bound_nano for gate in gates}
    total = 0
    for stage in plan.stages:
        if stage.how == "best":
            total += len(stage.arms) * sum(by_name.values())
        elif stage is plan.stages[-1] or stage.gate == ALL:
            total += sum(by_name.values())  # the answer that stands is put to every check
        elif stage.gate is not None:
            total += max(by_name.get(stage.gate, 0), sum(by_name.values()))
    return total
