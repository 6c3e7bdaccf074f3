"""Runs of `batch`: what each was started with, how far each of its rows has come, and what it is charged."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError

from .clauses import all_of, marks, named
from .provider_batches import kept_decision
from .statements import insert_many
from .store import instant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .store import Ledger

__all__ = [
    "ANSWERED",
    "CAN_BE_RETRIED",
    "FiledRow",
    "Run",
    "add",
    "applied",
    "by_arm",
    "charges",
    "close_sent",
    "counts",
    "drop_sent",
    "fetch",
    "file_row",
    "file_rows",
    "finish",
    "forget_text",
    "known_of",
    "latest",
    "listing",
    "mark_unknown",
    "n_uncertain",
    "partial_of",
    "reopen",
    "reopen_skipped",
    "results_of",
    "row_state",
    "runs_of",
    "same_answer",
    "sent",
    "set_applied",
    "spans",
    "states",
]


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
        return partial_of(Path(self.output))

    @property
    def target(self) -> str:
        """Where the output goes in the end: elsewhere, or where it is written."""
        return self.options.get("target") or self.output


def partial_of(output: Path) -> Path:
    """Return where the journal of a run stands that writes an output."""
    return output.with_name(output.name + ".partial")


CAN_BE_RETRIED: Final = ("failed", "skipped", "unknown", "cut")
"""States of rows that `--retry-errors`, `--retry-unknown` and `--retry-cut` ask again."""

ANSWERED: Final = ("ok", "cut")
"""States of rows whose answer an equal row would get too."""

_COLUMNS = ", ".join(Run.__slots__)


# -- runs -----------------------------------------------------------------------------------------------------------


def add(ledger: Ledger, run: Run) -> None:
    """Record a new run."""
    with ledger.transaction():
        ledger.insert("batch_runs", asdict(run) | {"options": json.dumps(run.options)})


def _runs(ledger: Ledger, rest: str, parameters: Sequence[object]) -> list[Run]:
    rows = ledger.rows(f"SELECT {_COLUMNS} FROM batch_runs {rest}", parameters)  # noqa: S608 - constants
    return [Run(**{**row, "options": json.loads(row["options"])}) for row in rows]


def fetch(ledger: Ledger | None, which: str) -> Run:
    """Return a run by its id, or the beginning or the end of it (4 characters or more); `last` is the newest.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    where, parameters = named(which)
    if which == "last":
        found = listing(ledger, limit=1)
    else:
        found = [] if ledger is None else _runs(ledger, f"WHERE {where} LIMIT 2", parameters)
    if len(found) != 1:
        none = "there is no run yet" if which == "last" else f"there is no run {which!r}"
        what = f"{which!r} fits more than one run" if found else none
        raise UsageError(what, hint="`scrimp batch list` shows the runs.")
    return found[0]


def latest(ledger: Ledger | None, *, output: Path | None = None, retrying: bool = False) -> Run | None:
    """Return the last run that can go on (of an output); with `retrying`, also a finished one with such rows."""
    states = ("running", "stopped", "finished") if retrying else ("running", "stopped")
    return next((run for run in listing(ledger, output=output, limit=None) if run.status in states), None)


def listing(ledger: Ledger | None, *, output: Path | None = None, limit: int | None = 50) -> list[Run]:
    """Return the runs (of an output), newest first."""
    if ledger is None:
        return []
    where, parameters = all_of(("output = ?", None if output is None else str(output)))
    rest = f"WHERE {where} ORDER BY created_at DESC, id DESC LIMIT ?"
    return _runs(ledger, rest, (*parameters, -1 if limit is None else limit))


def runs_of(ledger: Ledger, request_ids: Sequence[str]) -> list[Run]:
    """Return the runs that some requests were rows of."""
    ids = f"SELECT run_id FROM reservations WHERE request_id IN ({marks(request_ids)})"  # noqa: S608 - marks
    return _runs(ledger, f"WHERE id IN ({ids})", request_ids)


def reopen(ledger: Ledger, run_id: str, *, again: Collection[str]) -> int:
    """Let a run go on; rows in some states (`again`) are asked anew. Return how many."""
    with ledger.transaction() as conn:
        ledger.update("batch_runs", ("id", run_id), {"status": "running", "finished_at": None})
        states = tuple(again)
        return conn.execute(
            f"DELETE FROM batch_rows WHERE run_id = ? AND status IN ({marks(states)})",  # noqa: S608 - marks
            (run_id, *states),
        ).rowcount


