"""What calls cost through a provider's Batch API."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from .price import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .price import ArmPrice, Tier

__all__ = ["batch_entry", "halved"]

_HALF: Final = Decimal("0.5")
_RATE: Final = re.compile(
    r"(input_cost_per_token|output_cost_per_token|output_cost_per_reasoning_token|cache_read_input_token_cost|"
    r"cache_creation_input_token_cost)(_above_1hr)?(_above_\d+k?_tokens)?"
)
_CACHE_READ: Final = "cache_read_input_token_cost"
_BATCHES: Final = "_batches"
_STACKS: Final = frozenset({"anthropic"})
"""Providers that take half of the price of what is read from a cache, too: Anthropic multiplies the two, others do not
say, or (Gemini) say that it is the ordinary one."""


def batch_entry(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of LiteLLM's table with the prices of the provider's Batch API.

    Where the table states one it holds; elsewhere it is half, as OpenAI, Anthropic and Gemini say of theirs. What is
    read from a cache counts at half of the price of input at most.

    Examples
    --------
    >>> batch_entry({"input_cost_per_token": Decimal("2"), "output_cost_per_token": Decimal("8"),
    ...              "output_cost_per_token_batches": Decimal("5")})
    {'input_cost_per_token': Decimal('1.0'), 'output_cost_per_token': Decimal('5')}
    """
    entry: dict[str, Any] = {}
    stacks = found.get("litellm_provider") in _STACKS
    for key, value in found.items():
        if key.endswith(_BATCHES):
            continue
        if not _RATE.fullmatch(key):
            entry[key] = value
        elif _is_amount(stated := found.get(f"{key}{_BATCHES}")):
            entry[key] = stated
        elif _is_amount(value) and (stacks or not key.startswith(_CACHE_READ)):
            entry[key] = EXACT.multiply(Decimal(value), _HALF)
        elif _is_amount(value):
            read: Any = found.get(key.replace(_CACHE_READ, "input_cost_per_token"))
            most = EXACT.multiply(Decimal(read), _HALF) if _is_amount(read) else Decimal(value)
            entry[key] = min(Decimal(value), most)
        else:
            entry[key] = value
    return entry


def halved(price: ArmPrice) -> ArmPrice:
    """Return a price that a profile states, at half: all but the fee for a request."""

    def half(rate: Decimal | None) -> Decimal | None:
        return None if rate is None else EXACT.multiply(rate, _HALF)

    def rates(of: ArmPrice | Tier) -> dict[str, Any]:
        return {
            "input": EXACT.multiply(of.input, _HALF),
            "output": EXACT.multiply(of.output, _HALF),
            "cache_read": half(of.cache_read),
            "cache_write": half(of.cache_write),
            "cache_write_1h": half(of.cache_write_1h),
            "reasoning": half(of.reasoning),
        }

    return replace(price, **rates(price), tiers=tuple(replace(tier, **rates(tier)) for tier in price.tiers))


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
