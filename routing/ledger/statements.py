"""Statements that write rows of a table, one or many: each text is made once, and SQLite keeps it compiled."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["STATEMENTS", "change", "insert_many", "insertion", "update_many"]

STATEMENTS: Final = 256
"""How many compiled statements a connection keeps, and how many texts are kept here."""

_MOST: Final = 64
"""Rows that one statement takes. It takes 1, 2, 4, ... of them, so that a few texts do for any number."""


@lru_cache(STATEMENTS)
def insertion(table: str, columns: tuple[str, ...], n: int, verb: str = "INSERT") -> str:
    """Return the text that inserts `n` rows."""
    row = f"({', '.join('?' * len(columns))})"
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * n)}"


@lru_cache(STATEMENTS)
def change(table: str, key: str, columns: tuple[str, ...]) -> str:
    """Return the text that updates the row with a key; the key's mark comes last."""
    return f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE {key} = ?"  # noqa: S608 - names are ours


@lru_cache(STATEMENTS)
def _changes(table: str, key: str, columns: tuple[str, ...], n: int) -> str:
    """Return the text that updates `n` rows; each one's key comes before its values."""
    row = f"({', '.join('?' * (len(columns) + 1))})"
    assigned = ", ".join(f"{name} = v.column{i}" for i, name in enumerate(columns, 2))
    return f"UPDATE {table} SET {assigned} FROM (VALUES {', '.join([row] * n)}) AS v WHERE {table}.{key} = v.column1"  # noqa: S608 - names are ours


def insert_many(
    conn: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[object]],
    *,
    verb: str = "INSERT",
) -> None:
    """Insert rows of equal columns, in order, inside the current transaction.

    Many to a statement: what SQLite does for each one (a savepoint of its own, the full-text index written) is done for
    all of them together.
    """
    for some in _portions(rows):
        conn.execute(insertion(table, columns, len(some), verb), _flat(some))


def update_many(
    conn: sqlite3.Connection, table: str, key: str, columns: tuple[str, ...], rows: Sequence[Sequence[object]]
) -> None:
    """Update rows inside the current transaction, each by its key, which is before its values; none comes twice."""
    for some in _portions(rows):
        conn.execute(_changes(table, key, columns, len(some)), _flat(some))


def _portions(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    first = 0
    while (left := len(rows) - first) > 0:
        n = min(_MOST, 1 << (left.bit_length() - 1))
        yield rows[first : first + n]
        first += n


def _flat(rows: Iterable[Sequence[object]]) -> list[Any]:
    return [value for row in rows for value in row]
