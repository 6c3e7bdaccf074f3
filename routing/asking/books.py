"""What is to be written about a request, as data, and the one place that settles.

Records go to a journal first, where there is one, then to the ledger.
A kill between journal and ledger loses nothing: the same records, read back, lead to the same rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger.conversations import keep_summary
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.reservations import Reservation, believed_nano, settle
from scrimp.routing.ledger.steps import write_step
from scrimp.routing.plans.record import label_rows
from scrimp.routing.strategies.protocol import Outcome, Role, Step, verdict_dict
from scrimp.routing.text.compare import QUORUMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scrimp.routing.checks.base import Check
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Called", "Closing", "Record", "Settlement", "Summed", "digest_of", "kinds_of", "read_record", "write"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended.

    Attributes
    ----------
    reservation
        What was held for it.
    cost_nano
        What it cost, nano-USD; None where that is not known: the whole reservation stays charged.
    released
        Whether it certainly cost nothing.
    attempt
        Columns of `attempts` to set.
    request, request_id
        Columns of `requests` to set, and of which row; empty where the answer in hand is not the request's.
    note
        A remark for the reservation, or None.
    answers
        Whether it got an answer that may be the request's; not so that of a judge or a sample.
    """

    reservation: Reservation
    cost_nano: int | None
    released: bool
    attempt: Mapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    note: str | None = None
    answers: bool = False

    def __post_init__(self) -> None:
        """Have a cost that cannot be one count as not known, wherever it came from."""
        if self.cost_nano is not None and believed_nano(self.cost_nano) is None:
            why = f"a cost of {self.cost_nano!r:.30} nano-USD cannot be"
            object.__setattr__(self, "cost_nano", None)
            object.__setattr__(self, "note", "; ".join([*([self.note] if self.note else []), why]))

    @property
    def charged_nano(self) -> int:
        """What the caps are charged for it, nano-USD."""
        return self.reservation.bound_nano if self.cost_nano is None else self.cost_nano

    @property
    def breach(self) -> bool:
        """Whether it cost more than its bound."""
        return self.charged_nano > self.reservation.bound_nano

    def to_dict(self) -> dict[str, Any]:
        """Return it as a journal keeps it."""
        return {"settled": _shallow(self) | {"reservation": _shallow(self.reservation)}}

    def write(self, ledger: Ledger, *, now: float, at: str) -> None:
        """Settle, in the caller's transaction."""
        del at
        settle(
            ledger,
            self.reservation,
            cost_nano=self.cost_nano,
            released=self.released,
            now=now,
            attempt=self.attempt,
            request=(self.request_id, self.request) if self.request else None,
            note=self.note,
        )


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a plan is over, its retries included: a killed run is resumed from these.

    Attributes
    ----------
    request_id
        The request's, in the log.
    step
        The call and its answer.
    answer
        What an `Answer` needs to know of the reply, as plain data; None where there was none.
    decision
        The request's decision, as plain data, where the log keeps no row that holds it.
    keep
        What the log keeps of it: `all`, `features` (no text), or `money` (nothing).
    logged
        Whether it becomes a row of `steps`: the only call of a prompt that nothing checks does not.
    """

    request_id: str
    step: Step
    answer: Mapping[str, Any] | None
    decision: Mapping[str, Any] | None
    keep: str
    logged: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as a journal keeps it."""
        return {"called": asdict(self)}

    def write(self, ledger: Ledger, *, now: float, at: str) -> None:
        """Write the step, in the caller's transaction."""
        del now
        self.write_steps(ledger, at=at)

    def write_steps(self, ledger: Ledger, *, at: str) -> None:
        """Write the step, where it becomes one."""
        if self.logged and self.keep != "money":
            write_step(ledger, step_row(self.request_id, self.step, keep=self.keep, at=at))


