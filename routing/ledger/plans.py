"""What the log holds of plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .labels import TRUTH

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["recent_decisions", "runs_of_plans"]


def runs_of_plans(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """Return the requests of a profile that were answered by a plan, oldest first.

    Returns
    -------
    For each: id, created_at, status, name (the plan's in the profile, or None), spelled and text (as asked for, and for
    that prompt), asked_for, n_stages, n_steps, stage (whose answer was given; None without one), charged_nano, and
    reward (of the newest label that is no check's; None without one).
    """
    sources = ", ".join(f"'{source}'" for source in TRUTH)
    return ledger.rows(
        "SELECT q.id, q.created_at, q.status, json_extract(q.trace, '$.plan.name') AS name, "  # noqa: S608 - constants
        "json_extract(q.trace, '$.plan.spelled') AS spelled, json_extract(q.trace, '$.plan.text') AS text, "
        "json_extract(q.trace, '$.plan.asked_for') AS asked_for, "
        "q.n_stages, "
        "(SELECT count(*) FROM steps s WHERE s.request_id = q.id) AS n_steps, "
        "(SELECT s.stage FROM steps s WHERE s.request_id = q.id AND s.taken = 1) AS stage, "
        "(SELECT sum(r.charged_nano) FROM reservations r WHERE r.request_id = q.id) AS charged_nano, "
        "(SELECT l.reward FROM labels l WHERE l.request_id = q.id AND l.arm = q.arm "
        f"AND l.source IN ({sources}) ORDER BY l.id DESC LIMIT 1) AS reward "
        "FROM (SELECT n, id, created_at, status, arm, n_stages, unpacked(decision) AS trace FROM requests "
        "WHERE profile = ? AND n_stages IS NOT NULL) q ORDER BY q.n",
        (profile,),
    )


def recent_decisions(ledger: Ledger, profile: str, *, last: int) -> list[str]:
    """Return the traces (JSON) of a profile's latest decisions, newest first."""
    rows = ledger.rows(
        "SELECT unpacked(decision) AS decision FROM requests WHERE profile = ? AND decision IS NOT NULL "
        "AND json_valid(unpacked(decision)) "
        "ORDER BY n DESC LIMIT ?",
        (profile, last),
    )
    return [row["decision"] for row in rows]
