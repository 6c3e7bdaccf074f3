"""What `scrimp doctor` says of the resident process."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version

from scrimp.routing.reports.health import Finding
from scrimp.routing.text.in_words import counted

from .client import PATIENCE_S, Connection
from .starting import status, why_not
from .where import socket_path

__all__ = ["look"]

_WHAT = "resident process"


def look() -> Finding:
    """Return whether one runs for this home; that none does is fine, that one is of no use is not."""
    path = socket_path()
    if path is None or not os.path.exists(path):  # noqa: PTH110
        why = None if path is None else why_not(path)
        if why is None:
            return Finding(_WHAT, "ok", "none runs")
        return Finding(_WHAT, "note", f"none runs; the last one could not start: {why}", "scrimp resident start")
    found = status()
    if found is None:
        return _of_no_use(path)
    age = f"{found.pid}, for {found.age_s:,} s, {counted(found.n_served, 'command')}"
    if found.current:
        return Finding(_WHAT, "ok", f"{age}, scrimp {version('scrimp')}")
    return Finding(_WHAT, "note", f"{age}, out of date: it leaves with the next command", "scrimp resident restart")


def _of_no_use(path: str) -> Finding:
    """Tell a socket that a killed process has left from one whose process hangs."""
    connection = Connection(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        connection.socket.settimeout(PATIENCE_S)
        connection.socket.connect(path)
        pid = connection.peer()[0]
    except OSError:
        what = f"none runs, and {path} was left by one that was killed"
        return Finding(_WHAT, "note", what, "scrimp resident start: it is replaced")
    finally:
        connection.close()
    what = f"{pid or path} does not answer: each command waits {PATIENCE_S:.0f} s for it"
    end = f"kill -9 {pid}" if pid else f"End the process that listens at {path}"
    return Finding(_WHAT, "problem", what, f"{end}: what it runs goes on.")
