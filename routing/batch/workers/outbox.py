"""What is on its way to the other end of a channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .messages import framed

if TYPE_CHECKING:
    from .channel import Channel

__all__ = ["Outbox"]


class Outbox:
    """Sends messages; those of one turn of the event loop go together."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._held: list[object] = []
        self._more = asyncio.Event()

    def put(self, message: object) -> None:
        """Have a message sent."""
        self._held.append(message)
        self._more.set()

    async def run(self) -> None:
        """Send what is put, until the other side is gone."""
        while True:
            await self._more.wait()
            self._more.clear()
            messages, self._held = self._held, []
            await self._channel.send(framed(messages))

    async def flush(self) -> None:
        """Send what is left."""
        messages, self._held = self._held, []
        if messages:
            await self._channel.send(framed(messages))
