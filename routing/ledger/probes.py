"""What the ledger knows of probes: outcomes that were paid for, and what each arm of a run was charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["charged_by_arm", "probe_outcomes"]


def probe_outcomes(
    ledger: Ledger, profile: str, arm: str, *, model: str, instructions: str | None, since: str
) -> dict[str, float]:
    """Return the newest reward of an arm on each prompt of the suite that it was asked since an instant, by its id.

    Parameters
    ----------
    model, instructions
        As the arm has them now: what it got with others says nothing of it.
    """
    rows = ledger.rows(
        "SELECT l.note, l.reward FROM labels l JOIN requests q ON q.id = l.request_id "
        "WHERE l.source = 'probe' AND l.arm = ? AND q.profile = ? AND q.command = 'probe' AND q.redo_of IS NULL "
        "AND q.created_at >= ? AND EXISTS (SELECT 1 FROM attempts a WHERE a.request_id = q.id AND a.arm = l.arm "
        "AND a.requested_model = ? AND a.instructions IS ?) ORDER BY l.id",
        (arm, profile, since, model, instructions),
    )
    return {row["note"]: row["reward"] for row in rows if row["note"] is not None}


def charged_by_arm(ledger: Ledger, run_id: str) -> dict[str, int]:
    """Return what the arms of a run were charged, nano-USD."""
    rows = ledger.rows(
        "SELECT arm, sum(charged_nano) AS nano FROM reservations WHERE run_id = ? GROUP BY arm", (run_id,)
    )
    return {row["arm"]: row["nano"] for row in rows}
