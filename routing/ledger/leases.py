"""Limits of a provider that all processes on a ledger keep together: places for calls in flight, and a rate a minute.

Both are held on an account (`account_of`), not on a profile: what a provider limits is a model for a key.

Places are leased by processes. A process that died holds none (`process.look`); one that cannot be seen from here (on
another machine, in another container) holds its places until the time that it named itself.

The rate of a batch is the generic cell rate algorithm (ITU-T I.371, 1996; Turner 1986): one number for each limit says
how far ahead of now the calls that were let through reach, and a slice of calls to come is taken at a time. What asks
one question at a time may go as soon as the minute past holds less than the limit, and pushes that number ahead too, so
that batches make up for it.

Times are read from the machine's steady clock where the same boot wrote them, so a clock that is set changes nothing;
between machines the time of day is all there is, and a difference below zero counts as none.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import TryAgainError
from scrimp.profiles.keys import key_names

from .process import Holder, boot_id, look, this_process
from .reservations import HOLDER, holder_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Arm

    from .store import Ledger

__all__ = [
    "LATE_S",
    "BusyError",
    "Entered",
    "Limited",
    "Moment",
    "Places",
    "Rate",
    "Released",
    "account_of",
    "enter",
    "fair_shares",
    "leave",
    "limited",
    "settle_places",
    "take_slice",
]

MINUTE_S: Final = 60.0

LATE_S: Final = 1.0
"""How long after its time a call that was let through may still leave, seconds; after that its place in the minute is
given up."""

LEASE_S: Final = 60.0
"""How long places of a process that cannot be seen from here are held for it, seconds, unless it renews them."""

_BURST: Final = 0.1
"""Share of a minute's allowance that a batch may send at once; the rest trickles in."""


class BusyError(TryAgainError):
    """Other processes use up what an arm's limits allow, and waiting did not help (exit 75)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on two clocks: POSIX seconds, and seconds of a clock that is never set, with the boot it counts from."""

    wall: float
    steady: float
    boot: str | None

    @classmethod
    def now(cls) -> Moment:
        """Return the present."""
        return cls(time.time(), time.monotonic(), boot_id())

    def since(self, row: Mapping[str, Any]) -> float:
        """Return how many seconds ago a row was written, 0 or more."""
        if self.boot is not None and row["boot_id"] == self.boot:
            return max(0.0, self.steady - float(row["steady"]))
        return max(0.0, self.wall - float(row["wall"]))


@dataclass(frozen=True, slots=True)
class Limited:
    """What is limited, and to how much.

    Attributes
    ----------
    account
        Whose limits they are (`account_of`).
    concurrency, rpm, tpm
        Calls in flight, calls a minute and tokens a minute; None where that is not limited.
    """

    account: str
    concurrency: int | None
    rpm: int | None
    tpm: int | None

    @property
    def rates(self) -> bool:
        """Whether anything is limited a minute."""
        return self.rpm is not None or self.tpm is not None


def account_of(arm: Arm) -> str:
    """Return what a provider limits: a model, at an address, for a key; equal for arms of any profile that share it."""
    key = arm.key_cmd or key_names(arm)
    digest = hashlib.sha256(json.dumps([arm.model, arm.api_base, *key]).encode()).hexdigest()
    return f"{arm.model} {digest[:12]}"


def limited(arm: Arm) -> Limited | None:
    """Return an arm's limits; None where it has none."""
    own = arm.limits
    if own.concurrency is None and own.rpm is None and own.tpm is None:
        return None
    return Limited(account_of(arm), own.concurrency, own.rpm, own.tpm)


# -- places for calls in flight ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Places:
    """Places that are held.

    Attributes
    ----------
    lease
        Under which number; None where none is held or wanted.
    held
        How many.
    fair
        How many are due: those above it are to be given back as calls end.
    """

    lease: int | None = None
    held: int = 0
    fair: int = 0


