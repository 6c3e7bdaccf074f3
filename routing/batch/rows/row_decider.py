"""Decisions of a window of rows: an arm by the file's plan, and a plan for each row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.routing.asking.asked import Asked
from scrimp.routing.asking.guarding import refused_by_guard
from scrimp.routing.asking.named_plans import checks_of
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.asking.request import Ask
from scrimp.routing.batch.planning.plan import options_of, planned
from scrimp.routing.batch.planning.row_plans import RowWays
from scrimp.routing.deciding.policy import NoDraw

from .jobs import Job

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from scrimp.routing.asking.hinting import Drawn
    from scrimp.routing.asking.plan_choice import PlanChooser
    from scrimp.routing.asking.request import Way
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.optimise import Rule
    from scrimp.routing.prompts.prompt import Prompt

    from .desk import Desk

__all__ = ["RowDecider", "in_turn", "is_left_out"]

_ALIKE: Final = 256
"""Characters at the beginning by which prompts are told alike."""


class RowDecider:
    """Makes jobs of rows.

    Parameters
    ----------
    desk
        What the rows share.
    plans
        Chooses the rows' plans.
    """

    def __init__(self, desk: Desk, plans: PlanChooser, rng: random.Random) -> None:
        self.desk = desk
        self.rng = rng
        self._ways = RowWays(plans, desk.decider.profile)

    def way_of(self, row: Row) -> Way:
        """Return the checks of a row, and whether a plan of several calls may be chosen for it."""
        return self._ways.of(row).way

    def ask(self, row: Row, prompt: Prompt, hint: Drawn | None = None) -> Ask:
        """Return a row as a request."""
        return Ask(
            prompt,
            self.desk.chooser.wishes_of(row, self.desk.settings.wishes),
            vault=row.vault,
            command="batch",
            tag=self.desk.settings.tag,
            keep=self.desk.settings.keep,
            run_id=self.desk.run.id,
            params=row.params,
            response_format=row.response_format,
            output_limit=row.max_output_tokens,
            hint=hint,
            reading=self.desk.settings.reading,
            read_tokens=self.desk.settings.read_tokens,
        )

    def decide(self, rows: Sequence[Row], money: Money, rule: Rule | None) -> list[Job]:
        """Decide a window (in a thread): predictions, what the file's plan says, and for each row its own plan.

        Parameters
        ----------
        rule
            The file's plan; None: it says nothing.
        """
        blocked = {name: lane.blocked.message for name, lane in self.desk.lanes.items() if lane.blocked is not None}
        decided = self.desk.chooser.decide(
            rows,
            self.desk.settings.wishes,
            replace(money, blocked=money.blocked | blocked),
            rng=self.rng,
            now=self.desk.clock(),
        )
        decisions = [each.decision for each in decided]
        if rule is not None:
            # A row that brings its own plan is decided by itself; one that brings its arm may still have to wait.
            free = [i for i, row in enumerate(rows) if row.plan is None]
            chosen = self.desk.planner.choose(rule, options_of([decisions[i] for i in free], self.desk.planner.arms))
            for i, j in zip(free, chosen.tolist(), strict=True):
                if j < 0 or rows[i].arm is None:
                    decisions[i] = planned(decisions[i], None if j < 0 else self.desk.planner.arms[j])
        jobs = []
        for row, each, decision in zip(rows, decided, decisions, strict=True):
            ask = self.ask(each.row, each.prompt, each.hint)
            refusal: ScrimpError | None = refused_by_guard(decision)
            plans, asked = self._ways.of(row), None
            way = plans.way
            try:
                decision, plan = plans.choose(ask, decision, money.rooms, spelled=row.plan)  # noqa: PLW2901
                checks = checks_of(way, decision, self.desk.decider.profile)
                asked = Asked(ask, decision, each.context, plan, checks, records_steps=way.records_steps(decision))
            except ScrimpError as error:
                refusal = error
            if refusal is None and decision.arm is None and decision.choice.no_draw is not NoDraw.FILE_PLAN:
                desk = self.desk
                refusal = why_none(
                    decision,
                    row.arm or desk.settings.wishes.arm,
                    desk.chooser.keyless,
                    profile=desk.decider.profile.name,
                    what="this row",
                    lead="not sent: ",
                    rooms=money.rooms,
                )
            jobs.append(Job(row, decision, asked, refusal=refusal))
        return jobs

    def ranked(self, job: Job) -> Job:
        """Return a job with what lets it go before others."""
        flow = self.desk.flow
        seconds = None if job.decision.arm is None else job.option.seconds
        job.rank, job.due = flow.rank_of(job.row, seconds), flow.due_of(job.row)
        if job.due is not None and seconds is not None and (late := self.desk.clock() + seconds - job.due) > 0.0:
            self.desk.say_once(
                f"row {job.row.n + 1} will likely be {late:,.0f} s late: an answer takes about {seconds:,.0f} s",
                kind="late",
            )
        return job


def in_turn(jobs: list[Job]) -> None:
    """Put jobs in the order in which they begin: those that start alike one after another, for prompt caches."""
    jobs.sort(
        key=lambda job: (
            job.rank.key(), job.row.prompt.told or "", job.row.digests, job.row.prompt.text[:_ALIKE]
        )
    )  # fmt: skip


def is_left_out(job: Job) -> bool:
    """Tell whether the budget does not seem to reach a row."""
    return job.decision.arm is None and job.decision.choice.no_draw is NoDraw.FILE_PLAN
