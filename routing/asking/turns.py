"""A turn for one call under the limits that all processes keep together (`ledger.leases`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.ledger.leases import BusyError, Entered, Limited, Moment, enter, leave

from .paid_call import CAP_POLL_S, LIVE_WAIT_S
from .request import TOTAL_DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol, TypeVar

    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.store import Ledger

    T = TypeVar("T")

    class Do(Protocol):
        """Does something with the ledger: at once, or by its scribe."""

        def __call__(self, do: Callable[[], T], /) -> Awaitable[T]:
            """Return what it returns."""
            ...


__all__ = ["expected_tokens", "take_turn"]

_SAY_AFTER_S: Final = 1.0

_PATIENT: Final = frozenset({"probe", "audit"})
"""Commands that make many calls with nobody waiting for the first: they wait for as long as it takes."""


def expected_tokens(option: Option) -> int:
    """Return how many tokens a call is expected to use, input and output."""
    return int(option.input_tokens + option.output_tokens_p50)


async def take_turn(
    ledger: Ledger,
    what: Limited,
    tokens: int,
    *,
    command: str,
    arm: str,
    do: Do,
    sleep: Callable[[float], Awaitable[object]],
    timer: Callable[[], float],
    say: Callable[[str], None],
) -> int | None:
    """Wait for a turn; return the number of its place, to be given back (None where none is needed).

    Raises
    ------
    BusyError
        If it does not come within as long as a request waits for anything else.
    """
    began, told = timer(), False
    lease: int | None = None

    def asked() -> Entered:
        nonlocal lease
        found = enter(
            ledger,
            what,
            lease=lease,
            tokens=tokens,
            until_s=TOTAL_DEADLINE_S + LIVE_WAIT_S,
            poll_s=CAP_POLL_S,
            now=Moment.now(),
        )
        lease = found.lease
        return found

    def given_back() -> None:
        if lease is not None:
            leave(ledger, lease)

    try:
        while True:
            found = await do(asked)
            if not found.why:
                return found.lease
            waited = timer() - began
            _check_patience(found, waited, arm, None if command in _PATIENT else LIVE_WAIT_S)
            if not told and waited + found.wait_s >= _SAY_AFTER_S:
                say(f"{arm}: waiting for its {found.why}, which other calls use up")
                told = True
            await sleep(min(found.wait_s, _SAY_AFTER_S))
    except BaseException:
        await do(given_back)  # in turn after what was asked for, also where nobody waits for that any more
        raise


def _check_patience(found: Entered, waited_s: float, arm: str, patience_s: float | None) -> None:
    """Give up where a turn has not come in time, or will not."""
    will_take = found.wait_s if found.wait_s > CAP_POLL_S else 0.0
    if patience_s is not None and waited_s + will_take > patience_s:
        raise BusyError(
            f"{arm}: its {found.why} is used up by other calls",
            hint="Try again in a minute, take another arm with `-m`, or raise the limit in the profile.",
        )
