"""Joining what is near by words and near by meaning: candidates from short vectors, then the whole texts of those.

The weights, and lines and sentences as pieces spread over all of a body, were chosen on the intents of bench/pool.py:
longer pieces, the first ones of a long body only, and words that count more are all worse there
(docs/decisions/0028-pool.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["CANDIDATES", "Ranked", "ranked"]

CANDIDATES: Final = 40
"""Documents that are compared by all their pieces: the best by short vectors, and half as many by words."""

_ABOUT: Final = 0.3
_NEAREST: Final = 0.4
_MIDDLE: Final = 0.3
_WORDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row of the index, its score from 0 to 1, and the rankings in which it is among the first."""

    row: int
    score: float
    by: tuple[str, ...]


def ranked(
    query: NDArray[np.float32],
    heads: NDArray[np.float32],
    middles: NDArray[np.float32],
    words: Mapping[int, float],
    pieces: Callable[[list[int]], tuple[NDArray[np.float32], list[int]]],
    n: int,
) -> list[Ranked]:
    """Return the `n` nearest documents, best first.

    Score = 0.3 cos(query, head) + 0.3 cos(query, middle of the body) + 0.4 max over pieces cos(query, piece)
    + 0.05 BM25 / greatest BM25, kept within 0 and 1.

    Parameters
    ----------
    query
        `(dim,) float32`, unit length.
    heads, middles
        `(n_documents, dim) float32`, unit length: name and about; the mean of the body's pieces.
    words
        BM25 of rows that hold words of the query, best first.
    pieces
        Returns the pieces of some rows, one or more of each: `(n, dim) float32`, and where each row's begin.
    """
    if not len(heads):
        return []
    about, middle = heads @ query, middles @ query
    most = max(words.values(), default=0.0) or 1.0
    short = _ABOUT * about + (_NEAREST + _MIDDLE) * middle
    rows = sorted({*_best(short, max(CANDIDATES, n)), *list(words)[: CANDIDATES // 2]})
    vectors, starts = pieces(rows)
    nearest = dict(zip(rows, np.maximum.reduceat(vectors @ query, starts).tolist(), strict=True))
    scores = {
        row: _ABOUT * float(about[row])
        + _MIDDLE * float(middle[row])
        + _NEAREST * nearest[row]
        + _WORDS * words.get(row, 0.0) / most
        for row in rows
    }
    first = {
        "about": {*_best(about, n)},
        "body": {*sorted(rows, key=lambda row: (-nearest[row], row))[:n]},
        "words": {*list(words)[:n]},
    }
    return [
        Ranked(row, min(1.0, max(0.0, scores[row])), tuple(name for name, those in first.items() if row in those))
        for row in sorted(rows, key=lambda row: (-scores[row], row))[:n]
    ]


def _best(values: NDArray[np.floating[Any]], n: int) -> list[int]:
    """Return the places of the `n` greatest values."""
    if n >= len(values):
        return list(range(len(values)))
    return [int(at) for at in np.argpartition(-values, n)[:n]]
