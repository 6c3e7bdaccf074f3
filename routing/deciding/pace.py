"""Pacing: what a right answer is worth this month, given how much of the month's cap is left. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["POWER", "Pace", "pace", "pace_factor"]

POWER: Final = 4
"""How strongly wtp_usd answers to spending that runs ahead; docs/decisions/0005-pacing.md says why 4."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the month stands, and what that makes of the willingness to pay.

    Attributes
    ----------
    factor
        What wtp_usd is multiplied by, in [0, 1].
    scope
        The month's cap that asks for it, such as `month` or `shared:month`.
    used, gone
        Shares of that cap that are spent, and of the month that has passed; `gone` is in [0, 1].
    """

    factor: float
    scope: str
    used: float
    gone: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as the decision's trace holds it."""
        return asdict(self)


def pace_factor(used: float, gone: float) -> float:
    """Return what pacing multiplies wtp_usd by, in [0, 1].

    With u the share of the month's cap that is spent (`used`) and t the share of the month that has passed (`gone`),

        rho = (1 - u) / (1 - t),    factor = min(1, max(0, rho)) ** POWER

    rho is the rate at which the rest of the cap can be spent over the rest of the month, in units of the even rate. On
    or behind the calendar (u <= t) the factor is 1: pacing never raises wtp_usd. It is continuous at u = t and falls
    to 0 as the cap is used up, where the cheapest arm is taken.

    Parameters
    ----------
    used
        Spent share of the cap, >= 0; above 1 only after a breach or a lowered cap.
    gone
        Share of the month that has passed, in [0, 1].

    Examples
    --------
    >>> pace_factor(0.5, 0.5), pace_factor(0.2, 0.5), pace_factor(0.75, 0.5), pace_factor(1.0, 0.5)
    (1.0, 1.0, 0.0625, 0.0)
    """
    left, to_come = 1.0 - used, 1.0 - gone
    if left >= to_come:
        return 1.0
    return float((left / to_come) ** POWER) if left > 0.0 else 0.0


def pace(months: Iterable[tuple[str, int, int]], gone: float) -> Pace | None:
    """Return the pace that the tightest of several caps on a month asks for; None where no month is capped.

    Parameters
    ----------
    months
        For each cap on the month: its scope, its limit and what is spent of it, in nano-USD.
    gone
        Share of the month that has passed, in [0, 1].
    """
    paces = [
        Pace(pace_factor(used, gone), scope, used, gone)
        for scope, limit, spent in months
        for used in [spent / limit if limit > 0 else 1.0]
    ]
    return min(paces, key=lambda each: each.factor, default=None)
