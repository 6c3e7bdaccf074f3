"""Inputs that Ray Data reads: Parquet, JSON Lines, tables and lines, of one file or many, on disks or in buckets.

The nodes of the cluster read; what they send back is one stream of bytes in the order of files and rows, which is kept
in a file like any input that can be read only once. Text comes as it stands, to be read by the run's own readers: so an
id stays what it was. A row of Parquet becomes a JSON object; what has no value is left out of it where a row of JSON
Lines would not have the key.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import logging
import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.batch.cluster import check_installed, join, not_there

from .chats import CALL_FIELDS
from .elsewhere import is_parquet, located, reason, shown
from .own_keys import READ_KEYS
from .source import Part, format_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .source import Format

__all__ = ["Fetched", "fetch"]

_CHUNK: Final = 1 << 22
"""Bytes of text that are read at a time."""

_ROWS: Final = 2048
"""Rows of Parquet that are read at a time."""

_LEFT_OUT: Final = (READ_KEYS | frozenset(CALL_FIELDS)) - {"file"}
"""Columns with a meaning to a run: there, null would stand for a prompt, or for a setting."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was read: its format, and its files."""

    format: Format | None
    parts: tuple[Part, ...]


def fetch(given: str, to: IO[bytes], *, address: str | None, format: Format | None = None) -> Fetched:  # noqa: A002 - the flag's own word
    """Read an input by Ray Data, and write it where it is kept.

    Parameters
    ----------
    given
        A path, folder or URL; `*` stands for any part of a name.
    to
        Takes the bytes.
    address
        The cluster's, as in `cluster.join`.

    Raises
    ------
    UsageError
        If there is nothing that can be read, or the files are of several formats.
    DataError
        If a file is damaged, or a row cannot be written as JSON: the message names both.
    """
    check_installed()
    place = located(given)
    paths = _files(place.system, place.path, given)
    formats = {"parquet" if is_parquet(path) else format or format_named(PurePosixPath(path)) for path in paths}
    if len(formats) > 1:
        raise UsageError(
            f"{given} has files of several formats: {', '.join(sorted(str(each or 'unknown') for each in formats))}",
            hint="Read them one kind at a time: a pattern such as *.parquet picks them.",
        )
    parquet = formats == {"parquet"}
    if parquet and format not in (None, "jsonl"):
        raise UsageError(f"--format {format}: these files are Parquet")
    join(address)
    names = [shown(given, path) for path in paths]
    table = not parquet and formats <= {"csv", "tsv"}
    writer = _Writer(to, names, table=table, rows=parquet)
    for at, data in _chunks(place.system, paths, names, local=place.local, parquet=parquet):
        writer.write(at, data)
    writer.end()
    found: Any = "jsonl" if parquet else next(iter(formats))
    return Fetched(found, tuple(writer.parts))


def _files(system: Any, path: str, given: str) -> list[str]:
    """Return the files that a path stands for, in the order of their names.

    Raises
    ------
    UsageError
        If there is none.
    """
    from pyarrow.fs import FileSelector, FileType

    wild = "*" in path
    base = path.split("*", 1)[0].rpartition("/")[0] if wild else path
    try:
        info = system.get_file_info(base)
        if info.type == FileType.NotFound:
            raise UsageError(f"cannot read {given}: it is not there")
        if info.type == FileType.File:
            return [base]
        listed = system.get_file_info(FileSelector(base, recursive=True))
    except OSError as error:
        raise UsageError(f"cannot read {given}: {reason(error)}") from None
    root = base.rstrip("/") + "/"
    files = sorted(each.path for each in listed if each.type == FileType.File and each.size != 0)
    if wild:
        files = [each for each in files if _fits(each, path)]
    # What others leave beside data, as Spark's _SUCCESS.
    files = [each for each in files if not any(word[:1] in "._" for word in each.removeprefix(root).split("/"))]
    if not files:
        raise UsageError(f"cannot read {given}: no file {'fits it' if wild else 'is in it'}")
    return files


def _fits(path: str, pattern: str) -> bool:
    words, wanted = path.strip("/").split("/"), pattern.strip("/").split("/")
    return len(words) == len(wanted) and all(map(fnmatch.fnmatchcase, words, wanted))


class _Writer:
    """Puts files one after another, each from a line of its own on; of tables, the first header stays."""

    def __init__(self, to: IO[bytes], names: Sequence[str], *, table: bool, rows: bool) -> None:
        self.parts: list[Part] = []
        self._to = to
        self._names = names
        self._table = table
        self._rows = rows
        self._line = 1
        self._at = -1
        self._ends = True
        self._header: bytes | None = None
        self._first = b""
        self._in_header = False

    def write(self, at: int, data: bytes) -> None:
        if at != self._at:
            self.end()
            self._at = at
            self._in_header = self._table
            data = data.removeprefix(b"\xef\xbb\xbf") if self.parts else data
            skipped = int(self._table and bool(self.parts))
            self.parts.append(Part(self._names[at], self._line, skipped, self._rows))
        if self._in_header:
            self._first += data
            header, newline, data = self._first.partition(b"\n")
            if not newline:
                return
            self._head(header + newline)
            self._first = b""
        self._put(data)

    def end(self) -> None:
        """Let the next file begin on a new line."""
        if self._in_header and self._first:
            self._head(self._first)
            self._first = b""
        if not self._ends:
            self._put(b"\n")

    def _head(self, header: bytes) -> None:
        self._in_header = False
        if self._header is None:
            self._header = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
            self._put(header)
        elif header.rstrip(b"\r\n") != self._header:
            raise DataError(
                f"{self._names[self._at]}: its columns are not those of {self._names[0]}",
                hint="Files that are read together begin with the same line.",
            )

    def _put(self, data: bytes) -> None:
        if data:
            self._to.write(data)
            self._line += data.count(b"\n")
            self._ends = data.endswith(b"\n")


