"""An index of texts by their words and by what they mean, kept in a file of the cache and brought up to date in place.

How it is used::

    index = Index.open(index_path(paths.cache, "pool", folder, embedder.id), embedder, say=say)
    index.refresh(files_below(folder, ".md").stamps, read)   # reads and embeds only what has changed
    for found in index.nearest(text, vector, 8):      # vector: the embedding of the text, unit length
        document = index.document(found.key)          # name, about, body, kept

`refresh` takes a stamp for every key (any text that changes with the document) and a function that reads one key: it
returns a `Document`, None where it has gone meanwhile, or raises a `ScrimpError`, whose message is then remembered in
`index.refused` until the stamp changes. What is at hand already: `refresh({d.key: d.digest for d in documents},
{d.key: d for d in documents}.get)`.

A damaged file is thrown away and made anew; where none can be written the index is kept in memory, with a note. Several
processes may use one file: they take turns to index, and none waits for one that makes no progress.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.files import hold

from .ranking import CANDIDATES, ranked
from .store import Entry, Store, is_damage
from .texts import Document, Found, pieces, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prompts.context import TextEmbedder

__all__ = ["Document", "Found", "Index", "Listed", "index_path"]

T = TypeVar("T")

_CHUNK: Final = 16
"""Documents that are stored at once: what a kill can lose."""

_SAY_AFTER_S: Final = 2.0
_SAY_EVERY_S: Final = 10.0
_PATIENCE_S: Final = 60.0
"""A process that indexes is waited for while it stores something within so many seconds."""


def index_path(cache: Path, kind: str, what: Path, embedder_id: str) -> Path:
    """Return the file of an index: one for each kind, folder and embedder."""
    name = hashlib.sha256(f"{what}\0{embedder_id}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache / "indexes" / f"{kind}-{name}.db"


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of a document without its body."""

    row: int
    key: str
    stamp: str
    digest: str
    name: str
    about: str
    kept: str
    refused: str | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The file's contents as of one generation: documents by key, and their vectors, a row each."""

    generation: int
    listed: dict[str, Listed]
    keys: list[str]
    ids: list[int]
    places: dict[int, int]
    heads: NDArray[np.float32]
    middles: NDArray[np.float32]


