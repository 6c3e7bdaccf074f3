"""The guards of a profile at work on a request: in this order it is redacted, embedded, looked at, and decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import GuardRefusedError
from scrimp.routing.deciding.outlook import risk_of, way_out
from scrimp.routing.guard.verdict import Guarded, Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.guard.verdict import Finding
    from scrimp.routing.prompts.context import Context

    from .request import Ask, Checked

__all__ = [
    "guarded",
    "heard_private",
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

    Raises
    ------
    GuardRefusedError
        If the profile refuses what is private.
    """
    del profile
    return ask


def guarded(ask: Ask, context: Context | None, sentry: Sentry) -> Ask:
    """Return a request with what the guards say of it (`Wishes.guarded`).

    Raises
    ------
    GuardRefusedError
        If one of them refuses it.
    """
    seen = Seen(ask.prompt, context, ask.command, ask.tag, ask.wishes.arm)
    found = ask.wishes.guarded.then(sentry.look(seen))
    if (refused := found.refused) is not None:
        raise GuardRefusedError(refused.why)
    return ask if found == ask.wishes.guarded else replace(ask, wishes=replace(ask.wishes, guarded=found))


def risked(
    ask: Ask,
    decision: Decision,
    profile: Profile,
    again: Callable[[Ask], Decision],
    *,
    confirm: Callable[[str], bool] | None = None,
) -> Decision:
    """Return a decision with how likely it is to be answered right, and what the profile does about it (`guard.risky`).

    Parameters
    ----------
    again
        Decides a request anew: where the profile sends what is risky to an arm of its own.
    confirm
        Asks the user whether to go on; None where there is nobody to be asked.

    Raises
    ------
    GuardRefusedError
        If the profile refuses what is unlikely to be answered right, or the user, or there is nobody to be asked.
    ScrimpError
        If the arm that it is sent to cannot take the prompt.
    """
    found = risk_of(decision, profile.guard)
    if found is None:
        return decision
    if (elsewhere := sent_elsewhere(ask, found, profile)) is not None:
        return risk_noted(again(elsewhere), found)
    return risk_met(ask, risk_noted(decision, found), found, profile, confirm=confirm)


def sent_elsewhere(ask: Ask, found: Finding, profile: Profile) -> Ask | None:
    """Return the request as it goes to the arm that takes what is risky; None where it stays as it was decided."""
    if found.outcome is not Outcome.CHANGED:
        return None
    sends = Guarded(sends=profile.guard.risky.removeprefix("arm:"))
    return replace(ask, wishes=replace(ask.wishes, guarded=ask.wishes.guarded.then(sends)))


def risk_noted(decision: Decision, found: Finding) -> Decision:
    """Return a decision with what was found of its risk in its trace."""
    return replace(decision, guards=(*decision.guards, found))


def risk_met(
    ask: Ask, decision: Decision, found: Finding, profile: Profile, *, confirm: Callable[[str], bool] | None = None
) -> Decision:
    """Return a decision whose risk is noted, where it may be sent; parameters and errors as those of `risked`."""
    if found.outcome is not Outcome.REFUSED:
        return decision
    asks = profile.guard.risky == "ask"
    if asks and (ask.confirmed or (confirm is not None and confirm(f"{_upper(found.why)}. Send it anyway?"))):
        return _goes(decision, found, confirmed=True)
    if ask.rephrasing is not None and not (asks and confirm is not None):
        return _goes(decision, found, phrased_first=True)  # in other words it may be likelier: that is seen to first
    hint = f"What may help: {way_out(decision, profile.guard)}."
    error = GuardRefusedError(
        f"not sent: {found.why}", hint=f"{hint} Or send it anyway with --yes." if asks and confirm is None else hint
    )
    error.decision = decision
    raise error


def _goes(decision: Decision, found: Finding, **why: bool) -> Decision:
    """Return a decision whose risk is only noted, and why it is sent all the same."""
    said = replace(found, outcome=Outcome.WARNED, detail={**found.detail, **why})
    return replace(decision, guards=(*decision.guards[:-1], said))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def warnings(found: Guarded) -> list[str]:
    """Return what the user is told before anything is sent."""
    return [each.why for each in found.findings if each.outcome is not Outcome.PASSED]


def restored(checked: Checked, ask: Ask) -> Checked:
    """Return an answer with the values that placeholders stand for."""
    del ask
    return checked


def heard_private(ask: Ask, on_text: Callable[[str], object]) -> Callable[[str], object]:
    """Return what takes an answer's pieces, so that they arrive with values, across the borders of pieces too."""
    del ask
    return on_text
