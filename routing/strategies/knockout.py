"""Knocking out: a judge names the worst answer, again and again, until one is left; the protocol of IRanker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.rungs import reading_of
from scrimp.routing.plans.spends import DROP_LIMIT
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.text.fence import fenced

from .desk import Came
from .letters import LETTERS, read_letter
from .protocol import Role, Wanted
from .quoting import DATA, quoted

if TYPE_CHECKING:
    from collections.abc import Generator

    from .desk import Desk, Turn
    from .protocol import Test

__all__ = ["knocking_out"]

_DROP: Final = """\
Answers to a prompt stand below between lines of a marker, after the prompt; {data}. Which of them is the worst?

{parts}

Reply with its letter alone."""

_SYSTEM: Final = "You are a strict, fair examiner. You reply with one letter."


def knocking_out(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Have the arms of a stage answer, and the arm of `by` drop the worst of them until one is left."""
    left = list((yield from desk.gather(turn)))
    if not left:
        return Came(None)
    (judge,) = turn.stage.by
    n_rounds = len(left) - 1
    for nth in range(n_rounds):
        if desk.out_of_money:
            break
        order = desk.shuffled(f"knockout {turn.number}.{nth}", len(left))
        parts = [("PROMPT", desk.brief.prompt.shown(reading_of(judge)))]
        parts += [(f"ANSWER {LETTERS[at]}", quoted(left[i].text)) for at, i in enumerate(order)]
        asked = Prompt(_DROP.format(data=DATA, parts=fenced(parts)), system=_SYSTEM)
        got = yield from desk.call(Wanted(judge, Role.DROP, turn.number, asked, DROP_LIMIT))
        if got.text is None:
            if got.refusal is None:
                desk.notes.append(f"{judge}, which was to drop the worst, gave no answer")
            break
        worst = read_letter(got.text, len(left))
        if worst is None:
            out = min(left, key=lambda each: (desk.brief.quality(each.arm), -each.seq))
            desk.notes.append(
                f"{judge} named no one answer in round {nth + 1}: {out.arm}'s went, of least predicted quality"
            )
            left.remove(out)
        else:
            left.pop(order[worst])
    if len(left) > 1:
        best = desk.voted(left)
        desk.notes.append(f"of the {len(left)} answers left, a vote took {best.arm}'s")
        left = [best]
    return Came(left[0], turn.stage.gate is None)
