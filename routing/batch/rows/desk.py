"""What the rows of a run share: its state, its lanes, and the say over whether anything more is sent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from scrimp.profiles import collector
from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of
from scrimp.routing.asking.request import TOTAL_DEADLINE_S
from scrimp.routing.batch.planning.plan import forecast
from scrimp.routing.batch.planning.start import in_flight
from scrimp.routing.batch.rows.row_books import Ended, RunBooks
from scrimp.routing.batch.state.recovery import entry
from scrimp.routing.calls.faults import to_scrimp_error
from scrimp.routing.ledger.leases import Limited, limited

from .flow import Flow
from .gates import ProviderGate
from .gatherer import MOST_PARKED, Gatherer
from .jobs import Lane, Limiter
from .shared_limits import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrimp.profiles.schema import Arm
    from scrimp.routing.asking.books import Settlement
    from scrimp.routing.batch.files.output import Result
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.rows.row_books import RowBooks
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.batches import Run

    from .jobs import Job, Settings, Stats

__all__ = ["Desk"]

_SLOW_CHECKS: Final = 4
_REAP_EVERY_S: Final = 5.0
_MOST_SAID: Final = 20
_MOST_OPENERS: Final = 4096
"""Rows that are about the same files follow each other: what a file of a million rows began with is over."""


class Committed(Protocol):
    """A row on its way: what it is still expected to cost (USD), and the variance of that (USD squared)."""

    committed_usd: float
    variance: float


class Desk:
    """The state of one run while it goes on.

    Parameters
    ----------
    run, books
        The run, and where its rows have things written.
    chooser, planner
        Decide rows, and choose between arms for the whole file; the planner learns from true costs.
    settings, stats
        How it is to be run, and how far it has come.
    attempt
        Makes one call: `dispatch.aattempt`, or a stand-in.
    prepare
        Imports or loads what calls to a model take, by its name: done before the first is reserved, so that a kill
        meanwhile costs nothing.
    key
        Returns an arm's key; raises where the arm cannot be called.
    say
        Takes a line for the user.
    clock
        POSIX time.
    flow
        Which rows wait for which, and which go first; None: they go as they stand in the file.
    rows_name_arms
        Whether any row says which arm is to answer it.
    share
        How many processes share the calls that may be in flight.
    """

    def __init__(
        self,
        run: Run,
        books: RowBooks,
        chooser: Chooser,
        planner: Planner,
        settings: Settings,
        stats: Stats,
        *,
        attempt: Callable[[Call, Callable[[], None]], Awaitable[Reply]],
        prepare: Callable[[str], object],
        key: Callable[[Arm], str | None],
        say: Callable[[str], None],
        clock: Callable[[], float],
        flow: Flow | None = None,
        rows_name_arms: bool = False,
        share: int = 1,
    ) -> None:
        self.share = share
        self.on_stop: Callable[[str], None] = lambda _why: None
        self.flow = flow or Flow()
        self.rows_name_arms = rows_name_arms
        self.run = run
        self.books = books
        self.chooser = chooser
        self.decider: Decider = chooser.decider
        self.planner = planner
        self.settings = settings
        self.stats = stats
        self.attempt = attempt
        self.say = say
        self.clock = clock
        self.openers: dict[bytes, asyncio.Event] = {}
        self.stopped = asyncio.Event()
        self.shared: dict[Limited, SharedLimits] = {}
        self.lanes = self._make_lanes()
        self.slow_checks = asyncio.Semaphore(_SLOW_CHECKS)
        self.tasks: set[asyncio.Task[None]] = set()
        self.error: Exception | None = None
        self.pending = 0
        self.producing = True  # the producer reads or decides rows: others may come at once
        self.n_short = 0  # rows that wait for caps
        self.price_ids: dict[tuple[str, str], int] = {}  # of arms with two prices, by lane
        self.committed_usd = self.variance = 0.0
        self._said: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._reaped_at = 0.0
        self._prepare = prepare
        self._prepared: dict[str, asyncio.Task[None]] = {}
        self.gatherer = Gatherer(self, books, key) if isinstance(books, RunBooks) else None

    async def ready(self, model: str) -> None:
        """Wait until calls to a model can be made."""
        if model not in self._prepared:
            self._prepared[model] = asyncio.create_task(asyncio.to_thread(self._get_ready, model))
        await asyncio.shield(self._prepared[model])

    def _get_ready(self, model: str) -> None:
        self._prepare(model)
        collector.set_aside()  # a million objects of litellm's

    def _make_lanes(self) -> dict[str, Lane]:
        gates: dict[str, ProviderGate] = {}
        limiters: dict[str, Limiter] = {}
        lanes = {}
        for arm in self.decider.profile.arms:
            most = -(-in_flight(arm, self.settings.concurrency) // self.share)
            provider = arm.api_base or arm.provider or arm.model
            gate = gates.setdefault(provider, ProviderGate(0))
            if arm.base not in limiters:  # the rungs of a ladder share one
                limiters[arm.base] = Limiter(most, self._shared(arm, most))
                gate.most += most
                gate.limit = float(gate.most)
            lanes[arm.name] = Lane(arm, self.decider.price(arm.name), gate, limiters[arm.base], most)
        return lanes

    def _shared(self, arm: Arm, most: int) -> SharedLimits | None:
        """Return an arm's limits as all processes keep them; None where it has none. Arms of one account share them."""
        what = limited(arm)
        if what is None:
            return None
        if what not in self.shared:
            self.shared[what] = SharedLimits(self.books, what, 0, self.stopped)
        self.shared[what].most += most
        return self.shared[what]

    async def close(self) -> None:
        """Give back what is shared with other processes."""
        for shared in self.shared.values():
            with contextlib.suppress(Exception):  # a dead ledger: this process's end gives them back
                await shared.close()

    # -- control ----------------------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Send nothing more; what is in flight is waited for. Called again, what is in flight is given up."""
        if self.stats.stopping is None:
            self.stats.stopping = why
            self.stopped.set()
            self.wake()
            self.on_stop(why)
        elif why == "interrupted":
            for task in self.tasks:
                task.cancel()
            self.on_stop(why)

    @property
    def halted(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.stats.stopping is not None

    def wake(self) -> None:
        """Tell whoever waits that something has changed."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def change(self, timeout_s: float | None = None) -> None:
        """Wait until something has changed."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        timer = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await waiting
        finally:
            if timer is not None:
                timer.cancel()

    def fail(self, error: Exception) -> None:
        """Stop for good: the error is raised once what is in flight is safe; one for the user goes before a bug."""
        if self.error is None or (isinstance(error, ScrimpError) and not isinstance(self.error, ScrimpError)):
            self.error = error
        self.stop("failed")

    async def reap(self) -> None:
        """Look for reservations of dead processes, now and then."""
        if self.clock() - self._reaped_at >= _REAP_EVERY_S:
            self._reaped_at = self.clock()
            await self.books.reap(self.clock())

    def open_alone(self, key: bytes, opens: asyncio.Event) -> None:
        """Have others that are about the same files wait for a row; who has been answered long ago is forgotten."""
        if len(self.openers) >= _MOST_OPENERS:
            self.openers = {known: first for known, first in self.openers.items() if not first.is_set()}
        self.openers[key] = opens

    # -- rows -------------------------------------------------------------------------------------------------------

    def commit(self, job: Committed, usd: float, variance: float) -> None:
        """Count what a row that is planned and not yet done is expected to cost, as the plan has to leave it."""
        self.committed_usd += usd - job.committed_usd
        self.variance += variance - job.variance
        job.committed_usd, job.variance = usd, variance

    def gone(self, job: Committed) -> None:
        """Count a job that is over, with or without a result."""
        self.commit(job, 0.0, 0.0)
        self.pending -= 1
        self.wake()

    def failed(self, lane: Lane, error: CallError) -> None:
        """Take a failed call into account: an arm that would fail alike for every row rests for the run.

        So does one whose provider asks to wait for longer than a row may take. When no arm is left, the run stops.
        """
        too_long = error.retry_after_s is not None and error.retry_after_s >= TOTAL_DEADLINE_S
        if error.lasting is None and not too_long:
            lane.limiter.prove()
            if error.kind == "rate_limited" or error.retry_after_s is not None:
                lane.gate.refused(error.retry_after_s)
            return
        self.bar(lane.arm.name, to_scrimp_error(error, lane.arm))

    def bar(self, arm: str, error: ScrimpError) -> None:
        """Send no more rows to an arm; when none is left, the run stops."""
        lane = self.lanes[arm]
        if lane.blocked is not None:
            return
        lane.blocked = error
        self.say(f"{error.message}; no more rows are sent to {arm}")
        wanted = None if self.rows_name_arms else self.settings.wishes.arm
        wanted = None if wanted is None else bare_of(wanted)
        usable = [each for each in self.lanes.values() if wanted in (None, each.arm.name) and each.blocked is None]
        if not [each for each in usable if each.arm.name not in self.chooser.keyless]:
            self.fail(error)

    @property
    def busy(self) -> int:
        """How many rows are on their way, less those that wait for a provider's batch, of which there may be many."""
        n = 0 if self.gatherer is None else self.gatherer.n_parked
        return self.pending - n if n < MOST_PARKED else self.pending

    def lane(self, arm: str) -> Lane:
        """Return the lane of an arm, whatever it reads."""
        return self.lanes[bare_of(arm)]

    def settled(self, job: Job, settlement: Settlement, arm: str) -> None:
        """Take a call's true cost into account; `arm` is its arm with what it read."""
        self.stats.charged_nano += settlement.charged_nano
        cost = settlement.cost_nano
        option = job.decision.choice.option(arm)
        if cost is not None and option.cost_nano and settlement.answers:
            self.learn(arm, forecast(option).mean, cost / NANO)
        if settlement.breach:
            self.stats.n_breaches += 1
            self.say_once(
                f"{arm} charged above its enforced bound: suspended until `scrimp models resume {bare_of(arm)}`"
            )

    def learn(self, arm: str, predicted_usd: float, true_usd: float) -> None:
        """Have the plan of the file go by what a call cost."""
        self.planner.learn(arm, predicted_usd=predicted_usd, true_usd=true_usd)

    def is_steady(self, job: Job, arm: str | None) -> bool:
        """Tell whether the same row would get the same answer of an arm."""
        return arm is not None and self.lane(arm).is_steady(job.row)

    def say_once(self, line: str, *, kind: str | None = None) -> None:
        """Say the first of each kind of trouble; the rest is counted."""
        if (kind or line) not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(kind or line)
            self.say(line)

    async def file(self, result: Result) -> None:
        """Write down a result that no call is to be settled for."""
        line = entry(result.n, result.decision_id, (), result)
        await self.books.end(Ended(result.n, result.decision_id, line, result=result))
        self.over(result.n, result.status)

    def over(self, n: int, status: str) -> None:
        """Let the rows go on that waited for a row, now that its result is written."""
        self.flow.ended(n, status)
        if self.flow.has_ready:
            self.wake()
