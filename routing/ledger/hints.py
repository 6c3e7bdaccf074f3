"""What the log knows of hints: answers to learn them from, and how hinted and other prompts were answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .clauses import all_of, marks
from .requests import SINGLE

if TYPE_CHECKING:
    from collections.abc import Collection

    from .store import Ledger

__all__ = ["drawn_for", "last_found", "no_draw", "of_request", "rated"]


def last_found(ledger: Ledger | None, profile: str) -> dict[str, Any] | None:
    """Return what the latest refit of a profile said of hints; None where there was none, or no draws before it."""
    if ledger is None:
        return None
    rows = ledger.rows(
        "SELECT json_extract(data, '$.hints') AS hints FROM refits WHERE profile = ? AND json_valid(data) "
        "ORDER BY id DESC LIMIT 1",
        (profile,),
    )
    return json.loads(rows[0]["hints"]) if rows and rows[0]["hints"] else None


def drawn_for(ledger: Ledger, sources: Collection[str], *, profile: str | None = None) -> list[dict[str, Any]]:
    """Return the labels of answers for which a hint was drawn, oldest first.

    Parameters
    ----------
    sources
        Which labels.

    Returns
    -------
    For each: request_id, hint, hinted, hint_propensity, hint_similarity, source, reward and weight.
    """
    where, parameters = all_of(("q.profile = ?", profile))
    return ledger.rows(
        "SELECT q.id AS request_id, q.hint, q.hinted, q.hint_propensity, q.hint_similarity, l.source, l.reward, "  # noqa: S608 - marks
        "l.weight FROM requests q CROSS JOIN labels l ON l.request_id = q.id AND l.arm = q.arm "
        f"WHERE q.hint_propensity IS NOT NULL AND {where} AND l.source IN ({marks(sources)}) ORDER BY l.id",
        (*parameters, *sources),
    )


def of_request(ledger: Ledger, request_id: str) -> dict[str, Any] | None:
    """Return the columns of a request's hint; None where the log has no such request."""
    rows = ledger.rows(
        "SELECT hint, hinted, hint_propensity, hint_similarity FROM requests WHERE id = ?", (request_id,)
    )
    return rows[0] if rows else None


def no_draw(ledger: Ledger, request_id: str) -> None:
    """Note that a request went on without the hint that was drawn for it: it says nothing of hints."""
    with ledger.transaction():
        ledger.update("requests", ("id", request_id), {"hinted": None, "hint_propensity": None})


def rated(ledger: Ledger, profile: str, sources: Collection[str], *, last: int) -> list[dict[str, Any]]:
    """Return labelled answers of a profile whose text is kept, by the order of their labels: a row a label.

    Of a program's requests only such as are one prompt, and none with attachments.

    Parameters
    ----------
    sources
        Which labels.
    last
        How many labels at most, the latest ones.

    Returns
    -------
    For each: id, prompt, answer, arm, embedding, embedder_id, decision, source, reward and weight.
    """
    rows = ledger.rows(
        "SELECT q.id, q.prompt, q.answer, q.arm, floats(q.embedding) AS embedding, q.embedder_id, "  # noqa: S608 - marks
        "unpacked(q.decision) AS decision, l.source, l.reward, l.weight "
        "FROM labels l JOIN requests q ON q.id = l.request_id AND q.arm = l.arm "
        f"WHERE q.profile = ? AND q.status = 'ok' AND q.prompt IS NOT NULL AND q.answer <> '' "
        f"AND q.attachments IS NULL AND {SINGLE} AND l.source IN ({marks(sources)}) ORDER BY l.id DESC LIMIT ?",
        (profile, *sources, last),
    )
    return rows[::-1]
