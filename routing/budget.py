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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import (
    ArmUnavailableError,
    BudgetRefusedError,
    ConfigError,
    LedgerError,
    UsageError,
)
from scrimp.profiles.money import format_usd, nano_from_usd

from .ledger import instant
from .process import Process, is_alive, this_process

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from scrimp.profiles.schema import Profile

    from .ledger import Ledger
    from .pace import Pace
    from .prices import ArmPrice, PriceTable

__all__ = [
    "ALERT_PERCENTS",
    "MAX_CALL_NANO",
    "SHARED_SCOPES",
    "Cap",
    "CapState",
    "Charge",
    "RefusedError",
    "Reservation",
    "SuspendedError",
    "applicable_caps",
    "audit",
    "cap_states",
    "check",
    "check_zone",
    "clear_shared_cap",
    "clear_suspension",
    "left_nano",
    "month_pace",
    "new_alerts",
    "price_id",
    "reap",
    "reconcile",
    "reserve",
    "set_shared_cap",
    "settle",
    "shared_caps",
    "shared_caps_at",
    "suspensions",
]

ALERT_PERCENTS: Final = (50, 80, 100)
"""Shares of a cap at which the user is told, once each."""

MAX_CALL_NANO: Final = 10**15
"""A million USD. No call costs more, and sums of calls below it stay exact in SQLite's 64 bits."""

SHARED_SCOPES: Final = ("shared:day", "shared:month")
"""The caps that can stand over all profiles together."""

