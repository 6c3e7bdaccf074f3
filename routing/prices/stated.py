"""What a reply says of money: its usage, gathered from wherever it stands, a cost, and on what terms it was served."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from scrimp.profiles.money import NANO
from scrimp.routing.text.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Stated", "gather", "gather_tier", "stated_in"]

_MOST_USD: Final = 1_000
"""No call costs more, USD: a larger figure is in another unit, or nonsense."""

_INSIDE: Final = ("message", "response", "delta", "result", "x_groq")
"""Where, within an object of a reply, an object with its usage may stand."""

_USAGES: Final = ("usage", "usageMetadata", "usage_metadata")
_OLLAMA: Final = ("prompt_eval_count", "eval_count")
_MAX_DEPTH: Final = 4

_ORDINARY: Final = frozenset(
    {
        "", "auto", "batch", "default", "flex", "global", "not_available", "on_demand", "on_demand_flex",
        "provisioned_throughput", "reserved", "scale", "standard", "standard_only", "traffic_type_unspecified",
    }
)  # fmt: skip
"""Terms that are not dearer than the ordinary ones, in the words of OpenAI, Anthropic, Google, Groq and Bedrock."""

_TICKS: Final = 10**10
"""xAI counts cost in these: 10^10 to the dollar (docs.x.ai/developers/cost-tracking)."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What a reply says of its price, besides its tokens.

    Attributes
    ----------
    cost_nano
        What it says it cost, nano-USD; None where it does not say, or says what cannot be.
    terms
        On what terms it was served, where they may be dearer than the ordinary ones: a service tier ("priority"), a
        speed ("fast"), a place ("us").
    nonsense
        What it says its cost is, where that cannot be; None where it can.
    """

    cost_nano: int | None = None
    terms: tuple[str, ...] = ()
    nonsense: str | None = None


# ---- over a whole reply


def gather(so_far: dict[str, Any] | None, value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is known of a reply's usage once one more of its objects has come.

    Providers say it once, or in parts (Anthropic), or again and again as it grows: of each count the largest stands,
    and a later 0 or null erases nothing.

    Parameters
    ----------
    so_far
        What it returned for the objects before; None for the first.
    value
        A chunk of a stream, or a whole reply.
    """
    usage = so_far
    for layer in _layers(value, _MAX_DEPTH):
        for key in _USAGES:
            if isinstance(layer.get(key), dict) and layer[key]:
                usage = _merged(usage or {}, layer[key], _MAX_DEPTH)
        meta = layer.get("meta")  # Cohere's first version
        if isinstance(meta, dict) and isinstance(meta.get("billed_units"), dict):
            usage = _merged(usage or {}, meta, _MAX_DEPTH)
        if _OLLAMA[0] in layer:
            usage = _merged(usage or {}, {key: layer[key] for key in _OLLAMA if key in layer}, 1)
    return usage


def gather_tier(so_far: str | None, value: Mapping[str, Any]) -> str | None:
    """Return the service tier that a reply says it was served at, once more of its objects has come: the dearest."""
    tier = so_far
    for layer in _layers(value, _MAX_DEPTH):
        said = layer.get("service_tier", layer.get("serviceTier"))
        said = said.get("type") if isinstance(said, dict) else said  # Bedrock
        if isinstance(said, str) and (tier is None or not _is_ordinary(said)):
            tier = said
    return tier


def _layers(value: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield an object and those within it that may hold usage."""
    yield value
    if depth == 0:
        return
    inside = [value.get(key) for key in _INSIDE]
    for key in ("choices", "candidates"):
        if isinstance(value.get(key), list):
            inside += value[key]
    for each in inside:
        if isinstance(each, dict):
            yield from _layers(each, depth - 1)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        had = merged.get(key)
        if isinstance(had, dict) and isinstance(value, dict) and depth > 0:
            merged[key] = _merged(had, value, depth - 1)
        elif _stands_over(value, had):
            merged[key] = value
    return merged


def _stands_over(value: object, had: object) -> bool:
    """Return whether what was said later of one thing stands over what was said before."""
    if value is None or had is None:
        return had is None
    if _is_number(value):
        return not _is_number(had) or value > had
    return not _is_number(had) and (_is_dear(value) or not _is_dear(had))


def _is_number(value: object) -> TypeGuard[int | float]:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _is_ordinary(terms: str) -> bool:
    return terms.strip().lower() in _ORDINARY


def _is_dear(value: object) -> bool:
    return isinstance(value, str) and not _is_ordinary(value)


# ---- of the usage


def stated_in(usage: object, tier: str | None, headers: Mapping[str, str]) -> Stated:
    """Return what a reply says of its price.

    Parameters
    ----------
    usage
        What was gathered of its usage, as `gather` returns it, or LiteLLM's object; None where there was none.
    tier
        As `gather_tier` returns it.
    headers
        Of the reply, their names in lower case.
    """

    def read(name: str) -> Any:
        return usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)

    said = [*_costs(read), headers.get("x-litellm-response-cost") or None]
    costs, nonsense = [], None
    for figure in said:
        if figure is None:
            continue
        usd = _usd(figure)
        if usd is None:
            nonsense = sanitize(_shown(figure))
        else:
            costs.append(usd)
    nano = None
    if costs:
        nano = int((max(costs) * NANO).to_integral_value(rounding=ROUND_CEILING))
    tiers = (tier, read("service_tier"), read("trafficType"), headers.get("x-gemini-service-tier"))
    told = (*tiers, read("speed"), read("inference_geo"))
    dear = dict.fromkeys(_term(each) for each in told if isinstance(each, str) and not _is_ordinary(each))
    return Stated(nano, tuple(dear), nonsense)


def _costs(read: Callable[[str], Any]) -> Iterator[object]:
    """Yield what a usage says that the call cost, in USD, under each of the names that providers have for it."""
    cost = read("cost")
    if isinstance(cost, dict):  # Perplexity
        yield cost.get("total_cost")
    elif cost is not None:  # OpenRouter and others after it, LiteLLM's proxy
        yield _with_upstream(cost, read("cost_details"), read("is_byok"))
    yield read("estimated_cost")  # DeepInfra
    ticks = read("cost_in_usd_ticks")  # xAI
    yield Decimal(ticks) / _TICKS if _is_number(ticks) else ticks


def _with_upstream(cost: object, details: object, own_key: object) -> object:
    """Return OpenRouter's cost with that of the provider behind it, which is apart with a key of one's own there."""
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    fee, behind = _usd(cost), None if upstream is None else _usd(upstream)
    if fee is None or behind is None:
        return cost if upstream is None or fee is None else upstream
    return fee + behind if own_key is True or (own_key is None and behind > fee) else max(fee, behind)


def _usd(figure: object) -> Decimal | None:
    """Return an amount in USD; None where it is no number, or none that a call can cost."""
    if isinstance(figure, bool) or not isinstance(figure, (int, float, str, Decimal)):
        return None
    try:
        amount = Decimal(str(figure).strip())
    except (InvalidOperation, ValueError):  # ValueError: a whole number too long to be written out
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD else None


def _shown(figure: object) -> str:
    """Return the beginning of what was stated."""
    try:
        return str(figure)[:40]
    except ValueError:
        return "a number of thousands of digits"


def _term(said: str) -> str:
    """Return a word for the terms of service, as price tables have it."""
    return sanitize(said.strip().lower().removeprefix("on_demand_")[:40])
