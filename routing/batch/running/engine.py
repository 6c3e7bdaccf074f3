"""The engine: plan a window of rows, run each on its own, write down what came; stop when told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.money import NANO
from scrimp.routing.asking.drive import drive
from scrimp.routing.asking.paid_call import Halted
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.asking.plan_run import Asked, Kit, plan_run
from scrimp.routing.asking.refusal import cheapest_too_dear, options_asked_for
from scrimp.routing.asking.request import Ask
from scrimp.routing.batch.files.output import Result, result_of
from scrimp.routing.batch.files.rows import content_key
from scrimp.routing.batch.planning.money import money_left
from scrimp.routing.batch.planning.plan import forecast, options_of, planned
from scrimp.routing.batch.planning.start import in_flight
from scrimp.routing.batch.state import runs
from scrimp.routing.batch.state.scribe import Scribe
from scrimp.routing.calls.faults import to_scrimp_error
from scrimp.routing.checks.base import Given, problem_of, run_checks
from scrimp.routing.deciding.policy import NoDraw
from scrimp.routing.ledger.reservations import price_id, reap

from .gates import ProviderGate
from .jobs import Job, Lane, Settings, Stats
from .row_hands import RowHands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.asking.books import Settlement
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.output import Journal, Status
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.state.runs import Recovered, Run
    from scrimp.routing.batch.state.scribe import Span
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Engine"]

WINDOW: Final = 256
"""Rows that are planned together at most; at most two windows are in memory."""

_LEAST_WINDOW: Final = 32
_TURNS: Final = 6
_MOST_LATER: Final = 10_000
_SLOW_CHECKS: Final = 4
_REAP_EVERY_S: Final = 5.0


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
    key
        Returns an arm's key; raises where the arm cannot be called.
    recovered
        What was found of a run that was killed.
    repeated
        64-bit content hashes of rows that are in the file more than once.
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
        recovered: Recovered | None = None,
        repeated: frozenset[int] = frozenset(),
        cache: Cache | None = None,
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.run = run
        self.journal = journal
        self.ledger = ledger
        self.rows = rows
        self.n_left = n_left
        self.chooser = chooser
        self.decider: Decider = chooser.decider
        self.planner = planner
        self.settings = settings
        self.stats = stats
        self.attempt = attempt
        self.repeated = repeated
        self.cache = cache
        self.say = say
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - jitter and exploration, not secrets
        self.fatal: ScrimpError | None = None
        self.stopped = asyncio.Event()
        self.lanes = self._make_lanes()
        self.slow_checks = asyncio.Semaphore(_SLOW_CHECKS)
        self._plans = PlanChooser(self.decider, settings.way, ledger)
        self._prices = {lane.arm.name: self._price_id(lane) for lane in self.lanes.values() if lane.price is not None}
        self._kit = Kit(
            self.decider,
            key,
            self._prices.__getitem__,
            clock=clock,
            rng=self.rng,
            embed=self.decider.embedder.embed,
            caps_wait_s=None,
        )
        self._taken_up = {} if recovered is None else dict(recovered.taken_up)
        self._bug: Exception | None = None
        self._produced = False
        self._pending = 0
        self._committed_usd = self._variance = 0.0
        self._n_planned = 0
        self._n_later = 0
        self._later: list[int] = []
        self._among: frozenset[int] | None = None
        self._followers: dict[bytes, list[Job]] = {}
        self._said: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._reaped_at = 0.0

    def _make_lanes(self) -> dict[str, Lane]:
        gates: dict[str, ProviderGate] = {}
        lanes = {}
        for arm in self.decider.profile.arms:
            most = in_flight(arm, self.settings.concurrency)
            provider = arm.api_base or arm.provider or arm.model
            gate = gates.setdefault(provider, ProviderGate(0))
            gate.most += most
            gate.limit = float(gate.most)
            lanes[arm.name] = Lane(arm, self.decider.price(arm.name), gate, most)
        return lanes

    def _price_id(self, lane: Lane) -> int:
        assert lane.price is not None  # noqa: S101 - the caller has looked
        return price_id(self.ledger, lane.price, model=lane.arm.model, table=self.decider.table, now=self.clock())

    # -- control ----------------------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Send nothing more; what is in flight is waited for. Called again, what is in flight is given up."""
        if self.stats.stopping is None:
            self.stats.stopping = why
            self.stopped.set()
            self.wake()
        elif why == "interrupted":
            for task in self._tasks:
                task.cancel()

    @property
    def halted(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.stats.stopping is not None

    def wake(self) -> None:
        """Tell whoever waits that something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout_s: float | None = None) -> None:
        """Wait until something has changed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    async def go(self) -> None:
        """Run until every row has a result, or the run was stopped.

        Raises
        ------
        ScrimpError
            If it could not go on: no arm is left, the ledger or the journal cannot be written.
        """
        self.scribe = Scribe(self.ledger, self.journal, self.run.id)
        producer = asyncio.create_task(self._produce_all())
        try:
            while not ((self._produced and self._pending == 0) or (self.halted and not self._tasks)):
                await self.change(0.5)
        finally:
            for task in (producer, *self._tasks):
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(producer, *self._tasks, return_exceptions=True)
            await asyncio.to_thread(self.scribe.close)
        error = self.scribe.failure or self.fatal or self._bug
        if error is not None:
            raise error

    async def _produce_all(self) -> None:
        try:
            await self._produce()
        except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
            self._fail(error)
        finally:
            self._produced = True
            self.wake()

    def _fail(self, error: Exception) -> None:
        """Stop for good: `go` raises it, once what is in flight is safe."""
        if isinstance(error, ScrimpError):
            self.fatal = self.fatal or error
        else:
            self._bug = self._bug or error
        self.stop("failed")

    async def reap(self) -> None:
        """Look for reservations of dead processes, now and then."""
        if self.clock() - self._reaped_at >= _REAP_EVERY_S:
            self._reaped_at = self.clock()
            await self.scribe.submit(lambda _span: reap(self.ledger, now=self.clock()))

    # -- planning ---------------------------------------------------------------------------------------------------

    async def _produce(self) -> None:
        """Go through the file; rows that the budget did not seem to reach have another turn, when costs are known."""
        n_sent = 1
        for turn in range(1, _TURNS + 1):
            last = turn == _TURNS or n_sent == 0
            self._later.clear()
            self._n_later = 0
            before = self._n_planned
            await self._go_through(last=last)
            n_sent = self._n_planned - before
            while self._pending and not self.halted:
                await self.change()
            if self._n_later == 0 or self.halted:
                return
            self.n_left = self._n_later
            self._among = frozenset(self._later) if len(self._later) == self._n_later else None

    async def _go_through(self, *, last: bool) -> None:
        """Read, decide and begin the rows, a window at a time; stay at most one window ahead."""
        rows = self.rows()
        # Small, so that true costs soon count; large enough that no arm runs dry while the next one is planned.
        widest = max(lane.most for lane in self.lanes.values())
        size = min(WINDOW, max(_LEAST_WINDOW, self.stats.n_rows // 20, 2 * widest))
        while not self.halted:
            window = await asyncio.to_thread(self.chooser.read, rows, size)
            if not window:
                return
            states = await self.scribe.submit(partial(self._states, window[0].n, window[-1].n))
            for row in window:
                if states.get(row.n) == "unknown":
                    await self._write_unknown(row)
            for row in window:
                if (again := self._taken_up.pop(row.n, None)) is not None:
                    await self._begin([Job.again(row, again, self._ask(row), self.settings)], last=last)
            fresh = [row for row in window if row.n not in states]
            if fresh:
                money = await self.scribe.submit(self._money)
                await self._begin(await asyncio.to_thread(self._decide, fresh, money), last=last)
            while self._pending > size and not self.halted:
                await self.change()

    def _states(self, first: int, last: int, _span: Span | None = None) -> dict[int, str]:
        return runs.states(self.ledger, self.run.id, first, last)

    def _same_answer(self, key: bytes, _span: Span | None = None) -> Span | None:
        return runs.same_answer(self.ledger, self.run.id, key)

    def _money(self, _span: Span | None = None) -> Money:
        """Look up what the caps leave the run."""
        return money_left(
            self.ledger,
            self.decider.profile,
            run_id=self.run.id,
            max_cost_nano=self.settings.max_cost_nano,
            committed_usd=self._committed_usd,
            now=self.clock(),
        )

    def _ask(self, row: Row) -> Ask:
        return Ask(
            row.prompt,
            self.settings.wishes,
            command="batch",
            tag=self.settings.tag,
            keep=self.settings.keep,
            run_id=self.run.id,
            params=row.params,
            response_format=row.response_format,
            output_limit=row.max_output_tokens,
        )

    def _decide(self, rows: Sequence[Row], money: Money) -> list[Job]:
        """Decide a window (in a thread): predictions, the file's plan, and for each row its own plan."""
        blocked = {name: lane.blocked.message for name, lane in self.lanes.items() if lane.blocked is not None}
        decided = self.chooser.decide(
            rows, self.settings.wishes, replace(money, blocked=money.blocked | blocked), rng=self.rng, now=self.clock()
        )
        decisions = [each.decision for each in decided]
        several = self.settings.way.several or any(row.plan for row in rows)
        rule = None
        if not several:
            rule = self.planner.solve(
                after=rows[0].n,
                n_left=self.n_left,
                budget_usd=money.budget_usd,
                among=self._among,
                variance=max(0.0, self._variance),
            )
        if rule is not None:
            chosen = self.planner.choose(rule, options_of(decisions, self.planner.arms))
            decisions = [
                planned(decision, None if j < 0 else self.planner.arms[j])
                for decision, j in zip(decisions, chosen.tolist(), strict=True)
            ]
        jobs = []
        for row, each, decision in zip(rows, decided, decisions, strict=True):
            ask = self._ask(row)
            refusal: ScrimpError | None = None
            try:
                decision, plan = self._plans.choose(ask, decision, money.over_calls, spelled=row.plan)  # noqa: PLW2901
            except ScrimpError as error:
                refusal, plan = error, None
            way = self.settings.way
            records_steps = bool(way.checks) or way.several or row.plan is not None
            asked = None
            if plan is not None:
                asked = Asked(ask, decision, each.context, plan, way.checks, records_steps=records_steps)
            jobs.append(Job(row, decision, asked, refusal=refusal))
        return jobs

    async def _begin(self, jobs: list[Job], *, last: bool) -> None:
        """Begin rows: those that start alike one after another, so that prompt caches can be used."""
        self.n_left -= len(jobs)
        self._n_planned += sum(job.decision.arm is not None for job in jobs)
        jobs.sort(key=lambda job: (job.row.prompt.system or "", job.row.prompt.text[:256]))
        for job in jobs:
            if job.decision.arm is None and not last and job.decision.choice.no_draw is NoDraw.FILE_PLAN:
                self._n_later += 1
                if len(self._later) < _MOST_LATER:
                    self._later.append(job.row.n)
                continue
            self._pending += 1
            if job.decision.arm is None or job.asked is None:
                await self._refuse(job)
                continue
            if int.from_bytes((key := content_key(job.row))[:8], "little") in self.repeated:
                job.same = key
                if key in self._followers:
                    self._followers[key].append(job)
                    continue
                span = await self.scribe.submit(partial(self._same_answer, key))
                if span is not None:
                    await self._share(job, result_of(self.journal.read(*span)))
                    continue
                self._followers[key] = []
            self._start(job)

    def _start(self, job: Job) -> None:
        guess = forecast(job.option)
        expected = (job.decision.plan or {}).get("expected")
        self._commit(job, guess.mean if expected is None else expected["cost_usd"], guess.variance)
        task = asyncio.create_task(self._row(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refuse(self, job: Job) -> None:
        """Write a row off that no arm can take."""
        if job.refusal is not None:
            await self._end(job, "skipped" if job.refusal.exit_code == 3 else "failed", error=job.refusal.message)
            return
        arm = self.settings.wishes.arm
        options = options_asked_for(job.decision, arm)
        cheapest = cheapest_too_dear(job.decision, arm)
        if cheapest is not None or all(option.infeasible is None for option in options):
            why = "the budget does not reach" if cheapest is None else f"{cheapest.arm} {cheapest.infeasible}"
            await self._end(job, "skipped", error=f"not sent: {why}")
        else:
            reasons = "; ".join(f"{option.arm}: {option.infeasible}" for option in options if option.infeasible)
            await self._end(job, "failed", error=f"no arm can take it: {reasons}")

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _row(self, job: Job) -> None:
        """Take one row to its end."""
        hands = RowHands(self, job)
        try:
            if self.halted:
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
            self._fail(error)
        finally:
            if hands.result is not None and hands.result.status == "unknown":
                self.stats.count("unknown")
            self._gone(job)
            if self.scribe.failure is not None:
                self.stop("failed")

    def _commit(self, job: Job, usd: float, variance: float) -> None:
        """Count what a row that is planned and not yet done is expected to cost, as the plan has to leave it."""
        self._committed_usd += usd - job.committed_usd
        self._variance += variance - job.variance
        job.committed_usd, job.variance = usd, variance

    def _gone(self, job: Job) -> None:
        """Count a job that is over, with or without a result."""
        self._commit(job, 0.0, 0.0)
        self._pending -= 1
        self.wake()

    def block(self, lane: Lane, error: CallError) -> None:
        """Send nothing more to an arm that will not take any call; stop when none is left."""
        if error.kind not in ("auth", "not_found") or lane.blocked is not None:
            return
        lane.blocked = to_scrimp_error(error, lane.arm)
        self.say(f"{lane.blocked.message}; no more rows are sent to {lane.arm.name}")
        wanted = self.settings.wishes.arm
        usable = [each for each in self.lanes.values() if wanted in (None, each.arm.name) and each.blocked is None]
        if not [each for each in usable if each.arm.name not in self.chooser.keyless]:
            self._fail(lane.blocked)

    def settled(self, job: Job, settlement: Settlement) -> None:
        """Take a call's true cost into account."""
        self.stats.charged_nano += settlement.charged_nano
        arm, cost = settlement.reservation.arm, settlement.cost_nano
        option = job.decision.choice.option(arm)
        if cost is not None and option.cost_nano and "error_kind" not in settlement.attempt:
            self.planner.learn(arm, predicted_usd=forecast(option).mean, true_usd=cost / NANO)
        if settlement.breach:
            self.stats.n_breaches += 1
            self._say_once(f"{arm} charged above its enforced bound: suspended until `scrimp models resume {arm}`")

    def is_steady(self, job: Job, arm: str | None) -> bool:
        """Tell whether the same row would get the same answer of an arm."""
        return arm is not None and self.lanes[arm].is_steady(job.row)

    # -- ends -------------------------------------------------------------------------------------------------------

    async def _write_unknown(self, row: Row) -> None:
        """Write down a row that was in flight when the run was killed, now that its id is at hand."""
        found = await self.scribe.submit(lambda _span: runs.row_state(self.ledger, self.run.id, row.n))
        result = Result(
            row.n,
            row.id,
            "unknown",
            found["request_id"],
            arm=found["arm"],
            error="in flight when the run was killed: it may have been billed (--retry-unknown asks again)",
            at=int(self.clock()),
            cells=row.cells,
        )
        await self._file(result)
        self.stats.count("unknown")

    async def _file(self, result: Result) -> None:
        """Write down a result that no call is to be settled for."""

        def do(span: Span | None) -> None:
            if span is not None:
                runs.file_row(
                    self.ledger,
                    self.run.id,
                    result.n,
                    status=result.status,
                    request_id=result.decision_id,
                    arm=result.arm,
                    cost_nano=result.cost_nano,
                    span=span,
                )

        await self.scribe.submit(do, runs.entry(result.n, result.decision_id, (), result))

    async def _end(self, job: Job, status: Status, *, error: str) -> None:
        """Write down a row that was not asked."""
        result = Result(
            job.row.n,
            job.row.id,
            status,
            job.decision.id,
            cost_nano=0,
            error=error,
            at=int(self.clock()),
            cells=job.row.cells,
        )
        await self._file(result)
        await self._ended(job, result)
        self._gone(job)

    async def _ended(self, job: Job, result: Result) -> None:
        """Count a result, keep it for others, and serve the rows that waited for it."""
        if result.status == "unknown":
            return
        if self.cache is not None and result.status == "ok" and result.finish_reason == "stop":
            self.cache.put(self._cache_key(job, result.arm or ""), result)
        self._count(result)
        await self._serve(job, result)
        most = self.settings.max_errors
        if most is not None and self.stats.failed >= most and not self.halted:
            self.stop("errors")

    async def _serve(self, job: Job, result: Result) -> None:
        """Answer the rows that ask the same, or have them asked."""
        waiting = self._followers.pop(job.same, []) if job.same is not None else []
        shared = result.status == "ok" and self.is_steady(job, result.arm)
        for follower in waiting:
            if shared:
                await self._share(follower, result)
            else:
                follower.same = None
                self._start(follower)

    def _count(self, result: Result) -> None:
        stats = self.stats
        stats.count(result.status)
        if result.arm is not None and result.answer is not None:
            stats.by_arm[result.arm] += 1
        stats.n_same += result.source == "same"
        stats.n_cached += result.source == "cache"
        if result.error is not None and result.status in ("failed", "skipped"):
            self._say_once(f"row {result.n + 1}: {result.error}", kind=f"{result.status} {result.error[:24]}")

    def _say_once(self, line: str, *, kind: str | None = None) -> None:
        """Say the first of each kind of trouble; the rest is counted."""
        if (kind or line) not in self._said and len(self._said) < 20:
            self._said.add(kind or line)
            self.say(line)

    # -- answers that need no call ----------------------------------------------------------------------------------

    async def _share(self, job: Job, result: Result) -> None:
        """Give a row the answer of an equal one."""
        await self._take_over(job, replace(result, source="same"))
        self._gone(job)

    async def _from_cache(self, job: Job) -> bool:
        """Answer a row from the cache; return False when it is not there."""
        checks = self.settings.way.checks
        if self.cache is None or job.recorded or not job.the_asked.plan.single or any(each.slow for each in checks):
            return False
        arm = job.option.arm
        found = self.cache.get(self._cache_key(job, arm), now=self.clock())
        if found is None:
            return False
        if problem_of(run_checks(checks, found.answer or "", Given(job.row.prompt.text))) is not None:
            return False
        result = await self._take_over(job, replace(found, arm=arm, source="cache"))
        await self._serve(job, result)
        return True

    async def _take_over(self, job: Job, found: Result) -> Result:
        result = replace(found, n=job.row.n, id=job.row.id, cost_nano=0, cells=job.row.cells, at=int(self.clock()))
        await self._file(result)
        self._count(result)
        return result

    def _cache_key(self, job: Job, arm: str) -> bytes:
        from scrimp.routing.batch.files.cache import cache_key

        return cache_key(job.row, self.lanes[arm].arm, job.decision.choice.option(arm).output_limit)