_SOONEST_LAST: Final = {"call": 0, "run": 0, "month": 1, "day": 2}
"""Of several caps that refuse, the one is named that time helps least."""

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
    def own(self) -> bool:
        """Whether it belongs to the request itself (a flag), so that paying past the caps does not lift it."""
        return self.scope.startswith("--")

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
    """A call about to be made: who pays, and at most how much (nano-USD).

    Attributes
    ----------
    run_id
        What the per-run cap is about: a batch, or one request with its retries and fallbacks.
    cap_override_nano
        Pay up to this much in the whole run, whatever the caps say.
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


class SuspendedError(ArmUnavailableError):
    """The arm once charged above its bound, and takes no calls until the user says so."""

    def __init__(self, profile: str, arm: str, reason: str) -> None:
        super().__init__(
            f"arm {arm} of profile {profile} is suspended: {reason}",
            hint=f"`scrimp models resume {arm} -p {profile}` lets it take calls again.",
        )


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
    """List every cap that applies to a call of `arm` (all arms' own caps when None) at POSIX time `now`.

    Raises
    ------
    ConfigError
        If the profile's days are not the ledger's.
    """
    check_zone(ledger, profile)
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
    return (*caps, *_shared(ledger, day, month))


def _shared(ledger: Ledger, day: str, month: str) -> list[Cap]:
    return [
        Cap(scope, limit, f"day:{day}" if scope.endswith(":day") else f"month:{month}")
        for scope, limit in shared_caps(ledger).items()
    ]


def shared_caps(ledger: Ledger) -> dict[str, int]:
    """Return the caps over all profiles together: nano-USD by scope."""
    rows = ledger.rows("SELECT scope, limit_nano FROM shared_caps ORDER BY scope")
    return {row["scope"]: int(row["limit_nano"]) for row in rows}


def shared_caps_at(ledger: Ledger, *, now: float) -> list[Cap]:
    """Return the caps over all profiles on the day and month of `now`."""
    return _shared(ledger, *ledger.windows(now))


def set_shared_cap(ledger: Ledger, scope: str, limit_nano: int, *, now: float) -> None:
    """Set a cap over all profiles together; it holds for the very next reservation of any process.

    Raises
    ------
    UsageError
        If there is no such scope, or the amount is out of range.
    """
    _check_scope(scope)
    if not 0 <= limit_nano <= 10**18:
        raise UsageError("a cap is an amount from $0 to $1,000,000,000")
    with ledger.transaction() as conn:
        conn.execute(
            "INSERT INTO shared_caps (scope, limit_nano, set_at) VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE SET "
            "limit_nano = excluded.limit_nano, set_at = excluded.set_at",
            (scope, limit_nano, instant(now)),
        )


def clear_shared_cap(ledger: Ledger, scope: str) -> bool:
    """Lift a cap over all profiles; return False when there was none.

    Raises
    ------
    UsageError
        If there is no such scope.
    """
    _check_scope(scope)
    with ledger.transaction() as conn:
        return conn.execute("DELETE FROM shared_caps WHERE scope = ?", (scope,)).rowcount > 0


def _check_scope(scope: str) -> None:
    if scope not in SHARED_SCOPES:
        raise UsageError(
            f"no such cap: {scope!r}",
            hint=f"Caps over all profiles are {' and '.join(SHARED_SCOPES)}; others stand in a profile's [caps].",
        )


def month_pace(ledger: Ledger, profile: Profile, *, now: float) -> Pace | None:
    """Return how the month stands for a profile that paces itself; None when it does not, or no month is capped.

    Calls in flight do not count: their bounds are far above what most of them will cost.
    """
    if profile.policy.pace != "month":
        return None
    from .pace import pace

    caps = applicable_caps(ledger, profile, "", now=now)
    months = [(cap.scope, cap.limit_nano, _balance(ledger, cap.key)[1]) for cap in caps if cap.window == "month"]
    return pace(months, ledger.month_gone(now))


def left_nano(ledger: Ledger, caps: Iterable[Cap]) -> int | None:
    """Return the least that any of the caps leaves, nano-USD; None when nothing caps the call.

    A look ahead, for choosing an arm; only `reserve` decides.
    """
    left = [cap.limit_nano - sum(_balance(ledger, cap.key)) for cap in caps]
    return min(left, default=None)


def check(ledger: Ledger, caps: Iterable[Cap], bound_nano: int, *, now: float) -> None:
    """Refuse a call that a cap leaves too little for.

    Outside a transaction this is a look ahead; `reserve` calls it inside its own. What is free is never refused, even
    where a breach or a lowered cap left less than nothing.

    Raises
    ------
    RefusedError
        Naming, of the caps that leave too little, the one that rolls over last; among those, the one that leaves least.
    """
    if bound_nano == 0:
        return
    worst: tuple[int, Cap] | None = None
    only_live = True
    for cap in caps:
        live, fixed = _balance(ledger, cap.key)
        left = cap.limit_nano - live - fixed
        if left < bound_nano:
            only_live = only_live and cap.limit_nano - fixed >= bound_nano
            if worst is None or (_SOONEST_LAST[cap.window], left) < (_SOONEST_LAST[worst[1].window], worst[0]):
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
        What `applicable_caps` returned for it, however long ago: days and months are taken at `now`, and the caps
        shared by all profiles are read anew. With `charge.cap_override_nano` the run is measured against that amount
        and the request's own limits alone, and logged as such.
    now
        POSIX time; it says which day and month are charged.
    attempt, request
        Rows of the log to write in the same transaction, so that intent is on disk before a call leaves.

    Raises
    ------
    RefusedError
        If a cap leaves too little: nothing was written.
    SuspendedError
        If the arm is suspended: nothing was written.
    LedgerError
        If the ledger cannot be written.
    """
    if not 0 <= charge.bound_nano <= MAX_CALL_NANO:
        raise LedgerError(
            f"a call cannot be reserved at {format_usd(charge.bound_nano)}", hint="Check the arm's price."
        )
    me = this_process()
    day, month = ledger.windows(now)
    own = [_at(cap, day, month) for cap in caps if not cap.scope.startswith("shared:")]
    with ledger.transaction() as conn:
        stopped = conn.execute(
            "SELECT reason FROM suspensions WHERE profile = ? AND arm = ?", (charge.profile, charge.arm)
        ).fetchone()
        if stopped is not None:
            raise SuspendedError(charge.profile, charge.arm, stopped[0])
        if charge.cap_override_nano is None:
            check(ledger, (*own, *_shared(ledger, day, month)), charge.bound_nano, now=now)
        else:
            key = None if charge.run_id is None else f"run:{charge.run_id}"
            override = Cap("--cap-override:run" if key else "--cap-override:call", charge.cap_override_nano, key)
            check(ledger, (*(cap for cap in own if cap.own), override), charge.bound_nano, now=now)
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
        The status it has now, and whether the cost was above the bound (a breach: the arm is suspended until the user
        clears it). Only a live or `unknown` reservation is settled: one that was settled, or reconciled by hand, keeps
        its status and its charge.
    """
    status: Status
    with ledger.transaction() as conn:
        row = _reservation(conn, reservation.id)
        late = row["status"] not in ("reserved", "unknown")
        if late:
            status, breach = row["status"], bool(row["breach"])
        elif released:
            status, breach = "released", False
            _recharge(conn, row, status, 0, at=instant(now), note=note)
        elif cost_nano is None:
            status, breach = "unverified", False
            _recharge(conn, row, status, row["reserved_nano"], at=instant(now), note=note)
        else:
            cost_nano = min(cost_nano, MAX_CALL_NANO)
            status, breach = "settled", cost_nano > row["reserved_nano"]
            _recharge(conn, row, status, cost_nano, at=instant(now), breach=breach, note=note)
            if breach:
                _suspend(conn, row, cost_nano, now=now)
        if attempt is not None:
            told = {key: value for key, value in attempt.items() if not (late and key == "cost_nano")}
            if told:
                ledger.update("attempts", ("id", reservation.id), told)
        if request is not None:
            ledger.update("requests", ("id", request[0]), dict(request[1]))
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
    note = "the process that made this call died before it was settled"
    with ledger.transaction() as conn:
        for reservation_id in dead:
            row = _reservation(conn, reservation_id)
            if row["status"] != "reserved":
                continue  # settled, or reaped by another process, since we looked
            _recharge(conn, row, "unknown", row["reserved_nano"], at=instant(now), note=note)
            conn.execute(
                "UPDATE requests SET status = 'unknown', error = ? WHERE id = ? AND status = 'pending'",
                (note, row["request_id"]),
            )
            n_reaped += 1
    return n_reaped


def reconcile(ledger: Ledger, reservation_id: int, cost_nano: int, *, now: float) -> dict[str, Any]:
    """Set what a call truly cost, as the provider's bill says; return the reservation as it was.

    An `unknown` or `unverified` call costs at most its reservation, or its arm is suspended. So is the arm of a call
    that cost more than its provider had reported: what it reports cannot be relied on, and the caps may be passed.

    Raises
    ------
    UsageError
        If there is no such reservation, it is still in flight, or the amount is out of range.
    """
    if not 0 <= cost_nano <= MAX_CALL_NANO:
        raise UsageError("a call costs from $0 to $1,000,000")
    with ledger.transaction() as conn:
        try:
            row = _reservation(conn, reservation_id)
        except LedgerError:
            raise UsageError(
                f"no call {reservation_id} in the ledger", hint="`scrimp spend --open` lists what can be reconciled."
            ) from None
        if row["status"] == "reserved":
            raise UsageError(
                f"call {reservation_id} is still in flight", hint="Wait for it to end, or end its process first."
            )
        held = row["charged_nano"] if row["status"] in ("settled", "released") else row["reserved_nano"]
        breach = cost_nano > held or cost_nano > row["reserved_nano"]
        note = f"reconciled by hand (was {row['status']}, {format_usd(row['charged_nano'])})"
        _recharge(conn, row, "settled", cost_nano, at=instant(now), breach=breach, note=note)
        if breach:
            _suspend(conn, row, cost_nano, now=now)
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
        used = sum(_balance(ledger, cap.key))
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


def _at(cap: Cap, day: str, month: str) -> Cap:
    """Return a cap on the day and month given, whenever it was drawn up."""
    if cap.key is None or cap.window == "run":
        return cap
    _, bar, rest = cap.key.partition("|")
    return replace(cap, key=(f"day:{day}" if cap.window == "day" else f"month:{month}") + bar + rest)


def _remember(conn: sqlite3.Connection, profile: str, caps: Iterable[Cap]) -> None:
    """Keep the profile's own caps where `spend --short` finds them without reading a profile."""
    limits = {cap.scope: cap.limit_nano for cap in caps if cap.scope in ("day", "month")}
    for key, value in ((f"caps:{profile}", json.dumps(limits, sort_keys=True)), ("last_profile", profile)):
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
            "WHERE value <> excluded.value",
            (key, value),
        )


