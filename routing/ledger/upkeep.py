"""The ledger's file: whether it is sound, and a copy of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from scrimp.profiles.files import new_file

from .place import damaged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .store import Ledger

__all__ = ["back_up", "damage", "make_sure"]


def damage(ledger: Ledger, tables: Sequence[str] = ()) -> str | None:
    """Return what SQLite finds wrong with the file first (or with some tables of it), or None."""
    for which in [f"'{name}'" for name in tables] or ["1"]:
        (state,) = ledger.rows(f"SELECT quick_check AS found FROM pragma_quick_check({which})")  # noqa: S608 - constants
        if state["found"] != "ok":
            return str(state["found"])
    return None


WHOLE_BYTES: Final = 100_000_000
"""Up to this size the whole file is checked before a command pays: 0.1 s."""

MONEY_TABLES: Final = ("meta", "reservations", "balances", "attempts", "prices", "shared_caps", "suspensions")
"""What is checked of a larger one: 0.2 s with 100,000 calls (a file of 1 GB), where all of it would take 1.2 s."""


def make_sure(ledger: Ledger) -> None:
    """Refuse to pay with a ledger that is damaged; it is looked at once for each time that it is opened.

    Raises
    ------
    LedgerError
        If SQLite finds something wrong with the file; in a large one, with the tables about money.
    """
    if ledger.sound:
        return
    whole = ledger.path.stat().st_size <= WHOLE_BYTES
    if (found := damage(ledger, () if whole else MONEY_TABLES)) is not None:
        raise damaged(ledger.path, found)
    ledger.sound = True


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
