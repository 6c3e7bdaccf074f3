"""What was typed in chats: kept to be had again with the arrow keys, in a private file, and forgotten with the log."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.files import replacing
from scrimp.profiles.paths import make_private_dir

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from scrimp.profiles.schema import Profile

__all__ = ["forget_typed", "keep_typed", "may_keep", "typed"]

_MOST: Final = 1_000
"""Entries that are offered again; of a file of twice as many the older half goes."""


def may_keep(profile: Profile, *, no_log: bool) -> bool:
    """Tell whether what is typed may be kept: only where the log keeps the same words, as they were typed."""
    return not no_log and profile.log.keep == "all" and profile.guard.private not in ("redact", "refuse")


def typed(path: Path) -> list[str]:
    """Return what was typed, oldest first; nothing where there is no such file, or none that can be read."""
    entries = [*_entries(path)]
    if len(entries) > 2 * _MOST:
        _write(path, entries[-_MOST:])
    return [entry["text"] for entry in entries[-_MOST:]]


def keep_typed(path: Path, text: str, *, now: float) -> None:
    """Add what was typed at POSIX time `now`. A file that cannot be written keeps nothing: the session goes on."""
    line = json.dumps({"at": now, "text": text}) + "\n"
    with contextlib.suppress(OSError):
        make_private_dir(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "ab", buffering=0) as file:
            file.write(line.encode())


def forget_typed(path: Path, *, before: float | None = None, texts: Collection[str] | None = None) -> int:
    """Forget what was typed before a POSIX time, or what is one of some texts; both None: all. Return how many."""
    entries = [*_entries(path)]
    if texts is not None:
        kept = [entry for entry in entries if entry["text"].strip() not in texts]
    elif before is not None:
        kept = [entry for entry in entries if entry["at"] >= before]
    else:
        kept = []
    if len(kept) < len(entries) or (not kept and path.exists()):
        _write(path, kept)
    return len(entries) - len(kept)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("text"), str) and isinstance(entry.get("at"), float):
                yield entry


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    if not entries:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries).encode())
