"""One thread that writes: results to the journal, then money and rows to the ledger, many to a transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import LedgerError, ScrimpError
from scrimp.routing.ledger.batches import set_applied

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Scribe", "Span"]

Span = tuple[int, int]
"""Where the journal holds a line: offset and length in bytes."""

_GROUP: Final = 128


@dataclass(slots=True)
class _Work:
    do: Callable[[Span | None], Any]
    line: bytes | None
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    durable: bool


class Scribe:
    """Does what it is given in order. What waits is done together: one fsync of the journal, one transaction.

    A piece of work that raises undoes itself alone, and its future raises; the others of its group are committed. When
    the ledger itself fails, all of the group fail, and `failure` says why.

    Parameters
    ----------
    ledger
        Used by this thread alone until `close`.
    journal, run_id
        Where results go, and of which run: the ledger remembers how much of the journal it knows.
    """

    def __init__(self, ledger: Ledger, journal: Journal, run_id: str) -> None:
        self.run_id = run_id
        self.ledger = ledger
        self.journal = journal
        self.failure: Exception | None = None
        self._behind = False  # a line is in the journal and not in the ledger: the next run begins there
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scrimp-scribe", daemon=True)
        self._thread.start()

    def submit(
        self, do: Callable[[Span | None], Any], line: bytes | None = None, *, durable: bool = True
    ) -> asyncio.Future[Any]:
        """Have something done inside a transaction; return the future of its result.

        Parameters
        ----------
        do
            Called with where `line` stands in the journal; with None where there is no line, or it could not be
            written.
        line
            A line for the journal, on disk before `do` is called.
        durable
            Whether what it writes has to outlive the machine's power (`Ledger.transaction`).
        """
        loop = asyncio.get_running_loop()
        work = _Work(do, line, loop.create_future(), loop, durable)
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

    def _write(self, group: list[_Work]) -> None:
        spans: dict[int, Span] = {}
        lined = [work for work in group if work.line is not None]
        if lined:
            try:
                written = self.journal.append([work.line for work in lined if work.line is not None])
                spans = {id(work): span for work, span in zip(lined, written, strict=True)}
            except ScrimpError as error:
                self.failure = self.failure or error
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with self.ledger.transaction(durable=any(work.durable for work in group)):
                for work in group:
                    try:
                        with self.ledger.transaction():
                            outcomes.append((work.do(spans.get(id(work))), None))
                    except LedgerError:
                        raise
                    except Exception as error:  # noqa: BLE001 - goes to whoever asked for it
                        outcomes.append((None, error))
                        self._behind = self._behind or work.line is not None
                if spans and not self._behind:
                    set_applied(self.ledger, self.run_id, self.journal.size)
        except Exception as failed:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self.failure = self.failure or failed
            outcomes = [(None, failed)] * len(group)
        for work, (value, problem) in zip(group, outcomes, strict=True):
            work.loop.call_soon_threadsafe(_resolve, work.done, value, problem)


def _resolve(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(value)
