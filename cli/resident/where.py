"""Where the resident process of a user's home listens, found with a few calls to the system and no imports."""

from __future__ import annotations

import os
import stat
import sys

__all__ = ["is_private", "socket_path", "takes"]

_WHOLE = frozenset({"ask", "route", "redo", "rate", "log", "spend", "report", "models", "budget"})
_PARTS = frozenset({("profile", "list"), ("profile", "show"), ("profile", "check")})
"""Commands that are taken. The others run long (batch), need the terminal for their own (keys, profile edit), or change
what the resident has loaded (refit, router)."""

_LONGEST = 40
"""Bytes of a runtime folder's path: with a name of ours the whole stays below the 104 that a socket's path may have."""


def takes(argv: list[str]) -> bool:
    """Tell whether a command line is one that the resident runs."""
    if not argv or not (argv[0] in _WHOLE or tuple(argv[:2]) in _PARTS):
        return False
    env = os.environ
    return env.get("SCRIMP_RESIDENT") != "0" and not env.get("SCRIMP_DEBUG") and "_SCRIMP_COMPLETE" not in env


def socket_path() -> str | None:
    """Return the path of the socket for this environment's home and user, or None where there can be none.

    It is named by the home's device and inode: short whatever the home is called, and the same by every name that leads
    there. The socket never lies in the home itself, which may be on a network. There is none for a home that is not
    there yet, or that belongs to somebody else (`sudo` that keeps HOME), nor where processes cannot fork (Windows).
    """
    if not hasattr(os, "fork"):
        return None
    try:
        found = os.stat(_home())  # noqa: PTH116
    except (OSError, ValueError):
        return None
    uid = os.geteuid()
    if found.st_uid != uid:
        return None
    return f"{_folder(uid)}/{found.st_dev:x}-{found.st_ino:x}.sock"


def is_private(folder: str, uid: int) -> bool:
    """Tell whether a folder is there, is no link, belongs to a user, and is open to nobody else."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _home() -> str:
    """Return the folder that the ledger is in; as `profiles.paths`, which is too slow to import here."""
    env = os.environ
    if env.get("SCRIMP_HOME"):
        return os.path.expanduser(env["SCRIMP_HOME"])  # noqa: PTH111 - pathlib takes longer than all of this
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/scrimp")  # noqa: PTH111
    base = env.get("XDG_STATE_HOME", "").strip() or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return f"{base}/scrimp"


def _folder(uid: int) -> str:
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"):
        if parent.startswith("/") and len(os.fsencode(parent)) <= _LONGEST and is_private(parent, uid):
            return f"{parent}/scrimp"
    return f"/tmp/scrimp-{uid}"  # noqa: S108 - `is_private` is asked before anything is done there
