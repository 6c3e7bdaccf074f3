"""Into pieces of what size a text is best cut: cost(m) and P(a piece is answered wrongly) against their size m.

    cost(m) = n/m * (piece + prompt + what is said of it) + merge
    p(m) = 1/2 P(right | a text of m tokens that answers) + 1/2 P(right | one that does not)

with n the tokens of the text. Small pieces cost more, since prompt and answer are paid for each; large ones are
answered wrongly more often, above all those that hold nothing of what is asked. p is what is predicted of texts that
are read whole (`router.readings`), whose prior was fitted on 32k to 128k tokens: of shorter ones it is supposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MOST_PIECES", "NOTHING_SHARE", "PIECE_ANSWER", "SIZES", "Cut", "best_cut"]

SIZES: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
"""Sizes of pieces that are weighed, tokens."""

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


def best_cut(
    sizes: Sequence[int],
    n_pieces: Callable[[int], int],
    cost_nano: Callable[[int, int], float],
    right: Callable[[int], float],
    *,
    wtp_usd: float,
    held_usd: Callable[[int, int], float] = lambda _size, _n: 0.0,
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
    right
        P(a piece of a size is answered rightly).
    held_usd
        What else is held against so many pieces of a size, USD (the time they take).
    """
    cuts = []
    for size in sizes:
        n = n_pieces(size)
        if n <= MOST_PIECES:
            cuts.append(Cut(size, n, right(size), cost_nano(size, n)))

    def worth(cut: Cut) -> float:
        return wtp_usd * cut.right - cut.cost_nano / 1e9 - held_usd(cut.n_tokens, cut.n)

    return max(cuts, key=worth, default=None)
