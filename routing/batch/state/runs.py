"""The state of runs, in the ledger: what each was started with, and how far each of its rows has come."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.batch.files.output import Journal, Result
from scrimp.routing.ledger.reservations import Reservation, reap, settle
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scrimp.routing.ledger.store import Ledger

    from .scribe import Span

__all__ = [
    "Recovered",
    "Run",
    "begin",
    "by_arm",
    "charges",
    "close_sent",
    "counts",
    "entry",
    "fetch",
    "file_row",
    "finish",
    "forget_text",
    "is_live",
    "latest",
    "listing",
    "n_uncertain",
    "recover",
    "reopen",
    "runs_of",
    "same_answer",
    "spans",
    "states",
]

FINAL: Final = ("ok", "failed", "unknown", "skipped")
"""States in which a row has a result. `sent`: a call may be in flight; `answered`: a check has yet to be run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes
    ----------
    options
        The flags that `--resume` goes on with, as plain data.
    status
        running | stopped | finished | cancelled | replaced.
    """

    id: str
    created_at: str
    status: str
    profile: str
    input: str
    input_sha256: str
    output: str
    n_rows: int
    options: dict[str, Any]
    finished_at: str | None = None

    @property
    def partial(self) -> Path:
        """The journal while the run goes on."""
        output = Path(self.output)
        return output.with_name(output.name + ".partial")


def begin(
    ledger: Ledger,
    *,
    run_id: str,
    profile: str,
    input: str,  # noqa: A002 - a run's input
    input_sha256: str,
    output: Path,
    n_rows: int,
    options: dict[str, Any],
    now: float,
) -> Run:
    """Record a new run and return it."""
    run = Run(run_id, instant(now), "running", profile, input, input_sha256, str(output), n_rows, options)
    with ledger.transaction():
        ledger.insert(
            "batch_runs",
            {
                "id": run.id,
                "created_at": run.created_at,
                "status": run.status,
                "profile": run.profile,
                "input": run.input,
                "input_sha256": run.input_sha256,
                "output": run.output,
                "n_rows": run.n_rows,
                "options": json.dumps(run.options),
            },
        )
    return run


def _run(row: dict[str, Any]) -> Run:
    return Run(**{**row, "options": json.loads(row["options"])})


_COLUMNS = "id, created_at, status, profile, input, input_sha256, output, n_rows, options, finished_at"


def fetch(ledger: Ledger | None, which: str) -> Run:
    """Return a run by its id, or the beginning or the end of it (4 characters or more).

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    wanted = which.lower()
    rows = (
        []
        if ledger is None
        else ledger.rows(
            f"SELECT {_COLUMNS} FROM batch_runs WHERE id = ? OR (length(?) >= 4 AND (substr(id, 1, length(?)) = ? "  # noqa: S608 - constants
            "OR substr(id, -length(?)) = ?)) LIMIT 2",
            (wanted,) * 6,
        )
    )
    if len(rows) != 1:
        what = f"{which!r} fits more than one run" if rows else f"there is no run {which!r}"
        raise UsageError(what, hint="`scrimp batch list` shows the runs.")
    return _run(rows[0])


def latest(ledger: Ledger | None, *, output: Path | None = None, retrying: bool = False) -> Run | None:
    """Return the last run that can go on (of an output); with `retrying`, also a finished one with such rows."""
    if ledger is None:
        return None
    states = ("running", "stopped", "finished") if retrying else ("running", "stopped")
    parameters: list[str] = [*states]
    where = f"status IN ({', '.join('?' * len(states))})"
    if output is not None:
        where += " AND output = ?"
        parameters.append(str(output))
    rows = ledger.rows(
        f"SELECT {_COLUMNS} FROM batch_runs WHERE {where} ORDER BY created_at DESC, id DESC LIMIT 1",  # noqa: S608 - constants
        parameters,
    )
    return _run(rows[0]) if rows else None


def listing(ledger: Ledger | None, *, limit: int | None = 50) -> list[Run]:
    """Return the runs, newest first."""
    if ledger is None:
        return []
    return [
        _run(row)
        for row in ledger.rows(
            f"SELECT {_COLUMNS} FROM batch_runs ORDER BY created_at DESC, id DESC LIMIT ?",  # noqa: S608 - constants
            (-1 if limit is None else limit,),
        )
    ]


def counts(ledger: Ledger, run_id: str) -> dict[str, int]:
    """Return how many rows of a run are in each state."""
    rows = ledger.rows("SELECT status, count(*) AS n FROM batch_rows WHERE run_id = ? GROUP BY status", (run_id,))
    return {row["status"]: row["n"] for row in rows}


