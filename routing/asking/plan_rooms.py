"""What the caps leave for a plan, and what is said where that is too little."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.money import nano_from_usd
from scrimp.routing.ledger.caps import Cap, Room, applicable_caps, left_nano, room_of

if TYPE_CHECKING:
    from scrimp.profiles.errors import BudgetRefusedError
    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

    from .request import Ask

__all__ = ["not_begun", "rooms_of"]


def rooms_of(ledger: Ledger | None, profile: Profile, ask: Ask, *, run_id: str, now: float) -> list[Room]:
    """Return what each cap on a request leaves; where there is no ledger yet, nothing was spent of the profile's."""
    held = ask.held_nano
    rooms = _rooms(ledger, profile, ask, run_id=run_id, now=now)
    return [replace(room, left_nano=room.left_nano - held) for room in rooms] if held else rooms


def _rooms(ledger: Ledger | None, profile: Profile, ask: Ask, *, run_id: str, now: float) -> list[Room]:
    rooms: list[Room] = []
    if (most := ask.wishes.max_cost_nano) is not None:
        rooms.append(Room(Cap("--max-cost:run", most, f"run:{run_id}"), most))
    if (most := ask.cap_override_nano) is not None:
        return [*rooms, Room(Cap("--cap-override:run", most, f"run:{run_id}"), most)]
    if ledger is None:
        own = profile.caps
        windows = {"run": own.per_run_usd, "day": own.per_day_usd, "month": own.per_month_usd}
        for arm in profile.arms:
            if arm.cap is not None:
                windows[f"arm:{arm.name}:day"] = arm.cap.per_day_usd
                windows[f"arm:{arm.name}:month"] = arm.cap.per_month_usd
        limits = {scope: nano_from_usd(usd) for scope, usd in windows.items() if usd is not None}
        return [*rooms, *(Room(Cap(scope, limit, scope), limit) for scope, limit in limits.items())]
    caps = applicable_caps(ledger, profile, None, now=now, run_id=run_id)
    return [*rooms, *(room_of(ledger, cap, left_nano(ledger, [cap]) or 0, now=now) for cap in caps)]


def not_begun(room: Room, needed_nano: int, what: str) -> BudgetRefusedError:
    """Return the error of a plan that could cost more than a cap leaves."""
    error = room.refusal(needed_nano, what)
    error.hint = f"The plan is not begun. {error.hint}"
    return error
