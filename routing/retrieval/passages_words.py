"""The words of a text's pieces, and how near pieces are to a question by them: BM25 over the pieces of all its files."""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from .passages_cut import PIECE_TOKENS, cut
from .texts import COMMON, MAX_TERMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Pieces", "Scored", "asked_words", "pieces_of", "scored", "words_of"]

_WORD: Final = re.compile(r"\d+(?:[.,]\d+)+(?![^\W_])|[^\W_]+")
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean, which set no spaces or none at a word's end."""

_RUN: Final = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]+|[^{_UNSPACED}\U00020000-\U0003ffff]+")
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_LONGEST: Final = 40
"""Characters of a word: what is longer is a key or a picture in letters."""

_SCANNED: Final = 16_000
"""Characters of a question whose words are looked for."""

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
    for word in _WORD.findall(plain):
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
    return character >= "\U00020000" or re.match(f"[{_UNSPACED}]", character) is not None


_EMPTY: Final = frozenset(word for common in COMMON for word in words_of(common))


def asked_words(question: str) -> list[str]:
    """Return the words of a question that are worth looking for, each once; of one without such, all of them.

    Examples
    --------
    >>> asked_words("What is the VAT on books, and on e-books?"), asked_words("What is it?")
    (['vat', 'book', 'e'], ['what', 'is', 'it'])
    """
    words = list(dict.fromkeys(words_of(question[:_SCANNED])))
    words = [word for word in words if word not in _EMPTY] or words
    return words if len(words) <= MAX_TERMS else words[: MAX_TERMS // 2] + words[-MAX_TERMS // 2 :]


class Scored(msgspec.Struct, frozen=True):
    """What the pieces of some texts have in common with a question.

    Attributes
    ----------
    scores
        BM25 of each piece that holds any of the words, by its number: those of all texts are counted through.
    covered
        What share of the words it holds, each by its weight, in [0, 1].
    weights
        Of the words: how rare each is among the pieces (Lucene's idf, ln(1 + (N - n + 0.5) / (n + 0.5))).
    """

    scores: dict[int, float]
    covered: dict[int, float]
    weights: dict[str, float]


def scored(texts: Sequence[Pieces], names: Sequence[frozenset[str]], words: Mapping[str, float]) -> Scored:
    """Return how near the pieces of some texts are to some words.

    score = sum over words of w idf tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)), k1 = 1.2, b = 0.4
    (Robertson & Zaragoza, 2009).

    Parameters
    ----------
    names
        For each text the words of its name, which each of its pieces has once more.
    words
        The weight w of each word that is looked for.
    """
    lengths = [length for text in texts for length in text.lengths]
    mean = max(1.0, sum(lengths) / max(1, len(lengths)))
    scores: dict[int, float] = {}
    covered: dict[int, float] = {}
    weights = {}
    for word, weight in words.items():
        found: dict[int, int] = {}
        first = 0
        for text, name in zip(texts, names, strict=True):
            for number, n in text.holding(word):
                found[first + number] = n
            if word in name:
                for number in range(first, first + len(text.ends)):
                    found[number] = found.get(number, 0) + 1
            first += len(text.ends)
        rare = weights[word] = math.log1p((len(lengths) - len(found) + 0.5) / (len(found) + 0.5))
        for number, n in found.items():
            much = n * (_K1 + 1) / (n + _K1 * (1 - _B + _B * lengths[number] / mean))
            scores[number] = scores.get(number, 0.0) + weight * rare * much
            covered[number] = covered.get(number, 0.0) + weight * rare
    most = sum(words[word] * weight for word, weight in weights.items()) or 1.0
    return Scored(scores, {number: min(1.0, share / most) for number, share in covered.items()}, weights)
