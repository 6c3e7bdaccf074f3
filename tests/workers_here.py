"""Workers of a batch in the test's own process: what a run and a worker say goes through frames, as between processes."""

import asyncio
import contextlib
from unittest import mock

from scrimp.routing.batch.workers import serving
from scrimp.routing.batch.workers.channel import LostError

__all__ = ["End", "HerePlace"]


class End:
    """One end of a channel; `cut` has both ends find the other gone."""

    def __init__(self, name, inbox, outbox):
        self.name = name
        self.inbox = inbox
        self.outbox = outbox
        self.gone = False
        self.loop = asyncio.get_running_loop()

    async def send(self, frame):
        assert isinstance(frame, bytes)
        if self.gone:
            raise LostError(self.name)
        self.outbox.put_nowait(frame)

    async def receive(self):
        frame = await self.inbox.get()
        if frame is None:
            raise LostError(self.name)
        return frame

    async def close(self):
        self.cut()

    def cut(self):
        self.gone = True
        self.inbox.put_nowait(None)
        self.outbox.put_nowait(None)


class HerePlace:
    """Runs workers as tasks.

    Parameters
    ----------
    watch
        Told of each frame that a worker sends, with the run's end of its channel.
    """

    def __init__(self, watch=None):
        self.watch = watch
        self.tasks = []
        self.ends = []
        self.shared = mock.patch.object(serving, "aclose", mock.AsyncMock())

    def start(self, n):
        pass

    async def open(self, n):
        self.shared.start()  # the connections are those of all of them here
        for i in range(n):
            down, up = asyncio.Queue(), asyncio.Queue()
            mine, its = End(f"worker {i + 1}", up, down), End("the run", down, up)
            self.ends.append(mine)
            self.tasks.append(asyncio.create_task(self._serve(its, mine)))
        return self.ends

    async def _serve(self, its, mine):
        if self.watch is not None:
            send = its.send

            async def watched(frame):
                await send(frame)
                self.watch(mine, frame)

            its.send = watched
        try:
            await serving.serve(its)
        finally:
            its.outbox.put_nowait(None)

    async def close(self):
        for end in self.ends:
            end.cut()
        for task in self.tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.tasks, return_exceptions=True)
        self.shared.stop()
