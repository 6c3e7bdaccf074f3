"""Cutting a text into pieces of about equal size that end where its paragraphs, lines or sentences do."""

from __future__ import annotations

from typing import Final

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.text.ends import best_end

__all__ = ["PIECE_TOKENS", "cut"]

PIECE_TOKENS: Final = 400
"""The most tokens of a piece, about."""

_LEAST: Final = 0.4
"""A piece is at least so much of that, where its text goes on: sooner than cut shorter it ends at a lesser end."""


def cut(text: str, most: int = PIECE_TOKENS) -> list[int]:
    r"""Return where the pieces of a text end, in characters and rising: the last is the text's own end.

    Each piece is of at most `most` tokens (`approx_tokens`). It ends with the last paragraph that it holds whole, else
    with the last line, the last sentence, or at the last space; where there is none of these it is cut hard. What is
    empty between two pieces belongs to the one before.

    Examples
    --------
    >>> cut("One two.\n\nThree four five.\n", 5), cut("", 5), cut("x" * 50, 5)
    ([10, 27], [], [20, 40, 50])
    """
    ends = []
    at = 0
    while at < len(text):
        limit = _limit(text, at, most)
        if limit >= len(text):
            ends.append(len(text))
            break
        at = best_end(text, at + max(1, int((limit - at) * _LEAST)), limit)
        ends.append(at)
    return ends


def _limit(text: str, at: int, most: int) -> int:
    """Return how far at most so many tokens from `at` on reach; one character at the least."""
    low, size = at + 1, 4 * most
    while True:
        high = min(len(text), at + size)
        if approx_tokens(text[at:high]) <= most:
            low = high
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if approx_tokens(text[at:middle]) <= most else (low, middle - 1)
        if low < at + size or low == len(text):
            return low
        size *= 2  # all of it was within: it holds long runs of blanks
