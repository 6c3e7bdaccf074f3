"""What the caps leave a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO
from scrimp.routing.deciding.against_caps import month_pace
from scrimp.routing.ledger.batches import charges
from scrimp.routing.ledger.caps import Cap, Room, applicable_caps, balance, room_of
from scrimp.routing.ledger.suspensions import suspensions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.pace import Pace
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Money", "caps_of", "money_left"]


@dataclass(frozen=True, slots=True)
class Money:
    """What the caps leave.

    Attributes
    ----------
    left_nano
        For each arm, nano-USD; None without a cap.
    blocked
        Arms that take no calls now, and why.
    budget_usd
        What is left for rows not yet planned, or None without a cap.
    pace
        How the month stands, where the profile paces itself.
    rooms
        What each cap leaves: a plan has to fit all those over several calls.
    """

    left_nano: Mapping[str, int | None] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    budget_usd: float | None = None
    pace: Pace | None = None
    rooms: tuple[Room, ...] = ()


def caps_of(
    ledger: Ledger, profile: Profile, arm: str, *, run_id: str, max_cost_nano: int | None, now: float
) -> list[Cap]:
    """List the caps that stand on a call of a run: the profile's, the shared ones, and `--max-cost`."""
    caps = list(applicable_caps(ledger, profile, arm, now=now, run_id=run_id))
    if max_cost_nano is not None:
        caps.append(Cap("--max-cost:run", max_cost_nano, f"run:{run_id}"))
    return caps


def money_left(
    ledger: Ledger, profile: Profile, *, run_id: str, max_cost_nano: int | None, committed_usd: float, now: float
) -> Money:
    """Look up what the caps leave a run.

    Calls in flight do not lessen an arm's cap here, since they settle below their bounds; for the plan they count with
    what they are expected to cost.

    Parameters
    ----------
    committed_usd
        What the run's own rows that are planned and not yet done are expected to cost.
    """
    left: dict[str, int | None] = {}
    rooms: dict[str, Room] = {}
    common: int | None = None
    own_live, _ = charges(ledger, run_id)
    for arm in profile.arms:
        least: int | None = None
        for cap in caps_of(ledger, profile, arm.name, run_id=run_id, max_cost_nano=max_cost_nano, now=now):
            live, fixed = balance(ledger, cap.key)
            room = cap.limit_nano - fixed
            if cap.scope not in rooms:
                rooms[cap.scope] = room_of(ledger, cap, room, now=now)
            least = room if least is None else min(least, room)
            if cap.window != "call" and cap.arm is None:
                room -= max(0, live - own_live)
                common = room if common is None else min(common, room)
        left[arm.name] = least
    suspended = {
        name: f"suspended: {reason} (`scrimp models resume {name}` clears it)"
        for name, reason in suspensions(ledger, profile.name).items()
    }
    return Money(
        left,
        suspended,
        None if common is None else common / NANO - committed_usd,
        month_pace(ledger, profile, now=now),
        tuple(rooms.values()),
    )