class Index:
    """Documents that can be found by a text. May be used from several threads.

    Parameters
    ----------
    store
        Where they are kept.
    embedder
        Embeds them; a file belongs to one embedder (`index_path`).
    say
        Takes a line for the user, where indexing takes long.
    what
        What documents are called there: "files".
    """

    def __init__(self, store: Store, embedder: TextEmbedder, say: Callable[[str], None], what: str) -> None:
        self._store = store
        self._embedder = embedder
        self._say = say
        self._what = what
        self._lock = threading.RLock()
        self._state: _Loaded | None = None
        self._last: tuple[Mapping[str, str], Callable[[str], Document | None]] | None = None

    @classmethod
    def open(
        cls,
        path: Path | None,
        embedder: TextEmbedder,
        *,
        say: Callable[[str], None] = lambda _line: None,
        what: str = "files",
    ) -> Index:
        """Open the index of a file, which is made where it is missing; None keeps it in memory."""
        return cls(_opened(path, say), embedder, say, what)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # -- what is in it ----------------------------------------------------------------------------------------------

    def listed(self) -> dict[str, Listed]:
        """Return every document of the last `refresh`, refused ones too, by its key."""
        with self._lock:
            return self._load().listed

    @property
    def refused(self) -> dict[str, str]:
        """Why documents could not be read, by their keys."""
        return {key: each.refused for key, each in self.listed().items() if each.refused is not None}

    def document(self, key: str) -> Document | None:
        """Return a document with its texts; None where there is none."""
        with self._lock:
            return self._safely(lambda: self._store.document(key))

    def nearest(self, text: str, embedding: NDArray[np.float32], n: int) -> list[Found]:
        """Return the documents nearest to a text, best first.

        Parameters
        ----------
        text
            Its words are looked for.
        embedding
            Of the text, by the embedder of this index: `(dim,)`, unit length.
        """
        with self._lock:
            return self._safely(lambda: self._nearest(text, embedding, n))

    def _nearest(self, text: str, embedding: NDArray[np.float32], n: int) -> list[Found]:
        state = self._load()
        by_words = self._store.by_words(terms(text), max(n, CANDIDATES))
        words = {state.places[row]: score for row, score in by_words if row in state.places}
        dim = state.heads.shape[1]

        def pieces(places: list[int]) -> tuple[NDArray[np.float32], list[int]]:
            return self._store.pieces([state.ids[at] for at in places], dim)

        found = ranked(embedding, state.heads, state.middles, words, pieces, n)
        return [Found(state.keys[each.row], each.score, each.by) for each in found]

    # -- bringing it up to date -------------------------------------------------------------------------------------

    def refresh(self, stamps: Mapping[str, str], read: Callable[[str], Document | None]) -> int:
        """Make the index hold just the documents that have a stamp; return how many were read.

        Parameters
        ----------
        stamps
            A text for each key that changes whenever the document does.
        read
            Reads one document, as the module says.
        """
        with self._lock:
            self._last = (stamps, read)
            return self._safely(lambda: self._refresh(stamps, read))

    def _refresh(self, stamps: Mapping[str, str], read: Callable[[str], Document | None]) -> int:
        if not self._stale(stamps):
            return 0
        with self._turn():
            new, gone = self._changes(stamps)
            known = self._load().listed
            progress = _Progress(self._say, self._what, len(new))
            for at in range(0, len(new), _CHUNK):
                self._index({key: stamps[key] for key in new[at : at + _CHUNK]}, known, read)
                progress.now(min(at + _CHUNK, len(new)))
            if gone:
                self._store.put((), gone)
            return len(new)

    def _stale(self, stamps: Mapping[str, str]) -> bool:
        return any(self._changes(stamps))

    def _changes(self, stamps: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the keys of documents that are new or changed, and of those that are gone."""
        listed = self._load().listed
        new = [key for key, stamp in stamps.items() if key not in listed or listed[key].stamp != stamp]
        return new, [key for key in listed if key not in stamps]

    def _index(
        self, stamps: Mapping[str, str], known: Mapping[str, Listed], read: Callable[[str], Document | None]
    ) -> None:
        """Read some documents, and store those that have changed."""
        entries: list[Entry] = []
        changed: list[Document] = []
        same, gone = [], []
        for key, stamp in stamps.items():
            try:
                document = read(key)
            except ScrimpError as error:
                entries.append(Entry(Document(key, "", "", ""), stamp, None, refused=error.message))
                continue
            if document is None:
                gone.append(key)
            elif key in known and known[key].digest == document.digest and known[key].refused is None:
                same.append((key, stamp))
            else:
                changed.append(document)
        texts = [[document.head, *pieces(document.body)] for document in changed]
        vectors = self._embedder.embed([text for those in texts for text in those])  # together: on every core
        at = 0
        for document, those in zip(changed, texts, strict=True):
            entries.append(Entry(document, stamps[document.key], vectors[at : at + len(those)]))
            at += len(those)
        if same:
            self._store.restamp(same)
        if entries or gone:
            self._store.put(entries, gone)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait while another process indexes the same file, which saves this one the work.

        Where there are no locks, or the other stands still, both index: each chunk is stored whole, so nothing breaks.
        """
        if self._store.path is None:
            yield
            return
        lock = self._store.path.with_suffix(".lock")
        since, seen, told = time.monotonic(), self._store.generation(), False
        with contextlib.ExitStack() as stack:
            while time.monotonic() - since < _PATIENCE_S:
                try:
                    stack.enter_context(hold(lock, wait=False))
                    break
                except TimeoutError:
                    pass
                except OSError:
                    break
                if not told and time.monotonic() - since > _SAY_AFTER_S:
                    self._say(f"waiting for another process that indexes the same {self._what}")
                    told = True
                time.sleep(0.1)
                if (now := self._store.generation()) != seen:
                    since, seen = time.monotonic(), now
            yield

    # -- the file ---------------------------------------------------------------------------------------------------

    def _load(self) -> _Loaded:
        """Return the file's contents, read anew where any process has changed it."""
        generation = self._store.generation()
        if self._state is None or self._state.generation != generation:
            listed = {row[1]: Listed(*row) for row in self._store.listed()}
            ids, heads, middles = self._store.vectors()
            names = {each.row: key for key, each in listed.items()}
            if any(row not in names for row in ids):
                raise sqlite3.DatabaseError("vectors of no document")
            places = {row: place for place, row in enumerate(ids)}
            self._state = _Loaded(generation, listed, [names[row] for row in ids], ids, places, heads, middles)
        return self._state

    def _safely(self, do: Callable[[], T]) -> T:
        """Do something with the file; where that fails, once more with a new one, or in memory."""
        try:
            return do()
        except sqlite3.Error as error:
            path = self._store.path
            if path is None:
                raise
            with contextlib.suppress(sqlite3.Error):
                self._store.close()
            self._state = None
            if is_damage(error):
                _throw_away(path)
                self._store = _opened(path, self._say)
            else:
                self._store = _in_memory(path, error, self._say)
            if self._last is not None:
                self._refresh(*self._last)
            return do()


@dataclass(slots=True)
class _Progress:
    """Tells how far indexing has come, where it takes longer than a moment."""

    say: Callable[[str], None]
    what: str
    total: int
    began: float = 0.0
    told: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    def now(self, done: int) -> None:
        now = time.monotonic()
        if done < self.total and now - self.began > _SAY_AFTER_S and now - self.told > _SAY_EVERY_S:
            self.say(f"indexing {self.what}: {done:,} of {self.total:,}; only changed ones are read again")
            self.told = now
        elif done == self.total and self.told:
            self.say(f"indexed {self.total:,} {self.what}")


def _opened(path: Path | None, say: Callable[[str], None]) -> Store:
    """Open a file, made anew where it is damaged; in memory where it cannot be."""
    try:
        return Store(path)
    except (OSError, sqlite3.Error) as error:
        assert path is not None  # noqa: S101 - memory can be opened
        if isinstance(error, sqlite3.Error) and is_damage(error):
            _throw_away(path)
            with contextlib.suppress(OSError, sqlite3.Error):
                return Store(path)
        return _in_memory(path, error, say)


def _throw_away(path: Path) -> None:
    """Remove a damaged file; another process that has it open goes on with what it has."""
    for each in (path, path.with_name(f"{path.name}-journal")):
        with contextlib.suppress(OSError):
            each.unlink()


def _in_memory(path: Path, error: Exception, say: Callable[[str], None]) -> Store:
    """Return a store in memory, with what an unwritable file holds."""
    memory = Store(None)
    with contextlib.suppress(OSError, sqlite3.Error):
        memory.copy_from(path)
    say(f"{path} cannot be written ({error}): the index is kept in memory, and made anew by each command")
    return memory
