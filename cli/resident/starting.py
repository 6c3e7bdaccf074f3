"""Starting a resident process: asked for, or by itself after a command that would have gained by one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from .where import socket_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Status", "spawn", "start_for_next", "status", "stop", "wait_until_ready", "why_not"]

_NOT_AGAIN_S: Final = 24 * 3600.0
"""How long none is started by itself where one could not be."""

_STARTS: Final = 60.0
_STOPS: Final = 10.0


class Status:
    """What a resident says of itself.

    Attributes
    ----------
    pid, age_s, n_served
        Its process, seconds since it was ready, and commands so far.
    rss_mb, pss_mb, fork_mb
        Memory in megabytes (10^6 bytes): resident, its share of what is shared, and what a fork of it has of its own.
    current
        Whether what it has loaded is what is installed.
    """

    def __init__(self, words: list[str]) -> None:
        self.pid, self.age_s, self.n_served = (int(word) for word in words[:3])
        self.rss_mb, self.pss_mb, self.fork_mb = (round(int(word) * 1024 / 1e6, 1) for word in words[3:6])
        self.current = words[6] == "current"


def status() -> Status | None:
    """Return what the resident of this home says of itself; None where there is none that answers."""
    from .client import connect

    path = socket_path()
    if path is None:
        return None
    try:
        connection = connect(path)
        try:
            connection.ask({"kind": "status"})
            word, *rest = connection.hear()
        finally:
            connection.close()
    except OSError:
        return None
    return Status(rest) if word == "status" else None


def spawn(embedding: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a resident process of its own session, with none of this one's keys, files or terminal.

    Parameters
    ----------
    env
        The environment that commands will have: this process's own as it began, before libraries wrote into it.
    """
    from .seen import environment_to_load_in

    return subprocess.Popen(
        [sys.executable, "-m", "scrimp.cli.resident", embedding],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment_to_load_in(env),
        cwd="/",
        start_new_session=True,
    )


def wait_until_ready(process: subprocess.Popen[bytes]) -> Status | None:
    """Return a started resident's status once it answers; None where it has given up, or does not answer for long."""
    deadline = time.monotonic() + _STARTS
    while time.monotonic() < deadline:
        if (found := status()) is not None:
            return found
        if process.poll() is not None and (process.returncode or status() is None):
            return None
        time.sleep(0.05)
    return None


def stop(found: Status) -> bool:
    """Have a resident take no more commands, and leave when those under way are done; return whether it does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)
    path = socket_path()
    deadline = time.monotonic() + _STOPS
    while path is not None and os.path.exists(path):  # noqa: PTH110
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def why_not(path: str) -> str | None:
    """Return why the last resident of a socket's path could not be; None where nothing is known."""
    from .server import note_file

    try:
        return note_file(path).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def start_for_next(env: Mapping[str, str]) -> None:
    """After a command that people wait for: start a resident for the next one, if that is wanted here.

    The answer is out: nothing that goes wrong here is of interest to anybody.

    Parameters
    ----------
    env
        The environment as this process began.
    """
    with contextlib.suppress(Exception):
        path = socket_path()
        if path is None or not _wanted(path):
            return
        spawn(_embedding(), env)


def _wanted(path: str) -> bool:
    env: Any = os.environ
    if env.get("CI") or env.get("SCRIMP_RESIDENT") == "0" or env.get("SCRIMP_DEBUG"):
        return False
    session = sys.modules.get("scrimp.cli.session")
    profile = None if session is None else session.in_use
    if profile is None or profile.resident.start == "off":
        return False
    client = sys.modules.get("scrimp.cli.resident.client")
    if os.path.exists(path) and not (client is not None and client.left):  # noqa: PTH110
        return False
    from .server import note_file

    note: Path = note_file(path)
    with contextlib.suppress(OSError):
        return time.time() - note.stat().st_mtime > _NOT_AGAIN_S
    return True


def _embedding() -> str:
    session = sys.modules["scrimp.cli.session"]
    return str(session.in_use.embedding.model)
