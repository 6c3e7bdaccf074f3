"""Counts of answered requests that can be added up: what a report of a long log is made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["RIGHT", "Tally", "quantile_of"]

RIGHT: Final = 0.5
"""A reward from here on counts as success."""

_STEP: Final = math.log(1.01)
"""Latencies within one per cent are counted together."""


@dataclass(slots=True)
class Tally:
    """Counts of answered requests; the names are those of `QualityReport`.

    Attributes
    ----------
    latencies
        By step of one per cent: how many, and their sum in seconds.
    arms
        By arm: answers, those of known worth, right ones, those whose tokens were told, and their tokens.
    checks
        By check: passed, failed, abstained, verdicts on answers of known worth, and of those how many passed, were
        right, and both.
    """

    n: int = 0
    n_known: int = 0
    n_right: int = 0
    charged_nano: int = 0
    known_nano: int = 0
    n_schema: int = 0
    n_valid: int = 0
    n_plans: int = 0
    n_escalated: int = 0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    arms: dict[str, list[int]] = field(default_factory=dict)
    checks: dict[str, list[int]] = field(default_factory=dict)

    def take(
        self,
        row: Mapping[str, Any],
        *,
        worth: float | None,
        valid: bool | None,
        judged: Iterable[tuple[str, str, bool | None]],
        escalated: bool,
    ) -> None:
        """Count one request.

        Parameters
        ----------
        row
            As `ledger.requests.answered` returns it.
        worth
            How good its answer was, in [0, 1]; None where that is not known.
        valid
            Whether it satisfied its schema; None where it was not held against one.
        judged
            The verdicts on its answers: check, outcome, and whether the answer was right.
        escalated
            Whether its plan went beyond the first stage.
        """
        known, right, nano = worth is not None, worth is not None and worth >= RIGHT, row["charged_nano"] or 0
        self.n += 1
        self.n_known += known
        self.n_right += right
        self.charged_nano += nano
        self.known_nano += nano if known else 0
        self.n_schema += valid is not None
        self.n_valid += bool(valid)
        if (row["n_stages"] or 1) > 1:
            self.n_plans += 1
            self.n_escalated += escalated
        if row["latency_s"] is not None:
            seconds = float(row["latency_s"])
            _add(self.latencies, str(math.floor(math.log(seconds) / _STEP)) if seconds > 0 else "", [1, seconds])
        if row["arm"]:
            told = row["tokens"] is not None
            _add(self.arms, row["arm"], [1, int(known), int(right), int(told), row["tokens"] or 0])
        for check, outcome, good in judged:
            passed = outcome == "pass"
            sure = good is not None
            _add(
                self.checks,
                check,
                [
                    int(passed), int(outcome == "fail"), int(outcome == "abstain"), int(sure),
                    int(sure and passed), int(bool(good)), int(bool(good) and passed),
                ],
            )  # fmt: skip

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the counts of another (`to_dict`)."""
        for name, value in other.items():
            mine = getattr(self, name)
            if isinstance(value, dict):
                for key, counts in value.items():
                    _add(mine, key, counts)
            else:
                setattr(self, name, mine + value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def _add(sums: dict[str, list[Any]], key: str, more: list[Any]) -> None:
    there = sums.get(key)
    if there is None:
        sums[key] = list(more)
    else:
        for i, value in enumerate(more):
            there[i] += value


def quantile_of(steps: Mapping[str, list[float]], q: float) -> float | None:
    """Return a quantile of what was counted by steps of one per cent; None where nothing was.

    A step stands for the mean of what is in it, so few values that differ by more than that are told exactly.

    Examples
    --------
    >>> quantile_of({"0": [1, 1.0], "70": [2, 4.0]}, 0.5), quantile_of({"0": [1, 1.0], "70": [1, 2.0]}, 0.5)
    (2.0, 1.5)
    """
    ordered = sorted((total / n, n) for n, total in steps.values())
    n_all = int(sum(n for _, n in ordered))
    if not n_all:
        return None
    at = q * (n_all - 1)
    low = int(at)
    found: list[float] = []
    for rank in (low, min(low + 1, n_all - 1)):
        seen = 0.0
        for mean, n in ordered:
            seen += n
            if rank < seen:
                found.append(mean)
                break
    return found[0] + (at - low) * (found[1] - found[0])