def reopen_skipped(ledger: Ledger, run_id: str, places: Collection[int]) -> int:
    """Have those of some rows asked anew that were skipped. Return how many."""
    with ledger.transaction() as conn:
        return sum(
            conn.execute(
                "DELETE FROM batch_rows WHERE run_id = ? AND n = ? AND status = 'skipped'", (run_id, n)
            ).rowcount
            for n in places
        )


def finish(ledger: Ledger, run_id: str, status: str, *, now: float) -> None:
    """Set how a run ended."""
    with ledger.transaction():
        ledger.update("batch_runs", ("id", run_id), {"status": status, "finished_at": instant(now)})


def applied(ledger: Ledger, run_id: str) -> int:
    """Return how many bytes of a run's journal the ledger knows."""
    (row,) = ledger.rows("SELECT applied FROM batch_runs WHERE id = ?", (run_id,))
    return int(row["applied"])


def set_applied(ledger: Ledger, run_id: str, size: int) -> None:
    """Set how many bytes of a run's journal the ledger knows, inside the caller's transaction."""
    ledger.update("batch_runs", ("id", run_id), {"applied": size})


def forget_text(ledger: Ledger, run_id: str) -> None:
    """Forget a run's flags (a template, a system prompt, a schema; not where it wrote) and what equal rows have."""
    with ledger.transaction() as conn:
        conn.execute(
            "UPDATE batch_runs SET options = iif(json_extract(options, '$.target') IS NULL, '{}', "
            "json_object('target', json_extract(options, '$.target'))) WHERE id = ?",
            (run_id,),
        )
        conn.execute("UPDATE batch_rows SET same = NULL WHERE run_id = ? AND same IS NOT NULL", (run_id,))


# -- sums -----------------------------------------------------------------------------------------------------------


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
    (row,) = ledger.rows(
        "SELECT count(*) AS n FROM batch_rows WHERE run_id = ? AND cost_nano IS NULL AND status <> 'sent'", (run_id,)
    )
    return int(row["n"])


def charges(ledger: Ledger, run_id: str) -> tuple[int, int]:
    """Return what a run is charged: (in flight, settled and unknown), nano-USD."""
    rows = ledger.rows("SELECT live_nano, fixed_nano FROM balances WHERE key = ?", (f"run:{run_id}",))
    return (rows[0]["live_nano"], rows[0]["fixed_nano"]) if rows else (0, 0)


# -- rows: `sent` (begun, and a call may be in flight), then ok, cut, failed, unknown or skipped -----------------------


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


def results_of(ledger: Ledger, run_id: str, places: Sequence[int]) -> dict[int, tuple[str, tuple[int, int] | None]]:
    """Return how some rows stand, by their places: the state, and where the journal holds the result, if it does."""
    found = {}
    for start in range(0, len(places), 500):
        some = places[start : start + 500]
        for row in ledger.rows(
            f"SELECT n, status, offset, length FROM batch_rows WHERE run_id = ? AND n IN ({marks(some)})",  # noqa: S608 - marks
            (run_id, *some),
        ):
            found[row["n"]] = row["status"], None if row["offset"] is None else (row["offset"], row["length"])
    return found


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
    span: tuple[int, int] | None = None,
) -> None:
    """Set how far a row has come, inside the caller's transaction.

    Parameters
    ----------
    same
        What equal rows find it by.
    span
        Where the journal holds its result: offset and length in bytes.
    """
    offset, length = span or (None, None)
    file_rows(ledger, [(run_id, n, status, request_id, arm, cost_nano, same, offset, length)])


FiledRow = tuple[str, int, str, str | None, str | None, int | None, bytes | None, int | None, int | None]
"""A row of `batch_rows`: run_id, n, status, request_id, arm, cost_nano, same, offset, length."""

_FILED: Final = ("run_id", "n", "status", "request_id", "arm", "cost_nano", "same", "offset", "length")


def file_rows(ledger: Ledger, rows: Sequence[FiledRow]) -> None:
    """Set how far rows have come, inside the caller's transaction; what is said last of a row holds."""
    insert_many(ledger.conn, "batch_rows", _FILED, rows, verb="INSERT OR REPLACE")


