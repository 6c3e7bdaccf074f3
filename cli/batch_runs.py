"""Past and present runs of `batch`: list, show, cancel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import format_usd, usd_from_nano
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted
from scrimp.routing.text.moments import local_time, local_time_and_zone, with_zone

from . import session
from .batch_report import by_state
from .batch_waiting import give_up_waiting, waits
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from scrimp.routing.ledger.batches import Run

__all__ = ["cancel_run", "list_runs", "show_run"]


def list_runs(*, as_json: bool) -> int:
    """Print the runs, newest first."""
    from scrimp.routing.ledger import batches

    ledger = session.ledger_to_read()
    found = [(run, {} if ledger is None else batches.counts(ledger, run.id)) for run in batches.listing(ledger)]
    table = Table(
        (
            Column("id"),
            Column(with_zone("begun", (run.created_at for run, _ in found))),
            Column("status"),
            Column("rows", "right"),
            Column("done"),
            Column("output", narrow="below"),
        ),
        [
            (
                run.id,
                local_time(run.created_at, seconds=True),
                _state(run),
                f"{run.n_rows:,}",
                by_state(counts),
                run.target,
            )
            for run, counts in found
        ],
    )
    data = {"schema_version": 1, "runs": [_run_dict(run, counts) for run, counts in found]}
    return emit(Result(data=data, blocks=(table,) if found else ("no runs yet",)), as_json=as_json)


def show_run(which: str, *, as_json: bool) -> int:
    """Print one run: how far it is, what it cost, and by which arms."""
    from scrimp.routing.ledger import batches

    ledger = session.ledger_to_read()
    run = batches.fetch(ledger, which)
    assert ledger is not None  # noqa: S101 - fetch has raised
    counts = batches.counts(ledger, run.id)
    live, charged = batches.charges(ledger, run.id)
    rows = batches.by_arm(ledger, run.id)
    begun = local_time_and_zone(run.created_at, seconds=True)
    lines = (
        f"run {run.id}, {_state(run)}, begun {begun}, profile {run.profile}",
        f"input {run.input} ({counted(run.n_rows, 'row')})",
        f"output {run.target}",
        f"{by_state(counts)}; {run.n_rows - sum(counts.values()):,} to do",
        f"charged {format_usd(charged)}" + (f", in flight up to {format_usd(live)}" if live else ""),
    )
    table = Table(
        (Column("arm"), Column("status"), Column("rows", "right"), Column("cost", "right")),
        [(row["arm"], row["status"], f"{row['n']:,}", format_usd(row["cost_nano"])) for row in rows],
    )
    data = {
        **_run_dict(run, counts),
        "schema_version": 1,
        "charged_usd": usd_from_nano(charged),
        "in_flight_usd": usd_from_nano(live),
        "arms": [
            {
                "arm": row["arm"],
                "status": row["status"],
                "rows": row["n"],
                "cost_usd": None if row["cost_nano"] is None else usd_from_nano(row["cost_nano"]),
            }
            for row in rows
        ],
    }
    return emit(Result(data=data, blocks=(*lines, *((table,) if rows else ()))), as_json=as_json)


def cancel_run(which: str, *, as_json: bool) -> int:
    """Abandon a run: its partial answers are deleted, what it cost stays on record."""
    from scrimp.routing.batch.state import parked
    from scrimp.routing.ledger import batches

    ledger = session.ledger()
    run = batches.fetch(ledger, which)
    if run.status in ("cancelled", "replaced"):
        said = f"run {run.id} was given up before"
    elif run.status == "finished":
        # What was kept for --retry-unknown and the like goes; the run and its output are as they were.
        parked.forget(ledger, run, paths().batches)
        said = f"run {run.id} is finished: no row of it can be asked again now"
    else:
        told = None
        if not parked.is_live(run):  # else it is refused
            told = give_up_waiting(run)
        parked.cancel(ledger, run, paths().batches, now=time.time())
        said = "; ".join(filter(None, (f"run {run.id} is given up", told, "what it cost stays on record")))
    data = {"schema_version": 1, "id": run.id, "status": batches.fetch(ledger, run.id).status}
    return emit(Result(data=data, messages=(said,)), as_json=as_json)


def _state(run: Run) -> str:
    """Return how a run stands: `running` on record, and without a process, it was killed, or waits for a provider."""
    from scrimp.routing.batch.state import parked

    state = "killed" if run.status == "running" and not parked.is_live(run) else run.status
    return "waiting" if state in ("killed", "stopped") and waits(run) else state


def _run_dict(run: Run, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "id": run.id,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "status": _state(run),
        "profile": run.profile,
        "input": run.input,
        "output": run.target,
        "rows": run.n_rows,
        "counts": counts,
    }
