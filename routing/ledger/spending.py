"""Sums over the ledger's money, calls whose true cost is not known, and the prices that were charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clauses import all_of

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["GROUPS", "last_prices", "n_unknown", "open_calls", "sums"]

GROUPS: Final = {
    "day": "r.day",
    "week": "strftime('%Y-W%W', r.day)",
    "month": "r.month",
    "arm": "r.profile || '/' || r.arm",
    "profile": "r.profile",
    "source": "coalesce(r.source, '-')",
    "tag": "coalesce(r.tag, '-')",
}
"""What spending can be summed by, and how that reads in SQL."""


def sums(
    ledger: Ledger, by: str, *, since_day: str | None = None, profile: str | None = None, arm: str | None = None
) -> list[dict[str, Any]]:
    """Return the sums of a grouping of `GROUPS`: by time in order of time, else dearest first.

    Parameters
    ----------
    since_day
        Only calls from this day (YYYY-MM-DD) on.

    Returns
    -------
    For each group: name, n_calls, n_breaches, input_tokens, output_tokens (None where none were reported), and in
    nano-USD charged_nano and what it is made of: settled_nano (released included), unverified_nano, reserved_nano,
    unknown_nano.
    """
    where, parameters = all_of(("r.day >= ?", since_day), ("r.profile = ?", profile), ("r.arm = ?", arm))
    order = "name" if by in ("day", "week", "month") else "charged_nano DESC, name"
    return ledger.rows(
        f"SELECT {GROUPS[by]} AS name, count(*) AS n_calls, sum(r.charged_nano) AS charged_nano, "  # noqa: S608 - constants
        "sum(CASE WHEN r.status IN ('settled', 'released') THEN r.charged_nano ELSE 0 END) AS settled_nano, "
        "sum(CASE WHEN r.status = 'unverified' THEN r.charged_nano ELSE 0 END) AS unverified_nano, "
        "sum(CASE WHEN r.status = 'reserved' THEN r.charged_nano ELSE 0 END) AS reserved_nano, "
        "sum(CASE WHEN r.status = 'unknown' THEN r.charged_nano ELSE 0 END) AS unknown_nano, "
        "sum(r.breach) AS n_breaches, sum(a.input_tokens) AS input_tokens, sum(a.output_tokens) AS output_tokens "
        f"FROM reservations r LEFT JOIN attempts a ON a.id = r.id WHERE {where} GROUP BY 1 ORDER BY {order}",
        parameters,
    )


def open_calls(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the calls whose true cost is not known: in flight, unknown or unverified.

    Returns
    -------
    For each: id, request_id, at, profile, arm, status, charged_nano, note, and held_by: the provider's batch that holds
    it, or the machine of a process that does and cannot be seen from here, else None.
    """
    from .process import Holder, look
    from .reservations import holder_of

    rows = ledger.rows(
        "SELECT id, request_id, at, profile, arm, status, charged_nano, note, pid, process_started, boot_id, host, "
        "pid_namespace, holder FROM reservations "
        "WHERE status IN ('reserved', 'unknown', 'unverified') AND charged_nano > 0 ORDER BY id"
    )
    for row in rows:
        away = row["status"] == "reserved" and look(holder_of(row)) is Holder.ELSEWHERE
        row["held_by"] = (row["host"] or "another machine").partition("/")[0] if away else None
        row["held_by"] = row["holder"] or row["held_by"]
        for name in ("pid", "process_started", "boot_id", "host", "pid_namespace", "holder"):
            del row[name]
    return rows


def n_unknown(ledger: Ledger) -> int:
    """Return how many calls of dead processes are charged at their upper bounds."""
    return int(ledger.rows("SELECT count(*) AS n FROM reservations WHERE status = 'unknown'")[0]["n"])


def last_prices(ledger: Ledger, profile: str) -> dict[str, str]:
    """Return the price (JSON, as `ArmPrice.to_json` writes it) that each arm of a profile was last charged at."""
    rows = ledger.rows(
        "SELECT r.arm, p.json FROM reservations r JOIN prices p ON p.id = r.price_id WHERE r.id IN "
        "(SELECT max(id) FROM reservations WHERE profile = ? AND price_id IS NOT NULL GROUP BY arm)",
        (profile,),
    )
    return {row["arm"]: row["json"] for row in rows}
