"""What each arm of a profile takes: put together of its calls, its provider's, and what this machine says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrimp.profiles.keys import provider_of
from scrimp.routing.router.timing import Timed, TimedArm, learn_tempos

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.calls.machine import Machine
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.router.timing import Tempo

    from .options import KnownArm

__all__ = ["Clock"]


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