@dataclass(frozen=True, slots=True)
class Closing:
    """A request is over.

    Attributes
    ----------
    request_id
        The request's, in the log.
    request
        Columns of `requests` to set; empty where the log keeps no row of it.
    steps
        Its calls with their verdicts; empty where they are not recorded.
    kinds
        The kind of each check, by its name: its labels are weighed by it.
    keep
        What the log keeps of it: `all`, `features` (no text), or `money` (nothing).
    """

    request_id: str
    request: Mapping[str, Any]
    steps: tuple[Step, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    keep: str = "all"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a journal keeps it."""
        return {"closed": _shallow(self) | {"steps": [asdict(step) for step in self.steps]}}

    def write(self, ledger: Ledger, *, now: float, at: str) -> None:
        """Write the request's end, the verdicts on its answers, and the labels that follow from them."""
        del now
        self.write_steps(ledger, at=at)
        if self.columns:
            ledger.update("requests", ("id", self.request_id), self.columns)

    @property
    def columns(self) -> Mapping[str, Any]:
        """What is set of the request's row; nothing where the log keeps none."""
        return {} if self.keep == "money" else self.request

    def write_steps(self, ledger: Ledger, *, at: str) -> None:
        """Write all but the request's row, in the caller's transaction."""
        if self.keep == "money":
            return
        for step in self.steps:
            write_step(ledger, step_row(self.request_id, step, keep=self.keep, at=at))
            for label in label_rows(step.verdicts, self.kinds, keep_evidence=self.keep == "all"):
                add_label(ledger, request_id=self.request_id, arm=step.arm, source="check", at=at, **label)


@dataclass(frozen=True, slots=True)
class Summed:
    """A conversation's older turns were summed up: written with the settlement of the call, so that it is paid once.

    Attributes
    ----------
    request_id, conversation_id, upto
        The request that it was made for, the conversation, and the last of its turns that it covers.
    text, n_tokens
        The summary.
    request
        Columns of `requests` to set: what is sent of the conversation.
    """

    request_id: str
    conversation_id: str
    upto: str
    text: str
    n_tokens: int
    request: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a journal keeps it."""
        return {"summed": _shallow(self)}

    def write(self, ledger: Ledger, *, now: float, at: str) -> None:
        """Keep it, in the caller's transaction."""
        del now
        keep_summary(
            ledger,
            conversation_id=self.conversation_id,
            upto=self.upto,
            text=self.text,
            n_tokens=self.n_tokens,
            request_id=self.request_id,
            at=at,
        )
        if self.request:
            ledger.update("requests", ("id", self.request_id), self.request)


Record = Settlement | Called | Closing | Summed


def _shallow(value: Any) -> dict[str, Any]:
    """Return a dataclass as a dictionary without copying what is in it: thousands a second go to a journal."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def read_record(data: Mapping[str, Any]) -> Record:
    """Return a record as it was before it went to a journal."""
    ((kind, values),) = data.items()
    if kind == "settled":
        return Settlement(**{**values, "reservation": Reservation(**values["reservation"])})
    if kind == "called":
        return Called(**{**values, "step": _step(values["step"])})
    if kind == "summed":
        return Summed(**values)
    return Closing(**{**values, "steps": tuple(_step(step) for step in values["steps"])})


def _step(values: Mapping[str, Any]) -> Step:
    from scrimp.routing.checks.base import Verdict

    return Step(
        **{
            **values,
            "role": Role(values["role"]),
            "outcome": Outcome(values["outcome"]),
            "verdicts": tuple(Verdict(**verdict) for verdict in values["verdicts"]),
        }
    )


def write(ledger: Ledger, records: Iterable[Record], *, now: float, at: str) -> None:
    """Write records to the ledger, all or none: nothing is settled in any other way.

    Parameters
    ----------
    now, at
        The time: POSIX seconds, and as the ledger spells it.

    Raises
    ------
    LedgerError
        If the ledger cannot be written.
    """
    with ledger.transaction():
        for record in records:
            record.write(ledger, now=now, at=at)


def kinds_of(checks: Sequence[Check]) -> dict[str, str]:
    """Return the kind of each check, by its name; those that plans bring themselves are included."""
    return {check.name: check.kind for check in checks} | {each: each for each in QUORUMS}


def digest_of(text: str | None) -> str | None:
    """Return the SHA-256 of a prompt's text, in hexadecimal digits; None of None."""
    return None if text is None else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def step_row(request_id: str, step: Step, *, keep: str, at: str) -> dict[str, object]:
    """Return a step as a row of the log, with as much of it as the profile keeps."""
    import json

    everything = keep == "all"
    return {
        "request_id": request_id,
        "seq": step.seq,
        "stage": step.stage,
        "kind": str(step.role),
        "arm": step.arm,
        "outcome": str(step.outcome),
        "verdicts": json.dumps([verdict_dict(verdict, evidence=everything) for verdict in step.verdicts]),
        "answer": step.text if everything else None,
        "charged_nano": step.charged_nano,
        "latency_s": step.latency_s,
        "taken": int(step.taken),
        "note": step.note if everything else None,
        "asked": step.asked if everything else None,
        "asked_sha256": step.asked_sha256,
        "at": at,
    }
