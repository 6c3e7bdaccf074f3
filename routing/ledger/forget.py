"""Forgetting: text, features and labels go; money stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import TryAgainError

from .documents import drop, hashes_of
from .store import BUSY_TIMEOUT_S

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from .store import Ledger

__all__ = ["ABOUT", "HOLDS", "MONEY", "purge", "remove", "retire"]

HOLDS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "labels": None,
    "outcomes": None,
    "steps": None,
    "attempts": ("error", "usage"),
    "batch_rows": ("same",),
    "duels": None,
    "summaries": None,
}
"""Where text or features of a request are kept beside its row in `requests`: whole rows (None), or some columns."""

ABOUT: Final[Mapping[str, tuple[str, ...]]] = {"duels": ("left_request", "right_request")}
"""The columns by which tables of `HOLDS` name the requests that they are about, where that is not `request_id`."""

MONEY: Final = frozenset({"reservations"})
"""Tables about requests that hold neither text nor features."""

_MERGE_PAGES: Final = 500
_PATIENCE_MS: Final = 2000


def remove(ledger: Ledger, request_ids: Sequence[str]) -> int:
    """Forget some requests; return how many there were."""
    n_removed = _forget(ledger, f"id IN ({', '.join('?' * len(request_ids))})", request_ids)
    _merge_index(ledger)
    _empty_wal(ledger)
    return n_removed


def purge(ledger: Ledger, *, before: str | None = None) -> int:
    """Forget every request (before an instant), then rewrite the file so that nothing of them is left in it.

    Raises
    ------
    TryAgainError
        If another process reads the ledger for so long that old pages have to be kept for it.
    """
    import sqlite_utils

    where, parameters = ("1", ()) if before is None else ("created_at < ?", (before,))
    n_removed = _forget(ledger, where, parameters)
    with ledger.transaction() as conn:
        _empty(conn, "NOT IN (SELECT id FROM requests)", ())
        if before is None:  # also names that nothing was ever answered under
            conn.execute(
                "DELETE FROM conversations WHERE id NOT IN (SELECT coalesce(conversation_id, '') FROM requests)"
            )
        drop(conn)
    db = sqlite_utils.Database(ledger.conn, execute_plugins=False)
    db.table("requests").rebuild_fts()
    db.vacuum()
    if not _empty_wal(ledger):
        raise TryAgainError(
            f"{n_removed} requests are forgotten, but {ledger.path}-wal still holds some of their text: "
            "another process reads the ledger",
            hint="Do it again when that has ended.",
        )
    return n_removed


def retire(ledger: Ledger, *, profile: str, before: str) -> int:
    """Forget a profile's requests that are older than it keeps them; return how many.

    They go by whole days, so that the full-text index is merged once a day at most.

    Parameters
    ----------
    before
        An instant; those of its own day (UTC) stay.
    """
    where, parameters = "created_at < ? AND profile = ?", (before[: len("YYYY-MM-DD")], profile)
    if not ledger.rows(f"SELECT 1 FROM requests WHERE {where} LIMIT 1", parameters):  # noqa: S608 - constants
        return 0
    n_removed = _forget(ledger, where, parameters)
    _merge_index(ledger)
    _empty_wal(ledger)
    return n_removed


def _forget(ledger: Ledger, where: str, parameters: Sequence[object]) -> int:
    """Forget the requests of a condition on `requests`: all that holds something of them, then they themselves.

    The texts of their files go with the last request that read them.
    """
    with ledger.transaction() as conn:
        read = hashes_of(conn, where, parameters)
        _empty(conn, f"IN (SELECT id FROM requests WHERE {where})", parameters)  # noqa: S608 - constants
        of = f"IN (SELECT conversation_id FROM requests WHERE {where})"  # noqa: S608 - constants
        # A summary may tell of any turn before its last; a name whose conversation is gone is nobody's.
        conn.execute(f"DELETE FROM summaries WHERE conversation_id {of}", parameters)  # noqa: S608 - constants
        conn.execute(
            f"DELETE FROM conversations WHERE id {of} "  # noqa: S608 - constants
            f"AND NOT EXISTS (SELECT 1 FROM requests WHERE conversation_id = conversations.id AND NOT ({where}))",
            (*parameters, *parameters),
        )
        n_removed = conn.execute(f"DELETE FROM requests WHERE {where}", parameters).rowcount  # noqa: S608 - constants
        drop(conn, read)
        return n_removed


def _empty(conn: sqlite3.Connection, which: str, parameters: Sequence[object]) -> None:
    for table, columns in HOLDS.items():
        for request in ABOUT.get(table, ("request_id",)):
            where = f"{request} {which}"
            if columns is None:
                conn.execute(f"DELETE FROM {table} WHERE {where}", parameters)  # noqa: S608 - constants
            else:
                values = ", ".join(f"{column} = NULL" for column in columns)
                filled = " OR ".join(f"{column} IS NOT NULL" for column in columns)
                conn.execute(f"UPDATE {table} SET {values} WHERE ({filled}) AND {where}", parameters)  # noqa: S608 - constants


def _merge_index(ledger: Ledger) -> None:
    """Drop what the full-text index still holds of deleted text: it only notes there what was deleted.

    This is done in pieces, each a short transaction, so that nobody waits long for a large index.
    """
    n_pages = -_MERGE_PAGES  # below zero: begin to merge all of it, not only what has become due
    while True:
        with ledger.transaction() as conn:
            before = conn.total_changes
            conn.execute("INSERT INTO requests_fts (requests_fts, rank) VALUES ('merge', ?)", (n_pages,))
            if conn.total_changes - before < 2:  # as SQLite's manual says: nothing was left to do
                return
        n_pages = _MERGE_PAGES


def _empty_wal(ledger: Ledger) -> bool:
    """Truncate the write-ahead log, which holds what pages were; return whether it could be done."""
    ledger.rows(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        (done,) = ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        ledger.rows(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
    return not done["busy"]
