"""Rows of a CSV or TSV file."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.text.sanitize import encodable

from .rows import MAX_ROW_BYTES, BadRow, Row, decode, fill, id_of, prompt_of, variables
from .source import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Source

__all__ = ["header", "table_rows"]


def header(source: Source) -> tuple[str, ...]:
    """Return the columns of a CSV or TSV file.

    Raises
    ------
    UsageError
        If it has none, or two of a name.
    """
    with opened(source.path, source.name) as file:
        return _header(source, _cells(source, file))


def table_rows(source: Source, file: IO[bytes]) -> Iterator[Row | BadRow]:
    """Yield the rows of a CSV or TSV file."""
    reader = _cells(source, file)
    columns = _header(source, reader)
    make = _prompt_of_columns(source, columns)
    at_id = columns.index("id") if "id" in columns else None
    n = -1
    while True:
        n += 1
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = "" if first == reader.line_num else f" (the row begins on line {first})"
            yield BadRow(n, reader.line_num, f"not {source.format.upper()}: {error}{where}")
            continue
        line = reader.line_num
        if not cells:
            n -= 1
            continue
        if len(cells) != len(columns):
            yield BadRow(n, line, f"{len(cells)} cells, and the header has {len(columns)}")
            continue
        try:
            for cell in cells:
                if not cell.isascii():
                    decode(cell.encode("utf-8", "surrogateescape"))
            name = id_of(cells[at_id] or None, line) if at_id is not None else str(n + 1)
            yield Row(n, line, name, prompt_of(source, make(cells)), cells=tuple(cells))
        except (UsageError, DataError) as error:
            yield BadRow(n, line, error.message)


def _cells(source: Source, file: IO[bytes]) -> Any:
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = (raw.decode("utf-8", "surrogateescape") for raw in iter(lambda: file.readline(MAX_ROW_BYTES), b""))
    return csv.reader(lines, delimiter="\t" if source.format == "tsv" else ",", strict=True)


def _header(source: Source, reader: Any) -> tuple[str, ...]:
    try:
        columns = tuple(encodable(column.strip()).removeprefix("\ufeff") for column in next(reader, ()))
    except csv.Error as error:
        raise DataError(f"{source.name}: its first line is not {source.format.upper()}: {error}") from None
    if not any(columns):
        raise DataError(f"{source.name} has no header", hint="The first line of a table names its columns.")
    if len(set(columns)) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DataError(f"{source.name}: two columns are called {twice!r}")
    return columns


def _prompt_of_columns(source: Source, columns: tuple[str, ...]) -> Any:
    """Return what makes the prompt of a row's cells."""
    if source.template is not None:
        template = source.template
        for name in variables(template):
            _column(source, columns, name, "the template's {{" + name + "}}")
        return lambda cells: fill(template, dict(zip(columns, cells, strict=True)))
    if source.column is not None:
        at = _column(source, columns, source.column, "--column")
    elif "prompt" in columns:
        at = columns.index("prompt")
    elif len(columns) == 1:
        at = 0
    else:
        raise UsageError(
            f"{source.name}: which column holds the prompt?",
            hint=f"Name it with --column, or give a template with -t. Columns: {', '.join(columns)}.",
        )
    return lambda cells: cells[at]


def _column(source: Source, columns: tuple[str, ...], name: str, what: str) -> int:
    if name in columns:
        return columns.index(name)
    from scrimp.profiles.schema import did_you_mean

    raise UsageError(
        f"{source.name} has no column {name!r} ({what}){did_you_mean(name, columns)}",
        hint=f"Its columns: {', '.join(columns)}.",
    )
