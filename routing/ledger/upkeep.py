"""The ledger's file: whether it is sound, and a copy of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrimp.profiles.files import new_file

from .clauses import OPEN
from .place import damaged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .store import Ledger

__all__ = ["back_up", "damage", "look_over", "make_sure"]


def damage(ledger: Ledger, tables: Sequence[str] = ()) -> str | None:
    """Return what SQLite finds wrong with the file first (or with some tables of it), or None."""
    for which in [f"'{name}'" for name in tables] or ["1"]:
        (state,) = ledger.rows(f"SELECT quick_check AS found FROM pragma_quick_check({which})")  # noqa: S608 - constants
        if state["found"] != "ok":
            return str(state["found"])
    return None


WHOLE_BYTES: Final = 100_000_000
"""Up to this size the whole file is checked before a command pays, and by `doctor`: 0.1 s."""

MONEY_TABLES: Final = ("meta", "reservations", "balances", "attempts", "prices", "shared_caps", "suspensions", "spent")
"""What is checked of a larger one before a command pays: tables about money."""

_LONG: Final = {"reservations": "idx_reservations_at", "attempts": "idx_attempts_request_id"}
"""Those that grow with every call, and an index of each that does."""

_FEW: Final = 20_000
"""Rows of such a table up to which all of it is checked; of a longer one the newest so many are read."""

_SLICED: Final = ("requests", "reservations", "attempts", "steps", "labels")
"""What `doctor` reads in slices, from where it was left the last time."""

_SLICE: Final = 20_000
_MARKS: Final = "looked_over"


def make_sure(ledger: Ledger) -> None:
    """Refuse to pay with a ledger that is damaged; it is looked at once for each time that it is opened.

    However long the ledger is, this takes some 0.1 s.

    Raises
    ------
    LedgerError
        If SQLite finds something wrong with the file; in a large one, with the tables about money: of those that grow
        with every call, with the newest calls.
    """
    if ledger.sound:
        return
    found = damage(ledger) if _is_small(ledger) else _damage_of_money(ledger)
    if found is not None:
        raise damaged(ledger.path, found)
    ledger.sound = True


def look_over(ledger: Ledger, *, whole: bool = False) -> tuple[str | None, str | None]:
    """Return what is wrong with the file (None: nothing is), and how much was looked at where it was not all.

    Of a large file the money's tables are looked at as before a payment, and a slice of each table that grows, from
    where the last time ended.

    Parameters
    ----------
    whole
        Look at all of it, however long that takes: some 10 s for each GB.

    Raises
    ------
    LedgerError
        If it cannot be read.
    """
    if whole or _is_small(ledger):
        return damage(ledger), None
    if (found := _damage_of_money(ledger)) is not None:
        return found, None
    rows = ledger.rows("SELECT value FROM meta WHERE key = ?", (_MARKS,))
    marks: dict[str, int] = json.loads(rows[0]["value"]) if rows else {}
    seen = []
    for table in _SLICED:
        first = marks.get(table, 0)
        last = _last(ledger, table)
        first = 0 if first > last else first
        _read(ledger, table, first, first + _SLICE)
        marks[table] = first + _SLICE + 1
        if last:
            seen.append(f"{table} {min(first + _SLICE, last):,} of {last:,}")
    with ledger.transaction(durable=False) as conn:
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_MARKS, json.dumps(marks)),
        )
    return None, f"looked at a part of it, as far as {', '.join(seen)}"


def _is_small(ledger: Ledger) -> bool:
    return ledger.path.stat().st_size <= WHOLE_BYTES


def _damage_of_money(ledger: Ledger) -> str | None:
    long = {table: last for table in _LONG if (last := _last(ledger, table)) > _FEW}
    whole = [table for table in MONEY_TABLES if table not in long and not (long and table == "balances")]
    if (found := damage(ledger, whole)) is not None:
        return found
    if long:  # sums of runs are as many as calls: those of days and months come before them
        ledger.rows("SELECT sum(live_nano), sum(fixed_nano) FROM balances WHERE key < 'run:'")
        ledger.rows(f"SELECT status, count(*) FROM reservations WHERE {OPEN} GROUP BY 1")  # noqa: S608 - constants
    for table, last in long.items():
        _read(ledger, table, last - _FEW, last)
        column = "at" if table == "reservations" else "request_id"
        ledger.rows(f"SELECT {column} FROM {table} INDEXED BY {_LONG[table]} ORDER BY {column} DESC LIMIT {_FEW}")  # noqa: S608 - constants
    return None


def _last(ledger: Ledger, table: str) -> int:
    (row,) = ledger.rows(f"SELECT coalesce(max(rowid), 0) AS last FROM {table}")  # noqa: S608 - constants
    return int(row["last"])


def _read(ledger: Ledger, table: str, first: int, last: int) -> None:
    """Read every byte of some rows: what is damaged cannot be read."""
    columns = " + ".join(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in sorted(ledger.columns(table)))
    ledger.rows(f"SELECT sum({columns}) FROM {table} WHERE rowid BETWEEN ? AND ?", (first, last))  # noqa: S608 - constants


def back_up(ledger: Ledger, path: Path) -> None:
    """Copy the ledger to a new file, private from birth, as it is at one instant.

    Raises
    ------
    OSError
        If the file exists, or cannot be made.
    """
    new_file(path).close()
    with closing(sqlite3.connect(path)) as copy:
        ledger.conn.backup(copy)
