"""The engine: plan a window of rows, send them on all arms at once, write down what came; stop when told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError
from scrimp.profiles.money import NANO
from scrimp.routing import budget
from scrimp.routing.ask import Ask, attempt_row, request_row
from scrimp.routing.backoff import Backoff
from scrimp.routing.history import add_label
from scrimp.routing.ledger import instant
from scrimp.routing.prices import check_usage

from . import runs
from .gates import Bucket, ProviderGate
from .money import Money, caps_of, money_left
from .output import Result, result_of
from .plan import PLAN_NOTE, options_of, planned
from .rows import content_key
from .scribe import Scribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.check import Check
    from scrimp.routing.context import Context
    from scrimp.routing.decide import Decider, Decision, Wishes
    from scrimp.routing.dispatch import Call, CallError, Reply
    from scrimp.routing.ledger import Ledger
    from scrimp.routing.policy import Option
    from scrimp.routing.prices import ArmPrice

    from .cache import Cache
    from .choosing import Chooser
    from .output import Journal, Status
    from .plan import Planner
    from .rows import Row
    from .runs import Recovered, Run
    from .scribe import Span

__all__ = ["Engine", "Settings", "Stats"]

WINDOW: Final = 256
"""Rows that are planned together at most; at most two windows are in memory."""

_LEAST_WINDOW: Final = 32
_TURNS: Final = 6
_MOST_LATER: Final = 10_000

ROW_DEADLINE_S: Final = 600.0
"""How long the retries and fallbacks of one row may go on."""

_BUDGET_WAIT_S: Final = 0.25
_REAP_EVERY_S: Final = 5.0
_SLOW_CHECKS: Final = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is to be run.

    Attributes
    ----------
    concurrency
        Calls in flight on each arm, where the arm itself does not say.
    max_errors
        Stop after this many failed rows; None never stops.
    max_cost_nano
        A cap on the whole run, nano-USD.
    keep
        What the log keeps: all, features or money.
    """

    wishes: Wishes
    concurrency: int = 8
    max_errors: int | None = None
    max_cost_nano: int | None = None
    keep: str = "all"
    tag: str | None = None
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class Stats:
    """How far a run has come; kept up to date while it goes on."""

    n_rows: int
    n_before: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    n_same: int = 0
    n_cached: int = 0
    n_attempts: int = 0
    n_breaches: int = 0
    charged_nano: int = 0
    by_arm: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    stopping: str | None = None

    @property
    def done(self) -> int:
        """Rows that have a result, from this process."""
        return self.ok + self.failed + self.skipped + self.unknown

    @property
    def seconds(self) -> float:
        """How long this process has been at it."""
        return time.monotonic() - self.started


@dataclass(slots=True)
class _Job:
    """One row on its way."""

    row: Row
    decision: Decision
    context: Context | None
    queue: list[Option]
    same: bytes | None = None
    attempts: int = 0
    logged: bool = False
    cost_nano: int | None = 0
    started: float | None = None
    errors: list[tuple[str, CallError]] = field(default_factory=list)
    refusal: ScrimpError | None = None
    drawn: str | None = None
    committed_usd: float = 0.0
    variance: float = 0.0

    @property
    def option(self) -> Option:
        """The arm that is tried now."""
        return self.queue[0]


