"""Which calls are to be exported to a collector, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clauses import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Ledger

__all__ = ["ask_for", "calls", "done", "n_waiting", "requests", "rest", "rests", "waiting"]


def ask_for(ledger: Ledger, profile: str, *, wanted: bool) -> None:
    """Have the calls of a profile noted for export from now on, or not any more; written only where that changes."""
    key = f"export:{profile}"
    asked = bool(ledger.rows("SELECT 1 FROM meta WHERE key = ?", (key,)))
    if asked == wanted:
        return
    with ledger.transaction() as conn:
        if wanted:
            conn.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?, '0')", (key,))
        else:
            conn.execute("DELETE FROM meta WHERE key = ?", (key,))
            conn.execute("DELETE FROM unexported WHERE profile = ?", (profile,))


def rest(ledger: Ledger, profile: str, until: float) -> None:
    """Have nothing exported for a profile until a POSIX time: its collector took nothing."""
    with ledger.transaction(durable=False) as conn:
        conn.execute("UPDATE meta SET value = ? WHERE key = ?", (str(until), f"export:{profile}"))


def rests(ledger: Ledger, profile: str, *, now: float, most_s: float) -> bool:
    """Tell whether nothing is to be exported now; what lies further ahead than `most_s` is from a clock set back."""
    rows = ledger.rows("SELECT value FROM meta WHERE key = ?", (f"export:{profile}",))
    return bool(rows) and now < float(rows[0]["value"]) <= now + most_s


def waiting(ledger: Ledger, profile: str, *, limit: int) -> list[str]:
    """Return requests that are over and have calls that were not exported yet, the oldest call first."""
    rows = ledger.rows(
        "SELECT request_id FROM unexported u WHERE profile = ? "
        "AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = u.request_id AND r.status = 'pending') "
        "AND NOT EXISTS (SELECT 1 FROM reservations c WHERE c.request_id = u.request_id AND c.status = 'reserved') "
        "GROUP BY request_id ORDER BY min(call) LIMIT ?",
        (profile, limit),
    )
    return [row["request_id"] for row in rows]


def n_waiting(ledger: Ledger | None, profile: str) -> int:
    """Return how many calls of a profile are over and not exported yet."""
    if ledger is None:
        return 0
    return int(ledger.rows("SELECT count(*) AS n FROM unexported WHERE profile = ?", (profile,))[0]["n"])


def calls(ledger: Ledger, request_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the calls of some requests that were not exported yet, in order."""
    return ledger.rows(
        "SELECT c.id, c.request_id, c.run_id, c.profile, c.arm, c.source, c.tag, c.at, c.status, c.charged_nano, "  # noqa: S608 - marks
        "c.reserved_nano, c.breach, c.settled_at, a.seq, a.kind, a.arm AS arm_read, a.requested_model, a.served_model, "
        "a.started_at, a.output_limit, a.input_tokens, a.cached_tokens, a.cache_write_tokens, a.output_tokens, "
        "a.reasoning_tokens, a.cost_nano, a.latency_s, a.ttft_s, a.finish_reason, a.error_kind, a.reply_id "
        "FROM unexported u JOIN reservations c ON c.id = u.call LEFT JOIN attempts a ON a.id = c.id "
        f"WHERE u.request_id IN ({marks(request_ids)}) ORDER BY c.id",
        request_ids,
    )


def requests(ledger: Ledger, request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the log keeps of some requests, by id, with what all their calls are charged."""
    rows = ledger.rows(
        "SELECT id, created_at, command, profile, conversation_id, router_version, arm, propensity, status, prompt, "  # noqa: S608 - marks
        "system, answer, unpacked(decision) AS decision, "
        "(SELECT sum(charged_nano) FROM reservations c WHERE c.request_id = r.id) "
        f"AS charged_nano FROM requests r WHERE id IN ({marks(request_ids)})",
        request_ids,
    )
    return {row["id"]: row for row in rows}


def done(ledger: Ledger, call_ids: Sequence[int]) -> None:
    """Note that calls were exported."""
    with ledger.transaction(durable=False) as conn:
        conn.execute(f"DELETE FROM unexported WHERE call IN ({marks(call_ids)})", call_ids)  # noqa: S608 - marks
