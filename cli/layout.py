"""How a table stands on a terminal: which columns, how wide, what goes below, what is left out. Pure.

What is short (a number, an id, a name) is never broken. Where all columns do not fit, what every row says alike is said
once, details are left out in their turn, text is wrapped between words, and what then still does not fit goes into a
further table below, which begins with the first column again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["GAP", "Column", "Layout", "lay_out"]

GAP: Final = 2
"""Blanks between two columns."""

_READABLE: Final = 16
"""Text is not wrapped into a column narrower than this."""

_SENTENCE: Final = 30
"""A sentence in a column narrower than this is three words a line: it stands below its row instead."""

_EASY: Final = 44
"""Details are left out rather than that a text gets less than this, if it needs it."""

_LONG: Final = 30
"""A word of a text that is longer is a path or an address: it may be broken. Ids have 26 characters."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title, align
        Its title, and on which side its cells stand.
    narrow
        What becomes of it on a terminal too narrow for the whole table (a pipe gets every column): "wrap" its text
        between words; keep its cells "whole" though they hold blanks; say it "once" for all rows, where they say the
        same; put it on lines of its own "below" its row; or set it "apart" in a further table. "pipe" stands on no
        terminal. Cells without blanks, those on the right and those of the first column are whole always.
    drop
        When it is left out of a table that is too wide: 1 is the first to go, the last of those that are alike before
        the others; 0 stays, whatever the width.
    """

    title: str
    align: Literal["left", "right"] = "left"
    narrow: Literal["wrap", "whole", "once", "below", "apart", "pipe"] = "wrap"
    drop: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """What a table becomes.

    Attributes
    ----------
    tables
        Each a list of (position of the column, its width).
    below
        Positions of the columns that stand below their rows, in the first table.
    once
        Positions of the columns that say the same in every row, and are said once.
    left_out
        Positions of the columns that found no room.
    """

    tables: list[list[tuple[int, int]]]
    below: list[int]
    once: list[int]
    left_out: list[int]


@dataclass(frozen=True, slots=True)
class _Need:
    """How many cells of the terminal a column needs: at best, so that it reads easily, and at least."""

    index: int
    best: int
    easy: int
    least: int


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, cells: Callable[[str], int] = len
) -> Layout:
    """Return how a table stands on a terminal.

    Parameters
    ----------
    rows
        Cells; what runs over several lines is as wide as its longest line.
    width
        Of the terminal, in cells.
    cells
        How many cells of the terminal a text takes.
    """
    needs = [
        _need(j, column, [row[j] for row in rows], cells)
        for j, column in enumerate(columns)
        if j == 0 or column.narrow != "pipe"
    ]
    once: list[int] = []
    left_out: list[int] = []
    for need in reversed(needs[1:]):
        alike = len(rows) > 1 and len({row[need.index] for row in rows}) == 1
        if _best(needs) > width and alike and columns[need.index].narrow == "once":
            needs.remove(need)
            once.insert(0, need.index)
    spare = sorted(
        (need for need in needs[1:] if columns[need.index].drop),
        key=lambda need: (columns[need.index].drop, -need.index),
    )
    for need in spare:
        if sum(each.easy for each in needs) + GAP * (len(needs) - 1) > width:
            needs.remove(need)
            left_out.append(need.index)
    if _best(needs) <= width:
        return Layout([[(need.index, need.best) for need in needs]], [], once, sorted(left_out))
    tables, below = _stacked(columns, needs, width)
    return Layout([_widths(table, width) for table in tables], below, once, sorted(left_out))


def _stacked(columns: Sequence[Column], needs: Sequence[_Need], width: int) -> tuple[list[list[_Need]], list[int]]:
    """Return the tables of a layout, and which columns stand below the rows of the first."""
    first, *rest = needs
    tables = _split(first, [need for need in rest if columns[need.index].narrow not in ("below", "apart")], width)
    below: list[int] = []
    for need in (each for each in rest if columns[each.index].narrow == "below"):
        beside = sorted((*tables[0], need), key=lambda each: each.index)
        if len(tables) == 1 and _least(beside) <= width:
            tables[0] = beside
        else:
            below.append(need.index)
    apart = [need for need in rest if columns[need.index].narrow == "apart"]
    return (tables + _split(first, apart, width) if apart else tables), below


def _split(first: _Need, rest: Sequence[_Need], width: int) -> list[list[_Need]]:
    """Return columns in as many tables as it takes, each beginning with the first of them."""
    tables = [[first]]
    for need in rest:
        if len(tables[-1]) > 1 and _least((*tables[-1], need)) > width:
            tables.append([first])
        tables[-1].append(need)
    return tables


def _need(index: int, column: Column, texts: Sequence[str], cells: Callable[[str], int]) -> _Need:
    best = max((cells(line) for text in (column.title, *texts) for line in text.splitlines()), default=0)
    blanks = any(len(text.split()) > 1 for text in texts)
    if index == 0 or column.narrow == "whole" or column.align == "right" or not blanks:
        return _Need(index, best, best, best)
    word = max(min(_LONG, cells(word)) for text in (column.title, *texts) for word in text.split())
    least = max(word, min(best, _SENTENCE if column.narrow == "below" else _READABLE))
    return _Need(index, best, min(best, max(least, _EASY)), least)


def _least(needs: Sequence[_Need]) -> int:
    return sum(need.least for need in needs) + GAP * (len(needs) - 1)


def _best(needs: Sequence[_Need]) -> int:
    return sum(need.best for need in needs) + GAP * (len(needs) - 1)


def _widths(table: Sequence[_Need], width: int) -> list[tuple[int, int]]:
    """Return the columns with their widths: the widest give way first, none below what it needs at least."""
    given = {need.index: need.best for need in table}
    over = _best(table) - width
    while over > 0 and (able := [need for need in table if given[need.index] > need.least]):
        widest, *others = sorted(able, key=lambda need: -given[need.index])
        level = max(widest.least, *(given[need.index] for need in others[:1]), given[widest.index] - over)
        step = max(1, given[widest.index] - level)
        given[widest.index] -= step
        over -= step
    return [(need.index, given[need.index]) for need in table]
