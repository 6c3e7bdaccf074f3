"""The state of runs, in the ledger: what each was started with, and how far each of its rows has come."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.asking.books import Called, read_record, write
from scrimp.routing.asking.paid_call import Bill
from scrimp.routing.batch.files.output import Journal, Result
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.reservations import reap
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.plan import Plan, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scrimp.routing.asking.books import Record
    from scrimp.routing.ledger.store import Ledger

    from .scribe import Span

__all__ = [
    "Recovered",
    "Run",
    "TakenUp",
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
    "row_state",
    "runs_of",
    "same_answer",
    "spans",
    "states",
]

FINAL: Final = ("ok", "failed", "unknown", "skipped")
"""States in which a row has a result; until then it is `sent`: begun, and a call may be in flight."""

_AS_THE_RESULT: Final = "\u0000"
"""Stands in a line of the journal for the answer of its result: it is written once."""


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


def states(ledger: Ledger, run_id: str, first: int | None = None, last: int | None = None) -> dict[int, str]:
    """Return the rows that have a result, by their places; of a range, `done` for those whose result is in the journal.

    A row that was in flight when its run was killed is `unknown` there until its result is written.
    """
    if first is None:
        return dict(
            ledger.conn.execute("SELECT n, status FROM batch_rows WHERE run_id = ? AND status <> 'sent'", (run_id,))
        )
    rows = ledger.rows(
        "SELECT n, status, offset FROM batch_rows WHERE run_id = ? AND n BETWEEN ? AND ? ", (run_id, first, last)
    )
    return {row["n"]: row["status"] if row["offset"] is None else "done" for row in rows}


def row_state(ledger: Ledger, run_id: str, n: int) -> dict[str, Any]:
    """Return the request and the arm of a row that has been sent."""
    return ledger.rows("SELECT request_id, arm FROM batch_rows WHERE run_id = ? AND n = ?", (run_id, n))[0]


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


def entry(n: int, request_id: str | None, records: Sequence[Record], result: Result | None) -> bytes:
    """Return what is to be written of a row as a line of the journal: its records, and its result where it has one."""
    values = None if result is None else {name: getattr(result, name) for name in Result.__slots__}
    told = [record.to_dict() for record in records]
    for record in told:
        closed = record.get("closed")
        if closed is not None and values is not None and closed["request"].get("answer") == values["answer"]:
            closed["request"] = {**closed["request"], "answer": _AS_THE_RESULT}
    return (json.dumps({"n": n, "request": request_id, "records": told, "result": values}) + "\n").encode()


def _records(line: dict[str, Any]) -> list[Record]:
    """Return the records of a line of the journal."""
    for record in line["records"]:
        closed = record.get("closed")
        if closed is not None and closed["request"].get("answer") == _AS_THE_RESULT:
            closed["request"]["answer"] = line["result"]["answer"]
    return [read_record(record) for record in line["records"]]


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A row that a killed process had begun and that has nothing in flight: it goes on as the same request.

    Attributes
    ----------
    recorded
        Its calls that are over.
    bill
        What they came to.
    """

    decision: Decision
    plan: Plan
    recorded: tuple[Called, ...]
    bill: Bill


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found when a run was taken up again.

    Attributes
    ----------
    n_late
        Results that were on disk, but not yet in the ledger.
    unknown
        Rows that were in flight: their calls may have been answered and billed.
    taken_up
        Rows that are gone on with, by their places.
    """

    n_late: int
    unknown: tuple[int, ...]
    taken_up: dict[int, TakenUp]


def recover(ledger: Ledger, run: Run, journal: Journal, *, now: float, retry_unknown: bool = False) -> Recovered:
    """Bring a killed run's rows up to what is known of them, before anything is sent.

    Parameters
    ----------
    retry_unknown
        Go on with rows that were in flight, too: what may have been paid stays charged.
    """
    ((applied,),) = ledger.conn.execute("SELECT applied FROM batch_runs WHERE id = ?", (run.id,)).fetchall()
    if applied > journal.size:
        raise DataError(
            f"{journal.path} is shorter than the ledger remembers: results of this run are missing from it",
            hint=f"Start anew with --overwrite, or drop the run with: scrimp batch cancel {run.id}",
        )
    n_late = 0
    for offset, length, line in journal.tail(applied):
        n_late += line["result"] is not None
        with ledger.transaction():
            write(ledger, _records(line), now=now, at=instant(now))
            if (result := line["result"]) is not None:
                file_row(
                    ledger,
                    run.id,
                    line["n"],
                    status=result["status"],
                    request_id=line["request"],
                    arm=result["arm"],
                    cost_nano=result["cost_nano"],
                    span=(offset, length),
                )
            ledger.update("batch_runs", ("id", run.id), {"applied": offset + length})
    reap(ledger, now=now)
    last = "(SELECT r.status FROM reservations r WHERE r.request_id = b.request_id ORDER BY r.id DESC LIMIT 1)"
    unknown = [
        row["n"]
        for row in ledger.rows(
            f"SELECT n FROM batch_rows b WHERE run_id = ? AND status = 'sent' AND {last} IN ('unknown', 'reserved')",  # noqa: S608 - constants
            (run.id,),
        )
    ]
    with ledger.transaction() as conn:
        conn.executemany(
            "UPDATE batch_rows SET status = 'unknown' WHERE run_id = ? AND n = ?", [(run.id, n) for n in unknown]
        )
        if retry_unknown:
            conn.execute(
                "UPDATE batch_rows SET status = 'sent', offset = NULL, length = NULL WHERE run_id = ? "
                "AND status = 'unknown'",
                (run.id,),
            )
    taken_up = _take_up(ledger, run, journal)
    with ledger.transaction() as conn:
        # What cannot be gone on with is asked anew.
        conn.executemany(
            "DELETE FROM batch_rows WHERE run_id = ? AND n = ? AND status = 'sent'",
            [(run.id, n) for n, known in taken_up.items() if known is None],
        )
    going_on = {n: known for n, known in taken_up.items() if known is not None}
    return Recovered(n_late, tuple(unknown), going_on)


def _take_up(ledger: Ledger, run: Run, journal: Journal) -> dict[int, TakenUp | None]:
    """Return the rows that were begun, as far as it is known what was decided of them."""
    begun = {
        row["request_id"]: row["n"]
        for row in ledger.rows("SELECT n, request_id FROM batch_rows WHERE run_id = ? AND status = 'sent'", (run.id,))
    }
    if not begun:
        return {}
    called: dict[str, list[Called]] = {}
    for _, _, line in journal.tail(0):
        if line["request"] in begun:
            mine = called.setdefault(line["request"], [])
            mine += [record for record in _records(line) if isinstance(record, Called)]
    return {n: _taken_up(ledger, request_id, called.get(request_id, ())) for request_id, n in begun.items()}


def _taken_up(ledger: Ledger, request_id: str, called: Sequence[Called]) -> TakenUp | None:
    rows = ledger.rows("SELECT decision FROM requests WHERE id = ?", (request_id,))
    trace = json.loads(rows[0]["decision"]) if rows else called[-1].decision if called else None
    if trace is None:
        return None
    decision = Decision.from_dict(trace)
    plan = Plan((Stage((decision.arm or "",)),)) if decision.plan is None else Plan.from_dict(decision.plan)
    ((n, charged, cost),) = ledger.conn.execute(
        "SELECT count(*), coalesce(sum(charged_nano), 0), "
        "CASE WHEN sum(status NOT IN ('settled', 'released')) = 0 THEN sum(charged_nano) END "
        "FROM reservations WHERE request_id = ?",
        (request_id,),
    ).fetchall()
    return TakenUp(decision, plan, tuple(called), Bill(n, charged, cost, logged=bool(rows)))


def reopen(ledger: Ledger, run_id: str, *, retry_errors: bool) -> int:
    """Let a run go on; with `retry_errors` failed and skipped rows are asked anew. Return how many."""
    with ledger.transaction() as conn:
        conn.execute("UPDATE batch_runs SET status = 'running', finished_at = NULL WHERE id = ?", (run_id,))
        if not retry_errors:
            return 0
        return conn.execute(
            "DELETE FROM batch_rows WHERE run_id = ? AND status IN ('failed', 'skipped')", (run_id,)
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
