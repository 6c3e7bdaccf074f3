"""What a run's rows have written in one transaction, taken together as far as it goes (`ledger.many`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from scrimp.routing.asking.books import Closing, Settlement, Summed
from scrimp.routing.batch.planning.money import caps_of
from scrimp.routing.ledger.batches import FiledRow, file_rows
from scrimp.routing.ledger.many import Many

from .written import Ended, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrimp.profiles.schema import Profile
    from scrimp.routing.asking.books import Called
    from scrimp.routing.batch.state.scribe import Span
    from scrimp.routing.ledger.store import Ledger

    from .written import Begun

__all__ = ["ManyRows", "filed"]


def filed(run_id: str, ended: Ended, span: Span | None) -> FiledRow | None:
    """Return how far a row has come that is not gone on with now; None where it goes on.

    Parameters
    ----------
    span
        Where the journal holds its line; None where it could not be written.
    """
    result = ended.result
    if result is None or (span is None and not ended.records):  # asked nothing: it is asked again
        return None
    # An answer that could not be written is lost, and was paid for: to be asked again only on request.
    status = "unknown" if span is None and result.answer is not None else result.status
    offset, length = span or (None, None)
    return run_id, ended.n, status, ended.request_id, result.arm, result.cost_nano, ended.same, offset, length


class Whose(Protocol):
    """The run that rows are of (`row_books.RunBooks`)."""

    ledger: Ledger
    run_id: str
    profile: Profile
    max_cost_nano: int | None

    @property
    def clock(self) -> Callable[[], float]:
        """POSIX time."""
        ...


class ManyRows:
    """Takes begun and ended rows of a transaction, in order, and writes them together.

    Parameters
    ----------
    books
        Whose rows they are.
    coming
        What is to be taken, as far as known.
    """

    def __init__(self, books: Whose, coming: Iterable[object]) -> None:
        self._books = books
        settling = [
            record.reservation.id
            for ended in coming
            if isinstance(ended, Ended)
            for record in ended.records
            if isinstance(record, Settlement)
        ]
        self._many = Many(books.ledger, now=books.clock(), settling=settling)
        self._clear()

    def _clear(self) -> None:
        self._filed: list[FiledRow] = []
        self._steps: list[Called | Closing] = []
        self._places: set[int] = set()
        self._n_taken = 0

    def take(self, what: Begun | Ended | Sent, span: Span | None) -> tuple[Any] | None:
        """Take what is to be written, and return what comes of it; None where it is to be written alone."""
        taken = self._taken(what, span)
        self._n_taken += taken is not None
        return taken

    def _taken(self, what: Begun | Ended | Sent, span: Span | None) -> tuple[Any] | None:
        if isinstance(what, Sent):
            return (None,) if self._many.mark_sent(what.reservation_id) else None
        if what.n in self._places:
            return None
        taken = self._end(what, span) if isinstance(what, Ended) else self._begin(what)
        if taken is not None:
            self._places.add(what.n)
        return taken

    def _begin(self, begun: Begun) -> tuple[Any] | None:
        books, charge = self._books, begun.charge

        def find() -> list[Any]:
            return caps_of(
                books.ledger,
                books.profile,
                charge.arm,
                run_id=books.run_id,
                max_cost_nano=books.max_cost_nano,
                now=self._many.now,
            )

        caps = self._many.caps(charge.arm, find)
        held = self._many.reserve(
            charge, (*caps, *begun.own_caps), attempt=begun.attempt, request=begun.request, sent=begun.sent
        )
        if held is None:
            return None
        self._filed.append((books.run_id, begun.n, "sent", charge.request_id, begun.arm, None, None, None, None))
        return (held,)

    def _end(self, ended: Ended, span: Span | None) -> tuple[Any] | None:
        many = self._many
        settled = set()
        for record in ended.records:
            if isinstance(record, Summed):
                return None
            if isinstance(record, Settlement):
                held = record.reservation
                if held.id in settled or not many.can_settle(held, record.cost_nano, released=record.released):
                    return None
                settled.add(held.id)
        for record in ended.records:
            if isinstance(record, Settlement):
                many.settle(
                    record.reservation,
                    record.cost_nano,
                    released=record.released,
                    attempt=record.attempt,
                    note=record.note,
                )
                many.change_request(record.request_id, record.request)
            elif not isinstance(record, Summed):
                self._steps.append(record)
                if isinstance(record, Closing):
                    many.change_request(record.request_id, record.columns)
        row = filed(self._books.run_id, ended, span)
        if row is None:
            return ("",)
        self._filed.append(row)
        return (row[2],)

    def write(self) -> bool:
        """Write what was taken; return False where there was nothing.

        Raises
        ------
        NotAsTakenError
            As in `Many.write_money`.
        """
        if not self._n_taken:
            return False
        ledger, many = self._books.ledger, self._many
        file_rows(ledger, self._filed)
        many.write_money()
        for record in self._steps:
            record.write_steps(ledger, at=many.at)
        many.write_requests()
        self._clear()
        return True

    def forget(self) -> None:
        """Look up anew what is known of the ledger: something else was written."""
        self._many.forget()
