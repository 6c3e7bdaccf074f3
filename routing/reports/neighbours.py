"""The prompts of the log that are most like one of them, and what came of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["neighbours"]


def neighbours(ledger: Ledger, request_id: str, *, k: int = 5, among: int = 20_000) -> list[dict[str, Any]]:
    """Return the k prompts nearest to a request's, nearest first, with the labels they have.

    Parameters
    ----------
    among
        Only the latest so many requests are looked at.

    Returns
    -------
    For each: id, similarity (cosine, in [-1, 1]), arm, prompt (None where its text was not kept), labels by arm.
    """
    import numpy as np

    own = ledger.rows("SELECT embedding, embedder_id, conversation_id FROM requests WHERE id = ?", (request_id,))
    if not own or own[0]["embedding"] is None:
        return []
    rows = ledger.rows(
        "SELECT id, embedding FROM requests WHERE embedder_id = ? AND id != ? AND embedding IS NOT NULL "
        "AND redo_of IS NULL AND status = 'ok' AND length(embedding) = ? ORDER BY n DESC LIMIT ?",
        (own[0]["embedder_id"], request_id, len(own[0]["embedding"]), among),
    )
    if not rows:
        return []
    vectors = np.frombuffer(b"".join(row["embedding"] for row in rows), dtype="<f4").reshape(len(rows), -1)
    similarity = vectors @ np.frombuffer(own[0]["embedding"], dtype="<f4")
    nearest = np.argsort(-similarity, kind="stable")[:k]
    ids = [rows[i]["id"] for i in nearest]
    marks = ", ".join("?" * len(ids))
    texts = {row["id"]: row for row in ledger.rows(f"SELECT id, arm, prompt FROM requests WHERE id IN ({marks})", ids)}  # noqa: S608 - marks
    labels: dict[str, dict[str, float]] = {}
    for row in ledger.rows(
        "SELECT coalesce(q.redo_of, q.id) AS id, l.arm, l.reward FROM labels l JOIN requests q ON q.id = l.request_id "  # noqa: S608 - marks
        f"WHERE q.id IN ({marks}) OR q.redo_of IN ({marks}) ORDER BY l.id",
        [*ids, *ids],
    ):
        labels.setdefault(row["id"], {})[row["arm"]] = row["reward"]
    return [
        {
            "id": key,
            "similarity": round(float(similarity[i]), 4),
            "arm": texts[key]["arm"],
            "prompt": texts[key]["prompt"],
            "labels": labels.get(key, {}),
        }
        for key, i in zip(ids, nearest.tolist(), strict=True)
    ]
