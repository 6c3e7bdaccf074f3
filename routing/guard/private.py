"""Private text that stays: placeholders go out in its place, and become values again in the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Vault"]


@dataclass(frozen=True, slots=True)
class Vault:
    """What placeholders stand for.

    Attributes
    ----------
    values
        By placeholder.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
