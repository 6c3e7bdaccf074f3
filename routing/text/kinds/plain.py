"""Text that is taken word for word: prose, code, logs, JSON, CSV."""

from __future__ import annotations

from scrimp.routing.text.encodings import decoded

from .kind import Text

__all__ = ["read", "takes"]


def takes(name: str, start: bytes) -> bool:  # noqa: ARG001 - what no other kind takes
    """Take every file."""
    return True


def read(raw: bytes, what: str) -> Text:
    """Return a file's text as it is; a byte order mark is left out.

    Raises
    ------
    UsageError
        If it is not text, or its encoding cannot be told.
    """
    text, remark = decoded(raw, what=what)
    return Text(text, () if remark is None else (remark,))
