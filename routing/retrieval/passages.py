"""The passages of files that a question is about: by its words over everything, by what they mean over the best.

How it is done: texts are cut into pieces (`passages_cut`), whose words and vectors are kept by the texts' hashes
(`passages_kept`). BM25 over all pieces of all files finds the best 40 (`passages_words`); of these counts too how close
together the words stand, and what that part of the piece means. Where nothing stands out, words of the first three are
looked for as well, once. Pieces are taken in that order until the budget is spent, and sent in the order of the text.
What each step is worth: bench/retrieval.py.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.sources import Span, block_of

from .passages_cut import cut
from .passages_kept import Kept
from .passages_words import NAMED, asked_words, densest, scored, words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.prompts.sources import Source

__all__ = ["Passages", "Search", "passages"]

CANDIDATES: Final = 40
"""Pieces that are looked at closely, and embedded."""

_CLOSE: Final = 1.5
"""What words that stand close together count once more."""

_MEANING: Final = 0.5
"""What cos(question, piece) counts, beside words' 1 at the most."""

_FLAT: Final = 0.9
"""From here on nothing stands out, and the words of the first pieces are looked for as well."""

_FIRST: Final = 3
_MORE: Final = 8
_MORE_WEIGHT: Final = 0.1
"""So many words of so many first pieces are, and each counts so much."""

_END_TOKENS: Final = 3
"""Of the mark that ends them."""

_LEAST_TOKENS: Final = 16
"""A shorter passage says nothing."""


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
    """Return the passages of sources that a question is about, of at most `budget` tokens as they are sent.

    Where no word of the question stands in any source, they are the sources' beginning.

    Parameters
    ----------
    embedding
        Of the question, `(dim,)`, unit length.
    embedder
        Embeds the pieces that its words find.
    cache
        The folder of the cache: what was worked out of a text is kept there by its hash. None keeps nothing.
    """
    kept = Kept(cache)
    search = Search(sources, question, kept)
    ranking = search.by_meaning(search.by_words(), embedding, embedder)
    if search.flat(ranking) >= _FLAT:
        ranking = search.by_meaning(search.second_hop(ranking), embedding, embedder)
    return search.picked(ranking, budget)