def same_answer(ledger: Ledger, run_id: str, same: bytes) -> tuple[int, int] | None:
    """Return where the journal holds the answer to an equal row, or None."""
    rows = ledger.rows(
        "SELECT offset, length FROM batch_rows WHERE run_id = ? AND same = ? AND status IN ('ok', 'cut') LIMIT 1",
        (run_id, same),
    )
    return (rows[0]["offset"], rows[0]["length"]) if rows else None


def spans(ledger: Ledger, run_id: str, *, ordered: bool) -> Iterator[tuple[int, int]]:
    """Yield where the journal holds each row's result: by the rows' order, or as they came."""
    order = "n" if ordered else "offset"
    yield from ledger.conn.execute(
        f"SELECT offset, length FROM batch_rows WHERE run_id = ? AND offset IS NOT NULL ORDER BY {order}",  # noqa: S608 - constants
        (run_id,),
    )


def sent(ledger: Ledger, run_id: str) -> dict[str, int]:
    """Return the rows that were begun and have no result: their places, by request."""
    rows = ledger.rows("SELECT n, request_id FROM batch_rows WHERE run_id = ? AND status = 'sent'", (run_id,))
    return {row["request_id"]: row["n"] for row in rows}


def close_sent(ledger: Ledger, run_id: str) -> None:
    """Have the rows that were in flight count as unknown."""
    with ledger.transaction() as conn:
        conn.execute("UPDATE batch_rows SET status = 'unknown' WHERE run_id = ? AND status = 'sent'", (run_id,))


def mark_unknown(ledger: Ledger, run_id: str, *, retry: bool) -> tuple[int, ...]:
    """Have the rows whose last call may have been answered count as unknown; return their places.

    Parameters
    ----------
    retry
        Have them, and those that counted so before, be begun without a result: they are gone on with.
    """
    last = (  # what a provider's batch holds is not lost: its row waits for it
        "(SELECT CASE WHEN r.status = 'reserved' AND r.holder IS NOT NULL THEN 'waiting' ELSE r.status END "
        "FROM reservations r WHERE r.request_id = b.request_id ORDER BY r.id DESC LIMIT 1)"
    )
    with ledger.transaction() as conn:
        found = ledger.rows(
            f"UPDATE batch_rows AS b SET status = 'unknown' WHERE run_id = ? AND status = 'sent' "  # noqa: S608 - constants
            f"AND {last} IN ('unknown', 'reserved') RETURNING n",
            (run_id,),
        )
        if retry:
            conn.execute(
                "UPDATE batch_rows SET status = 'sent', offset = NULL, length = NULL "
                "WHERE run_id = ? AND status = 'unknown'",
                (run_id,),
            )
    return tuple(sorted(row["n"] for row in found))


def drop_sent(ledger: Ledger, run_id: str, places: Collection[int]) -> None:
    """Have rows that were begun count as never begun."""
    with ledger.transaction() as conn:
        conn.executemany(
            "DELETE FROM batch_rows WHERE run_id = ? AND n = ? AND status = 'sent'", [(run_id, n) for n in places]
        )


def known_of(ledger: Ledger, request_id: str) -> dict[str, Any]:
    """Return what is on record of a row's request.

    Returns
    -------
    decision (JSON; None where none is on record), logged (whether the log holds it), n_calls, charged_nano, and
    cost_nano (None: a part of it is not known). A call that a provider's batch holds is not among them: it is not over.
    """
    (row,) = ledger.rows(
        "SELECT (SELECT unpacked(decision) FROM requests WHERE id = ?1) AS decision, count(*) AS n_calls, "
        "coalesce(sum(charged_nano), 0) AS charged_nano, "
        "CASE WHEN coalesce(sum(status NOT IN ('settled', 'released')), 0) = 0 "
        "THEN coalesce(sum(charged_nano), 0) END AS cost_nano FROM reservations "
        "WHERE request_id = ?1 AND NOT (status = 'reserved' AND holder IS NOT NULL)",
        (request_id,),
    )
    return row | {
        "logged": row["decision"] is not None,
        "decision": row["decision"] or kept_decision(ledger, request_id),
    }
