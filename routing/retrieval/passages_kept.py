"""What was worked out of texts, kept in a file of the cache by their hashes: pieces with their words, and vectors.

It is a cache: what cannot be read is made anew, a damaged file is thrown away, and nothing waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
import zlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from scrimp.profiles.files import new_file
from scrimp.profiles.paths import make_private_dir

from .passages_words import Pieces, pieces_of
from .store import is_damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.prompts.sources import Source

__all__ = ["KEPT_FILE", "MAX_BYTES", "Kept", "forget"]

T = TypeVar("T")

KEPT_FILE: Final = "passages.db"

MAX_BYTES: Final = 256_000_000
"""Of all that is kept; what was used longest ago goes."""

_VERSION: Final = 1
"""Of the table, and of how texts are cut and their words told: a file of another is begun anew."""

_SLACK: Final = 0.2
"""So much of that goes beside, lest each question let go of a little."""

_USED_EVERY_S: Final = 3_600
"""That an entry was used is written down so often at most."""

_TABLE: Final = (
    "CREATE TABLE kept (key TEXT PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, packed BLOB NOT NULL)"
)


def forget(folder: Path) -> None:
    """Drop all that is kept in a cache folder: it is worked out again where it is wanted."""
    for name in (KEPT_FILE, f"{KEPT_FILE}-journal"):
        with contextlib.suppress(OSError):
            (folder / name).unlink()


class Kept:
    """The file of what is kept, opened for each look; may be used from several threads and processes.

    Parameters
    ----------
    folder
        The cache folder, made where it is missing. None keeps nothing.
    most
        Bytes that may be kept.
    """

    def __init__(self, folder: Path | None, most: int = MAX_BYTES) -> None:
        self.path = None if folder is None else folder / KEPT_FILE
        self.most = most

    def pieces(self, sources: Sequence[Source]) -> list[Pieces]:
        """Return the pieces of each of some texts; those that are new are worked out, and kept."""
        known = self._get([source.sha256 for source in sources])
        found: dict[str, Pieces] = {}
        new: dict[str, bytes] = {}
        for source in sources:
            if (key := source.sha256) in found:
                continue
            pieces = _read_pieces(known.pop(key, b""), len(source.text))
            if pieces is None:
                pieces = pieces_of(source.text)
                new[key] = msgspec.msgpack.encode(pieces)
            found[key] = pieces
        self._put(new)
        return [found[source.sha256] for source in sources]

    def vectors(self, texts: Sequence[str], embedder: TextEmbedder) -> NDArray[np.float32]:
        """Return the vectors of some texts, `(n_texts, dim)`, unit length; those that are new are kept."""
        import numpy as np

        about = f"{embedder.id}\0"
        keys = [hashlib.sha256((about + text).encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        found = {key: np.frombuffer(packed, dtype="<f2") for key, packed in self._get(keys).items()}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if new:
            made = embedder.embed([*new.values()]).astype("<f2")
            found.update(zip(new, made, strict=True))
            self._put({key: vector.tobytes() for key, vector in zip(new, made, strict=True)})
        return np.stack([found[key] for key in keys]).astype(np.float32)

    # -- the file ---------------------------------------------------------------------------------------------------

    def _get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what is kept of some keys, unless it is damaged."""
        wanted = json.dumps(keys)
        now = int(time.time())

        def look(conn: sqlite3.Connection) -> list[tuple[str, bytes, int]]:
            those = "key IN (SELECT value FROM json_each(?))"
            rows = conn.execute(f"SELECT key, packed, used FROM kept WHERE {those}", (wanted,)).fetchall()  # noqa: S608
            if any(used < now - _USED_EVERY_S for _, _, used in rows):
                with contextlib.suppress(sqlite3.OperationalError):  # read-only, or another process writes
                    conn.execute(f"UPDATE kept SET used = ? WHERE {those}", (now, wanted))  # noqa: S608
            return rows

        found = {}
        for key, packed, _ in self._try(look) or ():
            with contextlib.suppress(zlib.error):  # it ends with a sum of its bytes
                found[key] = zlib.decompress(packed)
        return found

    def _put(self, new: Mapping[str, bytes]) -> None:
        """Keep something, and let go what was used longest ago where that is too much."""
        if not new or self.path is None:
            return
        now = int(time.time())
        rows = [(key, now, len(packed), packed) for key, each in new.items() if (packed := zlib.compress(each, 1))]

        def store(conn: sqlite3.Connection) -> None:
            conn.execute("BEGIN IMMEDIATE")
            conn.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", rows)
            over = conn.execute("SELECT total(size) FROM kept").fetchone()[0] - self.most
            if over > 0:
                over += self.most * _SLACK
                gone = []
                for key, size in conn.execute("SELECT key, size FROM kept ORDER BY used, key"):
                    if over <= 0:
                        break
                    gone.append((key,))
                    over -= size
                conn.executemany("DELETE FROM kept WHERE key = ?", gone)
            conn.execute("COMMIT")

        self._try(store)

    def _try(self, do: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do something with the file, once more with a new one where it is damaged; None where it cannot be done."""
        if self.path is None:
            return None
        for attempt in (1, 2):
            try:
                with self._open(self.path) as conn:
                    return do(conn)
            except sqlite3.Error as error:
                if attempt == 2 or not is_damage(error):
                    return None
                forget(self.path.parent)
            except OSError:
                return None
        return None

    @contextlib.contextmanager
    def _open(self, path: Path) -> Iterator[sqlite3.Connection]:
        make_private_dir(path.parent)
        with contextlib.suppress(FileExistsError):
            new_file(path).close()
        with contextlib.closing(sqlite3.connect(path, timeout=1.0, isolation_level=None)) as conn:
            conn.execute("PRAGMA synchronous = OFF")  # what a power failure leaves is found out, and made anew
            if _version(conn) != _VERSION:
                conn.execute("PRAGMA auto_vacuum = FULL")
                conn.execute("BEGIN IMMEDIATE")
                if _version(conn) != _VERSION:  # no other process has made it meanwhile
                    if conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                        raise sqlite3.DatabaseError("a table of another version")
                    conn.execute(_TABLE)
                    conn.execute(f"PRAGMA user_version = {_VERSION}")
                conn.execute("COMMIT")
            yield conn


def _version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def _read_pieces(packed: bytes, n_chars: int) -> Pieces | None:
    """Return the pieces of a text of so many characters; None where there are none, or they cannot be its."""
    try:
        pieces = msgspec.msgpack.decode(packed, type=Pieces)
    except msgspec.DecodeError:
        return None
    return pieces if pieces.sound(n_chars) else None
