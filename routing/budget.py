"""Caps that hold: reserve an upper bound before a call, settle to the truth after it, in one transaction each.

Every reservation is charged to the windows of its own instant: the day and the month, each for all profiles together,
for its profile, and for its arm, and to its run. Running sums per window (`balances`) are changed in the transaction
that changes the reservation, so a cap is checked by one look-up and at all times

    settled + reserved + unknown <= cap

unless a provider charges above its own enforced limit (a breach: charged in full, flagged, and the arm suspended).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import BudgetRefusedError, ConfigError, LedgerError, UsageError
from scrimp.profiles.money import format_usd, nano_from_usd

from .ledger import instant
from .process import Process, is_alive, this_process

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from scrimp.profiles.schema import Profile

    from .ledger import Ledger
    from .prices import ArmPrice, PriceTable

__all__ = [
    "ALERT_PERCENTS",
    "Cap",
    "CapState",
    "Charge",
    "RefusedError",
    "Reservation",
    "applicable_caps",
    "audit",
    "cap_states",
    "check",
    "check_zone",
    "clear_suspension",
    "left_nano",
    "new_alerts",
    "price_id",
    "reap",
    "reconcile",
    "reserve",
    "settle",
    "suspensions",
]

ALERT_PERCENTS: Final = (50, 80, 100)
"""Shares of a cap at which the user is told, once each."""

Status = Literal["reserved", "settled", "unverified", "unknown", "released"]


@dataclass(frozen=True, slots=True)
class Cap:
    """One cap that applies to a call.

    Attributes
    ----------
    scope
        `call`, `run`, `day`, `month`; `arm:NAME:` or `shared:` before one of them.
    limit_nano
        The most that may be charged, nano-USD.
    key
        The window's key in `balances`, or None for a cap on the single call.
    """

    scope: str
    limit_nano: int
    key: str | None

    @property
    def window(self) -> str:
        """The last word of the scope: call, run, day or month."""
        return self.scope.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class CapState:
    """A cap and what is charged to its window now (nano-USD); `resets_at` is ISO 8601, None for call and run."""

    cap: Cap
    settled_nano: int
    reserved_nano: int
    unknown_nano: int
    resets_at: str | None

    @property
    def left_nano(self) -> int:
        """What is left, nano-USD; below zero only after a breach or a lowered cap."""
        return self.cap.limit_nano - self.settled_nano - self.reserved_nano - self.unknown_nano


@dataclass(frozen=True, slots=True)
class Charge:
    """A call about to be made: who pays, and at most how much (nano-USD)."""

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
    """A reservation that stands: its id in the ledger, its upper bound, and the arm it was taken for."""

    id: int
    bound_nano: int
    profile: str
    arm: str


class RefusedError(BudgetRefusedError):
    """A cap leaves too little.

    Attributes
    ----------
    cap
        The cap that leaves least.
    left_nano
        What it leaves, nano-USD.
    only_live
        True when only other live reservations stand in the way: waiting for them may help.
    """

    def __init__(self, cap: Cap, *, needed_nano: int, left_nano: int, only_live: bool, resets_at: str | None) -> None:
        when = f"; the cap rolls over at {resets_at}" if resets_at else ""
        super().__init__(
            f"refused by the {cap.scope} cap of {format_usd(cap.limit_nano)}: the call could cost up to "
            f"{format_usd(needed_nano)}, and {format_usd(max(left_nano, 0))} is left{when}",
            hint="Lower max_output_tokens, choose a cheaper arm, or raise the cap (`scrimp spend` shows all caps).",
        )
        self.cap = cap
        self.needed_nano = needed_nano
        self.left_nano = left_nano
        self.only_live = only_live
        self.resets_at = resets_at


def check_zone(ledger: Ledger, profile: Profile) -> None:
    """Refuse a profile whose days are not the ledger's.

    Raises
    ------
    ConfigError
        If the profile names a time zone other than the one fixed when the ledger was made.
    """
    zone = profile.caps.timezone
    if zone not in ("local", ledger.zone_name):
        raise ConfigError(
            f"profile {profile.name}: caps.timezone is {zone!r}, but the ledger's is fixed as {ledger.zone_name!r}",
            hint=f'Write timezone = "{ledger.zone_name}" or "local": a window that could move could be spent twice.',
        )


def applicable_caps(
    ledger: Ledger, profile: Profile, arm: str | None, *, now: float, run_id: str | None = None
) -> tuple[Cap, ...]:
    """List every cap that applies to a call of `arm` (all arms' own caps when None) at POSIX time `now`."""
    day, month = ledger.windows(now)
    caps: list[Cap] = []

    def add(scope: str, usd: object, key: str | None) -> None:
        if usd is not None:
            caps.append(Cap(scope, nano_from_usd(usd), key))  # type: ignore[arg-type]  # a Decimal, by the schema

    own = profile.caps
    add("call", own.per_call_usd, None)
    if run_id is not None:
        add("run", own.per_run_usd, f"run:{run_id}")
    add("day", own.per_day_usd, f"day:{day}|p:{profile.name}")
    add("month", own.per_month_usd, f"month:{month}|p:{profile.name}")
    for each in profile.arms:
        if each.cap is not None and arm in (None, each.name):
            where = f"|p:{profile.name}|a:{each.name}"
            add(f"arm:{each.name}:call", each.cap.per_call_usd, None)
            add(f"arm:{each.name}:day", each.cap.per_day_usd, f"day:{day}{where}")
            add(f"arm:{each.name}:month", each.cap.per_month_usd, f"month:{month}{where}")
    for scope, limit in ledger.conn.execute("SELECT scope, limit_nano FROM shared_caps ORDER BY scope"):
        window = scope.rpartition(":")[2]
        caps.append(Cap(scope, int(limit), f"day:{day}" if window == "day" else f"month:{month}"))
    return tuple(caps)


def left_nano(ledger: Ledger, caps: Iterable[Cap]) -> int | None:
    """Return the least that any of the caps leaves, nano-USD; None when nothing caps the call.

    A look ahead, for choosing an arm; only `reserve` decides.
    """
    left = [cap.limit_nano - sum(_balance(ledger.conn, cap.key)) for cap in caps]
    return min(left, default=None)


def check(ledger: Ledger, caps: Iterable[Cap], bound_nano: int, *, now: float) -> None:
    """Refuse a call that a cap leaves too little for.

    Outside a transaction this is a look ahead; `reserve` calls it inside its own.

    Raises
    ------
    RefusedError
        Naming the cap that leaves least.
    """
    worst: tuple[int, Cap] | None = None
    only_live = True
    for cap in caps:
        live, fixed = _balance(ledger.conn, cap.key)
        left = cap.limit_nano - live - fixed
        if left < bound_nano:
            only_live = only_live and cap.limit_nano - fixed >= bound_nano
            if worst is None or left < worst[0]:
                worst = (left, cap)
    if worst is not None:
        left, cap = worst
        raise RefusedError(
            cap,
            needed_nano=bound_nano,
            left_nano=left,
            only_live=only_live,
            resets_at=ledger.rolls_over_at(cap.window, now) if cap.window in ("day", "month") else None,
        )


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
) -> Reservation:
    """Reserve the upper bound of a call against every cap that applies, in one transaction.

    Parameters
    ----------
    charge
        The call and its bound.
    caps
        What `applicable_caps` returned for it. With `charge.cap_override_nano` the call is measured against that
        amount alone, and logged as such.
    now
        POSIX time; it says which day and month are charged.
    attempt, request
        Rows of the log to write in the same transaction, so that intent is on disk before a call leaves.

    Raises
    ------
    RefusedError
        If a cap leaves too little: nothing was written.
    LedgerError
        If the ledger cannot be written.
    """
    if charge.bound_nano < 0:
        raise LedgerError("a reservation cannot be negative")
    caps = tuple(caps)
    if charge.cap_override_nano is not None:
        caps = (Cap("override:call", charge.cap_override_nano, None),)
    me = this_process()
    day, month = ledger.windows(now)
    with ledger.transaction() as conn:
        check(ledger, caps, charge.bound_nano, now=now)
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
            },
        )
        _move(conn, _keys(charge.profile, charge.arm, charge.run_id, day, month), live=charge.bound_nano)
        if request is not None:
            ledger.insert("requests", dict(request))
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
        The true cost, nano-USD; None when it is not known: then the whole reservation stays charged, `unverified`.
    released
        The call certainly cost nothing (it never arrived, or was refused): the reservation is given back.
    attempt, request
        Columns of the log to update in the same transaction.

    Returns
    -------
    tuple[Status, bool]
        The new status, and whether the cost was above the bound (a breach: the arm is suspended until the user clears
        it).
    """
    if released:
        status: Status = "released"
        charged = 0
    elif cost_nano is None:
        status, charged = "unverified", reservation.bound_nano
    else:
        status, charged = "settled", cost_nano
    breach = charged > reservation.bound_nano
    with ledger.transaction() as conn:
        _recharge(conn, reservation.id, status, charged, at=instant(now), breach=breach, note=note, once=True)
        if attempt is not None:
            ledger.update("attempts", ("id", reservation.id), dict(attempt))
        if request is not None:
            ledger.update("requests", ("id", request[0]), dict(request[1]))
        if breach:
            conn.execute(
                "INSERT OR IGNORE INTO suspensions (profile, arm, at, reason) VALUES (?, ?, ?, ?)",
                (
                    reservation.profile,
                    reservation.arm,
                    instant(now),
                    f"a call cost {format_usd(charged)}, above its bound of {format_usd(reservation.bound_nano)}",
                ),
            )
    return status, breach


def reap(ledger: Ledger, *, now: float) -> int:
    """Turn the reservations of dead processes into `unknown`: still charged in full. Return how many there were."""
    rows = ledger.rows("SELECT id, pid, process_started, boot_id FROM reservations WHERE status = 'reserved'")
    verdicts: dict[Process, bool] = {}
    dead = []
    for row in rows:
        process = Process(row["pid"], row["process_started"], row["boot_id"])
        if process not in verdicts:
            verdicts[process] = is_alive(process)
        if not verdicts[process]:
            dead.append(row["id"])
    if not dead:
        return 0
    n_reaped = 0
    with ledger.transaction() as conn:
        for reservation_id in dead:
            row = conn.execute(
                "SELECT reserved_nano, request_id FROM reservations WHERE id = ? AND status = 'reserved'",
                (reservation_id,),
            ).fetchone()
            if row is None:
                continue  # settled, or reaped by another process, since we looked
            note = "the process that made this call died before it was settled"
            _recharge(conn, reservation_id, "unknown", int(row[0]), at=instant(now), breach=False, note=note)
            conn.execute(
                "UPDATE requests SET status = 'unknown', error = ? WHERE id = ? AND status = 'pending'", (note, row[1])
            )
            n_reaped += 1
    return n_reaped


def reconcile(ledger: Ledger, reservation_id: int, cost_nano: int, *, now: float) -> dict[str, Any]:
    """Set what an `unknown` or `unverified` call truly cost, as the provider's bill says.

    Raises
    ------
    UsageError
        If there is no such reservation, it is still in flight, or the amount is negative.
    """
    if cost_nano < 0:
        raise UsageError("a call cannot cost less than nothing")
    rows = ledger.rows("SELECT * FROM reservations WHERE id = ?", (reservation_id,))
    if not rows:
        raise UsageError(
            f"no call {reservation_id} in the ledger", hint="`scrimp spend --open` lists what can be reconciled."
        )
    row = rows[0]
    if row["status"] == "reserved":
        raise UsageError(
            f"call {reservation_id} is still in flight", hint="Wait for it to end, or end its process first."
        )
    with ledger.transaction() as conn:
        _recharge(
            conn,
            reservation_id,
            "settled",
            cost_nano,
            at=instant(now),
            breach=cost_nano > row["reserved_nano"],
            note=f"reconciled by hand (was {row['status']}, {format_usd(row['charged_nano'])})",
        )
        ledger.update("attempts", ("id", reservation_id), {"cost_nano": cost_nano})
    return row


def suspensions(ledger: Ledger, profile: str) -> dict[str, str]:
    """Return the suspended arms of a profile, and why."""
    rows = ledger.rows("SELECT arm, reason FROM suspensions WHERE profile = ?", (profile,))
    return {row["arm"]: row["reason"] for row in rows}


def clear_suspension(ledger: Ledger, profile: str, arm: str) -> bool:
    """Let a suspended arm take calls again; return False when it was not suspended."""
    with ledger.transaction() as conn:
        return conn.execute("DELETE FROM suspensions WHERE profile = ? AND arm = ?", (profile, arm)).rowcount > 0


def cap_states(ledger: Ledger, caps: Iterable[Cap], *, now: float) -> list[CapState]:
    """Return what is charged to each cap's window now, apart by status, from the reservations themselves."""
    states = []
    for cap in caps:
        settled = reserved = unknown = 0
        if cap.key is not None:
            where, parameters = _where(cap.key)
            for row in ledger.rows(
                f"SELECT status, sum(charged_nano) AS nano FROM reservations WHERE {where} GROUP BY status",  # noqa: S608 - built from constants
                parameters,
            ):
                if row["status"] == "reserved":
                    reserved += row["nano"]
                elif row["status"] == "unknown":
                    unknown += row["nano"]
                else:
                    settled += row["nano"]
        resets = ledger.rolls_over_at(cap.window, now) if cap.window in ("day", "month") else None
        states.append(CapState(cap, settled, reserved, unknown, resets))
    return states


