"""What a call is charged, by its tokens and by what its provider says of money."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import format_usd

if TYPE_CHECKING:
    from .price import ArmPrice
    from .stated import Stated
    from .usage import Usage

__all__ = ["charge"]

_DEAREST: Final = Decimal(6)
"""The most that any terms in LiteLLM's table cost over the ordinary ones (GPT-6's "ultrafast")."""


def charge(
    price: ArmPrice, usage: Usage | None, stated: Stated, *, bound_nano: int
) -> tuple[int | None, tuple[str, ...]]:
    """Return what a call cost, nano-USD, and remarks; None where that is not known: then its reservation is charged.

    The larger of two figures counts: what the tokens come to, and what the provider says that the call cost. A smaller
    one that it states is not believed, since it may leave out what is billed elsewhere (the model behind a router, a
    fee for the request), and a price that is too high breaks no cap.

    Parameters
    ----------
    price
        The arm's.
    usage
        The tokens that were used; None where they are not known.
    stated
        What the reply says of its price.
    bound_nano
        What is held for the call, nano-USD.
    """
    cost = None if usage is None else price.cost_nano(usage)
    if cost is None and price.free:
        cost = 0  # no usage is needed to know what it cost
    certain = cost is not None
    most = bound_nano if cost is None else cost
    remarks: list[str] = []
    for terms in stated.terms:
        times = price.times(terms)
        if times is None and stated.cost_nano is None:
            certain = False
            times = _DEAREST
            remarks.append(f"served on terms whose price is not known ({terms}): at most {times} times the price")
        elif times is not None and times > 1:
            remarks.append(f"served on dearer terms ({terms}): {times.normalize():f} times the price")
        most = int((Decimal(most) * (times or 1)).to_integral_value(rounding=ROUND_CEILING))
    if stated.cost_nano is not None and stated.cost_nano > most:
        if stated.cost_nano > most + 1:  # a rounding is not worth a remark
            dear, ours = format_usd(stated.cost_nano), format_usd(most)
            remarks.append(f"the provider says that it cost {dear}, more than the {ours} by the arm's price")
        most, certain = stated.cost_nano, True
    if stated.nonsense is not None:
        certain = False
        remarks.append(f"the provider states a cost that cannot be ({stated.nonsense})")
    return (most if certain or most > bound_nano else None), tuple(remarks)
