"""The words of the pieces of texts, and how near pieces are to a question by their words: BM25 over all of them."""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from .passages_cut import PIECE_TOKENS, cut
from .texts import COMMON, MAX_TERMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["NAMED", "Pieces", "Scored", "asked_words", "densest", "pieces_of", "scored", "words_of"]

_FIGURE: Final = r"\d+(?:[.,]\d+)+(?![^\W_])"
_WORD: Final = re.compile(f"{_FIGURE}|[^\\W_]+")
_ANY_WORD: Final = re.compile(f"{_FIGURE}|(?:[^\\W_]|[\u0900-\u109f\u1780-\u17ff])+")
"""With the vowels of India and beyond, which Python takes for marks."""

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean, which set no spaces or none at a word's end."""

_RUN: Final = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_LONGEST: Final = 40
"""Characters of a word: what is longer is a key or a picture in letters."""

_SCANNED: Final = 16_000
"""Characters of a question whose words are looked for."""

_DATED: Final = re.compile(
    r"\d\d?|(?:19|20)\d\d|january|february|march|april|may|june|july|august|september|october|november|december"
)
_DATE: Final = 0.3
"""How much a word of a date counts."""

NAMED: Final = 0.25
"""How much a word of a text's name counts where the text itself says it: it tells which text, not where in it."""

_CLOSE: Final = 16
"""Words that stand within so many words stand close together."""

_K1: Final = 1.2
_B: Final = 0.4
"""BM25's: how soon a word's repetitions stop to count, and how much the longer piece is held against it."""


class Pieces(msgspec.Struct, frozen=True, array_like=True):
    """The pieces of a text and their words.

    Attributes
    ----------
    ends
        Where each ends, in characters.
    lengths
        Its words, repetitions too.
    postings
        For each word two unsigned 32-bit numbers for each piece that holds it: which, and how often.
    """

    ends: list[int]
    lengths: list[int]
    postings: dict[str, bytes]

    def holding(self, word: str) -> Iterable[tuple[int, int]]:
        """Return the pieces that hold a word, and how often each does."""
        numbers = array("I", self.postings.get(word, b""))
        return zip(numbers[::2], numbers[1::2], strict=True)

    def sound(self, n_chars: int) -> bool:
        """Tell whether these can be the pieces of a text of so many characters."""
        rising = all(a < b for a, b in zip([0, *self.ends], self.ends, strict=False))
        return rising and (self.ends[-1] if self.ends else 0) == n_chars and len(self.lengths) == len(self.ends)


