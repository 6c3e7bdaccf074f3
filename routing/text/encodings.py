"""Text that is not UTF-8: decoded where its encoding can be told, refused where it cannot."""

from __future__ import annotations

import re
from typing import Final

from scrimp.profiles.errors import UsageError

from .clean import clean_text
from .first_bytes import LOOKED_AT, encoding_of, marked, utf_8_from

__all__ = ["decoded"]

ENOUGH: Final = 6
"""Bytes beyond ASCII below which nothing can be told from them."""

_CANDIDATES: Final = (
    "cp1252", "cp1250", "cp1254", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
"""What is looked for, as Python spells it; a few common ones tell themselves apart better than all there are."""

_SAMPLE: Final = 16 * 1024
"""Bytes that are enough to tell."""

_NEAR: Final = 0.03
"""Two encodings whose scores are nearer than this are not told apart by them."""

_MESS: Final = 0.15
"""The share of a text that may look out of place in its encoding."""

_MIXED: Final = 0.2
"""The share of the bytes beyond ASCII in lines of proper UTF-8 from which on a file is of several encodings."""

_BOUNDARY: Final = re.compile(rb"[\x09-\x2f](?=[^\x09-\x2f]*\Z)")
"""The last byte that is no part of a longer character in any of them."""


def decoded(raw: bytes, *, what: str, declared: str | None = None) -> tuple[str, str | None]:
    """Return the text of some bytes, and a remark where it was not UTF-8 and no byte order mark told its encoding.

    Parameters
    ----------
    what
        What it is called in a remark or an error.
    declared
        The encoding that the text itself names, if it does.

    Raises
    ------
    UsageError
        If it is another kind of file, has a NUL, is in several encodings, or its encoding cannot be told; line and
        byte are named.
    """
    if (wide := marked(raw)) is not None:
        return clean_text(_decode(raw, wide, what), what=what), None
    if utf_8_from(raw) is None or encoding_of(raw[:LOOKED_AT]) is not None:
        return clean_text(raw, what=what), None
    lines = [line for line in raw.split(b"\n") if not line.isascii()]
    n_beyond = sum(map(_n_beyond, lines))
    proper = sum(_n_beyond(line) for line in lines if utf_8_from(line) is None)
    told = _named(declared, raw) or (_told(lines, raw) if n_beyond >= ENOUGH else None)
    # A byte or two a character may now and then be UTF-8 by chance, one byte a character hardly ever is.
    if proper > n_beyond * _MIXED or (proper and (told is None or told.startswith(("cp12", "koi8")))):
        _refuse_mixed(raw, what)
    if told is None:
        return clean_text(raw, what=what), None
    return clean_text(raw.decode(told), what=what), f"{what} is not UTF-8: read as {told}"


def _n_beyond(line: bytes) -> int:
    return len(line) - len(line.translate(None, _ABOVE))


_ABOVE: Final = bytes(range(0x80, 0x100))


def _decode(raw: bytes, encoding: str, what: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{what} begins as {encoding.upper()}, but is not: {error.reason} at byte {error.start:,}",
            hint="It may have been cut, or put together from files of several encodings.",
        ) from None


def _named(declared: str | None, raw: bytes) -> str | None:
    """Return the encoding that a text says it is in, where it is one and the text is in it."""
    name = {"iso-8859-1": "cp1252", "latin1": "cp1252"}.get((declared or "").lower(), declared)
    try:
        if name is not None and name.lower().replace("-", "").replace("_", "") != "utf8":
            raw.decode(name)
            return name
    except (LookupError, UnicodeDecodeError, ValueError):
        pass
    return None


def _told(lines: list[bytes], raw: bytes) -> str | None:
    """Return the encoding that a text is in, where one stands out; None where it might be another."""
    from charset_normalizer import from_bytes

    sample = b"\n".join(lines)
    if len(sample) > _SAMPLE:
        sample = sample[:_SAMPLE]
        last = _BOUNDARY.search(sample)
        sample = sample if last is None else sample[: last.start()]
    found = list(  # in one piece: pieces of it begin and end within words, which looks like a mess
        from_bytes(
            sample,
            steps=1,
            chunk_size=len(sample),
            cp_isolation=list(_CANDIDATES),
            threshold=_MESS,
            preemptive_behaviour=False,
        )
    )
    if not found:
        return None
    best = found[0]
    near = {
        each.encoding for each in found if each.chaos <= best.chaos + _NEAR and each.coherence >= best.coherence - _NEAR
    }
    name = best.encoding
    if len(near) > 1:  # Western and Central European texts look alike to it: the first is by far the more common
        if near != {"cp1250", "cp1252"}:
            return None
        name = "cp1252"
    try:
        text = raw.decode(name)
        return "cp1252" if name == "cp1250" and raw.decode("cp1252", "replace") == text else name
    except UnicodeDecodeError:
        return None


def _refuse_mixed(raw: bytes, what: str) -> None:
    at = utf_8_from(raw) or 0
    line = raw.count(b"\n", 0, at) + 1
    raise UsageError(
        f"{what} is in several encodings: UTF-8 in part, but not byte 0x{raw[at]:02x} at offset {at} (line {line})",
        hint="Convert each part by itself, or leave out what is broken: iconv -c -f utf-8 -t utf-8 FILE > NEW",
    )
