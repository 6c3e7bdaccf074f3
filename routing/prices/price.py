"""What a call costs: an arm's price by tiers of input length, exact to the nano-dollar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .usage import Usage

__all__ = ["ArmPrice", "Tier", "saved_nano"]


EXACT: Final = Context(prec=60)
"""Wide enough for any count of tokens at any price, so that only the last step rounds."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices that hold for a whole request once its input exceeds `above_tokens`, in nano-USD per token."""

    above_tokens: int
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None

    @property
    def worst_input(self) -> Decimal:
        """Return the most one token of input can cost."""
        zero = Decimal(0)
        return max(self.input, self.cache_read or zero, self.cache_write or zero, self.cache_write_1h or zero)

    @property
    def worst_output(self) -> Decimal:
        """Return the most one token of output can cost."""
        return max(self.output, self.reasoning or Decimal(0))


@dataclass(frozen=True, slots=True)
class ArmPrice:
    """What an arm's tokens cost, in nano-USD per token, and the sums that follow.

    A price that is not known (None) is charged as the one it stands in for: cache reads and writes as input,
    reasoning as output.

    Parameters
    ----------
    input, output, cache_read, cache_write, cache_write_1h, reasoning
        Prices in nano-USD per token.
    tiers
        Prices for long inputs, by rising threshold.
    per_request
        Fee per request in nano-USD.
    source
        Where the price comes from: "profile", or "litellm VERSION".
    surcharges
        What other terms of service than the ordinary ones multiply the price by, such as the tier "priority".
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    per_request: Decimal = Decimal(0)
    source: str = "profile"
    surcharges: tuple[tuple[str, Decimal], ...] = ()

    @property
    def base(self) -> Tier:
        """Return the prices below every threshold."""
        return Tier(0, self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h, self.reasoning)

    @property
    def free(self) -> bool:
        """Return whether no call can cost anything."""
        return self.bound_nano(10**9, 10**9) == 0

    @property
    def keeps_what_is_marked(self) -> bool:
        """Return whether its provider keeps only what it is asked to, and takes more for that than for input."""
        return self.cache_write is not None and self.cache_write > self.input

    @property
    def input_usd_per_mtok(self) -> float:
        """Return the price of input in USD per million tokens."""
        return float(self.input / 1000)

    @property
    def output_usd_per_mtok(self) -> float:
        """Return the price of output in USD per million tokens."""
        return float(self.output / 1000)

    def bound_nano(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most a call can cost, in nano-USD.

        No usage within both limits costs more: every token of input is charged as the dearest of read, cached and
        written, every token of output as the dearest of written and reasoned, in the dearest tier the input can reach.

        Parameters
        ----------
        input_tokens
            Tokens of input, or a proven over-count.
        output_tokens
            The limit on output that the call enforces.
        """
        _check_counts(input_tokens, output_tokens)
        reachable = (self.base, *(tier for tier in self.tiers if tier.above_tokens < input_tokens))
        worst_input = max(tier.worst_input for tier in reachable)
        worst_output = max(tier.worst_output for tier in reachable)
        return _total((input_tokens, worst_input), (output_tokens, worst_output), (1, self.per_request))

    def expected_nano(self, input_tokens: int, output_tokens: int, cached_tokens: int | None = None) -> int:
        """Return what a call of that size is expected to cost, in nano-USD; for planning, never for reserving.

        Parameters
        ----------
        cached_tokens
            Tokens of the input that the provider has in its cache; the others then are written to it, at its price for
            that where it has one that is above that of input. None: nothing is cached, and nothing kept.
        """
        _check_counts(input_tokens, output_tokens)
        tier = self._tier(input_tokens)
        cached = _part(cached_tokens, input_tokens)
        new = tier.input if cached_tokens is None else max(tier.input, tier.cache_write or tier.input)
        return _total(
            (input_tokens - cached, new),
            (cached, tier.input if tier.cache_read is None else tier.cache_read),
            (output_tokens, tier.output),
            (1, self.per_request),
        )

    def cost_nano(self, usage: Usage) -> int:
        """Return what a call cost by its usage, in nano-USD, rounded up.

        Parts that exceed their whole (which `check_usage` calls implausible) are cut to it.
        """
        _check_counts(usage.input_tokens, usage.output_tokens)
        tier = self._tier(usage.input_tokens)
        cached = _part(usage.cached_tokens, usage.input_tokens)
        written = _part(usage.cache_write_tokens, usage.input_tokens - cached)
        written_1h = _part(usage.cache_write_1h_tokens, written)
        reasoned = _part(usage.reasoning_tokens, usage.output_tokens)
        write = tier.input if tier.cache_write is None else tier.cache_write
        return _total(
            (usage.input_tokens - cached - written, tier.input),
            (cached, tier.input if tier.cache_read is None else tier.cache_read),
            (written - written_1h, write),
            (written_1h, write if tier.cache_write_1h is None else tier.cache_write_1h),
            (usage.output_tokens - reasoned, tier.output),
            (reasoned, tier.output if tier.reasoning is None else tier.reasoning),
            (1, self.per_request),
        )

    def times(self, terms: str) -> Decimal | None:
        """Return what terms of service multiply the price by; None where that is not known."""
        return dict(self.surcharges).get(terms)

    def _tier(self, input_tokens: int) -> Tier:
        reached = [tier for tier in self.tiers if tier.above_tokens < input_tokens]
        return max(reached, key=lambda tier: tier.above_tokens) if reached else self.base

    def to_json(self) -> str:
        """Return the price as JSON, exact, as the ledger keeps it."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> ArmPrice:
        """Return the price that `to_json` wrote.

        Raises
        ------
        msgspec.ValidationError
            If the text is not a price.
        """
        return msgspec.json.decode(text, type=cls)


def saved_nano(price: ArmPrice, usage: Usage, charged_nano: int) -> int:
    """Return how much more an answer would have cost on another arm, in nano-USD: below 0 where it is less.

    It would have been one call of the same tokens, those that were cached or written to a cache being so there too. How
    long a cache was to be kept is not on record with the call, so writing for an hour is priced as writing for less.

    Parameters
    ----------
    price
        The other arm's.
    usage
        Of the call that gave the answer.
    charged_nano
        What its request was charged, failed attempts and fallbacks included.
    """
    return price.cost_nano(replace(usage, cache_write_1h_tokens=None)) - charged_nano


def _part(tokens: int | None, whole: int) -> int:
    return min(max(tokens or 0, 0), whole)


def _check_counts(input_tokens: int, output_tokens: int) -> None:
    if input_tokens < 0 or output_tokens < 0:
        msg = f"counts of tokens cannot be negative: {input_tokens}, {output_tokens}"
        raise ValueError(msg)


def _total(*charges: tuple[int, Decimal]) -> int:
    """Return the sum of counts times prices in whole nano-USD, rounded up once."""
    total = Decimal(0)
    for count, price in charges:
        total = EXACT.add(total, EXACT.multiply(Decimal(count), price))
    return int(total.to_integral_value(rounding=ROUND_CEILING))
