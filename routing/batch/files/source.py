"""A file of prompts: its format, how it is to be read, and its bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Format", "Source", "opened", "sha256"]

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
    schema, needs
        What every answer must satisfy, and what every arm must be able to do.
    """

    path: Path
    format: Format
    name: str
    column: str | None = None
    template: str | None = None
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    needs: frozenset[str] = frozenset()

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
    ) -> Source:
        """Return the source of a path; a format that is not given is taken from its name, or from how it begins.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
        found = format or (_SUFFIXES.get(suffixes[-1]) if suffixes else None)
        if found is None:
            with opened(path, name or str(path)) as file:
                start = file.read(4096)
            found = "jsonl" if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "lines"
        return cls(path, found, name or str(path), column, template, system, schema, needs)


@contextmanager
def opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file, unpacking it where it is gzip."""
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            if start in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(
                    f"{name} is UTF-16, not UTF-8", hint="Convert it first: iconv -f utf-16 -t utf-8 FILE > NEW"
                )
            if start == b"\x1f\x8b":
                with gzip.open(raw, "rb") as file:
                    yield file  # type: ignore[misc]  # a GzipFile reads like any other
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged: {error}", hint="Is the file complete?") from None
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> UsageError:
    """Return the error that says why a file cannot be read."""
    return UsageError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}")


def sha256(source: Source) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with source.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(source.name, error) from None
    return digest.hexdigest()
