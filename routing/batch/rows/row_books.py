"""What rows of a run have written about them, as data: the same in the run's own process and beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

from scrimp.routing.asking.books import write
from scrimp.routing.batch.files.output import Result, result_of
from scrimp.routing.batch.planning.money import caps_of
from scrimp.routing.batch.state.scribe import Scribe, Span
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.leases import Limited, Moment, Places, Released, leave, settle_places, take_slice
from scrimp.routing.ledger.reservations import mark_sent, reap, reserve
from scrimp.routing.ledger.store import instant

from .many_rows import ManyRows, filed
from .written import Begun, Ended, Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Begun", "Ended", "RowBooks", "RunBooks"]

T = TypeVar("T")


class RowBooks(Protocol):
    """Where rows have things written; each is on disk when the answer comes."""

    @property
    def failure(self) -> Exception | None:
        """Why nothing more can be written; None where it can."""
        ...

    def begin(self, begun: Begun) -> asyncio.Future[Reservation]:
        """Write the intent, and reserve the bound; the future raises what `reservations.reserve` does."""
        ...

    async def sent(self, reservation: Reservation) -> None:
        """Take note that a call is about to leave."""
        ...

    def end(self, ended: Ended) -> asyncio.Future[str]:
        """Write records and the result, if there is one; the future has the row's state, `""` where it goes on."""
        ...

    async def answer_of(self, same: bytes) -> Result | None:
        """Return the answer that an equal row had; None where none had one."""
        ...

    async def reap(self, now: float) -> None:
        """Have reservations of dead processes looked for."""
        ...

    async def settle_places(self, account: str, limit: int, *, lease: int | None, wanted: int, keep: int) -> Places:
        """Take part in what all processes share (`leases.settle_places`)."""
        ...

    async def leave(self, lease: int) -> None:
        """Give places back (`leases.leave`)."""
        ...

    async def take_slice(self, what: Limited, *, requests: int, tokens: int) -> tuple[Released | None, Released | None]:
        """Take of the minute (`leases.take_slice`)."""
        ...


class RunBooks:
    """The run's own: its journal, then the ledger, by its scribe.

    Parameters
    ----------
    ledger, journal, run_id
        Its state on disk.
    profile, max_cost_nano
        Whose caps stand on its calls, and the cap on the run itself.
    clock
        POSIX time.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        run_id: str,
        profile: Profile,
        *,
        max_cost_nano: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.ledger = ledger
        self.journal = journal
        self.run_id = run_id
        self.profile = profile
        self.max_cost_nano = max_cost_nano
        self.clock = clock

    def open(self) -> None:
        """Let the scribe begin."""
        self.ledger.sort_in_memory(True)
        self.scribe = Scribe(self.ledger, self.journal, self.run_id, lambda coming: ManyRows(self, coming))

    def close(self) -> None:
        """Finish what was given, and stop."""
        self.scribe.close()
        self.ledger.sort_in_memory(False)

    @property
    def failure(self) -> Exception | None:
        """Why nothing more can be written; None where it can."""
        return self.scribe.failure

    def begin(self, begun: Begun) -> asyncio.Future[Reservation]:
        """Write the intent, and reserve the bound, in one transaction."""
        return self.scribe.submit(lambda _span: self._begin(begun), what=begun)

    def _begin(self, begun: Begun) -> Reservation:
        now, charge = self.clock(), begun.charge
        caps = caps_of(
            self.ledger, self.profile, charge.arm, run_id=self.run_id, max_cost_nano=self.max_cost_nano, now=now
        )
        reservation = reserve(
            self.ledger,
            charge,
            (*caps, *begun.own_caps),
            now=now,
            attempt=begun.attempt,
            request=begun.request,
            sent=begun.sent,
        )
        batches.file_row(self.ledger, self.run_id, begun.n, status="sent", request_id=charge.request_id, arm=begun.arm)
        return reservation

    async def sent(self, reservation: Reservation) -> None:
        """Take note that a call is about to leave; that need not outlive the machine's power."""
        await self.scribe.submit(
            lambda _span: mark_sent(self.ledger, reservation.id), what=Sent(reservation.id), durable=False
        )

    def end(self, ended: Ended) -> asyncio.Future[str]:
        """Write a line of the journal, then the same to the ledger."""
        return self.scribe.submit(lambda span: self._end(ended, span), ended.line, what=ended)

    def _end(self, ended: Ended, span: Span | None) -> str:
        now = self.clock()
        write(self.ledger, ended.records, now=now, at=instant(now))
        row = filed(self.run_id, ended, span)
        if row is None:
            return ""
        batches.file_rows(self.ledger, [row])
        return row[2]

    async def answer_of(self, same: bytes) -> Result | None:
        """Return the answer that an equal row had; None where none had one."""
        span = await self.scribe.submit(lambda _span: batches.same_answer(self.ledger, self.run_id, same))
        return None if span is None else result_of(self.journal.read(*span))

    async def reap(self, now: float) -> None:
        """Have reservations of dead processes looked for."""
        await self.scribe.submit(lambda _span: reap(self.ledger, now=now))

    async def settle_places(self, account: str, limit: int, *, lease: int | None, wanted: int, keep: int) -> Places:
        """Take part in what all processes share."""
        return await self._soon(
            lambda: settle_places(
                self.ledger, account, limit, lease=lease, wanted=wanted, keep=keep, urgent=False, now=Moment.now()
            )
        )

    async def leave(self, lease: int) -> None:
        """Give places back."""
        await self._soon(lambda: leave(self.ledger, lease))

    async def take_slice(self, what: Limited, *, requests: int, tokens: int) -> tuple[Released | None, Released | None]:
        """Take of the minute."""
        return await self._soon(
            lambda: take_slice(self.ledger, what, requests=requests, tokens=tokens, now=Moment.now())
        )

    async def _soon(self, do: Callable[[], T]) -> T:
        """Have something done that need not outlive the machine."""
        done: T = await asyncio.shield(self.scribe.submit(lambda _span: do(), durable=False))
        return done
