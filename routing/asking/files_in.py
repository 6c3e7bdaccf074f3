"""Files that go with a prompt: found by name, folder and pattern, each read once, with its text."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from scrimp.profiles import reading
from scrimp.profiles.errors import TryAgainError, UsageError
from scrimp.routing.prompts.sources import Source
from scrimp.routing.text.clean import MAX_PROMPT_BYTES
from scrimp.routing.text.first_bytes import LOOKED_AT
from scrimp.routing.text.kinds.kind import NoTextError
from scrimp.routing.text.kinds.pick import no_text, text_of
from scrimp.routing.text.sanitize import encodable, sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from .fetching import Fetched

__all__ = ["PIPE", "PIPED", "is_url", "limited", "read_sources"]

PIPE: Final = "-"
"""Names standard input among files."""

PIPED: Final = "standard input"
"""What it is called."""

_MAX_NOTES: Final = 5
"""Remarks on files that are shown one by one."""

_LEFT_OUT: Final = "What is hidden, a link, or no text is left out: name such a file itself."

_T = TypeVar("_T")
_PATTERN: Final = re.compile(r"[*?\[]")


class _Found(NamedTuple):
    """A file to read.

    Attributes
    ----------
    path
        Where it is.
    depth
        How many of the last parts of its path are its name at least: those below the folder that was named, and it.
    listed
        It was found in a folder or by a pattern: where it has no text it is left out, and counted.
    fetched
        What it holds, of one that is on the web; None of a file.
    """

    path: Path
    depth: int = 1
    listed: bool = False
    fetched: Fetched | None = None


def is_url(name: str) -> bool:
    """Tell whether a name among files is one on the web."""
    return name[:8].lower().startswith(("http://", "https://"))


def read_sources(
    names: Iterable[str | os.PathLike[str]],
    *,
    tell: Callable[[str], object] = lambda _line: None,
    piped: str | None = None,
    fetch: Callable[[str], Fetched] | None = None,
) -> tuple[Source, ...]:
    """Return the files that go with a prompt, in the order in which they are named; those of a folder sorted.

    A folder is read with all folders in it; in it and by a pattern (`minutes/**/*.md`) what is hidden, a link, or no
    text is left out, and counted in a remark. A file that is named twice is read once, and an empty one is left out.

    Parameters
    ----------
    names
        Files, folders and patterns; `-` is standard input, where that was read.
    tell
        Takes a remark for the user.
    piped
        The text of standard input; None: `-` is the name of a file.
    fetch
        Fetches what a URL names (`fetching.Fetcher.text`); None: a URL is the name of a file.

    Raises
    ------
    UsageError
        If one cannot be read or holds no text, a folder or a pattern has no file, or they are too much together.
    TryAgainError
        If one changes whenever it is read.
    """
    found: list[_Found] = []
    piped_at = -1
    left = Counter[str]()
    seen: set[tuple[int, int] | str] = set()
    for given in names:
        name = os.fspath(given)
        if name == PIPE and piped is not None:
            if piped_at < 0:
                piped_at = len(found)
                found.append(_Found(Path(PIPED)))
            continue
        for each in _named(name, left) if fetch is None or not is_url(name) else _on_the_web(name, fetch, seen):
            if (same := name if each.fetched is not None else _same(each.path)) not in seen:
                seen.add(same)
                found.append(each)
    titles, notes = _titles(found), list[str]()
    sources: list[Source] = []
    texts = _texts(found, piped_at, piped or "", left, notes)
    for at, text in limited(texts, lambda each: len(each[1]), "the files of the prompt"):
        web = found[at].fetched
        name = PIPED if at == piped_at else titles[at] if web is None else web.url
        if not text.strip():
            notes.append(f"{name} is empty: left out")
            continue
        path = None if at == piped_at or web is not None else encodable(str(found[at].path.absolute()))
        sources.append(Source(name, text, path))
    without = ", ".join(f"{kind}: {n:,}" for kind, n in sorted(left.items()))
    if left and not sources:
        raise UsageError(f"there is nothing to read in what -f names; left out: {without}", hint=_LEFT_OUT)
    for note in notes[:_MAX_NOTES]:
        tell(note)
    if len(notes) > _MAX_NOTES:
        tell(f"and {len(notes) - _MAX_NOTES:,} more remarks like these")
    if left:
        tell(f"read: {len(sources):,} {'file' if len(sources) == 1 else 'files'}; left out: {without}")
    return tuple(sources)


def limited(pieces: Iterable[_T], size: Callable[[_T], int], what: str) -> Iterator[_T]:
    """Yield pieces until they are too much together.

    Raises
    ------
    UsageError
        When they are.
    """
    total = 0
    for piece in pieces:
        total += size(piece)
        if total > MAX_PROMPT_BYTES:
            raise UsageError(f"{what} are over {MAX_PROMPT_BYTES >> 20} MB together: no model reads that much")
        yield piece


# ---- which files


def _named(name: str, left: Counter[str]) -> Iterator[_Found]:
    """Yield the files that a name stands for: itself, those of a folder, those of a pattern."""
    path = Path(name)
    if not name:
        raise UsageError("-f names no file: it is empty")
    if not _exists(path) and _PATTERN.search(name):
        plain = next(at for at, part in enumerate(path.parts) if _PATTERN.search(part))
        base, parts = Path(*path.parts[:plain]), path.parts[plain:]
        matches, before = list(_matching(base, parts, left)), left.total()
        if not matches:
            raise UsageError(f"no file matches {_shown(path)}{_but(left.total() - before)}")
        for match in matches:
            yield from _below(match, base, left) if _is_folder(match) else [_listed(match, base)]
    elif _is_folder(path):
        before = left.total()
        n = 0
        for each in _below(path, path.parent if path.name else path, left):
            n += 1
            yield each
        if not n:
            n_left = left.total() - before
            hint = _LEFT_OUT if n_left else None
            raise UsageError(f"folder {_shown(path)} has no file to read{_but(n_left)}", hint=hint)
    else:
        yield _Found(path)


def _on_the_web(name: str, fetch: Callable[[str], Fetched], seen: Collection[object]) -> Iterator[_Found]:
    if name not in seen:
        fetched = fetch(name)
        yield _Found(Path(fetched.name), fetched=fetched)


def _but(n_left: int) -> str:
    return f" ({n_left:,} left out)" if n_left else ""


def _listed(path: Path, base: Path) -> _Found:
    return _Found(path, len(path.relative_to(base).parts), listed=True)


def _below(folder: Path, base: Path, left: Counter[str]) -> Iterator[_Found]:
    """Yield the files of a folder and of those in it, sorted by name; links are followed nowhere."""
    waiting = [folder]
    while waiting:
        inner = []
        for entry in _entries(waiting.pop()):
            path = Path(entry.path)
            if entry.name.startswith("."):
                left["hidden"] += 1
            elif entry.is_symlink():
                left["link"] += 1
            elif entry.is_dir():
                inner.append(path)
            elif not entry.is_file():
                left["pipe or device"] += 1
            else:
                yield _listed(path, base)
        waiting += reversed(inner)


def _matching(base: Path, parts: tuple[str, ...], left: Counter[str]) -> Iterator[Path]:
    """Yield what matches a pattern below a folder; `**` stands for any folders, also none."""
    if not parts:
        yield base
        return
    first, *rest = parts
    more = tuple(rest)
    if first == "**":
        more = more[next((at for at, part in enumerate(more) if part != "**"), len(more)) :]
        yield from _matching(base, more or ("*",), left)
        for entry in _entries(base):
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from _matching(Path(entry.path), parts, left)
    elif not _PATTERN.search(first):
        if _exists(base / first):
            yield from _matching(base / first, more, left)
    elif _is_folder(base):
        for entry in _entries(base):
            if not fnmatchcase(entry.name, first) or (more and not entry.is_dir()):
                continue
            if entry.name.startswith(".") and not first.startswith("."):
                left["hidden"] += not more
            elif entry.is_symlink():
                left["link"] += 1
            else:
                yield from _matching(Path(entry.path), more, left)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"cannot read folder {_shown(folder)}: {error.strerror}") from None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _same(path: Path) -> tuple[int, int]:
    """Return what two names of one file share.

    Raises
    ------
    UsageError
        If there is no such file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {_shown(path)}: {why}") from None
    return found.st_dev, found.st_ino


