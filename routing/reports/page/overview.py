"""Everything that the report page shows, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.reports.quality import QualityReport
    from scrimp.routing.reports.refits import Refitted
    from scrimp.routing.reports.savings import PlanStops
    from scrimp.routing.reports.spending import Sum
    from scrimp.routing.reports.survey import Survey
    from scrimp.routing.reports.versus import Versus

__all__ = ["Bin", "Calibration", "Overview"]


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of which about the same was predicted.

    Attributes
    ----------
    predicted, observed
        Their means, in [0, 1].
    n
        How many they are.
    low, high
        Wilson's 95% interval of the observed mean.
    """

    predicted: float
    observed: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was predicted beside what came.

    Attributes
    ----------
    bins
        Of equal width; empty ones are left out.
    n
        Answers in all.
    ece, brier
        Expected calibration error and Brier's score, in [0, 1].
    bases
        Answers by what the prediction rested on.
    """

    bins: tuple[Bin, ...]
    n: int
    ece: float
    brier: float
    bases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the report page shows; what is not known is None or empty.

    Attributes
    ----------
    made_at
        When it was made, in the ledger's zone, to the minute.
    zone
        The zone of its days; None where there is no ledger yet.
    profile
        Whose requests; None: everybody's.
    days
        Only so many days back; None: everything.
    first_day
        The day that it begins with; None where it is not limited, or there is no ledger.
    caps, caps_of, caps_problem
        Every cap that applies to a profile, which profile that is, and why there are none.
    daily
        Charges by day and arm: (day, arm, nano-USD, calls), in order of days.
    by_arm
        The same by arm, the dearest first.
    n_open, open_nano
        Calls whose true cost is not known, and what they count as.
    expectations
        By arm, how often predicted 90th percentiles held (`ledger.overview.expectations`).
    plans
        Where plans stopped.
    duels
        As `report --duels --json` prints.
    router
        The version in force.
    versus, versus_problem
        Routing against the default arm alone, and why that cannot be told.
    texts
        Beginnings of prompts and answers of the requests that are told (`ledger.overview.excerpts`); None: left out.
    """

    made_at: str
    zone: str | None
    profile: str | None
    days: float | None
    first_day: str | None
    quality: QualityReport
    survey: Survey
    caps: tuple[CapState, ...] = ()
    caps_of: str | None = None
    caps_problem: str | None = None
    daily: tuple[tuple[str, str, int, int], ...] = ()
    by_arm: tuple[Sum, ...] = ()
    n_open: int = 0
    open_nano: int = 0
    calibration: Calibration | None = None
    expectations: tuple[Mapping[str, Any], ...] = ()
    plans: tuple[PlanStops, ...] = ()
    duels: Mapping[str, Any] = field(default_factory=dict)
    refits: tuple[Refitted, ...] = ()
    router: str = ""
    versus: Versus | None = None
    versus_problem: str | None = None
    texts: Mapping[str, Mapping[str, Any]] | None = None
