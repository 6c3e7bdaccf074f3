"""What a strategy is told of a request, made of how it was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO
from scrimp.routing.strategies.brief import Brief, Card

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scrimp.routing.deciding.policy import Option, Weighed

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
        arms=_Cards(decision.choice.weighed, kit),
        fallbacks=tuple(option.arm for option in decision.fallbacks()) if asked.plan.single else (),
        embed=kit.embed,
        wtp_usd=decision.wtp_usd,
        left_nano=_left_nano(asked),
        memory=asked.memory,
    )


class _Cards(Mapping[str, Card]):
    """Every arm of a decision by its name, told of when it is asked about: a plan of one call asks about none."""

    def __init__(self, weighed: Sequence[Weighed], kit: Kit) -> None:
        self._weighed, self._kit = weighed, kit

    def __getitem__(self, arm: str) -> Card:
        for each in reversed(self._weighed):
            if each.option.arm == arm:
                return _card(each.option, self._kit)
        raise KeyError(arm)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(each.option.arm for each in self._weighed))

    def __len__(self) -> int:
        return len({each.option.arm for each in self._weighed})


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
