"""Caps that hold: reserve an upper bound before a call, settle to the truth after it, in one transaction each.

Every reservation is charged to the windows of its own instant: the day and the month, each for all profiles together,
for its profile, and for its arm, and to its run. Running sums per window (`balances`) are changed in the transaction
that changes the reservation, so a cap is checked by one look-up and at all times

    settled + reserved + unknown <= cap

unless a provider charges above its own enforced limit (a breach: charged in full, flagged, and the arm suspended), the
user pays past the caps for one request by name, or lowers a cap below what is spent.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import LedgerError
from scrimp.profiles.money import format_usd

from .audit import audit_balances
from .clauses import OPEN
from .documents import write_request
from .process import Holder, Process, look, this_process
from .provider_batches import out_of_reach
from .statements import change, insertion
from .store import instant
from .suspensions import SuspendedError, suspend
from .upkeep import make_sure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.table import PriceTable

    from .store import Ledger
from .caps import Cap, at_window, check_caps, shared_at, window_keys

__all__ = [
    "BEGUN",
    "HOLDER",
    "MAX_CALL_NANO",
    "Charge",
    "Reservation",
    "Status",
    "audit_balances",
    "begun_values",
    "believed_nano",
    "end_of",
    "holder_of",
    "mark_sent",
    "move",
    "moved",
    "price_id",
    "reap",
    "recharge",
    "recharged",
    "remember",
    "reservation_row",
    "reservation_rows",
    "reserve",
    "run_of",
    "settle",
    "told_of",
    "why_stopped",
]

MAX_CALL_NANO: Final = 10**15
"""A million USD. No call costs more, and sums of calls below it stay exact in SQLite's 64 bits."""

Status = Literal["reserved", "settled", "unverified", "unknown", "released"]


