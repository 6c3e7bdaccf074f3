"""The run's side of its workers: who has which rows, what is written for them, what becomes of a lost one's rows."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrimp.profiles.errors import ScrimpError
from scrimp.routing.asking.books import Settlement
from scrimp.routing.batch.files.rows import content_key

from .channel import LostError
from .loss import cut_off
from .messages import (
    Answer,
    Asked,
    Bar,
    Broke,
    Finish,
    Gone,
    Idle,
    Learnt,
    Planned,
    Ready,
    Said,
    Stop,
    Window,
    framed,
    own_version,
    unframed,
)
from .outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scrimp.routing.batch.files.output import Result
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.optimise import Rule
    from scrimp.routing.batch.rows.desk import Desk
    from scrimp.routing.batch.rows.row_books import Begun, Ended, RunBooks
    from scrimp.routing.ledger.reservations import Reservation

    from .channel import Channel, Place
    from .messages import Kit

__all__ = ["Crew", "Producing"]

_START_S: Final = 120.0
"""How long a worker may take to be ready, seconds."""

_END_S: Final = 10.0
"""How long it may take to end when there is nothing left to do, seconds."""


class Producing(Protocol):
    """What hands rows out (`producer.Producer`)."""

    def planned(self, *, later: Sequence[int], n_planned: int) -> None:
        """Take note of what came of a window."""
        ...

    def again(self, rows: Sequence[Row], *, alone: bool) -> None:
        """Have rows taken anew; `alone`, by the run itself."""
        ...


@dataclass(slots=True)
class _Given:
    """A row that a worker has."""

    row: Row
    committed_usd: float = 0.0
    variance: float = 0.0
    begun: bool = False
    result: bool = False


@dataclass(slots=True)
class _Mate:
    """A worker, as the run knows it.

    Attributes
    ----------
    given
        Its rows, by place.
    windows
        Rows of the windows that it has not decided.
    held
        The reservations of its calls in flight, by id, and the rows that they are for.
    unheard
        Those of `held` that it was lost before it could be told of.
    writing
        What is being written for it.
    idle
        Whether it has stopped, as it was told to.
    lost, over
        Whether it is gone, and has been heard to the end.
    """

    channel: Channel
    out: Outbox
    given: dict[int, _Given] = field(default_factory=dict)
    windows: dict[int, list[Row]] = field(default_factory=dict)
    held: dict[int, tuple[Begun, Reservation]] = field(default_factory=dict)
    unheard: set[int] = field(default_factory=set)
    writing: set[asyncio.Future[Any]] = field(default_factory=set)
    idle: bool = False
    lost: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Crew:
    """A run's workers.

    Parameters
    ----------
    place, n
        Where they run, and how many.
    kit
        What each is given first.
    desk, books
        What the run's rows share, and where they are written.
    count
        Takes the result of a row.
    """

    def __init__(
        self, place: Place, n: int, kit: Kit, desk: Desk, books: RunBooks, count: Callable[[Result], None]
    ) -> None:
        self.place = place
        self.n = n
        self.producer: Producing | None = None
        self._kit = kit
        self._desk = desk
        self._books = books
        self._count = count
        self._mates: list[_Mate] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._n_windows = 0
        self._mean_usd = 0.0
        self._closing = False
        self._stops: list[str] = []

    async def open(self) -> None:
        """Start the workers, and give each its kit.

        Raises
        ------
        ScrimpError
            If one cannot be started, or is of another version.
        """
        kit = framed([own_version(), framed([self._kit])])
        channels = await self.place.open(self.n)
        try:
            async with asyncio.timeout(_START_S):
                for channel in channels:
                    await channel.send(kit)
                for channel in channels:
                    (ready,) = unframed(await channel.receive())
                    assert isinstance(ready, Ready)  # noqa: S101 - the first thing that any of them says
                    if ready.problem is not None:
                        raise ScrimpError(f"{channel.name} cannot work for this run: {ready.problem}")
        except (LostError, TimeoutError) as error:
            raise ScrimpError(f"a worker could not be started: {error or 'it does not answer'}") from None
        for channel in channels:
            mate = _Mate(channel, Outbox(channel))
            self._mates.append(mate)
            self._run(self._listen(mate))
            self._run(self._send(mate))
        for why in self._stops:  # while they were starting
            for mate in self._mates:
                mate.out.put(Stop(why))

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End them."""
        self._closing = True
        for mate in self._alive():
            mate.out.put(Finish())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await asyncio.gather(*(mate.over.wait() for mate in self._mates))
        writing = [done for mate in self._mates for done in mate.writing]
        if writing:
            await asyncio.wait(writing)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(mate.channel.close() for mate in self._mates), return_exceptions=True)
        await self.place.close()

    # -- rows -------------------------------------------------------------------------------------------------------

    def _alive(self) -> Iterator[_Mate]:
        return (mate for mate in self._mates if not mate.lost)

    @property
    def works(self) -> bool:
        """Whether any worker is left."""
        return any(self._alive())

    def has_room(self, size: int) -> bool:
        """Whether a worker has no more than a window of rows, of so many, on its way."""
        return any(len(mate.given) <= size for mate in self._alive())

    @property
    def idle(self) -> bool:
        """Whether all have stopped that were told to."""
        return all(mate.idle for mate in self._alive()) and not any(mate.writing for mate in self._mates)

    def takes(self, row: Row) -> bool:
        """Whether a worker can take a row: what needs the run's files or its memory stays here."""
        chooser = self._desk.chooser
        return self.works and chooser.hinter is None and not row.digests and not row.prompt.sources

    def hand(self, rows: Sequence[Row], money: Money, rule: Rule | None, *, last: bool) -> None:
        """Give rows out: to who has least to do; those that are equal, or begin alike, to the same one."""
        least = min(self._alive(), key=lambda mate: len(mate.given))
        parts: list[list[Row]] = [[] for _ in self._mates]
        for row in rows:
            key = self._alike(row)
            # By number, which does not change with what they have to do.
            mate = least if key is None else self._mates[key % len(self._mates)]
            parts[self._mates.index(least if mate.lost else mate)].append(row)
        planner = self._desk.planner
        learned = dict(planner.true_usd), dict(planner.predicted_usd), dict(planner.n_true)
        for mate, part in zip(self._mates, parts, strict=True):
            if not part:
                continue
            self._n_windows += 1
            mate.windows[self._n_windows] = part
            for row in part:
                given = mate.given[row.n] = _Given(row)
                self._desk.commit(given, self._mean_usd, 0.0)
            self._desk.pending += len(part)
            mate.out.put(Window(self._n_windows, part, money, rule, learned, last))

    def _alike(self, row: Row) -> int | None:
        """Return what is equal for rows that had better go to the same worker; None: to whichever."""
        if row.opening is not None:
            return int.from_bytes(row.opening[:8], "little")
        repeated = self._kit.repeated
        if not repeated and not row.refs:
            return None
        key = int.from_bytes((row.given or content_key(row))[:8], "little")
        return key if row.refs or key in repeated else None

    def stop(self, why: str) -> None:
        """Have nothing more sent; said again, what is in flight is given up."""
        self._stops.append(why)
        for mate in self._alive():
            mate.out.put(Stop(why))

    # -- what they say ----------------------------------------------------------------------------------------------

    async def _send(self, mate: _Mate) -> None:
        with contextlib.suppress(LostError):  # `_listen` hears of it
            await mate.out.run()

    async def _listen(self, mate: _Mate) -> None:
        try:
            while True:
                for message in unframed(await mate.channel.receive()):
                    self._hear(mate, message)
        except LostError:
            mate.over.set()
            await self._lost(mate)
        except Exception as error:  # noqa: BLE001 - raised by `Engine.go`, once what is in flight is safe
            self._desk.fail(error)

    def _hear(self, mate: _Mate, message: object) -> None:
        desk = self._desk
        if isinstance(message, Asked):
            self._do(mate, message)
        elif isinstance(message, Gone):
            desk.stats.errors.update(message.errors)
            self._gone(mate, message.n)
        elif isinstance(message, Planned):
            self._planned(mate, message)
        elif isinstance(message, Learnt):
            desk.learn(message.arm, message.predicted_usd, message.true_usd)
        elif isinstance(message, Said):
            desk.say_once(message.line, kind=message.kind)
        elif isinstance(message, Bar):
            desk.bar(message.arm, message.error)
            for other in self._alive():
                if other is not mate:
                    other.out.put(message)
        elif isinstance(message, Broke):
            desk.fail(message.error)
        elif isinstance(message, Idle):
            mate.idle = True
            desk.wake()

    def _gone(self, mate: _Mate, n: int) -> None:
        given = mate.given.pop(n, None)
        if given is not None:
            self._desk.gone(given)

    def _planned(self, mate: _Mate, planned: Planned) -> None:
        rows = mate.windows.pop(planned.id)
        for n, usd, variance in planned.costs:
            if (given := mate.given.get(n)) is not None:
                self._desk.commit(given, usd, variance)
        if planned.costs:
            mean = sum(usd for _, usd, _ in planned.costs) / len(planned.costs)
            self._mean_usd = mean if not self._mean_usd else 0.5 * (mean + self._mean_usd)
        for n in (*planned.later, *planned.back):
            self._gone(mate, n)
        assert self.producer is not None  # noqa: S101 - it has handed the window out
        self.producer.planned(later=planned.later, n_planned=planned.n_planned)
        back = set(planned.back)
        self.producer.again([row for row in rows if row.n in back], alone=True)

    # -- writing for them -------------------------------------------------------------------------------------------

    def _do(self, mate: _Mate, asked: Asked) -> None:
        """Do something with the books for a worker; in the order in which it asks."""
        if asked.what == "begin":
            (begun,) = asked.args
            self._desk.stats.n_attempts += 1
            done: asyncio.Future[Any] = self._books.begin(begun)
            done.add_done_callback(lambda done: self._begun(mate, asked.token, begun, done))
        elif asked.what == "end":
            (ended,) = asked.args
            done = self._books.end(ended)
            done.add_done_callback(lambda done: self._ended(mate, ended, done))
        elif asked.what == "reap":
            done = asyncio.ensure_future(self._desk.reap())
        else:
            done = asyncio.ensure_future(getattr(self._books, asked.what)(*asked.args, **asked.named))
            done.add_done_callback(lambda done: self._answer(mate, asked.token, done))
        mate.writing.add(done)
        done.add_done_callback(mate.writing.discard)

    def _answer(self, mate: _Mate, token: int, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or not token or mate.lost:
            return
        error = done.exception()
        mate.out.put(Answer(token, None if error is not None else done.result(), error))

    def _begun(self, mate: _Mate, token: int, begun: Begun, done: asyncio.Future[Reservation]) -> None:
        if not done.cancelled() and done.exception() is None:
            reservation = done.result()
            mate.held[reservation.id] = begun, reservation
            if begun.n in mate.given:
                mate.given[begun.n].begun = True
            if mate.lost:
                mate.unheard.add(reservation.id)
        self._answer(mate, token, done)

    def _ended(self, mate: _Mate, ended: Ended, done: asyncio.Future[str]) -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self._desk.fail(error if isinstance(error, Exception) else ScrimpError(str(error)))
            return
        desk, stats = self._desk, self._desk.stats
        for record in ended.records:
            if isinstance(record, Settlement):
                mate.held.pop(record.reservation.id, None)
                stats.charged_nano += record.charged_nano
                stats.n_breaches += record.breach
        if ended.result is None:
            return
        if (given := mate.given.get(ended.n)) is not None:
            given.result = True
        if ended.result.status == "unknown":
            stats.count("unknown")
        else:
            self._count(ended.result)
        desk.over(ended.n, done.result())

    # -- when one is lost -------------------------------------------------------------------------------------------

    async def _lost(self, mate: _Mate) -> None:
        """Settle what a worker had in flight as unknown, and have its other rows taken anew."""
        desk = self._desk
        mate.lost = True
        if self._closing:
            return
        rest = "the others go on" if self.works else "the run goes on by itself"
        desk.say(f"{mate.channel.name} is lost: {rest}")
        while mate.writing:  # what it had sent by then
            await asyncio.wait(list(mate.writing))
        unknown: set[int] = set()
        writing, now = [], desk.clock()
        for begun, reservation in mate.held.values():
            row, left = mate.given[begun.n].row, reservation.id not in mate.unheard
            ended = cut_off(begun, reservation, row, mate.channel.name, now=now, left=left)
            if begun.n in unknown:  # another call of the same row
                ended = replace(ended, result=None)
            if left:
                unknown.add(begun.n)
                desk.stats.charged_nano += reservation.bound_nano
            writing.append(self._books.end(ended))
        for status in await asyncio.gather(*writing):
            if status:
                desk.stats.count("unknown")
        for n in unknown:
            desk.over(n, "unknown")
        given, mate.given = mate.given, {}
        mate.windows.clear()
        for each in given.values():
            desk.gone(each)
        left_over = [each for n, each in given.items() if n not in unknown and not each.result]
        assert self.producer is not None  # noqa: S101 - it has handed rows out
        self.producer.again([each.row for each in left_over if not each.begun], alone=False)
        self.producer.again([each.row for each in left_over if each.begun], alone=True)
        desk.wake()
