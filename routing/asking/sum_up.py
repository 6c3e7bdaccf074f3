"""The call that sums up a conversation's older turns, before the request that it is for is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.strategies.protocol import Role, Wanted
from scrimp.routing.text.in_words import counted

from .books import Summed
from .log_rows import request_row
from .memory import size_of
from .summing import SUMMARY_TOKENS, fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from scrimp.routing.prompts.prompt import Turn
    from scrimp.routing.strategies.protocol import Got

    from .asked import Asked, Kit
    from .memory import Recalled
    from .summing import Summing

__all__ = ["not_summed", "sum_up"]


def not_summed(asked: Asked, summing: Summing) -> Asked:
    """Return a request as it is asked where there is no summary: with the last turns alone."""
    n_tokens = sum(size_of(*summing.turns[at]) for at in summing.kept)
    alone = replace(summing.recalled, tier="last", upto=None, n_tokens=n_tokens)
    return _sending(asked, summing.history(None), alone)


def sum_up(
    asked: Asked, summing: Summing, kit: Kit, call: Callable[[Wanted], Generator[Any, Any, Got]]
) -> Generator[Any, Any, Asked]:
    """Have older turns summed up; return the request as it is asked then.

    Parameters
    ----------
    asked
        The request as it is asked without (`not_summed`): where no summary can be had that is what is returned.
    call
        Makes a call for the request.
    """
    why = f"{summing.arm} sums up {counted(summing.n_new, 'earlier turn')}"
    got = yield from call(Wanted(summing.arm, Role.SUMMARY, prompt=summing.prompt, limit=SUMMARY_TOKENS, why=why))
    text = fitted(got.text or "")
    if not text:
        kit.say("there is no summary: the last turns are sent without one")
        return asked
    n_kept = 0 if asked.ask.recalled is None else asked.ask.recalled.n_tokens
    n_tokens = approx_tokens(text)
    asked = _sending(asked, summing.history(text), replace(summing.recalled, n_tokens=n_kept + n_tokens))
    sent: dict[str, Any] = {}
    if asked.ask.keep != "money":
        row = request_row(asked.ask, asked.decision, asked.context, kit.clock())
        sent = {name: row[name] for name in ("messages", "memory") if name in row}
    yield Summed(asked.decision.id, summing.conversation_id, summing.upto, text, n_tokens, sent)
    return asked


def _sending(asked: Asked, history: tuple[Turn, ...], recalled: Recalled) -> Asked:
    ask = asked.ask
    return replace(
        asked, ask=replace(ask, prompt=replace(ask.prompt, history=history), recalled=recalled, summing=None)
    )