def by_arm(ledger: Ledger, run_id: str) -> list[dict[str, Any]]:
    """Return arm, status, rows and cost (nano-USD) of a run's results."""
    return ledger.rows(
        "SELECT coalesce(arm, '-') AS arm, status, count(*) AS n, sum(cost_nano) AS cost_nano FROM batch_rows "
        "WHERE run_id = ? GROUP BY 1, 2 ORDER BY 1, 2",
        (run_id,),
    )


def n_uncertain(ledger: Ledger, run_id: str) -> int:
    """Return how many rows with a result have a cost that is not fully known."""
    marks = ", ".join("?" * len(FINAL))
    rows = ledger.rows(
        f"SELECT count(*) AS n FROM batch_rows WHERE run_id = ? AND cost_nano IS NULL AND status IN ({marks})",  # noqa: S608 - constants
        (run_id, *FINAL),
    )
    return int(rows[0]["n"])


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


def charges(ledger: Ledger, run_id: str) -> tuple[int, int]:
    """Return what a run is charged: (in flight, settled and unknown), nano-USD."""
    rows = ledger.rows("SELECT live_nano, fixed_nano FROM balances WHERE key = ?", (f"run:{run_id}",))
    return (rows[0]["live_nano"], rows[0]["fixed_nano"]) if rows else (0, 0)


def states(ledger: Ledger, run_id: str) -> dict[int, str]:
    """Return the state of every row that has one, by its place."""
    return dict(ledger.conn.execute("SELECT n, status FROM batch_rows WHERE run_id = ?", (run_id,)).fetchall())


def file_row(
    ledger: Ledger,
    run_id: str,
    n: int,
    *,
    status: str,
    request_id: str | None = None,
    arm: str | None = None,
    cost_nano: int | None = None,
    same: bytes | None = None,
    span: Span | None = None,
) -> None:
    """Set how far a row has come, inside the caller's transaction."""
    offset, length = span or (None, None)
    ledger.conn.execute(
        "INSERT INTO batch_rows (run_id, n, status, request_id, arm, cost_nano, same, offset, length) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, n) DO UPDATE SET status = excluded.status, "
        "request_id = excluded.request_id, arm = excluded.arm, cost_nano = excluded.cost_nano, "
        "same = excluded.same, offset = excluded.offset, length = excluded.length",
        (run_id, n, status, request_id, arm, cost_nano, same, offset, length),
    )


def same_answer(ledger: Ledger, run_id: str, same: bytes) -> Span | None:
    """Return where the journal holds the answer to an equal row, or None."""
    rows = ledger.rows(
        "SELECT offset, length FROM batch_rows WHERE run_id = ? AND same = ? AND status = 'ok' LIMIT 1", (run_id, same)
    )
    return (rows[0]["offset"], rows[0]["length"]) if rows else None


def spans(ledger: Ledger, run_id: str, *, ordered: bool) -> Iterator[Span]:
    """Yield where the journal holds each row's result: by the rows' order, or as they came."""
    order = "n" if ordered else "offset"
    cursor = ledger.conn.execute(
        f"SELECT offset, length FROM batch_rows WHERE run_id = ? AND offset IS NOT NULL ORDER BY {order}",  # noqa: S608 - constants
        (run_id,),
    )
    for offset, length in cursor:
        yield int(offset), int(length)


