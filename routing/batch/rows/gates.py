"""How fast calls may go: how many of a provider are in flight."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from .turns import FIRST_COME, Rank, Waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ProviderGate"]

_CALM_S: Final = 1.0
"""After a cut, further refusals of calls that were on their way do not cut again for this long."""


class ProviderGate:
    """How many calls of one provider are in flight: additive increase, multiplicative decrease.

    Every answer raises the limit by 1/limit (so by one for each round of calls); a refusal for rate halves it, and
    holds all calls back for as long as the provider asks. Chiu and Jain (1989), Computer Networks 17(1).

    Parameters
    ----------
    most
        The limit to start at and to come back to.
    """

    def __init__(
        self,
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self.clock = clock
        self.sleep = sleep
        self._calm_until = 0.0
        self._closed_until = 0.0
        self._waiting = Waiting()

    async def enter(self, rank: Rank = FIRST_COME) -> None:
        """Wait for a place."""
        while True:
            wait = self._closed_until - self.clock()
            if wait > 0.0:
                await self.sleep(wait)
                continue
            if self.in_flight < max(1, int(self.limit)):
                self.in_flight += 1
                return
            await self._waiting.join(rank)

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._wake()

    def answered(self) -> None:
        """Count an answer."""
        self.limit = min(float(self.most), self.limit + 1.0 / self.limit)
        self._wake()

    def refused(self, retry_after_s: float | None) -> None:
        """Count a refusal for rate."""
        now = self.clock()
        if now >= self._calm_until:
            self.limit = max(1.0, self.limit / 2.0)
            self._calm_until = now + _CALM_S
        if retry_after_s is not None:
            self._closed_until = max(self._closed_until, now + retry_after_s)

    def _wake(self) -> None:
        free = max(1, int(self.limit)) - self.in_flight
        while free > 0 and self._waiting.let_go():
            free -= 1
