"""Calls of one transaction, reserved and settled together: each sum moves once, and rows are written many at a time.

It takes what goes as it mostly does: a call that fits the caps, an end that is no breach. What does not it leaves to
`reservations`, whose rules it goes by; whoever uses it writes what was taken first, so that it comes to
the same as one after the other.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .caps import balance, fits, window_keys
from .documents import packed_request
from .reservations import (
    BEGUN,
    MAX_CALL_NANO,
    Reservation,
    begun_values,
    believed_nano,
    end_of,
    move,
    moved,
    recharged,
    remember,
    reservation_rows,
    told_of,
    why_stopped,
)
from .statements import insert_many, update_many
from .store import instant
from .upkeep import make_sure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .caps import Cap
    from .reservations import Charge
    from .store import Ledger

__all__ = ["Many", "NotAsTakenError", "Till"]


class NotAsTakenError(Exception):
    """What was taken cannot be written: the transaction is to be undone, and done again one by one."""


class Till:
    """Running sums inside one transaction: looked up once, moved in memory, written once.

    Parameters
    ----------
    ledger
        In a transaction from the first look until `write`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._moved: dict[str, tuple[int, int]] = {}
        self.forget()

    def forget(self) -> None:
        """Look everything up anew."""
        assert not self._moved  # noqa: S101 - money that nobody would write
        self._known: dict[str | None, tuple[int, int]] = {}

    def charged(self, key: str | None) -> tuple[int, int]:
        """Return (live, fixed) nano-USD charged to a window, as `caps.balance` would once all is written."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = balance(self._ledger, key)
        if key is None or (change := self._moved.get(key)) is None:
            return known
        return known[0] + change[0], known[1] + change[1]

    def move(self, keys: Iterable[str], live: int, fixed: int) -> None:
        """Change the sums of windows, nano-USD."""
        sums = self._moved
        for key in keys:
            before = sums.get(key, (0, 0))
            sums[key] = before[0] + live, before[1] + fixed

    def write(self) -> None:
        """Write the sums."""
        changes = [(key, live, fixed) for key, (live, fixed) in self._moved.items()]
        if changes:
            move(self._ledger.conn, changes)
            self._moved = {}
            self.forget()


Columns = tuple[str, ...]


class Many:
    """What is reserved, settled and noted in one transaction, in order.

    Parameters
    ----------
    ledger
        In a transaction from the first that is taken until all is written.
    now
        POSIX time, for all of it.
    settling
        The reservations that are going to be settled, as far as known: they are looked up together.
    """

    def __init__(self, ledger: Ledger, *, now: float, settling: Sequence[int] = ()) -> None:
        self._ledger = ledger
        self._settling = settling
        self._till = Till(ledger)
        self.now = now
        self.at = instant(now)
        self.day, self.month = ledger.windows(now)
        self._requests: list[dict[str, object]] = []
        self._changes: dict[str, dict[str, object]] = {}
        self._forget()
        self._begin()

    def _forget(self) -> None:
        self._held: dict[int, dict[str, Any]] | None = None
        self._next_id: int | None = None
        self._caps: dict[object, tuple[Cap, ...]] = {}
        self._going: set[tuple[str, str]] = set()
        self._keys: dict[tuple[str | None, ...], list[str]] = {}

    def _begin(self) -> None:
        self._own: dict[str, tuple[Cap, ...]] = {}
        self._reserved: list[tuple[object, ...]] = []
        self._settled: dict[Columns, list[tuple[object, ...]]] = {}
        self._sent: list[int] = []
        self._attempts: dict[Columns, list[tuple[object, ...]]] = {}
        self._ends: dict[Columns, list[tuple[object, ...]]] = {}
        self._calls: set[int] = set()

    def forget(self) -> None:
        """Look everything up anew: something else was written in the transaction."""
        self._till.forget()
        self._forget()

    def caps(self, which: object, find: Callable[[], Iterable[Cap]]) -> tuple[Cap, ...]:
        """Return the caps at `now` that calls of one kind have in common, those over all profiles included.

        Parameters
        ----------
        which
            What tells the kind from others.
        find
            Finds them; asked once.
        """
        found = self._caps.get(which)
        if found is None:
            found = self._caps[which] = tuple(find())
        return found

    def reserve(
        self,
        charge: Charge,
        caps: tuple[Cap, ...],
        *,
        attempt: Mapping[str, object],
        request: Mapping[str, object] | None,
        sent: bool,
    ) -> Reservation | None:
        """Reserve a call as `reservations.reserve` does; None where that has to do it.

        Parameters
        ----------
        caps
            All that stand on it at `now`.
        """
        if charge.cap_override_nano is not None or (request is not None and request.get("documents")):
            return None
        make_sure(self._ledger)
        bound = charge.bound_nano
        if not 0 <= bound <= MAX_CALL_NANO or not self._goes(charge) or not fits(caps, bound, self._till.charged):
            return None
        row = None if request is None else packed_request(request)
        number = self._number()
        self._own.pop(charge.profile, None)
        self._own[charge.profile] = caps
        values = begun_values(charge, at=self.at, day=self.day, month=self.month, sent=sent)
        self._reserved.append((number, *values))
        self._move((charge.profile, charge.arm, charge.run_id, self.day, self.month), bound, 0)
        self._attempts.setdefault(tuple(attempt), []).append((number, *attempt.values()))
        self._calls.add(number)
        if row is not None:
            row.pop("documents", None)
            self._requests.append(row)
        return Reservation(number, bound, charge.profile, charge.arm)

    def _number(self) -> int:
        """Return the number of the next reservation, as SQLite would give it."""
        if self._next_id is None:
            found = self._ledger.one("SELECT coalesce(max(id), 0) + 1 FROM reservations")
            number = 1 if found is None else int(found[0])
        else:
            number = self._next_id
        self._next_id = number + 1
        return number

    def _goes(self, charge: Charge) -> bool:
        """Tell whether an arm takes calls."""
        who = (charge.profile, charge.arm)
        if who in self._going:
            return True
        if why_stopped(self._ledger, charge) is not None:
            return False
        self._going.add(who)
        return True

    def _move(self, of: tuple[str, str, str | None, str, str], live: int, fixed: int) -> None:
        keys = self._keys.get(of)
        if keys is None:
            keys = self._keys[of] = window_keys(*of)
        self._till.move(keys, live, fixed)

    def can_settle(self, reservation: Reservation, cost_nano: int | None, *, released: bool) -> bool:
        """Tell whether `settle` takes a reservation's end: it is live, and the end no breach."""
        if self._held is None:
            self._held = reservation_rows(self._ledger.conn, self._settling)
        row = self._held.get(reservation.id)
        if row is None or row["status"] != "reserved" or reservation.id in self._calls:
            return False
        if cost_nano is None or released:
            return True
        return believed_nano(cost_nano) is not None and cost_nano <= row["reserved_nano"]

    def settle(
        self,
        reservation: Reservation,
        cost_nano: int | None,
        *,
        released: bool,
        attempt: Mapping[str, object],
        note: str | None,
    ) -> None:
        """Settle a call as `reservations.settle` does."""
        assert self._held is not None  # noqa: S101 - as `can_settle` found it
        row = self._held.pop(reservation.id)
        status, charged = end_of(row, cost_nano, released=released)
        self._move((row["profile"], row["arm"], row["run_id"], row["day"], row["month"]), *moved(row, charged))
        values = recharged(status, charged, at=self.at, breach=False, note=note)
        self._settled.setdefault(tuple(values), []).append((reservation.id, *values.values()))
        if told := told_of(attempt):
            self._ends.setdefault(tuple(told), []).append((reservation.id, *told.values()))
        self._calls.add(reservation.id)

    def mark_sent(self, reservation_id: int) -> bool:
        """Note that a call leaves, as `reservations.mark_sent` does; False where that has to do it."""
        if reservation_id in self._calls:
            return False
        self._calls.add(reservation_id)
        self._sent.append(reservation_id)
        return True

    def change_request(self, request_id: str, values: Mapping[str, object]) -> None:
        """Set columns of a request's row that was there before."""
        if values:
            self._changes.setdefault(request_id, {}).update(values)

    def write_money(self) -> None:
        """Write what was taken, but for requests.

        Raises
        ------
        NotAsTakenError
            If a call that is to leave is not reserved any more.
        """
        conn = self._ledger.conn
        self._till.write()
        for profile, caps in self._own.items():
            remember(conn, profile, (cap for cap in caps if not cap.shared))
        insert_many(conn, "reservations", ("id", *BEGUN), self._reserved)
        for columns, rows in self._settled.items():
            update_many(conn, "reservations", "id", columns, rows)
        for columns, rows in self._attempts.items():
            insert_many(conn, "attempts", ("id", *columns), rows)
        for columns, rows in self._ends.items():
            update_many(conn, "attempts", "id", columns, rows)
        if self._sent:
            marked = conn.execute(
                "UPDATE reservations SET sent = 1 WHERE id IN (SELECT value FROM json_each(?)) AND status = 'reserved'",
                (json.dumps(self._sent),),
            )
            if marked.rowcount != len(self._sent):
                raise NotAsTakenError
        self._begin()

    def write_requests(self) -> None:
        """Write the requests that were taken, after all else: SQLite writes their words with whatever comes next."""
        conn = self._ledger.conn
        for columns, requests in groupby(self._requests, key=tuple):  # their order is that of their numbers
            insert_many(conn, "requests", columns, [tuple(row.values()) for row in requests])
        changes: dict[Columns, list[tuple[object, ...]]] = {}
        for request_id, values in self._changes.items():
            changes.setdefault(tuple(values), []).append((request_id, *values.values()))
        for columns, rows in changes.items():
            update_many(conn, "requests", "id", columns, rows)
        self._requests, self._changes = [], {}
