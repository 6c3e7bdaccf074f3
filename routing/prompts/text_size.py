"""How many tokens a text is at most, whatever the tokeniser; and figures of long texts, remembered."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections import Counter, OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remembered", "text_bound"]

_NEW_CHARACTER: Final = 33
"""The most bytes that one character becomes in any normalisation form (U+FDFA in NFKC): said of characters that this
Python's Unicode does not know, and a tokeniser's may."""

_LONG: Final = 64
"""From so many characters on, a text's figures are remembered."""

_MOST: Final = 16_384
"""So many of them at most, the latest: the messages of some hundred long conversations."""

_figures: OrderedDict[bytes, int] = OrderedDict()
_lock: Final = threading.Lock()


def remembered(text: str, count: Callable[[str], int]) -> int:
    """Return what `count` makes of a text; for a long one it is worked out once.

    A conversation is sent anew with each of its turns, and each arm asks for its figures. They are kept by the text's
    hash, not the text.
    """
    if len(text) < _LONG:
        return count(text)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(count.__name__.encode())
    key = digest.digest()
    with _lock:
        known = _figures.get(key)
        if known is not None:
            _figures.move_to_end(key)
            return known
    found = count(text)
    with _lock:
        _figures[key] = found
        while len(_figures) > _MOST:
            _figures.popitem(last=False)
    return found


def text_bound(text: str) -> int:
    """Return as many tokens as a text can be, whatever the tokeniser, or more.

    Every token of a byte-level or byte-fallback tokeniser stands for at least one byte. But the bytes need not be those
    of the text: many tokenisers normalise first, by NFC, NFD, NFKC or NFKD, and some change the case, which may make
    of one character as many as eighteen. Decomposing (NFD, NFKD) works character by character, and composing (NFC,
    NFKC) what was decomposed makes it no longer. So the sum over the characters of the most that each becomes is a
    bound, and one that holds for texts put together too. bench/tokens.py tries it on all of Unicode.

    Examples
    --------
    >>> text_bound("plain"), text_bound("\ufdfa"), text_bound("\uac00")
    (5, 33, 6)
    """
    return len(text) if text.isascii() else remembered(text, _sum_of_characters)


def _sum_of_characters(text: str) -> int:
    return sum(_most_bytes(character) * n for character, n in Counter(text).items())


@cache
def _most_bytes(character: str) -> int:
    """Return the most bytes of UTF-8 that a character becomes by normalising and changing its case."""
    if unicodedata.category(character) == "Cn":
        return _NEW_CHARACTER
    cased = {character, character.lower(), character.upper(), character.casefold()}
    forms = cased | {unicodedata.normalize(form, each) for each in cased for form in ("NFD", "NFKD")}
    forms |= {each.casefold() for each in forms}
    return max(len(each.encode("utf-8", "surrogatepass")) for each in forms)
