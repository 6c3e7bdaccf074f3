"""The three standard streams, in order however the process was started: closed, full, or read by nobody."""

from __future__ import annotations

import contextlib
import io
import os
import sys

__all__ = ["drop_stdout", "put_in_order"]


def put_in_order() -> None:
    """Make standard input, output and error usable; the first thing that a process does.

    A descriptor that was closed is taken by /dev/null: the ledger or a connection must not come to lie there, where
    stray output would be written into it. What is written to a closed standard output still fails, so that it can be
    said; a closed or broken standard error never fails anything.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free descriptor is this one: those below it are open by now.
            os.open(os.devnull, os.O_WRONLY if fd == 2 else os.O_RDONLY)
    # Python leaves None where it found a descriptor closed.
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    raw = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stderr = _Unfailing(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def drop_stdout() -> None:
    """Let what is still written to standard output go nowhere: its reader has gone, or there is no room."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


class _Unfailing(io.TextIOWrapper):
    """Standard error: what cannot be written is lost, and nothing that was paid for fails because of it."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()
