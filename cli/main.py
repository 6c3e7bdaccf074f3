"""The entry point: what needs no command line is answered before one is built."""

from __future__ import annotations

import atexit
import os
import sys

from .streams import put_in_order
from .typed import as_typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["INTERRUPTED", "finish", "main"]

UNEXPECTED, CLOSED_PIPE, INTERRUPTED = 1, 141, 130
"""Of `ExitCode`, spelled out: nothing of ours is imported before it must be."""


def main() -> NoReturn:
    """Run scrimp on this process's arguments and exit."""
    try:
        put_in_order()
        umask = os.umask(0o077) & ~0o700  # whatever is made here can be used by its owner
        os.umask(umask)
        argv, env = as_typed(sys.argv[1:]), dict(os.environ)
        sys.argv[1:] = argv
        code = _at_once(argv)
        if code is None:
            code = _elsewhere(argv, umask)
        if code is None:
            from scrimp.profiles.collector import paused

            with paused(ours=True):
                from .app import run

            code = finish(run(argv))
            if argv[0:1] in (["ask"], ["route"]) and sys.stderr.isatty():
                from .resident.starting import start_for_next

                start_for_next(env)
        os._exit(finish(code))
    except KeyboardInterrupt:  # while modules are imported, or a second one on the way out
        os._exit(INTERRUPTED)


def _at_once(argv: list[str]) -> int | None:
    """Answer what needs no command line; return the exit code, or None where that is not enough."""
    if argv in (["--version"], ["-V"]):
        from importlib.metadata import version

        sys.stdout.write(f"scrimp {version('scrimp')}\n")
        return 0
    if argv[:2] == ["spend", "--short"]:
        from .short import run_short

        return run_short(argv[2:])
    return None


def _elsewhere(argv: list[str], umask: int) -> int | None:
    """Have the resident process run a command line, where there is one and it can; return the exit code."""
    from .resident.where import socket_path, takes

    path = socket_path() if takes(argv) else None
    if path is None or not os.path.exists(path):  # noqa: PTH110 - pathlib takes longer than all of this
        return None
    from .resident.client import run_there

    return run_there(path, umask)


def finish(code: int) -> int:
    """Write out and clean up what a process has to at its end; return its exit code. The caller ends it at once.

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
    return code
