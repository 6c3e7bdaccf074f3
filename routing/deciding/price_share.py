"""What a choice between two arms turned on: how much of it is price, how much quality. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO

if TYPE_CHECKING:
    from .policy import Option

__all__ = ["price_share", "shares"]


def price_share(one: Option, other: Option, wtp_usd: float) -> float | None:
    """Return |cost difference| / (|cost difference| + wtp_usd x |quality difference| + those of `terms`), in [0, 1].

    The parts are what sets the arms' utilities apart, in USD. It is the same from either side.

    Parameters
    ----------
    wtp_usd
        USD that a right answer is worth, >= 0.

    Returns
    -------
    float or None
        None where a cost is not known, or where nothing differs.
    """
    parts = shares(one, other, wtp_usd)
    return None if parts is None else parts["price"]


def shares(one: Option, other: Option, wtp_usd: float) -> dict[str, float] | None:
    """Return how much of what sets two arms apart is `price`, `quality`, and each of their terms; they add up to 1.

    Returns
    -------
    dict or None
        None where a cost is not known, or where nothing differs.
    """
    if one.cost_nano is None or other.cost_nano is None:
        return None
    parts = {
        "price": abs(one.cost_nano - other.cost_nano) / NANO,
        "quality": wtp_usd * abs(one.quality - other.quality),
    }
    for name in sorted({*one.terms, *other.terms}):
        parts[name] = abs(one.terms.get(name, 0.0) - other.terms.get(name, 0.0))
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()} if whole > 0.0 else None
