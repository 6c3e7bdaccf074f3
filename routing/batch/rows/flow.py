"""Which rows of a run may be begun, and in which order: rows wait for the answers that stand in their prompts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from scrimp.routing.batch.files.graph import Graph

from .turns import Rank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scrimp.routing.batch.files.rows import Row

__all__ = ["Flow"]

_HELD_ROWS: Final = 10_000
"""Files of up to so many rows are put in order as a whole; of larger ones, rows with a priority or a deadline are."""

_PASSES: Final = 8
"""How often a larger file is read for the rows that go first, at most; each time a share of them is held."""

_NO_GRAPH: Final = Graph({}, {}, {})


class Flow:
    """The order of a run's rows.

    Parameters
    ----------
    graph
        Which rows wait for which; None: none does.
    urgency
        Priority and deadline (seconds from the beginning) of rows that have either, or that such rows wait for, by
        their places (`graph.inherited`).
    n_rows
        Rows of the file.
    began
        POSIX time from which deadlines count.
    deadline_s
        That of all rows; None: they have none.
    over
        How rows of the graph ended before, by their places.
    """

    def __init__(
        self,
        graph: Graph | None = None,
        urgency: Mapping[int, tuple[int, float | None]] | None = None,
        *,
        n_rows: int = 0,
        began: float = 0.0,
        deadline_s: float | None = None,
        over: Mapping[int, str] | None = None,
    ) -> None:
        self.graph = graph or _NO_GRAPH
        self.n_rows = n_rows
        self.began = began
        self.deadline_s = deadline_s
        self._over = {n: status for n, status in (over or {}).items() if n in self.graph}
        self._urgency = urgency or {}
        self._parked: dict[int, Row] = {}
        self._missing: dict[int, int] = {}
        self._ready: list[Row] = []

    # -- urgency ----------------------------------------------------------------------------------------------------

    def due_of(self, row: Row) -> float | None:
        """Return the POSIX time after which a row is not sent any more; None: it may be sent whenever."""
        limits = [each for each in (row.deadline_s, self.deadline_s) if each is not None]
        return self.began + min(limits) if limits else None

    def rank_of(self, row: Row, seconds: float | None) -> Rank:
        """Return what lets a row go before others; it is as urgent as whatever waits for it.

        Parameters
        ----------
        seconds
            How long its answer is expected to take; None where that is not known.
        """
        priority, deadline_s = self._urgency.get(row.n, (0, None))
        limits = [each for each in (deadline_s, self.deadline_s) if each is not None]
        due = self.began + min(limits) if limits else None
        return Rank(due, priority, self.graph.height.get(row.n, 0), seconds or 0.0)

    @property
    def reorders(self) -> bool:
        """Whether rows are begun in another order than the file's."""
        return bool(self._urgency or self.graph.ids)

    def _key(self, n: int) -> tuple[float, int, int, int]:
        priority, deadline_s = self._urgency.get(n, (0, None))
        return (math.inf if deadline_s is None else deadline_s, -priority, -self.graph.height.get(n, 0), n)

    def arranged(self, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
        """Yield the rows of a file in the order in which they are to be begun.

        Without priorities, deadlines and references that is the file's order, as a stream.
        """
        if not self._urgency and (not self.graph.ids or self.n_rows > _HELD_ROWS):
            yield from rows()
        elif self.n_rows <= _HELD_ROWS:
            yield from sorted(rows(), key=lambda row: self._key(row.n))
        else:
            usual = (math.inf, 0)
            places = sorted(self._urgency, key=self._key)
            yield from self._picked(rows, [n for n in places if self._key(n)[:2] < usual])
            last = [n for n in places if self._key(n)[:2] > usual]
            others = frozenset(n for n in places if self._key(n)[:2] != usual)
            yield from (row for row in rows() if row.n not in others)
            yield from self._picked(rows, last)

    def _picked(self, rows: Callable[[], Iterator[Row]], places: list[int]) -> Iterator[Row]:
        size = max(_HELD_ROWS, -(-len(places) // _PASSES))
        for start in range(0, len(places), size):
            wanted = frozenset(places[start : start + size])
            yield from sorted((row for row in rows() if row.n in wanted), key=lambda row: self._key(row.n))

    # -- waiting ----------------------------------------------------------------------------------------------------

    def park(self, row: Row) -> None:
        """Have a row wait until all is over that it waits for; it is ready at once where that is so."""
        if row.n in self._over or row.n in self._parked:
            return
        self._parked[row.n] = row
        self._missing[row.n] = sum(parent not in self._over for parent in self.graph.parents[row.n])
        if not self._missing[row.n]:
            self._ready.append(row)

    def ended(self, n: int, status: str) -> None:
        """Take note of how a row ended; whoever waited for nothing else is ready."""
        if n not in self.graph or n in self._over:
            return
        self._over[n] = status
        for child in self.graph.children.get(n, ()):
            if child in self._parked:
                self._missing[child] -= 1
                if not self._missing[child]:
                    self._ready.append(self._parked[child])

    @property
    def has_ready(self) -> bool:
        """Whether a row is ready that waited."""
        return bool(self._ready)

    @property
    def n_waiting(self) -> int:
        """How many rows wait for answers."""
        return len(self._parked)

    def ready(self, most: int) -> list[Row]:
        """Return rows that are ready, the most urgent first, those of one parent one after another."""
        self._ready.sort(key=lambda row: (*self._key(row.n)[:3], self.graph.parents[row.n], row.n))
        taken, self._ready = self._ready[:most], self._ready[most:]
        for row in taken:
            del self._parked[row.n], self._missing[row.n]
        return taken

    def in_the_way(self, row: Row) -> tuple[str, str] | None:
        """Return the first row whose answer is missing for good, its id and how it ended; None where all are there."""
        for parent in self.graph.parents.get(row.n, ()):
            status = self._over.get(parent, "unknown")
            if status != "ok":
                return self.graph.ids[parent], status
        return None
