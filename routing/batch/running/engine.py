"""The engine: every row of a run taken to its end, each on its own; stop when told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.asking.asked import Kit
from scrimp.routing.asking.drive import drive
from scrimp.routing.asking.paid_call import Halted
from scrimp.routing.asking.plan_run import plan_run
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.batch.files.output import Result, result_of
from scrimp.routing.batch.files.rows import content_key
from scrimp.routing.batch.planning.plan import forecast
from scrimp.routing.checks.base import Given, problem_of, run_checks
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.reservations import price_id

from .desk import Desk
from .producer import Producer
from .row_hands import RowHands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.output import Journal, Status
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.state.recovery import Recovered
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

    from .flow import Flow
    from .jobs import Job, Lane, Settings, Stats
    from .resolving import Resolver

__all__ = ["Engine"]


class Engine:
    """Runs one run.

    Parameters
    ----------
    run, journal, ledger
        Its state; the ledger is used by the engine's own thread until `go` returns.
    rows
        Returns the rows that can be asked, in order, as a stream.
    n_left
        How many of them have no result.
    chooser, planner
        Decide rows, and choose between arms for the whole file.
    attempt
        Makes one call: `dispatch.aattempt`, or a stand-in.
    prepare
        Imports what a call takes.
    key
        Returns an arm's key; raises where the arm cannot be called.
    recovered
        What was found of a run that was killed.
    repeated
        64-bit content hashes of rows that are in the file more than once.
    flow, resolver
        Which rows wait for which, and what puts answers into their prompts; None: none of them waits.
    rows_name_arms
        Whether any row says which arm is to answer it.
    """

    def __init__(
        self,
        *,
        run: Run,
        journal: Journal,
        ledger: Ledger,
        rows: Callable[[], Iterator[Row]],
        n_left: int,
        chooser: Chooser,
        planner: Planner,
        settings: Settings,
        stats: Stats,
        attempt: Callable[[Call, Callable[[], None]], Awaitable[Reply]],
        key: Callable[[Arm], str | None],
        prepare: Callable[[str], object] = lambda _model: None,
        recovered: Recovered | None = None,
        repeated: frozenset[int] = frozenset(),
        flow: Flow | None = None,
        resolver: Resolver | None = None,
        rows_name_arms: bool = False,
        cache: Cache | None = None,
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()  # noqa: S311 - jitter and exploration, not secrets
        self.desk = Desk(
            run,
            journal,
            ledger,
            chooser,
            planner,
            settings,
            stats,
            attempt=attempt,
            prepare=prepare,
            key=key,
            say=say,
            clock=clock,
            flow=flow,
            rows_name_arms=rows_name_arms,
        )
        self.repeated = repeated
        self.cache = cache
        self._producer = Producer(
            self.desk,
            rows,
            n_left,
            recovered=recovered,
            rng=rng,
            begin=self._begin,
            write_off=self._write_off,
            resolver=resolver,
        )
        self._prices = {
            lane.arm.name: self._price_id(lane) for lane in self.desk.lanes.values() if lane.price is not None
        }
        self._kit = Kit(
            chooser.decider,
            key,
            lambda arm: self._prices[bare_of(arm)],
            clock=clock,
            rng=rng,
            embed=chooser.decider.embedder.embed,
            caps_wait_s=None,
            price_in=chooser.lanes.price_in if chooser.lanes.arms else None,
        )
        self._price_lanes()
        self._produced = False
        self._followers: dict[bytes, list[Job]] = {}

    def _price_id(self, lane: Lane) -> int:
        assert lane.price is not None  # noqa: S101 - the caller has looked
        desk = self.desk
        return price_id(desk.ledger, lane.price, model=lane.arm.model, table=desk.decider.table, now=desk.clock())

    def _price_lanes(self) -> None:
        """Have the ledger know both prices of the arms that have two."""
        desk = self.desk
        for name, known in desk.chooser.lanes.arms.items():
            model, table = desk.lanes[name].arm.model, desk.decider.table
            for lane, price in (("sync", known.sync), ("batch", known.batch)):
                desk.price_ids[name, lane] = price_id(desk.ledger, price, model=model, table=table, now=desk.clock())

    def stop(self, why: str) -> None:
        """Send nothing more; what is in flight is waited for. Called again, what is in flight is given up."""
        self.desk.stop(why)

    async def go(self) -> None:
        """Run until every row has a result, or the run was stopped.

        Raises
        ------
        ScrimpError
            If it could not go on: no arm is left, the ledger or the journal cannot be written.
        """
        desk = self.desk
        desk.open()
        producer = asyncio.create_task(self._produce())
        gatherer = asyncio.create_task(desk.gatherer.run()) if desk.gatherer.active else None
        try:
            while not ((self._produced and desk.pending == 0) or (desk.halted and not desk.tasks)):
                await desk.change(0.5)
            if gatherer is not None and not desk.halted:
                await desk.gatherer.settle_rest()
        finally:
            desk.gatherer.close()
            apart = [producer] if gatherer is None else [producer, gatherer]
            for task in (*apart, *desk.tasks):
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(*apart, *desk.tasks, return_exceptions=True)
            await desk.close()
        error = desk.scribe.failure or desk.error
        if error is not None:
            raise error

    async def _produce(self) -> None:
        try:
            await self._producer.produce()
        except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
            self.desk.fail(error)
        finally:
            self._produced = True
            self.desk.producing = False
            self.desk.wake()

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _begin(self, job: Job) -> None:
        """Begin a row: asked, answered as an equal one was, or written off."""
        desk = self.desk
        if job.decision.arm is None or job.asked is None:
            await self._refuse(job)
            return
        key = content_key(job.row)
        # Which rows are equal with the answers in them the file does not say.
        found = job.row.refs and desk.is_steady(job, job.decision.arm)
        if found or int.from_bytes((job.row.given or key)[:8], "little") in self.repeated:
            job.same = key
            if key in self._followers:
                self._followers[key].append(job)
                return
            span = await desk.scribe.submit(lambda _span: batches.same_answer(desk.ledger, desk.run.id, key))
            if span is not None:
                await self._share(job, result_of(desk.journal.read(*span)))
                return
            self._followers[key] = []
        self._start(job)

    def _start(self, job: Job) -> None:
        guess = forecast(job.option)
        expected = (job.decision.plan or {}).get("expected")
        self.desk.commit(job, guess.mean if expected is None else expected["cost_usd"], guess.variance)
        task = asyncio.create_task(self._row(job))
        self.desk.tasks.add(task)
        task.add_done_callback(self.desk.tasks.discard)

    async def _refuse(self, job: Job) -> None:
        """Write a row off that no arm can take."""
        desk = self.desk
        error = job.refusal or why_none(
            job.decision,
            job.row.arm or desk.settings.wishes.arm,
            desk.chooser.keyless,
            profile=desk.decider.profile.name,
            what="this row",
            lead="not sent: ",
        )
        await self._end(job, "skipped" if error.exit_code in (3, 9) else "failed", error=error.message)

    async def _write_off(self, row: Row, status: Status, error: str) -> None:
        """Write down a row that is not to be asked, and has not been decided."""
        result = Result(
            row.n,
            row.id,
            status,
            None,
            cost_nano=0,
            error=error,
            at=int(self.desk.clock()),
            cells=row.cells,
            sealed=row.sealed,
        )
        await self.desk.file(result)
        self._count(result)
        self._stop_at_most()

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _row(self, job: Job) -> None:
        """Take one row to its end."""
        hands = RowHands(self.desk, job)
        try:
            if self.desk.halted:
                return
            if await self._from_cache(job):
                return
            with contextlib.suppress(Halted):
                run = plan_run(job.the_asked, self._kit, recorded=job.recorded, bill=job.bill)
                try:
                    await drive(run, hands)
                except ScrimpError:
                    if hands.result is None:
                        raise
            if hands.result is not None:
                await self._ended(job, hands.result)
        except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
            self.desk.fail(error)
        finally:
            if hands.result is not None and hands.result.status == "unknown":
                self.desk.stats.count("unknown")
            hands.let_others()
            self.desk.gone(job)
            if self.desk.scribe.failure is not None:
                self.desk.stop("failed")

    # -- ends -------------------------------------------------------------------------------------------------------

    async def _end(self, job: Job, status: Status, *, error: str) -> None:
        """Write down a row that was not asked."""
        result = Result(
            job.row.n,
            job.row.id,
            status,
            job.decision.id,
            cost_nano=0,
            error=error,
            at=int(self.desk.clock()),
            cells=job.row.cells,
            sealed=job.row.sealed,
        )
        await self.desk.file(result)
        await self._ended(job, result)
        self.desk.gone(job)

    async def _ended(self, job: Job, result: Result) -> None:
        """Count a result, keep it for others, and serve the rows that waited for it."""
        if result.status == "unknown":
            return
        if self.cache is not None and result.status == "ok" and result.finish_reason == "stop":
            self.cache.put(self._cache_key(job, result.arm or ""), result)
        self._count(result)
        await self._serve(job, result)
        self._stop_at_most()

    def _stop_at_most(self) -> None:
        most = self.desk.settings.max_errors
        if most is not None and self.desk.stats.failed >= most and not self.desk.halted:
            self.desk.stop("errors")

    async def _serve(self, job: Job, result: Result) -> None:
        """Answer the rows that ask the same, or have them asked."""
        waiting = self._followers.pop(job.same, []) if job.same is not None else []
        shared = result.status in batches.ANSWERED and self.desk.is_steady(job, result.arm)
        for follower in waiting:
            if shared:
                await self._share(follower, result)
            else:
                follower.same = None
                self._start(follower)

    def _count(self, result: Result) -> None:
        stats = self.desk.stats
        stats.count(result.status)
        if result.arm is not None and result.answer is not None:
            stats.by_arm[result.arm] += 1
        stats.n_same += result.source == "same"
        stats.n_cached += result.source == "cache"
        if result.note is not None:
            stats.n_prompts_cut += 1
            self.desk.say_once(f"row {result.n + 1}: {result.note}", kind=f"prompt cut {result.arm}")
        if result.error is not None and result.status in ("failed", "skipped", "cut"):
            self.desk.say_once(f"row {result.n + 1}: {result.error}", kind=f"{result.status} {result.error[:24]}")

    # -- answers that need no call ----------------------------------------------------------------------------------

    async def _share(self, job: Job, result: Result) -> None:
        """Give a row the answer of an equal one."""
        await self._take_over(job, replace(result, source="same"))
        self.desk.gone(job)

    async def _from_cache(self, job: Job) -> bool:
        """Answer a row from the cache; return False when it is not there."""
        checks = job.the_asked.checks
        if self.cache is None or job.recorded or not job.the_asked.plan.single or any(each.slow for each in checks):
            return False
        arm = job.option.arm
        found = self.cache.get(self._cache_key(job, arm), now=self.desk.clock())
        if found is None:
            return False
        prompt = job.the_asked.ask.prompt
        given = Given(prompt.text, found.finish_reason, lambda: prompt.sent_to(reading_of(arm)))
        if problem_of(run_checks(checks, found.answer or "", given)) is not None:
            return False
        result = await self._take_over(job, replace(found, arm=arm, source="cache"))
        await self._serve(job, result)
        return True

    async def _take_over(self, job: Job, found: Result) -> Result:
        row, at = job.row, int(self.desk.clock())
        result = replace(found, n=row.n, id=row.id, cost_nano=0, cells=row.cells, sealed=row.sealed, at=at)
        await self.desk.file(result)
        self._count(result)
        return result

    def _cache_key(self, job: Job, arm: str) -> bytes:
        from scrimp.routing.batch.files.cache import cache_key

        limit, hint = job.decision.choice.option(arm).output_limit, job.the_asked.ask.prompt.hint
        prompt, kind = job.the_asked.ask.prompt, reading_of(arm)
        read: list[Any] | None = None
        if kind is not None and prompt.readings is not None and (sent := prompt.readings.reads.get(kind)) is not None:
            read = [kind, *([each.source, each.start, each.end] for each in sent.spans)]
        return cache_key(job.row, self.desk.lane(arm).arm, limit, hint=hint, read=read)
