"""What a choice between two arms turned on: how much of it is price, how much quality. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .policy import burden

if TYPE_CHECKING:
    from .policy import Option

__all__ = ["price_share"]


def price_share(one: Option, other: Option, wtp_usd: float) -> float | None:
    """Return |burden difference| / (|burden difference| + wtp_usd x |quality difference|), in [0, 1].

    A burden is the cost with what else is held against an arm, such as the time it takes.

    The two terms are what sets the arms' utilities apart, in USD. It is the same from either side.

    Parameters
    ----------
    wtp_usd
        USD that a right answer is worth, >= 0.

    Returns
    -------
    float or None
        None where a cost is not known, or where neither cost nor quality differs.
    """
    if one.cost_nano is None or other.cost_nano is None:
        return None
    price = abs(burden(one) - burden(other))
    worth = wtp_usd * abs(one.quality - other.quality)
    return price / (price + worth) if price + worth > 0.0 else None
