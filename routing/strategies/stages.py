"""Plans of stages: ask, check, compare, escalate. One call with its fallbacks is the plan of one stage."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError
from scrimp.routing.checks.agree import AgreeCheck, compare
from scrimp.routing.checks.base import EMPTY, Verdict, worst
from scrimp.routing.checks.judge import JUDGE_LIMIT, JudgeCheck, judge_prompt
from scrimp.routing.plans.plan import ALL
from scrimp.routing.text.compare import groups, vote

from .protocol import Answered, Got, Role, Run, Test, Wanted
from .quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.checks.base import Check
    from scrimp.routing.plans.plan import Plan, Stage
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.text.compare import Embed

__all__ = ["Staged", "calls_models"]

_REPAIR: Final = """\
{prompt}

---
An earlier answer to this was checked and found wanting.

{mark} EARLIER ANSWER
{answer}
{mark} WHAT IS WRONG WITH IT
{evidence}
{mark} END

Answer the prompt anew, and set right what is wrong. Reply with the answer alone."""


_CALLS: Final = "it calls tools, and is no answer yet"


def calls_models(check: Check) -> bool:
    """Tell whether a check needs calls of its own, which the plan makes and pays."""
    return isinstance(check, (AgreeCheck, JudgeCheck))


@dataclass(slots=True)
class _Held:
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

    @property
    def compared(self) -> str:
        return self.calls or self.text

    @property
    def failed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.failed]


class Staged:
    """A plan of stages.

    Parameters
    ----------
    plan
        What to ask, and what lets it stop.
    prompt
        The request's.
    checks
        What every answer has to pass.
    quality
        Each arm's predicted quality, in [0, 1]: votes weigh by it.
    fallbacks
        For a plan of one call: the arms to ask when it fails, best first.
    embed
        Embeds prose, to compare answers; None leaves prose uncompared.
    """

    def __init__(
        self,
        plan: Plan,
        prompt: Prompt,
        checks: Sequence[Check],
        quality: Mapping[str, float],
        *,
        fallbacks: Sequence[str] = (),
        embed: Embed | None = None,
    ) -> None:
        self.plan = plan
        self.prompt = prompt
        self.checks = tuple(checks)
        self.quality = quality
        self.fallbacks = tuple(fallbacks)
        self.embed = embed
        self._held: list[_Held] = []
        self._asked: list[tuple[str, str | None]] = []
        self._verdicts: dict[int, tuple[Verdict, ...]] = {}
        self._notes: list[str] = []
        self._refusal: ScrimpError | None = None

    def run(self) -> Run:
        """Begin."""
        if self.plan.single:
            yield from self._single()
        else:
            for number, stage in enumerate(self.plan.stages, start=1):
                if (yield from self._stage(number, stage)):
                    break
        if not self._held:
            return Answered(None, self._verdicts, tuple(self._notes), self._refusal)
        # The plan's own last answer stands, unless it failed its checks where an earlier one did better.
        best = max(self._held, key=lambda each: (*_rank(each.verdicts), each.stage))
        early = None if self.plan.single else self._refusal
        return Answered(best.seq, self._verdicts, tuple(self._notes), early)

    # -- asking -----------------------------------------------------------------------------------------------------

    def _call(self, wanted: Wanted) -> Generator[Wanted, Any, Got]:
        got: Got = yield wanted
        if got.refusal is not None:
            self._refusal = got.refusal if not self.plan.single else self._refusal or got.refusal
        return got

    def _ask(self, wanted: Wanted) -> Generator[Wanted, Any, _Held | None]:
        """Ask for an answer that may stand; it is held. None where there is none."""
        got = yield from self._call(wanted)
        self._asked.append((wanted.arm, got.calls or got.text))
        if got.text is None:
            return None
        self._held.append(_Held(got.seq, got.arm, got.text, got.finish_reason, wanted.stage, got.calls))
        return self._held[-1]

    def _single(self) -> Generator[Wanted | Test, Any, None]:
        """Ask one arm, and the next ones where it fails."""
        (arm,) = self.plan.arms
        for nth, each in enumerate((arm, *self.fallbacks)):
            why = f"falling back to {each}" if nth else None
            got = yield from self._call(Wanted(each, streams=True, fallback=nth > 0, why=why))
            if got.text is not None:
                self._held.append(_Held(got.seq, got.arm, got.text, got.finish_reason, 1, got.calls))
                yield from self._check(self._held[-1], None, final=True)
            if got.text is not None or got.final:
                return

    def _stage(self, number: int, stage: Stage) -> Generator[Wanted | Test, Any, bool]:
        """Run one stage; return True when the plan stops there."""
        held: list[_Held] = []
        why = self._why_escalate(stage) if number > 1 else None
        prompt = self._repaired() if self.plan.repair and number > 1 else None
        for arm in stage.arms:
            again = any(name == arm for name, _ in self._asked)
            mine = yield from self._ask(Wanted(arm, Role.ASK, number, prompt, vary=again, why=why))
            why = None
            if mine is not None:
                held.append(mine)
                if stage.how == "best":
                    yield from self._check(mine, ALL, final=False)
                    if not mine.failed and not any(_graded(each) for each in mine.verdicts):
                        break  # the best there can be
            elif self._out_of_money:
                break
        if not held:
            return self._out_of_money
        last = number == len(self.plan.stages)
        best, stops = self._weigh(stage, held)
        for each in held:
            self._held.remove(each)
        self._held.append(best)
        yield from self._check(best, stage.gate, final=last or stops)
        if not last and stage.quorum is not None:
            stops = stops and worst(best.verdicts) != "fail"
        elif not last and stage.gate is not None:
            at_gate = [each for each in best.verdicts if stage.gate in (ALL, each.check)]
            stops = worst(at_gate) != "fail"
            if stops:
                yield from self._check(best, ALL, final=True)
        return stops or self._out_of_money

    @property
    def _out_of_money(self) -> bool:
        return isinstance(self._refusal, BudgetRefusedError)

    def _why_escalate(self, stage: Stage) -> str:
        last = self._held[-1] if self._held else None
        if last is None:
            why = "there is no answer yet"
        else:
            why = f"{last.arm}'s answer failed: {last.failed[0].evidence}" if last.failed else "no two answers agree"
        return f"escalating to {' and '.join(stage.arms)}; {why}"

    def _weigh(self, stage: Stage, held: list[_Held]) -> tuple[_Held, bool]:
        """Return which of a stage's answers is its own, and whether comparing them stops the plan."""
        if stage.how == "best":
            return max(held, key=lambda each: (_rank(each.verdicts), -held.index(each))), True
        quality = [self.quality[each.arm] for each in held]
        if stage.how == "vote":
            numbers = groups([each.compared for each in held], embed=self.embed)
            won = vote(numbers, quality)
            said = ", ".join(f"{each.arm}: {number}" for each, number in zip(held, numbers, strict=True))
            self._notes.append(f"a vote of {said}")
            return held[won if won is not None else 0], True
        if stage.quorum is None:
            return held[0], stage.gate is None
        texts: list[str | None] = [each.compared for each in held] + [None] * (len(stage.arms) - len(held))
        if len(stage.arms) == 1:  # compared with all that were given before it
            texts += [text for _, text in self._asked[:-1]]
        quality += [0.0] * (len(texts) - len(held))
        found = compare(texts, stage.quorum, quality=quality, embed=self.embed)
        for each, verdict in zip(held, found.verdicts, strict=False):
            self._judged(each, verdict)
        best = held[found.best if found.best < len(held) else 0]
        return best, not best.verdicts[-1].failed

    def _repaired(self) -> Prompt | None:
        """Return the prompt with the failed answer and what is wrong with it; None where there is none."""
        if not self._held:
            return None
        last = self._held[-1]
        wrong = "\n".join(f"- {verdict.evidence}" for verdict in last.failed) or "- others disagree"
        answer, mark = quoted(last.text), "====="
        while mark in answer:
            mark += "="
        text = _REPAIR.format(prompt=self.prompt.text, answer=answer, evidence=wrong[:2_000], mark=mark)
        return self.prompt.saying(text)

    # -- checking ---------------------------------------------------------------------------------------------------

    def _judged(self, held: _Held, *verdicts: Verdict) -> None:
        held.verdicts.extend(verdicts)
        self._verdicts[held.seq] = tuple(held.verdicts)

    def _check(self, held: _Held, gate: str | None, *, final: bool) -> Generator[Wanted | Test, Any, None]:
        """Put an answer to the checks: always to those that are free, to those that call models where they decide."""
        done = {verdict.check for verdict in held.verdicts}
        yield from self._test(held, [check for check in self.checks if check.name not in done])
        for check in self.checks:
            if not isinstance(check, (AgreeCheck, JudgeCheck)) or check.name in done:
                continue
            if held.calls:
                self._judged(held, Verdict(check.name, "abstain", _CALLS))
            elif not held.text.strip():
                self._judged(held, Verdict(check.name, "fail", EMPTY))
            elif final or gate in (ALL, check.name):
                if held.failed and gate != check.name:
                    continue  # it has failed already: nothing more is paid to be surer of that
                yield from self._judge(check, held) if isinstance(check, JudgeCheck) else self._compare(check, held)

    def _test(self, held: _Held, checks: Sequence[Check]) -> Generator[Test, Any, None]:
        free = tuple(check for check in checks if not calls_models(check))
        if held.calls:
            self._judged(held, *(Verdict(check.name, "abstain", _CALLS) for check in free))
        elif free:
            verdicts: tuple[Verdict, ...] = yield Test(free, held.text, held.finish_reason)
            self._judged(held, *verdicts)

    def _judge(self, check: JudgeCheck, held: _Held) -> Generator[Wanted, Any, None]:
        prompt = judge_prompt(self.prompt.text, quoted(held.text), check.rubric)
        got = yield from self._call(Wanted(check.arm, Role.JUDGE, held.stage, prompt, JUDGE_LIMIT))
        if got.refusal is not None:
            verdict = check.abstained(f"not asked: {got.refusal.message}")
        else:
            verdict = check.abstained("the judge gave no answer") if got.text is None else check.read(got.text)
        self._judged(held, replace(verdict, cost_nano=got.charged_nano))

    def _compare(self, check: AgreeCheck, held: _Held) -> Generator[Wanted | Test, Any, None]:
        """Get the other answers that a check compares with; where most say something else, hold theirs instead."""
        samples: list[Got] = []
        for arm in check.arms or (held.arm,) * (check.n - 1):
            got = yield from self._call(Wanted(arm, Role.SAMPLE, held.stage, vary=True))
            samples.append(got)
            if got.refusal is not None:
                break
        cost = sum(each.charged_nano for each in samples)
        if samples and samples[-1].refusal is not None:
            verdict = check.abstained(f"not asked: {samples[-1].refusal.message}")
            self._judged(held, replace(verdict, cost_nano=cost))
            return
        quality = [self.quality[each] for each in (held.arm, *(each.arm for each in samples))]
        found = check.compare(
            [held.compared, *(each.calls or each.text for each in samples)], quality=quality, embed=self.embed
        )
        if found.taken:
            theirs = samples[found.taken - 1]
            held.seq, held.arm, held.text, held.calls = theirs.seq, theirs.arm, theirs.text or "", theirs.calls
            held.finish_reason = theirs.finish_reason
            held.verdicts.clear()
            yield from self._test(held, self.checks)
        self._judged(held, replace(found.verdict, cost_nano=cost))


def _graded(verdict: Verdict) -> bool:
    return verdict.score is not None and verdict.score < 1.0


def _rank(verdicts: Sequence[Verdict]) -> tuple[int, float]:
    """Return how good verdicts are, to compare answers by: fewest fails, then the highest mean score."""
    fails = sum(verdict.failed for verdict in verdicts)
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return -fails, math.fsum(scores) / len(scores) if scores else 0.5
