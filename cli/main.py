"""The entry point: what needs no command line is answered before one is built."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

__all__ = ["main"]

CLOSED_PIPE, INTERRUPTED = 141, 130
"""Of `ExitCode`, spelled out: nothing of ours is imported before it must be."""


def main() -> None:
    """Run scrimp on this process's arguments and exit."""
    try:
        _leave(_run(sys.argv[1:]))
    except KeyboardInterrupt:  # while modules are imported, or a second one on the way out
        os._exit(INTERRUPTED)


def _run(argv: list[str]) -> int:
    if argv in (["--version"], ["-V"]):
        from importlib.metadata import version

        sys.stdout.write(f"scrimp {version('scrimp')}\n")
        return 0
    if argv[:2] == ["spend", "--short"]:
        from .short import run_short

        code = run_short(argv[2:])
        if code is not None:
            return code
    from .app import run

    return run(argv)


def _leave(code: int) -> NoReturn:
    """End the process at once, everything written and cleaned up.

    An interpreter that takes itself apart runs finalisers that import, while the thread that imports litellm ahead of
    need may hold the very lock they wait for: it would hang now and then, and takes 0.2 s otherwise.
    """
    atexit._run_exitfuncs()  # noqa: SLF001  # there is no public way to run them and not end
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or CLOSED_PIPE
    os._exit(code)
