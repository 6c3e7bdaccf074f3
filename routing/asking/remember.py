"""What of its conversation goes along with a request, and the summary that is bought for it where one was asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from scrimp.routing.deciding.staying import CACHE_S, Staying
from scrimp.routing.ledger.conversations import summary_of
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.retrieval.turns import turn_scores

from .memory import Recalled, budget_of, chosen, history_of, last_turns, size_of, worth_of_all
from .summing import AT_ONCE, MOST_BYTES, SUMMARY_TOKENS, Summing, cheap_arm, recap, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.conversations import Conversation, PastTurn
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import Context

    from .request import Ask

__all__ = ["with_memory", "with_summary"]


def with_memory(ask: Ask, context: Context, decider: Decider, *, now: float) -> Ask:
    """Return a request with that of its conversation which goes along, and what is logged of the choice.

    Parameters
    ----------
    context
        Of the question.
    now
        POSIX time.
    """
    past = ask.past
    if past is None or not past.turns:
        return ask
    turns = [(turn.prompt, turn.answer) for turn in past.turns]
    sizes = [size_of(*turn) for turn in turns]
    arm = _likely_arm(ask, past, decider)
    price, window = (None, None) if arm is None else (decider.price(arm), decider.window(arm))
    wtp = decider.profile.policy.wtp if ask.wishes.wtp_usd is None else ask.wishes.wtp_usd
    budget, tier = budget_of(price, wtp, window), ask.memory
    n_cached = _cached(past, arm, now) if past.brief == ask.prompt.brief else 0  # else it begins otherwise
    if tier == "auto":
        tier = "all" if worth_of_all(sum(sizes), n_cached, budget, price) else "relevant"
    kept = chosen(
        tier,
        turns,
        sizes,
        budget,
        lambda: turn_scores(turns, ask.prompt.text, context.embedding, _vectors(past.turns, decider.embedder.id)),
    )
    history = history_of(turns, kept)
    note = Recalled(
        "all" if len(kept) == len(turns) else tier,
        tuple(past.turns[at].id for at in kept),
        len(turns),
        sum(size_of(turn.prompt, turn.answer or "") for turn in history),
        sum(sizes),
        None if len(kept) == len(turns) else budget,
        ask.memory,
    )
    ask = replace(ask, prompt=replace(ask.prompt, history=history), recalled=note)
    if len(kept) == len(turns) and n_cached and arm is not None and ask.wishes.arm is None:
        # What the last arm has in its provider's cache it reads for less: the others are weighed against that.
        ask = replace(ask, wishes=replace(ask.wishes, staying=Staying(arm, n_cached)))
    return ask


def _vectors(turns: Sequence[PastTurn], embedder_id: str) -> list[bytes | None]:
    return [turn.embedding if turn.embedder_id == embedder_id else None for turn in turns]


def _likely_arm(ask: Ask, past: Conversation, decider: Decider) -> str | None:
    """Return the arm whose price goes for the next turn: the one asked for, the one that answered last, the default."""
    for name in (ask.wishes.arm, past.arm, decider.profile.default_arm):
        if name is not None:
            try:
                decider.price(name)
            except KeyError:
                continue
            return name
    return None


def _cached(past: Conversation, arm: str | None, now: float) -> int:
    """Return how many tokens of a conversation an arm's provider has in its cache.

    Only what was seen counts: that the last call, which sent all turns to the same arm, and not long ago, was read from
    the cache in part. Then it has the whole of that call.
    """
    if arm != past.arm or not past.whole or not past.n_cached or not past.at:
        return 0
    age = now - datetime.fromisoformat(past.at).timestamp()
    return past.n_read if 0.0 <= age <= CACHE_S else 0


def with_summary(
    ask: Ask, context: Context, decider: Decider, ledger: Ledger, *, blocked: Mapping[str, str] | None = None
) -> Ask:
    """Return a request with its older turns in few words, and the call that is to be made first where one is needed.

    What was summed up before is on record, and only the turns since then are new. They go along as they are until they
    no longer fit the budget; then all but the last half of it is summed up. Where no arm can do that, or nothing is
    older, the last turns go along alone.

    Parameters
    ----------
    context
        Of the question.
    blocked
        Arms that cannot be called now, and why.
    """
    past, note = ask.past, ask.recalled
    if past is None or note is None or note.budget is None:
        return ask
    turns = tuple((turn.prompt, turn.answer) for turn in past.turns)
    ids = [turn.id for turn in past.turns]
    sizes = [size_of(*turn) for turn in turns]
    upto, text = summary_of(ledger, past.id) or ("", "")
    start = ids.index(upto) + 1 if upto in ids else 0
    if start and approx_tokens(text) + sum(sizes[start:]) <= note.budget:
        kept = tuple(range(start, len(turns)))
        return _known(ask, note, turns, kept, text, start, ids)
    room = max(0, note.budget - SUMMARY_TOKENS) // 2
    kept = tuple(start + at for at in last_turns(sizes[start:], room))
    end, n = start, 0
    while end < kept[0] and (end == start or n + sizes[end] <= AT_ONCE):
        n += sizes[end]
        end += 1
    if end == start:  # nothing is older than the last turns
        return _known(ask, note, turns, kept, text, start, ids) if start else ask
    prompt = task_of(text, turns[start:end])
    arm = cheap_arm(prompt, ask.wishes, context, decider, blocked or {})
    if arm is None:
        return _known(ask, note, turns, kept, text, start, ids) if start else ask
    recalled = _noted(note, ids, kept, sizes, MOST_BYTES // 4, ids[end - 1])
    summing = Summing(arm[0], prompt, past.id, ids[end - 1], end - start, arm[1], turns, kept, end, recalled)
    # It is decided, and reserved, with as much in the summary's place as it can ever be.
    prompt = replace(ask.prompt, history=summing.history("x" * MOST_BYTES))
    return replace(ask, prompt=prompt, recalled=recalled, summing=summing)


def _known(
    ask: Ask,
    note: Recalled,
    turns: Sequence[tuple[str, str]],
    kept: tuple[int, ...],
    text: str,
    n_covered: int,
    ids: Sequence[str],
) -> Ask:
    """Return a request with the summary that is on record."""
    history = history_of(turns, kept, recap(text, n_covered, kept[0]))
    sizes = [size_of(*turn) for turn in turns]
    recalled = _noted(note, ids, kept, sizes, approx_tokens(text), ids[n_covered - 1])
    return replace(ask, prompt=replace(ask.prompt, history=history), recalled=recalled)


def _noted(
    note: Recalled, ids: Sequence[str], kept: Sequence[int], sizes: Sequence[int], n_summary: int, upto: str
) -> Recalled:
    n_tokens = sum(sizes[at] for at in kept) + n_summary
    return replace(note, tier="summary", turns=tuple(ids[at] for at in kept), n_tokens=n_tokens, upto=upto)
