"""The file behind an index: documents, their words (FTS5) and their vectors, in SQLite.

It is a cache: what cannot be read is thrown away and made anew, and where nothing can be written it is kept in memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.files import new_file
from scrimp.profiles.paths import make_private_dir

from .texts import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Entry", "Store", "is_damage", "word_scores"]

_VERSION: Final = 1
"""Of the tables, and of how texts are cut into pieces: a file of another is begun anew."""

_TABLES: Final = """
CREATE TABLE state (generation INTEGER NOT NULL);
INSERT INTO state VALUES (0);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, stamp TEXT NOT NULL, digest TEXT NOT NULL,
    name TEXT NOT NULL, about TEXT NOT NULL, body TEXT NOT NULL, kept TEXT NOT NULL, refused TEXT
);
CREATE TABLE vectors (document INTEGER PRIMARY KEY, head BLOB NOT NULL, middle BLOB NOT NULL);
CREATE TABLE pieces (document INTEGER PRIMARY KEY, vectors BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    name, about, body, content='documents', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
"""

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_WEIGHTS: Final = (4.0, 3.0, 1.0)
"""Of a word in name, about and body."""


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether a file is to blame, and not its place (full, read-only, busy): then it is worth making anew."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _DAMAGED


@dataclass(frozen=True, slots=True)
class Entry:
    """A document to be stored: its stamp and vectors, or why it was refused.

    Attributes
    ----------
    vectors
        `(1 + n_pieces, dim) float32`, unit length: of the head, then of the pieces of the body; None of a refused one.
    """

    document: Document
    stamp: str
    vectors: NDArray[np.float32] | None
    refused: str | None = None


class Store:
    """The tables of one index.

    Parameters
    ----------
    path
        The file (0600), made with its folder where it is missing; None keeps it in memory.

    Raises
    ------
    OSError, sqlite3.Error
        If it cannot be opened or made.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            make_private_dir(path.parent)
            with contextlib.suppress(FileExistsError):
                new_file(path).close()
        name = ":memory:" if path is None else str(path)
        self.conn = sqlite3.connect(name, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            # A kill loses nothing that was stored; what a power failure leaves is found out, and made anew.
            self.conn.execute("PRAGMA synchronous = OFF")
            self._make_tables()
        except BaseException:
            self.conn.close()
            raise

    def _make_tables(self) -> None:
        if self.version() == _VERSION:
            return
        with self.writing():
            if self.version() == _VERSION:  # another process has made them meanwhile
                return
            if self.conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("tables of another version")
            for statement in filter(str.strip, _TABLES.split(";\n")):
                self.conn.execute(statement)
            self.conn.execute(f"PRAGMA user_version = {_VERSION}")

    def version(self) -> int:
        """Return the version of the tables; 0 where there are none."""
        return int(self.conn.execute("PRAGMA user_version").fetchone()[0])

    def copy_from(self, path: Path) -> None:
        """Take over what another store's file holds, which need not be writable."""
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as other:
            other.backup(self.conn)

    def close(self) -> None:
        """Close the file."""
        self.conn.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Do what is done in a block at once or not at all."""
        self.conn.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.conn.execute("ROLLBACK")
            raise
        self.conn.execute("COMMIT")

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, entries: Sequence[Entry], gone: Iterable[str] = ()) -> None:
        """Store documents in place of those of the same keys, and take out those that are gone."""
        with self.writing():
            for key in (*(entry.document.key for entry in entries), *gone):
                self._take_out(key)
            for entry in entries:
                self._put_in(entry)
            self._touch()

    def restamp(self, stamps: Sequence[tuple[str, str]]) -> None:
        """Give documents that have not changed their new stamps: (key, stamp)."""
        with self.writing():
            self.conn.executemany("UPDATE documents SET stamp = ? WHERE key = ?", [(new, key) for key, new in stamps])
            self._touch()

    def _touch(self) -> None:
        self.conn.execute("UPDATE state SET generation = generation + 1")

    def _take_out(self, key: str) -> None:
        row = self.conn.execute("SELECT id, name, about, body, refused FROM documents WHERE key = ?", (key,)).fetchone()
        if row is None:
            return
        if row[4] is None:
            self.conn.execute(
                "INSERT INTO words (words, rowid, name, about, body) VALUES ('delete', ?, ?, ?, ?)", row[:4]
            )
        self.conn.execute("DELETE FROM vectors WHERE document = ?", row[:1])
        self.conn.execute("DELETE FROM pieces WHERE document = ?", row[:1])
        self.conn.execute("DELETE FROM documents WHERE id = ?", row[:1])

    def _put_in(self, entry: Entry) -> None:
        document = entry.document
        texts = [_storable(text) for text in (document.name, document.about, document.body)]
        row = self.conn.execute(
            "INSERT INTO documents (key, stamp, digest, name, about, body, kept, refused) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (document.key, entry.stamp, document.digest, *texts, _storable(document.kept), entry.refused),
        ).lastrowid
        if entry.refused is not None:
            return
        self.conn.execute("INSERT INTO words (rowid, name, about, body) VALUES (?, ?, ?, ?)", (row, *texts))
        if entry.vectors is not None:
            head, middle, pieces = _packed(entry.vectors)
            self.conn.execute("INSERT INTO vectors VALUES (?, ?, ?)", (row, head, middle))
            self.conn.execute("INSERT INTO pieces VALUES (?, ?)", (row, pieces))

    # -- reading ----------------------------------------------------------------------------------------------------

    def generation(self) -> int:
        """Return a number that grows with every change, whichever process makes it."""
        return int(self.conn.execute("SELECT generation FROM state").fetchone()[0])

    def listed(self) -> list[tuple[int, str, str, str, str, str, str, str | None]]:
        """Return all documents but their bodies: id, key, stamp, digest, name, about, kept, refused."""
        return self.conn.execute(
            "SELECT id, key, stamp, digest, name, about, kept, refused FROM documents ORDER BY key"
        ).fetchall()

    def vectors(self) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32]]:
        """Return the documents that have vectors: their ids, and `(n, dim) float32` of heads and of bodies' middles.

        Raises
        ------
        sqlite3.DatabaseError
            If they are not unit vectors of one length: the file is damaged.
        """
        rows = self.conn.execute("SELECT document, head, middle FROM vectors ORDER BY document").fetchall()
        dim = len(rows[0][1]) // 2 if rows else 0
        if any(len(row[at]) != 2 * dim for row in rows for at in (1, 2)):
            raise sqlite3.DatabaseError("vectors of another length")
        heads, middles = (_unpacked(b"".join(row[at] for row in rows), dim) for at in (1, 2))
        return [row[0] for row in rows], heads, middles

    def pieces(self, documents: Sequence[int], dim: int) -> tuple[NDArray[np.float32], list[int]]:
        """Return the vectors of documents' pieces in a row, `(n, dim) float32`, and where each document begins.

        Raises
        ------
        sqlite3.DatabaseError
            If one has none.
        """
        found = dict(
            self.conn.execute(
                "SELECT document, vectors FROM pieces WHERE document IN (SELECT value FROM json_each(?))",
                (json.dumps(documents),),
            )
        )
        starts, n = [], 0
        for document in documents:
            starts.append(n)
            n_bytes = len(found.get(document, b""))
            if n_bytes == 0 or n_bytes % (2 * dim):
                raise sqlite3.DatabaseError("a document without pieces")
            n += n_bytes // (2 * dim)
        return _unpacked(b"".join(found[document] for document in documents), dim), starts

    def document(self, key: str) -> Document | None:
        """Return a document; None where there is none, or it was refused.

        Raises
        ------
        sqlite3.DatabaseError
            If it is not what was stored.
        """
        row = self.conn.execute(
            "SELECT digest, key, name, about, body, kept FROM documents WHERE key = ? AND refused IS NULL", (key,)
        ).fetchone()
        if row is None:
            return None
        found = Document(*row[1:])
        if found.digest != row[0]:
            raise sqlite3.DatabaseError("a text that is not what was stored")
        return found

    def by_words(self, words: Sequence[str], n: int) -> list[tuple[int, float]]:
        """Return up to `n` documents that hold any of some words, best first: id and BM25 (more is better)."""
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        weights = ", ".join(map(str, _WEIGHTS))
        rows: list[Any] = self.conn.execute(
            f"SELECT rowid, -bm25(words, {weights}) FROM words WHERE words MATCH ? ORDER BY 2 DESC, 1 LIMIT ?",  # noqa: S608
            (query, n),
        ).fetchall()
        return [(int(row), float(score)) for row, score in rows]


def word_scores(texts: Sequence[str], words: Sequence[str]) -> list[float]:
    """Return the BM25 of each of some texts that are at hand, by their stemmed words; 0 where it has none of them."""
    found = [0.0] * len(texts)
    if not words:
        return found
    with contextlib.closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("CREATE VIRTUAL TABLE words USING fts5(said, tokenize='porter unicode61 remove_diacritics 2')")
        conn.executemany(
            "INSERT INTO words (rowid, said) VALUES (?, ?)", ((at, _storable(text)) for at, text in enumerate(texts))
        )
        query = " OR ".join(f'"{word}"' for word in words)
        for row, score in conn.execute("SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?", (query,)):
            found[row] = max(0.0, score)
    return found


def _packed(vectors: NDArray[np.float32]) -> tuple[bytes, bytes, bytes]:
    """Return what is stored of a document's vectors: head, middle of the body, pieces; of half precision."""
    import numpy as np

    body = vectors[1:] if len(vectors) > 1 else vectors
    middle = body.mean(axis=0)
    norm = np.linalg.norm(middle)
    middle = middle / norm if norm > 0 else vectors[0]
    head, middle, pieces = (each.astype("<f2").tobytes() for each in (vectors[0], middle, body))
    return head, middle, pieces


def _unpacked(data: bytes, dim: int) -> NDArray[np.float32]:
    """Return `(n, dim) float32` of half precision."""
    import numpy as np

    found = np.frombuffer(data, dtype="<f2").reshape(-1, dim or 1).astype(np.float32)
    with np.errstate(all="ignore"):
        sound = np.abs(np.einsum("ij,ij->i", found, found) - 1.0) < 0.05
    if not sound.all():
        raise sqlite3.DatabaseError("vectors that are none")
    return found


def _storable(text: str) -> str:
    """Return a text without lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode("utf-8")
