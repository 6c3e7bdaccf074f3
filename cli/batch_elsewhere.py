"""What `batch --on ray` reads and writes that is no plain file of this machine, and the cluster it does so on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import new_file
from scrimp.profiles.paths import paths
from scrimp.routing.batch.files.elsewhere import is_elsewhere, is_url

if TYPE_CHECKING:
    from scrimp.routing.batch.files.datasets import Fetched

    from .batch_flags import BatchFlags

__all__ = [
    "STDOUT",
    "check_output",
    "check_place",
    "fetch",
    "is_fetched",
    "leave_cluster",
    "staged_output",
    "target_of",
]

STDOUT: Final = "-"
"""The output that is written while the run goes on, and is no file: its journal is kept with the runs of `batch`."""


def target_of(output: str | None) -> str | None:
    """Return where an output goes that is no file of this machine's as it stands, and `STDOUT`; else None."""
    if output is None or output == STDOUT or not is_elsewhere(output):
        return output if output == STDOUT else None
    return output if is_url(output) else str(Path(output).expanduser().absolute())


def staged_output(target: str) -> Path:
    """Return where an output that goes elsewhere is written first."""
    from scrimp.routing.batch.files.delivery import staged

    return staged(paths().deliveries, target)


def is_fetched(flags: BatchFlags) -> bool:
    """Tell whether an input is read by Ray Data: a URL, Parquet, a folder, or names with `*` in them."""
    given = flags.input or "-"
    if flags.on is None or given == "-":
        return False
    return is_elsewhere(given) or Path(given).is_dir() or ("*" in given and not Path(given).exists())


def fetch(flags: BatchFlags, path: Path) -> Fetched:
    """Read an input by Ray Data, and keep it."""
    from scrimp.routing.batch.files import datasets

    with new_file(path) as kept:
        fetched = datasets.fetch(flags.input or "", kept, address=flags.address, format=flags.format)  # type: ignore[arg-type]  # one of its words, or refused
        kept.flush()
        os.fsync(kept.fileno())
    return fetched


def check_place(flags: BatchFlags, *, joins: bool) -> None:
    """Refuse what is read or written on a cluster only, without one; join it where workers are wanted there.

    Raises
    ------
    ScrimpError
        If it cannot be joined.
    """
    if flags.on is None:
        for given in (flags.input, flags.target):
            if given is not None and is_elsewhere(given):
                what = "a URL" if is_url(given) else "Parquet"
                raise UsageError(f"{given} is {what}, which is read and written with --on ray: add that")
        return
    from scrimp.routing.batch.cluster import check_installed, join

    check_installed()
    if flags.workers and joins:
        join(flags.address)


def check_output(flags: BatchFlags, path: Path, *, overwrite: bool) -> None:
    """Refuse an output that is missing, or would overwrite something.

    Raises
    ------
    UsageError
        As `start.check_output`, `Delivery.check`.
    """
    if flags.target in (None, STDOUT) or flags.output is None:
        from scrimp.routing.batch.planning import start

        start.check_output(flags.output, path, overwrite=overwrite)
        return
    from scrimp.routing.batch.files.delivery import Delivery, clear

    if flags.target == flags.input:
        raise UsageError(f"the output {flags.target} is the input", hint="Give another name with -o.")
    Delivery.to(flags.target).check(overwrite=overwrite)
    clear(flags.output)


def leave_cluster() -> None:
    """Leave the cluster that was joined, if one was."""
    cluster = sys.modules.get("scrimp.routing.batch.cluster")
    if cluster is not None:
        cluster.leave()
