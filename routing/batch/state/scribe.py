"""A run's scribe: results to the journal first, then money and rows to the ledger, many to a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from scrimp.profiles.errors import ScrimpError
from scrimp.routing.ledger import scribe
from scrimp.routing.ledger.batches import set_applied

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Scribe", "Span", "Together"]

Span = tuple[int, int]
"""Where the journal holds a line: offset and length in bytes."""


@dataclass(slots=True)
class _Work(scribe.Work):
    line: bytes | None = None
    span: Span | None = None
    what: Any = None


class Together(Protocol):
    """Takes what rows have written in one transaction, to write it together."""

    def take(self, what: Any, span: Span | None) -> tuple[Any] | None:
        """Take something; return what comes of it, or None where it cannot be taken with what is taken already."""
        ...

    def write(self) -> bool:
        """Write what is taken; return whether there was anything."""
        ...

    def forget(self) -> None:
        """Take nothing for granted that was looked up: something else was written."""
        ...


class Scribe(scribe.Scribe[_Work]):
    """Writes for a run: one fsync of the journal and one transaction for all that waits.

    Parameters
    ----------
    ledger
        Used by this thread alone until `close`.
    journal, run_id
        Where results go, and of which run: the ledger remembers how much of the journal it knows.
    together
        Returns what takes the rows of a transaction together, given all of them.
    """

    def __init__(
        self, ledger: Ledger, journal: Journal, run_id: str, together: Callable[[list[object]], Together]
    ) -> None:
        self.run_id = run_id
        self._together = together
        self.journal = journal
        self._behind = False  # a line is in the journal and not in the ledger: the next run begins there
        self._lined = False
        super().__init__(ledger)

    def submit(
        self,
        do: Callable[[Span | None], Any],
        line: bytes | None = None,
        *,
        what: Any = None,
        durable: bool = True,
    ) -> asyncio.Future[Any]:
        """Have something done inside a transaction; return the future of its result.

        Parameters
        ----------
        do
            Called with where `line` stands in the journal; with None where there is no line, or it could not be
            written.
        line
            A line for the journal, on disk before `do` is called.
        what
            The same as `do` as data, to be written together with others; None where that cannot be.
        durable
            Whether what it writes has to outlive the machine's power (`Ledger.transaction`).
        """
        work = _Work.here(lambda: do(work.span), durable=durable)
        work.line, work.what = line, what
        return self.put(work)

    def before(self, group: list[_Work]) -> None:
        """Write the lines of a group."""
        lined = [work for work in group if work.line is not None]
        self._lined = False
        if not lined:
            return
        try:
            written = self.journal.append([work.line for work in lined if work.line is not None])
        except ScrimpError as error:
            self.failed(error)
            return
        for work, span in zip(lined, written, strict=True):
            work.span = span
        self._lined = True

    def carry_out(self, group: list[_Work]) -> list[scribe.Outcome]:
        """Do rows together as far as it goes, and the rest one by one, in order."""
        outcomes: list[scribe.Outcome] = []
        rows = self._together([work.what for work in group])
        for work in group:
            taken = None if work.what is None else rows.take(work.what, work.span)
            if taken is None and rows.write() and work.what is not None:
                taken = rows.take(work.what, work.span)
            if taken is not None:
                outcomes.append((taken[0], None))
                continue
            outcomes.append(self.alone(work))
            if outcomes[-1][1] is None:
                rows.forget()
        rows.write()
        return outcomes

    def undone(self, work: _Work) -> None:
        """Remember that a line is not in the ledger."""
        self._behind = self._behind or work.line is not None

    def after(self) -> None:
        """Note how much of the journal the ledger knows."""
        if self._lined and not self._behind:
            set_applied(self.ledger, self.run_id, self.journal.size)
