"""A run's part in an arm's limits that all processes keep together (`ledger.leases`), taken in blocks.

Places are held as long as the run has calls for them, so that most calls ask the ledger for nothing; every half second
the run looks whether others are due a part of them. Of the minute it takes slices of half a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from scrimp.routing.asking.paid_call import Halted
from scrimp.routing.asking.turns import expected_tokens
from scrimp.routing.ledger.leases import Limited, Places, Rate, Released

from .turns import FIRST_COME, Rank, Waiting

if TYPE_CHECKING:
    from scrimp.routing.batch.rows.row_books import RowBooks
    from scrimp.routing.deciding.policy import Option

__all__ = ["SharedLimits"]

T = TypeVar("T")

LOOK_S: Final = 0.5
"""How often the places are settled anew, seconds."""

SLICE_S: Final = 0.5
"""How much of the rate is taken at a time, seconds of it."""


class SharedLimits:
    """What one arm's calls wait for.

    Parameters
    ----------
    books
        Where the ledger is written.
    what
        The limits.
    most
        How many calls this run makes at a time at most.
    stopped
        Is set when nothing more is to be sent.
    """

    def __init__(self, books: RowBooks, what: Limited, most: int, stopped: asyncio.Event) -> None:
        self.books = books
        self.what = what
        self.most = most
        self._stopped = stopped
        self._places = Places()
        self._allowed = self._used = self._waiting = self._asked_for = 0
        self._queue = Waiting()
        self._settling = asyncio.Lock()
        self._slicing = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._settled: asyncio.Future[Places] | None = None
        self._requests: deque[Released] = deque()
        self._tokens: deque[Released] = deque()

    async def take(self, option: Option, rank: Rank = FIRST_COME) -> None:
        """Wait until one more call may be made, as it is expected to be; `give` when it is over.

        Raises
        ------
        Halted
            If nothing more is to be sent.
        """
        await self._place(rank)
        try:
            await self._share(expected_tokens(option))
        except BaseException:
            self.give()
            raise

    def give(self) -> None:
        """Let another call have the place."""
        self._used -= 1
        self._wake()

    async def close(self) -> None:
        """Give all places back; nothing is in flight any more."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        async with self._settling:
            if self._settled is not None:
                await asyncio.wait([self._settled])
            lease, self._places, self._allowed = self._places.lease, Places(), 0
            if lease is not None:
                await self.books.leave(lease)

    # -- places -----------------------------------------------------------------------------------------------------

    async def _place(self, rank: Rank) -> None:
        if self.what.concurrency is None:
            self._used += 1
            return
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        self._waiting += 1
        try:
            while self._used >= self._allowed:
                # As soon as there are calls for more than was asked for; what others hold is looked at now and then.
                if self._wanted > self._asked_for and not self._settling.locked():
                    await self._settle()
                    continue
                if self._stopped.is_set():
                    raise Halted
                await self._queue.join(rank)
            self._used += 1
        finally:
            self._waiting -= 1

    @property
    def _wanted(self) -> int:
        """How many places there are calls for."""
        return min(self._used + self._waiting, self.most)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._settle()
            if self._stopped.is_set():
                while self._queue.let_go():
                    pass

    async def _settle(self) -> None:
        """Ask for as many places as there are calls for, and give back what is due to others."""
        limit = self.what.concurrency
        assert limit is not None  # noqa: S101 - else there is nothing to settle
        async with self._settling:
            before = self._places
            self._asked_for = wanted = self._wanted
            # Until it is settled no call takes a place that is about to be given back.
            keep = max(self._used, min(before.held, wanted, before.fair))
            self._allowed = keep

            settled = asyncio.ensure_future(
                self.books.settle_places(self.what.account, limit, lease=before.lease, wanted=wanted, keep=keep)
            )
            settled.add_done_callback(self._keep)
            self._settled = settled
            found = await asyncio.shield(settled)
            self._allowed = min(found.held, max(found.fair, self._used))
            self._wake()

    def _wake(self) -> None:
        """Let as many of those go that wait as there are places."""
        free = self._allowed - self._used
        while free > 0 and self._queue.let_go():
            free -= 1

    def _keep(self, settled: asyncio.Future[Places]) -> None:
        """Keep what was settled, whoever has stopped waiting for it: it is given back in the end."""
        if not settled.cancelled() and settled.exception() is None:
            self._places = settled.result()

    # -- rates ------------------------------------------------------------------------------------------------------

    async def _share(self, tokens: int) -> None:
        """Wait for one call's share of the minute."""
        if not self.what.rates:
            return
        async with self._slicing:
            steady = time.monotonic()
            n_requests = _short(self._requests, self.what.rpm, 1, steady)
            n_tokens = _short(self._tokens, self.what.tpm, tokens, steady)
            if n_requests or n_tokens:
                taken = await self.books.take_slice(self.what, requests=n_requests, tokens=n_tokens)
                for queue, released in zip((self._requests, self._tokens), taken, strict=True):
                    if released is not None:
                        queue.append(released)
            go = max(_spent(self._requests, 1), _spent(self._tokens, tokens))
        if (wait := go - time.monotonic()) > 0.0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait)
                raise Halted


def _short(queue: deque[Released], per_minute: int | None, amount: int, steady: float) -> int:
    """Return how many more units are to be taken for `amount` of them; 0 where enough are left."""
    if per_minute is None:
        return 0
    for released in queue:
        released.drop_late(steady)
    while queue and not queue[0].left:
        queue.popleft()
    left = sum(released.left for released in queue)
    return 0 if left >= amount else max(amount - left, int(SLICE_S / Rate(per_minute).interval))


def _spent(queue: deque[Released], amount: int) -> float:
    """Use up units; return when they may go, on the steady clock.

    More than may go at once go when as many as may have come, and are paid for afterwards.
    """
    go, left, counted = 0.0, amount, 0
    for released in queue:
        n = min(left, released.left)
        if n == 0:
            continue
        burst = int(released.rate.burst)
        if counted < burst:
            go = max(go, released.time_of(min(n, burst - counted)))
        counted += n
        released.used += n
        left -= n
    return go
