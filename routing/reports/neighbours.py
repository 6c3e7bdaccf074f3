"""The prompts of the log that are most like one of them, and what came of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger.labels import labels_of_prompts
from scrimp.routing.ledger.requests import by_id, embedded

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["neighbours"]


def neighbours(ledger: Ledger, request_id: str, *, k: int = 5, among: int = 20_000) -> list[dict[str, Any]]:
    """Return the k prompts nearest to a request's, nearest first, with the labels they have.

    Parameters
    ----------
    request_id
        A request of the log.
    k
        How many.
    among
        Only the latest so many requests are looked at.

    Returns
    -------
    For each: id, similarity (cosine, in [-1, 1]), arm, prompt (None where its text was not kept), and labels, the
    newest reward in [0, 1] by arm. Empty where the request's embedding was not kept.
    """
    import numpy as np

    own, others = embedded(ledger, request_id, last=among)
    if not others:
        return []
    vectors = np.frombuffer(b"".join(row["embedding"] for row in others), dtype="<f4").reshape(len(others), -1)
    similarity = vectors @ np.frombuffer(own or b"", dtype="<f4")
    nearest = np.argsort(-similarity, kind="stable")[:k]
    ids = [others[i]["id"] for i in nearest]
    texts, labels = by_id(ledger, ids), labels_of_prompts(ledger, ids)
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
