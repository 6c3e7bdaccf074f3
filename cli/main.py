"""The entry point: what needs no command line is answered before one is built."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from .streams import put_in_order

__all__ = ["main"]

UNEXPECTED, CLOSED_PIPE, INTERRUPTED = 1, 141, 130
"""Of `ExitCode`, spelled out: nothing of ours is imported before it must be."""


def main() -> None:
    """Run scrimp on this process's arguments and exit."""
    try:
        put_in_order()
        os.umask(os.umask(0o077) & ~0o700)  # whatever is made here can be used by its owner
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
    from scrimp.profiles.collector import paused

    with paused(ours=True):
        from .app import run

    return run(argv)


def _leave(code: int) -> NoReturn:
    """End the process at once, everything written and cleaned up.

    An interpreter that takes itself apart runs finalisers that import, while the thread that imports litellm ahead of
    need may hold the very lock they wait for: it would hang now and then, and takes 0.2 s otherwise.
    """
    atexit._run_exitfuncs()  # noqa: SLF001  # there is no public way to run them and not end
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or CLOSED_PIPE
    except (OSError, ValueError):
        sys.stderr.write("scrimp: standard output cannot be written\n")
        code = code or UNEXPECTED
    sys.stderr.flush()
    os._exit(code)
