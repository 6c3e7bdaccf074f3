"""Who holds a reservation: a process named so that no other one is taken for it, here or on another machine.

A number is a process only within a PID namespace (a container has its own), within a boot, on a machine. Where two
machines or containers share a ledger, what cannot be looked at from here is `ELSEWHERE`: neither alive nor dead.

Not psutil: importing it takes 45 ms, all of this 50 microseconds; its start times move with the clock (they are counted
from the boot's time of day: a corrected clock would declare running processes dead), and it names no boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

__all__ = ["Holder", "Process", "boot_id", "host", "look", "this_process"]


class Holder(Enum):
    """What is known of a process."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"
    """It ran on another machine or in another container: from here it cannot be told whether it still does."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number, when it started, and where that number means something; all as the system spells them.

    Attributes
    ----------
    host
        The machine: its name, and a digest of its id where it has one. None in rows of older ledgers.
    namespace
        The PID namespace. None in rows of older ledgers, and where the system has none.
    """

    pid: int
    started: str | None
    boot_id: str | None
    host: str | None = None
    namespace: str | None = None


def _fields(stat: bytes) -> str | None:
    """Return the start time from the text of /proc/N/stat; None of a zombie: its reservation will not be settled."""
    # The command name stands in brackets and may hold anything; the start time is the 22nd field.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _started(pid: int) -> str | None:
    """Return when a process started, as the system spells it, or None when it is not there (or cannot be seen).

    Raises
    ------
    FileNotFoundError
        If the system has neither /proc nor ps (Windows).
    """
    try:
        return _fields(Path(f"/proc/{pid}/stat").read_bytes())
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return None
    # No /proc (macOS, BSD): ps says when it started, to the second.
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.strip() or None


@cache
def boot_id() -> str | None:
    """Return what names this boot of the machine, or None where the system has no such name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        pass
    try:
        done = subprocess.run(
            ["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False, timeout=10
        )
    except OSError:
        return None
    return done.stdout.strip() or None


@cache
def host() -> str:
    """Return what names this machine: its name, and a digest of its id where it has one.

    The id alone will not do: machines that were cloned from one image share it. Nor will the name.
    """
    digest = ""
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            if found := Path(name).read_bytes().strip():
                digest = "/" + hashlib.sha256(b"scrimp " + found).hexdigest()[:12]  # the id itself is to stay private
                break
    node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME")
    return (node or "unnamed") + digest


def _namespace() -> str | None:
    """Return the PID namespace that this process lives in, or None where the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


@cache
def this_process() -> Process:
    """Name the running process; one that is forked names itself anew."""
    pid = os.getpid()
    try:
        # By `self`: in a namespace of its own whose /proc is still that of another one, its number is not that of
        # its folder.
        started = _fields(Path("/proc/self/stat").read_bytes())
    except OSError:
        try:
            started = _started(pid)
        except FileNotFoundError:
            started = None
    return Process(pid, started, boot_id(), host(), _namespace())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=this_process.cache_clear)


def look(process: Process) -> Holder:
    """Tell what is known of a process; a number used again by another process counts as dead."""
    if process.boot_id != boot_id():
        # Another boot of this machine is over. That of another machine may go on; rows of older ledgers name none.
        return Holder.DEAD if process.host in (None, host()) else Holder.ELSEWHERE
    if process.boot_id is None and process.host not in (None, host()):
        return Holder.ELSEWHERE
    if process.namespace not in (None, _namespace()) or not _sees_its_own():
        return Holder.ELSEWHERE
    try:
        started = _started(process.pid)
    except FileNotFoundError:
        return Holder.ALIVE if process.pid == os.getpid() else Holder.ELSEWHERE
    alive = started is not None and (process.started is None or started == process.started)
    return Holder.ALIVE if alive else Holder.DEAD


def _sees_its_own() -> bool:
    """Tell whether the numbers in /proc are those of our own namespace."""
    try:
        return Path("/proc/self").readlink() == Path(str(os.getpid()))
    except OSError:
        return True  # there is none: `ps` goes by our own
