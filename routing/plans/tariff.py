"""What calls of a plan likely cost, and cost at most, and how long they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .kinds.kind import Likely

__all__ = ["Flat", "Tariff"]


class Tariff(Protocol):
    """The prices of one prompt's calls."""

    def likely_nano(self, call: Likely) -> float:
        """Return the expected cost of a call, nano-USD."""
        ...

    def likely_seconds(self, call: Likely) -> float | None:  # noqa: ARG002 - a price list alone knows of no time
        """Return how long a call takes, seconds, the median; None where that is not known."""
        return None

    def likely_held_usd(self, call: Likely) -> float:  # noqa: ARG002 - nor of what else is held against an arm
        """Return what is held against a call beside its cost, USD (`policy.Option.terms`)."""
        return 0.0

    def most_nano(self, arm: str, quotes: int, limit: int | None) -> int:
        """Return what is reserved for a call, nano-USD.

        Parameters
        ----------
        quotes, limit
            As in `spends.Spend`: pieces of text that it carries, and the most output tokens of it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Flat(Tariff):
    """Every call of an arm costs the same, whatever it carries.

    Attributes
    ----------
    cost_nano, bound_nano
        Of each arm: expected, and at most, nano-USD.
    """

    cost_nano: Mapping[str, float]
    bound_nano: Mapping[str, int]

    def likely_nano(self, call: Likely) -> float:
        """Return the expected cost of a call, nano-USD."""
        return self.cost_nano[call.arm]

    def most_nano(self, arm: str, quotes: int, limit: int | None) -> int:  # noqa: ARG002 - it costs the same
        """Return what is reserved for a call, nano-USD."""
        return self.bound_nano[arm]
