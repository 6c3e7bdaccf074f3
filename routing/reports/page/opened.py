"""Pages of the log that a browser shows: files of the user's own in the cache's folder, which soon go again."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["clean", "forget", "new_place"]

KEPT_S: Final = 86_400.0
"""How long a page stays: a browser may be asked to load it again for some time."""

_NAMES: Final = "log-*.html"


def new_place(pages: Path, *, now: float) -> Path:
    """Return where a new page may be written; old ones are removed first.

    Parameters
    ----------
    pages
        The folder of such pages; it is made, for the user alone.
    now
        POSIX time.

    Raises
    ------
    OSError
        If the folder cannot be made.
    """
    from scrimp.profiles.paths import make_private_dir

    make_private_dir(pages)
    clean(pages, now=now)
    return pages / f"log-{secrets.token_hex(8)}.html"


def clean(pages: Path, *, now: float) -> None:
    """Remove the pages that are older than a day; one that cannot be removed stays."""
    for path in pages.glob(_NAMES):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < now - KEPT_S:
                path.unlink()


def forget(pages: Path) -> None:
    """Remove all pages: what they show is to be forgotten."""
    for path in pages.glob(_NAMES):
        path.unlink(missing_ok=True)
