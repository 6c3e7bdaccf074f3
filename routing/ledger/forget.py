"""Forgetting: text, features and labels go; money stays."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import TryAgainError
from scrimp.routing.text.in_words import counted

from .clauses import all_of, marks
from .documents import drop, drop_unread, hashes_of
from .store import BUSY_TIMEOUT_S, INCREMENTAL
from .tools import database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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

MONEY: Final = frozenset({"reservations", "unexported"})
"""Tables about requests that hold neither text nor features."""

_MERGE_PAGES: Final = 500
_VACUUM_PAGES: Final = 500
_PATIENCE_MS: Final = 2000

_SPAN_S: Final = (0.015, 0.04)
"""How long a transaction of a purge is to take, seconds: whoever waits for his turn waits about that long."""

_AT_ONCE: Final = (25, 2000)
"""Requests that are forgotten in one transaction, at least and at most."""

_KEYS: Final = 5000
"""Rows that are looked at at once for what belongs to no request."""

SMALL_BYTES: Final = 20_000_000
"""Up to this size a file is rewritten by a purge: 0.2 s, for which everybody waits."""


def remove(ledger: Ledger, request_ids: Sequence[str]) -> int:
    """Forget some requests, all of them or none; return how many there were."""
    with ledger.transaction() as conn:
        read = hashes_of(conn, f"id IN ({marks(request_ids)})", request_ids)
        n_removed = _forget(conn, request_ids)
        drop(conn, read)
    _merge_index(ledger)
    _empty_wal(ledger)
    return n_removed


def purge(ledger: Ledger, *, before: str | None = None, tell: Callable[[int, bool], None] | None = None) -> int:
    """Forget every request (before an instant), so that nothing of them is left in the file.

    It is done in transactions of some ten milliseconds, with as long a pause after each: others go on writing. What is
    forgotten stays so where the process is ended; the next purge does the rest. A small file is rewritten at the end;
    of a large one the pages that are free are given back where it was made by a version that can (`store`), else they
    are used again.

    Parameters
    ----------
    tell
        Takes how many requests are forgotten so far, and whether that is all.

    Raises
    ------
    TryAgainError
        If another process reads the ledger for so long that old pages have to be kept for it.
    """
    n_removed = _forget_all(ledger, before=before, tell=tell)
    for table in HOLDS:
        for column in ABOUT.get(table, ("request_id",)):
            _forget_orphans(ledger, table, column)
    if before is None:  # also names that nothing was ever answered under
        with ledger.transaction() as conn:
            conn.execute(
                "DELETE FROM conversations WHERE NOT EXISTS "
                "(SELECT 1 FROM requests WHERE conversation_id = conversations.id)"
            )
    drop_unread(ledger)
    _merge_index(ledger)
    _give_back(ledger)
    if tell is not None:
        tell(n_removed, True)
    if not _empty_wal(ledger):
        raise TryAgainError(
            f"{counted(n_removed, 'request is', 'requests are')} forgotten, but {ledger.path}-wal still holds "
            "some of their text: "
            "another process reads the ledger",
            hint="Do it again when that has ended.",
        )
    return n_removed


def retire(ledger: Ledger, *, profile: str, before: str, tell: Callable[[int, bool], None] | None = None) -> int:
    """Forget a profile's requests that are older than it keeps them; return how many.

    They go by whole days, so that it is looked for once a day at most, and the full-text index is merged as rarely.

    Parameters
    ----------
    before
        An instant; those of its own day (UTC) stay.
    tell
        As for `purge`.
    """
    day, key = before[: len("YYYY-MM-DD")], f"retired:{profile}"
    oldest = ledger.rows("SELECT created_at FROM requests ORDER BY created_at LIMIT 1")
    if not oldest or oldest[0]["created_at"] >= day:
        return 0
    # What is oldest may be another profile's, which keeps it: that is found out once.
    done = f"{day} {oldest[0]['created_at']}"
    if ledger.rows("SELECT 1 FROM meta WHERE key = ? AND value = ?", (key, done)):
        return 0
    n_removed = _forget_all(ledger, before=day, profile=profile, tell=tell)
    if n_removed:
        drop_unread(ledger)
        _merge_index(ledger)
        _empty_wal(ledger)
    if tell is not None:
        tell(n_removed, True)
    with ledger.transaction(durable=False) as conn:
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, done),
        )
    return n_removed


def _forget_all(
    ledger: Ledger, *, before: str | None, profile: str | None = None, tell: Callable[[int, bool], None] | None = None
) -> int:
    """Forget requests (of a profile) from the oldest on, in many transactions; return how many."""
    n_removed, at_once, last = 0, _AT_ONCE[0] * 4, ""
    while True:
        where, parameters = all_of(("created_at >= ?", last), ("created_at < ?", before), ("profile = ?", profile))
        began = time.monotonic()
        with ledger.transaction() as conn:
            found = conn.execute(
                f"SELECT id, created_at FROM requests WHERE {where} ORDER BY created_at LIMIT ?",  # noqa: S608 - constants
                (*parameters, at_once),
            ).fetchall()
            n_removed += _forget(conn, [key for key, _ in found])
        if len(found) < at_once:
            return n_removed
        last = found[-1][1]
        took = time.monotonic() - began
        if tell is not None:
            tell(n_removed, False)
        if took < _SPAN_S[0]:
            at_once = min(2 * at_once, _AT_ONCE[1])
        elif took > _SPAN_S[1]:
            at_once = max(at_once // 2, _AT_ONCE[0])
        time.sleep(took)


def _forget(conn: sqlite3.Connection, ids: Sequence[str]) -> int:
    """Forget requests in the caller's transaction: all that holds something of them, then they themselves."""
    if not ids:
        return 0
    which = f"IN ({marks(ids)})"
    of = conn.execute(f"SELECT DISTINCT conversation_id FROM requests WHERE id {which}", ids).fetchall()  # noqa: S608 - marks
    for table in HOLDS:
        for column in ABOUT.get(table, ("request_id",)):
            _empty(conn, table, f"{column} {which}", ids)
    n_removed = conn.execute(f"DELETE FROM requests WHERE id {which}", ids).rowcount  # noqa: S608 - marks
    conversations = tuple(row[0] for row in of if row[0] is not None)
    # A summary may tell of any turn before its last; a name whose conversation is gone is nobody's.
    conn.execute(f"DELETE FROM summaries WHERE conversation_id IN ({marks(conversations)})", conversations)  # noqa: S608 - marks
    conn.execute(
        f"DELETE FROM conversations WHERE id IN ({marks(conversations)}) "  # noqa: S608 - marks
        "AND NOT EXISTS (SELECT 1 FROM requests WHERE conversation_id = conversations.id)",
        conversations,
    )
    return n_removed


