"""The desk that all kinds of stages work at: who was asked, which answers are held, what checks said of them."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError
from scrimp.profiles.rungs import reading_of
from scrimp.routing.checks.agree import AgreeCheck
from scrimp.routing.checks.base import EMPTY, Verdict
from scrimp.routing.checks.judge import JUDGE_LIMIT, JudgeCheck, judge_prompt
from scrimp.routing.plans.plan import ALL
from scrimp.routing.text.compare import groups, vote

from .protocol import Role, Test, Wanted
from .quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.checks.base import Check
    from scrimp.routing.plans.plan import Stage
    from scrimp.routing.prompts.prompt import Prompt

    from .brief import Brief
    from .protocol import Got

__all__ = ["Came", "Desk", "Held", "Turn", "calls_models", "rank"]

_CALLS: Final = "it calls tools, and is no answer yet"


def calls_models(check: Check) -> bool:
    """Tell whether a check needs calls of its own, which the plan makes and pays."""
    return isinstance(check, (AgreeCheck, JudgeCheck))


@dataclass(slots=True)
class Held:
    """An answer in hand.

    An answer that calls tools is a step on the way to one: what is said beside the calls is no text to be checked.
    Answers that call tools can be compared by what they call.
    """

    seq: int
    arm: str
    text: str
    finish_reason: str | None
    stage: int
    calls: str = ""
    verdicts: list[Verdict] = field(default_factory=list)
    part: bool = False
    """Whether the text is only what a planner's reply has between its marks, or was put together of several replies."""

    reads: str | None = None
    """How much of the request's files it goes by, where that is not what its arm's name says."""

    @property
    def compared(self) -> str:
        """What it is compared with others by."""
        return self.calls or self.text

    @property
    def failed(self) -> list[Verdict]:
        """The verdicts of checks that it failed."""
        return [verdict for verdict in self.verdicts if verdict.failed]


