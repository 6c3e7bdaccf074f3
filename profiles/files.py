"""Files of one's own: private from birth, replaced whole or not at all, and held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from .errors import ConfigError
from .paths import make_private_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["NO_FOLLOW", "hold", "kind_of_file", "new_file", "replacing", "store_own", "sync_folder", "unfinished"]


NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
"""For `os.open`: refuse a symbolic link. Windows, where few may make one, has no such flag."""


def new_file(path: Path, *, mode: int = 0o600) -> BinaryIO:
    """Make a file that is private from birth, and open it for writing.

    Raises
    ------
    FileExistsError
        If there is one, or a symbolic link.
    OSError
        If it cannot be made.
    """
    # A large buffer: an output may have millions of short lines.
    return open(path, "xb", 1 << 20, opener=lambda name, flags: os.open(name, flags | NO_FOLLOW, mode))


def unfinished(path: Path) -> Path:
    """Return where `replacing` writes: a kill leaves it there until the next writer clears it away."""
    return path.with_name(f".{path.name}.unfinished")


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Give a file to write to beside `path`, which takes its place on disk at the end of the block.

    An error, in the block or here, leaves what was there. Two writers of one path are kept apart by their caller.

    Parameters
    ----------
    mode
        Of the new file; the umask applies.

    Raises
    ------
    OSError
        If it cannot be written, or what is there is neither a file nor a symbolic link (which is replaced itself).
    """
    _refuse_special(path)
    part = unfinished(path)
    part.unlink(missing_ok=True)
    try:
        with new_file(part, mode=mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_special(path)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def kind_of_file(path: Path) -> str:
    """Return in words what is there: "a device", "a named pipe"."""
    mode = path.stat().st_mode
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket", stat.S_ISREG: "a file"}
    return next((kind for test, kind in kinds.items() if test(mode)), "a device")


def _refuse_special(path: Path) -> None:
    """Raise OSError where a file must not take the place of what is there: `/dev/null` would be gone for everybody."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, f"it is {kind_of_file(path)}", str(path))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk; Windows opens no folder, and writes names by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def hold(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file (0600; it stays there) while a block runs; the kernel frees it however the process ends.

    Raises
    ------
    TimeoutError
        If another process holds it, and it is not waited for.
    OSError
        If it cannot be opened, is a symbolic link, or lies where there are no locks.
    """
    from filelock import FileLock  # 50 ms: only what makes or changes something pays them

    # Without locks of the system's own there is no soft one instead: that would outlive a process that was killed.
    with FileLock(lock, mode=0o600, blocking=wait, poll_interval=0.01, fallback_to_soft=False):
        yield


def store_own(path: Path, data: bytes) -> None:
    """Put a file of the user's own in its place, whole or not at all, readable by its owner only.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    try:
        make_private_dir(path.parent)
        with hold(path.with_name(".lock")), replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
