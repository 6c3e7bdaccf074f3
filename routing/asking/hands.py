"""Carries out what one request wants, one thing after another in the thread that asks.

What is done is the same in an event loop (`awaiting`); who waits is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from scrimp.profiles.errors import LedgerError
from scrimp.profiles.money import format_usd
from scrimp.routing.calls.faults import CallError
from scrimp.routing.checks.base import Given, run_checks
from scrimp.routing.ledger.caps import applicable_caps
from scrimp.routing.ledger.leases import leave, limited
from scrimp.routing.ledger.reservations import mark_sent, reap, reserve
from scrimp.routing.ledger.store import instant

from .books import Settlement, write
from .guarding import heard_private
from .turns import expected_tokens, take_turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.calls.call import Delta, Reply
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.strategies.protocol import Test

    from .books import Record
    from .paid_call import Pause, Reserve, Send
    from .request import Ask, Checked
    from .turns import Do

__all__ = ["BlockingHands", "Means", "RequestHands", "given_of"]

T = TypeVar("T")


def given_of(prompt: Prompt, wanted: Test) -> Given:
    """Return what checks may know of an answer to a prompt."""
    return Given(prompt.text, wanted.finish_reason, lambda: prompt.sent_to(wanted.reading))


class Means(Protocol):
    """What hands work with: as in `workspace.Workspace`, which is one."""

    ledger: Ledger

    def paying(self, arm: str) -> Profile:
        """Return whose caps stand on what is paid for calls of an arm."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """POSIX time."""
        ...

    @property
    def timer(self) -> Callable[[], float]:
        """Monotonic seconds."""
        ...

    @property
    def sleep(self) -> Callable[[float], None]:
        """Waits."""
        ...

    @property
    def say(self) -> Callable[[str], None]:
        """Takes a line for the user."""
        ...

    @property
    def attempt(self) -> Callable[..., Reply]:
        """Makes a call."""
        ...

    @property
    def aattempt(self) -> Callable[..., Awaitable[Reply]]:
        """Makes a call without blocking."""
        ...

    def make_ready(self, arm: str) -> None:
        """Import or load what calls to an arm take."""
        ...

    async def amake_ready(self, arm: str) -> None:
        """Do the same without blocking."""
        ...


class RequestHands:
    """What both kinds do alike.

    Attributes
    ----------
    unlogged
        Why the answer could not be logged; None where it was.
    on_delta
        Takes each piece of a reply as it comes, and whose it is.
    n_settled, charged_nano, unknown_nano
        The calls that are over, what the caps are charged for them, and for those of them whose cost is not known.
    """

    def __init__(self, space: Means, ask: Ask, on_delta: Callable[[Delta, str], object] | None) -> None:
        self.space = space
        self.ask = ask
        self._private = heard_private(ask, on_delta)
        self.on_delta = self._private or on_delta
        self.unlogged: str | None = None
        self.n_settled = 0
        self.charged_nano = 0
        self.unknown_nano = 0
        self._places: dict[int, int] = {}

    def what_it_cost(self, request_id: str) -> str:
        """Return the line for the user about a prompt that was interrupted."""
        if not self.charged_nano:
            return "interrupted: nothing is charged for this prompt"
        charged = f"interrupted: {format_usd(self.charged_nano)} is charged for this prompt"
        if self.unknown_nano:
            charged += ", as much as the call that was under way may cost (`scrimp spend --open`)"
        return charged if self.ask.keep == "money" else f"{charged}; `scrimp log show {request_id}` has it"

    async def turn(self, wanted: Reserve, do: Do, sleep: Callable[[float], Awaitable[object]]) -> int | None:
        """Wait until the arm's limits let one more call be made; return the number of its place, if it has one."""
        space = self.space
        arm = space.paying(wanted.charge.arm).arm(wanted.charge.arm)
        what = limited(arm)
        if what is None:
            return None
        return await take_turn(
            space.ledger,
            what,
            expected_tokens(wanted.option),
            command=wanted.charge.source,
            arm=arm.name,
            do=do,
            sleep=sleep,
            timer=space.timer,
            say=space.say,
        )

    def hold(self, wanted: Reserve, place: int | None, *, sent: bool = False) -> Reservation:
        """Write the intent to disk and reserve the bound, for a call with its place; `sent` as in `reserve`."""
        space, charge = self.space, wanted.charge
        now = space.clock()
        caps = applicable_caps(space.ledger, space.paying(charge.arm), charge.arm, now=now, run_id=charge.run_id)
        request = None if wanted.request is None else wanted.request()
        reservation = reserve(
            space.ledger,
            charge,
            (*caps, *wanted.own_caps),
            now=now,
            attempt=wanted.attempt,
            request=request,
            sent=sent,
        )
        if place is not None:
            self._places[reservation.id] = place
        return reservation

    def hearing(self, wanted: Send) -> Callable[[Delta], object] | None:
        """Return what takes the pieces of a reply, to the ticket and to whoever hears them; None where nobody does."""
        hear = self.on_delta
        if hear is None or not wanted.streams:
            return None

        def heard(delta: Delta) -> None:
            wanted.ticket.hear(delta)
            hear(delta, wanted.reservation.arm)

        return heard

    def say_rest(self) -> None:
        """Pass on what was held back of the answer, in case it became a placeholder."""
        if self._private is not None:
            self._private.end()

    def tested(self, wanted: Test) -> tuple[Verdict, ...]:
        """Run checks."""
        return run_checks(wanted.checks, wanted.text, given_of(self.ask.prompt, wanted))

    def count(self, records: list[Record]) -> None:
        """Count what calls have cost."""
        settled = [record for record in records if isinstance(record, Settlement)]
        self.n_settled += len(settled)
        self.charged_nano += sum(record.charged_nano for record in settled)
        self.unknown_nano += sum(record.charged_nano for record in settled if record.cost_nano is None)

    def put(self, records: list[Record]) -> None:
        """Write records to the ledger."""
        now = self.space.clock()
        with self.space.ledger.transaction():
            write(self.space.ledger, records, now=now, at=instant(now))
            for record in records:
                if isinstance(record, Settlement):
                    self.free(self._places.pop(record.reservation.id, None))

    def free(self, place: int | None) -> None:
        """Give the place of a call back."""
        if place is not None:
            leave(self.space.ledger, place)

    def failed(self, error: LedgerError, outcome: Checked | BaseException) -> None:
        """Meet a ledger that could not be written at the end.

        An answer is paid for, so it is shown. The reservation stays charged, and is `unknown` once this process ends.
        """
        if isinstance(outcome, BaseException):
            raise error
        self.unlogged = error.message