def fair_shares(capacity: int, wants: Sequence[int]) -> list[int]:
    """Return how many of `capacity` places are due to each that wants some.

    Nobody gets more than it wants, and what one leaves is shared by the rest (max-min fairness; Bertsekas and Gallager
    1992, 6.5.2). What does not divide goes to the first.

    Examples
    --------
    >>> fair_shares(7, [16]), fair_shares(7, [16, 16]), fair_shares(7, [16, 2]), fair_shares(1, [4, 4])
    ([7], [4, 3], [5, 2], [1, 0])
    """
    given = [0] * len(wants)
    left = capacity
    while left > 0 and (hungry := [i for i, want in enumerate(wants) if given[i] < want]):
        for i in hungry[:left]:
            given[i] += 1
        left -= len(hungry)
    return given


def settle_places(
    ledger: Ledger,
    account: str,
    limit: int,
    *,
    lease: int | None,
    wanted: int,
    keep: int = 0,
    urgent: bool,
    until_s: float = LEASE_S,
    now: Moment,
) -> Places:
    """Take, keep or give back places for calls in flight; nothing is written where nothing changes.

    One that is not `urgent` (a batch) leaves the last place to those that are, where there are two or more, and gives
    back what they want beyond it; they leave one to batches.

    Parameters
    ----------
    limit
        How many there are.
    lease
        The number under which places are held already.
    wanted
        How many are wanted in all; 0 gives all back but those in `keep`.
    keep
        How many of those held are in use, and stay.
    until_s
        How long they are held where it cannot be told whether this process lives, seconds.
    """
    with ledger.transaction(durable=False) as conn:
        rows = _live(conn, account, now)
        others = [row for row in rows if row["id"] != lease]
        mine = next((row for row in rows if row["id"] == lease), None)
        kept = 1 if limit > 1 else 0
        batch_wants = [int(row["wanted"]) for row in others if not row["urgent"]]
        free = limit - sum(int(row["held"]) for row in others)
        urgent_wants = sum(int(row["wanted"]) for row in others if row["urgent"])
        if urgent:
            room = limit - (kept if any(batch_wants) else 0) - sum(int(row["held"]) for row in others if row["urgent"])
            fair = max(0, min(wanted, room))
        else:
            capacity = limit - max(kept, min(urgent_wants, limit - kept))
            wants = [wanted if row is mine else int(row["wanted"]) for row in rows if not row["urgent"]]
            place = len(wants) if mine is None else [row["id"] for row in rows if not row["urgent"]].index(lease)
            fair = fair_shares(capacity, wants if mine is not None else [*wants, wanted])[place]
            free = min(free, capacity - sum(int(row["held"]) for row in others if not row["urgent"]))
        held = max(keep, min(fair, free), 0)
        if wanted == 0 and held == 0:
            if mine is not None:
                conn.execute("DELETE FROM places WHERE id = ?", (lease,))
            return Places()
        until = now.wall + until_s
        if mine is None:
            me = this_process()
            values = (account, held, wanted, int(urgent), until, me.pid, me.started, me.boot_id, me.host, me.namespace)
            cursor = conn.execute(
                f"INSERT INTO places (account, held, wanted, urgent, until, {', '.join(HOLDER)}) "  # noqa: S608 - constants
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            lease = cursor.lastrowid
        elif (mine["held"], mine["wanted"]) != (held, wanted) or not until_s / 2 < mine["until"] - now.wall <= until_s:
            conn.execute("UPDATE places SET held = ?, wanted = ?, until = ? WHERE id = ?", (held, wanted, until, lease))
    return Places(lease, held, fair)


def _live(conn: sqlite3.Connection, account: str, now: Moment) -> list[dict[str, Any]]:
    """Return the places of an account that are held, after those of the dead are freed."""
    names = ("id", "held", "wanted", "urgent", "until", *HOLDER)
    sql = f"SELECT {', '.join(names)} FROM places WHERE account = ? ORDER BY id"  # noqa: S608 - constants
    live = []
    for values in conn.execute(sql, (account,)).fetchall():
        row: dict[str, Any] = dict(zip(names, values, strict=True))
        found = look(holder_of(row))
        if found is Holder.DEAD or (found is Holder.ELSEWHERE and row["until"] < now.wall):
            conn.execute("DELETE FROM places WHERE id = ?", (row["id"],))
        else:
            live.append(row)
    return live


def leave(ledger: Ledger, lease: int) -> None:
    """Give back all places that this process holds under a number."""
    with ledger.transaction(durable=False) as conn:
        conn.execute("DELETE FROM places WHERE id = ? AND pid = ?", (lease, this_process().pid))


# -- rates a minute ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit a minute, as a batch keeps it: never more than `per_minute` units in any 60 seconds.

    With T the interval between units and b the burst, conforming units in a span of s seconds number at most
    1 + s/T + (b - 1); a unit may be `LATE_S` late, so s is a minute and that. Of 2 units or more one is left to those
    that ask one question at a time.
    """

    per_minute: int

    @property
    def burst(self) -> float:
        """How many units may go at once."""
        return max(1.0, self._own * _BURST)

    @property
    def interval(self) -> float:
        """Seconds between units."""
        return (MINUTE_S + LATE_S) / (self._own - self.burst + 1.0)

    @property
    def _own(self) -> int:
        return max(1, self.per_minute - 1)

    def offset(self, ahead: float, k: int) -> float:
        """Return after how many seconds the k-th unit (from 1) may go, where those before reach `ahead` seconds."""
        return max(0.0, ahead + (k - self.burst) * self.interval)


@dataclass(slots=True)
class Released:
    """Units that were taken from a rate and may go one after another.

    Attributes
    ----------
    at
        When they were taken, seconds on the steady clock.
    ahead
        How far those before them reached then, seconds.
    n, used
        How many there are, and how many have gone.
    """

    rate: Rate
    at: float
    ahead: float
    n: int
    used: int = 0

    def time_of(self, k: int) -> float:
        """Return when the k-th of those that are left may go, on the steady clock."""
        return self.at + self.rate.offset(self.ahead, self.used + k)

    @property
    def left(self) -> int:
        """How many are left."""
        return self.n - self.used

    def drop_late(self, steady: float) -> None:
        """Give up those whose time has passed."""
        if self.left and self.time_of(1) < steady - LATE_S:
            reached = (steady - LATE_S - self.at - self.ahead) / self.rate.interval + self.rate.burst
            self.used = min(self.n, max(self.used, int(reached)))


def take_slice(
    ledger: Ledger, what: Limited, *, requests: int, tokens: int, now: Moment
) -> tuple[Released | None, Released | None]:
    """Take calls and tokens to come for a batch; return when each may go (None where none are taken).

    They are taken in turn: those of another process that asks later go later.
    """
    with ledger.transaction(durable=False) as conn:
        ahead = _ahead(conn, what.account, now)
        taken: list[Released | None] = []
        usable = 0.0
        for n, per_minute, reached in ((requests, what.rpm, ahead[0]), (tokens, what.tpm, ahead[1])):
            if per_minute is None or n == 0:
                taken.append(None)
                continue
            taken.append(Released(Rate(per_minute), now.steady, reached, n))
            usable = max(usable, Rate(per_minute).offset(reached, n))
        _write_take(conn, what, requests, tokens, ahead, usable, now)
    return taken[0], taken[1]


def _ahead(conn: sqlite3.Connection, account: str, now: Moment) -> tuple[float, float]:
    """Return how far the calls and tokens let through reach beyond now, seconds."""
    row = conn.execute(
        "SELECT requests_ahead, tokens_ahead, wall, steady, boot_id FROM takes WHERE account = ? "
        "ORDER BY id DESC LIMIT 1",
        (account,),
    ).fetchone()
    if row is None:
        return 0.0, 0.0
    gone = now.since(dict(zip(("wall", "steady", "boot_id"), row[2:], strict=True)))
    return max(0.0, row[0] - gone), max(0.0, row[1] - gone)


def _write_take(
    conn: sqlite3.Connection,
    what: Limited,
    requests: int,
    tokens: int,
    ahead: tuple[float, float],
    usable_s: float,
    now: Moment,
) -> None:
    reach = [
        reached + (0.0 if per_minute is None else n * Rate(per_minute).interval)
        for n, per_minute, reached in ((requests, what.rpm, ahead[0]), (tokens, what.tpm, ahead[1]))
    ]
    conn.execute(
        "DELETE FROM takes WHERE account = ? AND "
        "CASE WHEN boot_id = ? THEN ? - steady ELSE abs(? - wall) END > ? + usable_s",
        (what.account, now.boot, now.steady, now.wall, 2 * MINUTE_S),
    )
    conn.execute(
        "INSERT INTO takes (account, requests, tokens, requests_ahead, tokens_ahead, usable_s, wall, steady, boot_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (what.account, requests, tokens, *reach, usable_s + LATE_S, now.wall, now.steady, now.boot),
    )


def _wait_s(conn: sqlite3.Connection, what: Limited, tokens: int, now: Moment) -> tuple[float, str]:
    """Return after how many seconds the minute past has room for one call, and which limit it waits for."""
    rows = conn.execute(
        "SELECT requests, tokens, usable_s, wall, steady, boot_id FROM takes WHERE account = ?", (what.account,)
    ).fetchall()
    names = ("requests", "tokens", "usable_s", "wall", "steady", "boot_id")
    recent: list[tuple[float, int, int]] = []
    for values in rows:
        row: dict[str, Any] = dict(zip(names, values, strict=True))
        leaves = MINUTE_S + float(row["usable_s"]) - now.since(row)
        if leaves > 0.0:
            recent.append((leaves, int(row["requests"]), int(row["tokens"])))
    recent.sort()
    found = (0.0, "")
    for which, per_minute, amount in ((1, what.rpm, 1), (2, what.tpm, tokens)):
        if per_minute is None:
            continue
        used = sum(take[which] for take in recent)
        wait = 0.0
        for take in recent:
            if used + min(amount, per_minute) <= per_minute:
                break
            used -= take[which]
            wait = take[0]
        found = max(found, (wait, f"limits.{'rpm' if which == 1 else 'tpm'} of {per_minute:,}" if wait else ""))
    return found


# -- one call ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entered:
    """Whether one call may be made now.

    Attributes
    ----------
    lease
        The number of its place, or of its wish for one; None where the calls in flight are not limited.
    wait_s
        Seconds after which to ask again; 0.0 where it may go.
    why
        Which limit it waits for, in words; empty where it may go.
    """

    lease: int | None
    wait_s: float = 0.0
    why: str = ""


def enter(
    ledger: Ledger, what: Limited, *, lease: int | None, tokens: int, until_s: float, poll_s: float, now: Moment
) -> Entered:
    """Take a place and a share of the minute for one call, in one transaction; or say how long to wait.

    Parameters
    ----------
    lease
        What was returned when it was asked before; its wish for a place stands meanwhile, and batches make room.
    tokens
        How many it is expected to use.
    until_s
        How long its place is held at most where it cannot be told whether this process lives, seconds.
    poll_s
        When to look again for a place, seconds.
    """
    with ledger.transaction(durable=False) as conn:
        if what.concurrency is not None:
            places = settle_places(
                ledger,
                what.account,
                what.concurrency,
                lease=lease,
                wanted=1,
                urgent=True,
                until_s=until_s,
                now=now,
            )
            lease = places.lease
            if not places.held:
                return Entered(lease, poll_s, f"limits.concurrency of {what.concurrency:,}")
        if what.rates:
            wait, why = _wait_s(conn, what, tokens, now)
            if wait > 0.0:
                return Entered(lease, wait, why)
            _write_take(conn, what, 1, tokens, _ahead(conn, what.account, now), 0.0, now)
    return Entered(lease)
