"""A batch that is with a provider, and the calls in it, as the run that waits for them knows them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrimp.routing.calls.composed import read_reply
from scrimp.routing.calls.faults import CallError

if TYPE_CHECKING:
    import asyncio

    from scrimp.routing.asking.paid_call import Ticket
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.calls.provider_batches.protocol import Entry, ProviderBatch, Result
    from scrimp.routing.ledger.provider_batches import Handed, Held

__all__ = ["Given", "GivenUp", "Item", "Submission", "outcome_of_result"]

_LEAST_S: Final = 1.0
_MOST_S: Final = 60.0
_SHARE: Final = 0.05
"""A batch is looked at again when it is older by this share: soon at first, every minute later."""


class GivenUp(CallError):  # noqa: N818 - as `CallError`, it says what came of a call
    """A request that expired in its batch, or was cancelled there: it was not answered, and costs nothing."""


@dataclass(frozen=True, slots=True)
class Given:
    """What came of a request that is no result of its own.

    Attributes
    ----------
    error
        What its row is told.
    """

    error: CallError


@dataclass(slots=True)
class Item:
    """One call.

    Attributes
    ----------
    reservation_id, custom_id
        What is held for it, and by which name its result is told.
    entry
        What is handed over; None where an earlier process did that.
    decision
        JSON of its row's decision, where the log keeps none.
    held
        As the ledger has it, where an earlier process handed it over.
    call, ticket, future
        What its row waits with; None until it asks.
    came
        What came of it; None before that.
    parked
        Whether its row waits for that.
    """

    reservation_id: int
    custom_id: str
    entry: Entry | None = None
    size: int = 0
    decision: str | None = None
    held: Held | None = None
    call: Call | None = None
    ticket: Ticket | None = None
    future: asyncio.Future[None] | None = None
    came: Result | Given | None = None
    parked: bool = False
    submitted: bool = False
    gathered_at: float = field(default_factory=time.monotonic)

    def take(self, came: Result | Given) -> None:
        """Take what came; the first counts."""
        if self.came is None:
            self.came = came
            if self.future is not None and not self.future.done():
                self.future.set_result(None)


@dataclass(slots=True)
class Submission:
    """One batch.

    Attributes
    ----------
    handed
        As the ledger has it.
    api
        How it is reached; None where that has not been worked out.
    items
        Its calls that are not settled, by custom id.
    looked
        Whether it was looked at in this process, or made in it.
    """

    handed: Handed
    api: ProviderBatch | None
    items: dict[str, Item]
    looked: bool = False
    over: bool = False
    began: float = field(default_factory=time.monotonic)
    next_at: float = 0.0

    def later(self, wait_s: float | None = None) -> None:
        """Set when it is looked at again."""
        now = time.monotonic()
        self.next_at = now + (wait_s or min(_MOST_S, max(_LEAST_S, (now - self.began) * _SHARE)))


def outcome_of_result(call: Call, came: Result | Given, *, again: bool) -> Reply | CallError:
    """Return what a call came to.

    Parameters
    ----------
    again
        Whether one that was given up may be asked again.
    """
    if isinstance(came, Given):
        return came.error
    if came.over:
        why = "it expired in its provider's batch" if came.over == "expired" else "it was cancelled at its provider"
        return GivenUp("timeout", f"{call.model}: {why}, unanswered: it cost nothing", retryable=again, billable="no")
    outcome = read_reply(call, came.status, came.body)
    if isinstance(outcome, CallError) and came.unbilled and outcome.billable != "no":
        return outcome.harmless()
    return outcome
