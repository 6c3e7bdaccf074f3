"""When to try a failed call again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from .faults import CallError

__all__ = ["Backoff"]


MAX_BILLED = 2
"""A reply that was billed and could not be used is bought once more at most: the next is likely to be the same."""


class Backoff:
    """When to try again: exponential with full jitter, or exactly when the provider says, within a deadline.

    It lives for one prompt on one arm. Before the n-th retry, a time drawn evenly from 0 to min(`cap_s`,
    `base_s` 2^(n-1)) passes. After the second reply that was billed and could not be used, there is no other retry.

    Parameters
    ----------
    deadline_s
        How long all attempts and waits may take, in seconds from now.
    rng, clock
        Randomness, and a clock in seconds.
    max_attempts
        How many attempts there may be, the first included.
    base_s, cap_s
        The bounds of the first wait and of any wait, in seconds.
    n_billed
        How many replies this prompt has had from this arm before that were billed and could not be used.
    """

    def __init__(
        self,
        deadline_s: float,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_attempts: int = 5,
        base_s: float = 0.5,
        cap_s: float = 20.0,
        n_billed: int = 0,
    ) -> None:
        self.rng = rng
        self.clock = clock
        self.deadline = clock() + deadline_s
        self.max_attempts = max_attempts
        self.base_s = base_s
        self.cap_s = cap_s
        self.n_failed = 0
        self.n_billed = n_billed

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; at least 0."""
        return max(0.0, self.deadline - self.clock())

    def next_delay(self, error: CallError) -> float | None:
        """Return how long to wait after a failed attempt, in seconds, or None to give up."""
        self.n_failed += 1
        self.n_billed += error.billed
        if not error.retryable or self.n_failed >= self.max_attempts or self.n_billed >= MAX_BILLED:
            return None
        if error.retry_after_s is not None:
            delay = error.retry_after_s
        else:
            delay = self.rng.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** (self.n_failed - 1)))
        return delay if delay < self.left_s else None
