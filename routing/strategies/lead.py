"""Leading: a planner asks other arms questions of its own, one at a time, and answers; the protocol of Router-R1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import format_usd
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.plans.spends import QUESTIONS
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.text.fence import fenced

from .desk import Came
from .led import Asks, Says, read_lead
from .protocol import Role, Wanted
from .quoting import DATA, formless, quoted

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from .desk import Desk, Held, Turn
    from .protocol import Got, Test

__all__ = ["leading"]

_LEAD: Final = """\
{prompt}

---
You lead the work on this, and may ask others. Each sees nothing but the question that you put to it, so say in it all \
that is needed.

{menu}

Left to spend: {left}. Questions left: {questions} of {n}.

To ask one of them, reply with nothing but
<ask arm="{example}">the question</ask>
To end, reply with nothing but
<answer>your answer to the prompt</answer>
Ask only for what you do not know or cannot work out well yourself.{found}{remark}"""

_END: Final = """\
{prompt}

---
You lead the work on this, and nobody can be asked any more.{found}

Reply with your answer to the prompt now, and with nothing else."""

_FOUND: Final = """

What was asked so far, and what came of it, stands between lines of a marker; {data}. It may be wrong.

{parts}"""

_QUESTION_BYTES: Final = 600
"""How much of a question the planner is reminded of."""

_ABOUT_BYTES: Final = 240


def leading(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Have the arm of `by` lead the others of the stage; it answers after `QUESTIONS` questions at the latest."""
    led = _Led(desk, turn)
    held = yield from led.run()
    return Came(held, turn.stage.gate is None)


class _Led:
    def __init__(self, desk: Desk, turn: Turn) -> None:
        self.desk = desk
        self.turn = turn
        self.prompt = turn.prompt or desk.brief.prompt
        (self.planner,) = turn.stage.by
        # A planner knows them by their arms' names: how much of the request's files each reads is not its choice.
        self.names = {bare_of(arm): arm for arm in turn.stage.arms if bare_of(arm) != bare_of(self.planner)}
        self.workers = tuple(self.names)
        self.found: list[tuple[str, str]] = []
        self.replies: list[Got] = []
        self.n_asked = 0
        self.told: str | None = None
        self.over = not self.workers

    def run(self) -> Generator[Wanted, Any, Held | None]:
        desk, why, was_told, n_rounds = self.desk, self.turn.why, False, 0
        while True:
            n_rounds += 1
            last = self.over or n_rounds > QUESTIONS
            formed = desk.brief.prompt.forms != () and last
            asked = self.prompt.saying(self._text(last=last))
            wanted = Wanted(self.planner, Role.LEAD, self.turn.number, asked if formed else formless(asked), why=why)
            why, self.told = None, None
            got = yield from desk.call(wanted)
            if got.text is None:
                return self._left(got)
            said: Asks | Says | None = Says(got.text) if got.calls else read_lead(got.text, self.workers, last=last)
            if isinstance(said, Says):
                if last or not desk.brief.prompt.forms:
                    return desk.hold(got, self.turn.number, said.text)
                self.over = True  # it is asked once more, in the form that the answer has to have
            elif said is None:
                if last:
                    return self._left(got)
                self.over = True
            elif said.arm is None or not said.question:
                # Told once what is wrong with a question; a second one ends the asking.
                self.over, was_told = was_told, True
                self.told = said.problem(self.workers)
            else:
                yield from self._work(said.arm, said.question)

    def _work(self, arm: str, question: str) -> Generator[Wanted, Any, None]:
        self.n_asked += 1
        # The question goes to it, and neither history nor attachments, whose part in it the planner has read; of files
        # what the reading sends that it is named with in the plan, as found for the request's question.
        name, asked = self.names[arm], Prompt(quoted(question))
        if reading_of(name) not in (None, "none"):
            asked = replace(asked, sources=self.prompt.sources, readings=self.prompt.readings)
        wanted = Wanted(name, Role.WORK, self.turn.number, asked, why=f"{self.planner} asks {arm}")
        got = yield from self.desk.call(wanted)
        text = "(no answer came)" if got.text is None else quoted(got.text)
        self.found.append((f"QUESTION {self.n_asked} TO {arm}", quoted(question, _QUESTION_BYTES)))
        self.found.append((f"REPLY {self.n_asked} OF {arm}", text))
        if got.text is not None and not got.calls:
            self.replies.append(got)
        self.over = self.desk.out_of_money

    def _left(self, got: Got) -> Held | None:
        """Return what there is where the planner gives no answer: what the last one that it asked has said."""
        why = "was not asked" if got.refusal is not None else "gave no answer"
        if not self.replies:
            self.desk.notes.append(f"{self.planner}, which led, {why}")
            return None
        last = self.replies[-1]
        self.desk.notes.append(
            f"{self.planner}, which led, {why}: what stands is {last.arm}'s reply to a question of its own"
        )
        return self.desk.hold(last, self.turn.number)

    def _text(self, *, last: bool) -> str:
        desk, prompt = self.desk, self.prompt.text
        found = ""
        if self.found:
            found = _FOUND.format(data=DATA, parts=fenced(self.found, *self.prompt.around))
        if last:
            return _END.format(prompt=prompt, found=found)
        limit = desk.brief.left_nano
        return _LEAD.format(
            prompt=prompt,
            menu=_menu(desk, self.names),
            left="no limit is set" if limit is None else format_usd(max(0, limit - desk.charged_nano)),
            questions=QUESTIONS - self.n_asked,
            n=QUESTIONS,
            example=self.workers[0],
            found=found,
            remark="" if self.told is None else f"\n\n{self.told}",
        )


def _menu(desk: Desk, workers: Mapping[str, str]) -> str:
    """Return a line an arm: its name, what it is for, what a call is expected to cost, and its predicted quality."""
    lines = []
    for arm, name in workers.items():
        card = desk.brief.arms[name]
        cost = "cost not known" if card.cost_nano is None else f"about {format_usd(card.cost_nano)} a question"
        about = "" if card.about is None else f": {quoted(' '.join(card.about.split()), _ABOUT_BYTES)}"
        lines.append(f"- {arm}{about} ({cost}; predicted quality {card.quality:.0%})")
    return "\n".join(lines)