async def _at_once(do: Callable[[], T]) -> T:
    return do()


class BlockingHands(RequestHands):
    """Does one thing after another, in the thread that asks: nothing is awaited."""

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Import what the call takes, then reserve: a kill meanwhile costs nothing."""
        self.space.make_ready(wanted.charge.arm)
        place = await self.turn(wanted, _at_once, self._sleep)
        try:
            return self.hold(wanted, place)
        except BaseException:
            self.free(place)
            raise

    async def _sleep(self, seconds: float) -> None:
        self.space.sleep(seconds)

    async def send(self, wanted: Send) -> Reply | CallError:
        """Make the call."""
        ticket = wanted.ticket

        def leaving() -> None:
            mark_sent(self.space.ledger, wanted.reservation.id)
            ticket.sent = True

        try:
            return self.space.attempt(wanted.call, self.hearing(wanted), leaving)
        except CallError as error:
            return error

    async def pause(self, wanted: Pause) -> None:
        """Sleep."""
        if wanted.for_caps:
            reap(self.space.ledger, now=self.space.clock())
        self.space.sleep(wanted.seconds)

    async def test(self, wanted: Test) -> tuple[Verdict, ...]:
        """Run checks."""
        return self.tested(wanted)

    async def write(self, records: list[Record]) -> None:
        """Write records."""
        self.count(records)
        self.put(records)

    async def finish(self, records: list[Record], outcome: Checked | BaseException) -> None:
        """Write the last records."""
        self.say_rest()
        try:
            await self.write(records)
        except LedgerError as error:
            self.failed(error, outcome)