def pieces_of(text: str, most: int = PIECE_TOKENS) -> Pieces:
    """Cut a text into pieces and look up the words of each."""
    ends = cut(text, most)
    lengths = []
    postings: dict[str, array[int]] = {}
    start = 0
    for number, end in enumerate(ends):
        counts = Counter(words_of(text[start:end]))
        lengths.append(counts.total())
        for word, n in counts.items():
            if word in postings:
                postings[word].extend((number, n))
            else:
                postings[word] = array("I", (number, n))
        start = end
    return Pieces(ends, lengths, {word: numbers.tobytes() for word, numbers in postings.items()})


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: small letters, no accents, no plural s, figures without commas.

    Scripts that set no spaces are taken by two characters at a time, which overlap.

    Examples
    --------
    >>> words_of("Café revenues of $1,234.50 (parse_file)"), words_of("東京都"), words_of("2024,")
    (['cafe', 'revenue', 'of', '1234.50', 'parse', 'file'], ['東京', '京都'], ['2024'])
    """
    if text.isascii():
        return [_plain(word) for word in _WORD.findall(text.lower())]
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()
    words = []
    for word in _ANY_WORD.findall(plain):
        if word.isascii():
            words.append(_plain(word))
            continue
        for run in _RUN.findall(word):
            if len(run) > 1 and _is_unspaced(run[0]):
                words += [run[at : at + 2] for at in range(len(run) - 1)]
            else:
                words.append(_plain(run))
    return words


@lru_cache(maxsize=1 << 16)
def _plain(word: str) -> str:
    if word[0].isdigit():
        return word.replace(",", "")[:_LONGEST]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "su":
        return word[:-1]
    return word[:_LONGEST]


@lru_cache(maxsize=1 << 12)
def _is_unspaced(character: str) -> bool:
    return re.match(f"[{_UNSPACED}]", character) is not None


_EMPTY: Final = frozenset(word for common in (*COMMON, "many", "much") for word in words_of(common))


def asked_words(question: str) -> dict[str, float]:
    """Return the words of a question that are worth looking for, and how much each counts.

    Where all are common ones those are looked for. Days, months and years count less: reports name them everywhere, and
    where a table goes on in the next piece they stand in the first.

    Examples
    --------
    >>> asked_words("What is the VAT on books in May 2024?"), asked_words("What is it?")
    ({'vat': 1.0, 'book': 1.0, 'may': 0.3, '2024': 0.3}, {'what': 1.0, 'is': 1.0, 'it': 1.0})
    """
    words = list(dict.fromkeys(words_of(question[:_SCANNED])))
    words = [word for word in words if word not in _EMPTY] or words
    if len(words) > MAX_TERMS:
        words = words[: MAX_TERMS // 2] + words[-MAX_TERMS // 2 :]
    return {word: _DATE if _DATED.fullmatch(word) else 1.0 for word in words}


class Scored(msgspec.Struct, frozen=True):
    """What the pieces of some texts have in common with a question.

    Attributes
    ----------
    scores
        Of each piece that holds any of the words, or whose text has one in its name; by its number: those of all texts
        are counted through.
    covered
        What share of the words each has, by their weights, in [0, 1].
    weights
        Of each word: how much it counts, times how rare it is among the pieces.
    """

    scores: dict[int, float]
    covered: dict[int, float]
    weights: dict[str, float]


def scored(texts: Sequence[Pieces], names: Sequence[frozenset[str]], words: Mapping[str, float]) -> Scored:
    """Return how near the pieces of some texts are to some words.

    score = sum over words of w idf tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)), k1 = 1.2, b = 0.4,
    idf = ln(1 + (N - n + 0.5) / (n + 0.5)) (BM25 as Lucene has it: Robertson & Zaragoza, 2009). A word of a text's name
    counts beside that for each piece of the text, by how rare it is among the names.

    Parameters
    ----------
    names
        The words of each text's name.
    words
        The weight w of each word that is looked for.
    """
    lengths = [length for text in texts for length in text.lengths]
    firsts = [*accumulate((len(text.ends) for text in texts), initial=0)]
    mean = max(1.0, sum(lengths) / max(1, len(lengths)))
    scores: dict[int, float] = {}
    covered: dict[int, float] = {}
    weights = {}
    for word, weight in words.items():
        holding = [[*text.holding(word)] if word in text.postings else [] for text in texts]
        rare = weights[word] = weight * _idf(len(lengths), sum(map(len, holding)))
        named = [word in name for name in names]
        by_name = _idf(len(names), sum(named))
        for first, text, held, is_named in zip(firsts, texts, holding, named, strict=False):
            for number, n in held:
                at = first + number
                much = n * (_K1 + 1) / (n + _K1 * (1 - _B + _B * lengths[at] / mean))
                scores[at] = scores.get(at, 0.0) + rare * much * (NAMED if is_named else 1.0)
                covered[at] = covered.get(at, 0.0) + rare
            if is_named:
                without = {*range(len(text.ends))} - {number for number, _ in held}
                for number in range(len(text.ends)):
                    scores[first + number] = scores.get(first + number, 0.0) + by_name
                for number in without:
                    covered[first + number] = covered.get(first + number, 0.0) + rare
    most = sum(weights.values()) or 1.0
    return Scored(scores, {number: min(1.0, share / most) for number, share in covered.items()}, weights)


def _idf(n_all: int, n: int) -> float:
    """Return how rare something is that n of all have."""
    return math.log1p((n_all - n + 0.5) / (n + 0.5))


def densest(text: str, weights: Mapping[str, float]) -> tuple[float, str]:
    """Return the most that words which stand close together weigh, and the text around them.

    A row of a table holds all of what it says in a few words; so does a line of a log.

    Examples
    --------
    >>> densest("Total costs 12. " + "So it goes on. " * 50 + "Total revenue 99", {"total": 1.0, "revenue": 2.0})[0]
    3.0
    """
    said = [part[at : at + _LONGEST] for part in text.split() for at in range(0, len(part), _LONGEST)]
    hits = [(at, word) for at, part in enumerate(said) for word in _words_in(part) if word in weights]
    best, where = 0.0, 0
    last: dict[str, int] = {}  # where each word stood last: those within reach are the ones that count
    for at, word in hits:
        last[word] = at
        near = [(each, spot) for each, spot in last.items() if at - spot < _CLOSE]
        much = sum(weights[each] for each, _ in near)
        if much > best:
            best, where = much, min(spot for _, spot in near)
    begin = max(0, where - _CLOSE)
    return best, " ".join(said[begin : begin + 4 * _CLOSE])


@lru_cache(maxsize=1 << 14)
def _words_in(part: str) -> tuple[str, ...]:
    return tuple(words_of(part))
