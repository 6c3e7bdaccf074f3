"""Caps: what stands on a call, and what its windows are charged.

Running sums per window (`balances`) are changed in the transaction that changes a reservation, so a cap is checked by
one look-up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import (
    BudgetRefusedError,
    ConfigError,
    UsageError,
)
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.rungs import base_of
from scrimp.routing.text.in_words import counted
from scrimp.routing.text.moments import local_time_and_zone

from .clauses import OPEN
from .store import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrimp.profiles.schema import Profile

    from .store import Ledger

__all__ = [
    "FREE_HINT",
    "SHARED_SCOPES",
    "Cap",
    "CapState",
    "Held",
    "RefusedError",
    "Room",
    "applicable_caps",
    "at_window",
    "balance",
    "cap_states",
    "caps_at_last_call",
    "check_caps",
    "check_zone",
    "clear_shared_cap",
    "fits",
    "held_of",
    "known_limits",
    "left_nano",
    "room_of",
    "set_shared_cap",
    "shared_at",
    "shared_caps",
    "shared_caps_at",
    "too_small",
    "window_keys",
]

SHARED_SCOPES: Final = ("shared:day", "shared:month")
"""The caps that can stand over all profiles together."""

AWAY_S: Final = 3600.0
"""After how many seconds a call that another machine or container holds is not waited for any more: none takes that
long, so its process has most likely died."""

FREE_HINT: Final = (
    "`scrimp spend --open` lists them; `scrimp spend reconcile CALL USD` says what one cost, and "
    "`scrimp spend reconcile --all-unknown-as bound|0|FILE.csv` settles all of them at once."
)
"""How to free what calls of unknown cost hold."""

_SOONEST_LAST: Final = {"call": 0, "run": 0, "month": 1, "day": 2}
"""Of several caps that refuse, the one is named that waiting helps least."""


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
    def shared(self) -> bool:
        """Whether it stands over all profiles together."""
        return self.scope in SHARED_SCOPES

    def about(self, arm: str | None) -> bool:
        """Tell whether it stands on calls of an arm: that of a ladder stands on all of its rungs together."""
        return self.arm is None or (arm is not None and self.arm == base_of(arm))

    @property
    def arm(self) -> str | None:
        """The one arm, or ladder, that it is about; None where it is about all."""
        return self.scope.removeprefix("arm:").rpartition(":")[0] if self.scope.startswith("arm:") else None

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
class Held:
    """What calls that nobody is known to settle hold of a cap.

    Attributes
    ----------
    n, nano
        How many calls of dead processes, and their upper bounds, nano-USD.
    n_away, away_nano
        As much of calls that processes hold which cannot be seen from here.
    """

    n: int = 0
    nano: int = 0
    n_away: int = 0
    away_nano: int = 0

    def __str__(self) -> str:
        """Say it; nothing where nothing is held."""
        of_what = ((self.n, self.nano, "unknown cost"), (self.n_away, self.away_nano, "another machine or container"))
        return "; ".join(
            f"{format_usd(nano)} is held by {counted(n, 'call')} of {what}" for n, nano, what in of_what if n
        )


NOTHING_HELD: Final = Held()


class RefusedError(BudgetRefusedError):
    """A cap leaves too little.

    Parameters
    ----------
    what
        What is refused, as the message calls it.
    held
        What calls of unknown cost hold of it.

    Attributes
    ----------
    cap
        The cap that leaves least.
    left_nano
        What it leaves, nano-USD.
    only_live
        True when only other live reservations stand in the way: waiting for them may help.
    """

    def __init__(
        self,
        cap: Cap,
        *,
        needed_nano: int,
        left_nano: int,
        only_live: bool,
        resets_at: str | None,
        held: Held = NOTHING_HELD,
        what: str = "the call",
    ) -> None:
        when = f"; the cap rolls over at {local_time_and_zone(resets_at)}" if resets_at else ""
        amount = format_usd(cap.limit_nano)
        named = f"{cap.scope.partition(':')[0]} {amount}" if cap.own else f"the {cap.scope} cap of {amount}"
        super().__init__(
            f"refused by {named}: {what} could cost up to "
            f"{format_usd(needed_nano)}, and {format_usd(max(left_nano, 0))} is left"
            f"{f' ({held})' if str(held) else ''}{when}",
            hint=FREE_HINT
            if str(held)
            else "Lower max_output_tokens, choose a cheaper arm, or raise the cap (`scrimp spend` shows all caps).",
        )
        self.cap = cap
        self.needed_nano = needed_nano
        self.left_nano = left_nano
        self.only_live = only_live
        self.resets_at = resets_at


@dataclass(frozen=True, slots=True)
class Room:
    """A cap and what it leaves, with what is said where that is too little.

    Attributes
    ----------
    left_nano
        What it leaves, nano-USD.
    resets_at
        When it rolls over, ISO 8601; None where it does not.
    held
        What calls of unknown cost hold of it.
    """

    cap: Cap
    left_nano: int
    resets_at: str | None = None
    held: Held = NOTHING_HELD

    def refusal(self, needed_nano: int, what: str, *, only_live: bool = False) -> RefusedError:
        """Return the error of what could cost more than this leaves."""
        return RefusedError(
            self.cap,
            needed_nano=needed_nano,
            left_nano=self.left_nano,
            only_live=only_live,
            resets_at=self.resets_at,
            held=self.held,
            what=what,
        )


def room_of(ledger: Ledger, cap: Cap, left: int, *, now: float) -> Room:
    """Return a cap that leaves so much (nano-USD), with what is to be known of it."""
    resets_at = ledger.rolls_over_at(cap.window, now) if cap.window in ("day", "month") and not cap.own else None
    return Room(cap, left, resets_at, held_of(ledger, cap, now=now))


def too_small(rooms: Iterable[Room], needed_nano: int, arm: str | None = None) -> Room | None:
    """Return the first to name of the caps that leave less than is needed (by an arm); None where none does."""
    found = [room for room in rooms if room.left_nano < needed_nano and room.cap.about(arm)]
    return min(found, key=lambda room: (_SOONEST_LAST[room.cap.window], room.left_nano), default=None)


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
    for each in {each.base: each for each in profile.arms}.values():  # one for all rungs of a ladder
        if each.cap is not None and (arm is None or base_of(arm) == each.base):
            where = f"|p:{profile.name}|a:{each.base}"
            add(f"arm:{each.base}:call", each.cap.per_call_usd, None)
            add(f"arm:{each.base}:day", each.cap.per_day_usd, f"day:{day}{where}")
            add(f"arm:{each.base}:month", each.cap.per_month_usd, f"month:{month}{where}")
    return (*caps, *shared_at(ledger, day, month))


def shared_at(ledger: Ledger, day: str, month: str) -> list[Cap]:
    """Return the caps over all profiles together, on a day (YYYY-MM-DD) and its month (YYYY-MM)."""
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
    return shared_at(ledger, *ledger.windows(now))


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


def left_nano(ledger: Ledger, caps: Iterable[Cap]) -> int | None:
    """Return the least that any of the caps leaves, nano-USD; None when nothing caps the call.

    A look ahead, for choosing an arm; only `reserve` decides.
    """
    left = [cap.limit_nano - sum(balance(ledger, cap.key)) for cap in caps]
    return min(left, default=None)


def fits(caps: Iterable[Cap], bound_nano: int, charged: Callable[[str | None], tuple[int, int]]) -> bool:
    """Tell whether every cap leaves enough for a call.

    What is free always fits, even where a breach or a lowered cap left less than nothing.

    Parameters
    ----------
    charged
        Returns (live, fixed) nano-USD charged to a window, as `balance` does.
    """
    return bound_nano == 0 or all(cap.limit_nano - sum(charged(cap.key)) >= bound_nano for cap in caps)


def check_caps(ledger: Ledger, caps: Iterable[Cap], bound_nano: int, *, now: float, what: str = "the call") -> None:
    """Refuse a call that a cap leaves too little for.

    Outside a transaction this is a look ahead; `reserve` calls it inside its own.

    Parameters
    ----------
    what
        What could cost that much, as a refusal calls it.

    Raises
    ------
    RefusedError
        Naming, of the caps that leave too little, the one that rolls over last; among those, the one that leaves least.
    """
    caps = tuple(caps)
    charged = {cap.key: balance(ledger, cap.key) for cap in caps}
    if fits(caps, bound_nano, charged.__getitem__):
        return
    worst: tuple[int, Cap] | None = None
    only_live = True
    for cap in caps:
        live, fixed = charged[cap.key]
        left = cap.limit_nano - live - fixed
        if left < bound_nano:
            away = held_of(ledger, cap, now=now - AWAY_S).away_nano
            only_live = only_live and cap.limit_nano - fixed - away >= bound_nano
            if worst is None or (_SOONEST_LAST[cap.window], left) < (_SOONEST_LAST[worst[1].window], worst[0]):
                worst = (left, cap)
    if worst is not None:
        left, cap = worst
        raise room_of(ledger, cap, left, now=now).refusal(bound_nano, what, only_live=only_live)


def held_of(ledger: Ledger, cap: Cap, *, now: float) -> Held:
    """Return what calls of unknown cost hold of a cap, and those made before `now` that cannot be seen from here."""
    if cap.key is None:
        return NOTHING_HELD
    from .process import this_process

    where, parameters = _where(cap.key)
    me = this_process()
    (row,) = ledger.rows(
        "SELECT sum(status = 'unknown') AS n, sum((status = 'unknown') * charged_nano) AS nano, "  # noqa: S608 - built from constants
        "sum(away) AS n_away, sum(away * charged_nano) AS away_nano FROM (SELECT status, charged_nano, "
        "status = 'reserved' AND at <= ? AND host IS NOT NULL AND (boot_id IS NOT ? OR pid_namespace IS NOT ?) AS away "
        f"FROM reservations WHERE {OPEN} AND status IN ('reserved', 'unknown') AND {where})",
        (instant(now), me.boot_id, me.namespace, *parameters),
    )
    return Held(**{name: value or 0 for name, value in row.items()})


def cap_states(ledger: Ledger, caps: Iterable[Cap], *, now: float) -> list[CapState]:
    """Return what is charged to each cap's window now, apart by status."""
    states = []
    for cap in caps:
        reserved, fixed = balance(ledger, cap.key)
        unknown = held_of(ledger, cap, now=now).nano
        resets = ledger.rolls_over_at(cap.window, now) if cap.window in ("day", "month") else None
        states.append(CapState(cap, fixed - unknown, reserved, unknown, resets))
    return states


