"""Phrasings that are to be bought before a question is asked, as a value: from whom, and what they can cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.prompts.tokens import text_bound

if TYPE_CHECKING:
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["MORE_BYTES", "Rephrasing", "asks_own_words", "fits"]

MORE_BYTES: Final = 400
"""By how much of `text_bound` a phrasing may be longer than the question: so much more is held for the answer."""


@dataclass(frozen=True, slots=True)
class Rephrasing:
    """Phrasings that are to be bought before a question is asked.

    Attributes
    ----------
    n
        How many.
    arm, prompt, limit
        Who is asked for them, what, and for how many tokens of output at most.
    bound_nano
        The most that they can cost, nano-USD.
    more_nano
        The most that a phrasing can cost beyond the question as it is, nano-USD, since it may be longer.
    known
        The reply that was bought before for the same question; None where there is none.
    """

    n: int
    arm: str
    prompt: Prompt
    limit: int
    bound_nano: int
    more_nano: int
    known: str | None = None

    @property
    def held_nano(self) -> int:
        """What is held for it beside the answer, nano-USD."""
        return self.more_nano + (self.bound_nano if self.known is None else 0)

    def to_dict(self) -> dict[str, Any]:
        """Return what the decision's trace says of it."""
        bound = usd_from_nano(self.bound_nano) if self.known is None else 0.0
        return {"n": self.n, "arm": self.arm, "bound_usd": bound, "bought_before": self.known is not None}


def fits(question: str, text: str) -> bool:
    """Tell whether a phrasing is covered by what is held for it."""
    return text_bound(text) <= text_bound(question) + MORE_BYTES


def asks_own_words(plan: Plan) -> bool:
    """Tell whether a plan's first stage puts the question in words of its own: phrasings would be bought in vain."""
    return plan.stages[0].how in ("lead", "bid", "split")
