"""Options beside those that were decided among: an arm asked something else than the request, or at another reading."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.routing.prompts.tokens import estimate_tokens

from .options import option_for
from .policy import Barrier, Weighed, utility
from .times import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrimp.routing.prompts.prompt import Prompt

    from .decide import Decider
    from .policy import Option
    from .trace import Decision

__all__ = ["beside", "with_options"]

_STAYS = frozenset({Barrier.NOT_HERE, Barrier.BLOCKED})
"""What stands against an arm whatever it is asked."""


def beside(
    decider: Decider,
    name: str,
    prompt: Prompt,
    like: Option,
    *,
    quality: float | None = None,
    told: bool = True,
    left: int | None = None,
    output_limit: int | None = None,
    minute_usd: float = 0.0,
) -> Option:
    """Return the option of an arm under a name with a reading, for a prompt of its own.

    Parameters
    ----------
    like
        The same arm's option for the request: what is predicted of it holds here too.
    quality
        P(right), where that is another.
    told
        Whether the arm is told its instructions with it.
    left
        What the caps leave for it, nano-USD; None where there is no cap.
    output_limit
        The request's own limit in tokens, where it brings one.
    minute_usd
        What a minute of waiting costs, USD.
    """
    shift = 0.0 if quality is None else quality - like.quality
    option = option_for(
        decider.known(name),
        prompt,
        n_input=estimate_tokens(prompt),
        quality=like.quality + shift,
        quality_low=max(0.0, like.quality_low + shift),
        quality_high=min(1.0, like.quality_high + shift),
        basis=like.basis,
        rests_on=like.rests_on,
        p50=float(like.output_tokens_p50),
        p90=float(like.output_tokens_p90),
        output_limit=output_limit,
        left=left,
        blocked=like.infeasible if like.barrier in _STAYS else None,
        here_only=False,
        told=told,
        near=like.near,
        nearness=like.nearness,
        tempo=decider.tempo(name),
        minute_usd=minute_usd,
    )
    others = {term: usd for term, usd in like.terms.items() if term != TIME}
    return replace(option, terms={**others, **option.terms})


def with_options(decision: Decision, options: Iterable[Option]) -> Decision:
    """Return a decision that knows of further options, none of which was drawn among."""
    there = {weighed.option.arm for weighed in decision.choice.weighed}
    more = tuple(
        Weighed(option, utility(option, decision.wtp_usd), 0.0, option.infeasible or "not in the plan")
        for option in options
        if option.arm not in there
    )
    return replace(decision, choice=replace(decision.choice, weighed=(*decision.choice.weighed, *more)))
