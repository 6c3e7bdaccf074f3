"""A file of prompts: its format, how it is to be read, and its bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.text.first_bytes import LOOKED_AT, encoding_of, kind_of

from .layout import PLAIN, SAMPLE_BYTES, Layout, begins_json, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path, PurePath

__all__ = ["Format", "Lines", "Part", "Source", "format_named", "opened", "sha256"]

Format = Literal["jsonl", "csv", "tsv", "lines"]

_SUFFIXES: Final[dict[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "lines",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A file of an input that was put together of several, or was something else than lines.

    Attributes
    ----------
    line
        The first of what is kept of it, from 1, in what is kept of them all.
    skipped
        Lines at its beginning that are left out: the header, of a table that is not the first.
    rows
        Whether its own places are rows, not lines.
    """

    name: str
    line: int
    skipped: int = 0
    rows: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file of prompts and how to read it.

    Attributes
    ----------
    name
        What messages call it.
    column
        The column (CSV, TSV) or key (JSON Lines) that holds the prompt; None finds it.
    template
        A text with `{{column}}` in it, that makes the prompt.
    system
        A system prompt for rows that bring none.
    files
        The column, or key, that names the files a row is asked about; None reads `file` where it is there.
    schema, needs
        What every answer must satisfy, and what every arm must be able to do.
    layout
        How it is laid out.
    brief
        Whether short answers are asked for.
    params, limit
        Options of the calls, and the most output tokens of each, for all rows.
    given, used
        Values for `{{NAME}}` in prompts (`--var`), and the names of those that stood in one.
    look
        Looks at the arm and the checks that a row brings; raises `DataError` where there are none such.
    stamp
        Inode, size and time of change of the file that was looked at: only that one is read.
    parts
        The files that it was put together of, in order; none: it is a file itself.
    """

    path: Path
    format: Format
    name: str
    column: str | None = None
    template: str | None = None
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    needs: frozenset[str] = frozenset()
    files: str | None = None
    layout: Layout = PLAIN
    stamp: tuple[int, int, int] | None = None
    brief: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set, compare=False)
    look: Callable[[str | None, tuple[str, ...]], object] = field(default=lambda _arm, _checks: None, compare=False)
    parts: tuple[Part, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None

    def where(self, line: int) -> str:
        """Return what messages call a line."""
        at = bisect_right(self.parts, line, key=lambda part: part.line) - 1
        if at < 0:
            return f"{self.name}, line {line}"
        part = self.parts[at]
        return f"{part.name}, {'row' if part.rows else 'line'} {line - part.line + 1 + part.skipped}"

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        name: str | None = None,
        format: Format | None = None,  # noqa: A002 - the flag's own word
        column: str | None = None,
        template: str | None = None,
        system: str | None = None,
        schema: Mapping[str, Any] | None = None,
        needs: frozenset[str] = frozenset(),
        files: str | None = None,
        brief: bool = False,
        params: Mapping[str, Any] | None = None,
        limit: int | None = None,
        given: Mapping[str, str] | None = None,
        look: Callable[[str | None, tuple[str, ...]], object] = lambda _arm, _checks: None,
    ) -> Source:
        """Return the source of a path; a format that is not given is taken from its name, or from how it begins.

        Raises
        ------
        UsageError
            If it cannot be read.
        DataError
            If it is no text, or it cannot be told how it is laid out.
        """
        name = name or str(path)
        with opened(path, name) as file:
            start = file.read(SAMPLE_BYTES)
            stamp = _stamp(file)
        found = format or format_named(path) or ("jsonl" if begins_json(start) else "lines")
        layout = layout_of(start, found, whole=len(start) < SAMPLE_BYTES, name=name)
        return cls(
            path,
            found,
            name,
            column,
            template,
            system,
            schema,
            needs,
            files,
            layout,
            stamp,
            brief,
            given=given or {},
            params=params or {},
            limit=limit,
            look=look,
        )

    @contextmanager
    def lines(self) -> Iterator[Lines]:
        """Open it to be read by lines, each of them ending in a newline; the byte order mark is left out.

        Raises
        ------
        DataError
            If it is not the file any more that was looked at.
        """
        with opened(self.path, self.name) as file:
            self.check(file)
            if self.layout.bom:
                file.read(3)
            yield _Returns(file) if self.layout.newline == "\r" else file
            self.check(file)

    def check(self, file: Lines | IO[bytes]) -> None:
        """Refuse a file that is another one, or has changed, since it was looked at.

        Raises
        ------
        DataError
            If so.
        """
        if self.stamp is not None and _stamp(file) != self.stamp:
            raise DataError(
                f"{self.name} has changed while it was read: its rows may not be those that were counted",
                hint="Wait until nothing writes to it. A run that had begun needs the file as it was, to --resume.",
            )


def format_named(path: PurePath) -> Format | None:
    """Return the format that a file's name stands for."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


class Lines(Protocol):
    """A file that is read by lines."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, or `limit` bytes of it; nothing at the end."""
        ...


class _Returns:
    """Reads a file whose lines end in carriage returns."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = b""

    def fileno(self) -> int:
        return self._file.fileno()

    def readline(self, limit: int, /) -> bytes:
        while (at := self._rest.find(b"\r")) < 0 and len(self._rest) < limit:
            more = self._file.read(max(1 << 16, len(self._rest)))
            if not more:
                break
            self._rest += more
        end = min(limit, at + 1 if at >= 0 else len(self._rest))
        line, self._rest = self._rest[:end], self._rest[end:]
        return line.replace(b"\r", b"\n")


@contextmanager
def opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file, unpacking it where it is gzip; what is certainly no UTF-8 text is refused.

    Raises
    ------
    UsageError
        If it cannot be read.
    DataError
        If it is damaged, or no UTF-8 text.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(raw, "rb") as file:
                    _check_text(file.peek(LOOKED_AT), name)
                    yield file  # type: ignore[misc]  # a GzipFile reads like any other
            else:
                _check_text(raw.peek(LOOKED_AT), name)
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged: {error}", hint="Is the file complete?") from None
    except OSError as error:
        raise _unreadable(name, error) from None


def _stamp(file: Lines | IO[bytes]) -> tuple[int, int, int]:
    now = os.fstat(file.fileno())
    return now.st_ino, now.st_size, now.st_mtime_ns


def _check_text(start: bytes, name: str) -> None:
    start = start[:LOOKED_AT]
    other = kind_of(start)
    if other is not None:
        raise DataError(f"{name} is {other[0]}, and no text", hint=f"{other[1][0].upper()}{other[1][1:]}")
    encoding = encoding_of(start)
    if encoding is not None:
        raise DataError(
            f"{name} is {encoding.upper()}, not UTF-8",
            hint=f"Convert it first: iconv -f {encoding} -t utf-8 FILE > NEW",
        )


def _unreadable(name: str, error: Exception) -> UsageError:
    """Return the error that says why a file cannot be read."""
    return UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}")


def sha256(source: Source) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    UsageError
        If it cannot be read.
    DataError
        If it has changed.
    """
    digest = hashlib.sha256()
    try:
        with source.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
            source.check(file)
    except OSError as error:
        raise _unreadable(source.name, error) from None
    return digest.hexdigest()
