"""Whose turn is next where several rows wait for the same arm or provider."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRST_COME", "Rank", "Turns", "Waiting"]

OLDEST_EVERY: Final = 8
"""Every so manieth turn is that of whoever has waited longest, so that nobody waits for ever."""


@dataclass(frozen=True, slots=True)
class Rank:
    """What lets a row go before others.

    Attributes
    ----------
    due
        POSIX time by which its answer is wanted, or one that waits for it; None: whenever it comes.
    priority
        The higher goes first.
    height
        Calls on the longest way from its answer to the end.
    seconds
        How long its answer is expected to take; 0 where that is not known.
    """

    due: float | None = None
    priority: int = 0
    height: int = 0
    seconds: float = 0.0

    def key(self, *, in_time: bool = True) -> tuple[float, int, int]:
        """Return what puts ranks in order, the first one first: deadline, priority, longest way to the end."""
        due = self.due if in_time and self.due is not None else float("inf")
        return due, -self.priority, -self.height


FIRST_COME: Final = Rank()
"""The rank of who came without one: in the order of coming."""


class Waiting:
    """Those who wait, in the order in which they are to go.

    The earliest deadline that can still be met goes first (Liu and Layland (1973), Journal of the ACM 20(1)), then the
    highest priority, then the longest way to the end, then who came first. Every eighth goes who has waited longest:
    of n that wait, none is overtaken by more than 8 n.

    Parameters
    ----------
    clock
        POSIX time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._heap: list[tuple[tuple[float, int, int], int, Rank, asyncio.Future[None]]] = []
        self._in_turn: deque[asyncio.Future[None]] = deque()
        self._came = itertools.count()
        self._n_gone = 0

    def join(self, rank: Rank) -> asyncio.Future[None]:
        """Return a future that is done when the turn has come."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (rank.key(), next(self._came), rank, place))
        self._in_turn.append(place)
        return place

    def let_go(self) -> bool:
        """Let the next one go; return False where nobody waits."""
        self._n_gone += 1
        place = self._oldest() if self._n_gone % OLDEST_EVERY == 0 else self._first()
        if place is None:
            return False
        place.set_result(None)
        return True

    def _oldest(self) -> asyncio.Future[None] | None:
        while self._in_turn:
            place = self._in_turn.popleft()
            if not place.done():
                return place
        return None

    def _first(self) -> asyncio.Future[None] | None:
        while self._heap:
            key, came, rank, place = heapq.heappop(self._heap)
            if place.done():
                continue
            if key[0] != float("inf") and self.clock() + rank.seconds > key[0]:
                # It would be late even now: who can still be in time goes first.
                heapq.heappush(self._heap, (rank.key(in_time=False), came, rank, place))
                continue
            while self._in_turn and self._in_turn[0].done():
                self._in_turn.popleft()
            return place
        return None


class Turns:
    """So many turns at a time; whoever has one gives it back.

    Parameters
    ----------
    n
        How many.
    clock
        As in `Waiting`.
    """

    def __init__(self, n: int, clock: Callable[[], float] = time.time) -> None:
        self.free = n
        self._waiting = Waiting(clock)

    async def acquire(self, rank: Rank = FIRST_COME) -> None:
        """Wait for a turn."""
        if self.free > 0:
            self.free -= 1
            return
        place = self._waiting.join(rank)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a turn back: to the next who waits, or for whoever comes."""
        if not self._waiting.let_go():
            self.free += 1