def _chunks(
    system: Any, paths: list[str], names: list[str], *, local: bool, parquet: bool
) -> Iterator[tuple[int, bytes]]:
    """Yield what the files hold, in order: (number of the file, bytes)."""
    import ray
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is said by us, once
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    kind = _datasource()
    try:
        source = kind(
            paths,
            system,
            {path: at for at, path in enumerate(paths)},
            names,
            parquet=parquet,
        )
        # What is on this machine is read on it.
        where = {"ray.io/node-id": ray.get_runtime_context().get_node_id()} if local else None
        dataset = ray.data.read_datasource(source, override_num_blocks=len(paths), label_selector=where)
        block: Any
        for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
            for at, data in zip(block.column("at"), block.column("data"), strict=True):
                yield at.as_py(), data.as_py()
    except Exception as error:  # noqa: BLE001 - what reads on a node raises comes wrapped in several ways
        raise _as_ours(error) from None


def _as_ours(error: BaseException) -> BaseException:
    """Return the error of this project that one of Ray's was made of, or one that says what is known."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        inner = getattr(at, "cause", None)
        if isinstance(inner, BaseException) and not isinstance(inner, DataError | UsageError):
            at = inner
            continue
        found = inner if inner is not None else at
        if isinstance(found, DataError | UsageError):
            return type(found)(found.message, hint=found.hint)
        at = at.__cause__ or at.__context__
    return not_there(error) or DataError(f"the input cannot be read: {reason(error)}")


def _datasource() -> Any:
    """Return the class of what reads on the nodes."""
    import pyarrow as pa
    from ray.data.datasource import FileBasedDatasource

    class Chunks(FileBasedDatasource):  # type: ignore[misc]  # Ray has no types for us
        """Reads files in chunks: text as it stands, Parquet as lines of JSON."""

        def __init__(
            self, paths: list[str], system: Any, places: dict[str, int], names: list[str], *, parquet: bool
        ) -> None:
            super().__init__(paths, filesystem=system)
            self._places = places
            self._names = names
            self._parquet = parquet

        def _open_input_source(self, filesystem: Any, path: str, **_more: Any) -> Any:
            return filesystem.open_input_file(path)

        def _read_stream(self, f: Any, path: str) -> Iterator[Any]:
            at = self._places[path]
            for data in (parquet_lines if self._parquet else text_chunks)(f, self._names[at]):
                yield pa.table({"at": pa.array([at], pa.int64()), "data": pa.array([data], pa.large_binary())})

    return Chunks


def text_chunks(file: Any, name: str) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked where it is gzip.

    Raises
    ------
    DataError
        If it is damaged.
    """
    import gzip
    import zlib

    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    read = gzip.GzipFile(fileobj=file) if packed else file
    try:
        while data := read.read(_CHUNK):
            yield bytes(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged: {error}", hint="Is the file complete?") from None


def parquet_lines(file: Any, name: str) -> Iterator[bytes]:
    """Yield the rows of a Parquet file as lines of JSON, some thousand at a time.

    Raises
    ------
    DataError
        If it is damaged, or a row has what JSON cannot hold; the message names the row, from 1.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    n = 0
    try:
        for batch in ParquetFile(file).iter_batches(batch_size=_ROWS):
            yield b"".join(_lines(batch.to_pylist(), name, n))
            n += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is damaged, or no Parquet: {reason(error)}", hint="Is the file complete?") from None


def _lines(rows: Iterable[dict[str, Any]], name: str, n: int) -> Iterator[bytes]:
    for i, row in enumerate(rows, start=n + 1):
        values = {}
        for column, value in row.items():
            if value is not None or column not in _LEFT_OUT:
                try:
                    values[column] = plain(value)
                except TypeError as error:
                    raise DataError(f"{name}, row {i}: column {column!r} has {error}") from None
        yield json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def plain(value: Any) -> Any:
    """Return a value of a column as JSON has it: numbers stay numbers, moments are ISO 8601, decimals text.

    Of an object what has no value is left out: columns have a place for every key that any row has.

    Raises
    ------
    TypeError
        If JSON has nothing like it; the message says what it is.

    Examples
    --------
    >>> plain({"role": "user", "name": None, "at": date(2026, 1, 2), "p": [float("nan"), 1]})
    {'role': 'user', 'at': '2026-01-02', 'p': [None, 1]}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):  # an entry of a map
        return [plain(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        raise TypeError(f"bytes ({base64.b64encode(value[:12]).decode()}...), which are no text")
    raise TypeError(f"a {type(value).__name__}, for which JSON has nothing")
