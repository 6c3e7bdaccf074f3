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

    utility = wtp_usd * P(right) - E[cost] - E[what else is held against its calls]

Its seconds are summed like its cost: calls are made one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of, base_of

from .difficulty import clipped, over_difficulty
from .kinds.every import KINDS, UNPROVEN
from .kinds.kind import World
from .power import NODES, SPREAD, WEIGHTS, power_at
from .skills import ENOUGH, ROLES, prior_skill
from .table import plan_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .plan import Plan
    from .power import Power
    from .skills import Skill
    from .table import PlanTable
    from .tariff import Tariff

    Floats = NDArray[np.float64]

__all__ = ["Chosen", "Gate", "Planner", "Valued"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A check as the planner sees it.

    Attributes
    ----------
    cost_nano, bound_nano
        What using it once is expected to cost, and costs at most, nano-USD (a judge's call).
    kind
        What sort of check it is.
    seconds, held_usd
        How long using it once takes (a judge's call; 0 of a check that asks nobody; None: not known), and what is held
        against that, USD.
    """

    name: str
    power: Power
    cost_nano: int = 0
    bound_nano: int = 0
    kind: str = ""
    seconds: float | None = 0.0
    held_usd: float = 0.0


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
    seconds
        Expected seconds to its end; None where not all of them are known.
    """

    plan: Plan
    quality: float
    cost_nano: int
    bound_nano: int
    n_calls: float
    utility_usd: float
    infeasible: str | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "plan": str(self.plan),
            "quality": round(self.quality, 6),
            "cost_usd": self.cost_nano / NANO,
            "bound_usd": self.bound_nano / NANO,
            "calls": round(self.n_calls, 3),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
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

    def named(self, names: Mapping[str, str]) -> Chosen:
        """Return it with other names of arms in its plans."""

        def under(valued: Valued | None) -> Valued | None:
            return None if valued is None else replace(valued, plan=valued.plan.named(names))

        others = tuple(replace(each, plan=each.plan.named(names)) for each in self.others)
        return replace(self, taken=under(self.taken), one=under(self.one), others=others)


@dataclass(frozen=True, slots=True)
class _Values:
    """What is expected of n plans.

    Attributes
    ----------
    right, cost, calls, held, seconds
        `(n,) float64`: P(right), nano-USD, calls, USD that are held against them beside, and seconds (NaN: not known).
    longest
        `(n,) float64`: seconds of all their calls, as far as they are known, where no check ends them early.
    """

    right: Floats
    cost: Floats
    calls: Floats
    held: Floats
    seconds: Floats
    longest: Floats


def _joined(parts: Sequence[_Values]) -> _Values:
    return _Values(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Values.__slots__))


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
    skills
        What the log knows of arms that merge, lead, or judge, by role and arm (of bids, which no arm alone decides, by
        ""); of others the role's prior is taken.
    """

    gates: tuple[Gate, ...] = ()
    spread: float = SPREAD
    same_wrong: float = 0.2
    skills: Mapping[tuple[str, str], Skill] = field(default_factory=dict)

    def values(
        self,
        plans: Sequence[Plan],
        arms: Sequence[str],
        quality: Sequence[float],
        tariff: Tariff,
        *,
        low: bool = False,
    ) -> tuple[Floats, Floats, Floats]:
        """Return `(n_plans,)` P(right), expected cost in nano-USD, and expected number of calls.

        With `low` skills are taken at the lower ends of their intervals.
        """
        table = plan_arrays(tuple(plans), tuple(gate.name for gate in self.gates))
        values = self._values(table, arms, clipped(quality), tariff, low=low)
        return values.right, values.cost, values.calls

    def _values(
        self, table: PlanTable, arms: Sequence[str], q: Floats, tariff: Tariff, *, low: bool = False
    ) -> _Values:
        at = {name: i for i, name in enumerate(arms)}
        world = self._world(table, over_difficulty(q, self.spread)[[at[name] for name in table.names]], q, low=low)
        extra = np.array([float(gate.cost_nano) for gate in self.gates])
        extra = np.concatenate([extra, [extra.sum(), 0.0]])  # of each gate, of all together, of none
        n_nodes = len(NODES)
        right = np.zeros((len(table.stages) + 1, n_nodes))
        stops = np.zeros((len(table.stages) + 1, n_nodes))
        for group in table.groups:
            right[group.at], stops[group.at] = KINDS[group.kind].values(group, world)
        right[:-1] *= table.again
        costs = np.array([tariff.likely_nano(call) for call in table.calls], dtype=np.float64)
        cost = np.append(table.n_calls @ costs + extra[table.checks] * table.n_checked, 0.0)
        sizes = np.append(table.n_calls.sum(axis=1), 0.0)
        beside = self._beside(table, tariff)
        spent = np.zeros((len(table.plans), beside.shape[1]))
        longest = np.zeros(len(table.plans))
        shape = (len(table.plans), n_nodes)
        reach = np.ones(shape)
        p_right, p_cost, p_calls = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for j in range(table.index.shape[1]):
            stage = table.index[:, j]  # -1 is the empty stage at the end of the arrays
            p_cost += reach * cost[stage][:, None]
            p_calls += reach * sizes[stage][:, None]
            p_right += reach * right[stage]
            if beside.any():
                spent += (reach @ WEIGHTS)[:, None] * beside[stage]
                longest += beside[stage, 1]
            reach = reach * (1.0 - stops[stage])
        held, seconds, unknown = spent.T
        seconds = np.where(unknown > 0.0, np.nan, seconds)
        return _Values(p_right @ WEIGHTS, p_cost @ WEIGHTS, p_calls @ WEIGHTS, held, seconds, longest)

    def _beside(self, table: PlanTable, tariff: Tariff) -> Floats:
        """Return `(n_stages + 1, 3)`: USD held against a stage's calls, their seconds, and how many are not known."""
        seconds = [tariff.likely_seconds(call) for call in table.calls]
        calls = [
            (tariff.likely_held_usd(call), took or 0.0, float(took is None))
            for call, took in zip(table.calls, seconds, strict=True)
        ]
        gates = np.array([(gate.held_usd, gate.seconds or 0.0, float(gate.seconds is None)) for gate in self.gates])
        gates = gates.reshape(-1, 3)
        gates = np.vstack([gates, gates.sum(axis=0), np.zeros(3)])  # of each, of all together, of none
        own = table.n_calls @ np.array(calls, dtype=np.float64).reshape(-1, 3)
        return np.vstack([own + gates[table.checks] * np.asarray(table.n_checked)[:, None], np.zeros(3)])

    def _world(self, table: PlanTable, at_nodes: Floats, q: Floats, *, low: bool) -> World:
        """Return what the kinds of stages are valued by."""
        ease = float(np.log(q / (1.0 - q)).mean())
        powers = [power_at(gate.power, ease - self.spread * NODES) for gate in self.gates]
        given_right, given_wrong = (
            np.array(
                [*(power[y] for power in powers), np.prod([power[y] for power in powers], axis=0) * np.ones_like(NODES)]
            )
            for y in (0, 1)
        )
        pick, repair = {}, {}
        for role in {group.kind for group in table.groups} & {*ROLES}:
            skills = [self.skill(role, "" if role == "bid" else name) for name in table.names]
            pick[role] = np.array([each.pick_low if low else each.pick for each in skills])
            repair[role] = np.array([each.repair_low if low else each.repair for each in skills])
        return World(at_nodes, given_right, given_wrong, self.same_wrong, pick, repair)

    def skill(self, role: str, arm: str) -> Skill:
        """Return what an arm makes of answers in a role, however much it reads."""
        return self.skills.get((role, bare_of(arm))) or prior_skill(role)

    def proven(self, plan: Plan) -> bool:
        """Tell whether enough labels stand behind a plan's merges, leads, bids and knockouts to offer it unasked."""
        return all(
            self.skill(stage.how, by).n >= ENOUGH for stage in plan.stages if stage.made for by in (stage.by or ("",))
        )

    def choose(
        self,
        plans: Sequence[Plan],
        arms: Sequence[str],
        quality: Sequence[float],
        tariff: Tariff,
        *,
        wtp_usd: float,
        min_quality: float = 0.0,
        left: Sequence[tuple[str | None, int]] = (),
        n_others: int = 4,
        more: Sequence[Plan] = (),
        asked_for: bool = False,
        max_seconds: float | None = None,
    ) -> Chosen:
        """Choose the plan of greatest utility among those that can be paid to the end.

        With `min_quality` it is the cheapest whose P(right) reaches it, or the best there is. A plan that leads, bids
        or knocks out is taken only where the lower end of its utility is above all that others offer.

        Parameters
        ----------
        quality
            Of each arm: P(right).
        tariff
            What calls cost.
        left
            What each cap over a day, month or run leaves, nano-USD, with the arm or ladder it is about (None: all).
        more
            Further plans, which change from prompt to prompt; a plan that stands in `plans` too is weighed once.
        asked_for
            Whether they were asked for by name: then nothing has to be proven.
        max_seconds
            What all calls of a plan may take together, as far as it is known, where none of its checks ends it early.
        """
        q = clipped(quality)
        gates = tuple(gate.name for gate in self.gates)
        tables = [plan_arrays(tuple(plans), gates)] if plans else []
        there = tables[0].known if tables else frozenset()
        if further := tuple(plan for plan in more if plan not in there):
            tables.append(plan_arrays(further, gates))
        every = tuple(plan for table in tables for plan in table.plans)
        starts = (0, len(plans))
        values = _joined([self._values(table, arms, q, tariff) for table in tables])
        p_right, p_cost, p_calls = values.right, values.cost, values.calls
        bounds = [_bounds(table, self.gates, tariff, [arm for arm, _ in left]) for table in tables]
        total = np.concatenate([each[0] for each in bounds])
        payable = np.ones(len(every), dtype=bool)
        for k, (arm, nano) in enumerate(left):
            mine = total if arm is None else np.concatenate([each[1][k] for each in bounds])
            payable &= (mine <= max(nano, 0)) | (mine == 0)
        burden = p_cost / NANO + values.held
        utility = wtp_usd * p_right - burden
        late = np.zeros(len(every), dtype=bool) if max_seconds is None else values.longest > max_seconds
        offered = payable & ~late
        made = [i for first, table in zip(starts, tables, strict=False) for i in (first + j for j in table.made)]
        if made and not asked_for:
            offered = offered & self._offered(every, made, arms, q, tariff, wtp_usd, utility, offered)

        def valued(i: int) -> Valued:
            why = None
            if not payable[i]:
                why = "the caps leave too little to pay it to its end"
            elif late[i]:
                why = f"its calls take about {values.longest[i]:.2g} s, and {max_seconds:g} s are left for them"
            elif not offered[i]:
                few = not self.proven(every[i])
                why = f"not by itself before {ENOUGH} labels" if few else "labels do not show that it pays"
            return Valued(
                plan=every[i],
                quality=float(p_right[i]),
                cost_nano=round(float(p_cost[i])),
                bound_nano=int(total[i]),
                n_calls=float(p_calls[i]),
                utility_usd=float(utility[i]),
                infeasible=why,
                seconds=None if np.isnan(values.seconds[i]) else float(values.seconds[i]),
            )

        n_unpayable = int((~payable).sum())
        if not payable.any():
            least = int(total.argmin())
            needs = [
                int(total[least] if arm is None else np.concatenate([each[1][k] for each in bounds])[least])
                for k, (arm, _) in enumerate(left)
            ]
            lacking = [k for k, (_, nano) in enumerate(left) if needs[k] > max(nano, 0)]
            at = min(lacking, key=lambda k: left[k][1])
            return Chosen(None, None, (), len(every), n_unpayable, Short(every[least], at, needs[at]))
        if min_quality > 0.0 and (p_right[offered] >= min_quality).any():
            ranked = np.lexsort((-p_right, burden, ~(offered & (p_right >= min_quality))))
        elif min_quality > 0.0:
            ranked = np.lexsort((burden, -p_right, ~offered))
        else:
            # Of equal plans the one of fewer calls: a check without power is not worth its own complication.
            ranked = np.lexsort((p_calls, -np.where(offered, utility - 1e-9 * wtp_usd * p_calls, -np.inf)))
        best = int(ranked[0])
        one = next((i for i in ranked.tolist() if every[i].single and payable[i]), None)
        taken = valued(best) if offered[best] else None
        others = [i for i in ranked[: n_others + 2].tolist() if i != one and (i != best or taken is None)][:n_others]
        return Chosen(
            taken,
            None if one is None else valued(one),
            tuple(valued(i) for i in others),
            len(every),
            n_unpayable,
        )

    def _offered(
        self,
        plans: Sequence[Plan],
        made: Sequence[int],
        arms: Sequence[str],
        q: Floats,
        tariff: Tariff,
        wtp_usd: float,
        utility: Floats,
        payable: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return which plans may be taken unasked: of those that make an answer of others, what labels speak for."""
        offered = np.ones(len(plans), dtype=bool)
        offered[made] = [self.proven(plans[i]) for i in made]
        unproven = [i for i in made if offered[i] and _unproven(plans[i])]
        if unproven:
            rest = offered & payable
            rest[unproven] = False
            table = plan_arrays(tuple(plans[i] for i in unproven), tuple(gate.name for gate in self.gates))
            least = self._values(table, arms, q, tariff, low=True)
            worth = wtp_usd * least.right - least.cost / NANO - least.held
            offered[unproven] = worth > utility[rest].max(initial=-np.inf)
        return offered


def _unproven(plan: Plan) -> bool:
    return any(stage.how in UNPROVEN for stage in plan.stages)


def _bounds(
    table: PlanTable, gates: Sequence[Gate], tariff: Tariff, of: Sequence[str | None]
) -> tuple[Floats, list[Floats]]:
    """Return `(n_plans,)` what plans can cost at most, and what of it can go to each of some arms, nano-USD.

    Where a call goes to one of several arms the dearest of them counts; of one arm alone, all such calls.
    """
    each = [{arm: tariff.most_nano(arm, quotes, limit) for arm in arms} for arms, quotes, limit in table.most]
    checks = table.n_judged * sum(gate.bound_nano for gate in gates)
    total = table.n_most @ np.array([max(costs.values()) for costs in each], dtype=np.float64) + checks
    mine = [
        total if arm is None else table.n_most @ np.array([_most_of(arm, costs) for costs in each], dtype=np.float64)
        for arm in of
    ]
    return total, mine


def _most_of(arm: str, costs: Mapping[str, int]) -> int:
    """Return what a call may cost of an arm, or of the dearest rung of a ladder; 0 where it goes to neither."""
    return max((nano for name, nano in costs.items() if arm in (name, base_of(name))), default=0)
