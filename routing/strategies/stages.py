"""Plans of stages: ask, check, compare, escalate. One call with its fallbacks is the plan of one stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.checks.base import worst
from scrimp.routing.plans.plan import ALL

from .desk import Desk, Turn, rank
from .kinds import KINDS, without_tools
from .protocol import Answered, Wanted
from .quoting import anew

if TYPE_CHECKING:
    from collections.abc import Generator

    from scrimp.routing.plans.plan import Plan, Stage
    from scrimp.routing.prompts.prompt import Prompt

    from .brief import Brief
    from .protocol import Run, Test

__all__ = ["Staged"]


class Staged:
    """A plan of stages.

    Parameters
    ----------
    plan
        What to ask, and what lets it stop.
    brief
        What is known of the request.
    """

    def __init__(self, plan: Plan, brief: Brief) -> None:
        self.plan = plan
        self.brief = brief
        self.desk = Desk(brief, keeps_first=plan.single)

    def run(self) -> Run:
        """Begin."""
        desk = self.desk
        if self.plan.single:
            yield from self._single()
        else:
            for number, stage in enumerate(self.plan.stages, start=1):
                if (yield from self._stage(number, stage)):
                    break
        notes = tuple(desk.notes)
        if not desk.held:
            return Answered(None, desk.verdicts, notes, desk.refusal)
        # The plan's own last answer stands, unless it failed its checks where an earlier one did better.
        best = max(desk.held, key=lambda each: (*rank(each.verdicts), each.stage))
        early = None if self.plan.single else desk.refusal
        return Answered(best.seq, desk.verdicts, notes, early, best.text if best.part else None)

    def _single(self) -> Generator[Wanted | Test, Any, None]:
        """Ask one arm, and the next ones where it fails."""
        (arm,) = self.plan.arms
        for nth, each in enumerate((arm, *self.brief.fallbacks)):
            why = f"falling back to {each}" if nth else None
            got = yield from self.desk.call(Wanted(each, streams=True, fallback=nth > 0, why=why))
            if got.text is not None:
                yield from self.desk.check(self.desk.hold(got, 1), None, final=True)
            if got.text is not None or got.final:
                return

    def _stage(self, number: int, stage: Stage) -> Generator[Wanted | Test, Any, bool]:
        """Run one stage; return True when the plan stops there."""
        desk = self.desk
        stage = without_tools(desk, stage)
        why = self._why_escalate(stage) if number > 1 else None
        prompt = self._repaired() if self.plan.repair and number > 1 else None
        came = yield from KINDS[stage.how](desk, Turn(number, stage, prompt, why))
        best, stops = came.best, came.stops
        if best is None:
            return desk.out_of_money
        desk.keep(best)
        last = number == len(self.plan.stages)
        yield from desk.check(best, stage.gate, final=last or stops)
        if not last and stage.quorum is not None:
            stops = stops and worst(best.verdicts) != "fail"
        elif not last and stage.gate is not None:
            at_gate = [each for each in best.verdicts if stage.gate in (ALL, each.check)]
            stops = worst(at_gate) != "fail"
            if stops:
                yield from desk.check(best, ALL, final=True)
        return stops or desk.out_of_money

    def _why_escalate(self, stage: Stage) -> str:
        last = self.desk.held[-1] if self.desk.held else None
        if last is None:
            why = "there is no answer yet"
        else:
            why = f"{last.arm}'s answer failed: {last.failed[0].evidence}" if last.failed else "no two answers agree"
        return f"escalating to {' and '.join(dict.fromkeys((*stage.arms, *stage.by)))}; {why}"

    def _repaired(self) -> Prompt | None:
        """Return the prompt with the failed answer and what is wrong with it; None where there is none."""
        if not self.desk.held:
            return None
        last = self.desk.held[-1]
        wrong = [verdict.evidence for verdict in last.failed] or ["others disagree"]
        return self.brief.prompt.saying(anew(self.brief.prompt, last.text, wrong))
