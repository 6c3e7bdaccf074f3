"""Rows as lines of the journal, and what is known of a killed run's rows when it is taken up again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from scrimp.profiles.errors import DataError
from scrimp.routing.asking.books import Called, read_record, write
from scrimp.routing.asking.paid_call import Bill
from scrimp.routing.batch.files.output import Journal, Result, Status, result_of
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.reservations import MAX_CALL_NANO, reap, run_of
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.plan import Plan, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.asking.books import Record
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Recovered", "TakenUp", "entry", "recover", "take_up"]

_Nano = Annotated[int, msgspec.Meta(ge=0, le=MAX_CALL_NANO)]

_AS_THE_RESULT: Final = "\u0000"
"""Stands in a line of the journal for the answer of its result: it is written once."""


def entry(n: int, request_id: str | None, records: Sequence[Record], result: Result | None) -> bytes:
    """Return what is to be written of a row as a line of the journal: its records, and its result where it has one."""
    values = None if result is None else {name: getattr(result, name) for name in Result.__slots__}
    told = [record.to_dict() for record in records]
    for record in told:
        closed = record.get("closed")
        if closed is not None and values is not None and closed["request"].get("answer") == values["answer"]:
            closed["request"] = {**closed["request"], "answer": _AS_THE_RESULT}
    line = {"n": n, "request": request_id, "records": told, "result": values}
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, in an id or a cell
        return (json.dumps(line) + "\n").encode()


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

    Raises
    ------
    DataError
        If the journal is not what this run wrote: a part of it is missing, or an entry cannot be.
    """
    applied = batches.applied(ledger, run.id)
    if applied > journal.size:
        raise DataError(
            f"{journal.path} is shorter than the ledger remembers: results of this run are missing from it",
            hint=f"Start anew with --overwrite, or drop the run with: scrimp batch cancel {run.id}",
        )
    n_late = 0
    for offset, length, line in journal.tail(applied):
        records = _checked(ledger, run, journal, offset, line)
        n_late += line["result"] is not None
        with ledger.transaction():
            write(ledger, records, now=now, at=instant(now))
            if (result := line["result"]) is not None:
                batches.file_row(
                    ledger,
                    run.id,
                    line["n"],
                    status=result["status"],
                    request_id=line["request"],
                    arm=result["arm"],
                    cost_nano=result["cost_nano"],
                    span=(offset, length),
                )
            batches.set_applied(ledger, run.id, offset + length)
    reap(ledger, now=now)
    unknown = batches.mark_unknown(ledger, run.id, retry=retry_unknown)
    taken_up = take_up(ledger, run, journal, batches.sent(ledger, run.id))
    # What cannot be gone on with is asked anew.
    batches.drop_sent(ledger, run.id, [n for n, known in taken_up.items() if known is None])
    return Recovered(n_late, unknown, {n: known for n, known in taken_up.items() if known is not None})


class _Money(msgspec.Struct):
    """The amounts of an entry, and what they are about: what is taken from a file into the ledger."""

    charged_nano: _Nano


class _Held(msgspec.Struct):
    id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    bound_nano: _Nano


class _Settled(msgspec.Struct):
    reservation: _Held
    cost_nano: _Nano | None
    released: bool
    attempt: dict[str, Any]
    request: dict[str, Any]


class _CalledStep(msgspec.Struct):
    step: _Money
    request_id: str


class _Closed(msgspec.Struct):
    request_id: str
    request: dict[str, Any]
    steps: list[_Money]


class _Record(msgspec.Struct):
    settled: _Settled | None = None
    called: _CalledStep | None = None
    closed: _Closed | None = None


class _Row(msgspec.Struct):
    status: Status
    arm: str | None
    cost_nano: _Nano | None


class _Line(msgspec.Struct):
    n: Annotated[int, msgspec.Meta(ge=0)]
    request: str | None
    records: list[_Record]
    result: _Row | None


def _checked(ledger: Ledger, run: Run, journal: Journal, offset: int, line: object) -> list[Record]:
    """Return the records of a line of the journal, which may have been edited by hand.

    Raises
    ------
    DataError
        If it is not what this run wrote: an amount that cannot be, a call of another run, a column that is not there.
    """
    try:
        shape = msgspec.convert(line, _Line)
        assert isinstance(line, dict)  # noqa: S101 - as the shape says
        for record in shape.records:
            if record.settled is not None:
                call = record.settled.reservation.id
                if run_of(ledger, call) != run.id:
                    raise _damaged(journal, offset, f"call {call} is not of this run")
                for table, values in (("attempts", record.settled.attempt), ("requests", record.settled.request)):
                    if strange := values.keys() - ledger.columns(table):
                        raise _damaged(journal, offset, f"{table} have no {min(strange)!r:.40}")
            elif record.closed is not None and (strange := record.closed.request.keys() - ledger.columns("requests")):
                raise _damaged(journal, offset, f"requests have no {min(strange)!r:.40}")
        if shape.result is not None:
            result_of(line)
        return _records(line)
    except (msgspec.ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(journal, offset, str(error)) from None


def _damaged(journal: Journal, offset: int, what: str) -> DataError:
    with journal.path.open("rb") as file:
        line = file.read(offset).count(b"\n") + 1
    return DataError(
        f"{journal.path}, line {line}: this is not what the run wrote: {what}",
        hint="Nothing was sent, and nothing of that line was taken over. Put it back as it was, or start anew with "
        "--overwrite: calls without a result stay charged at their upper bounds (`scrimp spend --open`).",
    )


def take_up(ledger: Ledger, run: Run, journal: Journal, begun: Mapping[str, int]) -> dict[int, TakenUp | None]:
    """Return rows that were begun, as far as it is known what was decided of them.

    Parameters
    ----------
    begun
        Their places, by request.
    """
    if not begun:
        return {}
    called: dict[str, list[Called]] = {}
    for offset, _, line in journal.tail(0):
        if isinstance(line, dict) and line.get("request") in begun:
            mine = called.setdefault(line["request"], [])
            records = _checked(ledger, run, journal, offset, line)
            mine += [record for record in records if isinstance(record, Called)]
    return {n: _taken_up(ledger, request_id, called.get(request_id, ())) for request_id, n in begun.items()}


def _taken_up(ledger: Ledger, request_id: str, called: Sequence[Called]) -> TakenUp | None:
    known = batches.known_of(ledger, request_id)
    logged = known["logged"]
    trace = json.loads(known["decision"]) if known["decision"] is not None else called[-1].decision if called else None
    if trace is None:
        return None
    decision = Decision.from_dict(trace)
    plan = Plan((Stage((decision.arm or "",)),)) if decision.plan is None else Plan.from_dict(decision.plan)
    bill = Bill(known["n_calls"], known["charged_nano"], known["cost_nano"], logged=logged)
    return TakenUp(decision, plan, tuple(called), bill)
