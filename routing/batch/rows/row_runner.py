"""Rows of a run from their decisions to their results, each on its own, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.asking.asked import Kit
from scrimp.routing.asking.drive import drive
from scrimp.routing.asking.paid_call import Halted
from scrimp.routing.asking.plan_run import plan_run
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.files.rows import content_key
from scrimp.routing.batch.planning.plan import forecast
from scrimp.routing.checks.base import Given, problem_of, run_checks
from scrimp.routing.ledger import batches

from .row_hands import RowHands

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.cache import Cache
    from scrimp.routing.batch.files.output import Status
    from scrimp.routing.batch.files.rows import Row

    from .desk import Desk
    from .jobs import Job

__all__ = ["RowRunner"]


class RowRunner:
    """Asks rows, or answers them as equal ones were.

    Parameters
    ----------
    desk
        What the rows share.
    prices
        The ledger's id of each arm's price.
    key
        Returns an arm's key; raises where the arm cannot be called.
    repeated
        64-bit content hashes of rows that are in the file more than once.
    cache
        Answers of earlier runs; None: none are used or kept.
    counts
        Whether results are counted here; else whoever has the books does so.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        prices: Mapping[str, int],
        key: Callable[[Arm], str | None],
        repeated: frozenset[int],
        cache: Cache | None,
        rng: random.Random,
        counts: bool = True,
    ) -> None:
        self.desk = desk
        self.counts = counts
        self.repeated = repeated
        self.cache = cache
        decider, lanes = desk.decider, desk.chooser.lanes
        self._kit = Kit(
            decider,
            key,
            lambda arm: prices[bare_of(arm)],
            clock=desk.clock,
            rng=rng,
            embed=decider.embedder.embed,
            caps_wait_s=None,
            price_in=lanes.price_in if lanes.arms else None,
        )
        self._followers: dict[bytes, list[Job]] = {}

    # -- beginning --------------------------------------------------------------------------------------------------

    async def begin(self, job: Job) -> None:
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
            answer = await desk.books.answer_of(key)
            if answer is not None:
                await self._share(job, answer)
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

    async def write_off(self, row: Row, status: Status, error: str) -> None:
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
        self.count(result)

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
            if self.counts and hands.result is not None and hands.result.status == "unknown":
                self.desk.stats.count("unknown")
            hands.let_others()
            self.desk.gone(job)
            if self.desk.books.failure is not None:
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
        self.count(result)
        await self._serve(job, result)

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

    def count(self, result: Result) -> None:
        """Count a result, say the first of each kind of trouble, and stop the run where there is too much of it."""
        if not self.counts:
            return
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
        self._stop_at_most()

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
        self.count(result)
        return result

    def _cache_key(self, job: Job, arm: str) -> bytes:
        from scrimp.routing.batch.files.cache import cache_key

        limit, hint = job.decision.choice.option(arm).output_limit, job.the_asked.ask.prompt.hint
        prompt, kind = job.the_asked.ask.prompt, reading_of(arm)
        read: list[Any] | None = None
        if kind is not None and prompt.readings is not None and (sent := prompt.readings.reads.get(kind)) is not None:
            read = [kind, *([each.source, each.start, each.end] for each in sent.spans)]
        return cache_key(job.row, self.desk.lane(arm).arm, limit, hint=hint, read=read)
