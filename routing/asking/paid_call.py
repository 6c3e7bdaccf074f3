"""The one way for money: reserve, send, settle, and try again where that may help.

`paid_call` does nothing itself: it yields what is to be done, and is sent what came of it, so that one rule holds for
every command that pays, whether it blocks or awaits (`drive`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import format_usd
from scrimp.profiles.rungs import bare_of
from scrimp.routing.calls.backoff import Backoff
from scrimp.routing.calls.call import TextDelta, other_model
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.tool_calls import as_text
from scrimp.routing.calls.whole_prompt import cut_prompt
from scrimp.routing.ledger.caps import Cap, RefusedError
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import instant
from scrimp.routing.prices.charge import charge
from scrimp.routing.prices.stated import Stated
from scrimp.routing.prices.usage import check_usage

from .books import Settlement
from .log_rows import attempt_row

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator, Mapping

    from scrimp.profiles.schema import Arm
    from scrimp.routing.calls.call import Call, Delta, Reply, UsageStatus
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.usage import Usage

    from .request import Ask

__all__ = [
    "Bill",
    "Failed",
    "Halted",
    "Left",
    "Paid",
    "Pause",
    "Reserve",
    "Send",
    "Terms",
    "Ticket",
    "breach_note",
    "paid_call",
]

LIVE_WAIT_S: Final = 10.0
"""How long a call waits, seconds, when only other calls in flight stand in its way."""

CAP_POLL_S: Final = 0.2
"""How often it looks again meanwhile, seconds."""


class Halted(Exception):  # noqa: N818 - it is no error
    """The run that a request belongs to sends nothing more: the request is left as it is, to be resumed later."""


class Left(Halted):
    """A call is left with a provider's batch: it is not over, and is settled by whoever collects it."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Write the intent to disk and reserve the bound; sends back the `Reservation`.

    Raises into the generator `RefusedError` (a cap leaves too little) and `ArmUnavailableError` (suspended, or blocked
    for the rest of a run).

    Attributes
    ----------
    charge
        The call and its upper bound.
    own_caps
        Caps of the request itself, beside those of the profile.
    attempt
        Row of `attempts` to write in the same transaction.
    request
        Makes the row of `requests` to write with it; None where that is written already, or none is kept.
    option
        What was predicted of the arm for this prompt.
    """

    charge: Charge
    own_caps: tuple[Cap, ...]
    attempt: Mapping[str, object]
    request: Callable[[], Mapping[str, object]] | None
    option: Option


@dataclass(slots=True)
class Ticket:
    """How far a call has got, kept up to date while it is made, so that it can be settled whatever ends it.

    Attributes
    ----------
    sent
        Whether its first byte may have left: if not, it cannot be billed.
    text
        The pieces of the answer that were shown, in order.
    n_tool_pieces
        How many pieces of tool calls were.
    queued_s
        How long it stood in a provider's batch, seconds: that does not count against the request's deadline.
    """

    sent: bool = False
    text: list[str] = field(default_factory=list)
    n_tool_pieces: int = 0
    queued_s: float = 0.0

    def hear(self, delta: Delta) -> None:
        """Take note of a piece that is shown."""
        if isinstance(delta, TextDelta):
            self.text.append(delta.text)
        else:
            self.n_tool_pieces += 1

    @property
    def shown(self) -> int:
        """Characters of the answer that are shown, and pieces of tool calls: above 0, it is not bought again."""
        return sum(map(len, self.text)) + self.n_tool_pieces


@dataclass(frozen=True, slots=True)
class Send:
    """Make the call, and keep its ticket up to date; sends back the reply, or the error that it ended in.

    Attributes
    ----------
    call
        What goes to the model.
    reservation
        What is held for it.
    streams
        Whether its text may be shown as it comes.
    ticket
        How far it has got.
    """

    call: Call
    reservation: Reservation
    streams: bool
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait.

    Attributes
    ----------
    seconds
        How long.
    for_caps
        Whether it is other calls that are waited for, to settle; else it is the time before another attempt.
    """

    seconds: float
    for_caps: bool = False


