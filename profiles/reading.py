"""Files that a user names, read to a limit: an endless one, or a huge one, is an error and not a full memory."""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "ChangedError", "lines_of", "read_bytes", "read_text"]

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""The most that is read of one file or one line: more text than any model's window holds."""


class ChangedError(OSError):
    """A file was written to whenever it was read."""


class Lines(Protocol):
    """What is read by lines: a file, also through gzip."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, or `limit` bytes of it; nothing at the end."""
        ...


def read_bytes(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return what a file, a device or a pipe holds; no more than the limit is ever in memory.

    Raises
    ------
    OSError
        If it cannot be read, or holds more than `limit`: then `strerror` says so.
    ChangedError
        If it was written to while it was read, twice.
    """
    for _ in range(2):
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            size = before.st_size if stat.S_ISREG(before.st_mode) else 0
            data = b"" if size > limit else _up_to(file, limit + 1)
            after = os.fstat(file.fileno())
        if max(size, len(data)) > limit:
            raise OSError(errno.EFBIG, f"it is over {_mb(limit)}, the most that is read of it", str(path))
        if not stat.S_ISREG(before.st_mode) or _stamp(before) == _stamp(after):
            return data
    raise ChangedError(errno.EAGAIN, "changed while it was read", str(path))


def read_text(path: Path, *, limit: int = MAX_FILE_BYTES) -> str:
    """Return a file's text, as `read_bytes`.

    Raises
    ------
    OSError
        If it cannot be read, or holds more than `limit`.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    return read_bytes(path, limit=limit).decode("utf-8")


def lines_of(file: Lines, name: str, *, limit: int = MAX_FILE_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of an open file with their numbers, from 1.

    Raises
    ------
    OSError
        If a line is longer than `limit`.
    """
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        if len(line) > limit:
            raise OSError(errno.EFBIG, f"line {number} is over {_mb(limit)}, the most that is read of a line", name)
        yield number, line


def _up_to(file: io.FileIO, n: int) -> bytes:
    """Return the first n bytes of an unbuffered file, or all of them; a pipe hands out pieces."""
    data = io.BytesIO()  # gives its bytes away without a copy
    while data.tell() < n and (piece := file.read(min(1 << 20, n - data.tell()))):
        data.write(piece)
    return data.getvalue()


def _stamp(of: os.stat_result) -> tuple[int, int]:
    return of.st_size, of.st_mtime_ns


def _mb(n: int) -> str:
    return f"{n / 1024 / 1024:g} MB"
