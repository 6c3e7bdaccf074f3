"""The books of a run: every write to journal and ledger, in the order that a kill at any point forgives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.asking.log_rows import attempt_row, request_row
from scrimp.routing.asking.request import Ask
from scrimp.routing.batch.files.output import Result
from scrimp.routing.batch.planning.money import Money, caps_of, money_left
from scrimp.routing.batch.state import runs
from scrimp.routing.checks.base import problem_of
from scrimp.routing.ledger.reservations import Charge, Reservation, price_id, reap, reserve, settle
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.record import write_labels
from scrimp.routing.prices.usage import check_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.state.runs import Run
    from scrimp.routing.batch.state.scribe import Scribe, Span
    from scrimp.routing.calls.call import Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.caps import Cap
    from scrimp.routing.ledger.store import Ledger

    from .jobs import Job, Lane, Settings, Stats

__all__ = ["Books"]

_REAP_EVERY_S = 5.0


class Books:
    """Writes what happens to a run's rows.

    Parameters
    ----------
    run, ledger, scribe
        Where to write, and the thread that does.
    clock
        POSIX time.
    """

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        scribe: Scribe,
        *,
        decider: Decider,
        settings: Settings,
        stats: Stats,
        clock: Callable[[], float],
    ) -> None:
        self.run = run
        self.ledger = ledger
        self.scribe = scribe
        self.decider = decider
        self.settings = settings
        self.stats = stats
        self.clock = clock
        self._reaped_at = 0.0

    def states(self, first: int, last: int, _span: Span | None = None) -> dict[int, str]:
        """Return the rows of a range that have a result; unknown ones that the journal has no line for yet as such."""
        rows = self.ledger.rows(
            "SELECT n, status, offset FROM batch_rows WHERE run_id = ? AND n BETWEEN ? AND ?",
            (self.run.id, first, last),
        )
        return {row["n"]: row["status"] if row["offset"] is None else "done" for row in rows}

    async def write_unknown(self, row: Row) -> None:
        """Write down a row that was in flight when the run was killed, now that its id is at hand."""
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
        self.stats.count("unknown")

    def money(self, committed_usd: float, _span: Span | None = None) -> Money:
        """Look up what the caps leave the run."""
        return money_left(
            self.ledger,
            self.decider.profile,
            run_id=self.run.id,
            max_cost_nano=self.settings.max_cost_nano,
            committed_usd=committed_usd,
            now=self.clock(),
        )

    def caps(self, arm: str, now: float) -> list[Cap]:
        """List the caps that stand on a call of an arm."""
        return caps_of(
            self.ledger,
            self.decider.profile,
            arm,
            run_id=self.run.id,
            max_cost_nano=self.settings.max_cost_nano,
            now=now,
        )

    def same_answer(self, key: bytes, _span: Span | None = None) -> Span | None:
        """Return where the journal holds the answer to an equal row, or None."""
        return runs.same_answer(self.ledger, self.run.id, key)

    def reserve(self, job: Job, lane: Lane, _span: Span | None = None) -> Reservation:
        """Write the intent to disk and reserve the bound, in one transaction.

        Raises
        ------
        RefusedError
            If a cap leaves too little.
        SuspendedError
            If the arm takes no calls.
        """
        now = self.clock()
        option, decision, arm = job.option, job.decision, lane.arm
        assert lane.price is not None  # noqa: S101 - _try has looked
        if lane.price_id is None:
            lane.price_id = price_id(self.ledger, lane.price, model=arm.model, table=self.decider.table, now=now)
        charge = Charge(
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
        reservation = reserve(self.ledger, charge, self.caps(arm.name, now), now=now, attempt=attempt, request=request)
        runs.file_row(self.ledger, self.run.id, job.row.n, status="sent", request_id=decision.id, arm=arm.name)
        return reservation

    async def reap(self) -> None:
        """Look for reservations of dead processes, now and then."""
        if self.clock() - self._reaped_at >= _REAP_EVERY_S:
            self._reaped_at = self.clock()
            await self.scribe.submit(lambda _span: reap(self.ledger, now=self.clock()))

    async def release(self, reservation: Reservation) -> None:
        """Give back what was reserved for a call that was not made."""
        await self.scribe.submit(
            lambda _span: settle(self.ledger, reservation, cost_nano=0, released=True, now=self.clock())
        )

    async def give_up(self, job: Job, reservation: Reservation) -> None:
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
            settle(
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

        self.stats.count("unknown")
        self.stats.charged_nano += reservation.bound_nano
        await self.scribe.submit(write, runs.entry(result))

    # -- settling ---------------------------------------------------------------------------------------------------

    def _cost(self, lane: Lane, option: Option, usage: Any, status: str) -> tuple[int | None, str]:
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

    async def settle_failure(self, job: Job, lane: Lane, reservation: Reservation, error: CallError) -> None:
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
            lambda _span: settle(
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

    def _charge(self, job: Job, cost: int | None, bound: int) -> None:
        self.stats.charged_nano += bound if cost is None else cost
        job.cost_nano = None if cost is None or job.cost_nano is None else job.cost_nano + cost

    async def settle(
        self,
        job: Job,
        lane: Lane,
        reservation: Reservation,
        reply: Reply,
        *,
        verdicts: Sequence[Verdict],
        checked: bool,
    ) -> tuple[Result, int | None]:
        """Write an answer down: journal first, then money and row in one transaction.

        Parameters
        ----------
        verdicts
            What the checks run so far said.
        checked
            False when a check has yet to be run.

        Returns
        -------
        tuple
            The result, and what the call cost (nano-USD; None where that is not known).
        """
        option = job.option
        cost, usage_status = self._cost(lane, option, reply.usage, reply.usage_status)
        usage = reply.usage if usage_status == "reported" else None
        self._charge(job, cost, reservation.bound_nano)
        problem = problem_of(verdicts)
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
        state = result.status if checked else "answered"
        same = job.same if lane.is_steady(job) else None

        def write(span: Span | None) -> None:
            settle(
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
            if checked:
                self.label(result, verdicts)

        await self.scribe.submit(write, runs.entry(result, late, state=state))
        return result, cost

    async def file(
        self,
        result: Result,
        *,
        same: bytes | None = None,
        error_of: Job | None = None,
        verdicts: Sequence[Verdict] = (),
    ) -> None:
        """Write a result down that no call is to be settled for.

        Parameters
        ----------
        same
            What equal rows find it by.
        error_of
            The row that got no answer: the log's request is closed too.
        verdicts
            What the checks said, to be labels of the answer.
        """

        def write(span: Span | None) -> None:
            if span is None:
                return
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
            if error_of is not None and error_of.logged and self.settings.keep != "money":
                values: dict[str, object] = {"status": "failed", "error": result.error}
                self.ledger.update("requests", ("id", error_of.decision.id), values)
            self.label(result, verdicts)

        await self.scribe.submit(write, runs.entry(result))

    def label(self, result: Result, verdicts: Sequence[Verdict]) -> None:
        """Tell the log what each check found: the router learns from it."""
        if self.settings.keep != "money" and result.decision_id is not None and result.arm is not None:
            write_labels(
                self.ledger,
                result.decision_id,
                result.arm,
                verdicts,
                {check.name: check.kind for check in self.settings.checks},
                at=instant(self.clock()),
                keep_evidence=self.settings.keep == "all",
            )
