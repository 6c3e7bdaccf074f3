"""What the caps leave, in one line for a shell prompt: from the ledger alone, without profile, prices or router."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["status_line"]


def status_line(ledger: Ledger, profile: str | None, *, now: float) -> str:
    """Return what today and this month have cost, and of which caps.

    The caps are those that the profile had at its last call; the shared ones are as they are now. Calls in flight and
    calls of unknown cost count at their upper bounds.

    Parameters
    ----------
    profile
        Whose spending; None takes the profile that was used last.
    now
        POSIX time.
    """
    known = {row["key"]: row["value"] for row in ledger.rows("SELECT key, value FROM meta")}
    profile = profile or known.get("last_profile")
    caps = json.loads(known.get(f"caps:{profile}", "{}"))
    day, month = ledger.windows(now)
    parts = []
    for scope, window in (("day", f"day:{day}"), ("month", f"month:{month}")):
        parts.append(_part(ledger, f"{window}|p:{profile}", caps.get(scope), scope))
    shared = ledger.rows("SELECT scope, limit_nano FROM shared_caps ORDER BY scope")
    for row in shared:
        window = row["scope"].removeprefix("shared:")
        key = f"day:{day}" if window == "day" else f"month:{month}"
        parts.append(_part(ledger, key, row["limit_nano"], f"{window}, all profiles"))
    (row,) = ledger.rows("SELECT count(*) AS n FROM reservations WHERE status = 'unknown'")
    if row["n"]:
        parts.append(f"{row['n']} unknown")
    return " · ".join(parts)


def _part(ledger: Ledger, key: str, limit: int | None, name: str) -> str:
    rows = ledger.rows("SELECT live_nano + fixed_nano AS nano FROM balances WHERE key = ?", (key,))
    spent = format_usd(rows[0]["nano"] if rows else 0)
    return f"{spent} {name}" if limit is None else f"{spent}/{format_usd(limit)} {name}"