@dataclass(slots=True)
class Bill:
    """The calls of a request so far, and their money.

    Attributes
    ----------
    n_attempts
        How many calls were reserved and made.
    charged_nano
        What the caps are charged for them, nano-USD.
    cost_nano
        What they cost, nano-USD; None once a part of it is not known.
    logged
        Whether the request's intent is on record.
    partial
        What had come of the answer when its call was interrupted, or broke off.
    errors
        Arm and error of each attempt that failed, in order.
    queued_s
        How long its calls waited for their turns and for the caps, seconds: that does not count against its deadline.
    """

    n_attempts: int = 0
    charged_nano: int = 0
    cost_nano: int | None = 0
    logged: bool = False
    partial: str = ""
    errors: list[tuple[str, CallError]] = field(default_factory=list)
    queued_s: float = 0.0

    def add(self, settlement: Settlement) -> None:
        """Count an attempt that is over."""
        self.charged_nano += settlement.charged_nano
        known = settlement.cost_nano is not None and self.cost_nano is not None
        self.cost_nano = (self.cost_nano or 0) + (settlement.cost_nano or 0) if known else None


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a call is made.

    Attributes
    ----------
    ask, request_id
        The request that it is for, and its id in the log.
    profile
        The name of the profile that pays.
    arm, option, price
        The arm, what was predicted of it for this prompt (its bound included), and its price.
    price_id
        Returns the ledger's id of that price.
    call
        Makes the call of an attempt, given the seconds that are left.
    kind
        What the log calls the first attempt: first, retry, fallback, step, or what else the call is for (`Role`).
    request_row
        Makes the request's row of the log, given the POSIX time.
    answers
        Whether its answer is one to the request's prompt: that of a judge or a sample is not.
    window
        The arm's context window in tokens; None where it is not known.
    streams
        Whether its text may be shown as it comes.
    started
        When the request began, by the timer; its deadline counts from there.
    caps_wait_s
        How long to wait, seconds, where only live calls stand in the way; None for as long as it takes.
    instructions
        What tells the instructions that the arm is asked with from others; None where it is asked without.
    price_in
        Returns the arm's price in a lane (`Reservation.lane`); None where it has one price alone.
    """

    ask: Ask
    request_id: str
    profile: str
    arm: Arm
    option: Option
    price: ArmPrice
    price_id: Callable[[], int]
    call: Callable[[float], Call]
    kind: str
    request_row: Callable[[float], Mapping[str, object]]
    answers: bool
    window: int | None
    streams: bool
    started: float
    caps_wait_s: float | None = LIVE_WAIT_S
    instructions: str | None = None
    price_in: Callable[[str], ArmPrice] | None = None

    def price_of(self, reservation: Reservation) -> ArmPrice:
        """Return what a call is charged at."""
        if self.price_in is None or reservation.lane is None:
            return self.price
        return self.price_in(reservation.lane)


@dataclass(frozen=True, slots=True)
class Paid:
    """A call that was answered.

    Attributes
    ----------
    reply
        What came.
    settlement
        What it is charged.
    usage
        The tokens that were used; None where the provider did not say, or said what cannot be.
    usage_status
        What is thought of the usage that was reported.
    cut_prompt
        A remark where the provider says that it read far less than it was sent; None where it does not.
    remarks
        What else the provider says of its price, for the user.
    """

    reply: Reply
    settlement: Settlement
    usage: Usage | None
    usage_status: UsageStatus
    cut_prompt: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that was not answered.

    Attributes
    ----------
    error
        How the last attempt ended.
    shown
        Whether a part of its answer was shown.
    """

    error: CallError
    shown: bool = False


Command = Reserve | Send | Pause | Settlement


