"""Files that have lately been asked about: what providers' prompt caches hold of them, and where marks pay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.deciding.staying import CACHE_S
from scrimp.routing.ledger.kept import read_lately
from scrimp.routing.prompts.instructions import instructions_id
from scrimp.routing.prompts.sources import Kept

if TYPE_CHECKING:
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["with_kept"]


def with_kept(prompt: Prompt, decider: Decider, ledger: Ledger, *, now: float) -> Prompt:
    """Return a prompt with what caches are expected to hold of its files, by the calls of the last minutes.

    An arm that has read them whole has them in its provider's cache, where that keeps what it reads by itself. Where it
    wants a mark, it has them from the second question on: that one is marked.
    """
    if not prompt.sources or prompt.history or prompt.chat is not None:
        return prompt
    digests = [source.sha256 for source in prompt.sources]
    shares: dict[str, float] = {}
    for call in read_lately(ledger, digests, prompt.system, brief=prompt.brief, since=now - CACHE_S):
        if reading_of(call.arm) not in (None, "whole"):
            continue
        bare = bare_of(call.arm)
        try:
            arm, price = decider.arm(bare), decider.price(bare)
        except KeyError:
            continue  # it is not in the profile any more
        if price is None or instructions_id(arm) != call.instructions:
            continue
        share = 1.0 if call.in_cache or not price.keeps_what_is_marked else 0.0
        shares[bare] = max(share, shares.get(bare, 0.0))
    return replace(prompt, kept=Kept(shares)) if shares else prompt