class _Lane:
    """One arm's queue."""

    def __init__(self, arm: Arm, price: ArmPrice | None, gate: ProviderGate, most: int) -> None:
        self.arm = arm
        self.price = price
        self.gate = gate
        self.most = most
        self.queue: asyncio.Queue[_Job] = asyncio.Queue()
        self.requests = None if arm.limits.rpm is None else Bucket(arm.limits.rpm)
        self.tokens = None if arm.limits.tpm is None else Bucket(arm.limits.tpm)
        self.blocked: ScrimpError | None = None
        self.price_id: int | None = None

    async def pace(self, option: Option) -> None:
        """Wait for the arm's own limits a minute."""
        waits = [
            bucket.take(amount)
            for bucket, amount in (
                (self.requests, 1.0),
                (self.tokens, float(option.input_tokens + option.output_tokens_p50)),
            )
            if bucket is not None
        ]
        if waits and max(waits) > 0.0:
            await asyncio.sleep(max(waits))


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
        self._reaped_at = 0.0
        self._n_planned = 0
        self._n_later = 0
        self._later: list[int] = []
        self._among: frozenset[int] | None = None
        self._followers: dict[bytes, list[_Job]] = {}
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

    def _make_lanes(self) -> dict[str, _Lane]:
        gates: dict[str, ProviderGate] = {}
        lanes = {}
        for arm in self.decider.profile.arms:
            most = 1 if arm.model.startswith("local/") else arm.limits.concurrency or self.settings.concurrency
            provider = arm.api_base or arm.provider or arm.model
            gate = gates.setdefault(provider, ProviderGate(0))
            gate.most += most
            gate.limit = float(gate.most)
            lanes[arm.name] = _Lane(arm, self.decider.price(arm.name), gate, most)
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
        size = max(_LEAST_WINDOW, min(WINDOW, self.stats.n_rows // 20))
        while self.stats.stopping is None:
            window = await asyncio.to_thread(self.chooser.read, rows, size)
            if not window:
                return
            states = await self.scribe.submit(partial(self._states, window[0].n, window[-1].n))
            for row in window:
                if states.get(row.n) == "unknown":
                    await self._write_unknown(row)
            fresh = [row for row in window if row.n not in states]
            if fresh:
                money = await self.scribe.submit(self._money)
                await self._hand_out(await asyncio.to_thread(self._decide, fresh, money), last=last)
            while self._pending > size and self.stats.stopping is None:
                await self._change()

    def _states(self, first: int, last: int, _span: Span | None = None) -> dict[int, str]:
        """Return the rows of a range that have a result; unknown ones that the journal has no line for yet as such."""
        rows = self.ledger.rows(
            "SELECT n, status, offset FROM batch_rows WHERE run_id = ? AND n BETWEEN ? AND ?",
            (self.run.id, first, last),
        )
        return {row["n"]: row["status"] if row["offset"] is None else "done" for row in rows}

    async def _write_unknown(self, row: Row) -> None:
        result = Result(
            row.n,
            row.id,
            "unknown",
            None,
            error="in flight when the run was killed: it may have been billed (--retry-unknown asks again)",
            at=int(self.clock()),
            cells=row.cells,
        )

        def write(span: Span | None) -> None:
            found = self.ledger.rows(
                "SELECT request_id, arm FROM batch_rows WHERE run_id = ? AND n = ?", (self.run.id, row.n)
            )[0]
            if span is not None:
                runs.file_row(
                    self.ledger,
                    self.run.id,
                    row.n,
                    status="unknown",
                    request_id=found["request_id"],
                    arm=found["arm"],
                    span=span,
                )

        await self.scribe.submit(write, runs.entry(result))
        self.stats.unknown += 1

    def _money(self, _span: Span | None = None) -> Money:
        return money_left(
            self.ledger,
            self.decider.profile,
            run_id=self.run.id,
            max_cost_nano=self.settings.max_cost_nano,
            committed_usd=self._committed_usd,
            now=self.clock(),
        )

    def _caps(self, arm: str, now: float) -> list[budget.Cap]:
        return caps_of(
            self.ledger,
            self.decider.profile,
            arm,
            run_id=self.run.id,
            max_cost_nano=self.settings.max_cost_nano,
            now=now,
        )

    def _decide(self, rows: Sequence[Row], money: Money) -> list[_Job]:
        """Decide a window (in a thread): predictions, the plan, and for each row its arms in the order of trial."""
        blocked = {name: lane.blocked.message for name, lane in self._lanes.items() if lane.blocked is not None}
        decided = self.chooser.decide(
            rows, self.settings.wishes, replace(money, blocked=money.blocked | blocked), rng=self.rng, now=self.clock()
        )
        decisions = [each.decision for each in decided]
        options = options_of(decisions, self.planner.arms)
        rule = None
        if self.settings.wishes.arm is None:
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
                queue = [self._limited(row, option) for option in (decision.choice.taken, *decision.fallbacks())]
            jobs.append(_Job(row, decision, each.context, queue, drawn=decision.arm))
        return jobs

    def _limited(self, row: Row, option: Option) -> Option:
        """Lower an option's output limit to what the row itself asks for."""
        price = self._lanes[option.arm].price
        if row.max_output_tokens is None or row.max_output_tokens >= option.output_limit or price is None:
            return option
        limit = row.max_output_tokens
        return replace(
            option,
            output_limit=limit,
            output_tokens_p50=min(option.output_tokens_p50, limit),
            output_tokens_p90=min(option.output_tokens_p90, limit),
            bound_nano=price.bound_nano(option.input_bound, limit),
        )

    async def _hand_out(self, jobs: list[_Job], *, last: bool) -> None:
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
                span = await self.scribe.submit(partial(self._same_answer, key))
                if span is not None:
                    await self._share(job, result_of(self.journal.read(*span)))
                    continue
                self._followers[key] = []
            self._enqueue(job)

    def _same_answer(self, key: bytes, _span: Span | None = None) -> Span | None:
        return runs.same_answer(self.ledger, self.run.id, key)

    def _enqueue(self, job: _Job) -> None:
        option = job.option
        cost = (option.cost_nano or 0) / NANO
        self._commit(job, cost, ((option.cost_p90_nano or 0) / NANO - cost) ** 2)
        self._lanes[job.option.arm].queue.put_nowait(job)

    async def _refuse(self, job: _Job) -> None:
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

    async def _work(self, lane: _Lane) -> None:
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

    def _commit(self, job: _Job, usd: float, variance: float) -> None:
        """Count what a row that is planned and not yet done is expected to cost, as the plan has to leave it."""
        self._committed_usd += usd - job.committed_usd
        self._variance += variance - job.variance
        job.committed_usd, job.variance = usd, variance

    def _gone(self, job: _Job) -> None:
        """Count a job that is over, with or without a result."""
        self._commit(job, 0.0, 0.0)
        self._pending -= 1
        self._wake()

    async def _advance(self, job: _Job, lane: _Lane) -> None:
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

    async def _try(self, job: _Job, lane: _Lane) -> bool:
        """Try an arm, again where that may help; return False when it failed for good."""
        from scrimp.routing.faults import CallError

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
                    await self._settle_failure(job, lane, reservation, error)
                    failure = error
                except asyncio.CancelledError:
                    await asyncio.shield(self._give_up(job, reservation))
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

    def _block(self, lane: _Lane, error: CallError) -> None:
        """Send nothing more to an arm that will not take any call; stop when none is left."""
        if error.kind not in ("auth", "not_found") or lane.blocked is not None:
            return
        from scrimp.routing.faults import to_scrimp_error

        lane.blocked = to_scrimp_error(error, lane.arm)
        self.say(f"{lane.blocked.message}; no more rows are sent to {lane.arm.name}")
        wanted = self.settings.wishes.arm
        usable = [each for each in self._lanes.values() if wanted in (None, each.arm.name) and each.blocked is None]
        usable = [each for each in usable if each.arm.name not in self.chooser.keyless]
        if not usable:
            self.fatal = self.fatal or lane.blocked
            self.stop("failed")

    def _call(self, job: _Job, lane: _Lane, left_s: float) -> Call:
        from scrimp.routing.dispatch import Call

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

    async def _reserve(self, job: _Job, lane: _Lane) -> budget.Reservation | None:
        """Write the intent to disk and reserve the bound; wait where only live calls stand in the way.

        Return None when a cap leaves too little, or the run was stopped meanwhile.
        """
        while self.stats.stopping is None:
            done = self.scribe.submit(lambda _span: self._reserve_now(job, lane))
            try:
                reservation: budget.Reservation = await asyncio.shield(done)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await asyncio.shield(self._release(await done))
                raise
            except budget.RefusedError as refusal:
                if not refusal.only_live:
                    job.refusal = refusal
                    return None
                await self._reap()
                await self._change(_BUDGET_WAIT_S)
                continue
            except budget.SuspendedError as error:
                lane.blocked = job.refusal = error
                return None
            job.logged = True
            return reservation
        return None

    def _reserve_now(self, job: _Job, lane: _Lane) -> budget.Reservation:
        now = self.clock()
        option, decision, arm = job.option, job.decision, lane.arm
        assert lane.price is not None  # noqa: S101 - _try has looked
        if lane.price_id is None:
            lane.price_id = budget.price_id(self.ledger, lane.price, model=arm.model, table=self.decider.table, now=now)
        charge = budget.Charge(
            request_id=decision.id,
            profile=decision.profile,
            arm=arm.name,
            bound_nano=option.bound_nano or 0,
            source="batch",
            run_id=self.run.id,
            tag=self.settings.tag,
            price_id=lane.price_id,
        )
        attempt = {
            "request_id": decision.id,
            "seq": job.attempts + 1,
            "kind": "first"
            if job.attempts == 0
            else "retry"
            if job.errors and job.errors[-1][0] == arm.name
            else "fallback",
            "arm": arm.name,
            "requested_model": arm.model,
            "started_at": instant(now),
            "input_bound": option.input_bound,
            "output_limit": option.output_limit,
        }
        request = None
        if not job.logged and self.settings.keep != "money":
            ask = Ask(
                prompt=job.row.prompt,
                wishes=self.settings.wishes,
                command="batch",
                tag=self.settings.tag,
                keep=self.settings.keep,
            )
            request = request_row(ask, decision, job.context, now)
        reservation = budget.reserve(
            self.ledger, charge, self._caps(arm.name, now), now=now, attempt=attempt, request=request
        )
        runs.file_row(self.ledger, self.run.id, job.row.n, status="sent", request_id=decision.id, arm=arm.name)
        return reservation

    async def _reap(self) -> None:
        """Look for reservations of dead processes, now and then."""
        if self.clock() - self._reaped_at >= _REAP_EVERY_S:
            self._reaped_at = self.clock()
            await self.scribe.submit(lambda _span: budget.reap(self.ledger, now=self.clock()))

    async def _release(self, reservation: budget.Reservation) -> None:
        """Give back what was reserved for a call that was not made."""
        await self.scribe.submit(
            lambda _span: budget.settle(self.ledger, reservation, cost_nano=0, released=True, now=self.clock())
        )

    async def _give_up(self, job: _Job, reservation: budget.Reservation) -> None:
        """Record that a call was left before its answer came: it stays charged, and its row is unknown."""
        result = Result(
            job.row.n,
            job.row.id,
            "unknown",
            job.decision.id,
            arm=reservation.arm,
            error="interrupted in flight: it may have been billed (--retry-unknown asks again)",
            at=int(self.clock()),
            cells=job.row.cells,
        )

        def write(span: Span | None) -> None:
            budget.settle(
                self.ledger,
                reservation,
                cost_nano=None,
                now=self.clock(),
                attempt={"error_kind": "interrupted"},
                request=(job.decision.id, {"status": "interrupted", "error": "interrupted"}),
                note="interrupted",
            )
            runs.file_row(
                self.ledger,
                self.run.id,
                job.row.n,
                status="unknown",
                request_id=job.decision.id,
                arm=reservation.arm,
                span=span,
            )

        self.stats.unknown += 1
        self.stats.charged_nano += reservation.bound_nano
        await self.scribe.submit(write, runs.entry(result))

    # -- settling ---------------------------------------------------------------------------------------------------

    def _cost(self, lane: _Lane, option: Option, usage: Any, status: str) -> tuple[int | None, str]:
        """Return what a reply cost (nano-USD; None unknown), and whether its usage can be true."""
        assert lane.price is not None  # noqa: S101 - _try has looked
        if usage is not None:
            status = check_usage(
                usage,
                input_bound=option.input_bound,
                output_limit=option.output_limit,
                window=self.decider.window(option.arm),
            )
            if status == "reported":
                return lane.price.cost_nano(usage), status
        return (0 if option.bound_nano == 0 else None), status

    async def _settle_failure(self, job: _Job, lane: _Lane, reservation: budget.Reservation, error: CallError) -> None:
        """Give back what a failed call certainly did not cost; charge what it reported, or else the whole bound."""
        usage = None if error.reply is None else error.reply.usage
        cost, status = self._cost(lane, job.option, usage, "missing")
        if status != "reported":
            usage = None
        certain = error.billable == "no" and usage is None
        cost = 0 if certain else cost
        columns: dict[str, object] = {"error_kind": error.kind, "error": error.message}
        if error.reply is not None:
            columns |= attempt_row(error.reply, usage, status, cost)
        await self.scribe.submit(
            lambda _span: budget.settle(
                self.ledger,
                reservation,
                cost_nano=cost,
                released=certain,
                now=self.clock(),
                attempt=columns,
                note=None if certain else f"{error.kind}: may have been billed",
            )
        )
        self._charge(job, cost, reservation.bound_nano)
        self._wake()

    def _charge(self, job: _Job, cost: int | None, bound: int) -> None:
        self.stats.charged_nano += bound if cost is None else cost
        job.cost_nano = None if cost is None or job.cost_nano is None else job.cost_nano + cost

    async def _settle(self, job: _Job, lane: _Lane, reservation: budget.Reservation, reply: Reply) -> None:
        """Write an answer down: journal first, then money and row in one transaction; then what depends on it."""
        option = job.option
        cost, usage_status = self._cost(lane, option, reply.usage, reply.usage_status)
        usage = reply.usage if usage_status == "reported" else None
        self._charge(job, cost, reservation.bound_nano)
        if cost is not None and option.cost_nano:
            self.planner.learn(option.arm, predicted_usd=option.cost_nano / NANO, true_usd=cost / NANO)
        problem, slow = self._check(reply.text)
        result = Result(
            job.row.n,
            job.row.id,
            "ok" if problem is None else "failed",
            job.decision.id,
            answer=reply.text,
            arm=option.arm,
            cost_nano=job.cost_nano,
            input_tokens=None if usage is None else usage.input_tokens,
            output_tokens=None if usage is None else usage.output_tokens,
            error=problem,
            finish_reason=reply.finish_reason,
            model=reply.served_model or lane.arm.model,
            at=int(self.clock()),
            cells=job.row.cells,
        )
        columns = attempt_row(reply, usage, usage_status, cost)
        late = {
            "reservation": reservation.id,
            "bound_nano": reservation.bound_nano,
            "profile": reservation.profile,
            "cost_nano": cost,
            "attempt": columns,
        }
        state = "answered" if slow and problem is None else result.status
        same = job.same if self._is_steady(job, lane) else None
        breach = False

        def write(span: Span | None) -> None:
            nonlocal breach
            _status, breach = budget.settle(
                self.ledger,
                reservation,
                cost_nano=cost,
                now=self.clock(),
                attempt=columns,
                request=(
                    job.decision.id,
                    {"status": "ok", "arm": option.arm}
                    | ({"answer": reply.text} if self.settings.keep == "all" else {})
                    | ({"propensity": None} if option.arm != job.drawn else {}),
                ),
                note=f"usage {usage_status}" if usage_status != "reported" else None,
            )
            # An answer that could not be written is lost, and was paid for: to be asked again only on request.
            runs.file_row(
                self.ledger,
                self.run.id,
                job.row.n,
                status="unknown" if span is None else state,
                request_id=job.decision.id,
                arm=option.arm,
                cost_nano=job.cost_nano,
                same=same,
                span=span,
            )
            if self.settings.checks and state != "answered":
                self._label(result)

        await self.scribe.submit(write, runs.entry(result, late, state=state))
        if breach:
            self.stats.n_breaches += 1
            self._say_once(
                f"{option.arm} charged above its enforced bound: it is suspended until `scrimp models resume`"
            )
        if state == "answered":
            result = await self._check_slowly(result, same)
        if self.cache is not None and result.status == "ok" and reply.finish_reason == "stop":
            self.cache.put(self._cache_key(job, lane), result)
        await self._done(job, result)

    def _check(self, answer: str) -> tuple[str | None, bool]:
        """Return what quick checks say of an answer, and whether slow ones are to follow."""
        for check in self.settings.checks:
            if not check.slow and (problem := check.problem(answer)) is not None:
                return problem, False
        return None, any(check.slow for check in self.settings.checks)

    async def _check_slowly(self, result: Result, same: bytes | None) -> Result:
        """Run the checks that take time, and write the row's true end."""
        async with self._slow_checks:
            for check in self.settings.checks:
                if check.slow:
                    problem = await asyncio.to_thread(check.problem, result.answer or "")
                    if problem is not None:
                        result = replace(result, status="failed", error=problem)
                        break

        def write(span: Span | None) -> None:
            if span is not None:
                runs.file_row(
                    self.ledger,
                    self.run.id,
                    result.n,
                    status=result.status,
                    request_id=result.decision_id,
                    arm=result.arm,
                    cost_nano=result.cost_nano,
                    same=same,
                    span=span,
                )
                self._label(result)

        await self.scribe.submit(write, runs.entry(result))
        return result

    def _label(self, result: Result) -> None:
        """Tell the log what the checks found: the router learns from it."""
        if self.settings.keep != "money" and result.decision_id is not None and result.arm is not None:
            add_label(
                self.ledger,
                request_id=result.decision_id,
                arm=result.arm,
                reward=1.0 if result.status == "ok" else 0.0,
                source="check",
                at=instant(self.clock()),
                note=result.error,
            )

    async def _finish_checks(self) -> None:
        """Run the checks that a kill left undone: their answers are here already."""
        for span in self.recovered.unchecked if self.recovered is not None else ():
            result = await self._check_slowly(result_of(self.journal.read(*span)), None)
            self._count(result)

    async def _end(self, job: _Job, status: Status, *, arm: str | None = None, error: str) -> None:
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

        def write(span: Span | None) -> None:
            if span is None:
                return
            runs.file_row(
                self.ledger,
                self.run.id,
                job.row.n,
                status=status,
                request_id=job.decision.id,
                arm=arm,
                cost_nano=job.cost_nano,
                span=span,
            )
            if job.logged and self.settings.keep != "money":
                self.ledger.update("requests", ("id", job.decision.id), {"status": "failed", "error": error})

        await self.scribe.submit(write, runs.entry(result))
        await self._done(job, result)

    async def _done(self, job: _Job, result: Result) -> None:
        """Count a result, and serve the rows that waited for it."""
        self._count(result)
        await self._serve(job, result)
        self._gone(job)
        most = self.settings.max_errors
        if most is not None and self.stats.failed >= most and self.stats.stopping is None:
            self.stop("errors")

    async def _serve(self, job: _Job, result: Result) -> None:
        """Answer the rows that ask the same, or have them asked."""
        waiting = self._followers.pop(job.same, []) if job.same is not None else []
        shared = result.status == "ok" and self._is_steady(job, self._lanes[result.arm or ""])
        for follower in waiting:
            if shared:
                await self._share(follower, result)
            else:
                follower.same = None
                self._enqueue(follower)

    def _count(self, result: Result) -> None:
        stats = self.stats
        setattr(stats, result.status, getattr(stats, result.status) + 1)
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

    def _is_steady(self, job: _Job, lane: _Lane) -> bool:
        """Tell whether the same request would get the same answer: temperature 0."""
        params = {**lane.arm.params, **job.row.params}
        return params.get("temperature", 0 if lane.arm.model.startswith("local/") else None) == 0

    async def _share(self, job: _Job, result: Result) -> None:
        """Give a row the answer of an equal one."""
        await self._take_over(job, replace(result, source="same"))

    async def _from_cache(self, job: _Job, lane: _Lane) -> bool:
        """Answer a row from the cache; return False when it is not there."""
        if self.cache is None or job.attempts:
            return False
        found = self.cache.get(self._cache_key(job, lane), now=self.clock())
        if found is None:
            return False
        problem, slow = self._check(found.answer or "")
        if problem is not None or slow:
            return False
        result = await self._take_over(job, replace(found, arm=lane.arm.name, source="cache"))
        await self._serve(job, result)
        return True

    async def _take_over(self, job: _Job, found: Result) -> Result:
        result = replace(found, n=job.row.n, id=job.row.id, cost_nano=0, cells=job.row.cells, at=int(self.clock()))

        def write(span: Span | None) -> None:
            if span is not None:
                runs.file_row(
                    self.ledger,
                    self.run.id,
                    result.n,
                    status=result.status,
                    request_id=result.decision_id,
                    arm=result.arm,
                    cost_nano=0,
                    span=span,
                )

        await self.scribe.submit(write, runs.entry(result))
        self._count(result)
        self._gone(job)
        return result

    def _cache_key(self, job: _Job, lane: _Lane) -> bytes:
        from .cache import cache_key

        return cache_key(job.row, lane.arm, job.option.output_limit)
