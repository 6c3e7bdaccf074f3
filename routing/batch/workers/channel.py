"""How a run and one of its workers talk: frames of bytes, in order, until one of them is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Channel", "LostError", "Place"]


class LostError(Exception):
    """The other side is gone: what it had in hand is not heard of any more."""


class Channel(Protocol):
    """One end of what connects a run with a worker."""

    @property
    def name(self) -> str:
        """What messages call the other side."""
        ...

    async def send(self, frame: bytes) -> None:
        """Hand a frame over.

        Raises
        ------
        LostError
            If the other side is gone.
        """
        ...

    async def receive(self) -> bytes:
        """Wait for the next frame.

        Raises
        ------
        LostError
            If the other side is gone, and all is read that came of it.
        """
        ...

    async def close(self) -> None:
        """Let go of the other side, which ends; called again, this does nothing."""
        ...


class Place(Protocol):
    """Where workers run: this machine's processes, or a cluster."""

    def start(self, n: int) -> None:
        """Begin to start so many; that need not be over when this returns.

        Raises
        ------
        ScrimpError
            If it cannot be.
        """
        ...

    async def open(self, n: int) -> Sequence[Channel]:
        """Start workers (but those that are started), each of which runs `serving.serve` on its end.

        Returns the run's ends.

        Raises
        ------
        ScrimpError
            If they cannot be started.
        """
        ...

    async def close(self) -> None:
        """End what is left of them."""
        ...
