"""Into pieces of what size a text is best cut: cost(m) and P(a piece is answered wrongly) against their size m.

    cost(m) = n/m * (piece + prompt + what is said of it) + merge
    logit p(m) = logit q - slope * log2(m / m0),  m > m0

with n the tokens of the text, q the arm's predicted quality and m0 the size at which that holds. Small pieces cost
more, since prompt and answer are paid for each; large ones are answered wrongly more often. The slope is that of how
often models see that a long text says nothing of what was asked, since that is what most pieces do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["M0", "MOST_PIECES", "NOTHING_SHARE", "PIECE_ANSWER", "SIZES", "SLOPE", "Cut", "best_cut", "piece_right"]

SIZES: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
"""Sizes of pieces that are weighed, tokens."""

M0: Final = 1_000
"""The size of a piece at which an arm is as good as it is predicted to be."""

SLOPE: Final = 0.5
"""By how much the logit of P(right) falls with each doubling of a piece, before labels say otherwise.

Measured on LaRA's outcomes of 13 models, questions that the text does not answer, from 32k to 128k tokens: .51 on
average, from .23 to .84 (answerable ones: .02). Below 32k it is supposed to hold.
"""

MOST_PIECES: Final = 200
"""Into more pieces no text is cut."""

PIECE_ANSWER: Final = 60
"""Output tokens of what is said of a piece, on average. Chosen, not measured."""

NOTHING_SHARE: Final = 0.5
"""How many of the pieces hold nothing of what is asked for. Chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A text in pieces, with what is expected of that.

    Attributes
    ----------
    n_tokens, n
        The most tokens of a piece, and how many pieces there are.
    right
        P(a piece is answered rightly).
    cost_nano
        What all calls are expected to cost, nano-USD.
    """

    n_tokens: int
    n: int
    right: float
    cost_nano: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"piece_tokens": self.n_tokens, "pieces": self.n, "wrong": round(1.0 - self.right, 4)}


def piece_right(quality: float, n_tokens: int, slope: float = SLOPE) -> float:
    """Return P(a piece of so many tokens is answered rightly) by an arm of this predicted quality.

    Examples
    --------
    >>> [round(piece_right(0.8, n), 2) for n in (500, 1_000, 2_000, 8_000)]
    [0.8, 0.8, 0.71, 0.47]
    """
    quality = min(1.0 - 1e-4, max(1e-4, quality))
    logit = math.log(quality / (1.0 - quality)) - slope * max(0.0, math.log2(max(1, n_tokens) / M0))
    return 1.0 / (1.0 + math.exp(-logit))


def best_cut(
    sizes: Sequence[int],
    n_pieces: Callable[[int], int],
    cost_nano: Callable[[int, int], float],
    *,
    quality: float,
    wtp_usd: float,
    slope: float = SLOPE,
) -> Cut | None:
    """Return the size of pieces of greatest utility, wtp * p(m) - cost(m); None where each makes too many pieces.

    Parameters
    ----------
    sizes
        Those that fit the arm's window.
    n_pieces
        Into how many pieces of a size the text falls.
    cost_nano
        What so many pieces of a size cost with their merge, nano-USD.
    """
    cuts = []
    for size in sizes:
        n = n_pieces(size)
        if n <= MOST_PIECES:
            cuts.append(Cut(size, n, piece_right(quality, size, slope), cost_nano(size, n)))
    return max(cuts, key=lambda cut: wtp_usd * cut.right - cut.cost_nano / 1e9, default=None)