def audit(ledger: Ledger) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Return the windows whose running sums disagree with the reservations: (live, fixed) as kept, and as summed."""
    summed: dict[str, tuple[int, int]] = {}
    for row in ledger.rows("SELECT profile, arm, run_id, day, month, status, charged_nano FROM reservations"):
        for key in _keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]):
            live, fixed = summed.get(key, (0, 0))
            nano = int(row["charged_nano"])
            summed[key] = (live + nano, fixed) if row["status"] == "reserved" else (live, fixed + nano)
    kept = {
        row["key"]: (int(row["live_nano"]), int(row["fixed_nano"]))
        for row in ledger.rows("SELECT key, live_nano, fixed_nano FROM balances")
    }
    nothing = (0, 0)
    return {
        key: (kept.get(key, nothing), summed.get(key, nothing))
        for key in kept.keys() | summed.keys()
        if kept.get(key, nothing) != summed.get(key, nothing)
    }


def new_alerts(ledger: Ledger, caps: Iterable[Cap], *, now: float) -> list[str]:
    """Return a line for each cap whose window has newly reached 50, 80 or 100%; each is returned once, ever."""
    lines = []
    for cap in caps:
        if cap.key is None or cap.limit_nano <= 0 or cap.window not in ("day", "month"):
            continue
        used = sum(_balance(ledger.conn, cap.key))
        percent = max((step for step in ALERT_PERCENTS if used * 100 >= step * cap.limit_nano), default=None)
        if percent is None:
            continue
        name = f"{cap.key} {cap.scope} {cap.limit_nano}"
        if ledger.rows("SELECT 1 FROM alerts WHERE key = ? AND percent >= ?", (name, percent)):
            continue
        with ledger.transaction() as conn:
            fresh = conn.execute(
                "INSERT OR IGNORE INTO alerts (key, percent, at) VALUES (?, ?, ?)", (name, percent, instant(now))
            ).rowcount
        if fresh:
            lines.append(
                f"{format_usd(used)} of the {cap.scope} cap of {format_usd(cap.limit_nano)} is used ({percent}% passed)"
            )
    return lines


def _keys(profile: str, arm: str, run_id: str | None, day: str, month: str) -> list[str]:
    """List the windows that a call is charged to, whether or not a cap stands on them today."""
    keys = []
    for window in (f"day:{day}", f"month:{month}"):
        keys += [window, f"{window}|p:{profile}", f"{window}|p:{profile}|a:{arm}"]
    if run_id is not None:
        keys.append(f"run:{run_id}")
    return keys


def _where(key: str) -> tuple[str, list[str]]:
    """Turn a window's key into the condition on reservations that it stands for."""
    columns = {"day": "day", "month": "month", "run": "run_id", "p": "profile", "a": "arm"}
    parts = [part.partition(":") for part in key.split("|")]
    return " AND ".join(f"{columns[kind]} = ?" for kind, _, _ in parts), [value for _, _, value in parts]


