"""A worker: decides the rows that it is given and makes their calls; what is to be written goes to the run."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import AuthError, LedgerError, ScrimpError
from scrimp.routing.batch.rows.desk import Desk
from scrimp.routing.batch.rows.jobs import Stats
from scrimp.routing.batch.rows.row_decider import RowDecider, in_turn, is_left_out
from scrimp.routing.batch.rows.row_runner import RowRunner
from scrimp.routing.calls.dispatch import aattempt, aclose, get_ready, warm

from .channel import LostError
from .messages import (
    Answer,
    Asked,
    Bar,
    Broke,
    Finish,
    Gone,
    Idle,
    Kit,
    Learnt,
    Planned,
    Ready,
    Said,
    Stop,
    Window,
    own_version,
    unframed,
)
from .outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.output import Result
    from scrimp.routing.batch.rows.jobs import Job
    from scrimp.routing.batch.rows.row_books import Begun, Ended
    from scrimp.routing.ledger.leases import Limited, Places, Released
    from scrimp.routing.ledger.reservations import Reservation

    from .channel import Channel

__all__ = ["serve"]


class FarBooks:
    """The run's books, at the other end of a channel (`row_books.RowBooks`).

    Messages arrive in order, so that what was put first is written first; only what the row has to know is waited for.
    """

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._token = 0
        self.failure: LedgerError | None = None

    def _ask(self, what: str, *args: object, **named: object) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            done.set_exception(self.failure)
            return done
        self._token += 1
        self._asked[self._token] = done
        self._out.put(Asked(self._token, what, args, named))
        return done

    def answered(self, answer: Answer) -> None:
        """Hand an answer to whoever waits for it."""
        done = self._asked.pop(answer.token)
        if done.cancelled():
            return
        if answer.error is not None:
            done.set_exception(answer.error)
        else:
            done.set_result(answer.value)

    def lost(self) -> None:
        """Take note that the run is gone: nobody answers any more."""
        self.failure = LedgerError("the run is gone")
        for done in self._asked.values():
            if not done.done():
                done.set_exception(self.failure)

    def begin(self, begun: Begun) -> asyncio.Future[Reservation]:
        """Have a bound reserved; the call counts as sent from then on."""
        return self._ask("begin", replace(begun, sent=True))

    async def sent(self, reservation: Reservation) -> None:
        """Do nothing: it is so already."""

    def end(self, ended: Ended) -> asyncio.Future[str]:
        """Have records written; nobody has to wait for that here."""
        self._out.put(Asked(0, "end", (ended,)))
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        done.set_result("" if ended.result is None else ended.result.status)
        return done

    async def answer_of(self, same: bytes) -> Result | None:
        """Return the answer that an equal row had."""
        found: Result | None = await self._ask("answer_of", same)
        return found

    async def reap(self, now: float) -> None:
        """Have reservations of dead processes looked for."""
        self._out.put(Asked(0, "reap", (now,)))

    async def settle_places(self, account: str, limit: int, *, lease: int | None, wanted: int, keep: int) -> Places:
        """Take part in what all processes share."""
        places: Places = await self._ask("settle_places", account, limit, lease=lease, wanted=wanted, keep=keep)
        return places

    async def leave(self, lease: int) -> None:
        """Give places back."""
        self._out.put(Asked(0, "leave", (lease,)))

    async def take_slice(self, what: Limited, *, requests: int, tokens: int) -> tuple[Released | None, Released | None]:
        """Take of the minute; times are told by this machine's clock."""
        taken: tuple[Released | None, Released | None] = await self._ask(
            "take_slice", what, requests=requests, tokens=tokens
        )
        for released in taken:
            if released is not None:
                released.at = time.monotonic()
        return taken


class FarDesk(Desk):
    """What rows share in a worker; what the run has to know of it is told."""

    out: Outbox

    def learn(self, arm: str, predicted_usd: float, true_usd: float) -> None:
        """Have the plan of the file go by what a call cost."""
        self.out.put(Learnt(arm, predicted_usd, true_usd))

    def gone(self, job: Job) -> None:  # type: ignore[override]
        """Count a job that is over."""
        super().gone(job)
        self.out.put(Gone(job.row.n, tuple(self.stats.errors.elements())))
        self.stats.errors.clear()

    def say_once(self, line: str, *, kind: str | None = None) -> None:
        """Have the run say the first of each kind of trouble."""
        self.out.put(Said(line, kind))

    def bar(self, arm: str, error: ScrimpError) -> None:
        """Send no more rows to an arm, here and elsewhere."""
        if self.lanes[arm].blocked is None:
            self.lanes[arm].blocked = error
            self.out.put(Bar(arm, error))

    def fail(self, error: Exception) -> None:
        """Have the run end."""
        known = error if isinstance(error, ScrimpError) else ScrimpError(f"a worker failed: {error!r:.300}")
        self.out.put(Broke(known))
        self.stop("failed")


