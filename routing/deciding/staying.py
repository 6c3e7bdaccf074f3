"""What a conversation brings to the decision on its next turn, the arm that read it above all; and what files do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prompts.sources import Kept

__all__ = ["CACHE_S", "LEAST_KEPT", "WORDS", "Staying", "Turned", "files_cached", "moved", "said_by"]

LEAST_KEPT: Final = 1_024
"""Tokens below which no provider's prompt cache keeps a beginning."""

CACHE_S: Final = 300.0
"""How long a provider's prompt cache is counted on, seconds: Anthropic keeps it for five minutes from its last use
(platform.claude.com/docs/en/build-with-claude/prompt-caching), OpenAI for five to ten."""

WORDS: Final = 20
"""A turn of so many words says as much of how hard a conversation is as all that went before."""

_SURE: Final = 1e-6
"""Qualities are kept so far from 0 and 1 that their logits are finite."""


@dataclass(frozen=True, slots=True)
class Staying:
    """A conversation that goes on.

    Attributes
    ----------
    arm
        The one that answered last.
    n_cached
        Tokens of this prompt that its provider has in its prompt cache, as far as is known; 0 where none are.
    marked
        Whether those were marked to be kept, as a provider wants it that has a price for keeping them.
    forced
        Whether it is to go on while it can: it has called tools, and reads what they gave.
    running
        Each arm's predicted quality, in [0, 1], as it was before this turn; empty where it is not known.
    level
        How hard the conversation was before this turn, in [1, 5]; None where that is not known.
    """

    arm: str
    n_cached: int = 0
    marked: bool = True
    forced: bool = False
    running: Mapping[str, float] = field(default_factory=dict)
    level: float | None = None

    def cached(self, arm: str, price: ArmPrice) -> int | None:
        """Return how many tokens an arm is expected to read at the price of its cache; None where it has no such price.

        What it does not read there it writes, at its price for that. Bounds never count a cache: it may have lapsed.
        """
        if price.cache_read is None:
            return None
        return self.n_cached if arm == self.arm and (self.marked or not price.keeps_what_is_marked) else 0


def files_cached(kept: Kept, arm: str, price: ArmPrice, n_tokens: int) -> int | None:
    """Return how many of so many tokens of files an arm is expected to read at the price of its cache.

    As `Staying.cached`; None also where they are too few to be kept, and where nothing is to be.
    """
    share = kept.share(arm)
    if share is None or price.cache_read is None or n_tokens < LEAST_KEPT:
        return None
    return round(share * n_tokens)


def said_by(text: str) -> float:
    """Return how much a turn says of how hard the conversation is now, in [0, 1): n / (n + `WORDS`), of n words.

    Examples
    --------
    >>> round(said_by("yes, go on"), 2), said_by("word " * 20)
    (0.13, 0.5)
    """
    n = len(text.split())
    return n / (n + WORDS)


@dataclass(frozen=True, slots=True)
class Turned:
    """Predictions of a turn, blended with those of the conversation so far.

    What is embedded is the newest turn of the user's, and "yes, go on" says nothing of what is going on. So the logit
    of each arm's predicted quality is w logit(q_turn) + (1 - w) logit(q_running), w being what the turn says
    (`said_by`); the interval moves along with it, and the level is blended likewise. The result is what the next turn
    is blended with: a running mean that forgets as words are said. While tools are called the turn is still the same
    one, and w is 0.

    Attributes
    ----------
    staying
        The conversation.
    weight
        w, in [0, 1].
    alone
        Each arm's predicted quality by this turn alone.
    """

    staying: Staying
    weight: float
    alone: Mapping[str, float]

    @classmethod
    def by(cls, staying: Staying, text: str, alone: Mapping[str, float]) -> Turned:
        """Blend a turn whose text is `text`."""
        weight = 0.0 if staying.forced else said_by(text)
        return cls(staying, weight if staying.running else 1.0, alone)

    def shift(self, arm: str) -> float:
        """Return by how much the logits of an arm's quality move; 0 for an arm that the conversation does not know."""
        before = self.staying.running.get(arm)
        return 0.0 if before is None else (1.0 - self.weight) * (_logit(before) - _logit(self.alone[arm]))

    def level(self, alone: float) -> float:
        """Return the level of a turn, blended with that of the conversation."""
        before = self.staying.level
        return alone if before is None else self.weight * alone + (1.0 - self.weight) * before

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        staying = self.staying
        return {
            "arm": staying.arm,
            "n_cached": staying.n_cached,
            "in_tool_loop": staying.forced,
            "weight": self.weight,
            "quality_of_turn": dict(self.alone),
            "quality_before": dict(staying.running),
        }


def moved(quality: float, shift: float) -> float:
    """Return a quality whose logit is moved by `shift`, in [0, 1].

    Examples
    --------
    >>> moved(0.5, 0.0), round(moved(0.5, 1.0), 3)
    (0.5, 0.731)
    """
    return quality if shift == 0.0 else 1.0 / (1.0 + math.exp(-_logit(quality) - shift))


def _logit(quality: float) -> float:
    inside = min(max(quality, _SURE), 1.0 - _SURE)
    return math.log(inside / (1.0 - inside))
