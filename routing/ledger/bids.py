"""Bids of earlier requests, as the log has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .store import Ledger

__all__ = ["bid_texts", "bids_of"]


def bids_of(ledger: Ledger, *, profile: str, last: int) -> list[dict[str, Any]]:
    """Return the latest bids of answered requests of a profile, newest first.

    Returns
    -------
    Each with request_id, seq, arm, verdicts (JSON), whether its text is kept (0 or 1), embedding and embedder_id of the
    prompt, the arm's predicted quality for it, arms (JSON: whom it was put to), and reward and weight of the newest
    label on that arm's answer (None where there is none).
    """
    return ledger.rows(
        "SELECT s.request_id, s.seq, s.arm, s.verdicts, s.answer IS NOT NULL AS kept, "
        "floats(q.embedding) AS embedding, q.embedder_id, "
        "(SELECT json_extract(e.value, '$.quality') FROM json_each(unpacked(q.decision), '$.arms') e "
        "WHERE json_extract(e.value, '$.name') = s.arm) AS quality, "
        "(SELECT json_group_array(t.arm) FROM steps t WHERE t.request_id = q.id) AS arms, l.reward, l.weight "
        "FROM steps s JOIN requests q ON q.id = s.request_id LEFT JOIN labels l ON l.id = "
        "(SELECT max(m.id) FROM labels m WHERE m.request_id = s.request_id AND m.arm = s.arm) "
        "WHERE s.kind = 'bid' AND s.verdicts <> '[]' AND q.status = 'ok' AND q.profile = ? ORDER BY s.id DESC LIMIT ?",
        (profile, last),
    )


def bid_texts(ledger: Ledger, which: Iterable[tuple[str, int]]) -> list[str | None]:
    """Return the texts of some bids, by request and place among its calls; None where it is no longer kept."""
    found = []
    for request_id, seq in which:
        rows = ledger.rows(
            "SELECT answer FROM steps WHERE request_id = ? AND seq = ? AND kind = 'bid'", (request_id, seq)
        )
        found.append(rows[0]["answer"] if rows else None)
    return found
