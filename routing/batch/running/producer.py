"""Rows from the file to their beginning: read, decided and planned a window at a time, at most one window ahead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.files.rows import Row
from scrimp.routing.batch.planning.money import money_left
from scrimp.routing.batch.rows.jobs import Job
from scrimp.routing.batch.rows.row_decider import RowDecider, in_turn, is_left_out
from scrimp.routing.batch.rows.row_hands import too_late
from scrimp.routing.batch.state.recovery import take_up
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.hints import no_draw, of_request
from scrimp.routing.strategies.bid_memory import PastBids, recalled

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from scrimp.routing.batch.files.output import Status
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.optimise import Rule
    from scrimp.routing.batch.rows.desk import Desk
    from scrimp.routing.batch.rows.row_books import RunBooks
    from scrimp.routing.batch.state.recovery import Recovered, TakenUp
    from scrimp.routing.batch.state.scribe import Span
    from scrimp.routing.batch.workers.crew import Crew
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.strategies.brief import Memory

    from .resolving import Resolver

__all__ = ["Producer"]

WINDOW: Final = 256
"""Rows that are planned together at most; at most two windows are in memory."""

_LEAST_WINDOW: Final = 32
_TURNS: Final = 6
_MOST_LATER: Final = 10_000
_ENDED: Final = {
    "cut": "was cut",
    "failed": "failed",
    "skipped": "was not sent",
    "unknown": "may or may not have been answered",
}
"""How a row ended without the answer that others wait for, in words."""


class Producer:
    """Reads, decides and begins the rows of a run.

    Parameters
    ----------
    desk, books
        What the rows share, and where it is written.
    rows
        Returns the rows that can be asked, in order, as a stream.
    n_left
        How many of them have no result.
    recovered
        What was found of a run that was killed.
    begin
        Takes a row that is to be asked, or written off.
    write_off
        Takes a row that is not to be asked, how it ends, and why.
    resolver
        Puts answers into the prompts of rows that wait for them; None: none does.
    crew
        Workers that take rows; None: the run asks them all itself.
    """

    def __init__(
        self,
        desk: Desk,
        books: RunBooks,
        rows: Callable[[], Iterator[Row]],
        n_left: int,
        *,
        recovered: Recovered | None,
        rng: random.Random,
        begin: Callable[[Job], Awaitable[None]],
        write_off: Callable[[Row, Status, str], Awaitable[None]],
        resolver: Resolver | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.desk = desk
        self.books = books
        self.rows = rows
        self.n_left = n_left
        self.begin = begin
        self.write_off = write_off
        self.resolver = resolver
        self.crew = crew
        self._again: list[Row] = []
        self._alone: list[Row] = []
        self.decider = RowDecider(desk, PlanChooser(desk.decider, desk.settings.way, books.ledger), rng)
        self._taken_up = {} if recovered is None else dict(recovered.taken_up)
        self._n_planned = 0
        self._n_later = 0
        self._later: list[int] = []
        self._among: frozenset[int] | None = None
        self._waits: list[Row] = []
        self._planned: set[int] = set()

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
            self.n_left = self._n_later + self.desk.flow.n_waiting
            whole = len(self._later) == self._n_later and not self.desk.flow.reorders
            self._among = frozenset(self._later) if whole else None

    async def _while(self, holds: Callable[[], bool]) -> None:
        """Wait while something holds, and the run goes on."""
        self.desk.producing = False
        while holds() and not self.desk.halted:
            await self.desk.change()
        self.desk.producing = True

    async def _go_through(self, *, last: bool) -> None:
        """Read, decide and begin the rows, a window at a time; stay at most one window ahead.

        Rows that wait for answers are begun as soon as those are there, before further rows of the file are read.
        """
        desk = self.desk
        rows = self._not_waiting()
        # Small, so that true costs soon count; large enough that no arm runs dry while the next one is planned.
        widest = max(lane.most for lane in desk.lanes.values())
        size = min(WINDOW, max(_LEAST_WINDOW, desk.stats.n_rows // 20, 2 * widest))
        more = True
        while not desk.halted:
            if self._alone or self._again:
                alone, again, self._alone, self._again = self._alone, self._again, [], []
                await self._take_anew(alone, alone=True, last=last)
                await self._take_anew(again, alone=False, last=last)
            elif desk.flow.has_ready and self._has_room(2 * size):
                await self._take(await self._answered(desk.flow.ready(size)), last=last)
            elif more and self._has_room(size):
                window = await asyncio.to_thread(desk.chooser.read, rows, size)
                for row in self._waits:
                    desk.flow.park(row)
                self._waits.clear()
                more = bool(window)
                await self._take(window, last=last)
            elif not more and desk.pending == 0:
                return
            else:
                desk.producing = False
                await desk.change()
                desk.producing = True

    def _has_room(self, size: int) -> bool:
        """Whether more rows can be begun, where so many may be on their way: in each worker, if there are some."""
        if self.crew is not None and self.crew.works:
            return self.crew.has_room(size)
        return self.desk.busy <= size

    # -- what comes back of workers ---------------------------------------------------------------------------------

    def planned(self, *, later: Sequence[int], n_planned: int) -> None:
        """Take note of what came of a window that a worker has decided."""
        self._n_planned += n_planned
        self._n_later += len(later)
        self._planned.difference_update(later)
        self._later += later[: max(0, _MOST_LATER - len(self._later))]

    def again(self, rows: Sequence[Row], *, alone: bool) -> None:
        """Have rows taken anew that a worker could not take, or is lost with; `alone`, by the run itself."""
        (self._alone if alone else self._again).extend(rows)
        self.n_left += len(rows)
        self.desk.wake()

    async def _take_anew(self, rows: Sequence[Row], *, alone: bool, last: bool) -> None:
        """Begin rows that were given out before; those whose calls so far are over are gone on with."""
        if not rows:
            return
        if alone:
            self._taken_up |= await self.books.scribe.submit(partial(self._as_left, [row.n for row in rows]))
        await self._take(rows, last=last, alone=alone)

    def _as_left(self, places: Sequence[int], _span: Span | None = None) -> dict[int, TakenUp]:
        ledger, run = self.books.ledger, self.desk.run
        wanted = set(places)
        begun = {request: n for request, n in batches.sent(ledger, run.id).items() if n in wanted}
        found = take_up(ledger, run, self.books.journal, begun)
        batches.drop_sent(ledger, run.id, [n for n, known in found.items() if known is None])
        return {n: known for n, known in found.items() if known is not None}

    # -- rows -------------------------------------------------------------------------------------------------------

    def _not_waiting(self) -> Iterator[Row]:
        """Yield the rows that wait for no answer; the others are put aside."""
        for row in self.desk.flow.arranged(self.rows):
            if row.refs:
                self._waits.append(row)
            else:
                yield row

    async def _answered(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows that waited with the answers in their prompts; those that wait in vain are written off."""
        desk = self.desk
        states = await self.books.scribe.submit(partial(self._states, [row.n for row in rows]))
        left = [row for row in rows if states.get(row.n) in (None, "sent", "unknown")]
        made: list[Row] = []
        for row, found in zip(left, await self.books.scribe.submit(partial(self._resolved, left)), strict=True):
            status: Status = "skipped"
            if (missing := desk.flow.in_the_way(row)) is not None:
                problem = f"not sent: it takes the answer of row {missing[0]}, which {_ENDED[missing[1]]}"
            elif isinstance(found, Row):
                made.append(found)
                continue
            else:
                problem, status = found, "failed"
            self.n_left -= 1
            hidden = await asyncio.to_thread(desk.chooser.shielded, row)  # nothing private is written down
            await self.write_off(hidden, status, problem if hidden.vault is None else hidden.vault.redacted(problem))
        read: list[Row] = []
        stream = iter(made)
        while part := await asyncio.to_thread(desk.chooser.read, stream, len(made)):  # by 16 MB of text
            read += part
        return read

    def _resolved(self, rows: Sequence[Row], _span: Span | None = None) -> list[Row | str]:
        """Return rows with the answers in their prompts, or why that cannot be."""
        assert self.resolver is not None  # noqa: S101 - there are rows that wait
        made: list[Row | str] = []
        for row in rows:
            try:
                made.append(self.resolver.resolved(row))
            except UsageError as error:
                made.append(error.message)
        return made

    async def _take(self, window: Sequence[Row], *, last: bool, alone: bool = False) -> None:
        """Begin rows, or go on with them, or write down what became of them."""
        if not window:
            return
        states = await self.books.scribe.submit(partial(self._states, [row.n for row in window]))
        for row in window:
            if self.resolver is not None:
                self.resolver.keep(row)
            if states.get(row.n) == "unknown":
                await self._write_unknown(row)
        for row in window:
            if (again := self._taken_up.pop(row.n, None)) is not None:
                prompt, memory = await self.books.scribe.submit(partial(self._as_before, row, again))
                prompt = await asyncio.to_thread(self.desk.chooser.as_read, row, prompt)
                known = await asyncio.to_thread(self.desk.chooser.again, row, self.desk.settings.wishes)
                ask = self.decider.ask(known, prompt)
                way = self.decider.way_of(row)
                job = Job.again(row, again, ask, way, self.desk.decider.profile, memory)
                await self._begin([self.decider.ranked(job)], last=last)
        fresh = []
        for row in window:
            if row.n in states or self.desk.halted:
                continue
            problem: tuple[Status, str] | None = None
            if row.unread is not None:
                problem = "failed", f"line {row.line}, {row.unread}"
            elif (due := self.desk.flow.due_of(row)) is not None and self.desk.clock() >= due:
                problem = "skipped", too_late(self.desk.clock() - due)
            if problem is None:
                fresh.append(row)
                continue
            self.n_left -= 1
            await self.write_off(row, *problem)
        if self.crew is not None and not alone and (given := [row for row in fresh if self.crew.takes(row)]):
            await self._give_out(self.crew, given, last=last)
            places = {row.n for row in given}
            fresh = [row for row in fresh if row.n not in places]
        if fresh:
            money = await self.books.scribe.submit(self._money)
            jobs = await asyncio.to_thread(self._decide, fresh, money)
            if any(job.bids for job in jobs):
                jobs = await self.books.scribe.submit(partial(self._remembering, jobs))
            await self._begin([self.decider.ranked(job) for job in jobs], last=last)

    async def _give_out(self, crew: Crew, rows: Sequence[Row], *, last: bool) -> None:
        """Have rows decided and asked by workers."""
        money = await self.books.scribe.submit(self._money)
        blocked = {name: lane.blocked.message for name, lane in self.desk.lanes.items() if lane.blocked is not None}
        rule = await asyncio.to_thread(self._rule, rows, money)
        self.n_left -= len(rows)
        if self.desk.flow.reorders:
            self._planned.update(row.n for row in rows)
        if not crew.works:  # the last of them was lost meanwhile
            self.again(rows, alone=False)
            return
        crew.hand(rows, replace(money, blocked=money.blocked | blocked), rule, last=last)

    def _states(self, places: Sequence[int], _span: Span | None = None) -> dict[int, str]:
        ledger, run_id = self.books.ledger, self.desk.run.id
        if list(places) == list(range(places[0], places[0] + len(places))):
            return batches.states(ledger, run_id, places[0], places[-1])
        found = batches.results_of(ledger, run_id, places)
        return {n: status if span is None else "done" for n, (status, span) in found.items()}

    def _money(self, _span: Span | None = None) -> Money:
        """Look up what the caps leave the run."""
        return money_left(
            self.books.ledger,
            self.desk.decider.profile,
            run_id=self.desk.run.id,
            max_cost_nano=self.desk.settings.max_cost_nano,
            committed_usd=self.desk.committed_usd,
            now=self.desk.clock(),
        )

    def _remembering(self, jobs: Sequence[Job], _span: Span | None = None) -> list[Job]:
        """Return jobs with what the log knows of bids, where their plans have some."""
        past = PastBids(self.books.ledger, self.desk.decider.profile.name)
        return [job.remembering(past, self.books.ledger) if job.bids else job for job in jobs]

    def _as_before(self, row: Row, again: TakenUp, _span: Span | None = None) -> tuple[Prompt, Memory]:
        """Return a row's prompt as a killed process asked it, and what its plan was told of bids.

        Where its hint is not there any more, it was no draw.
        """
        hinter, ledger = self.desk.chooser.hinter, self.books.ledger
        memory = recalled(ledger, again.decision)
        known = None if hinter is None else of_request(ledger, again.decision.id)
        if hinter is None or known is None:
            return row.prompt, memory
        prompt = hinter.again(row.prompt, known)
        if prompt is None:
            no_draw(ledger, again.decision.id)
        return prompt or row.prompt, memory

    def _rule(self, rows: Sequence[Row], money: Money) -> Rule | None:
        """Return what the file as a whole says of the next rows (in a thread, it takes time); None: nothing."""
        if self.desk.settings.way.several:
            return None
        in_order = not self.desk.flow.reorders
        return self.desk.planner.solve(
            after=rows[0].n if in_order else 0,
            n_left=self.n_left,
            budget_usd=money.budget_usd,
            among=self._among if in_order else self._unplanned(),
            variance=max(0.0, self.desk.variance),
        )

    def _decide(self, rows: Sequence[Row], money: Money) -> list[Job]:
        return self.decider.decide(rows, money, self._rule(rows, money))

    def _unplanned(self) -> frozenset[int]:
        """Return the sampled rows that have not been planned, where rows do not come in the file's order."""
        return frozenset(n for n in self.desk.planner.places.tolist() if n not in self._planned)

    async def _begin(self, jobs: list[Job], *, last: bool) -> None:
        """Begin rows: those that start alike, or are about the same files, one after another, for prompt caches."""
        self.n_left -= len(jobs)
        self._n_planned += sum(job.decision.arm is not None for job in jobs)
        in_turn(jobs)
        if self.desk.flow.reorders:
            self._planned.update(job.row.n for job in jobs)
        for job in jobs:
            if is_left_out(job) and not last:
                self._n_later += 1
                self._planned.discard(job.row.n)
                if len(self._later) < _MOST_LATER:
                    self._later.append(job.row.n)
                continue
            self.desk.pending += 1
            await self.begin(job)

    async def _write_unknown(self, row: Row) -> None:
        """Write down a row that was in flight when the run was killed, now that its id is at hand."""
        found = await self.books.scribe.submit(
            lambda _span: batches.row_state(self.books.ledger, self.desk.run.id, row.n)
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