def _balance(ledger: Ledger, key: str | None) -> tuple[int, int]:
    """Return (live, fixed) nano-USD charged to a window."""
    if key is None:
        return 0, 0
    rows = ledger.rows("SELECT live_nano, fixed_nano FROM balances WHERE key = ?", (key,))
    return (int(rows[0]["live_nano"]), int(rows[0]["fixed_nano"])) if rows else (0, 0)


def _move(conn: sqlite3.Connection, keys: Iterable[str], *, live: int = 0, fixed: int = 0) -> None:
    conn.executemany(
        "INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "live_nano = live_nano + excluded.live_nano, fixed_nano = fixed_nano + excluded.fixed_nano",
        [(key, live, fixed) for key in keys],
    )


_COLUMNS: Final = (
    "id", "request_id", "status", "reserved_nano", "charged_nano", "profile", "arm", "run_id", "day", "month", "breach",
)  # fmt: skip


def _reservation(conn: sqlite3.Connection, reservation_id: int) -> dict[str, Any]:
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


def _recharge(
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
    _move(conn, _keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]), live=live, fixed=fixed)
    conn.execute(
        "UPDATE reservations SET status = ?, charged_nano = ?, breach = ?, settled_at = ?, note = coalesce(?, note) "
        "WHERE id = ?",
        (status, charged, int(breach), at, note, row["id"]),
    )


def _suspend(conn: sqlite3.Connection, row: Mapping[str, Any], cost_nano: int, *, now: float) -> None:
    """Stop an arm that charged more than was held for a call."""
    conn.execute(
        "INSERT OR IGNORE INTO suspensions (profile, arm, at, reason) VALUES (?, ?, ?, ?)",
        (
            row["profile"],
            row["arm"],
            instant(now),
            f"call {row['id']} cost {format_usd(cost_nano)}, above its bound of {format_usd(row['reserved_nano'])}"
            if cost_nano > row["reserved_nano"]
            else f"call {row['id']} cost {format_usd(cost_nano)}, and {format_usd(row['charged_nano'])} was reported",
        ),
    )
