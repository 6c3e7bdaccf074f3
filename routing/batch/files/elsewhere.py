"""Places that are no file of this machine's as it stands: URLs, and Parquet."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scrimp.profiles.errors import UsageError

__all__ = ["Location", "is_elsewhere", "is_parquet", "is_url", "located", "reason", "shown"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Location:
    """Where something is: a file system of pyarrow's, and a path in it.

    Attributes
    ----------
    local
        It is on this machine.
    """

    system: Any
    path: str
    local: bool


def is_url(given: str) -> bool:
    """Tell whether something is a URL: two letters or more, then `://`."""
    return _URL.match(given) is not None


def is_parquet(given: str) -> bool:
    """Tell whether a name is that of a Parquet file."""
    return given.lower().endswith((".parquet", ".pq"))


def is_elsewhere(given: str) -> bool:
    """Tell whether something can be read or written with `--on ray` only."""
    return is_url(given) or is_parquet(given)


def located(given: str) -> Location:
    """Return where a path or URL is: by pyarrow's own file systems, else by those of fsspec.

    Raises
    ------
    UsageError
        If it is a URL of a kind that nothing here reads.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

    if not is_url(given):
        return Location(LocalFileSystem(), str(Path(given).absolute()), local=True)
    try:
        system, path = FileSystem.from_uri(given)
        return Location(system, path, local=isinstance(system, LocalFileSystem))
    except (ArrowException, OSError, ValueError) as error:
        why = reason(error)
        if "Unrecognized filesystem" not in why:
            raise UsageError(f"cannot reach {given}: {why}") from None
    import fsspec

    try:
        with contextlib.suppress(ValueError):  # no such protocol
            other, path = fsspec.core.url_to_fs(given)
            return Location(PyFileSystem(FSSpecHandler(other)), path, local=False)
    except (ImportError, OSError) as error:
        why = reason(error)
    raise UsageError(f"cannot reach {given}: {why}")


def shown(given: str, path: str) -> str:
    """Return what messages call a file that a path, folder or URL stands for."""
    if not is_url(given):
        return path
    scheme = given.partition("://")[0]
    return f"{scheme}://{path}"


def reason(error: BaseException) -> str:
    """Return the first line of what an error says."""
    text = getattr(error, "strerror", None) or str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)[:300]
