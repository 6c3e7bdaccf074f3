"""Doing what a request wants done: one driver for those that block (`ask`) and those that run many at once (`batch`).

`drive` is a coroutine. Hands that never truly wait (those of `ask`, whose calls block) are driven by `at_once`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from scrimp.routing.strategies.protocol import Test

from .books import Called, Closing, Settlement, Summed
from .paid_call import Pause, Reserve, Send

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from scrimp.routing.calls.call import Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.ledger.reservations import Reservation

    from .books import Record
    from .request import Checked

__all__ = ["Hands", "at_once", "drive"]

T = TypeVar("T")


class Hands(Protocol):
    """What carries out the wishes of a request."""

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Reserve, or raise the reason why not."""
        ...

    async def send(self, wanted: Send) -> Reply | CallError:
        """Make a call and return its reply, or its error."""
        ...

    async def pause(self, wanted: Pause) -> None:
        """Wait."""
        ...

    async def test(self, wanted: Test) -> tuple[Verdict, ...]:
        """Run checks."""
        ...

    async def write(self, records: list[Record]) -> None:
        """Put records where they are safe, before anything else is begun."""
        ...

    async def finish(self, records: list[Record], outcome: Checked | BaseException) -> None:
        """Put the last records of a request where they are safe, together with its outcome."""
        ...


async def drive(run: Generator[Any, Any, Checked], hands: Hands) -> Checked:
    """Do what a request wants done, until it is over; return the answer.

    Records are gathered and written together before anything is begun that takes time: a call, a wait, a slow check.
    """
    waiting: list[Record] = []

    async def do(wanted: Any) -> Any:
        if isinstance(wanted, (Settlement, Called, Closing, Summed)):
            waiting.append(wanted)
            return None
        safe = isinstance(wanted, Test) and not any(check.slow for check in wanted.checks)
        if waiting and not safe:
            records = list(waiting)
            waiting.clear()
            await hands.write(records)
        if isinstance(wanted, Test):
            return await hands.test(wanted)
        if isinstance(wanted, Reserve):
            return await hands.reserve(wanted)
        if isinstance(wanted, Send):
            return await hands.send(wanted)
        assert isinstance(wanted, Pause)  # noqa: S101 - there is nothing else
        return await hands.pause(wanted)

    value: Any = None
    problem: BaseException | None = None
    while True:
        try:
            wanted = run.send(value) if problem is None else run.throw(problem)
        except StopIteration as stop:
            answer: Checked = stop.value
            await hands.finish(waiting, answer)
            return answer
        except BaseException as error:
            await hands.finish(waiting, error)
            raise
        value = problem = None
        try:
            value = await do(wanted)
        except BaseException as error:  # noqa: BLE001 - the run settles, and raises it again
            problem = error


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never truly waits to its end, without an event loop; return its result.

    Raises
    ------
    RuntimeError
        If it did wait.
    """
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("hands that block were made to wait")
