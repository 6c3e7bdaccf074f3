"""The guards of a profile at work on a request: in this order it is redacted, embedded, looked at, and decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import GuardRefusedError
from scrimp.routing.deciding.outlook import held_back, risk_of, way_out
from scrimp.routing.guard.verdict import Guarded, Name, Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.guard.verdict import Finding
    from scrimp.routing.prompts.context import Context

    from .request import Ask, Checked

__all__ = [
    "guarded",
    "heard_private",
    "refused_by_guard",
    "restored",
    "risk_met",
    "risk_noted",
    "risked",
    "sent_elsewhere",
    "shielded",
    "warnings",
]


def shielded(ask: Ask, profile: Profile) -> Ask:
    """Return a request with what is private in it looked for, before anything else reads it (`guard.private`).

    Nothing is raised: what is refused has a finding that says so (`Wishes.guarded`), and no arm takes it then.
    """
    del profile
    return ask


def guarded(ask: Ask, context: Context | None, sentry: Sentry) -> Ask:
    """Return a request with what the guards say of it (`Wishes.guarded`); what they refuse no arm takes."""
    seen = Seen(ask.prompt, context, ask.command, ask.tag, ask.wishes.arm)
    found = ask.wishes.guarded.then(sentry.look(seen))
    return ask if found == ask.wishes.guarded else replace(ask, wishes=replace(ask.wishes, guarded=found))


def risked(
    ask: Ask,
    decision: Decision,
    profile: Profile,
    again: Callable[[Wishes], Decision],
    *,
    holds: bool = True,
    confirm: Callable[[str], bool] | None = None,
) -> Decision:
    """Return a decision with how likely it is to be answered right, and what the profile does about it (`guard.risky`).

    Nothing is raised: one that is refused has a finding that says so, and no arm.

    Parameters
    ----------
    again
        Decides once more, under other wishes: where the profile sends what is risky to an arm of its own.
    holds
        Whether what is refused is held back; else that is only noted, as where nothing is sent anyway.
    confirm
        Asks the user whether to send it all the same, where the profile asks; None where there is nobody to be asked.
    """
    found = risk_of(decision, profile.guard)
    if found is None:
        return decision
    if (wishes := sent_elsewhere(ask.wishes, found, profile)) is not None:
        return risk_noted(again(wishes), found)
    return risk_met(ask, decision, found, profile, confirm=confirm, holds=holds)


def sent_elsewhere(wishes: Wishes, found: Finding, profile: Profile) -> Wishes | None:
    """Return the wishes by which the arm that takes what is risky gets it; None where it stays as it was decided."""
    if found.outcome is not Outcome.CHANGED:
        return None
    sends = Guarded(sends=profile.guard.risky.removeprefix("arm:"))
    return replace(wishes, guarded=wishes.guarded.then(sends))


def risk_noted(decision: Decision, found: Finding) -> Decision:
    """Return a decision with what was found of its risk in its trace."""
    return replace(decision, guards=(*decision.guards, found))


def risk_met(
    ask: Ask,
    decision: Decision,
    found: Finding,
    profile: Profile,
    *,
    holds: bool = True,
    confirm: Callable[[str], bool] | None = None,
) -> Decision:
    """Return a decision that stays with its arm with what was found of its risk, or held back: as `risked`."""
    if found.outcome is not Outcome.REFUSED:
        return risk_noted(decision, found)
    asks = found.detail["risky"] == "ask"
    if asks and (ask.confirmed or (confirm is not None and confirm(f"{_upper(found.why)}. Send it anyway?"))):
        return risk_noted(decision, _allowed(found, confirmed=True))
    if ask.rephrasing is not None and not (asks and confirm is not None):
        # In other words it may be likelier to be answered right: these are bought first.
        return risk_noted(decision, _allowed(found, phrased_first=True))
    found = replace(found, detail={**found.detail, "way_out": way_out(decision, profile.guard)})
    return risk_noted(held_back(decision, "held back by guard.risky") if holds else decision, found)


def _allowed(found: Finding, **why: bool) -> Finding:
    return replace(found, outcome=Outcome.WARNED, detail={**found.detail, **why})


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def refused_by_guard(decision: Decision) -> GuardRefusedError | None:
    """Return the error of the guard that refuses a prompt; None where none does.

    That no arm can take it for what it is (`Name.FEASIBLE`) is no guard's refusal: `refusal.why_none` says why.
    """
    refused = (each for each in decision.guards if each.outcome is Outcome.REFUSED)
    found = next((each for each in refused if each.guard is not Name.FEASIBLE), None)
    if found is None:
        return None
    why, hint = found.why, None
    if found.guard is Name.RISK:
        why = f"not sent: {why}"
        hint = f"What may help: {found.detail['way_out']}."
        hint += " --yes (of `ask` and `redo`) sends it anyway." if found.detail["risky"] == "ask" else ""
    error = GuardRefusedError(why, hint=hint)
    error.decision = decision
    return error


def warnings(found: Guarded) -> list[str]:
    """Return what the user is told before anything is sent."""
    return [each.why for each in found.findings if each.outcome in (Outcome.WARNED, Outcome.CHANGED)]


def restored(checked: Checked, ask: Ask) -> Checked:
    """Return an answer with the values that placeholders stand for."""
    del ask
    return checked


def heard_private(ask: Ask, on_text: Callable[[str], object]) -> Callable[[str], object]:
    """Return what takes an answer's pieces, so that they arrive with values, across the borders of pieces too."""
    del ask
    return on_text