def _titles(found: list[_Found]) -> list[str]:
    """Return what each file is called to the model: the end of its path, as long as it takes to tell it apart."""
    paths = [each.path.absolute().parts for each in found]
    depth = [each.depth for each in found]
    while True:
        titles = ["/".join(parts[-n:]) for parts, n in zip(paths, depth, strict=True)]
        many = Counter(titles)
        longer = [min(len(parts), n + (many[title] > 1)) for parts, n, title in zip(paths, depth, titles, strict=True)]
        if longer == depth:
            return [_shown(title) for title in titles]
        depth = longer


def _shown(name: object) -> str:
    """Return a name as it may stand in a line: no line break, nothing that a terminal obeys."""
    return sanitize(str(name)).replace("\n", "␊").replace("\t", "␉")


# ---- their text


def _texts(
    found: list[_Found], piped_at: int, piped: str, left: Counter[str], notes: list[str]
) -> Iterator[tuple[int, str]]:
    """Yield the texts of files, each with its place."""
    for at, each in enumerate(found):
        if at == piped_at:
            yield at, piped
            continue
        try:
            raw = _bytes(each, left) if each.fetched is None else each.fetched.data
            if raw is None:
                continue
            what = _shown(each.path if each.fetched is None else each.fetched.url)
            text, more = text_of(raw, name=each.path.name, what=what)
        except NoTextError as error:
            if not each.listed:
                raise
            left["without text"] += 1
            notes.append(error.message)
            continue
        notes += more
        yield at, text


def _bytes(each: _Found, left: Counter[str]) -> bytes | None:
    """Return what a file holds; None where it was listed, and is of a kind that holds no text."""
    try:
        if each.listed:
            with each.path.open("rb") as file:
                if (kind := no_text(file.read(LOOKED_AT))) is not None:
                    left["binary" if kind == "binary" else f"binary ({kind})"] += 1
                    return None
        return reading.read_bytes(each.path)
    except reading.ChangedError as error:
        raise TryAgainError(
            f"{_shown(each.path)} {error.strerror}",
            hint="Wait until nothing writes to it, or pipe it in as it is now: tail -n 1000 FILE | scrimp ask ...",
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {_shown(each.path)}: {error.strerror}") from None
