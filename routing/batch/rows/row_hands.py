"""Carries out what one row of a run wants: in its lane's turn, under the run's caps, on record by the scribe."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, DataError, LedgerError, ScrimpError
from scrimp.routing.asking.books import Called, Closing, Settlement
from scrimp.routing.asking.hands import given_of
from scrimp.routing.asking.paid_call import Halted
from scrimp.routing.asking.request import why_cut
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.rows.row_books import Begun, Ended
from scrimp.routing.batch.state.recovery import entry
from scrimp.routing.calls.faults import CallError
from scrimp.routing.checks.base import problem_of, run_checks
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.suspensions import SuspendedError

from .handed import GivenUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.routing.asking.books import Record
    from scrimp.routing.asking.paid_call import Pause, Reserve, Send
    from scrimp.routing.asking.request import Checked
    from scrimp.routing.batch.files.output import Status
    from scrimp.routing.calls.call import Reply
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.strategies.protocol import Test

    from .desk import Desk
    from .jobs import Job, Lane

__all__ = ["RowHands", "too_late"]

BUDGET_WAIT_S = 0.25


class TooLateError(Halted):
    """A row's deadline passed before anything of it was sent; `args` has the seconds since."""


class RowHands:
    """Does what one row wants done.

    Attributes
    ----------
    result
        How the row ended; None while it goes on, and where it is left to be resumed.
    """

    def __init__(self, desk: Desk, job: Job) -> None:
        self.desk = desk
        self.job = job
        self.result: Result | None = None
        self._lane: Lane | None = None
        self._arms: dict[int, str] = {}
        self._opens: asyncio.Event | None = None
        self._through_batch = False
        self._given_up: str | None = None

    # -- calls ------------------------------------------------------------------------------------------------------

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Wait for the arm's turn, then write the intent to disk and reserve the bound, in one transaction."""
        desk = self.desk
        lane = desk.lanes[wanted.charge.arm]
        if self._given_up is not None:
            raise ArmUnavailableError(self._given_up)
        gatherer = desk.gatherer
        held = None if gatherer is None else gatherer.held(wanted.charge.request_id, wanted.charge.arm)
        if held is None and desk.chooser.lanes.takes(lane.arm.name, self.job.row, desk.clock()):
            await desk.ready(lane.arm.model)
            self._look_before(lane)
            self._look_at_the_clock()
            held = await self._reserve(wanted, "batch")
        if held is not None:
            self._through_batch = True
            self._arms[held.id] = wanted.option.arm
            return held
        await desk.ready(lane.arm.model)
        await self._after_the_first(wanted)
        await lane.enter(wanted.option, self.job.rank)
        try:
            self._look_before(lane)
            self._look_at_the_clock()
            two = lane.arm.name in desk.chooser.lanes.arms
            reservation = await self._reserve(wanted, "sync" if two else None)
        except SuspendedError as error:
            lane.blocked = error
            lane.leave()
            raise
        except BaseException:
            lane.leave()
            raise
        self._lane = lane
        self._arms[reservation.id] = wanted.option.arm
        return reservation

    async def _after_the_first(self, wanted: Reserve) -> None:
        """Wait until the first row is answered that begins alike: with the same files whole, or the same long answer.

        The first goes at once, and other rows do meanwhile; its provider has that in its cache then.
        """
        key = None if self._opens is not None else self._opening(wanted)
        if key is None:
            return
        first = self.desk.openers.get(key)
        if first is None:
            self.desk.open_alone(key, opens := asyncio.Event())
            self._opens = opens
        else:
            await first.wait()

    def _opening(self, wanted: Reserve) -> bytes | None:
        """Return what is equal for calls that help each other by a provider's cache; None where none would."""
        row, arm = self.job.row, wanted.charge.arm
        if wanted.option.cached_tokens is not None and row.digests:
            return hashlib.sha256("\0".join((arm, row.prompt.told or "", *row.digests)).encode()).digest()
        price = self.desk.lanes[arm].price
        # One that wants a mark in the call keeps nothing without; and who is in a hurry does not wait.
        if row.opening is None or row.digests or self.job.due is not None or price is None:
            return None
        kept = price.cache_read is not None and price.cache_read < price.input and not price.keeps_what_is_marked
        return arm.encode() + row.opening if kept else None

    def let_others(self) -> None:
        """Let the rows go on that wait for this one to have its files kept."""
        if self._opens is not None:
            self._opens.set()

    def _look_before(self, lane: Lane) -> None:
        """Refuse to go on where nothing more is to be sent: by the run, or to this arm."""
        if self.desk.halted:
            raise Halted
        if lane.blocked is not None:
            raise ArmUnavailableError(lane.blocked.message)

    def _look_at_the_clock(self) -> None:
        """Leave a row unasked whose deadline has passed before anything of it was sent."""
        job = self.job
        if job.due is None or job.bill.n_attempts or job.recorded:
            return
        late = self.desk.clock() - job.due
        if late >= 0.0:
            raise TooLateError(late)

    async def _reserve(self, wanted: Reserve, lane: str | None) -> Reservation:
        """Reserve the bound, at the price of a lane where the arm has two."""
        desk, charge, attempt = self.desk, wanted.charge, wanted.attempt
        if lane is not None:
            option = wanted.option
            bound = desk.chooser.lanes.price_in(charge.arm, lane).bound_nano(option.input_bound, option.output_limit)
            charge = replace(charge, bound_nano=bound, price_id=desk.price_ids[charge.arm, lane])
        if lane == "batch":
            attempt = {**attempt, "lane": lane}

        done = desk.books.begin(
            Begun(
                self.job.row.n,
                wanted.option.arm,
                charge,
                wanted.own_caps,
                attempt,
                None if wanted.request is None else wanted.request(),
            )
        )
        try:
            reservation = await asyncio.shield(done)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._give_back(await done))
            raise
        return reservation if lane is None else replace(reservation, lane=lane)

    async def _give_back(self, reservation: Reservation) -> None:
        """Release what was reserved for a call that was not made."""
        await self.write([Settlement(reservation, 0, released=True, attempt={"error_kind": "interrupted"})])

    async def send(self, wanted: Send) -> Reply | CallError:
        """Make a call; the arm's turn is over when it is settled."""
        desk, lane = self.desk, self._lane
        desk.stats.n_attempts += 1
        if self._through_batch:
            return await self._hand_over(wanted)
        assert lane is not None  # noqa: S101 - reserved just now
        ticket = wanted.ticket

        def leaving() -> None:
            ticket.sent = True

        await desk.books.sent(wanted.reservation)
        try:
            reply = await desk.attempt(wanted.call, leaving)
        except CallError as error:
            desk.failed(lane, error)
            return error
        else:
            lane.limiter.prove()
            lane.gate.answered()
            return reply

    async def _hand_over(self, wanted: Send) -> Reply | CallError:
        """Have a call go with its provider's next batch, and wait for what comes of it."""
        desk, lane = self.desk, self.desk.lanes[wanted.reservation.arm]
        self._through_batch = False
        assert desk.gatherer is not None  # noqa: S101 - it held, or was to take, the call
        outcome = await desk.gatherer.answer(wanted, lane.arm, self.job.decision, keeps=desk.settings.keep)
        if isinstance(outcome, CallError):
            desk.failed(lane, outcome)
            if isinstance(outcome, GivenUp) and desk.settings.lane == "batch":
                self._given_up = outcome.message
        return outcome

    def _leave(self) -> None:
        """Let the next call have the arm's turn."""
        if self._lane is not None:
            self._lane.leave()
            self._lane = None
            self.let_others()
            self.desk.wake()

    async def pause(self, wanted: Pause) -> None:
        """Wait, unless the run stops."""
        desk = self.desk
        if wanted.for_caps:
            await desk.reap()
            desk.n_short += 1
            try:
                await desk.change(BUDGET_WAIT_S)
            finally:
                desk.n_short -= 1
        elif not desk.halted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(desk.stopped.wait(), wanted.seconds)
        if desk.halted:
            raise Halted

    async def test(self, wanted: Test) -> tuple[Verdict, ...]:
        """Run checks; those that take time in a thread, a few at once."""
        given = given_of(self.job.the_asked.ask.prompt, wanted)
        if not any(check.slow for check in wanted.checks):
            return run_checks(wanted.checks, wanted.text, given)
        async with self.desk.slow_checks:
            return await asyncio.to_thread(run_checks, wanted.checks, wanted.text, given)

    # -- writing ----------------------------------------------------------------------------------------------------

    async def write(self, records: list[Record]) -> None:
        """Have records written: journal first, then the ledger."""
        try:
            await self._put(records, None)
        finally:
            self._leave()

    async def finish(self, records: list[Record], outcome: Checked | BaseException) -> None:
        """Have the last records written, with the row's result."""
        try:
            if isinstance(outcome, (LedgerError, DataError)):
                return
            self.result = self._result(records, outcome)
            if records or self.result is not None:
                await asyncio.shield(self._put(records, self.result))
        finally:
            self._leave()

    async def _put(self, records: list[Record], result: Result | None) -> None:
        desk, job = self.desk, self.job
        for record in records:
            if isinstance(record, Settlement):
                desk.settled(job, record, self._arms.get(record.reservation.id, record.reservation.arm))
        over = result is not None and any(isinstance(record, Closing) for record in records)
        if over:
            records = _without_what_follows(records)
        request_id = job.decision.id
        line = entry(job.row.n, request_id, records, result)
        shared = result is not None and result.status in batches.ANSWERED and desk.is_steady(job, result.arm)
        same = job.same if shared else None

        status = await desk.books.end(Ended(job.row.n, request_id, line, tuple(records), result, same))
        if result is not None:
            desk.over(job.row.n, status)

    def _result(self, records: list[Record], outcome: Checked | BaseException) -> Result | None:
        """Return how the row ended; None where it is left to be resumed."""
        job = self.job
        make: Callable[..., Result] = partial(
            Result,
            job.row.n,
            job.row.id,
            decision_id=job.decision.id,
            cost_nano=job.bill.cost_nano,
            at=int(self.desk.clock()),
            cells=job.row.cells,
            sealed=job.row.sealed,
        )
        if isinstance(outcome, TooLateError):
            return make(status="skipped", error=too_late(outcome.args[0]))
        if isinstance(outcome, Halted):
            return None
        if self._given_up is not None and isinstance(outcome, ScrimpError):
            return make(status="skipped", error=self._given_up)
        if isinstance(outcome, BudgetRefusedError) and not job.bill.errors:
            return make(status="skipped", error=outcome.message)
        if isinstance(outcome, ScrimpError):
            arm, error, finish = job.decision.arm, outcome.message, None
            if job.bill.errors:
                arm, failure = job.bill.errors[-1]
                error = failure.message
                finish = None if failure.reply is None else failure.reply.finish_reason
                self.desk.stats.errors[failure.kind] += 1
            part = job.bill.partial or None
            return make(status="failed", answer=part, arm=arm, error=error, finish_reason=finish)
        if isinstance(outcome, BaseException):
            out = [each for each in records if isinstance(each, Settlement) and each.cost_nano is None]
            if not out:
                return None
            why = "interrupted in flight: it may have been billed (--retry-unknown asks again)"
            last = out[-1].reservation
            return make(status="unknown", arm=self._arms.get(last.id, last.arm), error=why, cost_nano=None)
        answer = outcome.answer
        problem = problem_of(outcome.verdicts)
        limit = answer.decision.choice.option(answer.arm).output_limit
        cut = why_cut(answer.finish_reason, limit, brief=answer.decision.brief)
        status: Status = "failed" if problem is not None else "ok" if cut is None else "cut"
        return make(
            status=status,
            answer=answer.text,
            arm=answer.arm,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            error="; ".join(each for each in (problem, cut) if each is not None) or None,
            finish_reason=answer.finish_reason,
            note=answer.prompt_cut,
            model=answer.served_model or answer.requested_model,
        )


def too_late(seconds: float) -> str:
    """Return why a row is not sent whose deadline has passed."""
    return (
        f"not sent: its deadline passed {seconds:,.0f} s ago" if seconds >= 1 else "not sent: its deadline has passed"
    )


def _without_what_follows(records: list[Record]) -> list[Record]:
    """Leave out of a request's last records what its end says anyway: the answer in hand, and where to resume."""
    return [
        replace(record, request={}) if isinstance(record, Settlement) else record
        for record in records
        if not isinstance(record, Called)
    ]
