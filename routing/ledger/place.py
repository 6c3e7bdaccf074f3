"""Whether a ledger is in its place, and what to do where it is not, or cannot be read."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import LedgerError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BESIDE", "damaged", "explain", "explain_os", "is_there", "network_file_system"]

KEPT: Final = "Nothing was sent, and no new ledger is begun: that would forget what was spent."


def is_there(path: Path) -> bool:
    """Tell whether there is a ledger's file; False only where there is nothing at all.

    Raises
    ------
    LedgerError
        If something else is in its place: a link to nothing, a folder, an empty file, one that cannot be opened.
    """
    aside = f"Put it back, or set SCRIMP_HOME to another folder. {KEPT}"
    try:
        link = path.readlink() if path.is_symlink() else None
        called = str(path) if link is None else f"{path} (a link to {link})"
        try:
            found = path.stat()
        except FileNotFoundError:
            if link is not None:
                raise LedgerError(
                    f"the ledger {path} is a link to {link}, which is not there", hint=f"Is its disk mounted? {aside}"
                ) from None
            if (name := _left_over(path)) is not None:
                raise LedgerError(
                    f"the ledger {path} is gone, and {name} is still there: the last calls are in that", hint=aside
                ) from None
            return False
        except OSError as error:
            if link is None:
                raise
            raise LedgerError(f"the ledger {called} cannot be opened: {error.strerror}", hint=aside) from None
    except OSError as error:
        raise explain_os(error, path) from None
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
        raise LedgerError(f"the ledger {called} is no file but {kind}", hint=aside)
    if found.st_size == 0:
        raise damaged(path, f"{'it' if link is None else called} is empty (a full disk leaves such files)")
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise LedgerError(
            f"the ledger {called} is on a file system that is read-only",
            hint="What cannot be logged is not sent. Mount it for writing, or set SCRIMP_HOME to another folder.",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        whose = (
            "" if not hasattr(os, "geteuid") or found.st_uid == os.geteuid() else f"; it belongs to user {found.st_uid}"
        )
        raise LedgerError(
            f"the ledger {called} may not be read and written by this user{whose}",
            hint="What cannot be logged is not sent. Give yourself the right (chown, chmod 600), or set SCRIMP_HOME.",
        )
    return True


_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of its name."""


def _left_over(path: Path) -> str | None:
    """Return what is left of a ledger whose file is gone: SQLite would take it for a part of a new one."""
    for end in BESIDE:
        name = path.with_name(path.name + end)
        if end != "-shm" and name.is_file() and name.stat().st_size > 0:
            return str(name)
    return None


def damaged(path: Path, what: str) -> LedgerError:
    """Return the error of a ledger that cannot be relied on, with what to do."""
    real = path.resolve() if path.is_symlink() else path
    aside = real.with_name(real.name + ".damaged")
    old = shlex.quote(str(real))
    # The file first: without it the rest is never taken for a part of another one (`_left_over`). `mv` goes on in
    # this order; what is not there is no matter.
    folder = shlex.quote(str(aside))
    move = f"mkdir {folder}; for end in '' {' '.join(BESIDE)}; do mv {old}$end {folder}/; done"
    return LedgerError(
        f"the ledger {path} cannot be read: {what}",
        hint=(
            "Nothing was sent. The file was left as it is, since it holds what you spent. End what uses it, move it "
            f"away with all that belongs to it ({move}), then put a backup in its place, or salvage it: umask 077; "
            f"sqlite3 {shlex.quote(str(aside / real.name))} .recover | sqlite3 {old}"
        ),
    )


def network_file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the kind of network file system that a file is on; None where it is on none, or that is not known.

    SQLite's write-ahead log needs memory that all who use the file share: on several machines it is not safe.
    """
    at, kind = "", ""
    real = f"{path.resolve()}/"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        where = fields.split(" ")[4].replace("\\040", " ").rstrip("/") + "/"
        if real.startswith(where) and len(where) >= len(at):
            at, kind = where, rest.split(" ")[0]
    return kind if kind.removeprefix("fuse.") in _NETWORK else None


_NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "gcsfuse", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "rclone",
    "s3fs", "smb3", "smbfs", "sshfs",
})  # fmt: skip


def explain(error: sqlite3.Error, path: Path, patience_s: float) -> LedgerError:
    """Say what a SQLite error means for the user."""
    text = str(error)
    if any(word in text for word in ("not a database", "malformed", "no such table", "decode to UTF-8")):
        return damaged(path, text)
    if "no such amount" in text:  # a guard of the schema
        return LedgerError(
            f"the ledger {path} does not take this: {text}", hint="Nothing was changed. Please report this."
        )
    if "locked" in text or "busy" in text:
        return LedgerError(
            f"the ledger {path} was held by another program for over {patience_s:.0f} s",
            hint="Close what holds it open (a database browser, a backup), then try again.",
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return LedgerError(
            f"the ledger {path} cannot be written: {text}",
            hint="What cannot be logged is not sent. Make the folder writable, or set SCRIMP_HOME to one that is.",
        )
    if "full" in text or "disk I/O" in text:
        return LedgerError(
            f"the ledger {path} cannot be written: {text}",
            hint="What cannot be logged is not sent. Free some space on that disk, then try again.",
        )
    return LedgerError(f"the ledger {path} failed: {text}", hint="Run `scrimp doctor`.")


def explain_os(error: OSError, path: Path) -> LedgerError:
    """Say what an error of the system means for the user."""
    return LedgerError(
        f"the ledger {path} cannot be made or opened: {error.strerror or error}",
        hint="What cannot be logged is not sent. Make the folder writable, or set SCRIMP_HOME to one that is.",
    )
