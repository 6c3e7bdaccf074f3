"""The ledger: one SQLite file, private from birth, that knows what was asked, what was tried and what it cost.

Schema, full-text search and maintenance go through sqlite-utils; the transactions of the hot path are plain SQL under
BEGIN IMMEDIATE, since a transaction that begins deferred loses updates when many processes write at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Final, Self

from scrimp.profiles.errors import LedgerError
from scrimp.profiles.files import hold, new_file, sync_folder
from scrimp.profiles.paths import make_private_dir

from .migrations import SCHEMA_VERSION, migrate
from .packing import teach
from .place import BESIDE, damaged, explain, explain_os, is_there
from .statements import STATEMENTS, change, insertion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Ledger", "instant", "new_id", "open_ledger", "read_ledger"]

BUSY_TIMEOUT_S: Final = 60.0
"""How long a writer waits for its turn. Each turn takes under a millisecond, so this is thousands of writers."""

WAL_BYTES: Final = 32_000_000
"""Up to this size the write-ahead log's file is kept for what comes next; one that grew beyond it is shortened."""

INCREMENTAL: Final = 2
"""SQLite's auto_vacuum of new ledgers: free pages can be given back in pieces, without rewriting the file."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_forks = 0
"""How many forks lie between this process and the one that imported this module: counted, since a ledger looks at it
before each statement, and asking the system for a process's number takes as long as some of them."""


