"""What a model's price is multiplied by: on other terms of service than the ordinary ones, and at other places."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["surcharges", "uplift"]

_KEY: Final = re.compile(
    r"(?P<plain>(input_cost_per_token|output_cost_per_token|output_cost_per_reasoning_token|cache_read_input_token_cost|"
    r"cache_creation_input_token_cost)(_above_\d+k?_tokens)?)_(?P<terms>priority|ultrafast)"
)
_REGION: Final = re.compile(r"https?://(?P<region>eu|us)\.")
_DIGITS: Final = Decimal("1e-9")


def surcharges(entry: Mapping[str, Any]) -> tuple[tuple[str, Decimal], ...]:
    """Return the terms of service that an entry of LiteLLM's table names, and the most that each multiplies a rate by.

    Examples
    --------
    >>> surcharges({"output_cost_per_token": Decimal("2e-6"), "output_cost_per_token_priority": Decimal("3.5e-6")})
    (('priority', Decimal('1.75')),)
    >>> surcharges({"provider_specific_entry": {"us": Decimal("1.1"), "fast": 2}})
    (('fast', Decimal('2')), ('us', Decimal('1.1')))
    """
    times: dict[str, Decimal] = {}
    complete = set()
    for key, value in entry.items():
        match = _KEY.fullmatch(key)
        if match:
            dear, plain = _amount(value), _amount(entry.get(match["plain"]))
            if dear and plain:
                ratio = (dear / plain).quantize(_DIGITS, rounding="ROUND_CEILING").normalize()
                times[match["terms"]] = max(times.get(match["terms"], Decimal(1)), ratio)
                if match["plain"] == "output_cost_per_token":
                    complete.add(match["terms"])
    times = {terms: ratio for terms, ratio in times.items() if terms in complete}  # else an entry is half filled in
    named = entry.get("provider_specific_entry")  # Anthropic's, among others that are no factors
    for terms, value in named.items() if isinstance(named, dict) else ():
        factor = _amount(value)
        if factor:
            times[terms] = max(factor, Decimal(1))
    return tuple(sorted(times.items()))


def uplift(found: Mapping[str, Any], api_base: str | None) -> Decimal:
    """Return what a provider's regional address multiplies its prices by.

    Vertex AI is dearer at every place but `global`, and which place a call goes to is set outside of a profile: it
    counts as one of the dearer, unless the profile's address is the global one.
    """
    match = _REGION.match(api_base or "")
    factor = found.get(f"regional_processing_uplift_multiplier_{match['region']}") if match else None
    if factor is None and not (api_base or "").startswith("https://aiplatform.googleapis.com"):
        factor = found.get("regional_endpoint_uplift_multiplier")
    return max(Decimal(factor), Decimal(1)) if isinstance(factor, (int, Decimal)) else Decimal(1)


def _amount(value: object) -> Decimal | None:
    """Return a number above 0, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    amount = Decimal(value)
    return amount if amount.is_finite() and amount > 0 else None
