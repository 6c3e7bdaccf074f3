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
from .store import instant
from .suspensions import SuspendedError, suspend
from .upkeep import make_sure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.table import PriceTable

    from .store import Ledger
from .caps import Cap, at_window, check_caps, shared_at, window_keys

__all__ = [
    "HOLDER",
    "MAX_CALL_NANO",
    "Charge",
    "Reservation",
    "Status",
    "audit_balances",
    "believed_nano",
    "holder_of",
    "mark_sent",
    "price_id",
    "reap",
    "recharge",
    "reservation_row",
    "reserve",
    "run_of",
    "settle",
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
    me = this_process()
    day, month = ledger.windows(now)
    own = [at_window(cap, day, month) for cap in caps if not cap.shared]
    with ledger.transaction() as conn:
        stopped = conn.execute(
            "SELECT reason FROM suspensions WHERE profile = ? AND arm = ?", (charge.profile, charge.arm)
        ).fetchone()
        if stopped is not None:
            raise SuspendedError(charge.profile, charge.arm, stopped[0])
        if charge.cap_override_nano is None:
            check_caps(ledger, (*own, *shared_at(ledger, day, month)), charge.bound_nano, now=now)
        else:
            key = None if charge.run_id is None else f"run:{charge.run_id}"
            override = Cap("--cap-override:run" if key else "--cap-override:call", charge.cap_override_nano, key)
            check_caps(ledger, (*(cap for cap in own if cap.own), override), charge.bound_nano, now=now)
        _remember(conn, charge.profile, own)
        reservation_id = ledger.insert(
            "reservations",
            {
                "request_id": charge.request_id,
                "run_id": charge.run_id,
                "profile": charge.profile,
                "arm": charge.arm,
                "source": charge.source,
                "tag": charge.tag,
                "at": instant(now),
                "day": day,
                "month": month,
                "status": "reserved",
                "reserved_nano": charge.bound_nano,
                "charged_nano": charge.bound_nano,
                "price_id": charge.price_id,
                "cap_override_nano": charge.cap_override_nano,
                "pid": me.pid,
                "process_started": me.started,
                "boot_id": me.boot_id,
                "host": me.host,
                "pid_namespace": me.namespace,
                "sent": int(sent),
            },
        )
        _move(conn, window_keys(charge.profile, charge.arm, charge.run_id, day, month), live=charge.bound_nano)
        if request is not None:
            write_request(ledger, request)
        if attempt is not None:
            ledger.insert("attempts", {"id": reservation_id, **attempt})
    return Reservation(reservation_id, charge.bound_nano, charge.profile, charge.arm)


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
    status: Status
    believed = believed_nano(cost_nano)
    if cost_nano is not None and believed is None:
        note = "; ".join([*([note] if note else []), f"a cost of {cost_nano!r:.30} nano-USD cannot be"])
    with ledger.transaction() as conn:
        row = reservation_row(conn, reservation.id)
        late = row["status"] not in ("reserved", "unknown")
        if late:
            status, breach = row["status"], bool(row["breach"])
        elif released:
            status, breach = "released", False
            recharge(conn, row, status, 0, at=instant(now), note=note)
        elif believed is None:
            status, breach = "unverified", False
            recharge(conn, row, status, row["reserved_nano"], at=instant(now), note=note)
        else:
            status, breach = "settled", believed > row["reserved_nano"]
            recharge(conn, row, status, believed, at=instant(now), breach=breach, note=note)
            if breach:
                suspend(conn, row, believed, now=now)
        if attempt is not None:
            told = {key: value for key, value in attempt.items() if not (late and key == "cost_nano")}
            if "cost_nano" in told:
                told["cost_nano"] = believed_nano(told["cost_nano"])
            if told:
                ledger.update("attempts", ("id", reservation.id), told)
        if request is not None:
            ledger.update("requests", ("id", request[0]), dict(request[1]))
    return status, breach


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


def _remember(conn: sqlite3.Connection, profile: str, caps: Iterable[Cap]) -> None:
    """Keep the profile's own caps where `spend --short` finds them without reading a profile."""
    limits = {cap.scope: cap.limit_nano for cap in caps if cap.scope in ("day", "month")}
    for key, value in ((f"caps:{profile}", json.dumps(limits, sort_keys=True)), ("last_profile", profile)):
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
            "WHERE value <> excluded.value",
            (key, value),
        )


def _move(conn: sqlite3.Connection, keys: Iterable[str], *, live: int = 0, fixed: int = 0) -> None:
    conn.executemany(
        "INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "live_nano = live_nano + excluded.live_nano, fixed_nano = fixed_nano + excluded.fixed_nano",
        [(key, live, fixed) for key in keys],
    )


HOLDER: Final = ("pid", "process_started", "boot_id", "host", "pid_namespace")

_COLUMNS: Final = (
    "id", "request_id", "status", "reserved_nano", "charged_nano", "profile", "arm", "run_id", "day", "month", "breach",
    "sent", "at", "settled_at", "note", "holder", *HOLDER,
)  # fmt: skip


def reservation_row(conn: sqlite3.Connection, reservation_id: int) -> dict[str, Any]:
    """Return a reservation as it stands inside the caller's transaction.

    Raises
    ------
    LedgerError
        If there is none.
    """
    row = conn.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM reservations WHERE id = ?",  # noqa: S608 - constants
        (reservation_id,),
    ).fetchone()
    if row is None:
        raise LedgerError(f"reservation {reservation_id} is not in the ledger", hint="Run `scrimp doctor`.")
    return dict(zip(_COLUMNS, row, strict=True))


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
    was = int(row["charged_nano"])
    live, fixed = (-was, charged) if row["status"] == "reserved" else (0, charged - was)
    _move(
        conn, window_keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]), live=live, fixed=fixed
    )
    conn.execute(
        "UPDATE reservations SET status = ?, charged_nano = ?, breach = ?, settled_at = ?, note = coalesce(?, note) "
        "WHERE id = ?",
        (status, charged, int(breach), at, note, row["id"]),
    )
