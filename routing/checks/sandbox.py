"""Processes for checks that run something: a command, unit tests, a pattern that could backtrack for ever.

Every such process has a time-out, its own process group (killed whole, whatever it forked), and an output that is
read to a limit and no further. What runs in a Python of its own (`inside`) also gets limits on memory, CPU, processes
and files, an empty environment and a folder that is removed; code that a model wrote is shut in besides (`confine`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.keys import known_secrets
from scrimp.routing.text.sanitize import scrub

from .base import SHOWN
from .confine import Held

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from .base import Outcome

__all__ = ["Ran", "confinement", "last_line", "run_apart", "run_python", "search_apart", "validate_apart"]

_START_S: Final = 2.0
MAX_PROCESSES: Final = 256
"""A command that has more processes at a time has failed: it forks without end."""

MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""A command that prints more has failed: it is not going to stop."""

_KEPT_BYTES: Final = 16 * 1024
_COUNT_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Ran:
    """How a process ended.

    Attributes
    ----------
    code
        Its exit status, below 0 for a signal; None where it was killed: for time, output, or number of processes.
    tail
        The end of what it printed, stdout and stderr together.
    """

    code: int | None
    tail: str
    too_long: bool = False
    too_much: bool = False
    too_many: bool = False


def run_apart(
    command: Sequence[str],
    *,
    data: bytes,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_processes: int = MAX_PROCESSES,
) -> Ran:
    """Run a command in a process group of its own, with bytes on its standard input; then kill what is left of it.

    It is killed if it takes too long, prints too much, or has too many processes (counted where there is a /proc).

    Raises
    ------
    OSError
        If it cannot be started.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data)
        stdin.seek(0)
        process = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if env is None else dict(env),
            cwd=cwd,
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    deadline = time.monotonic() + timeout_s
    tail, n_bytes = bytearray(), 0
    too_long = too_much = too_many = False
    count_at = time.monotonic() + _COUNT_EVERY_S
    try:
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            open_ = True
            while True:
                ended = process.poll() is not None
                if open_ and selector.select(0.0 if ended else 0.02):
                    piece = process.stdout.read(65_536)
                    if piece:
                        n_bytes += len(piece)
                        tail += piece
                        del tail[:-_KEPT_BYTES]
                    elif piece == b"":
                        open_ = False
                    if n_bytes > MAX_OUTPUT_BYTES:
                        too_much = True
                        break
                elif ended:
                    break  # what it forked may still hold the pipe: it is killed below, not waited for
                elif not open_:
                    time.sleep(0.005)
                now = time.monotonic()
                if now > deadline:
                    too_long = True
                    break
                if now > count_at:
                    if _n_processes(process.pid) > max_processes:
                        too_many = True
                        break
                    count_at = time.monotonic() + _COUNT_EVERY_S
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # Windows: what it started is left
                process.kill()
        process.stdout.close()
        process.wait()
    text = bytes(tail).decode("utf-8", "replace")
    cut = too_long or too_much or too_many
    return Ran(None if cut else process.returncode, text, too_long, too_much, too_many)


def _n_processes(group: int) -> int:
    """Return how many processes a group has; 0 where that cannot be told."""
    count = 0
    with contextlib.suppress(OSError):
        for each in Path("/proc").iterdir():
            if each.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    count += int((each / "stat").read_bytes().rpartition(b")")[2].split()[2]) == group
    return count


def last_line(text: str) -> str:
    """Return the last line that is not blank, without secrets, shortened to what is shown.

    Secrets go before the line is taken: of a private key, say, a line alone does not look like one.
    """
    text = scrub(text, known_secrets())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:SHOWN] if lines else ""


def _limits(timeout_s: float, memory_mb: int) -> dict[str, int]:
    return {
        "RLIMIT_AS": memory_mb * 1024 * 1024,
        "RLIMIT_CPU": max(1, round(timeout_s)),
        "RLIMIT_NPROC": 64,
        "RLIMIT_FSIZE": 16 * 1024 * 1024,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }


def run_python(what: str, job: Mapping[str, object], *, timeout_s: float, memory_mb: int = 512) -> Ran:
    """Run a job of `inside` in a Python of its own, with limits, a minimal environment and a temporary folder."""
    full = {**job, "what": what, "limits": _limits(timeout_s, memory_mb)}
    data = json.dumps(full).encode("utf-8", "replace")
    with tempfile.TemporaryDirectory(prefix="scrimp-check-", ignore_cleanup_errors=True) as folder:
        env = {"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-I", "-X", "utf8", "-m", f"{__package__}.inside"]
        return run_apart(command, data=data, timeout_s=timeout_s, env=env, cwd=folder)


def confinement() -> Held:
    """Return what this system keeps of code that a check runs, as a process found that was shut in."""
    ran = run_python("confine", {}, timeout_s=10.0)
    try:
        files, calls = json.loads(ran.tail)
    except ValueError:
        return Held(False, False)
    return Held(bool(files), bool(calls))


def search_apart(pattern: re.Pattern[str], text: str, *, timeout_s: float) -> bool | None:
    """Return whether a pattern is found, searched for in a process of its own; None where that took too long."""
    job = {"pattern": pattern.pattern, "flags": pattern.flags, "text": text}
    ran = run_python("search", job, timeout_s=timeout_s)
    return None if ran.code != 0 else ran.tail == "1"


def validate_apart(schema: Mapping[str, Any], text: str, *, timeout_s: float) -> tuple[Outcome, str] | None:
    """Return what `schema_verdict` says, worked out in a process of its own; None where that took too long."""
    # The process imports what validates before it begins, which on a busy machine takes longer than it should.
    ran = run_python("schema", {"schema": dict(schema), "text": text}, timeout_s=timeout_s + _START_S)
    if ran.too_long or (ran.code is not None and ran.code < 0):
        return None
    try:
        outcome, said = json.loads(ran.tail.splitlines()[-1])
    except (ValueError, IndexError):
        return "abstain", f"the schema could not be held against the answer: {last_line(ran.tail)}"
    return outcome, said
