"""What is written of a call that a worker had when it was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.asking.books import Settlement
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.rows.row_books import Begun, Ended
from scrimp.routing.batch.state.recovery import entry

if TYPE_CHECKING:
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.ledger.reservations import Reservation

__all__ = ["cut_off"]


def cut_off(begun: Begun, reservation: Reservation, row: Row, worker: str, *, now: float, left: bool) -> Ended:
    """Return what is written of a call.

    Parameters
    ----------
    worker
        What messages call the worker.
    now
        POSIX time.
    left
        Whether it may have left: then it stays charged at its bound, and its row is `unknown`. Else the worker had not
        been told to make it: the bound is given back, and the row goes on.
    """
    request_id = begun.charge.request_id
    why = f"in flight when {worker} was lost: it may have been billed (--retry-unknown asks again)"
    records = (
        Settlement(
            reservation,
            None if left else 0,
            released=not left,
            attempt={"error_kind": "interrupted"},
            request={"status": "unknown", "error": why} if left else {},
            request_id=request_id,
        ),
    )
    result = None
    if left:
        result = Result(
            begun.n,
            row.id,
            "unknown",
            request_id,
            arm=begun.arm,
            cost_nano=None,
            error=why,
            at=int(now),
            cells=row.cells,
            sealed=row.sealed,
        )
    return Ended(begun.n, request_id, entry(begun.n, request_id, records, result), records, result)
