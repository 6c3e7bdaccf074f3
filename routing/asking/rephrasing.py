"""Whether a question is put into other words before it is asked: who does that, and what it can cost at most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.ledger.steps import answered_before
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.tokens import text_bound

from .books import digest_of
from .phrasings import room_for, task_of
from .summing import cheap_arm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask

__all__ = ["MORE_BYTES", "Rephrasing", "asks_own_words", "with_rephrasing"]

MORE_BYTES: Final = 400
"""By how much of `text_bound` a phrasing may be longer than the question: so much more is held for the answer."""

_LONGEST: Final = 1_000
"""Tokens of a question that is put into other words; a longer one is a text, and asked as it is."""


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


def with_rephrasing(
    ask: Ask, context: Context, decider: Decider, ledger: Ledger | None, *, blocked: Mapping[str, str]
) -> tuple[Ask, str | None]:
    """Return a request with the phrasings that are to be bought for it, or why it is asked as it is.

    The cheapest arm that can take it phrases it: the question alone, without its files and without what went before.
    What was bought before for the same question and is still in the log is not bought again.

    Parameters
    ----------
    context
        Of the question.
    blocked
        Arms that cannot be called now, and why.
    """
    if ask.rephrase is None:
        return ask, None
    question, n = ask.prompt.text, ask.rephrase
    if not question.strip() or ask.prompt.chat is not None:
        return ask, "there is no question to be put into other words: it is asked as it is"
    n_tokens = approx_tokens(question)
    if n_tokens > _LONGEST:
        return ask, f"a text of {n_tokens:,} tokens is not put into other words: it is asked as it is"
    prompt, limit = task_of(question, n), room_for(n_tokens, n)
    arm = cheap_arm(prompt, ask.wishes, context, decider, blocked, limit=limit, good=0.0)
    if arm is None:
        return ask, "no arm can put it into other words: it is asked as it is"
    prices = [price for info in decider.infos if (price := decider.price(info.name)) is not None]
    more = max((price.bound_nano(MORE_BYTES, 0) for price in prices), default=0)
    known = None if ledger is None else answered_before(ledger, "rephrase", digest_of(prompt.text) or "")
    return replace(ask, rephrasing=Rephrasing(n, arm[0], prompt, limit, arm[1], more, known)), None


def fits(question: str, text: str) -> bool:
    """Tell whether a phrasing is covered by what is held for it."""
    return text_bound(text) <= text_bound(question) + MORE_BYTES


def asks_own_words(plan: Plan) -> bool:
    """Tell whether a plan's first stage puts the question in words of its own: phrasings would be bought in vain."""
    return plan.stages[0].how in ("lead", "bid", "split")
