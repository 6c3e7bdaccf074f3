"""What a kind of file must be able to do."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from scrimp.profiles.errors import UsageError

__all__ = ["Kind", "NoTextError", "Text"]


class Text(NamedTuple):
    """The text of a file, and remarks for the user on how it was read."""

    text: str
    notes: tuple[str, ...] = ()


class NoTextError(UsageError):
    """The file is of a kind that holds text, but it holds none (exit 2)."""


class Kind(Protocol):
    """A kind of file: one module each."""

    def takes(self, name: str, start: bytes) -> bool:
        """Tell whether a file is of this kind by its name ("" through a pipe) and its first bytes."""
        ...

    def read(self, raw: bytes, what: str) -> Text:
        """Return the text of a file.

        Raises
        ------
        UsageError
            If it cannot be read; the message names `what`.
        """
        ...
