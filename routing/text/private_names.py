"""Names of a list (people, clients, projects) found in a text: whole words, whatever their case, the longest first."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["NameList"]

_MARKS: Final = "".join(
    chr(code)
    for code in (*range(0x300, 0x1E00), *range(0x20D0, 0x2100), *range(0xFE20, 0xFE30))
    if unicodedata.category(chr(code)).startswith("M")
)
"""What stands upon letters, or beside them: a part of its word."""

_WORD: Final = re.compile(rf"[^\W_{_MARKS}][^\W_{_MARKS}]*(?:[{_MARKS}]+[^\W_{_MARKS}]*)*")
_UNSPACED: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Letters of scripts that put no space between words, or hang endings on names."""

_MOST_BETWEEN: Final = 5
"""Characters between the words of a name: spaces, an initial's dot and a space, a line's end, an ampersand."""


def _plain(word: str) -> str:
    """Return a word as it is compared."""
    return word.lower() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()


@dataclass(frozen=True, slots=True, eq=False)
class NameList:
    """Names, ready to be looked for; the time that takes goes by the text's words, not by how many names there are.

    Attributes
    ----------
    by_first
        Names as words to compare, by their first word, the longest first.
    within
        Finds the names that stand within words, since their script puts no space between; None where there are none.

    Examples
    --------
    >>> names = NameList.of(["Ann Smith", "Ann"])
    >>> text = "ANN  SMITH met Ann; not Hannah"
    >>> [text[start:end] for start, end in names.find(text)]
    ['ANN  SMITH', 'Ann']
    """

    by_first: Mapping[str, tuple[tuple[str, ...], ...]]
    within: re.Pattern[str] | None = None

    @classmethod
    def of(cls, names: Iterable[str]) -> NameList:
        """Make it of names as a person writes them; the same list is made once."""
        return _prepared(tuple(names))

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where names stand in a text, in its order; none lies within another."""
        if self.within is not None:
            yield from (found.span() for found in self.within.finditer(text))
        known = self.by_first
        if not known:
            return
        words = [(found.start(), found.end(), _plain(found[0])) for found in _WORD.finditer(text)]
        at = 0
        while at < len(words):
            n = next((len(name) for name in known.get(words[at][2], ()) if _stands(name, words, at)), 0)
            if n:
                yield words[at][0], words[at + n - 1][1]
            at += n or 1


def _stands(name: tuple[str, ...], words: list[tuple[int, int, str]], at: int) -> bool:
    """Tell whether a name's words are those that stand from a place on, close together."""
    if at + len(name) > len(words):
        return False
    return all(
        words[at + i][2] == word and (i == 0 or words[at + i][0] - words[at + i - 1][1] <= _MOST_BETWEEN)
        for i, word in enumerate(name)
    )


@lru_cache(maxsize=4)
def _prepared(names: tuple[str, ...]) -> NameList:
    """Return a list; thousands of names are gone through once a process."""
    by_first: dict[str, set[tuple[str, ...]]] = {}
    within: set[str] = set()
    for name in names:
        words = tuple(_plain(found[0]) for found in _WORD.finditer(name))
        if _UNSPACED.search(name):
            within.add(unicodedata.normalize("NFC", name.strip()))
        elif words:
            by_first.setdefault(words[0], set()).add(words)
    ordered = {first: tuple(sorted(them, key=len, reverse=True)) for first, them in by_first.items()}
    longest = sorted(within, key=len, reverse=True)
    return NameList(ordered, re.compile("|".join(map(re.escape, longest)), re.IGNORECASE) if longest else None)
