"""The user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError

from .result import say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_editor"]


def open_editor(file: Path) -> None:
    """Open a file in $VISUAL or $EDITOR, and wait until it is closed.

    Raises
    ------
    UsageError
        If neither is set, or the editor cannot be run, or fails.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("neither VISUAL nor EDITOR is set", hint=f"The file is {file}")
    if not sys.stdin.isatty():
        say("standard input is not a terminal; the editor may not like it")
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except OSError as error:
        raise UsageError(f"cannot run {editor}: {error.strerror}") from None
    if done.returncode:
        raise UsageError(f"{editor} ended with {done.returncode}")