def _balance(conn: sqlite3.Connection, key: str | None) -> tuple[int, int]:
    """Return (live, fixed) nano-USD charged to a window."""
    if key is None:
        return 0, 0
    row = conn.execute("SELECT live_nano, fixed_nano FROM balances WHERE key = ?", (key,)).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _move(conn: sqlite3.Connection, keys: Iterable[str], *, live: int = 0, fixed: int = 0) -> None:
    conn.executemany(
        "INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "live_nano = live_nano + excluded.live_nano, fixed_nano = fixed_nano + excluded.fixed_nano",
        [(key, live, fixed) for key in keys],
    )


def _recharge(
    conn: sqlite3.Connection,
    reservation_id: int,
    status: Status,
    charged: int,
    *,
    at: str,
    breach: bool,
    note: str | None,
    once: bool = False,
) -> None:
    """Change what a reservation is charged, in its own windows, inside the caller's transaction.

    With `once`, a reservation that is neither live nor unknown is left as it is: settling twice changes nothing.
    """
    row = conn.execute(
        "SELECT status, charged_nano, profile, arm, run_id, day, month FROM reservations WHERE id = ?",
        (reservation_id,),
    ).fetchone()
    if row is None:
        raise LedgerError(f"reservation {reservation_id} is not in the ledger", hint="Run `scrimp doctor`.")
    was, was_charged, profile, arm, run_id, day, month = row
    if once and was not in ("reserved", "unknown"):
        return
    live, fixed = (-was_charged, charged) if was == "reserved" else (0, charged - was_charged)
    _move(conn, _keys(profile, arm, run_id, day, month), live=live, fixed=fixed)
    conn.execute(
        "UPDATE reservations SET status = ?, charged_nano = ?, breach = max(breach, ?), settled_at = ?, "
        "note = coalesce(?, note) WHERE id = ?",
        (status, charged, int(breach), at, note, reservation_id),
    )
