"""The engine: every row of a run taken to its end, each on its own; stop when told to."""

from __future__ import annotations

import asyncio
import random
import time
from copy import copy
from typing import TYPE_CHECKING

from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.batch.rows.desk import Desk
from scrimp.routing.batch.rows.row_books import RunBooks
from scrimp.routing.batch.rows.row_runner import RowRunner
from scrimp.routing.batch.workers.crew import Crew
from scrimp.routing.batch.workers.messages import Kit
from scrimp.routing.ledger.reservations import price_id

from .producer import Producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.choosing import Chooser
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.rows.flow import Flow
    from scrimp.routing.batch.rows.gatherer import Gatherer
    from scrimp.routing.batch.rows.jobs import Lane, Settings, Stats
    from scrimp.routing.batch.state.recovery import Recovered
    from scrimp.routing.batch.workers.channel import Place
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

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
    place, n_workers
        Where workers run that take rows, and how many; None: this process asks all of them.
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
        place: Place | None = None,
        n_workers: int = 0,
    ) -> None:
        rng = rng or random.Random()  # noqa: S311 - jitter and exploration, not secrets
        self.books = RunBooks(
            ledger,
            journal,
            run.id,
            chooser.decider.profile,
            max_cost_nano=settings.max_cost_nano,
            clock=clock,
        )
        self.desk = Desk(
            run,
            self.books,
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
        prices = {lane.arm.name: self._price_id(lane) for lane in self.desk.lanes.values() if lane.price is not None}
        self._price_lanes()
        self.runner = RowRunner(self.desk, prices=prices, key=key, repeated=repeated, cache=cache, rng=rng)
        self.crew = None
        if place is not None:
            self.crew = Crew(
                place, n_workers, self._kit(prices, key, n_workers), self.desk, self.books, self.runner.count
            )
            self.desk.on_stop = self.crew.stop
        self._producer = Producer(
            self.desk,
            self.books,
            rows,
            n_left,
            recovered=recovered,
            rng=rng,
            begin=self.runner.begin,
            write_off=self.runner.write_off,
            resolver=resolver,
            crew=self.crew,
        )
        if self.crew is not None:
            self.crew.producer = self._producer
        self._produced = False

    def _kit(self, prices: Mapping[str, int], key: Callable[[Arm], str | None], n_workers: int) -> Kit:
        """Return what each worker is given."""
        desk = self.desk
        chooser = copy(desk.chooser)
        chooser.kept = {}
        arms = [arm for arm in desk.decider.profile.arms if arm.name not in chooser.keyless]
        return Kit(
            run=desk.run,
            chooser=chooser,
            plans=PlanChooser(desk.decider, desk.settings.way, self.books.ledger).away(),
            planner=desk.planner.without_sample(),
            settings=desk.settings,
            flow=desk.flow,
            prices=prices,
            keys={arm.name: key(arm) for arm in arms},
            share=n_workers,
            repeated=self.runner.repeated,
            rows_name_arms=desk.rows_name_arms,
        )

    def _price_id(self, lane: Lane) -> int:
        assert lane.price is not None  # noqa: S101 - the caller has looked
        desk = self.desk
        return price_id(self.books.ledger, lane.price, model=lane.arm.model, table=desk.decider.table, now=desk.clock())

    def _price_lanes(self) -> None:
        """Have the ledger know both prices of the arms that have two."""
        desk = self.desk
        for name, known in desk.chooser.lanes.arms.items():
            model, table = desk.lanes[name].arm.model, desk.decider.table
            for lane, price in (("sync", known.sync), ("batch", known.batch)):
                desk.price_ids[name, lane] = price_id(
                    self.books.ledger, price, model=model, table=table, now=desk.clock()
                )

    @property
    def gatherer(self) -> Gatherer:
        """What waits for providers' batches."""
        assert self.desk.gatherer is not None  # noqa: S101 - the run's own books have one
        return self.desk.gatherer

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
        self.books.open()
        try:
            if self.crew is not None:
                await self.crew.open()
        except BaseException:
            await self._close()
            raise
        producer = asyncio.create_task(self._produce())
        gathers = self.gatherer
        gatherer = asyncio.create_task(gathers.run()) if gathers.active else None
        try:
            while not ((self._produced and desk.pending == 0) or (desk.halted and self._idle)):
                await desk.change(0.5)
            if gatherer is not None and not desk.halted:
                await gathers.settle_rest()
        finally:
            gathers.close()
            apart = [producer] if gatherer is None else [producer, gatherer]
            for task in (*apart, *desk.tasks):
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(*apart, *desk.tasks, return_exceptions=True)
            await self._close()
        error = self.books.failure or desk.error
        if error is not None:
            raise error

    @property
    def _idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.desk.tasks and (self.crew is None or self.crew.idle)

    async def _close(self) -> None:
        if self.crew is not None:
            await self.crew.close()
        await self.desk.close()
        await asyncio.to_thread(self.books.close)

    async def _produce(self) -> None:
        try:
            await self._producer.produce()
        except Exception as error:  # noqa: BLE001 - raised by `go`, once what is in flight is safe
            self.desk.fail(error)
        finally:
            self._produced = True
            self.desk.producing = False
            self.desk.wake()
