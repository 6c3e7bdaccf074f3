"""Carries out what one request wants beside others in an event loop (`serve`, and Python's `await`)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from scrimp.profiles.errors import LedgerError
from scrimp.routing.calls.call import TextDelta
from scrimp.routing.calls.faults import CallError
from scrimp.routing.ledger.reservations import reap
from scrimp.routing.ledger.scribe import Scribe, Work

from .books import Settlement
from .hands import RequestHands

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from scrimp.routing.calls.call import Delta, Reply
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.strategies.protocol import Test

    from .books import Record
    from .hands import Means
    from .paid_call import Pause, Reserve, Send
    from .request import Ask, Checked

__all__ = ["AwaitingHands", "attend_loop", "begin_scribe", "of_text"]

T = TypeVar("T")

_attended: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = WeakKeyDictionary()


async def attend_loop() -> None:
    """See to it that the connections of the running event loop are closed when it ends.

    Whoever ends a loop properly, as `asyncio.run` does, first closes its asynchronous generators: this makes one.
    """

    async def until_its_end() -> AsyncGenerator[None]:
        from scrimp.routing.calls.dispatch import aclose

        try:
            yield
        finally:
            await aclose()

    loop = asyncio.get_running_loop()
    if loop not in _attended:
        _attended[loop] = until_its_end()
        await anext(_attended[loop])


def begin_scribe(ledger: Ledger) -> Scribe[Work]:
    """Return a thread that writes a ledger for requests that await; `close` ends it."""
    return Scribe(ledger)


def of_text(hear: Callable[[str], object]) -> Callable[[Delta, str], object]:
    """Return what hears the pieces of a reply of which `hear` takes the text alone."""

    def heard(delta: Delta, _arm: str) -> None:
        if isinstance(delta, TextDelta):
            hear(delta.text)

    return heard


class AwaitingHands(RequestHands):
    """Does what one request wants done; what is written goes through the scribe.

    Whoever cancels the request has its call settled first.

    Parameters
    ----------
    on_delta
        Takes the pieces of the answer as they come, those of tool calls too, and the arm that each is from.
    scribe
        Writes the ledger.
    """

    def __init__(
        self, space: Means, ask: Ask, scribe: Scribe[Work], on_delta: Callable[[Delta, str], object] | None = None
    ) -> None:
        super().__init__(space, ask, on_delta)
        self.scribe = scribe

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Import what the call takes, then reserve; what was reserved while the request was cancelled is given back.

        The call counts as sent from here on, in the same transaction: it leaves at once, and each wait for the scribe
        would come on top of every answer. A kill in between charges a call that had not left.
        """
        await self.space.amake_ready(wanted.charge.arm)
        place = await self.turn(wanted, self._do, asyncio.sleep)

        done = self.scribe.put(Work.here(lambda: self.hold(wanted, place, sent=True)))
        try:
            reservation: Reservation = await asyncio.shield(done)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                unused = Settlement(await done, 0, released=True, attempt={"error_kind": "interrupted"})
                await asyncio.shield(self.scribe.put(Work.here(lambda: self.put([unused]))))
            raise
        except BaseException:
            if place is not None:
                await self._do(lambda: self.free(place))
            raise
        return reservation

    def _do(self, do: Callable[[], T]) -> Awaitable[T]:
        """Have something done by the scribe that need not outlive the machine."""
        return asyncio.shield(self.scribe.put(Work.here(do, durable=False)))

    async def send(self, wanted: Send) -> Reply | CallError:
        """Make the call."""

        def leaving() -> None:
            wanted.ticket.sent = True

        try:
            return await self.space.aattempt(wanted.call, leaving, self.hearing(wanted))
        except CallError as error:
            return error

    async def pause(self, wanted: Pause) -> None:
        """Wait."""
        if wanted.for_caps:
            await self.scribe.put(Work.here(lambda: reap(self.space.ledger, now=self.space.clock())))
        await asyncio.sleep(wanted.seconds)

    async def test(self, wanted: Test) -> tuple[Verdict, ...]:
        """Run checks; those that take time in a thread."""
        if not any(check.slow for check in wanted.checks):
            return self.tested(wanted)
        return await asyncio.to_thread(self.tested, wanted)

    async def write(self, records: list[Record]) -> None:
        """Have records written; it is not left off half-way.

        They outlive the process, and the machine's power with the next reservation: lost before that, the call counts
        as unknown, at its bound.
        """
        self.count(records)
        if records:
            await asyncio.shield(self.scribe.put(Work.here(lambda: self.put(records), durable=False)))

    async def finish(self, records: list[Record], outcome: Checked | BaseException) -> None:
        """Have the last records written."""
        self.say_rest()
        try:
            await self.write(records)
        except LedgerError as error:
            self.failed(error, outcome)
