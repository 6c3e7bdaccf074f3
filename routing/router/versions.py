"""Router versions: written whole or not at all, one of them current, every change on record and undoable."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, TryAgainError, UsageError
from scrimp.profiles.files import hold, replacing, sync_folder
from scrimp.profiles.paths import make_private_dir
from scrimp.profiles.reading import read_bytes

from .in_force import SHIPPED, current_version, shipped_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .learned import LearnedRouter

__all__ = [
    "VERDICT",
    "Version",
    "current_name",
    "folder_of",
    "history",
    "list_versions",
    "lock",
    "next_name",
    "open_version",
    "promote",
    "rollback",
    "version_names",
    "write_version",
]

VERDICT: Final = "verdict.json"
"""In a version's folder: what the gate said of it."""

_HISTORY: Final = "history.jsonl"
_KEPT: Final = 5  # versions that were never current; older ones are removed


@dataclass(frozen=True, slots=True)
class Version:
    """One version in the list.

    Attributes
    ----------
    problem
        Why it cannot be used; None when it can.
    """

    name: str
    current: bool
    card: Mapping[str, Any]
    verdict: Mapping[str, Any]
    problem: str | None


@contextlib.contextmanager
def lock(routers: Path) -> Iterator[None]:
    """Hold the routers' lock; it goes with the process, however that ends.

    Raises
    ------
    TryAgainError
        If another process holds it.
    """
    make_private_dir(routers)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold(routers / ".lock", wait=False))
        except TimeoutError:
            raise TryAgainError(
                "another refit or change of router is under way", hint="Try again when it has ended."
            ) from None
        for stale in routers.glob(".new-*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield


def current_name(routers: Path) -> str:
    """Return the name of the router in force."""
    return current_version(routers) or SHIPPED


def folder_of(routers: Path, name: str) -> Path:
    """Return a version's folder.

    Raises
    ------
    UsageError
        If there is no such version.
    """
    if name == SHIPPED:
        return shipped_folder()
    folder = routers / name
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) is None or not folder.is_dir():
        known = [SHIPPED, *_names(routers)]
        raise UsageError(f"no router version {name!r}", hint=f"There are: {', '.join(known)}.")
    return folder


def open_version(routers: Path, name: str) -> LearnedRouter:
    """Return a version's router.

    Raises
    ------
    UsageError, DataError
        If there is none of that name, or it cannot be used.
    """
    from .folder import read_router

    return read_router(folder_of(routers, name))


def _names(routers: Path) -> list[str]:
    if not routers.is_dir():
        return []
    return sorted(path.name for path in routers.iterdir() if path.is_dir() and not path.name.startswith("."))


def next_name(routers: Path) -> str:
    """Return the name of the next version: r0001, r0002, ..."""
    numbers = [int(name[1:]) for name in _names(routers) if re.fullmatch(r"r\d{4,}", name)]
    numbers += [int(each["version"][1:]) for each in _history(routers) if re.fullmatch(r"r\d{4,}", each["version"])]
    return f"r{max(numbers, default=0) + 1:04d}"


def version_names(routers: Path) -> dict[str, bool]:
    """Return the names of the shipped router and of every version, oldest first, each with whether it is in force."""
    current = current_name(routers)
    return {name: name == current for name in (SHIPPED, *_names(routers))}


def list_versions(routers: Path) -> list[Version]:
    """Return the shipped router and every version, oldest first, each with its card and verdict."""
    from .folder import CARD, read_router

    current = current_name(routers)
    versions = []
    for name in [SHIPPED, *_names(routers)]:
        folder = shipped_folder() if name == SHIPPED else routers / name
        problem = None
        try:
            read_router(folder)
        except DataError as error:
            problem = error.message
        versions.append(Version(name, name == current, _json(folder / CARD), _json(folder / VERDICT), problem))
    if current not in [version.name for version in versions]:
        versions.append(Version(current, True, {}, {}, f"router version {current!r} refused: there is no such folder"))
    return versions


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_version(routers: Path, router: LearnedRouter, verdict: Mapping[str, Any]) -> Path:
    """Write a version beside its place and move it there when it is complete. The caller holds the lock."""
    from .folder import write_router

    unfinished = routers / f".new-{router.version}"
    write_router(router, unfinished)
    with replacing(unfinished / VERDICT) as file:
        file.write((json.dumps(verdict, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    folder = routers / router.version
    unfinished.rename(folder)
    sync_folder(routers)
    _prune(routers)
    return folder


def promote(routers: Path, name: str, *, at: str, action: str = "promoted", forced: bool = False) -> str:
    """Make a version the current one, in one step; return the name of the one before. The caller holds the lock.

    Raises
    ------
    UsageError, DataError
        If there is none of that name, or it cannot be used: then nothing is changed.
    """
    open_version(routers, name)
    before = current_name(routers)
    # On record first: a kill between the two leaves a line about a change that did not happen, never the reverse.
    line = json.dumps({"at": at, "action": action, "version": name, "previous": before, "forced": forced})
    with (routers / _HISTORY).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    with replacing(routers / "current") as current:
        current.write(f"{name}\n".encode())
    return before


def rollback(routers: Path, *, at: str) -> tuple[str, str]:
    """Go back to the version that was current before this one; return both names. The caller holds the lock.

    Raises
    ------
    UsageError
        If the router in force is the shipped one and nothing came before.
    """
    current = current_name(routers)
    before = next(
        (
            each["previous"]
            for each in reversed(_history(routers))
            if each["version"] == current and each["action"] != "rolled back"
        ),
        None if current == SHIPPED else SHIPPED,
    )
    if before is None or before == current:
        raise UsageError(
            f"there is nothing to go back to: {current} is in force, and nothing came before it",
            hint="`scrimp router list` shows the versions; `scrimp router promote NAME` takes any.",
        )
    promote(routers, before, at=at, action="rolled back")
    return current, before


def history(routers: Path) -> list[dict[str, Any]]:
    """Return every change of router, oldest first."""
    return _history(routers)


def _history(routers: Path) -> list[dict[str, Any]]:
    try:
        text = read_bytes(routers / _HISTORY).decode("utf-8", "replace")
    except OSError:
        return []
    events = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"version", "previous", "action"} <= event.keys():
                events.append(event)
    return events


def _prune(routers: Path) -> None:
    """Remove all but the last few versions that were never current."""
    once = {name for event in _history(routers) for name in (event["version"], event["previous"])}
    never = [name for name in _names(routers) if name not in once and name != current_name(routers)]
    for name in never[:-_KEPT]:
        shutil.rmtree(routers / name, ignore_errors=True)
