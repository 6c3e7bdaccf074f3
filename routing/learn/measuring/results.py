"""What an evaluation found, as values: rows of measures with their intervals, and means over several seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Estimate", "EvalReport", "EvalRow", "Verdict", "mean_report"]

SCHEMA_VERSION: Final = 1

Verdict = Literal["helps", "does not help", "inconclusive"]
_VERDICTS: Final[tuple[Verdict, ...]] = ("does not help", "inconclusive", "helps")  # of as many, the more careful


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% bootstrap interval, or its standard deviation over seeds; None where it does not apply."""

    value: float | None
    low: float | None = None
    high: float | None = None
    sd: float | None = None


@dataclass(frozen=True, slots=True)
class EvalRow:
    """One router's measures.

    Attributes
    ----------
    metrics
        By name, in the order of the table: aiq, perf_gain, cost_save, cost_save_1pt, apgr, cpt50, cpt80, ece, brier,
        accuracy, cost_usd_per_1k, gain (accuracy above a random mix of single models at the same cost), lift (the same,
        over all costs), oracle_share.
    curve
        (willingness to pay in USD, mean cost in USD, mean score) of the sweep; empty without costs.
    reliability
        (mean prediction, mean outcome, share of predictions) by bin.
    calls
        (share of calls to the strong model, mean score) at thresholds on the router's rank, for a pair; else empty.
    """

    router: str
    n: int
    metrics: dict[str, Estimate]
    curve: tuple[tuple[float, float, float], ...] = ()
    reliability: tuple[tuple[float, float, float], ...] = ()
    note: str | None = None
    calls: tuple[tuple[float, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values: each measure by its name, its bounds as `NAME_low` and `NAME_high`."""
        flat: dict[str, Any] = {"router": self.router, "n": self.n}
        for name, estimate in self.metrics.items():
            flat[name] = estimate.value
            if estimate.low is not None:
                flat[f"{name}_low"], flat[f"{name}_high"] = estimate.low, estimate.high
            if estimate.sd is not None:
                flat[f"{name}_sd"] = estimate.sd
        for name in ("curve", "reliability", "calls"):
            flat[name] = [list(point) for point in getattr(self, name)]
        flat["note"] = self.note
        return flat


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What an evaluation found.

    Attributes
    ----------
    best_single
        The best single model on the fit part (on the test part where there is no other), and its measures on the test
        part.
    singles
        (model, mean cost in USD or None, mean score) on the test part.
    verdict, why
        Whether routing helps here, in so many words.
    n_seeds
        Above 1: the means over so many splits, from `seed` on.
    """

    n_fit: int
    n_test: int
    models: tuple[str, ...]
    strong: str | None
    weak: str | None
    seed: int
    rows: tuple[EvalRow, ...]
    best_single: dict[str, Any]
    oracle: dict[str, Any]
    singles: tuple[tuple[str, float | None, float], ...]
    verdict: Verdict
    why: str
    notes: tuple[str, ...] = ()
    n_seeds: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, in the form of the `eval --json` contract."""
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "n_seeds": self.n_seeds,
            "n_fit": self.n_fit,
            "n_test": self.n_test,
            "models": list(self.models),
            "strong": self.strong,
            "weak": self.weak,
            "rows": [row.to_json() for row in self.rows],
            "best_single": self.best_single,
            "oracle": self.oracle,
            "singles": [list(single) for single in self.singles],
            "verdict": self.verdict,
            "why": self.why,
            "notes": list(self.notes),
        }


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def mean_report(reports: Sequence[EvalReport]) -> EvalReport:
    """Return the means over reports of several seeds: each number with its standard deviation over them.

    A number that is unknown with one seed (a CPT where the strong model was no better) is the mean over the others.
    Curves and reliability are the first seed's.
    """
    first = reports[0]
    rows = []
    for k, row in enumerate(first.rows):
        metrics = {}
        for name in row.metrics:
            found = [report.rows[k].metrics.get(name, Estimate(None)).value for report in reports]
            values = np.array([value for value in found if value is not None])
            sd = float(values.std(ddof=1)) if len(values) > 1 else None
            metrics[name] = Estimate(float(values.mean()) if len(values) else None, sd=sd)
        rows.append(replace(row, metrics=metrics))
    count = {verdict: sum(report.verdict == verdict for report in reports) for verdict in _VERDICTS}
    verdict = max(_VERDICTS, key=lambda each: count[each])
    why = f"routing helps with {count['helps']} of {len(reports)} seeds" + (
        f"; with {count['inconclusive']} nothing can be concluded" if count["inconclusive"] else ""
    )
    if verdict == "does not help":
        why = f"Routing does not help here: {why}"
    best = dict(first.best_single)
    for name in ("accuracy", "cost_usd_per_1k"):
        if best[name] is not None:
            best[name] = float(np.mean([report.best_single[name] for report in reports]))
    best["model"] = ", ".join(dict.fromkeys(str(report.best_single["model"]) for report in reports))
    oracle = {
        name: None if value is None else float(np.mean([report.oracle[name] for report in reports]))
        for name, value in first.oracle.items()
    }
    singles = first.singles
    if all(report.models == first.models for report in reports):
        singles = tuple(
            (
                name,
                _mean(report.singles[j][1] for report in reports),
                float(np.mean([r.singles[j][2] for r in reports])),
            )
            for j, (name, _, _) in enumerate(first.singles)
        )
    return replace(
        first,
        rows=tuple(rows),
        verdict=verdict,
        why=why,
        best_single=best,
        oracle=oracle,
        singles=singles,
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        n_seeds=len(reports),
    )