def entry(result: Result, late: dict[str, Any] | None = None, *, state: str | None = None) -> bytes:
    """Return a result as a line of the journal.

    Parameters
    ----------
    late
        What is needed to settle the call after a kill between journal and ledger: `reservation`, `bound_nano`,
        `profile`, `cost_nano`, `attempt`.
    state
        The row's state, where it is not the result's.
    """
    values = {name: getattr(result, name) for name in Result.__slots__}
    return (json.dumps({"state": state or result.status, "result": values, "late": late}) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found when a run was taken up again.

    Attributes
    ----------
    n_late
        Results that were on disk, but not yet in the ledger.
    unknown
        Rows that were in flight: their calls may have been answered and billed.
    unchecked
        Where the journal holds answers whose check had not been run.
    """

    n_late: int
    unknown: tuple[int, ...]
    unchecked: tuple[Span, ...]


def recover(ledger: Ledger, run: Run, journal: Journal, *, now: float) -> Recovered:
    """Bring a killed run's rows up to what is known of them, before anything is sent."""
    (end,) = ledger.conn.execute(
        "SELECT coalesce(max(offset + length), 0) FROM batch_rows WHERE run_id = ?", (run.id,)
    ).fetchone()
    if end > journal.size:
        raise DataError(
            f"{journal.path} is shorter than the ledger remembers: results of this run are missing from it",
            hint=f"Start anew with --overwrite, or drop the run with: scrimp batch cancel {run.id}",
        )
    n_late = 0
    for offset, length, line in journal.tail(end):
        result, late = line["result"], line["late"]
        sent = ledger.rows(
            "SELECT 1 FROM batch_rows WHERE run_id = ? AND n = ? AND request_id = ? AND status = 'sent'",
            (run.id, result["n"], result["decision_id"]),
        )
        if late is None or not sent:
            continue  # not an answer that was paid for, or one of an earlier try: it is worked out again
        with ledger.transaction():
            settle(
                ledger,
                Reservation(late["reservation"], late["bound_nano"], late["profile"], result["arm"]),
                cost_nano=late["cost_nano"],
                now=now,
                attempt=late["attempt"],
                request=(result["decision_id"], {"status": "ok"}),
                note="settled when the batch was resumed",
            )
            file_row(
                ledger,
                run.id,
                result["n"],
                status=line["state"],
                request_id=result["decision_id"],
                arm=result["arm"],
                cost_nano=result["cost_nano"],
                span=(offset, length),
            )
        n_late += 1
    reap(ledger, now=now)
    unknown = [
        row["n"]
        for row in ledger.rows(
            "SELECT n FROM batch_rows b WHERE run_id = ? AND status = 'sent' AND EXISTS (SELECT 1 FROM reservations r "
            "WHERE r.request_id = b.request_id AND r.status IN ('unknown', 'reserved'))",
            (run.id,),
        )
    ]
    with ledger.transaction() as conn:
        # A row that was between two attempts has nothing in flight: it is simply asked again.
        conn.executemany(
            "UPDATE batch_rows SET status = 'unknown' WHERE run_id = ? AND n = ?", [(run.id, n) for n in unknown]
        )
        conn.execute("DELETE FROM batch_rows WHERE run_id = ? AND status = 'sent'", (run.id,))
    unchecked = tuple(
        (row["offset"], row["length"])
        for row in ledger.rows(
            "SELECT offset, length FROM batch_rows WHERE run_id = ? AND status = 'answered'", (run.id,)
        )
    )
    return Recovered(n_late, tuple(unknown), unchecked)


def reopen(ledger: Ledger, run_id: str, *, retry_unknown: bool, retry_errors: bool) -> int:
    """Have rows asked again: unknown ones, failed and skipped ones. Return how many."""
    states = (["unknown"] if retry_unknown else []) + (["failed", "skipped"] if retry_errors else [])
    with ledger.transaction() as conn:
        conn.execute("UPDATE batch_runs SET status = 'running', finished_at = NULL WHERE id = ?", (run_id,))
        if not states:
            return 0
        marks = ", ".join("?" * len(states))
        return conn.execute(
            f"DELETE FROM batch_rows WHERE run_id = ? AND status IN ({marks})",  # noqa: S608 - constants
            (run_id, *states),
        ).rowcount


def finish(ledger: Ledger, run_id: str, status: str, *, now: float) -> None:
    """Set how a run ended."""
    with ledger.transaction():
        ledger.update("batch_runs", ("id", run_id), {"status": status, "finished_at": instant(now)})


def close_sent(ledger: Ledger, run_id: str) -> None:
    """Have the rows that were in flight count as unknown."""
    with ledger.transaction() as conn:
        conn.execute("UPDATE batch_rows SET status = 'unknown' WHERE run_id = ? AND status = 'sent'", (run_id,))


def forget_text(ledger: Ledger, run_id: str) -> None:
    """Forget a run's flags (a template, a system prompt, a schema) and what equal rows were found by."""
    with ledger.transaction() as conn:
        conn.execute("UPDATE batch_runs SET options = '{}' WHERE id = ?", (run_id,))
        conn.execute("UPDATE batch_rows SET same = NULL WHERE run_id = ? AND same IS NOT NULL", (run_id,))


def runs_of(ledger: Ledger, request_ids: Sequence[str]) -> list[Run]:
    """Return the runs that some requests were rows of."""
    marks = ", ".join("?" * len(request_ids))
    return [
        _run(row)
        for row in ledger.rows(
            f"SELECT {_COLUMNS} FROM batch_runs WHERE id IN "  # noqa: S608 - constants
            f"(SELECT run_id FROM reservations WHERE request_id IN ({marks}))",
            request_ids,
        )
    ]