@dataclass(frozen=True, slots=True)
class Charge:
    """A call about to be made: who pays, and how much at most.

    Attributes
    ----------
    request_id
        The request that it is for.
    profile, arm
        Whose caps it is charged to.
    bound_nano
        The most that it can cost, nano-USD.
    source
        The command that asks: ask, redo, batch, probe, audit.
    run_id
        What the per-run cap is about: a batch, or one request with its retries and fallbacks.
    tag
        A word of the user's by which spending is summed, or None.
    price_id
        The ledger's id of the price that it will be charged at.
    cap_override_nano
        The most that the whole run may cost, nano-USD, whatever the caps say; None keeps to the caps.
    """

    request_id: str
    profile: str
    arm: str
    bound_nano: int
    source: str = "ask"
    run_id: str | None = None
    tag: str | None = None
    price_id: int | None = None
    cap_override_nano: int | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation that stands.

    Attributes
    ----------
    id
        Its number in the ledger.
    bound_nano
        Its upper bound, nano-USD.
    profile, arm
        Whom it was taken for.
    lane
        By which of an arm's two prices the call is charged: `batch` (the provider's Batch API) or `sync`; None where it
        has one.
    """

    id: int
    bound_nano: int
    profile: str
    arm: str
    lane: str | None = None


def believed_nano(nano: object) -> int | None:
    """Return what a call is said to have cost where that can be, in nano-USD; None of anything else.

    Examples
    --------
    >>> believed_nano(5), believed_nano(-5), believed_nano(float("nan")), believed_nano(10**18)
    (5, None, None, None)
    """
    return nano if type(nano) is int and 0 <= nano <= MAX_CALL_NANO else None


def price_id(ledger: Ledger, price: ArmPrice, *, model: str, table: PriceTable, now: float) -> int:
    """Return the ledger's id of a model's price as it stands, storing it once per version of the table."""
    text = price.to_json()
    digest = hashlib.sha256(text.encode()).hexdigest()
    find = "SELECT id FROM prices WHERE sha256 = ? AND table_sha256 = ?"
    rows = ledger.rows(find, (digest, table.sha256))
    if not rows:
        with ledger.transaction() as conn:
            conn.execute(
                "INSERT OR IGNORE INTO prices (sha256, model, table_version, table_sha256, json, first_seen_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (digest, model, price.source, table.sha256, text, instant(now)),
            )
        rows = ledger.rows(find, (digest, table.sha256))
    return int(rows[0]["id"])


def reserve(
    ledger: Ledger,
    charge: Charge,
    caps: Iterable[Cap],
    *,
    now: float,
    attempt: Mapping[str, object] | None = None,
    request: Mapping[str, object] | None = None,
    sent: bool = False,
) -> Reservation:
    """Reserve the upper bound of a call against every cap that applies, in one transaction.

    Parameters
    ----------
    charge
        The call and its bound.
    caps
        What `applicable_caps` returned for it, however long ago: days and months are taken at `now`, and the caps
        shared by all profiles are read anew. With `charge.cap_override_nano` the run is measured against that amount
        and the request's own limits alone, and logged as such.
    now
        POSIX time; it says which day and month are charged.
    attempt, request
        Rows of the log to write in the same transaction, so that intent is on disk before a call leaves; a request's
        may bring the texts of its files (`documents.write_request`).
    sent
        Whether the call counts as sent from here on (`mark_sent`): it leaves at once.

    Raises
    ------
    RefusedError
        If a cap leaves too little: nothing was written.
    SuspendedError
        If the arm is suspended: nothing was written.
    LedgerError
        If the ledger is damaged, or cannot be written.
    """
    if not 0 <= charge.bound_nano <= MAX_CALL_NANO:
        raise LedgerError(
            f"a call cannot be reserved at {format_usd(charge.bound_nano)}", hint="Check the arm's price."
        )
    make_sure(ledger)
    day, month = ledger.windows(now)
    own = [at_window(cap, day, month) for cap in caps if not cap.shared]
    with ledger.transaction() as conn:
        stopped = why_stopped(ledger, charge)
        if stopped is not None:
            raise SuspendedError(charge.profile, charge.arm, stopped)
        if charge.cap_override_nano is None:
            check_caps(ledger, (*own, *shared_at(ledger, day, month)), charge.bound_nano, now=now)
        else:
            key = None if charge.run_id is None else f"run:{charge.run_id}"
            override = Cap("--cap-override:run" if key else "--cap-override:call", charge.cap_override_nano, key)
            check_caps(ledger, (*(cap for cap in own if cap.own), override), charge.bound_nano, now=now)
        remember(conn, charge.profile, own)
        values = begun_values(charge, at=instant(now), day=day, month=month, sent=sent)
        reservation_id = int(conn.execute(insertion("reservations", BEGUN, 1), values).lastrowid or 0)
        keys = window_keys(charge.profile, charge.arm, charge.run_id, day, month)
        move(conn, [(key, charge.bound_nano, 0) for key in keys])
        if request is not None:
            write_request(ledger, request)
        if attempt is not None:
            ledger.insert("attempts", {"id": reservation_id, **attempt})
    return Reservation(reservation_id, charge.bound_nano, charge.profile, charge.arm)


def why_stopped(ledger: Ledger, charge: Charge) -> str | None:
    """Return why the arm of a call is suspended; None where it is not."""
    found = ledger.one("SELECT reason FROM suspensions WHERE profile = ? AND arm = ?", (charge.profile, charge.arm))
    return None if found is None else found[0]


BEGUN: Final = (
    "request_id", "run_id", "profile", "arm", "source", "tag", "at", "day", "month", "status", "reserved_nano",
    "charged_nano", "price_id", "cap_override_nano", "pid", "process_started", "boot_id", "host", "pid_namespace",
    "sent",
)  # fmt: skip
"""Columns of a reservation that was just made."""


def begun_values(charge: Charge, *, at: str, day: str, month: str, sent: bool) -> tuple[object, ...]:
    """Return what `BEGUN` are of a call of this process."""
    me = this_process()
    return (
        charge.request_id, charge.run_id, charge.profile, charge.arm, charge.source, charge.tag, at, day, month,
        "reserved", charge.bound_nano, charge.bound_nano, charge.price_id, charge.cap_override_nano, me.pid, me.started,
        me.boot_id, me.host, me.namespace, int(sent),
    )  # fmt: skip


def settle(
    ledger: Ledger,
    reservation: Reservation,
    *,
    cost_nano: int | None,
    now: float,
    released: bool = False,
    attempt: Mapping[str, object] | None = None,
    request: tuple[str, Mapping[str, object]] | None = None,
    note: str | None = None,
) -> tuple[Status, bool]:
    """Settle a reservation to what the call cost.

    Parameters
    ----------
    cost_nano
        The true cost, nano-USD; None when it is not known: then the whole reservation stays charged, `unverified`. So
        it does where it is given and cannot be one (negative, no whole number, above `MAX_CALL_NANO`), from wherever.
    released
        Whether the call certainly cost nothing (it never left, or was refused): then the reservation is given back.
    attempt, request
        Columns of the log to update in the same transaction.

    Returns
    -------
    tuple[Status, bool]
        The status it has now, and whether the cost was above the bound (a breach: the arm is suspended until the user
        clears it). Only a live or `unknown` reservation is settled: one that was settled, or reconciled by hand, keeps
        its status and its charge.
    """
    believed = believed_nano(cost_nano)
    if cost_nano is not None and believed is None:
        note = "; ".join([*([note] if note else []), f"a cost of {cost_nano!r:.30} nano-USD cannot be"])
    with ledger.transaction() as conn:
        row = reservation_row(conn, reservation.id)
        late = row["status"] not in ("reserved", "unknown")
        if late:
            status, breach = row["status"], bool(row["breach"])
        else:
            status, charged = end_of(row, believed, released=released)
            breach = charged > row["reserved_nano"]
            recharge(conn, row, status, charged, at=instant(now), breach=breach, note=note)
            if breach:
                suspend(conn, row, charged, now=now)
        if attempt is not None and (told := told_of(attempt, late=late)):
            ledger.update("attempts", ("id", reservation.id), told)
        if request is not None:
            ledger.update("requests", ("id", request[0]), request[1])
    return status, breach


def end_of(row: Mapping[str, Any], cost_nano: int | None, *, released: bool) -> tuple[Status, int]:
    """Return the status that a live reservation is settled to, and what it is charged then, nano-USD.

    Parameters
    ----------
    cost_nano
        As `believed_nano` returns it.
    """
    if released:
        return "released", 0
    if cost_nano is None:
        return "unverified", row["reserved_nano"]
    return "settled", cost_nano


def told_of(attempt: Mapping[str, object], *, late: bool = False) -> Mapping[str, object]:
    """Return the columns of the log that are set at the end of a call, its cost as far as it can be one.

    Parameters
    ----------
    late
        Whether it was settled before: then its cost stays.
    """
    if "cost_nano" not in attempt:
        return attempt
    if late:
        return {key: value for key, value in attempt.items() if key != "cost_nano"}
    cost = attempt["cost_nano"]
    return attempt if believed_nano(cost) == cost else {**attempt, "cost_nano": believed_nano(cost)}


def mark_sent(ledger: Ledger, reservation_id: int) -> None:
    """Record that the first byte of a call is about to leave: from here on it may be billed, however we end.

    It is not flushed to the disk: it has to outlive the process, not the machine (`reap` relies on a missing mark only
    where the machine has not been restarted since).

    Raises
    ------
    LedgerError
        If it is not reserved any more.
    """
    with ledger.transaction(durable=False) as conn:
        held = conn.execute("UPDATE reservations SET sent = 1 WHERE id = ? AND status = 'reserved'", (reservation_id,))
        if held.rowcount != 1:
            raise LedgerError(
                f"call {reservation_id} is not reserved any more: it was taken for that of a dead process",
                hint="Nothing was sent. Ask again.",
            )


def reap(ledger: Ledger, *, now: float) -> int:
    """Turn the reservations of dead processes into `unknown`, still charged in full; return how many there were.

    Where the call had certainly not left, it cost nothing, and the reservation is released. Where it cannot be told
    whether its process lives (it runs on another machine, or in another container), it stays reserved; so does one that
    a provider's batch holds, until its results are not to be had any more.
    """
    held = "SELECT id, {} FROM reservations WHERE {} AND status = 'reserved' AND holder IS NULL"
    rows = ledger.rows(held.format(", ".join(HOLDER), OPEN))
    verdicts: dict[Process, Holder] = {}
    dead = []
    for row in rows:
        process = holder_of(row)
        if process not in verdicts:
            verdicts[process] = look(process)
        if verdicts[process] is Holder.DEAD:
            dead.append(row["id"])
    dead += out_of_reach(ledger, now=now)
    if not dead:
        return 0
    n_reaped = 0
    boot_id = this_process().boot_id
    with ledger.transaction() as conn:
        for reservation_id in dead:
            row = reservation_row(conn, reservation_id)
            if row["status"] != "reserved":
                continue  # settled, or reaped by another process, since we looked
            never_left = not row["sent"] and row["boot_id"] == boot_id
            note = "the process that was to make this call died before it " + ("left" if never_left else "was settled")
            if row["holder"] is not None:
                note = f"{row['holder']} kept no results for so long"
            charged = 0 if never_left else row["reserved_nano"]
            recharge(conn, row, "released" if never_left else "unknown", charged, at=instant(now), note=note)
            conn.execute(
                "UPDATE requests SET status = ?, error = ? WHERE id = ? AND status = 'pending'",
                ("interrupted" if never_left else "unknown", note, row["request_id"]),
            )
            n_reaped += 1
    return n_reaped


def holder_of(row: Mapping[str, Any]) -> Process:
    """Return the process that holds a reservation, from its row."""
    return Process(*(row[name] for name in HOLDER))


def run_of(ledger: Ledger, reservation_id: int) -> str | None:
    """Return the run that a reservation is for; None where there is no such reservation, or it is for none."""
    rows = ledger.rows("SELECT run_id FROM reservations WHERE id = ?", (reservation_id,))
    return rows[0]["run_id"] if rows else None


def remember(conn: sqlite3.Connection, profile: str, caps: Iterable[Cap]) -> None:
    """Keep the profile's own caps where `spend --short` finds them without reading a profile."""
    limits = {cap.scope: cap.limit_nano for cap in caps if cap.scope in ("day", "month")}
    for key, value in ((f"caps:{profile}", json.dumps(limits, sort_keys=True)), ("last_profile", profile)):
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
            "WHERE value <> excluded.value",
            (key, value),
        )


