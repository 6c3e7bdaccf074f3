"""A run from its beginning to its end: planned, begun or taken up again, carried out, written out."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.profiles.money import nano_from_usd
from scrimp.routing.asking.experience import Experience
from scrimp.routing.asking.hinting import open_hinter
from scrimp.routing.asking.housekeeping import look_after
from scrimp.routing.asking.outbox import keep_telling
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.asking.read_labels import informed
from scrimp.routing.asking.refusal import keyless_arms
from scrimp.routing.batch.files.cache import Cache
from scrimp.routing.batch.files.output import (
    Journal,
    Result,
    Shape,
    line_of,
    record_of,
    result_of,
    table_columns,
    write_output,
)
from scrimp.routing.batch.files.scan import good_rows
from scrimp.routing.batch.files.table import header
from scrimp.routing.batch.planning import start
from scrimp.routing.batch.planning.choosing import Chooser
from scrimp.routing.batch.planning.flow_outlook import flow_outlook
from scrimp.routing.batch.planning.lanes import Lanes
from scrimp.routing.batch.planning.row_files import RowReader
from scrimp.routing.batch.rows.flow import Flow
from scrimp.routing.batch.rows.jobs import Stats
from scrimp.routing.batch.state import parked
from scrimp.routing.calls.dispatch import aattempt, aclose, get_ready, warm
from scrimp.routing.guard.sentry import Sentry
from scrimp.routing.ledger import batches, provider_batches
from scrimp.routing.ledger.batches import Run
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.power import SPREAD
from scrimp.routing.plans.record import learned_spread

from .engine import Engine
from .printing import Printing
from .resolving import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.batch.files.delivery import Delivery
    from scrimp.routing.batch.files.graph import Graph
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.files.shelf import Shelf
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.batch.planning.estimate import Estimate
    from scrimp.routing.batch.planning.money import Money
    from scrimp.routing.batch.planning.plan import Planner
    from scrimp.routing.batch.rows.jobs import Settings
    from scrimp.routing.batch.state.recovery import Recovered
    from scrimp.routing.batch.workers.channel import Place
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Prepared", "Task", "Work", "begin", "go_on", "prepare", "with_result"]


@dataclass(frozen=True, slots=True)
class Task:
    """A file of prompts, and what is wanted of it.

    Attributes
    ----------
    key
        Returns an arm's key; raises where the arm cannot be called.
    cache_age_s
        How old a cached answer may be that is used, in seconds; None uses and keeps none.
    unordered
        Whether answers are written as they come, not by the rows' order.
    seed
        Of the sample that is planned on, and of what is explored.
    shelf
        Reads the files that rows are asked about, and was there when they were counted; None: they have none.
    place, n_workers
        Where processes run that take rows, and how many; None: this one asks all of them.
    delivery
        Brings the output to where it goes; None: it is there when it is written.
    write
        Takes the answers as they come, in place of an output; None: there is one.
    on_embedded
        As in `Workspace`.
    """

    source: Source
    found: Scan
    decider: Decider
    goals: start.Goals
    settings: Settings
    paths: Paths
    key: Callable[[Arm], str | None]
    say: Callable[[str], None]
    cache_age_s: float | None = None
    unordered: bool = False
    seed: int | None = None
    shelf: Shelf | None = None
    place: Place | None = None
    n_workers: int = 0
    delivery: Delivery | None = None
    write: Callable[[str], None] | None = None
    on_embedded: Callable[[int, int], None] = lambda _done, _total: None

    @property
    def profile(self) -> Profile:
        """The profile whose arms are asked."""
        return self.decider.profile


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is planned on a sample of its rows.

    Attributes
    ----------
    done
        Places of rows that have a result.
    """

    task: Task
    ledger: Ledger | None
    run_id: str
    done: frozenset[int]
    chooser: Chooser
    planner: Planner
    money: Money
    cache: Cache | None

    def estimate(self) -> Estimate:
        """Return what the run (or the rest of it) would cost and achieve, and how long it would take."""
        task, profile = self.task, self.task.profile
        n_rows = max(0, task.found.n_good - task.found.n_unread - len(self.done))
        guess = self.planner.estimate(
            n_rows=n_rows,
            budget_usd=self.money.budget_usd,
            seconds=start.seconds_of(task.decider, self.planner),
            parallel={arm.name: start.in_flight(arm, task.settings.concurrency) for arm in profile.arms},
        )
        lanes = self.chooser.lanes.saved(guess.arms, self.planner.can_wait)
        if any(lane == "batch" for lane, *_ in lanes):
            guess = replace(guess, time_s=None)
        guess = replace(guess, lanes=lanes)
        graph = task.found.graph
        if graph is None or not n_rows:
            return guess
        flow = flow_outlook(
            graph,
            self.planner.foreseen(n_rows=n_rows, budget_usd=self.money.budget_usd, seconds=self._seconds),
            n_rows=n_rows,
            spread=SPREAD if self.ledger is None else learned_spread(self.ledger),
            deadlines=self._deadlines(),
            answered=self.done,
        )
        # A row is not begun before those are answered that it waits for, however many calls are made at a time.
        longer = flow.path_s is not None and guess.time_s is not None and flow.path_s > guess.time_s
        return replace(guess, flow=flow, time_s=flow.path_s if longer else guess.time_s)

    def _seconds(self, arm: str, read: float, written: float) -> float | None:
        tempo = self.task.decider.tempo(arm)
        return None if tempo is None else tempo.seconds(read, written)

    def _deadlines(self) -> dict[int, float]:
        """Return the deadlines of rows in the graph, seconds from the beginning, by their places."""
        found, every = self.task.found, self.task.settings.deadline_s
        own = {n: found.urgency.get(n, (0, None))[1] for n in (() if found.graph is None else found.graph.ids)}
        limits = {n: [each for each in (limit, every) if each is not None] for n, limit in own.items()}
        return {n: min(each) for n, each in limits.items() if each}