@dataclass(frozen=True, slots=True)
class Turn:
    """A stage whose turn it is.

    Attributes
    ----------
    number
        Its place in the plan, from 1.
    prompt
        What its arms are asked: None is the request's own prompt.
    why
        A line for the user before its first call; None says nothing.
    """

    number: int
    stage: Stage
    prompt: Prompt | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a stage.

    Attributes
    ----------
    best
        The answer that is the stage's; None where there is none.
    stops
        Whether the plan stops with it, as far as the stage itself tells.
    """

    best: Held | None
    stops: bool = True


class Desk:
    """What the stages of one plan share.

    Parameters
    ----------
    brief
        What is known of the request.
    keeps_first
        Whether of several refusals the first is the one to tell: of a plan of one call, whose fallbacks follow.
    """

    def __init__(self, brief: Brief, *, keeps_first: bool = False) -> None:
        self.brief = brief
        self.keeps_first = keeps_first
        self.held: list[Held] = []
        self.asked: list[tuple[str, str | None]] = []
        self.verdicts: dict[int, tuple[Verdict, ...]] = {}
        self.notes: list[str] = []
        self.refusal: ScrimpError | None = None
        self.charged_nano = 0

    @property
    def out_of_money(self) -> bool:
        """Whether a cap stands in the way of all that would follow."""
        return isinstance(self.refusal, BudgetRefusedError)

    # -- asking -----------------------------------------------------------------------------------------------------

    def call(self, wanted: Wanted) -> Generator[Wanted, Any, Got]:
        """Have a call made, whatever it is for."""
        got: Got = yield wanted
        self.charged_nano += got.charged_nano
        if got.refusal is not None:
            self.refusal = self.refusal or got.refusal if self.keeps_first else got.refusal
        return got

    def ask(self, wanted: Wanted) -> Generator[Wanted, Any, Held | None]:
        """Ask for an answer that may stand; it is held. None where there is none."""
        got = yield from self.call(wanted)
        self.asked.append((wanted.arm, got.calls or got.text))
        return None if got.text is None else self.hold(got, wanted.stage)

    def hold(self, got: Got, stage: int, part: str | None = None) -> Held:
        """Hold an answer, or the part of it that answers."""
        text = (got.text or "") if part is None else part
        self.held.append(
            Held(
                got.seq, got.arm, text, got.finish_reason, stage, got.calls, part=part is not None and part != got.text
            )
        )
        return self.held[-1]

    def gather(
        self, turn: Turn, enough: Callable[[Held], Generator[Wanted | Test, Any, bool]] | None = None
    ) -> Generator[Wanted | Test, Any, list[Held]]:
        """Ask the arms of a stage one after the other, until there is no money left, or an answer is enough."""
        held: list[Held] = []
        why = turn.why
        for arm in turn.stage.arms:
            again = any(name == arm for name, _ in self.asked)
            mine = yield from self.ask(Wanted(arm, Role.ASK, turn.number, turn.prompt, vary=again, why=why))
            why = None
            if mine is not None:
                held.append(mine)
                if enough is not None and (yield from enough(mine)):
                    break
            elif self.out_of_money:
                break
        return held

    def keep(self, best: Held) -> None:
        """Hold on to one answer of its stage, and to no other of it."""
        self.held = [each for each in self.held if each.stage != best.stage and each is not best] + [best]

    def shuffled(self, what: str, n: int) -> list[int]:
        """Return the numbers below n in an order that hangs on the request alone, and on what they are shuffled for."""
        seed = hashlib.sha256(f"{what}\0{self.brief.prompt.text}".encode("utf-8", "replace")).digest()
        return random.Random(seed).sample(range(n), n)  # noqa: S311 - an order, no secret

    # -- comparing --------------------------------------------------------------------------------------------------

    def numbered(self, held: Sequence[Held]) -> list[int | None]:
        """Return a group's number for each answer: answers that say the same share one."""
        return groups([each.compared for each in held], embed=self.brief.embed)

    def voted(self, held: Sequence[Held], numbers: Sequence[int | None] | None = None) -> Held:
        """Return the answer that a vote takes, weighted by predicted quality; of empty ones the first."""
        numbers = self.numbered(held) if numbers is None else numbers
        won = vote(numbers, [self.brief.quality(each.arm) for each in held])
        return held[0 if won is None else won]

    # -- checking ---------------------------------------------------------------------------------------------------

    def judged(self, held: Held, *verdicts: Verdict) -> None:
        """Take down what checks say of an answer."""
        held.verdicts.extend(verdicts)
        self.verdicts[held.seq] = tuple(held.verdicts)

    def judged_step(self, seq: int, *verdicts: Verdict) -> None:
        """Take down what is said of a call that is no answer; it replaces what was said before."""
        self.verdicts[seq] = verdicts

    def check(self, held: Held, gate: str | None, *, final: bool) -> Generator[Wanted | Test, Any, None]:
        """Put an answer to the checks: always to those that are free, to those that call models where they decide."""
        done = {verdict.check for verdict in held.verdicts}
        yield from self.test(held)
        for check in self.brief.checks:
            if not isinstance(check, (AgreeCheck, JudgeCheck)) or check.name in done:
                continue
            if held.calls:
                self.judged(held, Verdict(check.name, "abstain", _CALLS))
            elif not held.text.strip():
                self.judged(held, Verdict(check.name, "fail", EMPTY))
            elif final or gate in (ALL, check.name):
                if held.failed and gate != check.name:
                    continue  # it has failed already: nothing more is paid to be surer of that
                yield from self._judge(check, held) if isinstance(check, JudgeCheck) else self._compare(check, held)

    def test(self, held: Held) -> Generator[Test, Any, None]:
        """Put an answer to the checks that call no model, except those it was put to before."""
        done = {verdict.check for verdict in held.verdicts}
        free = tuple(each for each in self.brief.checks if not calls_models(each) and each.name not in done)
        if held.calls:
            self.judged(held, *(Verdict(check.name, "abstain", _CALLS) for check in free))
        elif free:
            verdicts: tuple[Verdict, ...] = yield Test(
                free, held.text, held.finish_reason, held.reads or reading_of(held.arm)
            )
            self.judged(held, *verdicts)

    def _judge(self, check: JudgeCheck, held: Held) -> Generator[Wanted, Any, None]:
        prompt = judge_prompt(self.brief.prompt.shown(), quoted(held.text), check.rubric)
        got = yield from self.call(Wanted(check.arm, Role.JUDGE, held.stage, prompt, JUDGE_LIMIT))
        if got.refusal is not None:
            verdict = check.abstained(f"not asked: {got.refusal.message}")
        else:
            verdict = check.abstained("the judge gave no answer") if got.text is None else check.read(got.text)
        self.judged(held, replace(verdict, cost_nano=got.charged_nano))

    def _compare(self, check: AgreeCheck, held: Held) -> Generator[Wanted | Test, Any, None]:
        """Get the other answers that a check compares with; where most say something else, hold theirs instead."""
        samples: list[Got] = []
        for arm in check.arms or (held.arm,) * (check.n - 1):
            got = yield from self.call(Wanted(arm, Role.SAMPLE, held.stage, vary=True))
            samples.append(got)
            if got.refusal is not None:
                break
        cost = sum(each.charged_nano for each in samples)
        if samples and samples[-1].refusal is not None:
            verdict = check.abstained(f"not asked: {samples[-1].refusal.message}")
            self.judged(held, replace(verdict, cost_nano=cost))
            return
        quality = [self.brief.quality(each) for each in (held.arm, *(each.arm for each in samples))]
        found = check.compare(
            [held.compared, *(each.calls or each.text for each in samples)], quality=quality, embed=self.brief.embed
        )
        if found.taken:
            theirs = samples[found.taken - 1]
            held.seq, held.arm, held.text, held.calls = theirs.seq, theirs.arm, theirs.text or "", theirs.calls
            held.finish_reason, held.part = theirs.finish_reason, False
            held.verdicts.clear()
            yield from self.test(held)
        self.judged(held, replace(found.verdict, cost_nano=cost))


def rank(verdicts: Sequence[Verdict]) -> tuple[int, float]:
    """Return how good verdicts are, to compare answers by: fewest fails, then the highest mean score."""
    fails = sum(verdict.failed for verdict in verdicts)
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return -fails, math.fsum(scores) / len(scores) if scores else 0.5
