"""What earlier calls say of arms, taken up by what decides: how long answers are, and how long they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrimp.routing.ledger.past_calls import past_calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Experience"]

_FRESH_S: Final = 30.0
"""How long what was read of the log is taken to hold, seconds."""


@dataclass(slots=True)
class Experience:
    """What the log says of arms' calls, read once and then now and again."""

    _read_at: dict[str, float] = field(default_factory=dict)
    _past: dict[str, Sequence[PastCall]] = field(default_factory=dict)

    def of(self, decider: Decider, ledger: Ledger | None, *, now: float) -> Decider:
        """Return what decides with what earlier calls of its arms say; without a ledger there are none.

        Parameters
        ----------
        now
            POSIX time.
        """
        return decider.experienced({} if ledger is None else self._calls(decider, ledger, now))

    def _calls(self, decider: Decider, ledger: Ledger, now: float) -> Mapping[str, Sequence[PastCall]]:
        names = [info.name for info in decider.infos]
        stale = [name for name in names if now - self._read_at.get(name, -_FRESH_S) >= _FRESH_S]
        if stale:
            self._past |= past_calls(ledger, stale)
            self._read_at |= dict.fromkeys(stale, now)
        return {name: self._past[name] for name in names if self._past.get(name)}
