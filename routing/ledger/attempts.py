"""Calls that were made: a request's attempts with their money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clauses import all_of, bare

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["attempts_of", "final_attempts", "most_asked"]


def attempts_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return a request's attempts with their money, in order."""
    return ledger.rows(
        "SELECT a.*, r.status, r.reserved_nano, r.charged_nano, r.breach, r.note, r.cap_override_nano, "
        "p.json AS price, p.table_version FROM attempts a JOIN reservations r ON r.id = a.id "
        "LEFT JOIN prices p ON p.id = r.price_id "
        "WHERE a.request_id = ? ORDER BY a.seq, a.id",
        (request_id,),
    )


def final_attempts(ledger: Ledger, *, since_day: str | None = None, profile: str | None = None) -> list[dict[str, Any]]:
    """Return the attempt that gave each answer: its tokens, and the arm, decision (JSON) and charges of its request.

    Parameters
    ----------
    since_day
        Only requests from this day (YYYY-MM-DD) on.
    """
    where, parameters = all_of(("r.day >= ?", since_day), ("q.profile = ?", profile))
    return ledger.rows(
        "SELECT q.arm, unpacked(q.decision) AS decision, a.input_tokens, a.output_tokens, "  # noqa: S608 - constants
        "a.cached_tokens, a.cache_write_tokens, "
        "a.reasoning_tokens, (SELECT sum(charged_nano) FROM reservations WHERE request_id = q.id) AS charged_nano "
        "FROM requests q JOIN attempts a ON a.request_id = q.id AND a.arm = q.arm "
        "JOIN reservations r ON r.id = a.id WHERE q.status = 'ok' AND q.decision IS NOT NULL AND a.error_kind IS NULL "
        "AND a.kind NOT IN ('sample', 'judge', 'feedback', 'bid', 'drop', 'summary', 'rephrase') "
        f"AND {where} GROUP BY q.id HAVING a.id = max(a.id)",
        parameters,
    )


def most_asked(ledger: Ledger, profile: str, n: int) -> list[str]:
    """Return the names of up to `n` arms that answered for a profile, those that answered most first."""
    rows = ledger.rows(
        f"SELECT {bare('arm')} AS name FROM requests WHERE profile = ? AND arm IS NOT NULL "  # noqa: S608 - constants
        "GROUP BY name ORDER BY count(*) DESC, name LIMIT ?",
        (profile, n),
    )
    return [row["name"] for row in rows]
