"""What a strategy is told of a request: the prompt, the arms as far as they matter, and what may be spent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.checks.base import Check
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.text.compare import Embed

__all__ = ["NO_MEMORY", "Brief", "Card", "Memory"]


@dataclass(frozen=True, slots=True)
class Card:
    """An arm, as a planner or a bidder is to see it.

    Attributes
    ----------
    quality
        Its predicted quality for this prompt, in [0, 1].
    cost_nano
        What its answer to this prompt is expected to cost, nano-USD; None where that is not known.
    about
        What it is for, in its owner's words; None where they say nothing.
    output_nano
        How much of that cost is the answer's length, nano-USD.
    held_usd
        What else is held against it, USD (what waiting for it costs).
    """

    quality: float
    cost_nano: int | None = None
    about: str | None = None
    output_nano: int = 0
    held_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the log knows of bids, as it was when the plan was decided.

    Attributes
    ----------
    trust
        How far jurors' scores move what an arm's predicted quality says, in [0, 1].
    won, lost
        Bids on prompts like this one, nearest first.
    """

    trust: float = 0.35
    won: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


NO_MEMORY = Memory()


@dataclass(frozen=True, slots=True)
class Brief:
    """What a strategy is told.

    Attributes
    ----------
    prompt
        The request's.
    checks
        What every answer has to pass.
    arms
        Every arm of the profile, by its name.
    fallbacks
        For a plan of one call: the arms to ask when it fails, best first.
    embed
        Embeds prose, to compare answers; None leaves prose uncompared.
    wtp_usd
        What a right answer is worth, USD.
    left_nano
        What may be spent on this request, nano-USD; None where nothing but the caps says so.
    memory
        What the log knows of bids.
    """

    prompt: Prompt
    checks: tuple[Check, ...] = ()
    arms: Mapping[str, Card] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    embed: Embed | None = None
    wtp_usd: float = 0.0
    left_nano: int | None = None
    memory: Memory = NO_MEMORY

    def quality(self, arm: str) -> float:
        """Return an arm's predicted quality, in [0, 1]: votes weigh by it."""
        return self.arms[arm].quality
