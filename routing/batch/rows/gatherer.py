"""Gathers calls into batches, hands them to providers' Batch APIs, and gives each row its reply when that is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.routing.asking.books import write
from scrimp.routing.asking.paid_call import Halted, Left
from scrimp.routing.batch.state.loose_calls import settled_alone
from scrimp.routing.calls.composed import compose
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.provider_batches.opened import batch_api_of, open_api
from scrimp.routing.calls.provider_batches.protocol import Entry, Result, Undecided
from scrimp.routing.ledger import provider_batches
from scrimp.routing.ledger.provider_batches import Handed
from scrimp.routing.ledger.reservations import Reservation
from scrimp.routing.ledger.store import instant, new_id

from .handed import Given, Item, Submission, outcome_of_result
from .reaching import SETTLES_S, placed, posix_of, reach, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.asking.paid_call import Send
    from scrimp.routing.batch.rows.row_books import RunBooks
    from scrimp.routing.calls.call import Reply
    from scrimp.routing.calls.composed import Composed
    from scrimp.routing.calls.provider_batches.protocol import ProviderBatch, Standing
    from scrimp.routing.deciding.trace import Decision

    from .office import Office

__all__ = ["MOST_PARKED", "Gatherer"]

MOST_PARKED: Final = 20_000
"""Rows in memory whose calls are gathered, or with providers; no more are begun meanwhile."""

_GATHER_S: Final = 300.0
"""The longest that a call waits for others to go with it, seconds."""

_MODEL_KINDS: Final = ("auth", "not_found")


class Gatherer:
    """The calls of a run that go through Batch APIs.

    Parameters
    ----------
    desk, books
        What the rows share, and where it is written.
    key
        Returns an arm's key.

    Attributes
    ----------
    n_parked
        Rows that wait for a reply from here.
    """

    def __init__(self, desk: Office, books: RunBooks, key: Callable[[Arm], str | None]) -> None:
        self.desk = desk
        self.books = books
        self.n_parked = 0
        self._closed = False
        self._key = key
        self._queues: dict[str, list[Item]] = {}
        self._sizes: Counter[str] = Counter()
        self._apis: dict[str, ProviderBatch] = {}
        self._urls: dict[str, str] = {}
        self._open: dict[str, Submission] = {}
        self._held: dict[tuple[str, str], Item] = {}
        self._by_reservation: dict[int, Item] = {}
        for handed in provider_batches.still_held(books.ledger, desk.run.id):
            items: dict[str, Item] = {}
            for held in provider_batches.calls_of(books.ledger, handed.id):
                item = Item(held.id, held.custom_id, held=held, submitted=True)
                items[held.custom_id] = self._by_reservation[held.id] = self._held[held.request_id, held.arm] = item
            self._open[handed.id] = Submission(handed, None, items)
            desk.stats.n_handed += len(items)

    @property
    def active(self) -> bool:
        """Whether any call of the run goes, or went, through a Batch API."""
        return bool(self._open or self.desk.chooser.lanes.arms)

    @property
    def waits(self) -> bool:
        """Whether calls are with providers."""
        return any(not each.over for each in self._open.values())

    # -- for rows ---------------------------------------------------------------------------------------------------

    def held(self, request_id: str, arm: str) -> Reservation | None:
        """Return the reservation of a call that is with a provider already, where its row comes to it again."""
        item = self._held.get((request_id, arm))
        if item is None or item.held is None:
            return None
        return Reservation(item.held.id, item.held.bound_nano, item.held.profile, item.held.arm, "batch")

    async def answer(self, wanted: Send, arm: Arm, decision: Decision, *, keeps: str) -> Reply | CallError:
        """Return what comes of a call, whenever that is.

        Parameters
        ----------
        keeps
            What the log keeps of requests: where nothing, the decision is kept with the call.

        Raises
        ------
        Left
            If the run is left while the call is with its provider.
        Halted
            If it is while the call is not.
        """
        item = self._by_reservation.get(wanted.reservation.id)
        if item is None:
            try:
                composed = compose(wanted.call)
                api = self._api_of(arm, composed)
            except CallError as error:
                return error
            entry = Entry(f"{new_id()}-{wanted.reservation.id}", composed.body)
            size = api.size(entry)
            if size > api.most_bytes:
                return CallError("bad_request", f"{wanted.call.model}: too large for a Batch API", billable="no")
            kept = json.dumps(decision.to_dict()) if keeps == "money" else None
            item = Item(wanted.reservation.id, entry.custom_id, entry, size, kept)
            self._queues.setdefault(arm.name, []).append(item)
            self._sizes[arm.name] += size
        elif item.held is not None:
            self._held.pop((item.held.request_id, item.held.arm), None)
        item.call, item.ticket = wanted.call, wanted.ticket
        wanted.ticket.sent = item.submitted
        began = time.monotonic()
        if item.came is None:
            await self._wait(item)
        wanted.ticket.queued_s = time.monotonic() - began
        assert item.came is not None  # noqa: S101 - it was waited for
        return outcome_of_result(wanted.call, item.came, again=self.desk.settings.lane == "auto")

    async def _wait(self, item: Item) -> None:
        item.future = asyncio.get_running_loop().create_future()
        if self.desk.halted:
            self._drop(item)
            raise Left if item.submitted else Halted
        item.parked = True
        self.n_parked += 1
        self.desk.wake()
        try:
            await item.future
        except asyncio.CancelledError:
            if item.submitted:
                raise Left from None
            self._drop(item)
            raise
        finally:
            self._unpark(item)

    def _unpark(self, item: Item) -> None:
        """Count a row out that goes on: now, and not when it is its task's turn."""
        if item.parked:
            item.parked = False
            self.n_parked -= 1

    def _drop(self, item: Item) -> None:
        for arm, queue in self._queues.items():
            if item in queue:
                queue.remove(item)
                self._sizes[arm] -= item.size

    # -- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hand over what is gathered, and look after what is with providers, until the run sends nothing more."""
        desk = self.desk
        try:
            while not (desk.halted or self._closed):
                await self._hand_over()
                await self._look_after()
                if desk.settings.detach and self._nothing_left_to_do():
                    desk.stop("detached")
                    break
                await desk.change(self._pause_s())
        except Exception as error:  # noqa: BLE001 - raised by the engine, once what is in flight is safe
            desk.fail(error)
        finally:
            self._let_go()

    def close(self) -> None:
        """Have the loop end; cancelling it is not enough: before Python 3.12, `asyncio.wait_for` may lose that."""
        self._closed = True

    def _let_go(self) -> None:
        """Have the rows leave that wait: their calls are with providers, or have not left."""
        waiting = [item for queue in self._queues.values() for item in queue]
        self._queues.clear()
        waiting += [item for each in self._open.values() for item in each.items.values()]
        for item in waiting:
            if item.future is not None and not item.future.done():
                item.future.set_exception(Left() if item.submitted else Halted())

    def _pause_s(self) -> float:
        due = [each.next_at - time.monotonic() for each in self._open.values() if not each.over]
        if any(self._queues.values()):
            due.append(0.5)
        return max(0.01, min(due, default=1.0))

    def _is_still(self) -> bool:
        """Tell whether no other call can come before one of those that are here is answered."""
        desk = self.desk
        return not desk.producing and len(desk.tasks) <= self.n_parked + desk.n_short

    def _nothing_left_to_do(self) -> bool:
        """Tell whether all rows that are left wait for providers, each of which was asked once."""
        opened = all(each.looked or each.over for each in self._open.values())
        return self.n_parked > 0 and opened and not any(self._queues.values()) and self._is_still()

    # -- handing over -----------------------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        still = self._is_still()
        for arm, queue in list(self._queues.items()):
            api = self._apis[arm]
            while queue and not self.desk.halted:
                full = len(queue) >= api.most_requests or self._sizes[arm] > api.most_bytes
                if not (full or still or time.monotonic() - queue[0].gathered_at >= _GATHER_S):
                    break
                n, size = 0, 0
                for item in queue:
                    if n >= api.most_requests or size + item.size > api.most_bytes:
                        break
                    n, size = n + 1, size + item.size
                self._sizes[arm] -= size
                chunk = sorted(queue[:n], key=lambda item: item.reservation_id)
                del queue[:n]
                await self._submit(self.desk.lanes[arm].arm, api, chunk)

    async def _submit(self, arm: Arm, api: ProviderBatch, items: Sequence[Item]) -> None:
        """Record a batch, then hand it over: whatever becomes of this process, it is known what may have been made."""
        desk, name = self.desk, f"scrimp-{new_id()}"
        handed = Handed(
            name, desk.run.id, arm.name, api.api, self._urls[arm.name], None, "submitting", None, len(items), None,
            instant(desk.clock()), None, None,
        )  # fmt: skip
        calls = [(item.reservation_id, item.custom_id, item.decision) for item in items]
        for item in items:  # from here on a kill, or an interrupt, leaves them to whoever looks next
            item.submitted = True
            if item.ticket is not None:
                item.ticket.sent = True
        submission = Submission(handed, api, {item.custom_id: item for item in items}, looked=True)
        self._open[name] = submission
        await self.books.scribe.submit(lambda _span: provider_batches.record(self.books.ledger, handed, calls))
        desk.stats.n_handed += len(items)
        desk.wake()
        try:
            standing = await api.create(name, [item.entry for item in items if item.entry is not None])
        except CallError as error:
            if error.billable == "no":
                await self._note(submission, status="failed", word=error.kind)
                self._end(submission, error)
            else:
                desk.say_once(f"{error.message}; whether the batch was made is looked for", kind=f"made {error.kind}")
                submission.later()
        else:
            for item in items:
                item.entry = None
            await self._stands(submission, standing)
            submission.later()

    def _api_of(self, arm: Arm, composed: Composed) -> ProviderBatch:
        if arm.name not in self._apis:
            api = batch_api_of(arm)
            assert api is not None  # noqa: S101 - else it is none of the lane's
            self._apis[arm.name] = open_api(api, composed, arm.name)
            self._urls[arm.name] = composed.url
        return self._apis[arm.name]

    # -- looking after ----------------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        now = time.monotonic()
        due = [each for each in self._open.values() if not each.over and each.next_at <= now]
        for submission in due:
            if self.desk.halted:
                return
            try:
                await self._look(submission)
            except CallError as error:
                arm = self.desk.lanes[submission.handed.arm].arm
                if error.kind in _MODEL_KINDS:
                    raise to_scrimp_error(error, arm) from None
                self.desk.say_once(f"{error.message}; it is looked at again", kind=f"look {error.kind}")
                submission.looked = True
                submission.later(error.retry_after_s)

    async def _reach(self, submission: Submission) -> ProviderBatch:
        """Return how a batch that an earlier process handed over is reached.

        Raises
        ------
        ScrimpError
            If its arm is not there any more, or goes elsewhere.
        """
        if submission.api is not None:
            return submission.api
        handed = submission.handed
        submission.api = await reach(
            handed, [lane.arm for lane in self.desk.lanes.values()], self._key, self.desk.ready
        )
        return submission.api

    async def _look(self, submission: Submission) -> None:
        api = await self._reach(submission)
        handed = submission.handed
        if handed.provider_id is None and not await self._found(submission, api):
            return
        assert submission.handed.provider_id is not None  # noqa: S101 - it was found
        standing = await api.look(submission.handed.provider_id)
        if standing.state == "going":
            await self._stands(submission, standing)
            submission.looked = True
            submission.later()
            return
        if standing.state == "failed":
            await self._stands(submission, standing)
            self._end(submission, refused(submission.handed, standing))
            return
        got: list[Result] = []
        async for result in api.results(submission.handed.provider_id):
            if result.custom_id:
                self._take(submission, [result])
            else:
                got.append(result)
        if got:
            names = await self.books.scribe.submit(
                lambda _span: provider_batches.added(self.books.ledger, submission.handed.id)
            )
            self._take(submission, placed(got, names))
        await self._stands(submission, standing)
        self._end(submission, None, word=standing.word)

    async def _found(self, submission: Submission, api: ProviderBatch) -> bool:
        """Look for a batch that may have been made; where it certainly was not, its calls are."""
        desk, handed = self.desk, submission.handed
        at = posix_of(handed.at)
        asked_at = desk.clock()
        known = await self.books.scribe.submit(lambda _span: provider_batches.known_ids(self.books.ledger))
        names = await self.books.scribe.submit(lambda _span: provider_batches.added(self.books.ledger, handed.id))
        try:
            found = await api.find(handed.id, names, since=at - SETTLES_S, known=known)
        except Undecided as why:
            desk.say_once(f"{handed.arm}: {why}")
            submission.looked = True
            submission.later()
            return False
        if found is not None:
            await self._note(submission, provider_id=found, status="going")
            return True
        if asked_at - at < SETTLES_S:
            submission.later()
            return False
        await self._note(submission, status="lost")
        error = CallError("connection", f"{handed.arm}: its batch was never made", retryable=True, billable="no")
        self._end(submission, error)
        return False

    def _take(self, submission: Submission, results: Iterable[Result]) -> None:
        for result in results:
            item = submission.items.get(result.custom_id)
            if item is not None and item.came is None:
                self.desk.stats.n_back += 1
                self._give(item, result)

    def _give(self, item: Item, came: Result | Given) -> None:
        item.take(came)
        self._unpark(item)

    def _end(self, submission: Submission, error: CallError | None, *, word: str = "") -> None:
        """Have every call of a batch that is over come to its end."""
        over: Literal["", "expired", "cancelled"] = (
            "expired" if "expire" in word else "cancelled" if "cancel" in word else ""
        )
        for item in submission.items.values():
            if item.came is not None:
                continue
            self.desk.stats.n_back += 1
            if error is not None:
                self._give(item, Given(error))
            elif over:
                self._give(item, Result(item.custom_id, 500, b"{}", over, unbilled=True))
            else:
                why = f"{submission.handed.arm}: the batch is over, and has no result for this request"
                self._give(item, Given(CallError("cut", f"{why}: it may have been billed", billed=True)))
        submission.over = submission.looked = True
        self.desk.wake()

    async def _stands(self, submission: Submission, standing: Standing) -> None:
        """Note how a batch stands, where that has changed."""
        status = {"going": "going", "ended": "ended", "failed": "failed"}[standing.state]
        told: dict[str, Any] = {
            "provider_id": standing.id or submission.handed.provider_id,
            "status": status,
            "word": standing.word,
            "n_done": standing.n_done,
            "expires_at": None if standing.expires_at is None else instant(standing.expires_at),
        }
        if standing.state != "going":
            told["ended_at"] = instant(standing.ended_at or self.desk.clock())
        await self._note(submission, **told)

    async def _note(self, submission: Submission, **told: Any) -> None:
        changed = {name: value for name, value in told.items() if getattr(submission.handed, name) != value}
        if changed:
            submission.handed = replace(submission.handed, **changed)
            ledger = self.books.ledger
            await self.books.scribe.submit(
                lambda _span: provider_batches.standing(ledger, submission.handed.id, **changed)
            )

    # -- the end ----------------------------------------------------------------------------------------------------

    async def settle_rest(self) -> None:
        """Settle the calls that came and that no row asked for: its plan is another now, or it was given up."""
        rest = [item for each in self._open.values() if each.over for item in each.items.values() if item.call is None]
        records = [
            settled_alone(
                item.held,
                item.came if isinstance(item.came, Result) else None,
                never=isinstance(item.came, Given) and item.came.error.billable == "no",
            )
            for item in rest
            if item.held is not None
        ]
        if records:
            ledger, now = self.books.ledger, self.desk.clock()
            await self.books.scribe.submit(lambda _span: write(ledger, records, now=now, at=instant(now)))
