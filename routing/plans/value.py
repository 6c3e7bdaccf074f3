"""Cascades: plans as data, and the choice among them by expected utility. Pure.

A plan is a short row of stages. A stage asks one arm or several, and says what lets the plan stop there: a check that
the answer passes, arms of which all or most agree, or nothing more to do. One-arm routing is the plan of one stage
without a check; best-of-N by a check is a plan whose stages ask the same arm again; a vote is a stage of several arms
that is final.

How likely a plan ends right comes from each arm's predicted quality and each check's power, given how hard the prompt
turns out to be. What makes a prompt hard for one arm makes it hard for the next, and often fools the check too, so all
of it hangs on one hidden difficulty d ~ N(0, 1), which is summed over. For stage s of a plan, with w_k the weights of
the nodes d_k,

    P(right) = sum_k w_k sum_s reach_sk * stops_right_sk,    reach_(s+1)k = reach_sk * (1 - stops_sk)
    E[cost]  = sum_k w_k sum_s reach_sk * cost_s

    utility = wtp_usd * P(right) - E[cost]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.profiles.money import NANO
from scrimp.profiles.schema import base_of

from .plan import ALL
from .power import NODES, SPREAD, WEIGHTS, power_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .plan import Plan
    from .power import Power
    from .table import PlanTable

    Floats = NDArray[np.float64]
from .table import plan_arrays

__all__ = ["Chosen", "Gate", "Planner", "Valued"]


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
class Short:
    """What keeps the plan that could cost least from being paid to its end.

    Attributes
    ----------
    at
        Which of the caps (of `left`) leaves least of those that leave too little.
    needed_nano
        What the plan could cost of what that cap is about, nano-USD.
    """

    plan: Plan
    at: int
    needed_nano: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The plan taken, with the best one-arm plan and the runners-up.

    Attributes
    ----------
    n_plans, n_unpayable
        How many were weighed, and how many of them could not be paid to the end.
    short
        Where none could: why.
    """

    taken: Valued | None
    one: Valued | None
    others: tuple[Valued, ...]
    n_plans: int
    n_unpayable: int
    short: Short | None = None


@dataclass(frozen=True, slots=True)
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

    def values(
        self,
        plans: Sequence[Plan],
        arms: Sequence[str],
        quality: Sequence[float],
        cost_nano: Sequence[int],
    ) -> tuple[Floats, Floats, Floats]:
        """Return `(n_plans,)` P(right), expected cost in nano-USD, and expected number of calls."""
        return self._values(self._table(plans), arms, quality, cost_nano)

    def _table(self, plans: Sequence[Plan]) -> PlanTable:
        return plan_arrays(tuple(plans), tuple(gate.name for gate in self.gates))

    def _values(
        self, table: PlanTable, arms: Sequence[str], quality: Sequence[float], cost_nano: Sequence[int]
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
        sizes = np.append(table.asks.sum(axis=1), 0.0)
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
            What each cap over a day, month or run leaves, nano-USD, with the arm or ladder it is about (None: all).
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
            else:
                mine = per_arm[:, _of(arm, names)].sum(axis=1)
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
            least = int(total.argmin())
            needs = [int(total[least] if arm is None else per_arm[least, _of(arm, names)].sum()) for arm, _ in left]
            lacking = [k for k, (_, nano) in enumerate(left) if needs[k] > max(nano, 0)]
            at = min(lacking, key=lambda k: left[k][1])
            return Chosen(None, None, (), len(plans), len(plans), Short(table.plans[least], at, needs[at]))
        if min_quality > 0.0 and (p_right[payable] >= min_quality).any():
            ranked = np.lexsort((-p_right, p_cost, ~(payable & (p_right >= min_quality))))
        elif min_quality > 0.0:
            ranked = np.lexsort((p_cost, -p_right, ~payable))
        else:
            # Of equal plans the one of fewer calls: a check without power is not worth its own complication.
            ranked = np.lexsort((p_calls, -np.where(payable, utility - 1e-9 * wtp_usd * p_calls, -np.inf)))
        best = int(ranked[0])
        one = next((i for i in ranked.tolist() if table.plans[i].single and payable[i]), None)
        others = [i for i in ranked[: n_others + 2].tolist() if i not in (best, one)][:n_others]
        return Chosen(
            valued(best),
            None if one is None else valued(one),
            tuple(valued(i) for i in others),
            len(plans),
            int((~payable).sum()),
        )


def _of(arm: str, names: Sequence[str]) -> list[int]:
    """Return the places of an arm, or of a ladder's rungs, among names."""
    return [k for k, name in enumerate(names) if arm == base_of(name)]


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
