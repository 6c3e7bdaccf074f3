"""What a user changes about money: caps over all profiles, an arm that was suspended, the true cost of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.routing.ledger.caps import (
    Cap,
    applicable_caps,
    cap_states,
    clear_shared_cap,
    known_limits,
    left_nano,
    set_shared_cap,
    shared_caps_at,
    window_keys,
)
from scrimp.routing.ledger.corrections import correct, known_calls, undo
from scrimp.routing.ledger.reservations import reap
from scrimp.routing.ledger.suspensions import clear_suspension

from .usage_export import Matches, match, read_export

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.corrections import Correction
    from scrimp.routing.ledger.store import Ledger

__all__ = [
    "Corrected",
    "Moved",
    "cap_all_profiles",
    "correct_calls",
    "costs_of_unknown",
    "lift_cap",
    "resume_arm",
    "undo_correction",
]


def cap_all_profiles(ledger: Ledger, scope: str, limit_nano: int, *, now: float) -> CapState:
    """Set a cap over all profiles, nano-USD, which holds from the next reservation of any process; return its state.

    Raises
    ------
    UsageError
        If there is no such scope, or the amount is out of range.
    """
    set_shared_cap(ledger, scope, limit_nano, now=now)
    (cap,) = (cap for cap in shared_caps_at(ledger, now=now) if cap.scope == scope)
    return cap_states(ledger, [cap], now=now)[0]


def lift_cap(ledger: Ledger | None, scope: str) -> None:
    """Lift a cap over all profiles.

    Raises
    ------
    UsageError
        If there is none.
    """
    if ledger is None or not clear_shared_cap(ledger, scope):
        raise UsageError(f"there is no cap {scope}", hint="`scrimp budget show` lists what there is.")


def resume_arm(ledger: Ledger | None, profile: str, arm: str) -> None:
    """Let an arm take calls again that was suspended because it charged above its bound.

    Raises
    ------
    UsageError
        If it is not suspended.
    """
    if ledger is None or not clear_suspension(ledger, profile, arm):
        raise UsageError(f"arm {arm!r} of profile {profile} is not suspended")


@dataclass(frozen=True, slots=True)
class Moved:
    """A cap and what it leaves, nano-USD, before a correction and after it."""

    profile: str | None
    cap: Cap
    before_nano: int
    after_nano: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction did, or would do.

    Attributes
    ----------
    calls
        The calls whose charge changed, each as it was.
    caps
        The caps of today and this month that any of them counts against.
    """

    calls: list[Correction]
    caps: list[Moved]


class _OnlyLookedError(Exception):
    """Undoes what was tried."""


def correct_calls(
    ledger: Ledger | None,
    costs: Mapping[int, int],
    profile: Profile,
    *,
    now: float,
    sure: bool = False,
    dry_run: bool = False,
) -> Corrected:
    """Set what calls truly cost, nano-USD by their numbers: all or none.

    Parameters
    ----------
    profile
        Whose caps are shown as its file states them; those of another profile as they were at its last call.
    sure
        Change calls, too, whose cost is known, and those that a process holds that cannot be seen from here.
    dry_run
        Only return what would change.

    Raises
    ------
    UsageError
        If there is no such call, it is in flight, or its cost is known.
    """
    return _change(ledger, lambda book: correct(book, costs, now=now, sure=sure), profile, now=now, dry_run=dry_run)


def undo_correction(
    ledger: Ledger | None, call: int | None, profile: Profile, *, now: float, dry_run: bool = False
) -> Corrected:
    """Take back the last correction of a call, or (None) the last one of all.

    Raises
    ------
    UsageError
        If there is none.
    """
    return _change(ledger, lambda book: undo(book, call, now=now), profile, now=now, dry_run=dry_run)


def _change(
    ledger: Ledger | None,
    change: Callable[[Ledger], list[Correction]],
    profile: Profile,
    *,
    now: float,
    dry_run: bool,
) -> Corrected:
    if ledger is None:
        raise UsageError("nothing has been spent yet")
    reap(ledger, now=now)
    result: Corrected | None = None
    try:
        with ledger.transaction():
            caps = _caps(ledger, profile, now=now)
            before = [left_nano(ledger, [cap]) or 0 for _, cap in caps]
            done = change(ledger)
            touched = {
                key
                for each in done
                for key in window_keys(*(each.row[name] for name in ("profile", "arm", "run_id", "day", "month")))
            }
            moved = [
                Moved(name, cap, left, left_nano(ledger, [cap]) or 0)
                for (name, cap), left in zip(caps, before, strict=True)
                if cap.key in touched
            ]
            result = Corrected(done, moved)
            if dry_run:
                raise _OnlyLookedError  # noqa: TRY301 - it is what undoes the transaction
    except _OnlyLookedError:
        pass
    assert result is not None  # noqa: S101 - set before anything is raised that ends here
    return result


def _caps(ledger: Ledger, profile: Profile, *, now: float) -> list[tuple[str | None, Cap]]:
    """Return the caps over several calls that stand now, each with its profile (None: over all of them)."""
    day, month = ledger.windows(now)
    found: list[tuple[str | None, Cap]] = [
        (None if cap.shared else profile.name, cap) for cap in applicable_caps(ledger, profile, None, now=now)
    ]
    for name, limits in known_limits(ledger).items():
        if name == profile.name:
            continue
        for scope, limit in limits.items():
            window = f"day:{day}" if scope == "day" else f"month:{month}"
            found.append((name, Cap(scope, limit, f"{window}|p:{name}")))
    return found


def costs_of_unknown(ledger: Ledger | None, what: str, file: Path | None, *, now: float) -> Matches:
    """Return what calls of unknown cost are to be set to.

    Parameters
    ----------
    what
        `bound` (what is held for each), `0` (they were never billed), or the name of a file.
    file
        A provider's export of usage; None for the first two.

    Raises
    ------
    DataError
        If the export cannot be read.
    """
    if ledger is None:
        raise UsageError("nothing has been spent yet")
    reap(ledger, now=now)
    calls = known_calls(ledger)
    if file is not None:
        return match(read_export(file), calls)
    unknown = [call for call in calls if call["status"] == "unknown"]
    costs = {call["id"]: call["reserved_nano"] if what == "bound" else 0 for call in unknown}
    return Matches(costs, len(unknown), 0, 0)
