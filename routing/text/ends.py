"""Where a text is best cut: at the end of a paragraph, a line, a sentence or a word."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["best_end"]

_ENDS: Final = (
    re.compile(r"\n[^\S\n]*\n\s*"),  # of a paragraph: an empty line or more
    re.compile(r"[\n\r\u2028\u2029\f]"),
    re.compile(r"[.!?]+[\"')\]]*\s+|[。！？．；]+[」』”’）]*"),
    re.compile(r"\s+"),
)
"""What ends a piece, the best first; the text goes on behind the match."""


def best_end(text: str, least: int, most: int) -> int:
    r"""Return where a piece of a text ends, from character `least` to `most`; at `most` where nothing ends between.

    Of the ends of paragraphs it is the last, else of those of lines, of sentences, of words. Blanks belong to the piece
    before.

    Examples
    --------
    >>> best_end("One. Two three\nfour five", 3, 18), best_end("One. Two three", 3, 10), best_end("abcdef", 2, 4)
    (15, 5, 4)
    """
    for end in _ENDS:
        found = 0
        for match in end.finditer(text, max(0, least - 1), most):
            found = match.end()
        if found >= least:
            return found
    return most
