"""Rows of a CSV or TSV file."""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from scrimp.profiles.errors import DataError, UsageError

from .places import filled_template, named_in
from .rows import MAX_ROW_BYTES, BadRow, Row, decode, files_of, id_of, lines_in, prompt_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrimp.routing.prompts.prompt import Prompt

    from .source import Lines, Source

__all__ = ["header", "table_rows"]


def header(source: Source) -> tuple[str, ...]:
    """Return the columns of a CSV or TSV file.

    Raises
    ------
    DataError
        If it has none, or two of a name.
    """
    with source.lines() as file:
        return _header(source, _cells(source, file)[0])


def table_rows(source: Source, file: Lines) -> Iterator[Row | BadRow]:
    """Yield the rows of a CSV or TSV file. Rows without a word in them, as spreadsheets leave them, are passed over."""
    reader, lines = _cells(source, file)
    columns = _header(source, reader)
    at_file = _file_column(source, columns)
    make = _prompt_of_columns(source, columns, at_file)
    at_id = _place(columns, "id")
    n_before = source.layout.n_before
    n = -1
    while True:
        n += 1
        first = lines.n + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = "" if first == lines.n else f" (the row begins on line {first + n_before})"
            yield BadRow(n, lines.n + n_before, f"not {source.format.upper()}: {error}{where}")
            continue
        line = lines.n + n_before
        if not any(cell.strip() for cell in cells):
            n -= 1
            continue
        cells = _padded(cells, columns)
        if len(cells) != len(columns):
            yield BadRow(n, line, f"{len(cells)} cells, and the header has {len(columns)}")
            continue
        try:
            for cell in cells:
                if not cell.isascii():
                    decode(cell.encode("utf-8", "surrogateescape"))
            name = id_of(cells[at_id] or None, line) if at_id is not None else str(n + 1)
            files = () if at_file is None else files_of(cells[at_file], columns[at_file])
            yield Row(n, line, name, make(cells), cells=tuple(cells), files=files)
        except (UsageError, DataError) as error:
            yield BadRow(n, line, error.message, error.hint)


def _cells(source: Source, file: Lines) -> tuple[Any, _Texts]:
    csv.field_size_limit(MAX_ROW_BYTES)
    for _ in range(source.layout.n_before):
        file.readline(MAX_ROW_BYTES)
    lines = _Texts(file)
    return csv.reader(lines, delimiter=source.layout.separator, strict=True), lines


class _Texts:
    """The lines of a file as text, counted. One that is too long is an error of its row, and the next follows."""

    def __init__(self, file: Lines) -> None:
        self.n = 0
        self._lines = lines_in(file)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self.n, raw = next(self._lines)
        if raw is None:
            raise csv.Error(f"it is over {MAX_ROW_BYTES >> 20} MB")
        return raw.decode("utf-8", "surrogateescape")


def _padded(cells: list[str], columns: tuple[str, ...]) -> list[str]:
    """Return a row's cells without those that only fill up a spreadsheet's width, or with those that it left out."""
    n = len(columns)
    if not any(cells[n:]):
        cells = cells[:n]
    return cells if any(columns[len(cells) :]) else [*cells, *[""] * (n - len(cells))]


def _header(source: Source, reader: Any) -> tuple[str, ...]:
    """Return the columns; those without a name fill up a spreadsheet's width, or number its rows."""
    try:
        cells: list[str] = next(reader, [])
        columns = tuple(decode(cell.encode("utf-8", "surrogateescape")).strip() for cell in cells)
    except csv.Error as error:
        raise DataError(f"{source.name}: its first line is not {source.format.upper()}: {error}") from None
    except UsageError as error:
        raise DataError(f"{source.name}: its first line is {error.message}", hint=error.hint) from None
    if not any(columns):
        raise DataError(f"{source.name} has no header", hint="The first line of a table names its columns.")
    twice = next((column for column in columns if column and columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{source.name}: two columns are called {twice!r}", hint="Rename one of them.")
    return columns


def _place(columns: tuple[str, ...], name: str) -> int | None:
    """Return where a column is that may be spelled with capitals; None where there is none, or several."""
    if name in columns:
        return columns.index(name)
    found = [at for at, column in enumerate(columns) if column.casefold() == name]
    return found[0] if len(found) == 1 else None


def _file_column(source: Source, columns: tuple[str, ...]) -> int | None:
    """Return where the files of rows are named; a column that is a part of the prompt names none unless it is asked to.

    Nor does the only column that there is.
    """
    if source.files is not None:
        return _column(source, columns, source.files, "--file-column")
    at = _place(columns, "file")
    if at is None or sum(map(bool, columns)) == 1:
        return None
    return None if columns[at] == source.column or columns[at] in named_in(source.template or "") else at


def _prompt_of_columns(source: Source, columns: tuple[str, ...], at_file: int | None) -> Callable[[list[str]], Prompt]:
    """Return what makes the prompt of a row's cells."""
    if source.template is not None:
        template = source.template
        for name in named_in(template):
            if name not in source.given and not name.startswith("@"):
                _column(source, columns, name, "the template's {{" + name + "}}")

        def of_template(cells: list[str]) -> Prompt:
            own = dict(zip(columns, cells, strict=True))
            made = partial(filled_template, own=own, given=source.given, used=source.used)
            return prompt_of(source, template, made=made)

        return of_template
    if source.column is not None:
        at = _column(source, columns, source.column, "--column")
    elif (found := _place(columns, "prompt")) is not None:
        at = found
    elif len(named := [at for at, column in enumerate(columns) if column and at != at_file]) == 1:
        at = named[0]
    else:
        raise UsageError(
            f"{source.name}: which column holds the prompt?",
            hint=f"Name it with --column, or give a template with -t. Columns: {_listed(columns)}.",
        )
    return lambda cells: prompt_of(source, cells[at])


def _column(source: Source, columns: tuple[str, ...], name: str, what: str) -> int:
    if name in columns:
        return columns.index(name)
    from scrimp.profiles.schema import did_you_mean

    raise UsageError(
        f"{source.name} has no column {name!r} ({what}){did_you_mean(name, columns)}",
        hint=f"Its columns: {_listed(columns)}.",
    )


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(column for column in columns if column)
