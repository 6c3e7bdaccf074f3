"""Where a model stands on the scale of abilities, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Z80", "Placed"]

Z80: Final = 1.2816
"""Half-width of an 80% interval, in standard deviations: the normal's 90% quantile."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a model stands.

    Attributes
    ----------
    ability, sd
        In logits beside gpt-4o-mini's, and its standard deviation.
    basis
        What it rests on, in words.
    """

    ability: float
    sd: float
    basis: str

    @property
    def low(self) -> float:
        """The lower end of the 80% interval."""
        return self.ability - Z80 * self.sd

    @property
    def high(self) -> float:
        """The upper end of the 80% interval."""
        return self.ability + Z80 * self.sd
