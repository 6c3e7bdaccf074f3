"""Outcomes: tokens and costs of answers, of calls made here and of answers given elsewhere (`learn import`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clauses import batched, marks

if TYPE_CHECKING:
    from collections.abc import Collection

    from .store import Ledger

__all__ = ["outcomes_of", "put_outcome"]

_AT_ONCE: Final = 500
"""Requests that are looked up by one statement."""


def outcomes_of(ledger: Ledger, ids: Collection[str]) -> list[dict[str, Any]]:
    """Return what answers took: request_id, arm, input_tokens, output_tokens, cost_nano (None: unknown), oldest first.

    `called` is 1 for answers that were given here; `instructions` is what the arm was told then. What was asked of an
    arm besides the request itself (to judge, to plan, to sum up) is left out.
    """
    found: list[dict[str, Any]] = []
    given: list[dict[str, Any]] = []
    for some in batched(ids, _AT_ONCE):
        found += ledger.rows(
            "SELECT id, request_id, arm, input_tokens, output_tokens, cost_nano, instructions, 1 AS called "  # noqa: S608 - marks
            f"FROM attempts WHERE request_id IN ({marks(some)}) AND finish_reason IS NOT NULL "
            "AND kind NOT IN ('judge', 'feedback', 'lead', 'bid', 'drop', 'summary', 'rephrase')",
            some,
        )
        given += ledger.rows(
            "SELECT 0 AS id, request_id, arm, input_tokens, output_tokens, cost_nano, NULL AS instructions, "  # noqa: S608 - marks
            f"0 AS called FROM outcomes WHERE request_id IN ({marks(some)})",
            some,
        )
    return sorted(found, key=lambda row: int(row["id"])) + given


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
