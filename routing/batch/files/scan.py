"""A file read as a stream of rows, and what one pass over it finds."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import DataError, UsageError

from .document import document_rows
from .graph import Graph, Node, graph_of, inherited
from .json_rows import json_row
from .places import filled_template
from .rows import BadRow, Row, content_key, decode, lines_in, prompt_of
from .source import sha256
from .table import table_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .shelf import Shelf
    from .source import Lines, Source

__all__ = ["Scan", "good_rows", "read_rows", "scan"]

_MAX_REPORTED: Final = 1_000
_LOOK_EVERY: Final = 64
"""Rows after which it is looked whether the file is still the same."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a file found.

    Attributes
    ----------
    n_rows
        Rows, bad ones included.
    bad
        The bad ones (the first thousand); `n_bad` counts all.
    left_out
        Places of rows that are bad for what other rows are: an earlier one has the id, references that lead nowhere.
    repeated
        64-bit content hashes that more than one row has.
    openai
        The rows have the OpenAI Batch shape.
    sha256
        Of the file's bytes.
    unread
        Rows whose files cannot be read (the first thousand); `n_unread` counts all. They are good, and will fail.
    graph
        Which rows wait for which; None where none has a reference.
    urgency
        Priority and deadline (seconds from the run's beginning) of rows that have either, or that such rows wait for,
        by their places.
    arms
        Arms that rows name.
    """

    n_rows: int
    bad: tuple[BadRow, ...]
    n_bad: int
    left_out: frozenset[int]
    repeated: frozenset[int]
    openai: bool
    sha256: str
    unread: tuple[BadRow, ...] = ()
    n_unread: int = 0
    graph: Graph | None = None
    urgency: Mapping[int, tuple[int, float | None]] = field(default_factory=dict)
    arms: frozenset[str] = frozenset()

    @property
    def n_good(self) -> int:
        """Rows that can be asked."""
        return self.n_rows - self.n_bad


def scan(source: Source, shelf: Shelf | None = None) -> Scan:
    """Read a file once: count its rows, find the bad ones, equal ids and equal prompts, and what waits for what.

    Memory: 16 bytes a row, and what the graph takes of the rows in it.

    Parameters
    ----------
    shelf
        Reads the files that rows are asked about, each once; None: they have none.

    Raises
    ------
    UsageError
        If it cannot be read, or a column is not there.
    DataError
        If it is damaged, or empty.
    """
    import numpy as np

    ids, contents = array("Q"), array("Q")
    bad: list[BadRow] = []
    unread: list[BadRow] = []
    n_rows = n_bad = 0
    openai: bool | None = None
    nodes: list[Node] = []
    hurry: dict[int, tuple[int, float | None]] = {}
    arms: set[str] = set()
    for row in read_rows(source):
        n_rows += 1
        if isinstance(row, Row) and openai is not None and row.openai is not openai:
            shape = "the OpenAI Batch shape" if openai else "another shape than OpenAI's"
            row = BadRow(row.n, row.line, f"the rows before it have {shape}")  # noqa: PLW2901 - it is bad after all
        if isinstance(row, BadRow):
            n_bad += 1
            if len(bad) < _MAX_REPORTED:
                bad.append(row)
            continue
        openai = row.openai
        if shelf is not None:
            row = shelf.count(row)  # noqa: PLW2901 - with its files' digests it is another question
            if row.unread is not None and len(unread) < _MAX_REPORTED:
                unread.append(BadRow(row.n, row.line, row.unread))
        ids.append(_id_hash(row))
        if row.priority or row.deadline_s is not None:
            hurry[row.n] = row.priority, row.deadline_s
        if row.arm is not None:
            arms.add(row.arm)
        if row.refs:  # what it asks is known when the answers are there
            nodes.append(Node(row.n, row.line, str(row.id), row.refs))
        else:
            contents.append(int.from_bytes(content_key(row)[:8], "little"))
    if n_rows == 0:
        raise DataError(f"{source.name} has no rows", hint="Each line of it should hold a prompt.")

    def repeated(hashes: array[int]) -> frozenset[int]:
        values, counts = np.unique(np.frombuffer(hashes, dtype=np.uint64), return_counts=True)
        return frozenset(int(value) for value in values[counts > 1])

    duplicates: dict[int, BadRow] = {}
    if twice := repeated(ids):
        duplicates = _duplicates(source, twice)
        n_bad += len(duplicates)
        bad = sorted([*bad, *list(duplicates.values())[:_MAX_REPORTED]], key=lambda each: each.n)
    graph: Graph | None = None
    left_out = set(duplicates)
    if nodes:
        nodes = [node for node in nodes if node.n not in left_out]
        graph, lost = graph_of(nodes, _named(source, nodes, frozenset(left_out), openai=bool(openai)))
        n_bad += len(lost)
        left_out.update(each.n for each in lost)
        bad = sorted([*bad, *lost[:_MAX_REPORTED]], key=lambda each: each.n)
    return Scan(
        n_rows=n_rows,
        bad=tuple(bad),
        n_bad=n_bad,
        left_out=frozenset(left_out),
        repeated=repeated(contents),
        openai=bool(openai),
        sha256=sha256(source),
        unread=tuple(unread),
        n_unread=0 if shelf is None else shelf.n_unread,
        graph=graph if graph is not None and graph.ids else None,
        urgency=inherited({n: each for n, each in hurry.items() if n not in left_out}, graph),
        arms=frozenset(arms),
    )


def good_rows(source: Source, found: Scan) -> Iterator[Row]:
    """Yield the rows of a scanned file that can be asked."""
    for row in read_rows(source):
        if isinstance(row, Row) and row.n not in found.left_out and row.openai is found.openai:
            yield row


def _id_hash(row: Row) -> int:
    return int.from_bytes(hashlib.sha256(str(row.id).encode()).digest()[:8], "little")


def _named(source: Source, nodes: list[Node], left_out: frozenset[int], *, openai: bool) -> dict[str, Node]:
    """Return the rows that references name, by their ids."""
    wanted = {name for node in nodes for name in node.refs}
    found = {}
    for row in read_rows(source):
        if isinstance(row, Row) and row.openai is openai and row.n not in left_out and (name := str(row.id)) in wanted:
            found[name] = Node(row.n, row.line, name, row.refs)
    return found


def _duplicates(source: Source, twice: frozenset[int]) -> dict[int, BadRow]:
    """Return the rows that have an earlier row's id, by place."""
    first: dict[str, int] = {}
    found = {}
    for row in read_rows(source):
        if isinstance(row, Row) and _id_hash(row) in twice:
            name = str(row.id)
            if name in first:
                shown = name if len(name) <= 60 else name[:57] + "..."
                found[row.n] = BadRow(row.n, row.line, f"its id {shown!r} stands on line {first[name]} too")
            else:
                first[name] = row.line
    return found


def read_rows(source: Source) -> Iterator[Row | BadRow]:
    """Yield every row of a file, good or bad, in order; memory is bounded by the longest row.

    A row's own options of the call go before those of all; of two limits on output the lower one holds.

    Raises
    ------
    UsageError
        If it cannot be read, or a column is not there.
    DataError
        If the file is damaged.
    """
    for row in _read(source):
        if isinstance(row, Row) and (source.params or source.limit is not None):
            limits = [each for each in (source.limit, row.max_output_tokens) if each is not None]
            yield replace(row, params={**source.params, **row.params}, max_output_tokens=min(limits, default=None))
        else:
            yield row


def _read(source: Source) -> Iterator[Row | BadRow]:
    if source.layout.document:
        yield from document_rows(source)
        return
    with source.lines() as file:
        for at, row in enumerate(_rows(source, file)):
            if at % _LOOK_EVERY == 0:
                source.check(file)
            yield row


def _rows(source: Source, file: Lines) -> Iterator[Row | BadRow]:
    if source.format in ("csv", "tsv"):
        yield from table_rows(source, file)
        return
    make = json_row if source.format == "jsonl" else _line_row
    n = 0
    for line, raw in lines_in(file):
        if raw is not None and not raw.strip():
            continue
        try:
            yield make(source, n, line, decode(raw))
        except (UsageError, DataError) as error:
            yield BadRow(n, line, error.message, error.hint)
        n += 1


def _line_row(source: Source, n: int, line: int, text: str) -> Row:
    text = text.rstrip("\r\n")
    if source.template is not None:
        own = {"input": text, "line": text}
        made = partial(filled_template, own=own, given=source.given, used=source.used)
        return Row(n, line, str(line), prompt_of(source, source.template, made=made))
    return Row(n, line, str(line), prompt_of(source, text))