def prepare(
    task: Task,
    ledger: Ledger | None,
    run_id: str,
    *,
    done: frozenset[int] = frozenset(),
    calls: bool,
    began: float | None = None,
) -> Prepared:
    """Plan a run.

    Parameters
    ----------
    calls
        Whether calls will be made: then LiteLLM is imported beside everything else, arms need their keys, and what
        dead processes left in the ledger is cleared.
    began
        When the run began, POSIX time, where it goes on: deadlines count from there.

    Raises
    ------
    ScrimpError
        If no arm can take any row.
    """
    wishes, now = task.settings.wishes, time.time()
    keyless: Mapping[str, ScrimpError] = {}
    cache = None
    if calls:
        if task.place is not None:
            task.place.start(task.n_workers)
        else:
            warm(arm.model for arm in task.profile.arms)
        if task.cache_age_s is not None:
            cache = Cache(task.paths.responses, max_age_s=task.cache_age_s)
            cache.prune(now=now)
        if ledger is not None:
            look_after(ledger, task.profile, now=now)
        keyless = keyless_arms(
            task.profile, task.key, None if task.found.arms else wishes.arm, on_this_machine=wishes.on_this_machine
        )
    hinter = None
    if task.settings.hint or task.settings.use_hint is not None:
        hinter = open_hinter(
            task.paths.hints,
            ledger,
            task.profile.name,
            embed=task.decider.embedder.embed,
            rng=random.Random(task.seed),  # noqa: S311 - a draw, not a secret
            name=task.settings.use_hint,
            say=task.say,
        )
    settings, shelf = task.settings, task.shelf or None
    reader = None
    if shelf is not None:
        task = replace(task, decider=informed(task.decider, ledger))
        reader = RowReader(
            task.decider,
            settings.way,
            wishes.arm,
            wanted=settings.reading,
            budget=settings.read_tokens,
            cache=task.paths.cache if settings.keep == "all" else None,  # it holds words of what is read
        )
    task = replace(task, decider=Experience().of(task.decider, ledger, now=now))
    chooser = Chooser(
        task.decider,
        wishes,
        keyless=keyless,
        hinter=hinter,
        run_id=run_id,
        shelf=shelf,
        reader=reader,
        sentry=Sentry.open(task.profile, task.decider.embedder, task.paths.cache, task.on_embedded),
        tag=settings.tag,
        lanes=Lanes.of(
            settings.lane,
            task.decider,
            ledger,
            run_id=run_id,
            began=now if began is None else began,
            deadline_s=settings.deadline_s,
            soon={n: limit for n, (_, limit) in task.found.urgency.items() if limit is not None},
        ),
    )
    money = start.money_for(ledger, task.profile, task.goals, run_id=run_id, now=now)
    planner = start.plan(
        task.source,
        task.found,
        chooser,
        wishes,
        task.goals,
        money,
        plans=PlanChooser(chooser.decider, task.settings.way, ledger),
        done=done,
        now=now,
        seed=task.seed or 0,
    )
    return Prepared(task, ledger, run_id, done, chooser, planner, money, cache)


