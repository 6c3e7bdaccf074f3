"""The user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from scrimp.profiles.errors import UsageError

from .result import say

__all__ = ["edit_text", "open_editor"]


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


def edit_text(text: str) -> str:
    """Return a text as its user leaves it in the editor; it stands in a private file meanwhile.

    Raises
    ------
    UsageError
        As `open_editor`; if it is not UTF-8 afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="scrimp-") as folder:
        file = Path(folder) / "message.md"
        file.write_text(text, encoding="utf-8")
        open_editor(file)
        try:
            return file.read_text("utf-8")
        except UnicodeDecodeError:
            raise UsageError("what the editor left is not UTF-8") from None
