"""Which files of a folder there are, and whether they have changed since."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_FILES", "Files", "files_below"]

MAX_FILES: Final = 50_000
"""More files than this are a mistake: a home folder, or a whole disk."""


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in a folder and the folders in it.

    Attributes
    ----------
    stamps
        For each file (its path from the folder on, with /): a text that changes with it.
    links
        Symbolic links, which are not followed: they may lead out of the folder.
    closed
        Folders that cannot be read, and why.
    """

    stamps: dict[str, str]
    links: tuple[str, ...]
    closed: dict[str, str]


def files_below(folder: Path, ending: str) -> Files:
    """Return the files of a folder whose names end so (in any case); what begins with a dot is left out.

    Raises
    ------
    OSError
        If the folder itself cannot be read.
    ValueError
        If there are more than `MAX_FILES`.
    """
    stamps: dict[str, str] = {}
    links: list[str] = []
    closed: dict[str, str] = {}
    ahead = [""]
    while ahead:
        here = ahead.pop()
        try:
            entries = [*os.scandir(folder / here)]
        except OSError as error:
            if not here:
                raise
            closed[here] = error.strerror or "cannot be read"
            continue
        for entry in entries:
            name = here + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                if entry.name.lower().endswith(ending) or entry.is_dir():
                    links.append(name)
            elif entry.is_dir(follow_symlinks=False):
                ahead.append(f"{name}/")
            elif entry.name.lower().endswith(ending) and entry.is_file(follow_symlinks=False):
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # gone meanwhile
                    continue
                stamps[name] = f"{found.st_mtime_ns}:{found.st_size}:{found.st_ctime_ns}"
                if len(stamps) > MAX_FILES:
                    raise ValueError(f"more than {MAX_FILES:,} files")
    return Files(dict(sorted(stamps.items())), tuple(sorted(links)), dict(sorted(closed.items())))
