"""The guards of a profile at work on a request: in this order it is redacted, embedded, looked at, and decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import GuardRefusedError
from scrimp.routing.guard.verdict import Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.guard.verdict import Guarded
    from scrimp.routing.prompts.context import Context

    from .request import Ask, Checked

__all__ = ["guarded", "heard_private", "refused_by_guard", "restored", "risked", "shielded", "warnings"]


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


def risked(ask: Ask, decision: Decision, profile: Profile, again: Callable[[Wishes], Decision]) -> Decision:
    """Return a decision with what stands against answering at all (`guard.risky`).

    Nothing is raised: one that is refused has a finding that says so, and no arm.

    Parameters
    ----------
    again
        Decides once more, under other wishes.
    """
    del ask, profile, again
    return decision


def refused_by_guard(decision: Decision) -> GuardRefusedError | None:
    """Return the error of the guard that refuses a prompt; None where none does."""
    why = next((each.why for each in decision.guards if each.outcome is Outcome.REFUSED), None)
    return None if why is None else GuardRefusedError(why)


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
