"""What the gatherer of calls needs of the run that it works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.ledger.batches import Run

    from .jobs import Lane, Settings, Stats

__all__ = ["Office"]


class Office(Protocol):
    """A run that goes on (`desk.Desk`)."""

    run: Run
    stats: Stats
    chooser: Chooser
    settings: Settings
    lanes: dict[str, Lane]
    say: Callable[[str], None]
    clock: Callable[[], float]
    producing: bool
    n_short: int
    tasks: set[asyncio.Task[None]]

    @property
    def halted(self) -> bool:
        """Whether nothing more is to be sent."""
        ...

    async def ready(self, model: str) -> None:
        """Wait until calls to a model can be made."""
        ...

    def stop(self, why: str) -> None:
        """Send nothing more."""
        ...

    def fail(self, error: Exception) -> None:
        """Stop for good."""
        ...

    def wake(self) -> None:
        """Tell whoever waits that something has changed."""
        ...

    async def change(self, timeout_s: float | None = None) -> None:
        """Wait until something has changed."""
        ...

    def say_once(self, line: str, *, kind: str | None = None) -> None:
        """Say the first of each kind of trouble."""
        ...
