"""What the caps leave, in one line for a shell prompt: from the ledger alone, without profile, prices or router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd
from scrimp.routing.ledger.caps import balance, caps_at_last_call, shared_at
from scrimp.routing.ledger.spending import n_unknown
from scrimp.routing.ledger.store import read_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.routing.ledger.store import Ledger

__all__ = ["short_line", "status_line"]


def short_line(path: Path, profile: str | None, *, now: float) -> str:
    """Return the status line of the ledger at a path, where there is one; it is closed again."""
    ledger = read_ledger(path)
    if ledger is None:
        return "nothing spent yet"
    with ledger:
        return status_line(ledger, profile, now=now)


def status_line(ledger: Ledger, profile: str | None, *, now: float) -> str:
    """Return what today and this month have cost in USD, each with the cap that it counts against.

    The caps are those that the profile had at its last call; the shared ones are as they are now. Calls in flight and
    calls of unknown cost count at their upper bounds.

    Parameters
    ----------
    profile
        Whose spending; None takes the profile that was used last.
    now
        POSIX time.
    """
    profile, own = caps_at_last_call(ledger, profile)
    day, month = ledger.windows(now)
    parts = []
    for scope, window in (("day", f"day:{day}"), ("month", f"month:{month}")):
        parts.append(_part(ledger, f"{window}|p:{profile}", own.get(scope), scope))
    parts += [
        _part(ledger, cap.key, cap.limit_nano, f"{cap.window}, all profiles") for cap in shared_at(ledger, day, month)
    ]
    if n := n_unknown(ledger):
        parts.append(f"{n} unknown")
    return " · ".join(parts)


def _part(ledger: Ledger, key: str | None, limit_nano: int | None, name: str) -> str:
    spent = format_usd(sum(balance(ledger, key)))
    return f"{spent} {name}" if limit_nano is None else f"{spent}/{format_usd(limit_nano)} {name}"
