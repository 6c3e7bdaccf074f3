"""What a run would cost and achieve, as it is told before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .flow_outlook import FlowOutlook

__all__ = ["Estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would cost and achieve.

    Attributes
    ----------
    low_usd, likely_usd, high_usd
        With short, expected and long answers.
    most_usd
        If every answer ran to its limit (what would be reserved in all, but for retries and fallbacks).
    quality
        Mean predicted quality in [0, 1]; rows that the budget does not reach count 0.
    n_skipped
        Rows that the budget does not reach.
    arms
        Arm, rows and likely cost in USD.
    readings
        Where rows are about files, of each arm at each reading: the rows that it could take, the tokens of input that
        they come to, their likely cost in USD, and their mean predicted quality.
    frontier
        (USD, mean quality) of the best plans.
    time_s
        About how long it would take; None where nothing is known of an arm's pace.
    dual_quality
        The mean quality that no plan within the budget can beat; None without a budget.
    flow
        What is foreseen of rows that take other rows' answers; None where none does.
    lanes
        Where rows may go through Batch APIs: lane, rows, likely cost, and what the lane saves of it, in USD.
    missed_target
        The mean quality that was asked for, where no plan within the limits reaches it; None elsewhere.
    """

    n_rows: int
    n_sampled: int
    low_usd: float
    likely_usd: float
    high_usd: float
    most_usd: float
    quality: float
    n_skipped: int
    arms: tuple[tuple[str, int, float], ...]
    frontier: tuple[tuple[float, float], ...]
    time_s: float | None
    dual_quality: float | None
    planned: bool
    missed_target: float | None = None
    lanes: tuple[tuple[str, int, float, float], ...] = ()
    readings: tuple[tuple[str, int, int, float, float], ...] = ()
    flow: FlowOutlook | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `--dry-run --json` prints."""
        return {
            "schema_version": 1,
            "n_rows": self.n_rows,
            "n_sampled": self.n_sampled,
            "cost_usd": {
                "low": self.low_usd,
                "likely": self.likely_usd,
                "high": self.high_usd,
                "at_limits": self.most_usd,
            },
            "time_s": self.time_s,
            "predicted_quality": self.quality,
            "n_skipped": self.n_skipped,
            "planned": self.planned,
            "best_quality_within_budget": self.dual_quality,
            "min_quality_missed": self.missed_target is not None,
            "arms": [{"arm": name, "rows": rows, "cost_usd": usd} for name, rows, usd in self.arms],
            "lanes": [
                {"lane": lane, "rows": rows, "cost_usd": usd, "saved_usd": saved}
                for lane, rows, usd, saved in self.lanes
            ],
            "readings": [
                {"arm": name, "rows": rows, "input_tokens": n_read, "cost_usd": usd, "predicted_quality": quality}
                for name, rows, n_read, usd, quality in self.readings
            ],
            "flow": None if self.flow is None else self.flow.to_dict(),
            "frontier": [{"cost_usd": usd, "predicted_quality": quality} for usd, quality in self.frontier],
        }
