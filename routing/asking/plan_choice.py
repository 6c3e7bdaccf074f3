"""From a decision on arms to a plan: one call, the plan of greatest utility, or the one that was asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import BudgetRefusedError, UsageError
from scrimp.profiles.schema import NAME_PATTERN
from scrimp.routing.checks.agree import AgreeCheck
from scrimp.routing.checks.judge import JUDGE_LIMIT, JudgeCheck
from scrimp.routing.deciding.policy import NoDraw
from scrimp.routing.ledger.caps import Cap, Room, applicable_caps, left_nano, room_of, too_small
from scrimp.routing.plans.grammar import read_plan
from scrimp.routing.plans.plan import Plan, Stage, plan_table
from scrimp.routing.plans.record import learned_powers, learned_spread
from scrimp.routing.plans.spends import QUOTED_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.value import Gate
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask, Way

__all__ = ["PlanChooser", "arms_in", "comparable", "rooms_of"]


def rooms_of(ledger: Ledger, profile: Profile, ask: Ask, *, run_id: str, now: float) -> list[Room]:
    """Return what each cap on a request leaves."""
    rooms: list[Room] = []
    if (most := ask.wishes.max_cost_nano) is not None:
        rooms.append(Room(Cap("--max-cost:run", most, f"run:{run_id}"), most))
    if (most := ask.cap_override_nano) is not None:
        return [*rooms, Room(Cap("--cap-override:run", most, f"run:{run_id}"), most)]
    caps = applicable_caps(ledger, profile, None, now=now, run_id=run_id)
    return [*rooms, *(room_of(ledger, cap, left_nano(ledger, [cap]) or 0, now=now) for cap in caps)]


def arms_in(way: Way | None) -> set[str]:
    """Return the names in a spelled plan and in checks that may be those of arms."""
    names: set[str] = set()
    if way is not None:
        for check in way.checks:
            names |= {check.arm} if isinstance(check, JudgeCheck) else set(getattr(check, "arms", ()))
        names |= set(re.findall(rf"{NAME_PATTERN.pattern}", way.plan or ""))
    return names


def comparable(prompt: Prompt) -> bool:
    """Tell whether answers to a prompt can be compared: a number, a choice, JSON, code, a word or two; not prose."""
    if prompt.schema is not None:
        return True
    short = (
        r"\bhow (?:many|much|old|far|long|tall)\b"
        r"|\bwhat (?:is|are) the (?:value|sum|number|result|capital|name|answer)\b"
        r"|\b(?:calculate|compute|evaluate|solve|simplify)\b|\byes or no\b|\btrue or false\b|\bone word\b|\bonly\b"
        r"|\b(?:which|who|when|where)\b.{0,80}\?|^\s*\(?[A-D][).:]\s|\\frac|\\boxed|\d\s*[-+*/=^]\s*\d|\bJSON\b"
    )
    return re.search(short, prompt.text[:20_000], re.IGNORECASE | re.MULTILINE) is not None


class PlanChooser:
    """Chooses plans for one profile's arms and one way of asking.

    Parameters
    ----------
    decider
        The profile's arms and their prices.
    way
        The checks, and whether a plan may be chosen or was spelled.
    ledger
        The ledger whose log says how far checks can be trusted; None where there is none yet.

    Raises
    ------
    UsageError
        If a check names an arm that is not there.
    """

    def __init__(self, decider: Decider, way: Way, ledger: Ledger | None) -> None:
        self.decider = decider
        self.way = way
        names = [arm.name for arm in decider.profile.arms]
        for check in way.checks:
            asked = (
                (check.arm,) if isinstance(check, JudgeCheck) else check.arms if isinstance(check, AgreeCheck) else ()
            )
            for name in asked:
                if name not in names:
                    raise UsageError(
                        f"--check {check.name}: no arm {name!r} in this profile", hint=decider.profile.known_arms(name)
                    )
        if way.plan is not None:  # one that cannot be read is refused before anything is begun
            read_plan(way.plan, names, [check.name for check in way.checks], repair=way.repair)
        self._powers: Mapping[str, Any] = {}
        self._spread = 0.0
        if way.several and ledger is not None:
            self._powers = learned_powers(ledger, way.checks)
            self._spread = learned_spread(ledger)

    def choose(
        self, ask: Ask, decision: Decision, rooms: Sequence[Room], *, spelled: str | None = None
    ) -> tuple[Decision, Plan]:
        """Return a decision with its plan.

        Parameters
        ----------
        rooms
            What each cap leaves.
        spelled
            A plan that this one prompt brings: it goes before that of the way.

        Raises
        ------
        BudgetRefusedError
            If no plan (or not the one asked for) can be paid to its end.
        UsageError
            If the plan asked for cannot be read, or an arm of it cannot take the prompt.
        """
        from scrimp.routing.plans.value import Planner

        way = self.way
        spelled = spelled or way.plan
        # An arm that called tools reads what they gave; and a call of tools is no answer that a check could judge.
        goes_on = decision.choice.no_draw is NoDraw.STAYS
        may_call = ask.prompt.chat is not None and ask.prompt.chat.with_tools
        if decision.arm is None or goes_on or not (spelled or (way.cascade and not may_call)):
            return decision, Plan((Stage((decision.arm or "",)),))
        options = _able(decision)
        gates = self.gates(decision)
        names = list(options)
        costs = [options[name].cost_nano or 0 for name in names]
        if spelled is not None:
            plans: Sequence[Plan] = (self._spelled(spelled, decision, gates, rooms),)
        else:
            able = comparable(ask.prompt)
            plans = plan_table(names, costs, [gate.name for gate in gates], comparable=able, repair=way.repair)
            if decision.choice.guard is not None:
                plans = self._guarded(plans, decision)
        over_calls = [room for room in rooms if room.cap.key is not None]  # those on one call the options have met
        # A call that repairs carries the failed answer: its bound allows for that.
        extra = QUOTED_BYTES if way.repair else 0
        chosen = Planner(gates, spread=self._spread).choose(
            plans,
            names,
            [options[name].quality for name in names],
            costs,
            [options[name].bound_nano or 0 for name in names],
            later_nano=[self._bound(options[name], extra) for name in names],
            wtp_usd=decision.wtp_usd,
            min_quality=decision.min_quality,
            left=[(room.cap.arm, room.left_nano) for room in over_calls],
        )
        if chosen.taken is None:
            assert chosen.short is not None  # noqa: S101 - where there are plans, and none can be paid
            short = chosen.short
            one = f"the plan {short.plan}" if spelled is not None else f"the cheapest plan, {short.plan},"
            raise _not_begun(over_calls[short.at], short.needed_nano, one)
        trace = {
            **chosen.taken.plan.to_dict(),
            "expected": chosen.taken.to_dict(),
            "one_arm": None if chosen.one is None else chosen.one.to_dict(),
            "others": [each.to_dict() for each in chosen.others],
            "n_plans": chosen.n_plans,
            "n_unpayable": chosen.n_unpayable,
            "checks": {gate.name: gate.power.to_dict() for gate in gates},
            "spread": self._spread,
            "asked_for": spelled is not None,
        }
        return _planned(decision, chosen.taken.plan, trace), chosen.taken.plan

    def _spelled(self, text: str, decision: Decision, gates: Sequence[Gate], rooms: Sequence[Room]) -> Plan:
        """Return the plan that a user spelled, if every arm of it can take the prompt."""
        every = [weighed.option for weighed in decision.choice.weighed]
        plan = read_plan(text, [option.arm for option in every], [gate.name for gate in gates], repair=self.way.repair)
        for option in every:
            if option.arm in plan.arms and (option.infeasible is not None or option.cost_nano is None):
                why = f"the plan {plan} is not begun: {option.arm}: {option.infeasible or 'no price is known for it'}"
                needed = option.bound_nano or 0
                room = too_small(rooms, needed, option.arm) if option.by_cap else None
                if room is not None:
                    raise _not_begun(room, needed, f"{option.arm}, an arm of the plan {plan},")
                raise BudgetRefusedError(why) if option.by_cap else UsageError(why)
        return plan

    def _guarded(self, plans: Sequence[Plan], decision: Decision) -> Sequence[Plan]:
        """Return the plans for a prompt that the router does not know: those that can end with the default arm."""
        default = self.decider.profile.default_arm
        kept = tuple(plan for plan in plans if plan.stages[-1].arms[-1] == default and plan.kind in ("one", "check"))
        return kept or tuple(plan for plan in plans if plan.single and plan.arms[0] == decision.arm) or plans

    def _bound(self, option: Option, extra_tokens: int) -> int:
        price = self.decider.price(option.arm)
        if price is None or extra_tokens == 0:
            return option.bound_nano or 0
        return price.bound_nano(option.input_bound + extra_tokens, option.output_limit)

    def gates(self, decision: Decision) -> tuple[Gate, ...]:
        """Return the checks as a planner sees them, with what using each once costs for a decided prompt.

        Raises
        ------
        UsageError
            If the judge cannot take the prompt.
        """
        from scrimp.routing.plans.power import learn_power
        from scrimp.routing.plans.value import Gate

        options = _able(decision)
        gates = []
        for check in self.way.checks:
            cost = bound = 0
            if isinstance(check, JudgeCheck):
                judge = decision.choice.option(check.arm)
                price = self.decider.price(check.arm)
                if judge.infeasible is not None or price is None:
                    raise UsageError(
                        f"--check {check.name}: {check.arm} cannot judge: {judge.infeasible or 'no price'}"
                    )
                asked = judge.input_tokens + judge.output_tokens_p50 + 150
                cost = price.expected_nano(asked, 60)
                bound = price.bound_nano(judge.input_bound + QUOTED_BYTES, self._judge_limit(judge))
            elif isinstance(check, AgreeCheck) and options:
                asked_of = [options[name] for name in check.arms if name in options] or [
                    max(options.values(), key=lambda each: each.bound_nano or 0)
                ] * (check.n - 1)
                cost = sum(each.cost_nano or 0 for each in asked_of)
                bound = sum(each.bound_nano or 0 for each in asked_of)
            power = self._powers.get(check.name) or learn_power(check.kind, ())
            gates.append(Gate(check.name, power, cost, bound))
        return tuple(gates)

    def _judge_limit(self, option: Option) -> int:
        reasons = self.decider.profile.arm(option.arm).reasoning_effort not in (None, "none")
        return option.output_limit if reasons else min(option.output_limit, JUDGE_LIMIT)


def _not_begun(room: Room, needed_nano: int, what: str) -> BudgetRefusedError:
    """Return the error of a plan that could cost more than a cap leaves."""
    error = room.refusal(needed_nano, what)
    error.hint = f"The plan is not begun. {error.hint}"
    return error


def _able(decision: Decision) -> dict[str, Option]:
    """Return the options of the arms that can take a prompt, by their names."""
    options = (weighed.option for weighed in decision.choice.weighed)
    return {each.arm: each for each in options if each.infeasible is None and each.cost_nano is not None}


def _planned(decision: Decision, plan: Plan, trace: dict[str, Any]) -> Decision:
    """Return the decision with a plan in place of a draw."""
    choice = decision.choice
    calls = plan.arms
    weighed = tuple(
        each
        if each.option.infeasible is not None
        else replace(
            each,
            probability=0.0,
            flip_cost_usd=None,
            flip_wtp_usd=None,
            why=f"call {calls.index(each.option.arm) + 1} of the plan"
            if each.option.arm in calls
            else "not in the plan",
        )
        for each in choice.weighed
    )
    why = NoDraw.PLAN_ASKED_FOR if trace["asked_for"] else NoDraw.PLAN_CHOSEN
    planned = replace(choice, arm=calls[0], explored=False, propensity=None, no_draw=why, weighed=weighed)
    return replace(decision, choice=planned, plan=trace)
