"""When standard input is read, and when it belongs to somebody else.

With no prompt argument, scrimp is a filter and reads all of it. With one, it reads only what was meant for it: a stream
from its start. In `while read x; do scrimp ask "$x"; done` the loop's input is our standard input too, and reading it
would eat the loop's remaining lines. docs/decisions/0017-standard-input.md has the table.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.clean import MAX_PROMPT_BYTES

from .result import say

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_bytes", "read_stdin", "stand_for"]

FIRST_BYTE_S: Final = 1.0
"""How long a pipe that goes with a prompt argument may stay silent before it is asked who could still write to it."""

IDLE_S: Final = 30.0
"""How long it may stay silent in the middle; what it sent before would be half a text, so that is an error."""

_SETTLE: Final = "- as a word of the prompt reads it, < /dev/null leaves it out"


def read_stdin(*, has_prompt: bool, explicit: bool, quiet: bool = False) -> str | None:
    """Return the text of standard input, or None where there is none for us.

    Parameters
    ----------
    has_prompt
        A prompt stands on the command line.
    explicit
        `-` was given: standard input is meant, whatever it is.
    quiet
        Do not say what is certain. That a stream in doubt was not read is said in any case.

    Raises
    ------
    UsageError
        If nothing was given at all, the input is too large or not text, or it stops in the middle without ending.
    """
    fd = _fd()
    if fd is None:
        if explicit:
            raise UsageError("standard input is closed: - has nothing to read")
        return None
    if explicit or not (has_prompt or os.isatty(fd)):
        if os.isatty(fd) and not quiet:
            say("type the text; Ctrl-D on a line of its own ends it")
        return _text(_read_all(fd), quiet=quiet)
    if os.isatty(fd) or _null(fd):
        return None
    left = _why_left(fd)
    if left is not None:
        if (left.in_doubt or not quiet) and not _ended(fd):
            say(f"standard input {left.why}: not read ({_SETTLE})")
        return None
    if not _ready(fd, 0.0):
        if not quiet:
            say("waiting for standard input")
        _ready(fd, None)
    text = _text(_read_all(fd, idle_s=IDLE_S), quiet=quiet)
    if not text and not quiet:
        say("standard input is empty: the prompt goes alone")
    return text or None


def read_bytes() -> bytes:
    """Return what standard input holds, as it is.

    Raises
    ------
    UsageError
        If it is closed, or too large.
    """
    if (fd := _fd()) is None:
        raise UsageError("standard input is closed: - has nothing to read")
    return _read_all(fd)


def _text(raw: bytes, *, quiet: bool) -> str:
    """Return the text of what was read, as of a file; UTF-8 without more ado."""
    from scrimp.routing.text.kinds.pick import text_of

    text, notes = text_of(raw, what="standard input")
    for note in () if quiet else notes:
        say(note)
    return text


class _Left(NamedTuple):
    """Why standard input is left alone beside a prompt, and whether that may be wrong."""

    why: str
    in_doubt: bool


def _why_left(fd: int) -> _Left | None:
    """Return why standard input is not ours to read beside a prompt; None where it is."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        at = os.lseek(fd, 0, os.SEEK_CUR)
        return _Left(f"was read up to byte {at:,} by somebody else", in_doubt=False) if at else None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return _Left("is neither a file nor a pipe", in_doubt=False)
    if _caller_may_read(fd):
        # A loop's rows, or a text that is handed on to us: only the user knows. Nothing is taken unasked.
        return _Left("may be what the script that calls scrimp reads from", in_doubt=True)
    if not (_ready(fd, FIRST_BYTE_S) or _has_writer(fd)):
        return _Left("is open but silent, and no program of a pipeline writes to it", in_doubt=False)
    return None


def _fd() -> int | None:
    try:
        fd = sys.stdin.fileno()
        os.fstat(fd)
    except (OSError, ValueError, AttributeError):
        return None
    return fd


def _null(fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), Path(os.devnull).stat())
    except OSError:
        return False


def _ready(fd: int, seconds: float | None) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


def _ended(fd: int) -> bool:
    """Tell whether a pipe has no writer left, and nothing in it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    events = [event for _, event in poll.poll(0)]
    return bool(events) and not events[0] & select.POLLIN


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


# ---- who else has it (Linux; elsewhere nothing is known of other processes, and a pipe counts as ours)


def _caller_may_read(fd: int) -> bool:
    """Tell whether a program that called us has the same pipe as its standard input, and may have read from it.

    Two things are certain: a caller that has read nothing at all (a shell that was forked for a function or braces) has
    not begun with it, and one whose command line ends in ours (`timeout 9 scrimp ...`) was started to hand it on.
    """
    ours = os.fstat(fd)
    for pid in _callers():
        try:
            if not os.path.samestat(ours, Path(f"/proc/{pid}/fd/0").stat()):
                return False
        except OSError:  # gone, or another user's
            return False
        if not (_hands_on(pid) or _has_read_nothing(pid)):
            return True
    return False


def stand_for(pid: int) -> None:
    """Look from the place of another process: this one has its standard input, and runs its command line."""
    global _place  # noqa: PLW0603 - once in a fork of the resident process
    _place = pid


_place: int | None = None


def _callers() -> Iterator[int]:
    """Yield the processes that called us, nearest first."""
    pid = os.getppid() if _place is None else _parent(_place)
    while pid > 0:
        yield pid
        pid = _parent(pid)


def _parent(pid: int) -> int:
    """Return the process that a process belongs to; 0 where that is not known."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _hands_on(pid: int) -> bool:
    """Tell whether a process was told to run this very command line."""
    words = [os.fsencode(word) for word in sys.argv[1:]]
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
    except OSError:
        return False
    return bool(words) and line[-len(words) :] == words and len(line) > len(words)


def _has_read_nothing(pid: int) -> bool:
    """Tell whether a process has not read a single byte since it was made."""
    try:
        return b"rchar: 0\n" in Path(f"/proc/{pid}/io").read_bytes()
    except OSError:
        return False


def _has_writer(fd: int) -> bool:
    """Tell whether a program that is none of our callers holds the other end of a pipe: what `slow | scrimp` is.

    A caller that holds it (an ssh server, a CI runner, a program that has not closed its end) may never write.
    """
    ours = os.fstat(fd)
    aside = {os.getpid(), _place, *_callers()}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if int(folder.parent.name) in aside:
            continue
        try:
            for name in os.listdir(folder):  # noqa: PTH208 - names alone
                if os.path.samestat(ours, (folder / name).stat()) and _writes(folder.parent, name):
                    return True
        except OSError:  # gone, or another user's
            continue
    return False


def _writes(process: Path, fd: str) -> bool:
    """Tell whether a process has a descriptor open for writing."""
    for line in (process / "fdinfo" / fd).read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return bool(int(value, 8) & (os.O_WRONLY | os.O_RDWR))
    return False
