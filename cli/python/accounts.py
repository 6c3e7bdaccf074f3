"""What rating and spending return: frozen views, amounts as `Decimal` in USD; `to_dict()` is what `--json` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cap", "Rating", "Spending", "SpendingRow"]


@dataclass(frozen=True, slots=True)
class Rating:
    """A label that an answer was given.

    Attributes
    ----------
    id, arm
        The request, and the arm that answered it.
    reward
        How good the answer was, in [0, 1].
    """

    id: str
    arm: str
    reward: float

    def to_dict(self) -> dict[str, Any]:
        """Return what `scrimp rate --json` prints."""
        return {"schema_version": 1, "id": self.id, "arm": self.arm, "reward": self.reward, "source": "rating"}


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap, and what is charged to its window now.

    Attributes
    ----------
    scope
        `call`, `run`, `day`, `month`, `arm:NAME:day`, `shared:day` and so on.
    limit_usd, left_usd
        The most that may be spent, and what is left of it; below zero only after a breach or a lowered cap.
    settled_usd, reserved_usd, unknown_usd
        What is charged: of calls that are over, of those in flight, and of those whose process died.
    resets_at
        When its window ends, ISO 8601; None for a call and a run.
    """

    scope: str
    limit_usd: Decimal
    left_usd: Decimal
    settled_usd: Decimal
    reserved_usd: Decimal
    unknown_usd: Decimal
    resets_at: str | None


@dataclass(frozen=True, slots=True)
class SpendingRow:
    """What the calls of one day, arm or the like cost together.

    Attributes
    ----------
    name
        The day, the arm, the tag.
    n_calls
        Calls that were reserved, those that failed included.
    charged_usd
        What counts against the caps: the sum of the next four.
    settled_usd
        Of that, of calls whose cost is known.
    unverified_usd, reserved_usd, unknown_usd
        Of that, at their upper bounds: of calls without a believable usage, in flight, and of processes that died.
    input_tokens, output_tokens
        As reported; None where no call reported any.
    """

    name: str
    n_calls: int
    charged_usd: Decimal
    settled_usd: Decimal
    unverified_usd: Decimal
    reserved_usd: Decimal
    unknown_usd: Decimal
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent, and what the caps leave.

    Attributes
    ----------
    profile
        Whose caps these are.
    by
        What `rows` are sums by.
    caps
        Every cap that applies.
    rows
        The sums: by time in order of time, else dearest first.
    """

    profile: str
    by: str
    caps: tuple[Cap, ...]
    rows: tuple[SpendingRow, ...]
    _source: Mapping[str, Any] = field(repr=False, compare=False)

    def cap(self, scope: str) -> Cap | None:
        """Return the cap of a scope; None where there is none."""
        return next((each for each in self.caps if each.scope == scope), None)

    def to_dict(self) -> dict[str, Any]:
        """Return what `scrimp spend --json` prints."""
        return dict(self._source)