class Search:
    """A question, looked for in the pieces of some sources; a ranking is scores by pieces' numbers, best first.

    Parameters
    ----------
    sources
        Their pieces are counted through.
    question
        What is looked for.
    kept
        Where pieces and vectors are kept.
    """

    def __init__(self, sources: Sequence[Source], question: str, kept: Kept) -> None:
        self.sources = sources
        self._question = question
        self._kept = kept
        self._pieces = kept.pieces(sources)
        self._names = [frozenset(words_of(source.name)) for source in sources]
        self._places = [
            (number, start, end)
            for number, pieces in enumerate(self._pieces)
            for start, end in pairwise([0, *pieces.ends])
        ]
        self._words = asked_words(question)
        self._found = scored(self._pieces, self._names, self._words)
        self._passages: dict[int, str] = {}
        self._near: dict[int, float] = {}
        self._cosines: dict[int, float] = {}

    def text(self, number: int) -> str:
        """Return the text of a piece."""
        source, start, end = self._places[number]
        return self.sources[source].text[start:end]

    def by_words(self) -> dict[int, float]:
        """Rank pieces by the question's words: BM25, and for the best what of them stands close together."""
        return self._closely(self._found.scores, self._found.weights)

    def _closely(self, scores: Mapping[int, float], weights: Mapping[str, float]) -> dict[int, float]:
        self._near = {}
        for number in heapq.nlargest(CANDIDATES, scores, key=lambda number: (scores[number], -number)):
            name = self._names[self._places[number][0]]
            told = {word: weight * (NAMED if word in name else 1.0) for word, weight in weights.items()}
            much, passage = densest(self.text(number), told)
            self._passages.setdefault(number, passage)
            self._near[number] = scores[number] + _CLOSE * much
        return _ordered(self._near)

    def flat(self, ranking: Mapping[int, float], taken: Collection[int] | None = None) -> float:
        """Return how near the next three pieces come to the best: 1 where nothing stands out.

        Parameters
        ----------
        taken
            Those that they come after; the first three where none are said.
        """
        scores = {number: self._near[number] for number in ranking}
        best = max(scores.values(), default=0.0)
        if best <= 0.0:
            return 1.0
        before = [*ranking][:_FIRST] if taken is None else taken
        behind = [score for number, score in scores.items() if number not in before][:_FIRST]
        return min(1.0, sum(behind) / (_FIRST * best))

    def second_hop(self, ranking: Mapping[int, float]) -> dict[int, float]:
        """Rank pieces by the question's words and a few that tell the first pieces of a ranking from the others."""
        said = Counter(word for number in [*ranking][:_FIRST] for word in dict.fromkeys(words_of(self.text(number))))
        new = {word: 1.0 for word in said if word not in self._words and word.isalpha() and len(word) > 2}
        rare = scored(self._pieces, self._names, new).weights
        more = sorted(new, key=lambda word: (-said[word] * rare[word], word))[:_MORE]
        words = {**self._words, **dict.fromkeys(more, _MORE_WEIGHT)}
        wider = scored(self._pieces, self._names, words)
        return self._closely(wider.scores, wider.weights)

    def by_meaning(
        self, ranking: Mapping[int, float], embedding: NDArray[np.float32], embedder: TextEmbedder
    ) -> dict[int, float]:
        """Rank the pieces of a ranking by what they mean too: score / best score + 0.5 cos(question, piece)."""
        if not ranking:
            return {}
        new = [number for number in ranking if number not in self._cosines]
        if new:
            vectors = self._kept.vectors([self._passages[number] for number in new], embedder)
            self._cosines.update(zip(new, (vectors @ embedding).tolist(), strict=True))
        most = max(ranking.values()) or 1.0
        return _ordered({number: score / most + _MEANING * self._cosines[number] for number, score in ranking.items()})

    def picked(self, ranking: Mapping[int, float], budget: int) -> Passages:
        """Take pieces in the order of a ranking until the budget is spent, and then what lies beside them.

        Where the ranking is empty, the beginning of each source is taken.
        """
        order = [*ranking] or [*self._beginnings()]
        taken: dict[int, int] = {}
        left = budget - _END_TOKENS
        for number in (*order, *self._beside(order)):
            if number in taken:
                continue
            if (cost := self._cost(number, taken)) <= left:
                taken[number] = cost
                left -= cost
            elif not ranking:
                break
        spans = self._joined(taken)
        while taken and self._size(spans) > budget:  # the texts hold the mark: it is a longer one
            taken.popitem()
            spans = self._joined(taken)
        if order and not taken:
            spans = self._part(order[0], left)
            spans = spans if self._size(spans) <= budget else ()
        return Passages(spans, max((span.score for span in spans), default=0.0), self.flat(ranking, taken))

    def _size(self, spans: Sequence[Span]) -> int:
        """Return the tokens that passages take as they are sent."""
        return approx_tokens(block_of(self.sources, spans, self._question))

    def _beginnings(self) -> Iterator[int]:
        """Give the pieces of all sources: the first of each, the second of each."""
        firsts = {number: at for at, (number, start, _) in enumerate(self._places) if start == 0}
        for depth in range(max((len(pieces.ends) for pieces in self._pieces), default=0)):
            for number, first in firsts.items():
                if depth < len(self._pieces[number].ends):
                    yield first + depth

    def _beside(self, order: Iterable[int]) -> list[int]:
        """Return the pieces that come next to others in their sources."""
        near = [(number, at) for number in order for at in (number + 1, number - 1) if 0 <= at < len(self._places)]
        return [at for number, at in near if self._places[at][0] == self._places[number][0]]

    def _cost(self, number: int, taken: Mapping[int, int]) -> int:
        """Return the tokens that a piece adds to what is taken: its own, and its title's where it begins a passage."""
        source = self._places[number][0]
        n = approx_tokens(self.text(number))
        joins = any(at in taken and self._places[at][0] == source for at in (number - 1, number + 1))
        return n if joins else n + _title_tokens(self.sources[source])

    def _joined(self, numbers: Iterable[int]) -> tuple[Span, ...]:
        """Return pieces as spans in the order of the sources, those that touch as one."""
        spans: list[Span] = []
        for number in sorted(numbers):
            source, start, end = self._places[number]
            score = self._found.covered.get(number, 0.0)
            if spans and (spans[-1].source, spans[-1].end) == (source, start):
                start, score = spans[-1].start, max(spans.pop().score, score)
            spans.append(Span(source, start, end, score))
        return tuple(spans)

    def _part(self, number: int, left: int) -> tuple[Span, ...]:
        """Return the part of a piece that is nearest to the question, of a piece that is too large as a whole."""
        source, start, _ = self._places[number]
        room = left - _title_tokens(self.sources[source])
        if room < _LEAST_TOKENS:
            return ()
        text = self.text(number)
        parts = [*pairwise([0, *cut(text, room)])]
        begin, finish = max(parts, key=lambda part: densest(text[slice(*part)], self._found.weights)[0])
        return (Span(source, start + begin, start + finish, self._found.covered.get(number, 0.0)),)


def _ordered(scores: Mapping[int, float]) -> dict[int, float]:
    """Return scores best first, of equal ones the earlier piece first."""
    return dict(sorted(scores.items(), key=lambda each: (-each[1], each[0])))


def _title_tokens(source: Source) -> int:
    """Return the most tokens that the title of a passage takes."""
    last = len(source.text)
    return approx_tokens(block_of([source], [Span(0, last, last)])) - _END_TOKENS + 2