def move(conn: sqlite3.Connection, moves: Iterable[tuple[str, int, int]]) -> None:
    """Change running sums inside the caller's transaction: of each window, by how much (live, fixed), nano-USD."""
    conn.executemany(
        "INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "live_nano = live_nano + excluded.live_nano, fixed_nano = fixed_nano + excluded.fixed_nano",
        moves,
    )


HOLDER: Final = ("pid", "process_started", "boot_id", "host", "pid_namespace")

_COLUMNS: Final = (
    "id", "request_id", "status", "reserved_nano", "charged_nano", "profile", "arm", "run_id", "day", "month", "breach",
    "sent", "at", "settled_at", "note", "holder", *HOLDER,
)  # fmt: skip
_ROW: Final = f"SELECT {', '.join(_COLUMNS)} FROM reservations WHERE id = ?"  # noqa: S608 - constants
_ROWS: Final = _ROW.replace("= ?", "IN (SELECT value FROM json_each(?))")


def reservation_row(conn: sqlite3.Connection, reservation_id: int) -> dict[str, Any]:
    """Return a reservation as it stands inside the caller's transaction.

    Raises
    ------
    LedgerError
        If there is none.
    """
    row = conn.execute(_ROW, (reservation_id,)).fetchone()
    if row is None:
        raise LedgerError(f"reservation {reservation_id} is not in the ledger", hint="Run `scrimp doctor`.")
    return dict(zip(_COLUMNS, row, strict=True))


