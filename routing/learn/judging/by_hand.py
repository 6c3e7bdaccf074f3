"""Router versions put in force by hand, one process at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrimp.routing.ledger.store import instant
from scrimp.routing.router import versions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["promote", "rollback"]


def promote(routers: Path, name: str) -> str:
    """Put a version in force, whatever its verdict; return the name of the one before.

    Raises
    ------
    UsageError, DataError
        If there is none, or it cannot be used.
    """
    with versions.lock(routers):
        return versions.promote(routers, name, at=instant(time.time()), action="promoted by hand")


def rollback(routers: Path) -> tuple[str, str]:
    """Go back to the version before; return the names of the one that was left, and of the one in force now.

    Raises
    ------
    UsageError
        If there is none before.
    """
    with versions.lock(routers):
        return versions.rollback(routers, at=instant(time.time()))
