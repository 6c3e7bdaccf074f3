"""Replies that come compressed though plain ones were asked for, read in steps of bounded size."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CompressedError", "Inflate"]

_STEP_BYTES: Final = 1 << 16
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class CompressedError(Exception):
    """The reply is compressed in a way that cannot be read: the message says how."""


class Inflate:
    """Makes a reply plain, whichever way its `content-encoding` says that it is compressed.

    Parameters
    ----------
    encoding
        The header's value.

    Raises
    ------
    CompressedError
        If it names anything but gzip, deflate and identity.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        self._plain = name in {"", "identity", "none"}
        if not self._plain and name not in {"gzip", "x-gzip", "deflate"}:
            raise CompressedError(f"it is compressed ({name[:40]}), though a plain one was asked for")
        self._wbits = _GZIP_OR_ZLIB
        self._stream = zlib.decompressobj(self._wbits)
        self._begun = False

    def steps(self, part: bytes) -> Iterator[bytes]:
        """Yield the plain bytes in a part, a little at a time.

        Raises
        ------
        CompressedError
            If it is not what its header says.
        """
        if self._plain:
            yield part
            return
        while part:
            if self._stream.eof:  # another member follows
                self._stream = zlib.decompressobj(self._wbits)
            try:
                plain = self._stream.decompress(part, _STEP_BYTES)
            except zlib.error as error:
                if self._begun or self._wbits < 0:
                    raise CompressedError(f"it says that it is compressed, and cannot be read: {error}") from None
                self._wbits = -zlib.MAX_WBITS  # deflate without its own header
                self._stream = zlib.decompressobj(self._wbits)
                continue
            self._begun = True
            if plain:
                yield plain
            part = self._stream.unconsumed_tail or self._stream.unused_data
        while plain_left := self._stream.decompress(b"", _STEP_BYTES) if self._begun and not self._stream.eof else b"":
            yield plain_left