def window_keys(profile: str, arm: str, run_id: str | None, day: str, month: str) -> list[str]:
    """List the windows that a call is charged to, whether or not a cap stands on them today.

    A rung of a ladder is charged to its own and to the ladder's, which is that of the arm before it had efforts.
    """
    keys = []
    for window in (f"day:{day}", f"month:{month}"):
        arms = dict.fromkeys((base_of(arm), arm))
        keys += [window, f"{window}|p:{profile}", *(f"{window}|p:{profile}|a:{each}" for each in arms)]
    if run_id is not None:
        keys.append(f"run:{run_id}")
    return keys


def _where(key: str) -> tuple[str, list[str]]:
    """Turn a window's key into the condition on reservations that it stands for."""
    columns = {"day": "day", "month": "month", "run": "run_id", "p": "profile"}
    conditions, values = [], []
    for kind, _, value in (part.partition(":") for part in key.split("|")):
        if kind == "a" and base_of(value) == value:  # its rungs too: ";" is what comes after ":"
            conditions.append("(arm = ? OR (arm > ? AND arm < ?))")
            values += [value, f"{value}:", f"{value};"]
        else:
            conditions.append(f"{columns.get(kind, 'arm')} = ?")
            values.append(value)
    return " AND ".join(conditions), values


def at_window(cap: Cap, day: str, month: str) -> Cap:
    """Return a cap on the day and month given, whenever it was drawn up."""
    if cap.key is None or cap.window == "run":
        return cap
    _, bar, rest = cap.key.partition("|")
    key = (f"day:{day}" if cap.window == "day" else f"month:{month}") + bar + rest
    return cap if key == cap.key else replace(cap, key=key)


def balance(ledger: Ledger, key: str | None) -> tuple[int, int]:
    """Return (live, fixed) nano-USD charged to a window."""
    if key is None:
        return 0, 0
    found = ledger.one("SELECT live_nano, fixed_nano FROM balances WHERE key = ?", (key,))
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def caps_at_last_call(ledger: Ledger, profile: str | None) -> tuple[str | None, dict[str, int]]:
    """Return a profile, and the caps over a day and a month (nano-USD by scope) that it had at its last call.

    Parameters
    ----------
    profile
        None takes the one that was used last.
    """
    known = {row["key"]: row["value"] for row in ledger.rows("SELECT key, value FROM meta")}
    profile = profile or known.get("last_profile")
    limits: dict[str, int] = json.loads(known.get(f"caps:{profile}", "{}"))
    return profile, limits


def known_limits(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Return, of every profile that made a call, the caps over a day and a month that it had (nano-USD by scope)."""
    rows = ledger.rows("SELECT key, value FROM meta WHERE key LIKE 'caps:%'")
    return {row["key"].removeprefix("caps:"): json.loads(row["value"]) for row in rows}
