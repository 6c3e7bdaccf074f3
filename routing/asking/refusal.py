"""Why no arm can take a prompt: the error to end with, of the right kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, ScrimpError, TooLongError
from scrimp.profiles.rungs import bare_of, base_of, reading_of
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.deciding.outlook import in_words
from scrimp.routing.deciding.policy import Barrier, NoDraw
from scrimp.routing.guard.verdict import Name, Outcome
from scrimp.routing.ledger.caps import Cap, RefusedError, Room, applicable_caps, check_caps, too_small

from .guarding import refused_by_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger

    from .request import Ask

__all__ = ["keyless_arms", "missed_quality", "no_say", "out_of_reach", "refusal", "why_none"]


def out_of_reach(target: float, best: str, quality: float) -> str:
    """Return the line that says that a quality asked for is not reached, and what is taken instead.

    Examples
    --------
    >>> out_of_reach(0.95, "the best arm there is, large,", 0.8271)
    'min_quality 0.95 is out of reach: the best arm there is, large, is predicted to reach 0.827, and is taken'
    """
    return f"min_quality {target:g} is out of reach: {best} is predicted to reach {quality:.3g}, and is taken"


def no_say(target: float, what: str, quality: float) -> str:
    """Return the line that says that a quality asked for changes nothing in what was asked for by name."""
    return f"min_quality {target:g} has no say in {what} is predicted to reach {quality:.3g}"


def missed_quality(decision: Decision) -> str | None:
    """Return what is to be said where what was decided is not predicted to reach the quality asked for; else None."""
    target, choice = decision.min_quality, decision.choice
    if choice.arm is None or target <= 0.0:
        return None
    plan = decision.plan
    quality = choice.taken.quality if plan is None else plan["expected"]["quality"]
    if quality >= target:
        return None
    if plan is not None and plan["asked_for"]:
        why = f"a plan that is asked for: {plan['expected']['plan']}"
    elif plan is not None:
        return out_of_reach(target, f"the best plan there is, {plan['expected']['plan']},", quality)
    elif choice.no_draw is NoDraw.ASKED_FOR:
        why = f"an arm that is asked for by name: {choice.arm}"
    elif choice.guard is not None and any(
        each.option.infeasible is None and each.option.quality >= target for each in choice.weighed
    ):
        why = f"the default arm where the router is not trusted: {choice.arm}"
    else:
        return out_of_reach(target, f"the best arm there is, {choice.arm},", quality)
    return no_say(target, why, quality)


def _options_asked_for(decision: Decision, arm: str | None) -> list[Option]:
    """Return the options of the arms that were asked for: the one by name, else all."""
    options = [weighed.option for weighed in decision.choice.weighed]
    if arm is None:
        return options
    return [each for each in options if arm in (each.arm, bare_of(each.arm), base_of(each.arm))]


def _cheapest_too_dear(decision: Decision, arm: str | None) -> Option | None:
    """Return the cheapest of the arms that only money keeps from taking a prompt; None where there is none."""
    dear = [option for option in _options_asked_for(decision, arm) if option.by_cap]
    return min(dear, key=lambda option: option.bound_nano or 0, default=None)


def keyless_arms(
    profile: Profile, key: Callable[[Arm], object], arm: str | None = None, *, on_this_machine: bool = False
) -> dict[str, ScrimpError]:
    """Return the arms (of those that may be asked) that cannot be called, and why.

    Parameters
    ----------
    key
        Returns an arm's key; raises where there is none.
    """
    missing: dict[str, ScrimpError] = {}
    for each in profile.arms:
        if (arm is None or bare_of(arm) == each.name) and not (on_this_machine and not runs_here(each)):
            try:
                key(each)
            except ScrimpError as error:
                missing[each.name] = error
    return missing


def why_none(
    decision: Decision,
    arm: str | None,
    keyless: Mapping[str, ScrimpError],
    *,
    profile: str,
    what: str,
    lead: str = "",
    rooms: Sequence[Room] = (),
) -> ScrimpError:
    """Return the error that says why no arm can take something: money (exit 3), keys (4), a guard (9), or else (2).

    Parameters
    ----------
    arm
        The one that was asked for by name.
    what, lead
        What it is that no arm can take; how the message begins where only money is in the way.
    rooms
        What each cap leaves: that is named which leaves too little.
    """
    if (by_guard := refused_by_guard(decision)) is not None:
        return by_guard
    options = _options_asked_for(decision, arm)
    if any(option.infeasible is None for option in options):  # the plan for the whole file left it out
        return BudgetRefusedError(f"{lead}the budget does not reach")
    cheapest = _cheapest_too_dear(decision, arm)
    if cheapest is not None:
        needed = cheapest.bound_nano or 0
        if (room := too_small(rooms, needed, cheapest.arm)) is not None:
            error = room.refusal(needed, f"{cheapest.arm}, the cheapest arm that could take {what},")
            error.message = f"{lead}{error.message}"
            return error
        return BudgetRefusedError(
            f"{lead}{cheapest.arm}, the cheapest arm, {cheapest.infeasible}",
            hint="Raise the cap (`scrimp spend` shows all caps) or --max-cost, or lower the arm's max_output_tokens.",
        )
    if keyless and all(option.arm in keyless for option in options):
        return keyless[options[0].arm]
    reasons = "; ".join(f"{option.arm}: {option.infeasible}" for option in options)
    ability = _nobody_can(decision, options)
    can = f"take {what}" if ability is None else f"{ability}, as {what} needs"
    too_long = all(option.barrier is Barrier.WINDOW for option in options)
    hint = "`scrimp models` shows what each arm can take."
    late = [option for option in options if option.barrier is Barrier.TIME]
    if late and not too_long:
        fastest = min(late, key=lambda option: option.seconds_p90 or math.inf)
        hint = f"{fastest.arm} is the fastest: --max-seconds {_whole(fastest.seconds_p90 or 0.0):g} lets it be asked."
    if too_long and any(reading_of(option.arm) == "whole" for option in options):
        hint = "Send what the question is about (--read passages), or have the text read in pieces (--read split)."
    return (TooLongError if too_long else ArmUnavailableError)(
        f"no arm of profile {profile} can {can} ({reasons})", hint=hint
    )


def _nobody_can(decision: Decision, options: Sequence[Option]) -> str | None:
    """Return in words what none of these arms is known to be able to do; None where something else is in the way."""
    if any(option.barrier is not Barrier.CAPABILITY for option in options):
        return None
    found = next((each for each in decision.guards if each.guard is Name.FEASIBLE), None)
    needs = () if found is None or found.outcome is not Outcome.REFUSED else found.detail["needs"]
    return in_words(needs) or None


def _whole(seconds: float) -> float:
    """Return seconds rounded up to what a person would write.

    Examples
    --------
    >>> _whole(0.234), _whole(12.3)
    (0.3, 13)
    """
    return math.ceil(seconds) if seconds > 3.0 else math.ceil(seconds * 10.0) / 10.0


def refusal(
    ask: Ask,
    decision: Decision,
    keyless: Mapping[str, ScrimpError],
    *,
    profile: Profile,
    ledger: Ledger | None,
    now: float,
) -> ScrimpError:
    """Return the error that says why no arm can take a prompt, with the limit that is in the way."""
    arm = ask.wishes.guarded.sends or ask.wishes.arm  # what a guard sends goes there whatever was asked for
    cheapest = _cheapest_too_dear(decision, arm)
    if cheapest is not None and refused_by_guard(decision) is None:
        limited = _limited(ask, decision, cheapest, profile=profile, ledger=ledger, now=now)
        if limited is not None:
            return limited
    return why_none(decision, arm, keyless, profile=profile.name, what="this prompt")


def _limited(
    ask: Ask, decision: Decision, cheapest: Option, *, profile: Profile, ledger: Ledger | None, now: float
) -> BudgetRefusedError | None:
    """Return the error of the limit that the cheapest arm runs into; None where it cannot be told."""
    bound = cheapest.bound_nano or 0
    what = f"{cheapest.arm}, the cheapest arm that could take this,"
    for flag, limit in (("--max-cost", ask.wishes.max_cost_nano), ("--cap-override", ask.cap_override_nano)):
        if limit is not None and (bound > limit or flag == "--cap-override"):
            error = Room(Cap(f"{flag}:run", limit, None), limit).refusal(bound, what)
            error.hint = f"Raise {flag}, or lower the arm's max_output_tokens."
            return error
    if ledger is not None:
        try:
            caps = applicable_caps(ledger, profile, cheapest.arm, now=now, run_id=ask.run_id or decision.id)
            check_caps(ledger, caps, bound, now=now, what=what)
        except RefusedError as refused:
            return refused
    return None
