"""Forgetting: text, features and labels go; money stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["purge", "remove", "retire"]


def remove(ledger: Ledger, request_id: str) -> None:
    """Forget a request: its text, features, trace and labels. Its money stays."""
    with ledger.transaction() as conn:
        conn.execute("DELETE FROM labels WHERE request_id = ?", (request_id,))
        conn.execute("DELETE FROM outcomes WHERE request_id = ?", (request_id,))
        conn.execute("DELETE FROM steps WHERE request_id = ?", (request_id,))
        conn.execute("UPDATE attempts SET error = NULL, usage = NULL WHERE request_id = ?", (request_id,))
        conn.execute("DELETE FROM requests WHERE id = ?", (request_id,))


def purge(ledger: Ledger, *, before: str | None = None) -> int:
    """Forget every request (before an instant), then rewrite the file so that nothing of them is left in it."""
    where, parameters = ("1", ()) if before is None else ("created_at < ?", (before,))
    with ledger.transaction() as conn:
        chosen = f"SELECT id FROM requests WHERE {where}"  # noqa: S608 - constants
        for table in ("labels", "steps", "outcomes"):
            conn.execute(f"DELETE FROM {table} WHERE request_id IN ({chosen})", parameters)  # noqa: S608 - constants
        conn.execute(f"UPDATE attempts SET error = NULL, usage = NULL WHERE request_id IN ({chosen})", parameters)  # noqa: S608 - constants
        n_removed = conn.execute(f"DELETE FROM requests WHERE {where}", parameters).rowcount  # noqa: S608 - constants
    _rewrite(ledger)
    return n_removed


def retire(ledger: Ledger, *, profile: str, before: str) -> int:
    """Forget a profile's requests that are older than it keeps them, without rewriting the file; return how many."""
    old = "SELECT id FROM requests WHERE created_at < ? AND profile = ?"
    if not ledger.rows(f"{old} LIMIT 1", (before, profile)):
        return 0
    with ledger.transaction() as conn:
        conn.execute(f"DELETE FROM labels WHERE request_id IN ({old})", (before, profile))  # noqa: S608 - constants
        conn.execute(f"DELETE FROM outcomes WHERE request_id IN ({old})", (before, profile))  # noqa: S608 - constants
        conn.execute("DELETE FROM requests WHERE created_at < ? AND profile = ?", (before, profile))
        return int(conn.execute("SELECT changes()").fetchone()[0])


def _rewrite(ledger: Ledger) -> None:
    """Drop what the full-text index and free pages still hold of deleted text, and truncate the write-ahead log."""
    import sqlite_utils

    db = sqlite_utils.Database(ledger.conn, execute_plugins=False)
    db.table("requests").rebuild_fts()
    ledger.conn.execute("INSERT INTO requests_fts (requests_fts) VALUES ('optimize')")
    db.vacuum()
    ledger.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
