"""Whether a question is put into other words before it is asked: who does that, and what it can cost at most."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.routing.ledger.steps import answered_before
from scrimp.routing.prompts.context import approx_tokens

from .books import digest_of
from .phrasings import room_for, task_of
from .rephrasing import MORE_BYTES, Rephrasing
from .summing import cheap_arm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import Context

    from .request import Ask

__all__ = ["with_rephrasing"]

_LONGEST: Final = 1_000
"""Tokens of a question that is put into other words; a longer one is a text, and asked as it is."""


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