def with_result(
    ledger: Ledger, run: Run, *, retry_unknown: bool, retry_errors: bool, retry_cut: bool
) -> frozenset[int]:
    """Return the places of a run's rows that would not be asked again."""
    again = ({"unknown", "sent"} if retry_unknown else set()) | ({"failed", "skipped"} if retry_errors else set())
    again |= {"cut"} if retry_cut else set()
    return frozenset(n for n, state in batches.states(ledger, run.id).items() if state not in again)


def begin(prepared: Prepared, ledger: Ledger, output: Path, *, overwrite: bool, options: Mapping[str, Any]) -> Work:
    """Begin a new run: from here on it can be killed and resumed.

    Raises
    ------
    UsageError
        If another run with this output is not finished, and it is not to be given up (`overwrite`).
    """
    task, now = prepared.task, time.time()
    if overwrite:
        _give_up_old(ledger, output, task.paths.batches, now=now)
    elif batches.latest(ledger, output=output) is not None:  # its answers would be paid for again
        raise UsageError(
            f"a run that writes {options.get('target') or output} is not finished",
            hint="Go on with it (--resume), or start anew (--overwrite).",
        )
    run = Run(
        prepared.run_id,
        instant(now),
        "running",
        task.profile.name,
        str(task.source.path),
        task.found.sha256,
        str(output),
        task.found.n_good,
        {**options, **({} if task.shelf is None else {"digests": task.shelf.to_dict()})},
    )
    return Work(prepared, ledger, run, start.open_new(ledger, run))


def _give_up_old(ledger: Ledger, output: Path, folder: Path, *, now: float) -> None:
    """Drop the unfinished run whose output is to be replaced."""
    old = batches.latest(ledger, output=output, retrying=True)
    if old is not None:
        parked.cancel(ledger, old, folder, now=now, status="replaced")
    partial = batches.partial_of(output)
    if partial.exists():
        Journal.open(partial, new=False).close()
        partial.unlink()


def _ended(ledger: Ledger, run: Run, graph: Graph | None) -> dict[int, str]:
    """Return how those rows ended whose results are in the journal, of those that wait or are waited for."""
    if graph is None:
        return {}
    found = batches.results_of(ledger, run.id, list(graph.ids))
    return {n: status for n, (status, span) in found.items() if span is not None}


def go_on(
    task: Task, ledger: Ledger, run: Run, journal: Journal, recovered: Recovered, *, began: float | None = None
) -> Work:
    """Plan the rest of a run that was opened again; if that cannot be done it is stopped, as it was.

    Parameters
    ----------
    began
        POSIX time from which deadlines count; None: the run's beginning.

    Raises
    ------
    ScrimpError
        If no arm can take any of the rows that are left.
    """
    try:
        done = frozenset(batches.states(ledger, run.id))
        began = parked.began(run) if began is None else began
        prepared = prepare(task, ledger, run.id, done=done, calls=True, began=began)
        return Work(prepared, ledger, run, journal, recovered, began=began)
    except BaseException:
        journal.close()
        batches.finish(ledger, run.id, "stopped", now=time.time())
        raise


