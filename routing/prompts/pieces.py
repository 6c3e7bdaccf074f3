"""A text cut into pieces that are read one after another: at the ends of paragraphs, lines or sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.routing.text.ends import best_end

from .sources import Span, block_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .prompt import Prompt
    from .sources import Source

__all__ = ["NOTHING_HERE", "piece_prompt", "pieces_of"]

NOTHING_HERE: Final = "NOTHING"
"""What is said of a piece in which there is nothing of what was asked for."""

_PIECE: Final = """\
{block}

Above stands piece {number} of {n} of what is asked about below; the other pieces are read by themselves. Answer from \
this piece alone. {how}If it holds nothing of what is asked for, reply with the one word {nothing}."""


def pieces_of(sources: Sequence[Source], n_tokens: int) -> tuple[Span, ...]:
    """Return the pieces of some sources, of about so many tokens each at most, in order.

    The same sources and size give the same pieces. A piece ends with a paragraph where one ends in the second half of
    what fits; else with a line, a sentence or a word; else in the middle of one.
    """
    return tuple(span for number, source in enumerate(sources) for span in _cut(number, source, max(1, n_tokens)))


def _cut(number: int, source: Source, n_tokens: int) -> Iterator[Span]:
    text = source.text
    n_pieces = max(1, -(-source.n_tokens // n_tokens))
    most = max(1, min(len(text), n_tokens * len(text) // max(1, source.n_tokens)))
    even = max(1, -(-len(text) // n_pieces))  # pieces alike in length: the last is no crumb
    size = min(most, even + even // 8)
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= size else best_end(text, start + size // 2, start + size)
        if text[start:end].strip():
            yield Span(number, start, end)
        start = end


def piece_prompt(prompt: Prompt, span: Span, number: int, n: int, how: str = "") -> Prompt:
    """Return what is asked of one piece: the piece, which it is, and the question as it was asked.

    Parameters
    ----------
    number, n
        Its place among the pieces, from 1, and how many there are.
    how
        A sentence on the form of the answer.
    """
    block = block_of(prompt.sources, (span,), prompt.text)
    told = f"{how} " if how else ""
    said = _PIECE.format(block=block, number=number, n=n, how=told, nothing=NOTHING_HERE)
    return replace(prompt, block=said, sources=(), readings=None, schema=None, own_format=None)
