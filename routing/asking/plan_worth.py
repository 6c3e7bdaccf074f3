"""What plans are worth beside one another and beside arms, and a decision with a plan in place of its draw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ArmUnavailableError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.deciding.policy import MEASURED, NEAR_TIE, NoDraw
from scrimp.routing.plans.skills import ENOUGH

from .plan_rooms import not_begun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import Room
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.plans.value import Chosen, Valued

    from .plan_spelled import Spelled

__all__ = ["beats", "held_back", "knowing", "over_calls", "refused", "those_guarded", "with_plan", "worth_of"]


def knowing(spelled: Spelled | None, decision: Decision) -> Decision:
    """Return the decision that knows all arms of a plan as it names them."""
    if spelled is None or spelled.settled is None:
        return decision
    return replace(decision, choice=spelled.settled.decision.choice)


def held_back(chosen: Chosen) -> Chosen:
    """Return a plan that is shown, and not taken unasked."""
    if chosen.taken is None:
        return chosen
    why = chosen.taken.infeasible or f"not by itself before {ENOUGH} labels of what it stops at"
    return replace(chosen, taken=None, others=(replace(chosen.taken, infeasible=why), *chosen.others))


def beats(plan: Valued | None, arm: Valued | None, decision: Decision) -> bool:
    """Tell whether a plan is worth more than an arm; what nobody has measured is not paid for, as among arms."""
    if plan is None or arm is None or worth_of(plan, decision) <= worth_of(arm, decision):
        return False
    if decision.min_quality > 0.0 or plan.cost_nano <= arm.cost_nano:
        return True
    bases = {decision.choice.option(name).basis for name in (*plan.plan.arms, *arm.plan.arms)}
    return bases == {MEASURED} or plan.utility_usd > arm.utility_usd + NEAR_TIE * decision.wtp_usd


def those_guarded(plans: Sequence[Plan], decision: Decision, default: str) -> Sequence[Plan]:
    """Return the plans for a prompt that the router does not know: those that can end with the default arm."""
    kept = tuple(
        plan for plan in plans if bare_of(plan.stages[-1].arms[-1]) == default and plan.kind in ("one", "check")
    )
    taken = bare_of(decision.arm or "")
    return kept or tuple(plan for plan in plans if plan.single and bare_of(plan.arms[0]) == taken) or plans


def refused(chosen: Chosen, rooms: Sequence[Room], what: str) -> ScrimpError:
    """Return the error of plans of which the caps can pay none to its end, or none is done in time."""
    if chosen.short is None:
        first = chosen.others[0]
        return ArmUnavailableError(
            f"the plan {first.plan} is not begun: {first.infeasible}", hint="Raise --max-seconds, or ask one arm."
        )
    short = chosen.short
    return not_begun(over_calls(rooms)[short.at], short.needed_nano, what.format(plan=short.plan))


def over_calls(rooms: Sequence[Room]) -> list[Room]:
    """Return the rooms of caps over several calls: those on one call the options have met."""
    return [room for room in rooms if room.cap.key is not None]


def worth_of(valued: Valued | None, decision: Decision) -> tuple[float, ...]:
    """Return by what plans of several tables are compared: as `Planner.choose` does within one."""
    if valued is None:
        return ()
    if decision.min_quality <= 0.0:
        return (valued.utility_usd,)
    reaches = valued.quality >= decision.min_quality
    return (1.0, valued.utility_usd - decision.wtp_usd * valued.quality) if reaches else (0.0, valued.quality)


def with_plan(decision: Decision, plan: Plan, trace: dict[str, Any]) -> Decision:
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
