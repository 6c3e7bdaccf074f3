"""How long each arm of a profile takes: what its calls, its provider and this machine say, put into its option."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from scrimp.profiles.keys import provider_of
from scrimp.routing.router.timing import Timed, TimedArm, learn_tempos

from .policy import Barrier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.calls.machine import Machine
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.router.timing import Tempo

    from .options import KnownArm
    from .policy import Option

__all__ = ["TIME", "Clock", "minute_cost", "timed"]

TIME: Final = "time"
"""What the term of utility is called that stands for waiting."""


class Clock:
    """What arms take, by their names; worked out once for the calls that are known.

    Parameters
    ----------
    machine
        What says how fast models of this process are supposed to be; None: nothing does.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine
        self._last: tuple[tuple[str, ...], Mapping[str, Sequence[PastCall]], dict[str, Tempo]] | None = None

    def tempos(self, arms: Sequence[KnownArm], past: Mapping[str, Sequence[PastCall]]) -> dict[str, Tempo]:
        """Return how long arms take; those of which nothing is known are left out."""
        names = tuple(known.arm.name for known in arms)
        if self._last is not None:
            of, before, found = self._last
            if of == names and before.keys() == past.keys() and all(past[name] is before[name] for name in past):
                return found
        found = learn_tempos([self._timed(known, past.get(known.arm.name, ())) for known in arms])
        self._last = (names, dict(past), found)
        return found

    def _timed(self, known: KnownArm, past: Sequence[PastCall]) -> TimedArm:
        arm = known.arm
        calls = [timed for call in past if call.model == arm.model and (timed := _as_timed(call)) is not None]
        supposed = None if self.machine is None else self.machine.supposed(arm)
        place = provider_of(arm) if arm.api_base is None else urlsplit(arm.api_base).netloc
        return TimedArm(
            arm.name,
            arm.model,
            place or arm.model,
            calls,
            None if supposed is None else (supposed.start_s, supposed.read_s, supposed.write_s),
            None if supposed is None else supposed.bend,
            known.info.reasoning,
        )


def _as_timed(call: PastCall) -> Timed | None:
    if call.latency_s is None or call.input_tokens is None:
        return None
    read = max(0, call.input_tokens - (call.cached_tokens or 0))
    written = (call.expected_output or 0) if call.cut else call.output_tokens
    hidden = min(call.output_tokens, call.reasoning_tokens or 0)
    return Timed(read, written, hidden, call.latency_s, call.first_s, cut=call.cut)


def minute_cost(minute_usd: float, seconds: float | None) -> dict[str, float]:
    """Return the term of utility, USD, for so many seconds; none where nothing is known of them, or waiting is free."""
    return {TIME: minute_usd * seconds / 60.0} if minute_usd > 0.0 and seconds is not None else {}


def timed(option: Option, tempo: Tempo | None, *, minute_usd: float = 0.0, max_seconds: float | None = None) -> Option:
    """Return an option with its seconds, what waiting for it costs, and a barrier where it is not done in time.

    An arm of which nothing is known is not kept from a prompt: its call is broken off when the time is up.

    Parameters
    ----------
    minute_usd
        What a minute of waiting costs, USD.
    max_seconds
        The 90th percentile may be no more than this.
    """
    if tempo is None:
        return option
    read = option.input_tokens - (option.cached_tokens or 0)
    seconds = tempo.seconds(read, option.output_tokens_p50)
    high = tempo.seconds_p90(read, option.output_tokens_p50, option.output_tokens_p90)
    late = option.infeasible is None and max_seconds is not None and high > max_seconds
    return replace(
        option,
        first_s=tempo.first_s(read, option.output_tokens_p50),
        seconds=seconds,
        seconds_p90=high,
        timed_by=tempo.timed_by,
        terms={**option.terms, **minute_cost(minute_usd, seconds)},
        barrier=Barrier.TIME if late else option.barrier,
        infeasible=f"takes up to {said(high)}, and {max_seconds:g} s are left for it" if late else option.infeasible,
    )


def said(seconds: float) -> str:
    """Return seconds as a person reads them.

    Examples
    --------
    >>> said(0.234), said(12.34), said(75.0), said(7200.0)
    ('0.23 s', '12 s', '75 s', '2 h')
    """
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 600.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400.0 else f"{seconds / 3_600:.0f} h"
