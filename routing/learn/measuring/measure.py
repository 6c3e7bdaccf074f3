"""One router's measures on outcomes, with paired bootstrap intervals: what it gets at every willingness to pay."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.metrics import (
    aiq,
    apgr,
    brier,
    convex_hull,
    cost_save,
    cpt,
    ece,
    reliability,
    strong_call_curve,
)

from .results import Estimate, EvalRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    Floats = NDArray[np.float64]

__all__ = [
    "Bench",
    "Candidate",
    "draws_of",
    "estimate",
    "filled",
    "make_bench",
    "measure",
    "pair_metrics",
    "random_aiq",
]

_WTP_GRID: Final = (0.0, *np.logspace(-5, 2, 64).tolist())
_BALANCED: Final = 0.1
"""USD a right answer, as the preset `balanced` has it: where accuracy and cost are stated."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A router's predictions on the test part: `(n, m)` quality, and `(n, m)` cost in USD where there are costs."""

    name: str
    quality: Floats | None
    cost: Floats | None
    rank: Floats | None = None
    note: str | None = None
    states_quality: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What a router gets at each willingness to pay: `(n_points, n)` scores and costs."""

    wtp: tuple[float, ...]
    score: Floats
    cost: Floats | None


@dataclass(slots=True, eq=False)
class Draws:
    """Paired bootstrap draws of the test rows, the data itself first: `(1 + n_draws, n)` weights summing to 1."""

    weights: Floats
    n: int = field(init=False)

    def __post_init__(self) -> None:
        self.n = self.weights.shape[1]

    def means(self, values: Floats) -> Floats:
        """Return `(1 + n_draws, n_points)` means of `(n_points, n)` values."""
        result: Floats = self.weights @ values.T
        return result

    def rows(self) -> list[NDArray[np.intp]]:
        """Return the row indices of each draw, for measures that are not means."""
        counts = np.rint(self.weights * self.n).astype(int)
        return [np.repeat(np.arange(self.n), count) for count in counts]


def draws_of(n: int, n_bootstrap: int, rng: np.random.Generator) -> Draws:
    """Return so many bootstrap draws of n rows."""
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_bootstrap)
    return Draws(np.concatenate([np.ones((1, n)), counts]) / n)


def estimate(values: Floats | Sequence[float]) -> Estimate:
    """Return the first value with the 2.5% and 97.5% quantiles of the others."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or math.isnan(array[0]):
        return Estimate(None)
    rest = array[1:][~np.isnan(array[1:])]
    if not len(rest):
        return Estimate(float(array[0]))
    low, high = np.quantile(rest, [0.025, 0.975])
    return Estimate(float(array[0]), float(low), float(high))


def _sweep(candidate: Candidate, score: Floats, cost: Floats | None) -> Sweep:
    """Choose an arm for every prompt at every willingness to pay, and look up what it got."""
    assert candidate.quality is not None  # noqa: S101 - the caller asks only where qualities are predicted
    rows = np.arange(len(score))
    there = ~np.isnan(score)
    quality = np.where(there, candidate.quality, -np.inf)
    expected = candidate.cost if candidate.cost is not None else np.zeros(score.shape)
    grid = _WTP_GRID if cost is not None else (1.0,)
    scores, costs = np.empty((len(grid), len(rows))), np.empty((len(grid), len(rows)))
    for k, wtp in enumerate(grid):
        # At no willingness to pay the cheapest; ties of utility go to the cheaper arm.
        utility = np.where(there, wtp * quality - expected if wtp else -expected, -np.inf)
        best = utility.max(axis=1, keepdims=True)
        tied = utility >= best - 1e-15
        choice = np.argmin(np.where(tied, expected, np.inf), axis=1)
        scores[k] = score[rows, choice]
        if cost is not None:
            costs[k] = np.nan_to_num(cost[rows, choice])
    return Sweep(grid, scores, costs if cost is not None else None)


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all rows are measured against, the same for each."""

    score: Floats
    cost: Floats | None
    draws: Draws
    single_score: Floats
    single_cost: Floats | None
    best: int
    low: float
    high: float
    strong: int | None
    weak: int | None


def filled(values: Floats) -> Floats:
    """Return the values with missing cells at their model's mean, for the single-model baselines."""
    means = np.nansum(values, axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)
    return np.where(np.isnan(values), means, values)


def random_aiq(bench: Bench) -> Floats:
    """Return `(1 + n_draws,)`: the AIQ of the best random mixes of single models."""
    assert bench.single_cost is not None  # noqa: S101 - asked only where there are costs
    return np.array(
        [aiq(c, s, bench.low, bench.high) for c, s in zip(bench.single_cost, bench.single_score, strict=True)]
    )


def _mix_at(bench: Bench, cost: Floats) -> Floats:
    """Return `(1 + n_draws,)` scores of the best random mix of single models at the given cost."""
    assert bench.single_cost is not None  # noqa: S101 - asked only where there are costs
    result = np.empty(len(cost))
    for d, at in enumerate(cost.tolist()):
        x, y = convex_hull(np.append(bench.single_cost[d], 0.0), np.append(bench.single_score[d], 0.0))
        result[d] = np.interp(at, x, y)
    return result


