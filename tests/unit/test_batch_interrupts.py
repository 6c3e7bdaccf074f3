"""A run that is interrupted twice, while litellm is still putting its calls together in threads."""

import asyncio
import os
import signal
import warnings
from types import SimpleNamespace

from scrimp.cli.batching import _drive


class Run:
    """What `_drive` needs of a run: a call that is given up leaves its coroutine to nobody, as litellm's do."""

    def __init__(self):
        self.stats = SimpleNamespace(stopping=None)
        self.engine = self
        self.cap_nano = None
        self.stops = asyncio.Queue()

    def stop(self, why):
        self.stats.stopping = why
        self.stops.put_nowait(why)

    async def answer(self):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            await self.stops.get()
        self.call()  # never awaited

    async def call(self):
        """Stand for litellm's coroutine."""


def test_the_second_interrupt_prints_no_warning():
    received = []
    before = signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(_drive(Run(), received, quiet=True))
    assert received == [signal.SIGINT, signal.SIGINT]
    assert [str(each.message) for each in said] == []
    assert signal.getsignal(signal.SIGTERM) == before
