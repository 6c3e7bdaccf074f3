"""Which earlier turns of a conversation a question is about: by their words, and by what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .store import word_scores
from .texts import terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["BESIDE", "WORDS", "turn_scores"]

WORDS: Final = 0.35
"""The part of the words in a score; the meaning has the rest. Both figures: `bench/memory.py tune`."""

BESIDE: Final = 0.1
"""What a turn gets of the better of its two neighbours: a question and what it was about stand side by side."""

_FEW: Final = 3
"""A question of fewer words that tell something borrows those of the turn before it ("And how much was it?")."""

_BORROWED: Final = 0.25
"""What borrowed words count against the question's own."""


def turn_scores(
    turns: Sequence[tuple[str, str]], question: str, embedding: NDArray[np.float32], vectors: Sequence[bytes | None]
) -> NDArray[np.float64]:
    """Return how near each turn is to a question, `(n_turns,)`; more is nearer.

    Score = 0.35 BM25 / greatest BM25 + 0.65 cos / greatest cos, and a tenth of the better neighbour's. BM25 (Robertson
    and Zaragoza 2009, as SQLite's FTS5 has it, of stemmed words) is of all that was said in a turn, the cosine of what
    was asked in it. A turn without a vector that can be compared is found by its words alone.

    Parameters
    ----------
    turns
        What was asked and answered in each, in order.
    question, embedding
        What is asked now, and its embedding: `(dim,)`, unit length.
    vectors
        The embedding of what was asked in each turn, little-endian float32 as the log keeps it; None where it is not
        known, or of another embedder.
    """
    if not turns:
        return np.zeros(0)
    wanted = terms(question)
    said = [f"{asked}\n{answered}" for asked, answered in turns]
    words, near = _part(np.asarray(word_scores(said, wanted))), np.zeros(len(turns))
    if len(wanted) < _FEW:
        words = words + _BORROWED * _part(np.asarray(word_scores(said, terms(turns[-1][0]))))
    for at, vector in enumerate(vectors):
        if vector is not None and len(vector) == 4 * len(embedding):
            near[at] = max(0.0, float(np.frombuffer(vector, "<f4") @ embedding))
    found = WORDS * _part(words) + (1.0 - WORDS) * _part(near)
    beside = np.zeros(len(turns))
    beside[1:] = found[:-1]
    beside[:-1] = np.maximum(beside[:-1], found[1:])
    return np.asarray(found + BESIDE * beside)


def _part(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores as parts of the greatest."""
    return scores / (scores.max() or 1.0)
