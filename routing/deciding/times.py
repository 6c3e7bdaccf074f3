"""How long an arm takes for a prompt, put into its option: what waiting for it costs, and whether it is in time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .policy import Barrier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.router.timing import Tempo

    from .policy import Option

__all__ = ["TIME", "minute_cost", "none_gains_by_silence", "said", "timed"]

TIME: Final = "time"
"""What the term of utility is called that stands for waiting."""


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


def none_gains_by_silence(options: Sequence[Option]) -> list[Option]:
    """Return options with the time of those that nothing is known of: as slow as the slowest that is known."""
    known = [option.terms[TIME] for option in options if TIME in option.terms]
    if not known:
        return [*options]
    return [
        option if TIME in option.terms else replace(option, terms={**option.terms, TIME: max(known)})
        for option in options
    ]


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
