"""What a user changes about money: caps over all profiles, an arm that was suspended, the true cost of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.routing.ledger.caps import cap_states, clear_shared_cap, set_shared_cap, shared_caps_at
from scrimp.routing.ledger.reservations import clear_suspension, reconcile

if TYPE_CHECKING:
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.store import Ledger

__all__ = ["cap_all_profiles", "lift_cap", "resume_arm", "true_cost"]


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


def true_cost(ledger: Ledger | None, call: int, nano: int, *, now: float) -> dict[str, Any]:
    """Settle a call of unknown or unverified cost at what it truly cost, nano-USD; return its row as it was.

    Raises
    ------
    UsageError
        If there is no such call, or its cost is known.
    """
    if ledger is None:
        raise UsageError("nothing has been spent yet")
    return reconcile(ledger, call, nano, now=now)
