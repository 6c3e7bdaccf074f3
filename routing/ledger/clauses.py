"""Parts of SQL statements that depend on what is asked for; values never become text."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["OPEN", "all_of", "bare", "batched", "marks", "named"]

OPEN = "status IN ('reserved', 'unknown', 'unverified')"
"""Calls whose true cost is not known: the words of the index that holds them alone, which only they bring into use."""


def all_of(*conditions: tuple[str, object | None]) -> tuple[str, list[object]]:
    """Return what stands after WHERE, and its parameters: every condition whose value is given.

    Examples
    --------
    >>> all_of(("arm = ?", "small"), ("day >= ?", None)), all_of(("arm = ?", None))
    (('arm = ?', ['small']), ('1', []))
    """
    given = [(text, value) for text, value in conditions if value is not None]
    return " AND ".join(text for text, _ in given) or "1", [value for _, value in given]


def bare(column: str) -> str:
    """Return the SQL of an arm's name without its reading, of a column of such names (`profiles.rungs.bare_of`)."""
    return f"CASE WHEN instr({column}, '/') THEN substr({column}, 1, instr({column}, '/') - 1) ELSE {column} END"


def marks(values: Collection[object]) -> str:
    """Return a parameter's mark for each value, for an IN."""
    return ", ".join("?" * len(values))


def batched(values: Iterable[str], n: int) -> Iterator[tuple[str, ...]]:
    """Yield values `n` at a time: a statement takes no more than some thousand parameters.

    Examples
    --------
    >>> list(batched(["a", "b", "c"], 2))
    [('a', 'b'), ('c',)]
    """
    rest = iter(values)
    while some := tuple(islice(rest, n)):
        yield some


def named(which: str) -> tuple[str, tuple[str, ...]]:
    """Return what stands after WHERE to find an id by itself, its beginning or its end, and its parameters."""
    where = "id = ? OR (length(?) >= 4 AND (substr(id, 1, length(?)) = ? OR substr(id, -length(?)) = ?))"
    return where, (which.lower(),) * 6