def _empty(conn: sqlite3.Connection, table: str, where: str, parameters: Sequence[object]) -> None:
    columns = HOLDS[table]
    if columns is None:
        conn.execute(f"DELETE FROM {table} WHERE {where}", parameters)  # noqa: S608 - constants
    else:
        values = ", ".join(f"{column} = NULL" for column in columns)
        conn.execute(f"UPDATE {table} SET {values} WHERE {_filled(table)} AND {where}", parameters)  # noqa: S608 - constants


def _filled(table: str) -> str:
    """Return what holds of the rows of a table that hold something."""
    columns = HOLDS[table] or ()
    return f"({' OR '.join(f'{column} IS NOT NULL' for column in columns)})" if columns else "1"


def _forget_orphans(ledger: Ledger, table: str, column: str) -> None:
    """Forget what a table holds of requests that the log does not have, a part at a time."""
    last = ""
    while True:
        rows = ledger.rows(
            f"SELECT {column} AS id, EXISTS (SELECT 1 FROM requests q WHERE q.id = {column}) AS there FROM {table} "  # noqa: S608 - constants
            f"WHERE {column} > ? AND {_filled(table)} ORDER BY {column} LIMIT {_KEYS}",
            (last,),
        )
        gone = list(dict.fromkeys(row["id"] for row in rows if not row["there"]))
        for first in range(0, len(gone), 500):
            some = gone[first : first + 500]
            with ledger.transaction() as conn:
                there = {key for (key,) in conn.execute(f"SELECT id FROM requests WHERE id IN ({marks(some)})", some)}  # noqa: S608 - marks
                now = [key for key in some if key not in there]
                _empty(conn, table, f"{column} IN ({marks(now)})", now)
            time.sleep(_SPAN_S[0])
        if len(rows) < _KEYS:
            return
        last = rows[-1]["id"]


def _merge_index(ledger: Ledger) -> None:
    """Drop what the full-text index still holds of deleted text: it only notes there what was deleted.

    This is done in pieces, each a short transaction, so that nobody waits long for a large index.
    """
    n_pages = -_MERGE_PAGES  # below zero: begin to merge all of it, not only what has become due
    while True:
        began = time.monotonic()
        with ledger.transaction() as conn:
            before = conn.total_changes
            conn.execute("INSERT INTO requests_fts (requests_fts, rank) VALUES ('merge', ?)", (n_pages,))
            if conn.total_changes - before < 2:  # as SQLite's manual says: nothing was left to do
                return
        n_pages = _MERGE_PAGES
        time.sleep(time.monotonic() - began)


def _give_back(ledger: Ledger) -> None:
    """Give free pages back to the file system: rewrite a small file, shorten a large one in pieces where it can be."""
    conn = ledger.conn
    (mode,) = conn.execute("PRAGMA auto_vacuum").fetchone()
    if ledger.path.stat().st_size <= SMALL_BYTES:
        if mode != INCREMENTAL:
            conn.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        database(conn).vacuum()
        return
    while mode == INCREMENTAL:
        began = time.monotonic()
        (n_free,) = conn.execute("PRAGMA freelist_count").fetchone()
        if not n_free:
            return
        with contextlib.suppress(sqlite3.OperationalError):  # somebody wrote meanwhile: it is tried again next time
            # Every page is a step of the statement, and of one without columns `execute` takes only the first.
            conn.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        if conn.execute("PRAGMA freelist_count").fetchone()[0] >= n_free:
            return
        time.sleep(time.monotonic() - began)


def _empty_wal(ledger: Ledger) -> bool:
    """Truncate the write-ahead log, which holds what pages were; return whether it could be done."""
    ledger.rows(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        (done,) = ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        ledger.rows(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
    return not done["busy"]