def _forked() -> None:
    global _forks  # noqa: PLW0603  # a process is forked as a whole
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def new_id(now: float | None = None) -> str:
    """Return a new id: 26 characters, sorting by time (ULID's layout, in lower case)."""
    number = (int((time.time() if now is None else now) * 1000) << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def instant(now: float) -> str:
    """Spell a POSIX time as the ledger does: UTC, microseconds, sortable as text; one before 1970 as its beginning."""
    return datetime.fromtimestamp(max(now, 0.0), UTC).isoformat(timespec="microseconds")[:26] + "Z"


class Ledger:
    """An open ledger.

    Parameters
    ----------
    conn
        A connection in autocommit mode; transactions are begun explicitly.
    path
        The file, for messages.

    Attributes
    ----------
    sound
        Whether it was looked over since it was opened (`upkeep.make_sure`).
    """

    def __init__(self, conn: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.sound = False
        self._conn = conn
        self._born = _forks
        self._turn = threading.RLock()
        self._windows = (-1, ("", ""))
        self._zone: tzinfo | None = None
        self._zone_name: str | None = None

    # -- plumbing ---------------------------------------------------------------------------------------------------

    @property
    def conn(self) -> sqlite3.Connection:
        """The connection.

        Raises
        ------
        LedgerError
            In a process that was forked from the one that opened it: SQLite's locks do not survive a fork.
        """
        if self._born != _forks:
            raise LedgerError(
                f"the ledger {self.path} was opened before this process was forked",
                hint="Please report this: each process has to open the ledger for itself.",
            )
        return self._conn

    def close(self) -> None:
        """Close the connection (in the process that opened it: elsewhere this does nothing)."""
        if self._born == _forks:
            self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a block as one BEGIN IMMEDIATE transaction: committed at its end, rolled back on any error.

        One that need not be `durable` outlives the process, but may be lost when the machine loses power; it does not
        wait for the disk.

        Inside another transaction it is a part of that one: on an error it alone is undone, and it is committed with
        the whole. Threads that share the ledger take turns.

        Raises
        ------
        LedgerError
            If the ledger cannot be written (full disk, read-only folder, corruption): then nothing was changed.
        """
        conn = self.conn
        with self._turn, self._part() if conn.in_transaction else self._whole(durable=durable):
            yield conn

    @contextlib.contextmanager
    def _whole(self, *, durable: bool) -> Iterator[None]:
        conn = self.conn
        try:
            if not durable:
                conn.execute("PRAGMA synchronous = NORMAL")
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
                raise
            conn.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
            raise explain(error, self.path, BUSY_TIMEOUT_S) from error
        finally:
            if not durable:
                conn.execute("PRAGMA synchronous = FULL")

    @contextlib.contextmanager
    def _part(self) -> Iterator[None]:
        """Run a block as a part of the current transaction."""
        try:
            self.conn.execute("SAVEPOINT part")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.conn.execute("ROLLBACK TO part")
                    self.conn.execute("RELEASE part")
                raise
            self.conn.execute("RELEASE part")
        except sqlite3.Error as error:
            raise explain(error, self.path, BUSY_TIMEOUT_S) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Have the queries of a block see the ledger as it is at one instant; nobody waits for them."""
        conn = self.conn
        with self._turn:
            if conn.in_transaction:
                yield
                return
            conn.execute("BEGIN")
            try:
                yield
            finally:
                conn.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[object] | dict[str, object] = ()) -> list[dict[str, Any]]:
        """Run a query and return its rows as dictionaries."""
        conn = self.conn
        try:
            with self._turn:
                cursor = conn.execute(sql, parameters)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise explain(error, self.path, BUSY_TIMEOUT_S) from error

    def sort_in_memory(self, yes: bool) -> None:
        """Have what SQLite puts aside for a statement stay in memory, or go to files again; outside a transaction.

        A statement that writes many rows puts them aside first. Sorting a long table does, too: that is for files.
        """
        self.conn.execute(f"PRAGMA temp_store = {'MEMORY' if yes else 'DEFAULT'}")

    def one(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Run a query and return its first row; None where there is none."""
        conn = self.conn
        try:
            with self._turn:
                found: tuple[Any, ...] | None = conn.execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise explain(error, self.path, BUSY_TIMEOUT_S) from error
        return found

    def insert(self, table: str, values: Mapping[str, object]) -> int:
        """Insert one row inside the current transaction; return its rowid."""
        cursor = self.conn.execute(insertion(table, tuple(values), 1), tuple(values.values()))
        return int(cursor.lastrowid or 0)

    def update(self, table: str, key: tuple[str, object], values: Mapping[str, object]) -> None:
        """Update one row inside the current transaction."""
        self.conn.execute(change(table, key[0], tuple(values)), (*values.values(), key[1]))

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        return {row["name"] for row in self.rows("SELECT name FROM pragma_table_info(?)", (table,))}

    # -- time -------------------------------------------------------------------------------------------------------

    @property
    def zone(self) -> tzinfo:
        """The time zone of the ledger's days and months, fixed when it was made."""
        if self._zone is None:
            self._zone = _zone(self.zone_name)
        return self._zone

    @property
    def zone_name(self) -> str:
        """The zone's name: IANA's, or an offset such as +02:00."""
        if self._zone_name is None:
            rows = self.rows("SELECT value FROM meta WHERE key = 'zone'")
            if not rows:
                raise damaged(self.path, "it does not say in which time zone its days are")
            self._zone_name = str(rows[0]["value"])
        return self._zone_name

    def windows(self, now: float) -> tuple[str, str]:
        """Return the day (YYYY-MM-DD) and the month (YYYY-MM) of an instant, in the ledger's zone."""
        minute = int(max(now, 0.0) // 60.0)  # windows begin with one, in every zone of today
        if self._windows[0] != minute:
            local = datetime.fromtimestamp(minute * 60.0, self.zone).strftime("%Y-%m-%d")
            self._windows = minute, (local, local[:7])
        return self._windows[1]

    def rolls_over_at(self, window: str, now: float) -> str:
        """Return when the current day or month ends, ISO 8601 with its offset.

        Parameters
        ----------
        window
            `day` or `month`.
        now
            POSIX time.
        """
        return self._span(window, now)[1].isoformat()

    def month_gone(self, now: float) -> float:
        """Return which share of its month an instant lies at, in [0, 1)."""
        start, end = (each.timestamp() for each in self._span("month", now))
        return min(max((now - start) / (end - start), 0.0), 1.0)

    def _span(self, window: str, now: float) -> tuple[datetime, datetime]:
        """Return the first instant of a day or month, and that of the next one."""
        local = datetime.fromtimestamp(now, self.zone)
        start = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
        if window == "day":
            end = start + timedelta(days=1)
        else:
            start = start.replace(day=1)
            end = (start + timedelta(days=32)).replace(day=1)
        return start.replace(tzinfo=self.zone), end.replace(tzinfo=self.zone)


def open_ledger(path: Path) -> Ledger:
    """Open the ledger for reading and writing, making it if it is not there.

    Raises
    ------
    LedgerError
        If it is damaged, newer than this version, or cannot be written; if something else stands in its place, or a
        link to nothing. A damaged ledger is never made anew: it holds what was spent.
    """
    try:
        if not is_there(path):
            _create(path)
        real = path.resolve()  # a link's -wal, -shm and lock stand beside its target
        conn = _connect(real)
    except sqlite3.Error as error:
        raise explain(error, path, BUSY_TIMEOUT_S) from error
    except OSError as error:
        raise explain_os(error, path) from error
    try:
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            _bring_up(conn, path, real, version)
        return Ledger(conn, path)
    except sqlite3.Error as error:
        conn.close()
        raise explain(error, path, BUSY_TIMEOUT_S) from error
    except BaseException:
        conn.close()
        raise


def read_ledger(path: Path) -> Ledger | None:
    """Open the ledger to read it, or return None when there is none yet (reading never makes one)."""
    return open_ledger(path) if is_there(path) else None


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    try:
        teach(conn)
        # A deleted prompt must not linger in free pages.
        conn.execute("PRAGMA secure_delete = ON")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        conn.close()
        raise
    return conn


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the ledger's lock file (for making and migrating it; the hot path never takes it)."""
    return hold(path.with_name(path.name + ".lock"))


def _create(path: Path) -> None:
    """Make a ledger beside its place, complete and 0600 from birth, then rename it: it is never seen half made."""
    make_private_dir(path.parent)
    with _locked(path):
        if is_there(path):
            return
        unfinished = path.with_name(path.name + ".new")
        for name in (unfinished, *(unfinished.with_name(unfinished.name + end) for end in BESIDE)):
            name.unlink(missing_ok=True)
        new_file(unfinished).close()
        conn = sqlite3.connect(unfinished, isolation_level=None)
        try:
            conn.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
            # Nobody has it yet: what a crash leaves is thrown away, so that one flush at the end is enough.
            conn.execute("PRAGMA synchronous = OFF")
            conn.execute("PRAGMA journal_mode = MEMORY").fetchone()
            migrate(conn)
            now = instant(time.time())
            conn.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)",
                [("zone", _local_zone_name()), ("created_at", now), ("ledger_id", new_id())],
            )
            # WAL is remembered in the file. Its -wal and -shm take their mode from the database: 0600.
            conn.execute("PRAGMA journal_mode = WAL").fetchone()
        finally:
            conn.close()
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.rename(unfinished, path)  # noqa: PTH104 - os and Path alike; the lock makes it exclusive
        sync_folder(path.parent)


def _bring_up(conn: sqlite3.Connection, path: Path, real: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer scrimp (schema {version}; this one knows up to {SCHEMA_VERSION})",
            hint="Upgrade scrimp, or set SCRIMP_HOME to another folder to start a separate ledger.",
        )
    if version == 0:
        raise damaged(path, "it is a database, but not a scrimp ledger")

    with _locked(real):
        migrate(conn)


def _local_zone_name() -> str:
    """Name the machine's zone: IANA's name where it can be found, else today's offset.

    TZ wins over the machine's own setting, as it does in every other program. What it says in POSIX's own way
    (`CET-1CEST`) has no name that a later process could look up: of it the offset is kept, without summer time.
    """
    minutes = time.localtime().tm_gmtoff // 60
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    for name in (*_zone_names(), offset):
        if name:
            with contextlib.suppress(LedgerError):
                _zone(name)
                return name
    return "UTC"


def _zone_names() -> list[str]:
    """Return what may be the name of the machine's zone, the likeliest first."""
    from pathlib import Path

    stated = os.environ.get("TZ")
    names: list[str] = []
    if stated is None:
        files = [Path("/etc/localtime")]
    elif not stated:
        return ["UTC"]
    else:
        stated = stated.removeprefix(":")
        files = [Path(stated)] if stated.startswith("/") else []
        names = [] if files else [stated]
    for file in files:
        with contextlib.suppress(OSError, RuntimeError):  # a circle of links
            names.append(str(file.resolve()).partition("zoneinfo/")[2])
    if stated is None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            names.append(Path("/etc/timezone").read_text(encoding="ascii").strip())
    return names


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Etc/UTC"):
        return UTC
    from zoneinfo import ZoneInfo

    try:
        if re.fullmatch(r"[+-]\d\d:\d\d", name):
            minutes = int(name[1:3]) * 60 + int(name[4:6])
            return timezone(timedelta(minutes=-minutes if name[0] == "-" else minutes))
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # a zone that is not there is a KeyError
        raise LedgerError(
            f"the ledger's time zone {name!r} is not known on this machine", hint="Install the tzdata package."
        ) from error
