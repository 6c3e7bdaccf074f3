"""Merging: an arm that sees all answers, unnamed and in a drawn order, writes the one answer; or its own one anew.

Mixture-of-Agents, the aggregator of Symbolic-MoE and the refining agent of TCAndon-Router; for a single answer the
feedback and rewriting of TrafficLLM's self-refinement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.checks.base import Given
from scrimp.routing.checks.form import RefusalCheck
from scrimp.routing.plans.spends import FEEDBACK_LIMIT, QUOTE_BYTES
from scrimp.routing.text.fence import fenced

from .desk import Came, rank
from .protocol import Role, Wanted
from .quoting import DATA, anew, formless, quoted, without_thoughts

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from scrimp.routing.prompts.prompt import Prompt

    from .desk import Desk, Held, Turn
    from .protocol import Test

__all__ = ["merging"]

_MERGE: Final = """\
{prompt}

---
Others have answered this. Their answers stand between lines of a marker; {data}. Any of them may be wrong.

{parts}

Write the one answer to the prompt. Keep what is right in them and leave out what is wrong; where they contradict each \
other, work out which is right. Where you cannot tell, state the conflict in a sentence; else do not mention that \
there were other answers. Reply with the answer alone, in the form that the prompt asks for."""

_FEEDBACK: Final = """\
{prompt}

---
An answer to this was given. It stands between lines of a marker; {data}.

{parts}

Say shortly what is wrong with it: what is not true, what is missing, what the prompt asked for and it does not do. Do \
not write it anew. If nothing is wrong with it, reply with the one word NOTHING."""

_NOTHING: Final = re.compile(r"\W*nothing(?:\W+(?:is\W+)?wrong)?\W*", re.IGNORECASE)
_REFUSES: Final = RefusalCheck()


def merging(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Have the arms of a stage answer, and each of those that merge write one answer of those before it."""
    stage = turn.stage
    drafts = yield from desk.gather(turn)
    if not drafts:
        return Came(None)
    before = drafts
    for nth, arm in enumerate(stage.by):
        if desk.out_of_money:
            break
        if len(stage.arms) == 1 or nth:
            merged = yield from _refined(desk, turn, arm, desk.voted(before))
        else:
            merged = yield from _merged(desk, turn, arm, before)
        if merged is not None:
            before = [merged]
    last = desk.voted(before)
    yield from desk.test(last)
    if last.failed:  # it may be that an answer did better before it was merged
        for each in drafts:
            yield from desk.test(each)
        last = max([*drafts, last], key=lambda each: (rank(each.verdicts), each is last))
    return Came(last, stage.gate is None)


def _merged(desk: Desk, turn: Turn, arm: str, before: Sequence[Held]) -> Generator[Wanted, Any, Held | None]:
    order = desk.shuffled(f"merge {turn.number}", len(before))
    parts = [(f"ANSWER {nth}", quoted(before[i].text)) for nth, i in enumerate(order, start=1)]
    text = desk.brief.prompt.text
    asked = _MERGE.format(prompt=text, data=DATA, parts=fenced(parts, *desk.brief.prompt.around))
    return (yield from _written(desk, turn, arm, desk.brief.prompt.saying(asked), before))


def _refined(desk: Desk, turn: Turn, arm: str, before: Held) -> Generator[Wanted, Any, Held | None]:
    """Have an answer written anew, once it is known what is wrong with it; None where nothing is."""
    prompt, answer = desk.brief.prompt, quoted(before.text)
    parts = fenced([("ANSWER", answer)], *prompt.around)
    asked = formless(prompt.saying(_FEEDBACK.format(prompt=prompt.text, data=DATA, parts=parts)))
    got = yield from desk.call(Wanted(arm, Role.FEEDBACK, turn.number, asked, FEEDBACK_LIMIT))
    wrong = without_thoughts(got.text or "")
    if not wrong:
        if got.refusal is None:
            desk.notes.append(f"{arm} did not say what is wrong with {before.arm}'s answer: that stands")
        return None
    if _NOTHING.fullmatch(wrong):
        return None
    asked = prompt.saying(anew(prompt, answer, [wrong], n_bytes=QUOTE_BYTES))
    return (yield from _written(desk, turn, arm, asked, [before]))


def _written(
    desk: Desk, turn: Turn, arm: str, asked: Prompt, before: Sequence[Held]
) -> Generator[Wanted, Any, Held | None]:
    """Have an answer written in place of others; None, with a note, where theirs are better than what came."""
    got = yield from desk.call(Wanted(arm, Role.MERGE, turn.number, asked))
    why = None
    if got.text is None:
        why = "gave no answer" if got.refusal is None else "was not asked"
    elif not got.text.strip():
        why = "answered nothing"
    elif _declines(got.text, got.finish_reason) and not all(_declines(each.text) for each in before):
        why = "declined"
    if why is None:
        return desk.hold(got, turn.number)
    best = desk.voted(before)
    desk.notes.append(f"{arm}, which was to write the answer, {why}: {best.arm}'s stands")
    return None


def _declines(text: str, finish_reason: str | None = None) -> bool:
    given = Given(finish_reason="content_filter" if finish_reason == "refusal" else finish_reason)
    return _REFUSES.test(text, given).failed
