"""What is said once a day: a file remembers the last of it, by the day and its words."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from scrimp.profiles.paths import make_private_dir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["said_today"]


def said_today(text: str, stamp: Path) -> bool:
    """Return whether these words were the last that were said today; if not, they are from now on.

    The day is the user's own. Where the file cannot be written, they are said each time.

    Parameters
    ----------
    stamp
        The file (0600), which is made when it is needed.
    """
    now = f"{time.strftime('%Y-%m-%d')}\n{text}\n".encode()
    with contextlib.suppress(OSError):
        if stamp.read_bytes() == now:
            return True
    with contextlib.suppress(OSError):
        make_private_dir(stamp.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(stamp, flags, 0o600), "wb") as file:
            file.write(now)
    return False
