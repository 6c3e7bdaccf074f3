"""What a run keeps beside the ledger's rows: its journal once it is finished, standard input, and their going."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import unfinished
from scrimp.profiles.paths import make_private_dir
from scrimp.routing.batch.files.output import Journal
from scrimp.routing.ledger import batches, provider_batches
from scrimp.routing.ledger.reservations import reap
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

__all__ = [
    "Purged",
    "began",
    "can_go_on",
    "cancel",
    "ended",
    "forget",
    "forget_runs_of",
    "is_live",
    "park",
    "purge",
    "retire",
    "spooled",
    "unfinished_runs",
    "unpark",
]


def is_live(run: Run) -> bool:
    """Tell whether a process is running a run now: it holds the lock on the journal."""
    from filelock import lock_descriptor

    try:
        fd = os.open(run.partial, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not lock_descriptor(fd, blocking=False)
    finally:
        os.close(fd)


def spooled(folder: Path, run_id: str) -> Path:
    """Return where standard input is kept for a run."""
    return folder / f"{run_id}.input"


def _journal(folder: Path, run_id: str) -> Path:
    """Return where the journal of a finished run is kept, while rows of it may be asked again."""
    return folder / f"{run_id}.journal"


def park(ledger: Ledger, run: Run, folder: Path, *, keep: bool) -> None:
    """Take a finished run's journal from beside the output: away, or (`keep`) to where `--resume` finds it."""
    if keep:
        make_private_dir(folder)
        shutil.move(run.partial, _journal(folder, run.id))
    else:
        run.partial.unlink(missing_ok=True)
        forget(ledger, run, folder)


def ended(ledger: Ledger, run: Run, folder: Path, *, now: float) -> Run:
    """Return a run as it is; one that was killed when all but its last word was written down is finished by this.

    Its journal is taken away once the output stands, and only then is the run called finished.
    """
    output = Path(run.output)
    if run.status in ("finished", "cancelled", "replaced") or run.partial.exists():
        return run
    if _journal(folder, run.id).exists() or not output.exists() or _is_older(output, run):
        return run
    if sum(batches.counts(ledger, run.id).values()) < run.n_rows:
        return run
    forget(ledger, run, folder)
    batches.finish(ledger, run.id, "finished", now=now)
    return replace(run, status="finished", finished_at=instant(now))


def _is_older(path: Path, run: Run) -> bool:
    """Tell whether a file was there before a run began."""
    return path.stat().st_mtime < began(run)


def began(run: Run) -> float:
    """Return when a run began, POSIX time."""
    return datetime.fromisoformat(run.created_at).timestamp()


def can_go_on(run: Run, folder: Path) -> None:
    """Look for a run's journal.

    Raises
    ------
    UsageError
        If there is none: every row of the run has its answer, or its answers were not to be kept.
    """
    if not run.partial.exists() and not _journal(folder, run.id).exists():
        if run.status != "finished":
            raise UsageError(
                f"run {run.id} cannot go on: its journal {run.partial} is gone",
                hint=f"Put it back, start anew with --overwrite, or drop the run: scrimp batch cancel {run.id}",
            )
        raise UsageError(
            f"run {run.id} is finished, and no row of it can be asked again",
            hint="Nothing was left to ask, or its answers were not kept (--no-log, or forgotten since).",
        )


def unpark(run: Run, folder: Path) -> None:
    """Put a finished run's journal back beside its output.

    Raises
    ------
    UsageError
        As `can_go_on`.
    """
    can_go_on(run, folder)
    if not run.partial.exists():
        shutil.move(_journal(folder, run.id), run.partial)


def forget(ledger: Ledger, run: Run, folder: Path) -> bool:
    """Take away what is kept of a run's text; its rows' states and money stay. Return whether there were files."""
    paths = [_journal(folder, run.id), spooled(folder, run.id)]
    if run.status == "finished" and run.target != run.output:
        paths.append(Path(run.output))  # it was delivered
    held = [path for path in paths if path.exists()]
    for path in held:
        path.unlink(missing_ok=True)
    batches.forget_text(ledger, run.id)
    provider_batches.cut_off(ledger, run.id)
    return bool(held)


def cancel(ledger: Ledger, run: Run, folder: Path, *, now: float, status: str = "cancelled") -> None:
    """Give a run up: its journal goes, what came of its rows and their money stays on record.

    Parameters
    ----------
    status
        `cancelled`, or `replaced` where a new run takes its output.

    Raises
    ------
    TryAgainError
        If it is still going.
    """
    if run.status != "finished":  # else what lies beside the output is another run's
        if run.partial.exists():
            Journal.open(run.partial, new=False).close()
        for path in (run.partial, unfinished(Path(run.output))):
            path.unlink(missing_ok=True)
        if run.target != run.output:
            Path(run.output).unlink(missing_ok=True)
    forget(ledger, run, folder)
    reap(ledger, now=now)
    batches.close_sent(ledger, run.id)
    if status != run.status:
        batches.finish(ledger, run.id, status, now=now)


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge found of runs.

    Attributes
    ----------
    n_kept
        Finished runs whose kept journal or input went.
    given_up
        Ids of runs that were not finished, and cannot be now.
    going
        Runs that a process works on at this moment: nothing of them was touched.
    """

    n_kept: int
    given_up: tuple[str, ...]
    going: tuple[Run, ...]


def unfinished_runs(ledger: Ledger, *, before: str | None = None) -> list[Run]:
    """Return the runs (begun before an instant) that a purge would give up."""
    return [
        run
        for run in batches.listing(ledger, limit=None)
        if _is_open(run) and (before is None or run.created_at < before) and not is_live(run)
    ]


def _is_open(run: Run) -> bool:
    return run.status in ("running", "stopped")


def purge(ledger: Ledger, folder: Path, *, before: str | None = None, now: float) -> Purged:
    """Take away the text of all runs (begun before an instant): journal, input, flags. Unfinished ones are given up."""
    n_kept, given_up, going = 0, [], []
    every = batches.listing(ledger, limit=None)
    for run in every:
        if before is not None and run.created_at >= before:
            continue
        if not _is_open(run):
            n_kept += forget(ledger, run, folder)
        elif is_live(run):
            going.append(run)
        else:
            cancel(ledger, run, folder, now=now)
            given_up.append(run.id)
    known = {run.id for run in every}
    for path in folder.glob("*") if folder.is_dir() else ():
        # What a process left that was killed before its run began.
        if path.stem not in known and (before is None or instant(path.stat().st_mtime) < before):
            path.unlink(missing_ok=True)
    return Purged(n_kept, tuple(given_up), tuple(going))


def retire(ledger: Ledger, folder: Path, *, profile: str, before: str) -> int:
    """Take away what is kept of a profile's finished runs that are older than it keeps text; return how many."""
    if not folder.is_dir():
        return 0
    kept = {path.stem for path in folder.iterdir()}
    return sum(
        forget(ledger, run, folder)
        for run in batches.listing(ledger, limit=None)
        if run.id in kept and run.profile == profile and run.created_at < before and not _is_open(run)
    )


def forget_runs_of(ledger: Ledger, folder: Path, request_ids: Sequence[str], *, say: Callable[[str], None]) -> None:
    """Take away the kept journals of finished runs that some requests were rows of, and say where others stay."""
    for run in batches.runs_of(ledger, request_ids):
        if _is_open(run):
            say(f"{run.partial} still holds it, until run {run.id} is finished or given up (scrimp batch cancel)")
        elif forget(ledger, run, folder):
            say(f"rows of run {run.id} cannot be asked again: its kept answers went too")
