"""What each plan cost, brought, and where it stopped, by the log."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.ledger.plans import runs_of_plans

from .quality import wilson

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["PlanRecord", "plan_records"]


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan of a profile, or one that was spelled or chosen without a name, as the log has it.

    Attributes
    ----------
    name
        What the profile calls it; None for one without a name.
    text
        How it is spelled.
    runs
        The requests that it answered or tried to, oldest first (`ledger.plans.runs_of_plans`).
    """

    name: str | None
    text: str
    runs: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def rewards(self) -> list[float]:
        """The labels of its answers, in [0, 1]."""
        return [float(run["reward"]) for run in self.runs if run["reward"] is not None]

    @property
    def mean_cost_nano(self) -> int | None:
        """What it cost on average, nano-USD; None where it never ran."""
        return round(self.charged_nano / len(self.runs)) if self.runs else None

    @property
    def charged_nano(self) -> int:
        """What the caps were charged for it in all, nano-USD."""
        return sum(run["charged_nano"] or 0 for run in self.runs)

    @property
    def stopped(self) -> dict[int, int]:
        """How often the answer of each stage was the one given."""
        found = sorted(run["stage"] for run in self.runs if run["stage"] is not None)
        return {stage: found.count(stage) for stage in dict.fromkeys(found)}

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of the mean label; None without labels."""
        return wilson(math.fsum(self.rewards), len(self.rewards))  # type: ignore[arg-type]  # rewards may be parts

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; what is not known is None."""
        low, high = self.interval or (None, None)
        n = len(self.rewards)
        return {
            "name": self.name,
            "text": self.text,
            "n_runs": len(self.runs),
            "n_asked_for": sum(bool(run["asked_for"]) for run in self.runs),
            "n_failed": sum(run["status"] != "ok" for run in self.runs),
            "cost_usd": None if self.mean_cost_nano is None else usd_from_nano(self.mean_cost_nano),
            "charged_usd": usd_from_nano(self.charged_nano),
            "n_labels": n,
            "success": math.fsum(self.rewards) / n if n else None,
            "success_low": low,
            "success_high": high,
            "stopped": {str(stage): n for stage, n in self.stopped.items()},
            "last_at": self.runs[-1]["created_at"] if self.runs else None,
        }


def plan_records(ledger: Ledger | None, profile: str, plans: dict[str, str], *, n_others: int = 10) -> list[PlanRecord]:
    """Return a profile's plans in their order, then those of the log without a name that ran most often.

    Parameters
    ----------
    plans
        The profile's, by name.
    """
    runs: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for run in [] if ledger is None else runs_of_plans(ledger, profile):
        name = run["name"]
        # A plan that was changed since is the same name with another text.
        runs.setdefault((name, "" if name in plans else run["spelled"] or run["text"]), []).append(run)
    own = [PlanRecord(name, text, tuple(runs.pop((name, ""), ()))) for name, text in plans.items()]
    rest = [PlanRecord(name, text, tuple(found)) for (name, text), found in runs.items()]
    return [*own, *sorted(rest, key=lambda each: -len(each.runs))[:n_others]]