def paid_call(
    terms: Terms,
    bill: Bill,
    *,
    rng: random.Random,
    clock: Callable[[], float],
    timer: Callable[[], float],
    say: Callable[[str], None],
) -> Generator[Command, Any, Paid | Failed]:
    """Buy one answer.

    Yields `Reserve`, `Send` and `Pause`, which send something back, and `Settlement`, which does not. Whatever is
    thrown in while a call is out (an interrupt, a bug) is settled first and raised again.

    Parameters
    ----------
    clock, timer
        POSIX time, for what is written down; monotonic seconds, for deadlines: clocks are set while calls wait.

    Raises
    ------
    RefusedError
        If a cap leaves too little.
    ArmUnavailableError
        If the arm takes no calls.
    """
    kind = terms.kind
    n_billed = sum(error.billed for arm, error in bill.errors if arm == terms.option.arm)
    backoff = Backoff(_left_s(terms, bill, timer), rng, timer, n_billed=n_billed)
    while True:
        call = terms.call(_left_s(terms, bill, timer))
        began = timer()
        reservation: Reservation = yield from _reserve(terms, bill, kind, clock, timer)
        bill.queued_s += timer() - began
        backoff.deadline += timer() - began
        bill.logged = True
        bill.n_attempts += 1
        ticket = Ticket()
        try:
            outcome: Reply | CallError = yield Send(call, reservation, terms.streams, ticket)
        except Left:
            raise
        except BaseException as error:
            settlement = _interrupted(reservation, ticket, error)
            bill.add(settlement)
            bill.partial = "".join(ticket.text)
            yield settlement
            raise
        bill.queued_s += ticket.queued_s
        backoff.deadline += ticket.queued_s
        if not isinstance(outcome, CallError):
            paid = _settled(terms, reservation, outcome, call)
            bill.add(paid.settlement)
            yield paid.settlement
            return paid
        failure = outcome
        settlement = _failed(terms, reservation, failure, shown=ticket.shown)
        bill.add(settlement)
        yield settlement
        if settlement.breach:
            say(breach_note(terms.option.arm, settlement))
        bill.errors.append((terms.option.arm, failure))
        part = "" if failure.reply is None else failure.reply.text
        if failure.reply is not None and call.tools:
            part = part or as_text(failure.reply.tool_calls)
        if terms.answers:
            bill.partial = part or bill.partial
        # What came in part was billed, and is shown, on a terminal already: it is not bought again.
        delay = None if ticket.shown or part else backoff.next_delay(failure)
        if delay is None:
            say(f"{terms.option.arm}: {failure.message}")
            return Failed(failure, shown=ticket.shown > 0)
        say(f"{terms.option.arm}: {failure.message}; trying again in {delay:.1f} s")
        yield Pause(delay)
        kind = "retry"


def _left_s(terms: Terms, bill: Bill, timer: Callable[[], float]) -> float:
    """Return how long a request may still take, seconds."""
    return max(0.0, terms.started + terms.ask.deadline_s + bill.queued_s - timer())


def _reserve(
    terms: Terms, bill: Bill, kind: str, clock: Callable[[], float], timer: Callable[[], float]
) -> Generator[Reserve | Pause, Any, Reservation]:
    """Reserve the bound; wait a little where only live calls stand in the way."""
    ask, option = terms.ask, terms.option
    deadline = None if terms.caps_wait_s is None else timer() + terms.caps_wait_s
    own: tuple[Cap, ...] = ()
    if ask.wishes.max_cost_nano is not None:
        own = (Cap("--max-cost:call", ask.wishes.max_cost_nano - bill.charged_nano, None),)
    while True:
        now = clock()
        charge = Charge(
            request_id=terms.request_id,
            profile=terms.profile,
            arm=bare_of(option.arm),
            bound_nano=option.bound_nano or 0,
            source=ask.command,
            run_id=ask.run_id or terms.request_id,
            tag=ask.tag,
            price_id=terms.price_id(),
            cap_override_nano=ask.cap_override_nano,
        )
        attempt = {
            "request_id": terms.request_id,
            "seq": bill.n_attempts + 1,
            "kind": kind,
            "arm": option.arm,
            "requested_model": terms.arm.model,
            "started_at": instant(now),
            "input_bound": option.input_bound,
            "output_limit": option.output_limit,
            "instructions": terms.instructions,
            "expected_output": option.output_tokens_p50,
            "expected_output_p90": option.output_tokens_p90,
            "prompt_output": option.prompt_output,
            "expected_s": option.seconds,
            "expected_s_p90": option.seconds_p90,
        }
        request = None if bill.logged or ask.keep == "money" else partial(terms.request_row, now)
        try:
            reservation: Reservation = yield Reserve(charge, own, attempt, request, option)
        except RefusedError as refusal:
            if not refusal.only_live or (deadline is not None and timer() >= deadline):
                raise
            yield Pause(CAP_POLL_S, for_caps=True)
        else:
            return reservation


