"""What stands in files of its own: texts of an arm (`system = "file:careful.md"`), a folder of them, lists of names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .building import dotted
from .errors import ConfigError
from .files import kind_of_file
from .reading import read_bytes
from .schema import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .layers import Source

__all__ = ["TEXTS", "place_examples", "place_pool", "read_names", "read_texts"]

TEXTS: Final = ("system", "prompt", "about")
"""Keys of an arm that may name a file."""

_MARK: Final = "file:"
_MAX_NAME: Final = 200
_MAX_BYTES: Final = 4 * MAX_TEXT
"""A character of UTF-8 has four bytes at most."""


def read_texts(arms: Mapping[str, dict[str, Any]], source: Source, folder: Path) -> None:
    """Put the texts that arms name as files in the place of the names.

    Parameters
    ----------
    arms
        Tables of arms by name, as one file states them; they are changed.
    folder
        Where that file lies: names are read from there.

    Raises
    ------
    ConfigError
        If a text is missing, cannot be read, is no UTF-8, too long, or empty: it names the profile's line and the text.
    """
    for name, arm in arms.items():
        for key in TEXTS:
            stated = arm.get(key)
            if isinstance(stated, str) and stated.startswith(_MARK):
                path = ("arms", name, key)
                arm[key] = _read(stated.removeprefix(_MARK), folder, f"{source.at(path)}: {dotted(path)}")


def read_names(table: Mapping[str, Any], source: Source, folder: Path) -> None:
    """Put the names that stand in files, one a line, in the place of the files' names (`guard.names`).

    Empty lines are passed over, and those that begin with #.

    Parameters
    ----------
    table
        A file's tables; they are changed.
    folder
        Where that file lies: names are read from there.

    Raises
    ------
    ConfigError
        If a list is missing, cannot be read, or holds no name, or a line of it is too long to be one: it names the
        profile's line and the list's.
    """
    guard = table.get("guard")
    stated = guard.get("names") if isinstance(guard, dict) else None
    if not isinstance(guard, dict) or not isinstance(stated, list):
        return
    path = ("guard", "names")
    found: list[Any] = []
    for each in stated:
        if not (isinstance(each, str) and each.startswith(_MARK)):
            found.append(each)
            continue
        at = f"{source.at(path)}: {dotted(path)}"
        name = each.removeprefix(_MARK)
        lines = [line.strip() for line in _read(name, folder, at).split("\n")]
        names = [line for line in lines if line and not line.startswith("#")]
        long = next((n for n, line in enumerate(lines, 1) if len(line) > _MAX_NAME), None)
        if long is not None:
            raise ConfigError(f"{at}: {folder / name}:{long}: a name has {_MAX_NAME} characters at most")
        if not names:
            raise ConfigError(f"{at}: {folder / name}: there is no name in it")
        found += names
    guard["names"] = found


def place_pool(table: Mapping[str, Any], folder: Path) -> None:
    """Give a pool's folder its whole path: a file states it from where it lies itself.

    Parameters
    ----------
    table
        A file's tables; they are changed.
    folder
        Where that file lies.
    """
    _place(table.get("pool"), "folder", folder)


def place_examples(table: Mapping[str, Any], folder: Path) -> None:
    """Give the files of examples that guards go by their whole paths, as `place_pool`."""
    guard = table.get("guard")
    if isinstance(guard, dict):
        for kind in ("scope", "unsafe"):
            _place(guard.get(kind), "examples", folder)


def _place(table: object, key: str, folder: Path) -> None:
    """Give what a table names as a file or folder its whole path; what is no name is left for the schema to refuse."""
    stated = table.get(key) if isinstance(table, dict) else None
    if isinstance(table, dict) and isinstance(stated, str) and stated:
        with contextlib.suppress(RuntimeError):  # a home folder that nobody knows: it is not found later
            stated = str(Path(stated).expanduser())
        table[key] = os.path.normpath((folder / stated).absolute())


def _read(name: str, folder: Path, at: str) -> str:
    """Return the text of a file, without the end of its last line."""
    if not name.strip():
        raise ConfigError(f"{at}: file: names no file", hint=f'Write "{_MARK}NAME", relative to this profile.')
    try:
        path = folder / Path(name).expanduser()
        data = None if path.exists() and not path.is_file() else read_bytes(path, limit=_MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{at}: there is no file {folder / name}") from None
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; a home folder that nobody knows
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{at}: {folder / name} cannot be read: {why}") from None
    if data is None:  # a pipe that nobody writes to would be read for ever
        raise ConfigError(f"{at}: {path} cannot be read: it is {kind_of_file(path)}")
    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{at}: {path}:{line}: not UTF-8: byte 0x{data[error.start]:02x}") from None
    if not text.strip():
        raise ConfigError(f"{at}: {path} is empty")
    if "\0" in text:
        raise ConfigError(f"{at}: {path}: there is a NUL byte")
    if len(text) > MAX_TEXT:
        raise ConfigError(f"{at}: {path} has {len(text):,} characters: {MAX_TEXT:,} are the most")
    return text
