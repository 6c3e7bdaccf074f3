"""When standard input is read, and when it belongs to somebody else.

With no prompt argument, scrimp is a filter and reads all of it. With one, it reads only what was meant for it: a file
from its start, or a pipe that has data and is not shared with the shell that called us. In `while read x; do scrimp ask
"$x"; done` the loop's input is our standard input too, and reading it would eat the loop's remaining lines: there the
calling shell holds the same pipe, or has already read a part of the same file.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path
from typing import Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.clean import MAX_PROMPT_BYTES, clean_text

from .result import say

__all__ = ["read_stdin"]

FIRST_BYTE_S: Final = 1.0
"""How long a pipe that goes with a prompt argument may stay silent before we go on without it."""

IDLE_S: Final = 30.0
"""How long it may stay silent in the middle; what it sent before would be half a text, so that is an error."""

_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "fish", "ksh", "mksh", "ash", "busybox"})
_PASSERS: Final = 6
"""How many callers are looked at: `uv run`, `env`, `time` and the like hand their standard input on."""


def read_stdin(*, has_prompt: bool, explicit: bool, quiet: bool = False) -> str | None:
    """Return the text of standard input, or None where there is none for us.

    Parameters
    ----------
    has_prompt
        A prompt stands on the command line.
    explicit
        `-` was given: standard input is meant, whatever it is.
    quiet
        Do not say why standard input was left alone.

    Raises
    ------
    UsageError
        If nothing was given at all, the input is too large or not text, or it stops in the middle without ending.
    """
    fd = _fd()
    if fd is None:
        return None
    if os.isatty(fd):
        if explicit:
            return clean_text(_read_all(fd), what="standard input")
        return None
    if not has_prompt or explicit:
        return clean_text(_read_all(fd), what="standard input")
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        if os.lseek(fd, 0, os.SEEK_CUR) > 0:
            return None  # somebody has read a part of it: it is their input, not ours
        return clean_text(_read_all(fd), what="standard input") or None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return None  # /dev/null and other devices
    if _shell_reads(fd):
        # A loop's input, or a wrapper script's: only the user knows. Nothing is taken unasked, or left out unsaid.
        if not quiet and _ready(fd, 0.0):
            say("standard input is the calling shell's too: not read (give - to read it, or -q for silence)")
        return None
    if not _ready(fd, FIRST_BYTE_S):
        if not quiet:
            say("standard input is open but silent: not read (give - to wait for it)")
        return None
    return clean_text(_read_all(fd, idle_s=IDLE_S), what="standard input") or None


def _fd() -> int | None:
    try:
        fd = sys.stdin.fileno()
        os.fstat(fd)
    except (OSError, ValueError, AttributeError):
        return None
    return fd


def _ready(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


def _read_all(fd: int, idle_s: float | None = None) -> bytes:
    parts: list[bytes] = []
    n = 0
    while True:
        if idle_s is not None and not _ready(fd, idle_s):
            raise UsageError(
                f"standard input went silent for {idle_s:.0f} s after {n:,} bytes, without ending",
                hint="Give - as the prompt's last word to wait for it, or < /dev/null to leave it out.",
            )
        part = os.read(fd, 1 << 20)
        if not part:
            return b"".join(parts)
        n += len(part)
        if n > MAX_PROMPT_BYTES:
            raise UsageError(f"standard input is over {MAX_PROMPT_BYTES // 1024 // 1024} MB: no model reads that much")
        parts.append(part)


def _shell_reads(fd: int) -> bool:
    """Tell whether the shell that called us has the same pipe as its own standard input (Linux; False elsewhere)."""
    try:
        ours = Path(f"/proc/self/fd/{fd}").readlink()
        pid = os.getppid()
        for _ in range(_PASSERS):
            if pid <= 1 or Path(f"/proc/{pid}/fd/0").readlink() != ours:
                return False
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() in _SHELLS:
                return True
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            pid = int(fields[1])
    except (OSError, ValueError, IndexError):
        pass
    return False
