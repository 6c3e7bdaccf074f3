"""What a strategy is told of a request, made of how it was decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO
from scrimp.routing.strategies.brief import Brief, Card

if TYPE_CHECKING:
    from scrimp.routing.deciding.policy import Option

    from .asked import Asked, Kit

__all__ = ["brief_of"]


def brief_of(asked: Asked, kit: Kit) -> Brief:
    """Return what the strategy of a request is told: all of it goes by the decision, which a replay finds on record."""
    decision, prompt = asked.decision, asked.ask.prompt
    if asked.ask.response_format is not None:  # a row of a file brings it beside the prompt
        prompt = replace(prompt, own_format=asked.ask.response_format)
    return Brief(
        prompt=prompt,
        checks=asked.checks,
        arms={weighed.option.arm: _card(weighed.option, kit) for weighed in decision.choice.weighed},
        fallbacks=tuple(option.arm for option in decision.fallbacks()) if asked.plan.single else (),
        embed=kit.embed,
        wtp_usd=decision.wtp_usd,
        left_nano=_left_nano(asked),
        memory=asked.memory,
    )


def _card(option: Option, kit: Kit) -> Card:
    price = kit.decider.price(option.arm)
    output = 0 if price is None else price.expected_nano(0, option.output_tokens_p50)
    # As the log has it: a replay is to come to the same.
    about = kit.decider.profile.arm(option.arm).about
    return Card(round(option.quality, 6), option.cost_nano, about, output, sum(option.terms.values()))


def _left_nano(asked: Asked) -> int | None:
    """Return what the request may cost: what its plan was found to cost at most, or less where the user said so."""
    expected = (asked.decision.plan or {}).get("expected", {})
    bound = None if "bound_usd" not in expected else round(expected["bound_usd"] * NANO)
    limits = (bound, asked.ask.wishes.max_cost_nano, asked.ask.cap_override_nano)
    return min((limit for limit in limits if limit is not None), default=None)
