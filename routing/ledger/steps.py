"""The calls of a plan, as rows of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .store import Ledger

__all__ = ["write_step"]


def write_step(ledger: Ledger, row: Mapping[str, object]) -> None:
    """Write a step of a request, over what was written of it before; inside the caller's transaction."""
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("request_id", "seq", "at"))
    ledger.conn.execute(
        f"INSERT INTO steps ({columns}) VALUES ({marks}) ON CONFLICT (request_id, seq) DO UPDATE SET {changes}",  # noqa: S608 - names are ours
        tuple(row.values()),
    )
