"""Which kind a file is of, and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.text.first_bytes import LOOKED_AT, encoding_of, kind_of

from . import html, pdf, plain

if TYPE_CHECKING:
    from .kind import Kind, Text

__all__ = ["no_text", "text_of"]

_KINDS: Final[tuple[Kind, ...]] = (pdf, html, plain)
"""In the order in which they are tried; the last one takes everything."""


def text_of(raw: bytes, *, name: str = "", what: str) -> Text:
    """Return the text of what a file or a pipe holds.

    Parameters
    ----------
    name
        The file's name; "" through a pipe.
    what
        What it is called in a remark or an error.

    Raises
    ------
    UsageError
        If it holds no text, or none that can be read; the message names `what`.
    """
    start = raw[:LOOKED_AT]
    return next(kind for kind in _KINDS if kind.takes(name, start)).read(raw, what)


def no_text(start: bytes) -> str | None:
    r"""Return what a file is that begins like this, in a word or two, where it holds no text; None where it may.

    Examples
    --------
    >>> no_text(b"\x89PNG"), no_text(b"a\0b"), no_text(b"%PDF-1.7"), no_text("é".encode("utf-16"))
    ('an image', 'binary', None, None)
    """
    if pdf.takes("", start):
        return None
    if (found := kind_of(start)) is not None:
        return found[0]
    return "binary" if b"\0" in start and encoding_of(start) is None else None