class Work:
    """A run that is ready to go.

    Parameters
    ----------
    began
        POSIX time from which deadlines count; None: the run's beginning.
    """

    def __init__(
        self,
        prepared: Prepared,
        ledger: Ledger,
        run: Run,
        journal: Journal,
        recovered: Recovered | None = None,
        *,
        began: float | None = None,
    ) -> None:
        self.task = task = prepared.task
        self.ledger = ledger
        self.run = run
        self.journal = journal
        self.chooser = prepared.chooser
        # Now: the file may have changed by the time that the output is written.
        self._columns = header(task.source) if task.source.format in ("csv", "tsv") else ()
        found = task.found
        self._done = prepared.done
        self._printing: Printing | None = None
        self.resolver = None if found.graph is None else self._resolver(found.graph)
        n_good, n_done = found.n_good, len(prepared.done)
        self.stats = Stats(n_rows=n_good, n_before=n_done, charged_nano=batches.charges(ledger, run.id)[1])
        self.engine = Engine(
            run=run,
            journal=journal,
            ledger=ledger,
            rows=lambda: good_rows(task.source, task.found),
            n_left=n_good - n_done,
            chooser=prepared.chooser,
            planner=prepared.planner,
            settings=task.settings,
            stats=self.stats,
            attempt=aattempt,
            prepare=get_ready,
            key=task.key,
            recovered=recovered,
            repeated=found.repeated,
            flow=Flow(
                found.graph,
                found.urgency,
                n_rows=found.n_rows,
                began=parked.began(run) if began is None else began,
                deadline_s=task.settings.deadline_s,
                over=_ended(ledger, run, found.graph),
            ),
            resolver=self.resolver,
            rows_name_arms=bool(found.arms),
            cache=prepared.cache,
            say=task.say,
            rng=random.Random(task.seed),  # noqa: S311 - exploration, not secrets
            place=task.place,
            n_workers=task.n_workers,
        )

    def _resolver(self, graph: Graph) -> Resolver:
        task, redacts = self.task, self.task.profile.guard.private == "redact"
        return Resolver(
            graph,
            self.ledger,
            self.journal,
            self.run.id,
            rows=lambda: good_rows(task.source, task.found),
            shielded=self.chooser.shielded if redacts else None,
        )

    def _as_asked(self, row: Row) -> Row:
        """Return a row with placeholders as it was written down: with the answers in it that it takes."""
        if self.resolver is not None:
            with suppress(UsageError):
                row = self.resolver.resolved(row)
        return self.chooser.shielded(row)

    @property
    def keeps_answers(self) -> bool:
        """Whether text is kept: rows of a run without can be asked again only until it is finished."""
        return self.task.settings.keep == "all"

    @property
    def waits(self) -> bool:
        """Whether calls of it are with providers' Batch APIs."""
        return self.engine.gatherer.waits

    @property
    def cap_nano(self) -> int | None:
        """The cap on the run, nano-USD."""
        own = self.task.profile.caps.per_run_usd
        caps = (None if own is None else nano_from_usd(own), self.task.settings.max_cost_nano)
        return min((cap for cap in caps if cap is not None), default=None)

    async def answer(self) -> None:
        """Answer the rows, until all have a result or the engine is stopped."""
        task = self.task
        telling = None
        if not task.settings.wishes.on_this_machine:
            telling = asyncio.create_task(keep_telling(self.ledger, lambda: task.profile, task.say))
        reading = None
        if task.write is not None and not self._redacts:
            self._printing = self._print(task.write, *self._form())
            reading = asyncio.create_task(self._printing.follow(lambda: self.engine.stop("unread")))
        try:
            await self.engine.go()
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            await aclose()

    def carry_out(self, drive: Callable[[], None]) -> str:
        """Run to the end, or until stopped; write the output at the end. Return how it ended: finished or stopped.

        Parameters
        ----------
        drive
            Runs `answer` in an event loop.

        Raises
        ------
        BrokenPipeError
            If who read the answers has gone: then it is stopped.
        """
        status = "stopped"
        try:
            drive()
            if self.stats.stopping == "unread" and self._printing is not None and self._printing.error is not None:
                raise self._printing.error
            if self.stats.stopping is None:
                self._write()
                status = "finished"
        finally:
            if status == "stopped" and self._printing is not None:
                self._printing.break_off()
            self.journal.close()
            if status == "finished":
                counts = batches.counts(self.ledger, self.run.id)
                keep = self.keeps_answers and any(counts.get(state) for state in batches.CAN_BE_RETRIED)
                with suppress(ScrimpError):
                    provider_batches.cut_off(self.ledger, self.run.id)
                    parked.park(self.ledger, self.run, self.task.paths.batches, keep=keep)
            with suppress(ScrimpError):
                batches.finish(self.ledger, self.run.id, status, now=time.time())
        if status == "finished" and self.task.delivery is not None:
            Path(self.run.output).unlink(missing_ok=True)
        return status

    @property
    def _redacts(self) -> bool:
        """Whether answers have placeholders, until all are there."""
        return self.task.profile.guard.private == "redact"

    def _form(self) -> tuple[Shape | Callable[[Result], str], str]:
        """Return how each result stands in the output, and what comes first."""
        source, delivery = self.task.source, self.task.delivery
        as_rows = delivery is not None and delivery.takes_rows(source.format)
        shape: Shape | Callable[[Result], str] = "openai" if self.task.found.openai and not as_rows else "jsonl"
        head = ""
        if source.format in ("csv", "tsv") and as_rows:
            shape = record_of(self._columns)
        elif source.format in ("csv", "tsv"):
            shape = source.format
            head = table_columns(self._columns, shape, source.layout)
        return shape, head

    def _print(
        self,
        write: Callable[[str], None],
        shape: Shape | Callable[[Result], str],
        head: str,
        values: Mapping[int, Callable[[str], str]] | None = None,
        *,
        over: bool = False,
    ) -> Printing:
        """Begin to write the answers for who reads along, of a run that is going on or over."""
        task = self.task
        return Printing(
            write,
            lambda result: line_of(result, shape, task.source.layout, values),
            head,
            self.journal,
            None if task.unordered else (row.n for row in good_rows(task.source, task.found)),
            range(task.found.n_rows) if over else self._done,
        )

    def _write(self) -> None:
        source, delivery = self.task.source, self.task.delivery
        if self._printing is not None:
            self._printing.finish()
            return
        shape, head = self._form()
        as_rows = delivery is not None and delivery.takes_rows(source.format)
        spans = batches.spans(self.ledger, self.run.id, ordered=not self.task.unordered)
        values: dict[int, Callable[[str], str]] = {}
        n_sealed = 0
        if self._redacts:
            from scrimp.routing.batch.files.restoring import values_of

            results = (result_of(self.journal.read(*span)) for span in spans)
            values, n_sealed = values_of(results, good_rows(source, self.task.found), self._as_asked)
            spans = batches.spans(self.ledger, self.run.id, ordered=not self.task.unordered)
        if self.task.write is not None:
            self._print(self.task.write, shape, head, values, over=True).finish()
        else:
            write_output(Path(self.run.output), self.journal, spans, shape, head, source.layout, values)
        if delivery is not None:
            delivery.deliver(Path(self.run.output), rows=as_rows)
        if n_sealed:
            rows = "1 row keeps its" if n_sealed == 1 else f"{n_sealed:,} rows keep their"
            self.task.say(f"{rows} placeholders: what they were made of is not what it was (a file, a list of names)")