def reservation_rows(conn: sqlite3.Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return those of some reservations that are there, by their numbers, inside the caller's transaction."""
    found = conn.execute(_ROWS, (json.dumps(ids),))
    return {row[0]: dict(zip(_COLUMNS, row, strict=True)) for row in found}


def recharge(
    conn: sqlite3.Connection,
    row: Mapping[str, Any],
    status: Status,
    charged: int,
    *,
    at: str,
    breach: bool = False,
    note: str | None = None,
) -> None:
    """Change what a reservation is charged, in its own windows, inside the caller's transaction."""
    live, fixed = moved(row, charged)
    keys = window_keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"])
    move(conn, [(key, live, fixed) for key in keys])
    values = recharged(status, charged, at=at, breach=breach, note=note)
    conn.execute(change("reservations", "id", tuple(values)), (*values.values(), row["id"]))


def recharged(status: Status, charged: int, *, at: str, breach: bool, note: str | None) -> dict[str, object]:
    """Return the columns of a reservation that are set where its charge changes; an earlier note stays without one."""
    values: dict[str, object] = {"status": status, "charged_nano": charged, "breach": int(breach), "settled_at": at}
    return values if note is None else {**values, "note": note}


def moved(row: Mapping[str, Any], charged: int) -> tuple[int, int]:
    """Return by how much (live, fixed) the windows of a reservation change that is charged so much now, nano-USD."""
    was = int(row["charged_nano"])
    return (-was, charged) if row["status"] == "reserved" else (0, charged - was)
