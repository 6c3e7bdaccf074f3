"""The files that rows are asked about: read once and shared by rows, as long as they are near each other."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.routing.asking.compose import read_sources
from scrimp.routing.prompts.sources import Kept
from scrimp.routing.text.clean import MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scrimp.routing.prompts.sources import Source

    from .rows import Row

__all__ = ["Shelf"]

_HELD_CHARS: Final = 32 * 1024 * 1024
"""Characters of texts that are held beside those of rows on their way: the latest."""


class Shelf:
    """Reads the files of rows.

    Of every file a digest is kept, of the latest also their texts. A file that is not any more what it was when its
    digest was taken is not read: its rows say so, since equal questions about other texts are other questions.

    Parameters
    ----------
    folder
        What the paths in rows are relative to.
    common
        Files that go with every row, before its own; absolute.
    field
        The column, or key, that names a row's own, for messages.
    began
        What an earlier process of the run remembers (`to_dict`).
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
        held_chars: int = _HELD_CHARS,
    ) -> None:
        self.folder = folder
        self.common = tuple(common)
        self.field = field
        self.n_unread = 0
        self._began = frozenset(began or {})
        self._digests: dict[str, str] = dict(began or {})
        self._sizes: dict[str, int] = {}
        self._texts: OrderedDict[str, Source] = OrderedDict()
        self._most = held_chars
        self._n_held = 0
        self._shared: Counter[bytes] = Counter()

    def __bool__(self) -> bool:
        """Whether any row that was counted has a file."""
        return bool(self._shared) or self.n_unread > 0

    def to_dict(self) -> dict[str, str]:
        """Return what a run remembers: the digest of each file, by its path."""
        return dict(self._digests)

    def paths(self, row: Row) -> tuple[Path, ...]:
        """Return the files of a row, absolute, each once."""
        return tuple(dict.fromkeys((*self.common, *(self.folder / name for name in row.files))))

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
        sources = tuple(self._texts[str(path)] for path in self.paths(row))
        row = replace(row, prompt=replace(row.prompt, sources=sources, kept=kept))
        self._forget()
        return row

    def _with(self, row: Row, *, texts: bool) -> Row:
        paths = self.paths(row)
        if not paths:
            return row
        try:
            for path in paths:
                if texts or str(path) not in self._sizes:
                    self._take(path)
            if sum(self._sizes[str(path)] for path in paths) > MAX_PROMPT_BYTES:
                raise UsageError(f"its files are over {MAX_PROMPT_BYTES >> 20} MB together: no model reads that much")
        except ScrimpError as error:
            field = f"{self.field}: " if row.files else ""
            return replace(row, unread=f"{field}{error.message}")
        finally:
            if not texts:
                self._forget()
        return replace(row, digests=tuple(self._digests[str(path)] for path in paths))

    def _take(self, path: Path) -> None:
        """Have the text of a file held."""
        name = str(path)
        if name in self._texts:
            self._texts.move_to_end(name)
            return
        (source,) = read_sources([path])
        if self._digests.setdefault(name, source.sha256) != source.sha256:
            since = "began" if name in self._began else "was planned"
            raise UsageError(f"{path} has changed since the run {since}: it is not what other rows were asked about")
        self._sizes[name] = len(source.text)
        self._texts[name] = source
        self._n_held += len(source.text)

    def _forget(self) -> None:
        """Let go of the texts that were not asked for the longest."""
        while self._n_held > self._most and len(self._texts) > 1:
            _, source = self._texts.popitem(last=False)
            self._n_held -= len(source.text)


def _start(row: Row) -> bytes:
    """Return what is equal for rows whose calls begin alike, with the same files."""
    turns = [[turn.prompt, turn.answer] for turn in row.prompt.history]
    what: list[Any] = [row.prompt.system, turns, row.digests]
    return hashlib.sha256(json.dumps(what).encode()).digest()[:16]