class Worker:
    """One that has its kit."""

    def __init__(self, kit: Kit, out: Outbox) -> None:
        self.out = out
        key = _key_of(kit)
        self.books = FarBooks(out)
        self.desk = FarDesk(
            kit.run,
            self.books,
            kit.chooser,
            kit.planner,
            kit.settings,
            Stats(0),
            attempt=aattempt,
            prepare=get_ready,
            key=key,
            say=lambda line: out.put(Said(line)),
            clock=time.time,
            flow=kit.flow,
            rows_name_arms=kit.rows_name_arms,
            share=kit.share,
        )
        self.desk.out = out
        rng = random.Random()  # noqa: S311 - jitter and exploration, not secrets
        self.decider = RowDecider(self.desk, kit.plans, rng)
        self.runner = RowRunner(
            self.desk, prices=kit.prices, key=key, repeated=kit.repeated, cache=None, rng=rng, counts=False
        )
        self.windows: asyncio.Queue[Window] = asyncio.Queue()
        self._ending: asyncio.Task[None] | None = None

    async def work(self) -> None:
        """Take windows as they come."""
        while True:
            window = await self.windows.get()
            if not self.desk.halted:
                try:
                    await self._take(window)
                except Exception as error:  # noqa: BLE001 - the run is told, and ends
                    self.desk.fail(error)

    async def _take(self, window: Window) -> None:
        planner = self.desk.planner
        planner.true_usd, planner.predicted_usd, planner.n_true = map(dict, window.learned)  # type: ignore[assignment]
        jobs = await asyncio.to_thread(self.decider.decide, window.rows, window.money, window.rule)
        later = [] if window.last else [job.row.n for job in jobs if is_left_out(job)]
        back = [job.row.n for job in jobs if job.bids]
        jobs = [self.decider.ranked(job) for job in jobs if job.row.n not in {*later, *back}]
        n_planned = sum(job.decision.arm is not None for job in jobs)
        in_turn(jobs)
        for job in jobs:
            self.desk.pending += 1
            await self.runner.begin(job)
        costs = [(job.row.n, job.committed_usd, job.variance) for job in jobs]
        self.out.put(Planned(window.id, costs, later, back, n_planned))

    def stop(self, why: str) -> None:
        """Send nothing more, and tell when nothing is in flight; said again, give up what is."""
        self.desk.stop(why)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())

    async def give_up(self) -> None:
        """Let go of everything: nobody would hear of it."""
        self.books.lost()
        self.desk.stop("failed")
        tasks = [*self.desk.tasks, *([] if self._ending is None else [self._ending])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        while self.desk.tasks:
            await self.desk.change(0.5)
        self.out.put(Idle())


def _key_of(kit: Kit) -> Callable[[Arm], str | None]:
    def key(arm: Arm) -> str | None:
        if arm.name not in kit.keys:
            raise AuthError(f"no key of arm {arm.name} was given to this worker")
        return kit.keys[arm.name]

    return key


async def serve(channel: Channel) -> None:
    """Work for the run at the other end, until it has nothing more or is gone.

    Of calls in flight when it is gone nothing is heard any more: the run's ledger has them as sent.
    """
    out = Outbox(channel)
    tasks: list[asyncio.Task[None]] = []
    worker: Worker | None = None
    with contextlib.suppress(LostError):
        try:
            kit = await _kit(channel, out)
            if kit is None:
                return
            worker = Worker(kit, out)
            tasks = [asyncio.create_task(out.run()), asyncio.create_task(worker.work())]
            out.put(Ready(own_version()))
            await _listen(channel, worker)
            await worker.desk.close()
            tasks[0].cancel()
            await out.flush()
        finally:
            for task in tasks:
                task.cancel()
            if worker is not None:
                await worker.give_up()
            await asyncio.gather(*tasks, return_exceptions=True)
            await aclose()


async def _kit(channel: Channel, out: Outbox) -> Kit | None:
    """Wait for the kit; None where the run is of another version."""
    version, frame = unframed(await channel.receive())
    if version != own_version():
        out.put(Ready(own_version(), f"it runs {own_version()}, and the run {version}"))
        await out.flush()
        return None
    (kit,) = unframed(frame)
    assert isinstance(kit, Kit)  # noqa: S101 - of the same version
    warm(arm.model for arm in kit.chooser.decider.profile.arms)
    return kit


async def _listen(channel: Channel, worker: Worker) -> None:
    """Do as the run says, until it has nothing more or stops."""
    while True:
        for message in unframed(await channel.receive()):
            if isinstance(message, Answer):
                worker.books.answered(message)
            elif isinstance(message, Window):
                worker.windows.put_nowait(message)
            elif isinstance(message, Bar):
                lane = worker.desk.lanes[message.arm]
                lane.blocked = lane.blocked or message.error
            elif isinstance(message, Stop):
                worker.stop(message.why)
            elif isinstance(message, Finish):
                return
