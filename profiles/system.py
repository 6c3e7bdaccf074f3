"""What scrimp asks of the system that it runs on."""

from __future__ import annotations

import os

from .errors import UsageError

__all__ = ["needs_posix"]


def needs_posix(what: str) -> None:
    """Refuse what stands on calls that Windows does not have.

    Raises
    ------
    UsageError
        If this is Windows.
    """
    if not hasattr(os, "fork"):
        raise UsageError(f"{what} does not run on Windows", hint="In WSL, the Windows Subsystem for Linux, it does.")