def _lift(costs: Floats, scores: Floats, bench: Bench) -> Floats:
    """Return `(1 + n_draws,)`: the mean height of a sweep above the best random mix of single models, over the costs.

    Without a hull on the router's side: the hull of many noisy points lies above the truth, and a router that knows
    nothing would seem to help.
    """
    assert bench.single_cost is not None  # noqa: S101 - asked only where there are costs
    lift = np.empty(len(costs))
    for d in range(len(costs)):
        x, y = convex_hull(np.append(bench.single_cost[d], 0.0), np.append(bench.single_score[d], 0.0))
        order = np.argsort(costs[d], kind="stable")
        above = (scores[d] - np.interp(costs[d], x, y))[order]
        lift[d] = np.trapezoid(above, costs[d][order]) / max(bench.high - bench.low, 1e-12)
    return lift


def measure(candidate: Candidate, bench: Bench) -> tuple[EvalRow, Floats | None]:
    """Return a candidate's row, and its AIQ in each draw."""
    metrics: dict[str, Estimate] = {}
    curve: tuple[tuple[float, float, float], ...] = ()
    area: Floats | None = None
    draws = bench.draws
    best_score = bench.single_score[:, bench.best]
    if candidate.quality is not None:
        sweep = _sweep(candidate, bench.score, bench.cost)
        scores = draws.means(sweep.score)
        if sweep.cost is not None and bench.single_cost is not None:
            costs = draws.means(sweep.cost)
            best_cost = bench.single_cost[:, bench.best]
            area = np.array([aiq(c, s, bench.low, bench.high) for c, s in zip(costs, scores, strict=True)])
            at = int(np.argmin(np.abs(np.array(sweep.wtp) - _BALANCED)))
            metrics["aiq"] = estimate(area)
            metrics["perf_gain"] = estimate(scores.max(axis=1) / best_score - 1.0)
            for name, tolerance in (("cost_save", 0.0), ("cost_save_1pt", 0.01)):
                metrics[name] = estimate(
                    [
                        cost_save(c, s, b, q, tolerance)
                        for c, s, b, q in zip(costs, scores, best_cost, best_score, strict=True)
                    ]
                )
            metrics["accuracy"] = estimate(scores[:, at])
            metrics["cost_usd_per_1k"] = estimate(1000.0 * costs[:, at])
            metrics["gain"] = estimate(scores[:, at] - _mix_at(bench, costs[:, at]))
            metrics["lift"] = estimate(_lift(costs, scores, bench))
            curve = tuple(zip(sweep.wtp, costs[0].tolist(), scores[0].tolist(), strict=True))
        else:
            metrics["perf_gain"] = estimate(scores[:, 0] / best_score - 1.0)
            metrics["accuracy"] = estimate(scores[:, 0])
    rank = candidate.rank
    if rank is None and candidate.quality is not None and bench.strong is not None and bench.weak is not None:
        rank = candidate.quality[:, bench.strong] - candidate.quality[:, bench.weak]
    calls: tuple[tuple[float, float], ...] = ()
    if rank is not None and bench.strong is not None and bench.weak is not None:
        metrics |= pair_metrics(rank, bench)
        by_share = strong_call_curve(rank, bench.score[:, bench.strong], bench.score[:, bench.weak])
        calls = tuple(zip(*(v.tolist() for v in by_share), strict=True))
    bins: tuple[tuple[float, float, float], ...] = ()
    if candidate.quality is not None and candidate.states_quality:
        cell = ~np.isnan(bench.score)
        said, seen = candidate.quality[cell], bench.score[cell]
        metrics["ece"] = Estimate(ece(said, seen))
        metrics["brier"] = Estimate(brier(said, seen))
        bins = tuple(zip(*(v.tolist() for v in reliability(said, seen, 10)), strict=True))
    row = EvalRow(candidate.name, draws.n, metrics, curve, bins, candidate.note, calls)
    return row, area


def pair_metrics(rank: Floats, bench: Bench) -> dict[str, Estimate]:
    """Return APGR and CPT of a `(n,)` rank of the prompts, over thresholds on it."""
    strong, weak = bench.score[:, bench.strong], bench.score[:, bench.weak]
    values: dict[str, list[float]] = {"apgr": [], "cpt50": [], "cpt80": []}
    for rows in bench.draws.rows()[:301]:
        r, s, w = rank[rows], strong[rows], weak[rows]
        values["apgr"].append(apgr(r, s, w))
        values["cpt50"].append(cpt(r, s, w, 0.5))
        values["cpt80"].append(cpt(r, s, w, 0.8))
    return {name: estimate(v) for name, v in values.items()}


def make_bench(
    outcomes: Outcomes,
    has_cost: bool,
    best: int,
    strong: str | None,
    weak: str | None,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Bench:
    """Return what all rows are measured against.

    Parameters
    ----------
    best
        Position of the best single model.
    strong, weak
        Names of a pair; None where there is none.
    """
    draws = draws_of(len(outcomes), n_bootstrap, rng)
    single_cost = draws.means(filled(outcomes.cost_usd).T) if has_cost else None
    position = {model: j for j, model in enumerate(outcomes.models)}
    return Bench(
        score=outcomes.score,
        cost=outcomes.cost_usd if has_cost else None,
        draws=draws,
        single_score=draws.means(filled(outcomes.score).T),
        single_cost=single_cost,
        best=best,
        low=float(single_cost[0].min()) if single_cost is not None else 0.0,
        high=float(single_cost[0].max()) if single_cost is not None else 0.0,
        strong=position[strong] if strong is not None else None,
        weak=position[weak] if weak is not None else None,
    )
