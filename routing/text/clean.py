"""Text from outside, made such that every later step can hold it."""

from __future__ import annotations

from typing import Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.reading import MAX_FILE_BYTES

from .first_bytes import LOOKED_AT, encoding_of, guess, kind_of

__all__ = ["MAX_PROMPT_BYTES", "clean_text"]

MAX_PROMPT_BYTES: Final = MAX_FILE_BYTES
"""A larger input is a mistake, and is refused before it is read whole."""


def clean_text(raw: str | bytes, *, what: str) -> str:
    """Return text that every later step can hold: valid Unicode without NUL.

    Lone surrogates (from bytes on the command line that are not UTF-8) become U+FFFD; a NUL is refused, since no
    model's tokeniser agrees on it and a terminal cannot have meant it.

    Raises
    ------
    UsageError
        If there is a NUL, or bytes are not UTF-8; the message names `what` and the position.
    """
    if isinstance(raw, bytes):
        _refuse_what_is_no_text(raw, what)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise UsageError(
                f"{what} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} (line {line})",
                hint=f"Convert it first, for example with: iconv -f {guess(raw)} -t utf-8",
            ) from None
    else:
        text = raw.encode("utf-8", "replace").decode("utf-8") if not raw.isascii() else raw
    at = text.find("\0")
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        raise UsageError(
            f"{what} has a NUL character at position {at} (line {line})",
            hint="Is it a binary file? Attach images and PDFs with -a.",
        )
    return text


def _refuse_what_is_no_text(raw: bytes, what: str) -> None:
    kind = kind_of(raw[:LOOKED_AT])
    if kind is not None:
        raise UsageError(f"{what} is {kind[0]}, and no text", hint=f"{kind[1][0].upper()}{kind[1][1:]}")
    encoding = encoding_of(raw[:LOOKED_AT])
    if encoding is not None:
        raise UsageError(
            f"{what} is {encoding.upper()}, not UTF-8", hint=f"Convert it first: iconv -f {encoding} -t utf-8"
        )
