"""The files that rows are asked about: read once and shared by rows, as long as they are near each other."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.routing.asking.files_in import limited, read_sources
from scrimp.routing.prompts.sources import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from scrimp.routing.prompts.sources import Source

    from .rows import Row

__all__ = ["Shelf"]

_HELD_CHARS: Final = 32 * 1024 * 1024
"""Characters of texts that are held beside those of rows on their way: the latest."""


class Shelf:
    """Reads the files of rows, each as `ask -f` reads it: a file, a folder or a pattern.

    Of every file a digest is kept, of the latest also their texts. A file that is not any more what it was when its
    digest was taken is not read: its rows say so, since equal questions about other texts are other questions.

    Parameters
    ----------
    folder
        What the names in rows are relative to.
    common
        Files that go with every row, before its own; absolute.
    field
        The column, or key, that names a row's own, for messages.
    began
        What an earlier process of the run remembers (`to_dict`).
    tell
        Takes a remark on a file for the user.
    held_chars
        How much text is held.

    Attributes
    ----------
    n_unread
        Rows whose files cannot be read, of those that were counted.
    """

    def __init__(
        self,
        folder: Path,
        common: Iterable[Path] = (),
        *,
        field: str = "file",
        began: Mapping[str, str] | None = None,
        tell: Callable[[str], object] = lambda _line: None,
        held_chars: int = _HELD_CHARS,
    ) -> None:
        self.folder = folder
        self.common = tuple(common)
        self.field = field
        self.tell = tell
        self.n_unread = 0
        self._began = frozenset(began or {})
        self._digests: dict[str, str] = dict(began or {})
        self._sizes: dict[str, int] = {}
        self._texts: OrderedDict[str, tuple[Source, ...]] = OrderedDict()
        self._most = held_chars
        self._n_held = 0
        self._shared: Counter[bytes] = Counter()

    def __bool__(self) -> bool:
        """Whether any row that was counted has a file."""
        return bool(self._shared) or self.n_unread > 0

    def to_dict(self) -> dict[str, str]:
        """Return what a run remembers: the digest of each file, by its path."""
        return dict(self._digests)

    def names(self, row: Row) -> tuple[str, ...]:
        """Return the names of a row's files, absolute, each once."""
        return tuple(dict.fromkeys(map(str, (*self.common, *(self.folder / name for name in row.files)))))

    def count(self, row: Row) -> Row:
        """Read a row's files where they have not been read, and count it among those that ask about them.

        Returns
        -------
        Row
            It, with the digests of its files, or with why they cannot be read.
        """
        row = self._with(row, texts=False)
        if row.unread is not None:
            self.n_unread += 1
        elif row.digests:
            self._shared[_start(row)] += 1
        return row

    def fill(self, row: Row) -> Row:
        """Return a row with the texts of its files in its prompt, or with why they cannot be read."""
        row = self._with(row, texts=True)
        if not row.digests or row.unread is not None:
            return row
        n = self._shared[_start(row)]
        kept = Kept(every=(n - 1) / n) if n > 1 else None
        sources = [source for name in self.names(row) for source in self._texts[name]]
        self._forget()
        return replace(row, prompt=replace(row.prompt, sources=self._told_apart(sources), kept=kept))

    def _told_apart(self, sources: list[Source]) -> tuple[Source, ...]:
        """Return a row's files, those that are called alike by their paths."""
        called = Counter(source.name for source in sources)
        return tuple(each if called[each.name] == 1 else replace(each, name=self._path(each)) for each in sources)

    def _path(self, source: Source) -> str:
        return (source.path or source.name).removeprefix(f"{self.folder}/")

    def _with(self, row: Row, *, texts: bool) -> Row:
        names = self.names(row)
        if not names:
            return row
        try:
            for name in names:
                if texts or name not in self._sizes:
                    self._take(name)
            list(limited(names, self._sizes.__getitem__, "the files of the row"))
        except ScrimpError as error:
            field = f"{self.field}: " if row.files else ""
            return replace(row, unread=f"{field}{error.message}")
        finally:
            if not texts:
                self._forget()
        return replace(row, digests=tuple(self._digests[name] for name in names))

    def _take(self, name: str) -> None:
        """Have the texts of a file, a folder or a pattern held."""
        if name in self._texts:
            self._texts.move_to_end(name)
            return
        new = name not in self._sizes
        sources = read_sources([name], tell=self.tell if new else lambda _line: None)
        digest = sources[0].sha256 if len(sources) == 1 else _joint(sources)
        if self._digests.setdefault(name, digest) != digest:
            since = "began" if name in self._began else "was planned"
            raise UsageError(f"{name} has changed since the run {since}: it is not what other rows were asked about")
        self._sizes[name] = sum(len(source.text) for source in sources)
        self._texts[name] = sources
        self._n_held += self._sizes[name]

    def _forget(self) -> None:
        """Let go of the texts that were not asked for the longest."""
        while self._n_held > self._most and len(self._texts) > 1:
            name, _ = self._texts.popitem(last=False)
            self._n_held -= self._sizes[name]


def _joint(sources: Iterable[Source]) -> str:
    """Return one digest for the files of a folder or a pattern."""
    return hashlib.sha256("\n".join(f"{each.sha256} {each.name}" for each in sources).encode()).hexdigest()


def _start(row: Row) -> bytes:
    """Return what is equal for rows whose calls begin alike, with the same files."""
    turns = [[turn.prompt, turn.answer] for turn in row.prompt.history]
    what: list[Any] = [row.prompt.told, turns, row.digests]
    return hashlib.sha256(json.dumps(what).encode()).digest()[:16]
