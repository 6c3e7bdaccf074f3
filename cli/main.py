"""The entry point: what needs no command line is answered before one is built."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run scrimp on this process's arguments and exit."""
    argv = sys.argv[1:]
    if argv in (["--version"], ["-V"]):
        from importlib.metadata import version

        sys.stdout.write(f"scrimp {version('scrimp')}\n")
        sys.exit(0)
    from .app import run

    sys.exit(run(argv))
