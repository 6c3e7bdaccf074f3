"""Where the turns of a chat come from: lines of standard input, or a terminal whose lines can be edited."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from scrimp.profiles.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Lines", "Piped", "lines_of_stdin"]


class Lines(Protocol):
    """Gives one message after another.

    Attributes
    ----------
    typed
        Whether somebody types them, who can be asked again.
    """

    typed: bool

    def read(self, prompt: str) -> str:
        """Return the next one, which may have several lines; the prompt is shown to who types.

        Raises
        ------
        EOFError
            If there is none any more.
        UsageError
            If it is not text.
        """
        ...


class Piped:
    """Each line of standard input is a message. Nothing is shown."""

    typed = False

    def read(self, prompt: str) -> str:
        """Return the next line."""
        del prompt
        line = sys.stdin.buffer.readline()
        if not line:
            raise EOFError
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(
                "standard input is not UTF-8", hint="iconv -f latin1 -t utf-8 FILE | scrimp chat"
            ) from None


def lines_of_stdin(kept: Path | None, arms: Callable[[], list[str]]) -> Lines:
    """Return what gives the messages of standard input.

    Parameters
    ----------
    kept
        Where what is typed is kept; None keeps it in this process.
    arms
        Returns the names of arms, which Tab completes.
    """
    if not (sys.stdin.isatty() and (sys.stderr.isatty() or sys.stdout.isatty())):
        return Piped()
    from .chat_terminal import Terminal

    return Terminal(kept, arms)
