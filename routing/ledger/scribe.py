"""One thread that writes for many who wait without blocking: what waits is done together, in one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from scrimp.profiles.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .store import Ledger

__all__ = ["Outcome", "Scribe", "Work"]

_GROUP: Final = 256
"""The most that is done in one transaction; what waits less is done sooner."""

Outcome = tuple[Any, BaseException | None]
"""What a piece of work returned, or what it raised."""


@dataclass(slots=True)
class Work:
    """Something to be done inside a transaction.

    Attributes
    ----------
    do
        Does it; what it returns becomes the result of `done`.
    done, loop
        The future of its result, and the event loop that waits for it.
    durable
        Whether what it writes has to outlive the machine's power (`Ledger.transaction`).
    """

    do: Callable[[], Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    durable: bool

    @classmethod
    def here(cls, do: Callable[[], Any], *, durable: bool = True) -> Self:
        """Return work that the running event loop waits for."""
        loop = asyncio.get_running_loop()
        return cls(do, loop.create_future(), loop, durable)


W = TypeVar("W", bound=Work)


class Scribe(Generic[W]):
    """Does what it is given in order.

    A piece of work that raises undoes itself alone, and its future raises; the others of its group are committed. When
    the ledger itself fails, all of the group fail, and `failure` says why.

    Parameters
    ----------
    ledger
        Written by this thread alone until `close`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.failure: Exception | None = None
        self._queue: queue.SimpleQueue[W | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scrimp-scribe", daemon=True)
        self._thread.start()

    def put(self, work: W) -> asyncio.Future[Any]:
        """Have work done; return the future of its result."""
        self._queue.put(work)
        return work.done

    def close(self) -> None:
        """Finish what was given, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            last = False
            while len(group) < _GROUP:
                try:
                    work = self._queue.get_nowait()
                except queue.Empty:
                    break
                if work is None:
                    last = True
                    break
                group.append(work)
            self._write(group)
            if last:
                return

    def _write(self, group: list[W]) -> None:
        outcomes: list[Outcome] = []
        self.before(group)
        try:
            outcomes = self._transaction(group)
        except Exception as failed:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self.failed(failed)
            outcomes = [(None, failed)] * len(group)
        ended: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        for work, (value, problem) in zip(group, outcomes, strict=True):
            ended.setdefault(work.loop, []).append((work.done, value, problem))
        for loop, results in ended.items():  # a loop is woken once for all of a group
            loop.call_soon_threadsafe(_resolve, results)

    def _transaction(self, group: list[W]) -> list[Outcome]:
        durable = any(work.durable for work in group)
        try:
            with self.ledger.transaction(durable=durable):
                outcomes = self.carry_out(group)
                self.after()
                return outcomes
        except LedgerError:
            raise
        except Exception:  # noqa: BLE001 - whose it is shows when they are done one by one
            with self.ledger.transaction(durable=durable):
                outcomes = [self.alone(work) for work in group]
                self.after()
                return outcomes

    def carry_out(self, group: list[W]) -> list[Outcome]:
        """Do what a group is to do inside its transaction; return what came of each.

        Where it raises, all is undone, and done again one by one; a `LedgerError` fails the group.
        """
        return [self.alone(work) for work in group]

    def alone(self, work: W) -> Outcome:
        """Do one piece of work; one that raises undoes itself alone."""
        try:
            with self.ledger.transaction():
                return work.do(), None
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - goes to whoever asked for it
            self.undone(work)
            return None, error

    def before(self, group: list[W]) -> None:
        """Do what comes before the transaction of a group."""

    def undone(self, work: W) -> None:
        """Take note of work that raised, and was undone."""

    def after(self) -> None:
        """Do what ends the transaction of a group."""

    def failed(self, why: Exception) -> None:
        """Take note that the ledger failed."""
        self.failure = self.failure or why


def _resolve(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for done, value, error in results:
        if done.cancelled():
            continue
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)
