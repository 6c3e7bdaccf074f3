"""What rows of a run have written, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.asking.books import Record
    from scrimp.routing.batch.files.output import Result
    from scrimp.routing.ledger.caps import Cap
    from scrimp.routing.ledger.reservations import Charge

__all__ = ["Begun", "Ended", "Sent"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A call of a row that is to be made, once its bound is reserved.

    Attributes
    ----------
    n, arm
        The row's place, and the arm with what it reads.
    charge, own_caps, attempt
        As in `paid_call.Reserve`.
    request
        The request's row of the log; None where it is written, or none is kept.
    sent
        Whether the call counts as sent as soon as it is reserved.
    """

    n: int
    arm: str
    charge: Charge
    own_caps: tuple[Cap, ...]
    attempt: Mapping[str, object]
    request: Mapping[str, object] | None
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """What is to be written of a row whose calls are over, or the last of them so far.

    Attributes
    ----------
    n, request_id
        The row's place, and its request.
    line
        The same as a line of the journal (`recovery.entry`).
    records
        Settlements, steps, and the request's end.
    result
        How the row ended; None where it goes on.
    same
        What equal rows find the result by; None: they do not.
    """

    n: int
    request_id: str | None
    line: bytes
    records: tuple[Record, ...] = ()
    result: Result | None = None
    same: bytes | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Sent:
    """A call is about to leave.

    Attributes
    ----------
    reservation_id
        Its number.
    """

    reservation_id: int
