"""What is wanted of a provider's Batch API, whichever provider it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import Any

__all__ = ["CLOCKS_S", "WINDOW_S", "Entry", "Over", "ProviderBatch", "Result", "Standing", "State", "Undecided"]

WINDOW_S: Final = 86_400.0
"""Within how many seconds all three providers promise an answer, or to give the request up."""

CLOCKS_S: Final = 300.0
"""By how much a provider's clock and this machine's may differ, seconds."""

State = Literal["going", "ended", "failed"]
"""How a batch stands: at work, over with its results to be had, or refused as a whole, with nothing done."""

Over = Literal["", "expired", "cancelled"]
"""Why a request of a batch was given up unanswered, and unbilled; "" where it was not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a batch.

    Attributes
    ----------
    custom_id
        By which its result is told.
    body
        As it would be sent alone.
    """

    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a batch stands at its provider.

    Attributes
    ----------
    id
        The provider's own.
    state
        What that means here.
    word
        The provider's word for it.
    n_done, n_all
        Requests that are over, and all; None where it does not say.
    expires_at, ended_at
        POSIX time; None where it does not say.
    why
        Why it was refused as a whole; "" elsewhere.
    """

    id: str
    state: State
    word: str
    n_done: int | None = None
    n_all: int | None = None
    expires_at: float | None = None
    ended_at: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request.

    Attributes
    ----------
    custom_id
        Which one; "" where the provider does not say, and its place is all there is to go by.
    status, body
        As of a reply to the request alone: an HTTP status, and JSON.
    over
        Why there is none.
    unbilled
        Whether the provider says that what went wrong costs nothing.
    """

    custom_id: str
    status: int
    body: bytes
    over: Over = ""
    unbilled: bool = False


class Undecided(Exception):  # noqa: N818 - it is no error
    """Whether a batch was made cannot be told yet."""


class ProviderBatch(Protocol):
    """A provider's Batch API, at one address, for one account.

    Every method raises `CallError`: of `billable == "no"` where nothing was done for certain.
    """

    api: str
    most_requests: int
    most_bytes: int

    def size(self, entry: Entry) -> int:
        """Return how many bytes of a batch a request takes, at most."""
        ...

    async def create(self, name: str, entries: Sequence[Entry]) -> Standing:
        """Hand over requests, under a name by which the batch is found again."""
        ...

    async def find(self, name: str, custom_ids: Sequence[str], *, since: float, known: frozenset[str]) -> str | None:
        """Return the provider's id of a batch that may have been made; None where it certainly was not.

        Parameters
        ----------
        custom_ids
            Of its requests.
        since
            POSIX time: it was not made before that.
        known
            Batches that are others.

        Raises
        ------
        Undecided
            If that cannot be told yet.
        """
        ...

    async def look(self, provider_id: str) -> Standing:
        """Return how a batch stands."""
        ...

    def results(self, provider_id: str) -> AsyncIterator[Result]:
        """Yield what came of a batch's requests, in any order, as far as it is to be had."""
        ...

    async def cancel(self, provider_id: str) -> None:
        """Have what is not begun given up."""
        ...
