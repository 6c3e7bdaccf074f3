"""The ledger's file: whether it is sound, and a copy of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from scrimp.profiles.files import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Ledger

__all__ = ["back_up", "damage"]


def damage(ledger: Ledger) -> str | None:
    """Return what SQLite finds wrong with the file first, or None."""
    (state,) = ledger.rows("SELECT quick_check AS found FROM pragma_quick_check(1)")
    return None if state["found"] == "ok" else str(state["found"])


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
