"""Outcomes: tokens and costs of answers, of calls made here and of answers given elsewhere (`learn import`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["outcomes_of_profile", "put_outcome"]


def outcomes_of_profile(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """Return what a profile's answers took: request_id, arm, input_tokens, output_tokens, cost_nano (None: unknown).

    `called` is 1 for answers that were given here; `instructions` is what the arm was told then. What was asked of an
    arm besides the request itself (to judge, to plan, to sum up) is left out.
    """
    return ledger.rows(
        "SELECT a.request_id, a.arm, a.input_tokens, a.output_tokens, a.cost_nano, a.instructions, 1 AS called "
        "FROM attempts a JOIN requests q ON q.id = a.request_id WHERE q.profile = ? AND a.finish_reason IS NOT NULL "
        "AND a.kind NOT IN ('judge', 'feedback', 'lead', 'bid', 'drop', 'summary', 'rephrase') UNION ALL "
        "SELECT o.request_id, o.arm, o.input_tokens, o.output_tokens, o.cost_nano, NULL, 0 FROM outcomes o "
        "JOIN requests q ON q.id = o.request_id WHERE q.profile = ?",
        (profile, profile),
    )


def put_outcome(
    ledger: Ledger,
    *,
    request_id: str,
    arm: str,
    model: str,
    input_tokens: int | None,
    output_tokens: int | None,
    cost_nano: int | None,
) -> None:
    """Record the tokens and cost of an answer that was given elsewhere, in place of any earlier record."""
    with ledger.transaction() as conn:
        conn.execute(
            "INSERT OR REPLACE INTO outcomes (request_id, arm, model, input_tokens, output_tokens, cost_nano) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (request_id, arm, model, input_tokens, output_tokens, cost_nano),
        )
