"""The calls of a plan, with the verdicts on their answers, as rows of the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .clauses import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .store import Ledger

__all__ = ["answered_before", "steps_of", "steps_of_answered", "write_step"]


def write_step(ledger: Ledger, row: Mapping[str, object]) -> None:
    """Write a step of a request, in place of any earlier record of it, inside the caller's transaction."""
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("request_id", "seq", "at"))
    ledger.conn.execute(
        f"INSERT INTO steps ({columns}) VALUES ({marks}) ON CONFLICT (request_id, seq) DO UPDATE SET {changes}",  # noqa: S608 - names are ours
        tuple(row.values()),
    )


def steps_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return the steps of a request's plan, in order, with the verdicts on each answer as plain data."""
    rows = ledger.rows(
        "SELECT seq, stage, kind, arm, outcome, verdicts, answer, charged_nano, latency_s, taken, note, asked, "
        "asked_sha256, at FROM steps WHERE request_id = ? ORDER BY seq, id",
        (request_id,),
    )
    return [{**row, "verdicts": json.loads(row["verdicts"] or "[]")} for row in rows]


def answered_before(ledger: Ledger, kind: str, asked_sha256: str) -> str | None:
    """Return the newest answer to the same prompt of a step's own that is kept; None where there is none.

    Parameters
    ----------
    kind, asked_sha256
        What the call was for, and the SHA-256 of what was asked, as the step has them.
    """
    rows = ledger.rows(
        "SELECT answer FROM steps WHERE asked_sha256 = ? AND kind = ? AND outcome = 'answered' AND answer IS NOT NULL "
        "ORDER BY id DESC LIMIT 1",
        (asked_sha256, kind),
    )
    return rows[0]["answer"] if rows else None


def steps_of_answered(
    ledger: Ledger, span: tuple[int, int], *, since: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of answered requests, by request, in order: stage, arm, taken and verdicts as plain data.

    Parameters
    ----------
    span
        The first and the last number of the requests.
    """
    where, parameters = all_of(("q.created_at >= ?", since))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ledger.rows(
        "SELECT s.request_id, s.stage, s.arm, s.taken, s.verdicts FROM requests q CROSS JOIN steps s "  # noqa: S608 - constants
        f"ON s.request_id = q.id WHERE q.n BETWEEN ? AND ? AND q.status = 'ok' AND {where} ORDER BY s.id",
        (*span, *parameters),
    ):
        found.setdefault(row["request_id"], []).append({**row, "verdicts": json.loads(row["verdicts"] or "[]")})
    return found
