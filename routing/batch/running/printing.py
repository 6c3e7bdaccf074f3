"""The answers of a run as they come, in the rows' order, for who reads along; read from the journal."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from scrimp.routing.batch.files.output import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from scrimp.routing.batch.files.output import Journal, Result

__all__ = ["Printing"]

_LOOK_S: Final = 0.05
_AHEAD: Final = 1_000
"""Lines that may wait for the reader: all others wait in the journal."""


class Printing:
    """Follows a run's journal, and writes what comes into it as the output would have it.

    The writing is done by a thread of its own: a reader who takes his time keeps that waiting, and no call of the run.

    Parameters
    ----------
    write
        Takes some of the output.
    line
        Makes a line of the output of a result.
    head
        What the output begins with.
    journal
        Where results go.
    places
        Yields the places of the rows, which rise; None where answers are written as they come.
    done
        The places of rows whose result is in the journal by now; what it has of others is out of date.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        line: Callable[[Result], str],
        head: str,
        journal: Journal,
        places: Iterator[int] | None,
        done: Collection[int],
    ) -> None:
        self._write, self._line, self._journal = write, line, journal
        self._places, self._done = places, done
        self._old, self._at = journal.size, 0
        self._next = None if places is None else next(places, None)
        self._came: dict[int, tuple[int, int]] = {}
        self._over: set[int] = set()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.error: Exception | None = None
        self._writer = threading.Thread(target=self._keep_writing, daemon=True)
        self._writer.start()
        if head:
            self._lines.put(head)

    async def follow(self, stop: Callable[[], None]) -> None:
        """Write rows as they come, until cancelled; have the run stop once nobody reads any more."""
        while self.error is None:
            self._take_in()
            while self._lines.qsize() < _AHEAD and (n := self._whose_turn()) is not None:
                self._hand_on(n)
            await asyncio.sleep(_LOOK_S)
        stop()

    def finish(self) -> None:
        """Write what is left of a run that is over.

        Raises
        ------
        Exception
            What writing raised: BrokenPipeError if the reader has gone before all was written.
        """
        while self._take_in():
            pass
        for n in list(self._came) if self._places is None else sorted(self._came):
            while self._lines.qsize() >= _AHEAD and self.error is None:
                time.sleep(_LOOK_S)
            self._hand_on(n)
        self._lines.put(None)
        while self._writer.is_alive():
            self._writer.join(_LOOK_S)  # so that Ctrl-C is heard
        if self.error is not None:
            raise self.error

    def break_off(self) -> None:
        """Write what was handed on of a run that was stopped, if its reader takes it at once."""
        self._lines.put(None)
        self._writer.join(1.0)

    def _keep_writing(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                self._write(line)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error

    def _take_in(self) -> bool:
        """Note where the journal has results that are not written yet, as far as a look goes; return whether it had."""
        lines = self._journal.lines(self._at)
        for line in lines:
            entry, at = json.loads(line), self._at
            self._at += len(line)
            n = entry["n"]
            if entry["result"] is not None and not self._is_over(n) and (at >= self._old or n in self._done):
                self._came[n] = at, len(line)
        return bool(lines)

    def _is_over(self, n: int) -> bool:
        return n in self._over if self._places is None else self._next is None or n < self._next

    def _whose_turn(self) -> int | None:
        if self._places is None:
            return next(iter(self._came), None)
        return self._next if self._next in self._came else None

    def _hand_on(self, n: int) -> None:
        self._lines.put(self._line(result_of(self._journal.read(*self._came.pop(n)))))
        if self._places is None:
            self._over.add(n)
        elif n == self._next:
            self._next = next(self._places, None)