def _usage(terms: Terms, reply: Reply) -> tuple[Usage | None, UsageStatus]:
    """Return what a reply says it used where that can be true of this arm and this call, and what is thought of it."""
    usage, status = reply.usage, reply.usage_status
    if usage is not None:
        option = terms.option
        status = check_usage(
            usage, input_bound=option.input_bound, output_limit=option.output_limit, window=terms.window
        )
    return (usage if status == "reported" else None), status


def _settled(terms: Terms, reservation: Reservation, reply: Reply, call: Call) -> Paid:
    """Settle an answer to the truth."""
    usage, status = _usage(terms, reply)
    cost, remarks = charge(terms.price_of(reservation), usage, reply.stated, bound_nano=reservation.bound_nano)
    request: dict[str, Any] = {}
    if terms.answers and terms.ask.keep != "money":
        request = {"status": "ok", "arm": terms.option.arm}
        if terms.ask.keep == "all":
            request["answer"] = reply.text or as_text(reply.tool_calls)
    odd = [] if status == "reported" else [f"usage {status}"]
    other = other_model(reply, terms.arm.model)
    n_read = None if usage is None else usage.input_tokens
    unread = cut_prompt(call.messages, n_read, terms.arm.model, terms.arm.name)
    settlement = Settlement(
        reservation,
        cost,
        released=False,
        attempt=_attempt(reservation, reply, usage, status, cost),
        request=request,
        request_id=terms.request_id,
        note="; ".join([*odd, *remarks, *(each for each in (other, unread) if each)]) or None,
        answers=terms.answers,
    )
    return Paid(reply, settlement, usage, status, unread, remarks)


def _attempt(
    reservation: Reservation, reply: Reply, usage: Usage | None, status: UsageStatus, cost: int | None
) -> dict[str, object]:
    """Return the columns of a reply; how long a provider's batch took says nothing of the arm's pace."""
    row = attempt_row(reply, usage, status, cost)
    return row | {"latency_s": None} if reservation.lane == "batch" else row


def _failed(terms: Terms, reservation: Reservation, error: CallError, *, shown: int) -> Settlement:
    """Give back what a failed call certainly did not cost; charge what it reported, or else the whole bound."""
    usage: Usage | None = None
    status: UsageStatus = "missing"
    if error.reply is not None:
        usage, status = _usage(terms, error.reply)
    stated = Stated() if error.reply is None else error.reply.stated
    released = error.billable == "no" and not shown and usage is None and not stated.cost_nano
    price = terms.price_of(reservation)
    cost, remarks = (0, ()) if released else charge(price, usage, stated, bound_nano=reservation.bound_nano)
    # A provider's error may quote the prompt.
    columns: dict[str, object] = {
        "error_kind": error.kind,
        "error": error.message if terms.ask.keep == "all" else None,
    }
    if error.reply is not None:
        columns |= _attempt(reservation, error.reply, usage, status, cost)
    note = None if released else "; ".join([f"{error.kind}: may have been billed", *remarks])
    return Settlement(reservation, cost, released=released, attempt=columns, note=note)


def _interrupted(reservation: Reservation, ticket: Ticket, error: BaseException) -> Settlement:
    """Settle a call that was left before its answer came: what may have been sent stays charged."""
    by_hand = type(error).__name__ in ("KeyboardInterrupt", "CancelledError")
    kind = "interrupted" if by_hand else type(error).__name__
    released = not ticket.sent
    note = "interrupted" if by_hand else "ended early"
    return Settlement(
        reservation,
        0 if released else None,
        released=released,
        attempt={"error_kind": kind},
        note=f"{note} before it was sent" if released else note,
    )


def breach_note(arm: str, settlement: Settlement) -> str:
    """Return the line for the user about a call that cost more than was held for it."""
    return (
        f"{arm} charged {format_usd(settlement.charged_nano)}, above its enforced bound of "
        f"{format_usd(settlement.reservation.bound_nano)}: it is suspended until `scrimp models resume {arm}`"
    )
