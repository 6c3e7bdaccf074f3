"""Plans that somebody spelled, as they are for one prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import BudgetRefusedError, UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.deciding.policy import utility
from scrimp.routing.ledger.caps import too_small
from scrimp.routing.plans.picks import pick_of, recruit

from .plan_readings import best_read
from .plan_rooms import not_begun
from .prompt_tariff import able_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import Room
    from scrimp.routing.plans.plan import Plan

    from .plan_readings import Settled

__all__ = ["Spelled", "check_able", "for_prompt"]


@dataclass(frozen=True, slots=True)
class Spelled:
    """A plan as it was spelled, and as it is for one prompt.

    Attributes
    ----------
    recruited
        Whom each of its picks came to.
    settled
        How much each of its arms reads, with the decision that knows them all; None before that is settled.
    """

    text: str
    name: str | None
    plan: Plan
    recruited: Mapping[str, tuple[str, ...]]
    settled: Settled | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a trace holds of it beside the plan."""
        return {
            "name": self.name,
            "spelled": self.text,
            "recruited": {pick: list(arms) for pick, arms in self.recruited.items()},
            **({} if self.settled is None or not self.settled.remarks else {"remarks": list(self.settled.remarks)}),
            **({} if self.settled is None or self.settled.split is None else {"split": dict(self.settled.split)}),
        }


def for_prompt(
    text: str, name: str | None, read: Callable[[str, str], Plan], decision: Decision, rooms: Sequence[Room]
) -> Spelled:
    """Return a plan as it is for one prompt, with arms in the place of its picks.

    Parameters
    ----------
    text, name
        How it is spelled, and what the profile calls it.
    read
        Reads a spelled plan, given what to call it in an error.

    Raises
    ------
    BudgetRefusedError
        If a pick finds no arm, since caps leave none.
    UsageError
        If a pick finds none for another reason, or too few for what becomes of their answers.
    """
    plan = read(text, "--plan")
    if not any(pick_of(arm) for arm in plan.arms):
        return Spelled(text, name, plan, {})

    def valued(option: Option) -> float:
        return utility(option, decision.wtp_usd) or 0.0

    options = best_read(able_options(decision), valued)
    worth = {arm: valued(option) for arm, option in options.items()}
    full, found = recruit(plan, worth, {arm: option.cost_nano or 0 for arm, option in options.items()})
    for pick, arms in found.items():
        if not arms:
            raise _none_left(pick.partition(" ")[0], plan, decision, rooms)
    return Spelled(text, name, read(str(full), f"--plan {text}, for this prompt"), found)


def _none_left(pick: str, plan: Plan, decision: Decision, rooms: Sequence[Room]) -> Exception:
    """Return the error of a pick that finds no arm."""
    named = {bare_of(arm) for arm in plan.arms}
    free = [each.option for each in decision.choice.weighed if bare_of(each.option.arm) not in named]
    capped = [option for option in free if option.by_cap]
    why = f"the plan {plan} is not begun: {pick} finds no arm"
    if capped:
        least = min(capped, key=lambda option: option.bound_nano or 0)
        needed = least.bound_nano or 0
        room = too_small(rooms, needed, least.arm)
        what = f"{least.arm}, the cheapest arm that {pick} could take,"
        return BudgetRefusedError(why) if room is None else not_begun(room, needed, what)
    barred = [f"{option.arm}: {option.infeasible}" for option in free if option.infeasible is not None]
    return UsageError(f"{why}: {'; '.join(barred) or 'the plan has all that can take this prompt already'}")


def check_able(plan: Plan, decision: Decision, rooms: Sequence[Room]) -> None:
    """Refuse a plan of which an arm cannot take the prompt.

    Raises
    ------
    BudgetRefusedError
        If a cap is why.
    UsageError
        If something else is.
    """
    for weighed in decision.choice.weighed:
        option = weighed.option
        if option.arm in plan.arms and (option.infeasible is not None or option.cost_nano is None):
            why = f"the plan {plan} is not begun: {option.arm}: {option.infeasible or 'no price is known for it'}"
            needed = option.bound_nano or 0
            room = too_small(rooms, needed, option.arm) if option.by_cap else None
            if room is not None:
                raise not_begun(room, needed, f"{option.arm}, an arm of the plan {plan},")
            raise BudgetRefusedError(why) if option.by_cap else UsageError(why)
