"""The optional cache of answers (`--cache`): keyed by everything that could change an answer, with a maximum age."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.paths import make_private_dir
from scrimp.routing.prompts.instructions import instructions_id

from .output import Result
from .rows import content_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scrimp.profiles.schema import Arm

    from .rows import Row

__all__ = ["Cache", "cache_key", "parse_age"]

_VERSION: Final = 1
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_age(text: str, flag: str = "--cache") -> float:
    """Read an age, or a time from now, such as 90s, 12h, 7d or 2w, in seconds.

    Raises
    ------
    UsageError
        If it is not one.

    Examples
    --------
    >>> parse_age("12h")
    43200.0
    """
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"{flag} {text}: expected a time such as 90s, 12h or 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def cache_key(
    row: Row, arm: Arm, output_limit: int, *, hint: str | None = None, read: Sequence[Any] | None = None
) -> bytes:
    """Return the key of an answer: what is asked, and of which model, where, with which settings, limit and hint.

    Parameters
    ----------
    read
        What is read of the row's files, where that is not simply all.
    """
    what = [
        _VERSION,
        content_key(row).hex(),
        arm.model,
        arm.api_base,
        arm.reasoning_effort,
        arm.params,
        output_limit,
        *([] if hint is None else [{"hint": hint}]),
        *([] if read is None else [{"read": read}]),
        *([told] if (told := instructions_id(arm)) is not None else []),
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()


class Cache:
    """A file of answers (mode 0600). What cannot be read or written is passed over: without the cache, a call is made.

    Parameters
    ----------
    path
        The file; made where it is not there.
    max_age_s
        Answers older than this, in seconds, are not used.
    """

    def __init__(self, path: Path, *, max_age_s: float = float("inf")) -> None:
        self.path = path
        self.max_age_s = max_age_s
        self._lock = threading.Lock()
        self._conn: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            make_private_dir(path.parent)
            with contextlib.suppress(FileExistsError):
                new_file(path).close()
            conn = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            conn.execute("PRAGMA journal_mode = WAL").fetchone()
            conn.execute("PRAGMA synchronous = NORMAL")
            conn.execute("PRAGMA secure_delete = ON")
            conn.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, at REAL NOT NULL, result TEXT NOT NULL) "
                "WITHOUT ROWID"
            )
            self._conn = conn

    def get(self, key: bytes, *, now: float) -> Result | None:
        """Return an answer that is young enough, or None."""
        if self._conn is None:
            return None
        with self._lock, contextlib.suppress(sqlite3.Error, ValueError, TypeError):
            row = self._conn.execute(
                "SELECT result FROM answers WHERE key = ? AND at > ?", (key, now - self.max_age_s)
            ).fetchone()
            if row is not None:
                return Result(n=0, id="", status="ok", cost_nano=0, **json.loads(row[0]))
        return None

    def put(self, key: bytes, result: Result) -> None:
        """Keep an answer."""
        if self._conn is None:
            return
        names = ("decision_id", "answer", "input_tokens", "output_tokens", "finish_reason", "model")
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._conn.execute(
                "INSERT OR REPLACE INTO answers (key, at, result) VALUES (?, ?, ?)",
                (key, float(result.at), json.dumps({name: getattr(result, name) for name in names})),
            )

    def prune(self, *, now: float) -> None:
        """Forget what is too old."""
        if self._conn is not None:
            with self._lock, contextlib.suppress(sqlite3.Error):
                self._conn.execute("DELETE FROM answers WHERE at <= ?", (now - self.max_age_s,))

    def forget(self, *, before: float | None = None, requests: Sequence[str] | None = None) -> int:
        """Erase answers (those given before a POSIX time; those to some requests); return how many.

        Raises
        ------
        DataError
            If they cannot be erased.
        """
        if self._conn is None:
            raise DataError(f"the cache of answers {self.path} cannot be opened: nothing of it is forgotten")
        try:
            wanted = None if requests is None else json.dumps(requests)
            n = self._conn.execute(
                "DELETE FROM answers WHERE (:before IS NULL OR at < :before) AND (:wanted IS NULL OR "
                "json_extract(result, '$.decision_id') IN (SELECT value FROM json_each(:wanted)))",
                {"before": before, "wanted": wanted},
            ).rowcount
            self._conn.execute("VACUUM")
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise DataError(f"the cache of answers {self.path}: {error}", hint="Remove the file instead.") from None
        return n

    def close(self) -> None:
        """Close it."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
