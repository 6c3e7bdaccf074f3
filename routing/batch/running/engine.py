"""The engine: plan a window of rows, send them on all arms at once, write down what came; stop when told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError
from scrimp.profiles.money import NANO
from scrimp.routing.batch.files.output import Result, result_of
from scrimp.routing.batch.files.rows import content_key
from scrimp.routing.batch.planning.plan import PLAN_NOTE, forecast, options_of, planned
from scrimp.routing.batch.planning.start import in_flight
from scrimp.routing.batch.state.scribe import Scribe
from scrimp.routing.calls.backoff import Backoff
from scrimp.routing.checks.base import Given, problem_of, run_checks
from scrimp.routing.ledger.caps import RefusedError
from scrimp.routing.ledger.reservations import Reservation, SuspendedError

from .books import Books
from .gates import ProviderGate
from .jobs import Job, Lane, Settings, Stats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.output import Journal, Status
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.state.runs import Recovered, Run
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Engine", "Settings", "Stats"]

WINDOW: Final = 256
"""Rows that are planned together at most; at most two windows are in memory."""

_LEAST_WINDOW: Final = 32
_TURNS: Final = 6
_MOST_LATER: Final = 10_000

ROW_DEADLINE_S: Final = 600.0
"""How long the retries and fallbacks of one row may go on."""

_BUDGET_WAIT_S: Final = 0.25
_SLOW_CHECKS: Final = 4


class Engine:
    """Runs one run.

    Parameters
    ----------
    run, journal, ledger
        Its state; the ledger is used by the engine's own thread until `go` returns.
    rows
        Returns the rows that can be asked, in order, as a stream.
    chooser, planner
        Decide rows, and choose between arms for the whole file.
    attempt
        Makes one call: `dispatch.aattempt`, or a stand-in.
    key
        Returns an arm's key; raises where the arm cannot be called.
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
        attempt: Callable[[Call], Awaitable[Reply]],
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
        self.key = key
        self.recovered = recovered
        self.repeated = repeated
        self.cache = cache
        self.say = say
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - jitter and exploration, not secrets
        self.fatal: ScrimpError | None = None
        self._bug: Exception | None = None
        self._produced = False
        self._pending = 0
        self._active = 0
        self._committed_usd = self._variance = 0.0
        self._n_planned = 0
        self._n_later = 0
        self._later: list[int] = []
        self._among: frozenset[int] | None = None
        self._followers: dict[bytes, list[Job]] = {}
        self._said: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()

    # -- control ----------------------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Send nothing more; what is in flight is waited for. Called again, what is in flight is given up."""
        if self.stats.stopping is None:
            self.stats.stopping = why
            self._stopped.set()
            self._wake()
        elif why == "interrupted":
            for task in self._tasks:
                task.cancel()

    def _halted(self) -> bool:
        return self.stats.stopping is not None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self, timeout_s: float | None = None) -> None:
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
        self._slow_checks = asyncio.Semaphore(_SLOW_CHECKS)
        self.scribe = Scribe(self.ledger, self.journal)
        self.books = Books(
            self.run,
            self.ledger,
            self.scribe,
            decider=self.decider,
            settings=self.settings,
            stats=self.stats,
            clock=self.clock,
        )
        self._lanes = self._make_lanes()
        try:
            await self._finish_checks()
            self._tasks = [
                asyncio.create_task(self._work(lane)) for lane in self._lanes.values() for _ in range(lane.most)
            ]
            self._tasks.append(asyncio.create_task(self._produce_all()))
            while not self._over() and not all(task.done() for task in self._tasks):
                await self._change(0.5)
        finally:
            for task in self._tasks:
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.to_thread(self.scribe.close)
        error = self.scribe.failure or self.fatal or self._bug
        if error is not None:
            raise error

    def _over(self) -> bool:
        """Tell whether nothing more will happen."""
        if self.stats.stopping is not None:
            return self._active == 0
        return self._produced and self._pending == 0

    async def _produce_all(self) -> None:
        try:
            await self._produce()
        except ScrimpError as error:
            self.fatal = self.fatal or error
            self.stop("failed")
        except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
            self._bug = error
            self.stop("failed")
        finally:
            self._produced = True
            self._wake()

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
            while self._pending and self.stats.stopping is None:
                await self._change()
            if self._n_later == 0 or self.stats.stopping is not None:
                return
            self.n_left = self._n_later
            self._among = frozenset(self._later) if len(self._later) == self._n_later else None

    async def _go_through(self, *, last: bool) -> None:
        """Read, decide and hand out the rows, a window at a time; stay at most one window ahead."""
        rows = self.rows()
        # Small, so that true costs soon count; large enough that no arm runs dry while the next one is planned.
        widest = max(lane.most for lane in self._lanes.values())
        size = min(WINDOW, max(_LEAST_WINDOW, self.stats.n_rows // 20, 2 * widest))
        while self.stats.stopping is None:
            window = await asyncio.to_thread(self.chooser.read, rows, size)
            if not window:
                return
            states = await self.scribe.submit(partial(self.books.states, window[0].n, window[-1].n))
            for row in window:
                if states.get(row.n) == "unknown":
                    await self.books.write_unknown(row)
            fresh = [row for row in window if row.n not in states]
            if fresh:
                money = await self.scribe.submit(partial(self.books.money, self._committed_usd))
                await self._hand_out(await asyncio.to_thread(self._decide, fresh, money), last=last)
            while self._pending > size and self.stats.stopping is None:
                await self._change()

    def _decide(self, rows: Sequence[Row], money: Money) -> list[Job]:
        """Decide a window (in a thread): predictions, the plan, and for each row its arms in the order of trial."""
        blocked = {name: lane.blocked.message for name, lane in self._lanes.items() if lane.blocked is not None}
        decided = self.chooser.decide(
            rows, self.settings.wishes, replace(money, blocked=money.blocked | blocked), rng=self.rng, now=self.clock()
        )
        decisions = [each.decision for each in decided]
        options = options_of(decisions, self.planner.arms)
        rule = self.planner.solve(
            after=rows[0].n,
            n_left=self.n_left,
            budget_usd=money.budget_usd,
            among=self._among,
            variance=max(0.0, self._variance),
        )
        if rule is not None:
            chosen = self.planner.choose(rule, options)
            decisions = [
                planned(decision, None if j < 0 else self.planner.arms[j])
                for decision, j in zip(decisions, chosen.tolist(), strict=True)
            ]
        jobs = []
        for row, each, decision in zip(rows, decided, decisions, strict=True):
            queue = []
            if decision.arm is not None:
                queue = [decision.choice.taken, *decision.fallbacks()]
            jobs.append(Job(row, decision, each.context, queue, drawn=decision.arm))
        return jobs

    async def _hand_out(self, jobs: list[Job], *, last: bool) -> None:
        """Give each job to its arm: rows that begin alike one after another, so that prompt caches can be used."""
        self.n_left -= len(jobs)
        self._n_planned += sum(bool(job.queue) for job in jobs)
        jobs.sort(key=lambda job: (job.row.prompt.system or "", job.row.prompt.text[:256]))
        for job in jobs:
            if not job.queue and not last and job.decision.choice.propensity_note == PLAN_NOTE:
                self._n_later += 1
                if len(self._later) < _MOST_LATER:
                    self._later.append(job.row.n)
                continue
            self._pending += 1
            if not job.queue:
                await self._refuse(job)
                continue
            if int.from_bytes((key := content_key(job.row))[:8], "little") in self.repeated:
                job.same = key
                if key in self._followers:
                    self._followers[key].append(job)
                    continue
                span = await self.scribe.submit(partial(self.books.same_answer, key))
                if span is not None:
                    await self._share(job, result_of(self.journal.read(*span)))
                    continue
                self._followers[key] = []
            self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        guess = forecast(job.option)
        self._commit(job, guess.mean, guess.variance)
        self._lanes[job.option.arm].queue.put_nowait(job)

    async def _refuse(self, job: Job) -> None:
        """Write a row off that no arm can take."""
        options = [
            weighed.option
            for weighed in job.decision.choice.weighed
            if self.settings.wishes.arm in (None, weighed.option.arm)
        ]
        dear = [option for option in options if option.by_cap]
        if dear or all(option.infeasible is None for option in options):
            cheapest = min(dear, key=lambda option: option.bound_nano or 0, default=None)
            why = "the budget does not reach" if cheapest is None else f"{cheapest.arm} {cheapest.infeasible}"
            await self._end(job, "skipped", error=f"not sent: {why}")
        else:
            reasons = "; ".join(f"{option.arm}: {option.infeasible}" for option in options if option.infeasible)
            await self._end(job, "failed", error=f"no arm can take it: {reasons}")

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _work(self, lane: Lane) -> None:
        while True:
            job = await lane.queue.get()
            self._active += 1
            try:
                await self._advance(job, lane)
            except ScrimpError as error:
                self.fatal = self.fatal or error
                self.stop("failed")
            except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
                self._bug = error
                self.stop("failed")
            finally:
                self._active -= 1
                if self.scribe.failure is not None:
                    self.stop("failed")
                self._wake()

    def _commit(self, job: Job, usd: float, variance: float) -> None:
        """Count what a row that is planned and not yet done is expected to cost, as the plan has to leave it."""
        self._committed_usd += usd - job.committed_usd
        self._variance += variance - job.variance
        job.committed_usd, job.variance = usd, variance

    def _gone(self, job: Job) -> None:
        """Count a job that is over, with or without a result."""
        self._commit(job, 0.0, 0.0)
        self._pending -= 1
        self._wake()

    async def _advance(self, job: Job, lane: Lane) -> None:
        """Try one arm; then the row is done, or goes on to the next arm."""
        if self.stats.stopping is not None:
            self._gone(job)
            return
        if job.started is None:
            job.started = time.monotonic()
        if await self._from_cache(job, lane) or await self._try(job, lane):
            return
        if self._halted():
            self._gone(job)
            return
        bound = job.option.bound_nano or 0
        job.queue.pop(0)
        if isinstance(job.refusal, BudgetRefusedError) and not job.errors:
            job.queue = [option for option in job.queue if (option.bound_nano or 0) < bound]
        job.queue = [option for option in job.queue if self._lanes[option.arm].blocked is None]
        if job.queue:
            self._enqueue(job)
            return
        if job.errors:
            arm, error = job.errors[-1]
            self.stats.errors[error.kind] += 1
            await self._end(job, "failed", arm=arm, error=error.message)
        elif isinstance(job.refusal, BudgetRefusedError):
            await self._end(job, "skipped", error=job.refusal.message)
        else:
            why = job.refusal or lane.blocked
            await self._end(job, "failed", arm=lane.arm.name, error="no arm is left" if why is None else why.message)

    async def _try(self, job: Job, lane: Lane) -> bool:
        """Try an arm, again where that may help; return False when it failed for good."""
        from scrimp.routing.calls.faults import CallError

        option = job.option
        if lane.price is None or option.bound_nano is None:
            return False
        elapsed = time.monotonic() - (job.started or 0.0)
        backoff = Backoff(deadline_s=max(0.0, ROW_DEADLINE_S - elapsed), rng=self.rng)
        while True:
            if lane.blocked is not None:
                return False
            call = self._call(job, lane, backoff.left_s)
            await lane.gate.enter()
            try:
                await lane.pace(option)
                reservation = await self._reserve(job, lane)
                if reservation is None:
                    return False
                job.attempts += 1
                self.stats.n_attempts += 1
                try:
                    reply = await self.attempt(call)
                except CallError as error:
                    await self.books.settle_failure(job, lane, reservation, error)
                    self._wake()
                    failure = error
                except asyncio.CancelledError:
                    await asyncio.shield(self.books.give_up(job, reservation))
                    raise
                else:
                    lane.gate.answered()
                    await self._settle(job, lane, reservation, reply)
                    return True
                if failure.kind == "rate_limited":
                    lane.gate.refused(failure.retry_after_s)
            finally:
                lane.gate.leave()
            job.errors.append((option.arm, failure))
            self._block(lane, failure)
            delay = backoff.next_delay(failure) if self.stats.stopping is None else None
            if delay is None:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), delay)

    def _block(self, lane: Lane, error: CallError) -> None:
        """Send nothing more to an arm that will not take any call; stop when none is left."""
        if error.kind not in ("auth", "not_found") or lane.blocked is not None:
            return
        from scrimp.routing.calls.faults import to_scrimp_error

        lane.blocked = to_scrimp_error(error, lane.arm)
        self.say(f"{lane.blocked.message}; no more rows are sent to {lane.arm.name}")
        wanted = self.settings.wishes.arm
        usable = [each for each in self._lanes.values() if wanted in (None, each.arm.name) and each.blocked is None]
        usable = [each for each in usable if each.arm.name not in self.chooser.keyless]
        if not usable:
            self.fatal = self.fatal or lane.blocked
            self.stop("failed")

    def _call(self, job: Job, lane: Lane, left_s: float) -> Call:
        from scrimp.routing.calls.call import Call

        row, arm = job.row, lane.arm
        return Call(
            model=arm.model,
            messages=row.prompt.messages(),
            max_output_tokens=job.option.output_limit,
            api_base=arm.api_base,
            api_key=self.key(arm),
            params={**arm.params, **row.params},
            reasoning_effort=arm.reasoning_effort,
            response_format=row.response_format or row.prompt.response_format(),
            stream=False,
            timeout_s=arm.timeout_s,
            deadline_s=max(1.0, left_s),
        )

    async def _reserve(self, job: Job, lane: Lane) -> Reservation | None:
        """Write the intent to disk and reserve the bound; wait where only live calls stand in the way.

        Return None when a cap leaves too little, or the run was stopped meanwhile.
        """
        while self.stats.stopping is None:
            done = self.scribe.submit(partial(self.books.reserve, job, lane))
            try:
                reservation: Reservation = await asyncio.shield(done)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await asyncio.shield(self.books.release(await done))
                raise
            except RefusedError as refusal:
                if not refusal.only_live:
                    job.refusal = refusal
                    return None
                await self.books.reap()
                await self._change(_BUDGET_WAIT_S)
                continue
            except SuspendedError as error:
                lane.blocked = job.refusal = error
                return None
            job.logged = True
            return reservation
        return None

    # -- settling ---------------------------------------------------------------------------------------------------

    async def _settle(self, job: Job, lane: Lane, reservation: Reservation, reply: Reply) -> None:
        """Write an answer down, run what checks take time, and keep it for others."""
        option = job.option
        given = Given(job.row.prompt.text, reply.finish_reason)
        verdicts, slow = self._check(reply.text, given)
        result, cost = await self.books.settle(job, lane, reservation, reply, verdicts=verdicts, checked=not slow)
        if cost is not None and option.cost_nano:
            self.planner.learn(option.arm, predicted_usd=forecast(option).mean, true_usd=cost / NANO)
            if cost > reservation.bound_nano:
                self.stats.n_breaches += 1
                self._say_once(
                    f"{option.arm} charged above its enforced bound: suspended until "
                    f"`scrimp models resume {option.arm}`"
                )
        if slow:
            result = await self._check_slowly(result, given, verdicts, job.same if lane.is_steady(job) else None)
        if self.cache is not None and result.status == "ok" and reply.finish_reason == "stop":
            self.cache.put(self._cache_key(job, lane), result)
        await self._done(job, result)

    def _check(self, answer: str, given: Given) -> tuple[tuple[Verdict, ...], bool]:
        """Return the verdicts of the quick checks, and whether slow ones are to follow."""
        verdicts = run_checks([check for check in self.settings.checks if not check.slow], answer, given)
        slow = any(check.slow for check in self.settings.checks)
        return verdicts, slow and problem_of(verdicts) is None

    async def _check_slowly(
        self, result: Result, given: Given, verdicts: tuple[Verdict, ...], same: bytes | None = None
    ) -> Result:
        """Run the checks that take time, and write the row's true end."""
        slow = [check for check in self.settings.checks if check.slow]
        async with self._slow_checks:
            verdicts += await asyncio.to_thread(run_checks, slow, result.answer or "", given)
        problem = problem_of(verdicts)
        if problem is not None:
            result = replace(result, status="failed", error=problem)
        await self.books.file(result, same=same, verdicts=verdicts)
        return result

    async def _finish_checks(self) -> None:
        """Run the checks that a kill left undone: their answers are here already, and had passed the quick ones."""
        for span in self.recovered.unchecked if self.recovered is not None else ():
            result = result_of(self.journal.read(*span))
            self._count(await self._check_slowly(result, Given("", result.finish_reason), ()))

    async def _end(self, job: Job, status: Status, *, arm: str | None = None, error: str) -> None:
        """Write down a row that got no answer."""
        result = Result(
            job.row.n,
            job.row.id,
            status,
            job.decision.id,
            arm=arm,
            cost_nano=job.cost_nano,
            error=error,
            at=int(self.clock()),
            cells=job.row.cells,
        )

        await self.books.file(result, error_of=job)
        await self._done(job, result)

    async def _done(self, job: Job, result: Result) -> None:
        """Count a result, and serve the rows that waited for it."""
        self._count(result)
        await self._serve(job, result)
        self._gone(job)
        most = self.settings.max_errors
        if most is not None and self.stats.failed >= most and self.stats.stopping is None:
            self.stop("errors")

    async def _serve(self, job: Job, result: Result) -> None:
        """Answer the rows that ask the same, or have them asked."""
        waiting = self._followers.pop(job.same, []) if job.same is not None else []
        shared = result.status == "ok" and self._lanes[result.arm or ""].is_steady(job)
        for follower in waiting:
            if shared:
                await self._share(follower, result)
            else:
                follower.same = None
                self._enqueue(follower)

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

    async def _from_cache(self, job: Job, lane: Lane) -> bool:
        """Answer a row from the cache; return False when it is not there."""
        if self.cache is None or job.attempts:
            return False
        found = self.cache.get(self._cache_key(job, lane), now=self.clock())
        if found is None:
            return False
        verdicts, slow = self._check(found.answer or "", Given(job.row.prompt.text))
        if problem_of(verdicts) is not None or slow:
            return False
        result = await self._take_over(job, replace(found, arm=lane.arm.name, source="cache"))
        await self._serve(job, result)
        return True

    async def _take_over(self, job: Job, found: Result) -> Result:
        result = replace(found, n=job.row.n, id=job.row.id, cost_nano=0, cells=job.row.cells, at=int(self.clock()))

        await self.books.file(result)
        self._count(result)
        self._gone(job)
        return result

    def _cache_key(self, job: Job, lane: Lane) -> bytes:
        from scrimp.routing.batch.files.cache import cache_key

        return cache_key(job.row, lane.arm, job.option.output_limit)
