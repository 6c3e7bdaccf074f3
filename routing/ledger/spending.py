"""Sums over the ledger's money, calls whose true cost is not known, and the prices that were charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clauses import OPEN, all_of

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["GROUPS", "last_prices", "n_unknown", "open_calls", "spent_by_day", "sums"]

GROUPS: Final = {
    "day": "day",
    "week": "strftime('%Y-W%W', day)",
    "month": "substr(day, 1, 7)",
    "arm": "profile || '/' || arm",
    "profile": "profile",
    "source": "source",
    "tag": "tag",
}
"""What spending can be summed by, and how that reads in SQL of `spent`: a row for each day, arm, source and tag."""

_PARTS: Final = ("settled_nano", "unverified_nano", "reserved_nano", "unknown_nano", "n_breaches")


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
    where, parameters = all_of(("day >= ?", since_day), ("profile = ?", profile), ("arm = ?", arm))
    order = "name" if by in ("day", "week", "month") else "charged_nano DESC, name"
    parts = ", ".join(f"sum({name}) AS {name}" for name in _PARTS)
    return ledger.rows(
        f"SELECT {GROUPS[by]} AS name, sum(n_calls) AS n_calls, sum(charged_nano) AS charged_nano, {parts}, "  # noqa: S608 - constants
        "CASE WHEN sum(n_input) THEN sum(input_tokens) END AS input_tokens, "
        "CASE WHEN sum(n_output) THEN sum(output_tokens) END AS output_tokens "
        f"FROM spent WHERE {where} GROUP BY 1 ORDER BY {order}",
        parameters,
    )


def spent_by_day(ledger: Ledger, *, since_day: str | None = None, profile: str | None = None) -> list[dict[str, Any]]:
    """Return what was charged each day for each arm: day, profile, arm, n_calls, charged_nano; in order of days."""
    where, parameters = all_of(("day >= ?", since_day), ("profile = ?", profile))
    return ledger.rows(
        "SELECT day, profile, arm, sum(n_calls) AS n_calls, sum(charged_nano) AS charged_nano "  # noqa: S608 - constants
        f"FROM spent WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
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
        "SELECT id, request_id, at, profile, arm, status, charged_nano, note, pid, process_started, boot_id, host, "  # noqa: S608 - constants
        f"pid_namespace, holder FROM reservations WHERE {OPEN} AND charged_nano > 0 ORDER BY id"
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
    where = f"{OPEN} AND status = 'unknown'"
    return int(ledger.rows(f"SELECT count(*) AS n FROM reservations WHERE {where}")[0]["n"])  # noqa: S608 - constants


def last_prices(ledger: Ledger, profile: str) -> dict[str, str]:
    """Return the price (JSON, as `ArmPrice.to_json` writes it) that each arm of a profile was last charged at."""
    # Of each arm the last day is known; its calls are looked up from that day's end on backwards.
    found = {}
    for row in ledger.rows("SELECT arm, max(day) AS day FROM spent WHERE profile = ? GROUP BY arm", (profile,)):
        for price in ledger.rows(
            "SELECT p.json FROM reservations r CROSS JOIN prices p ON p.id = r.price_id "
            "WHERE r.at < date(?, '+3 days') AND r.profile = ? AND r.arm = ? ORDER BY r.at DESC, r.id DESC LIMIT 1",
            (row["day"], profile, row["arm"]),
        ):
            found[row["arm"]] = price["json"]
    return found
