"""Sums over the ledger's money: by day, week, month, arm, profile, source or tag."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.ledger import spending

if TYPE_CHECKING:
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Sum", "cap_dict", "sums"]


@dataclass(frozen=True, slots=True)
class Sum:
    """What the calls of one group cost together.

    Attributes
    ----------
    name
        The group: a day, an arm, a tag.
    n_calls
        Calls that were reserved, those that failed included.
    charged_nano
        What counts against the caps, nano-USD: the sum of the next four.
    settled_nano
        Of that, of calls whose cost is known, nano-USD.
    unverified_nano, reserved_nano, unknown_nano
        Of that, at their upper bounds, nano-USD: of calls without a believable usage, of calls in flight, and of calls
        whose process died.
    n_breaches
        Calls that cost more than their upper bound.
    input_tokens, output_tokens
        As reported; None where no call reported any.
    """

    name: str
    n_calls: int
    charged_nano: int
    settled_nano: int
    unverified_nano: int
    reserved_nano: int
    unknown_nano: int
    n_breaches: int
    input_tokens: int | None
    output_tokens: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return it with amounts in USD."""
        data = asdict(self)
        return {
            (key.removesuffix("_nano") + "_usd" if key.endswith("_nano") else key): (
                usd_from_nano(value) if key.endswith("_nano") else value
            )
            for key, value in data.items()
        }


def sums(
    ledger: Ledger, by: str, *, since_day: str | None = None, profile: str | None = None, arm: str | None = None
) -> list[Sum]:
    """Return the sums of a grouping of `GROUPS`: by time in order of time, else dearest first.

    Parameters
    ----------
    since_day
        Only calls from this day (YYYY-MM-DD) on.
    """
    return [Sum(**row) for row in spending.sums(ledger, by, since_day=since_day, profile=profile, arm=arm)]


def cap_dict(state: CapState) -> dict[str, Any]:
    """Return a cap's state as `spend --json` spells it, in USD; `resets_at` is an instant, or None."""
    return {
        "scope": state.cap.scope,
        "limit_usd": usd_from_nano(state.cap.limit_nano),
        "settled_usd": usd_from_nano(state.settled_nano),
        "reserved_usd": usd_from_nano(state.reserved_nano),
        "unknown_usd": usd_from_nano(state.unknown_nano),
        "left_usd": usd_from_nano(state.left_nano),
        "resets_at": state.resets_at,
    }
