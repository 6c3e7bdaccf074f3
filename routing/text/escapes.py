"""A text as it reads where it is spelled for JSON, an address or HTML, and where each of its characters stands."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_escapes"]

_SPELLED: Final = re.compile(
    r"(?P<json>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[nrt/\"])"
    r"|(?P<url>(?:%[0-9a-fA-F]{2})+)|(?P<html>&(?:#[0-9]{1,6}|#x[0-9a-fA-F]{1,5}|[a-zA-Z]{2,8});)"
)
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "/": "/", '"': '"'}


def read_escapes(text: str) -> tuple[str, list[int]] | None:
    r"""Return a text with its escapes read, and where each of its characters begins in it (and where the last ends).

    Returns
    -------
    tuple or None
        None where nothing is spelled in another way than it reads.

    Examples
    --------
    >>> read_escapes(r"a\u00fcb%40c")
    ('aüb@c', [0, 1, 7, 8, 11, 12])
    """
    if not any(sign in text for sign in "\\%&"):
        return None
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for found in _SPELLED.finditer(text):
        pieces.append(text[at : found.start()])
        places.extend(range(at, found.start()))
        for char, start in _read(found):
            pieces.append(char)
            places.append(found.start() + start)
        at = found.end()
    if at == 0:
        return None
    pieces.append(text[at:])
    places.extend(range(at, len(text) + 1))
    return "".join(pieces), places


def _read(found: re.Match[str]) -> Iterator[tuple[str, int]]:
    """Yield the characters of a spelling, each with where it begins in it."""
    spelled = found[0]
    if found["json"] is not None:
        if spelled[1] != "u":
            yield _SHORT[spelled[1]], 0
        else:
            units = b"".join(int(part, 16).to_bytes(2, "big") for part in spelled.split("\\u")[1:])
            yield units.decode("utf-16-be", "replace")[0], 0
    elif found["url"] is not None:
        data = bytes.fromhex(spelled.replace("%", ""))
        begins = [*(n for n, byte in enumerate(data) if byte & 0xC0 != 0x80 or n == 0), len(data)]
        for start, end in pairwise(begins):
            yield data[start:end].decode("utf-8", "replace")[0], 3 * start
    else:
        read = html.unescape(spelled)
        yield (read if len(read) == 1 else spelled[0]), 0
