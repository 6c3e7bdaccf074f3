"""What commands write that is yours: files that must be new, and the question before something goes."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, BinaryIO

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import new_file, replacing

from .result import confirm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["agreed", "new_output", "own_page", "replaced"]


def new_output(path: Path) -> BinaryIO:
    """Open a file for writing that is not there yet.

    Raises
    ------
    UsageError
        If it is there, or cannot be written.
    """
    try:
        return new_file(path)
    except FileExistsError:
        raise UsageError(f"{path} exists", hint="Choose another name, or remove it first.") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def own_page(path: Path, kind: str) -> Iterator[BinaryIO]:
    """Give a file for a page to write: it takes its place whole at the end of the block, readable by its owner only.

    A page of its kind that was written before makes way for it, so that a report can be made anew each night; nothing
    else does.

    Parameters
    ----------
    kind
        What the page is: "report" or "log".

    Raises
    ------
    UsageError
        If something else is there, or it cannot be written.
    """
    from scrimp.routing.reports.page.document import MARKS

    try:
        with path.open("rb") as before:
            mark = MARKS[kind].encode()
            other = before.read(len(mark)) != mark
    except FileNotFoundError:
        other = False
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    if other:
        raise UsageError(
            f"{path} exists, and is no {kind} page of scrimp's", hint="Choose another name, or remove it first."
        )
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        if error.filename is None:
            raise
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write in the place of one that this command wrote.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def agreed(what: str, yes: bool, *, hint: str = "Add --yes to do it.") -> None:
    """Ask on a terminal whether to do something; elsewhere `--yes` is needed.

    Raises
    ------
    UsageError
        If there is no terminal to ask on.
    Abort
        If the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}", hint=hint)
    if not confirm(f"{what[0].upper()}{what[1:]}?"):
        raise typer.Abort
