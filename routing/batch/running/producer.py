"""Rows from the file to their beginning: read, decided and planned a window at a time, at most one window ahead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.routing.asking.asked import Asked
from scrimp.routing.asking.guarding import refused_by_guard
from scrimp.routing.asking.named_plans import checks_of
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.asking.request import Ask
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.planning.money import money_left
from scrimp.routing.batch.planning.plan import options_of, planned
from scrimp.routing.deciding.policy import NoDraw
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.hints import no_draw, of_request
from scrimp.routing.strategies.bid_memory import PastBids, recalled

from .jobs import Job

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from scrimp.routing.asking.hinting import Drawn
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.state.recovery import Recovered, TakenUp
    from scrimp.routing.batch.state.scribe import Span
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.strategies.brief import Memory

    from .desk import Desk

__all__ = ["Producer"]

WINDOW: Final = 256
"""Rows that are planned together at most; at most two windows are in memory."""

_LEAST_WINDOW: Final = 32
_TURNS: Final = 6
_MOST_LATER: Final = 10_000


class Producer:
    """Reads, decides and begins the rows of a run.

    Parameters
    ----------
    desk
        What the rows share.
    rows
        Returns the rows that can be asked, in order, as a stream.
    n_left
        How many of them have no result.
    recovered
        What was found of a run that was killed.
    begin
        Takes a row that is to be asked, or written off.
    unread
        Takes a row whose files cannot be read.
    """

    def __init__(
        self,
        desk: Desk,
        rows: Callable[[], Iterator[Row]],
        n_left: int,
        *,
        recovered: Recovered | None,
        rng: random.Random,
        begin: Callable[[Job], Awaitable[None]],
        unread: Callable[[Row], Awaitable[None]],
    ) -> None:
        self.desk = desk
        self.rows = rows
        self.n_left = n_left
        self.rng = rng
        self.begin = begin
        self.unread = unread
        self._plans = PlanChooser(desk.decider, desk.settings.way, desk.ledger)
        self._taken_up = {} if recovered is None else dict(recovered.taken_up)
        self._n_planned = 0
        self._n_later = 0
        self._later: list[int] = []
        self._among: frozenset[int] | None = None

    async def produce(self) -> None:
        """Go through the file; rows that the budget did not seem to reach have another turn, when costs are known."""
        n_sent = 1
        for turn in range(1, _TURNS + 1):
            last = turn == _TURNS or n_sent == 0
            self._later.clear()
            self._n_later = 0
            before = self._n_planned
            await self._go_through(last=last)
            n_sent = self._n_planned - before
            await self._while(lambda: self.desk.pending > 0)
            if self._n_later == 0 or self.desk.halted:
                return
            self.n_left = self._n_later
            self._among = frozenset(self._later) if len(self._later) == self._n_later else None

    async def _while(self, holds: Callable[[], bool]) -> None:
        """Wait while something holds, and the run goes on."""
        self.desk.producing = False
        while holds() and not self.desk.halted:
            await self.desk.change()
        self.desk.producing = True

    async def _go_through(self, *, last: bool) -> None:
        """Read, decide and begin the rows, a window at a time; stay at most one window ahead."""
        rows = self.rows()
        # Small, so that true costs soon count; large enough that no arm runs dry while the next one is planned.
        widest = max(lane.most for lane in self.desk.lanes.values())
        size = min(WINDOW, max(_LEAST_WINDOW, self.desk.stats.n_rows // 20, 2 * widest))
        while not self.desk.halted:
            window = await asyncio.to_thread(self.desk.chooser.read, rows, size)
            if not window:
                return
            states = await self.desk.scribe.submit(partial(self._states, window[0].n, window[-1].n))
            for row in window:
                if states.get(row.n) == "unknown":
                    await self._write_unknown(row)
            for row in window:
                if (again := self._taken_up.pop(row.n, None)) is not None:
                    prompt, memory = await self.desk.scribe.submit(partial(self._as_before, row, again))
                    prompt = await asyncio.to_thread(self.desk.chooser.as_read, row, prompt)
                    known = await asyncio.to_thread(self.desk.chooser.again, row, self.desk.settings.wishes)
                    ask = self._ask(known, prompt)
                    job = Job.again(row, again, ask, self.desk.settings.way, self.desk.decider.profile, memory)
                    await self._begin([job], last=last)
            fresh = [row for row in window if row.n not in states]
            for row in fresh:
                if row.unread is not None and not self.desk.halted:
                    self.n_left -= 1
                    await self.unread(row)
            fresh = [row for row in fresh if row.unread is None]
            if fresh:
                money = await self.desk.scribe.submit(self._money)
                jobs = await asyncio.to_thread(self._decide, fresh, money)
                if any(job.bids for job in jobs):
                    jobs = await self.desk.scribe.submit(partial(self._remembering, jobs))
                await self._begin(jobs, last=last)
            await self._while(lambda: self.desk.busy > size)

    def _states(self, first: int, last: int, _span: Span | None = None) -> dict[int, str]:
        return batches.states(self.desk.ledger, self.desk.run.id, first, last)

    def _money(self, _span: Span | None = None) -> Money:
        """Look up what the caps leave the run."""
        return money_left(
            self.desk.ledger,
            self.desk.decider.profile,
            run_id=self.desk.run.id,
            max_cost_nano=self.desk.settings.max_cost_nano,
            committed_usd=self.desk.committed_usd,
            now=self.desk.clock(),
        )

    def _remembering(self, jobs: Sequence[Job], _span: Span | None = None) -> list[Job]:
        """Return jobs with what the log knows of bids, where their plans have some."""
        past = PastBids(self.desk.ledger, self.desk.decider.profile.name)
        return [job.remembering(past, self.desk.ledger) if job.bids else job for job in jobs]

    def _as_before(self, row: Row, again: TakenUp, _span: Span | None = None) -> tuple[Prompt, Memory]:
        """Return a row's prompt as a killed process asked it, and what its plan was told of bids.

        Where its hint is not there any more, it was no draw.
        """
        hinter, ledger = self.desk.chooser.hinter, self.desk.ledger
        memory = recalled(ledger, again.decision)
        known = None if hinter is None else of_request(ledger, again.decision.id)
        if hinter is None or known is None:
            return row.prompt, memory
        prompt = hinter.again(row.prompt, known)
        if prompt is None:
            no_draw(ledger, again.decision.id)
        return prompt or row.prompt, memory

    def _ask(self, row: Row, prompt: Prompt, hint: Drawn | None = None) -> Ask:
        return Ask(
            prompt,
            replace(self.desk.settings.wishes, guarded=row.guarded),
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

    def _decide(self, rows: Sequence[Row], money: Money) -> list[Job]:
        """Decide a window (in a thread): predictions, the file's plan, and for each row its own plan."""
        blocked = {name: lane.blocked.message for name, lane in self.desk.lanes.items() if lane.blocked is not None}
        decided = self.desk.chooser.decide(
            rows,
            self.desk.settings.wishes,
            replace(money, blocked=money.blocked | blocked),
            rng=self.rng,
            now=self.desk.clock(),
        )
        decisions = [each.decision for each in decided]
        several = self.desk.settings.way.several or any(row.plan for row in rows)
        rule = None
        if not several:
            rule = self.desk.planner.solve(
                after=rows[0].n,
                n_left=self.n_left,
                budget_usd=money.budget_usd,
                among=self._among,
                variance=max(0.0, self.desk.variance),
            )
        if rule is not None:
            chosen = self.desk.planner.choose(rule, options_of(decisions, self.desk.planner.arms))
            decisions = [
                planned(decision, None if j < 0 else self.desk.planner.arms[j])
                for decision, j in zip(decisions, chosen.tolist(), strict=True)
            ]
        jobs = []
        for row, each, decision in zip(rows, decided, decisions, strict=True):
            ask = self._ask(each.row, each.prompt, each.hint)
            refusal: ScrimpError | None = refused_by_guard(decision)
            way, asked = self.desk.settings.way, None
            try:
                decision, plan = self._plans.choose(ask, decision, money.rooms, spelled=row.plan)  # noqa: PLW2901
                checks = checks_of(way, decision, self.desk.decider.profile)
                asked = Asked(ask, decision, each.context, plan, checks, records_steps=way.records_steps(decision))
            except ScrimpError as error:
                refusal = error
            if refusal is None and decision.arm is None and decision.choice.no_draw is not NoDraw.FILE_PLAN:
                desk = self.desk
                refusal = why_none(
                    decision,
                    desk.settings.wishes.arm,
                    desk.chooser.keyless,
                    profile=desk.decider.profile.name,
                    what="this row",
                    lead="not sent: ",
                    rooms=money.rooms,
                )
            jobs.append(Job(row, decision, asked, refusal=refusal))
        return jobs

    async def _begin(self, jobs: list[Job], *, last: bool) -> None:
        """Begin rows: those that start alike, or are about the same files, one after another, for prompt caches."""
        self.n_left -= len(jobs)
        self._n_planned += sum(job.decision.arm is not None for job in jobs)
        jobs.sort(key=lambda job: (job.row.prompt.told or "", job.row.digests, job.row.prompt.text[:256]))
        for job in jobs:
            if job.decision.arm is None and not last and job.decision.choice.no_draw is NoDraw.FILE_PLAN:
                self._n_later += 1
                if len(self._later) < _MOST_LATER:
                    self._later.append(job.row.n)
                continue
            self.desk.pending += 1
            await self.begin(job)

    async def _write_unknown(self, row: Row) -> None:
        """Write down a row that was in flight when the run was killed, now that its id is at hand."""
        found = await self.desk.scribe.submit(
            lambda _span: batches.row_state(self.desk.ledger, self.desk.run.id, row.n)
        )
        result = Result(
            row.n,
            row.id,
            "unknown",
            found["request_id"],
            arm=found["arm"],
            error="in flight when the run was killed: it may have been billed (--retry-unknown asks again)",
            at=int(self.desk.clock()),
            cells=row.cells,
            sealed=row.sealed,
        )
        await self.desk.file(result)
        self.desk.stats.count("unknown")
