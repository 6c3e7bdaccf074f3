"""The truth about a router on outcomes: cost against quality, beside single models, a random mix and baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.learn.fitting.layers import fit_layers
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
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_matrix
from scrimp.routing.router.arms import ArmInfo

from . import baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes
    from scrimp.routing.router.learned import LearnedRouter

    Floats = NDArray[np.float64]

__all__ = ["BASELINES", "Estimate", "EvalReport", "EvalRow", "evaluate", "mean_report"]

SCHEMA_VERSION: Final = 1
BASELINES: Final = ("knn", "cluster", "ridge", "length")
_ENOUGH: Final = 50  # rows below which nothing is concluded
_WTP_GRID: Final = (0.0, *np.logspace(-5, 2, 64).tolist())
_BALANCED: Final = 0.1

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
        rows = []
        for row in self.rows:
            flat: dict[str, Any] = {"router": row.router, "n": row.n}
            for name, estimate in row.metrics.items():
                flat[name] = estimate.value
                if estimate.low is not None:
                    flat[f"{name}_low"] = estimate.low
                    flat[f"{name}_high"] = estimate.high
                if estimate.sd is not None:
                    flat[f"{name}_sd"] = estimate.sd
            flat["curve"] = [list(point) for point in row.curve]
            flat["reliability"] = [list(point) for point in row.reliability]
            flat["calls"] = [list(point) for point in row.calls]
            flat["note"] = row.note
            rows.append(flat)
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "n_seeds": self.n_seeds,
            "n_fit": self.n_fit,
            "n_test": self.n_test,
            "models": list(self.models),
            "strong": self.strong,
            "weak": self.weak,
            "rows": rows,
            "best_single": self.best_single,
            "oracle": self.oracle,
            "singles": [list(single) for single in self.singles],
            "verdict": self.verdict,
            "why": self.why,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Outcomes with their features: `(n, dim)`, `(n, n_features)`."""

    outcomes: Outcomes
    embeddings: NDArray[np.float32]
    surface: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A router's predictions on the test part: `(n, m)` quality, and `(n, m)` cost in USD where there are costs."""

    name: str
    quality: Floats | None
    cost: Floats | None
    rank: Floats | None = None
    note: str | None = None
    states_quality: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """What a router gets at each willingness to pay: `(n_points, n)` scores and costs."""

    wtp: tuple[float, ...]
    score: Floats
    cost: Floats | None


@dataclass(slots=True, eq=False)
class _Draws:
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


def _draws(n: int, n_bootstrap: int, rng: np.random.Generator) -> _Draws:
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_bootstrap)
    return _Draws(np.concatenate([np.ones((1, n)), counts]) / n)


def _estimate(values: Floats | Sequence[float]) -> Estimate:
    """Return the first value with the 2.5% and 97.5% quantiles of the others."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or math.isnan(array[0]):
        return Estimate(None)
    rest = array[1:][~np.isnan(array[1:])]
    if not len(rest):
        return Estimate(float(array[0]))
    low, high = np.quantile(rest, [0.025, 0.975])
    return Estimate(float(array[0]), float(low), float(high))


def _check(outcomes: Outcomes) -> None:
    if len(outcomes.models) < 2:
        raise DataError(
            f"{outcomes.name}: outcomes of one model only ({', '.join(outcomes.models)}): nothing to choose between",
            hint="an outcome file to evaluate on needs at least two models tried on the same prompts",
        )
    if not ((~np.isnan(outcomes.score)).sum(axis=1) >= 2).any():
        raise DataError(f"{outcomes.name}: no two models were tried on the same prompt: they cannot be compared")
    if np.nanmin(outcomes.score) == np.nanmax(outcomes.score):
        raise DataError(
            f"{outcomes.name}: every score is {np.nanmin(outcomes.score):g}: there is nothing to tell routers apart by"
        )


def _usable(outcomes: Outcomes, notes: list[str]) -> Outcomes:
    """Return the outcomes of the models that can be compared: priced ones where two or more are priced."""
    there = ~np.isnan(outcomes.score)
    priced = [
        name
        for j, name in enumerate(outcomes.models)
        if there[:, j].any() and (~np.isnan(outcomes.cost_usd[there[:, j], j])).mean() > 0.95
    ]
    if len(priced) < 2:
        if np.isfinite(outcomes.cost_usd).any():
            notes.append("fewer than two models are priced: figures of cost are left out")
        return outcomes
    dropped = len(outcomes.models) - len(priced)
    if dropped:
        notes.append(f"{dropped} models without costs are left out")
    # A model tried on a part of the rows would be compared on other prompts than the rest.
    share = there.mean(axis=0)
    full = [name for name in priced if share[outcomes.models.index(name)] >= 0.9 * share.max()]
    if len(full) < len(priced) and len(full) >= 2:
        notes.append(f"{len(priced) - len(full)} models tried on fewer prompts are left out")
        priced = full
    return outcomes.only(priced)


def _arms(models: Sequence[str], strong: str | None, weak: str | None, rates: Floats | None) -> list[ArmInfo]:
    arms = []
    for j, name in enumerate(models):
        arms.append(
            ArmInfo(
                name=name,
                model=name,
                tier="large" if name == strong else "small" if name == weak else None,
                input_usd_per_mtok=None if rates is None else float(rates[j, 0] * 1e6),
                output_usd_per_mtok=None if rates is None else float(rates[j, 1] * 1e6),
                output_limit=100_000,
            )
        )
    return arms


def _rates(outcomes: Outcomes) -> Floats | None:
    """Return `(m, 2)` prices in USD a token, input and output: the price list behind the costs."""
    rates = np.zeros((len(outcomes.models), 2))
    for j in range(len(outcomes.models)):
        rows = ~(
            np.isnan(outcomes.cost_usd[:, j])
            | np.isnan(outcomes.input_tokens[:, j])
            | np.isnan(outcomes.output_tokens[:, j])
        )
        if rows.sum() < 2:
            return None
        x = np.column_stack([outcomes.input_tokens[rows, j], outcomes.output_tokens[rows, j]])
        rates[j] = np.maximum(np.linalg.lstsq(x, outcomes.cost_usd[rows, j], rcond=None)[0], 0.0)
    return rates


def _sweep(candidate: _Candidate, score: Floats, cost: Floats | None) -> _Sweep:
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
    return _Sweep(grid, scores, costs if cost is not None else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What all rows are measured against, the same for each."""

    score: Floats
    cost: Floats | None
    draws: _Draws
    single_score: Floats
    single_cost: Floats | None
    best: int
    low: float
    high: float
    strong: int | None
    weak: int | None


def _filled(values: Floats) -> Floats:
    """Return the values with missing cells at their model's mean, for the single-model baselines."""
    means = np.nansum(values, axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)
    return np.where(np.isnan(values), means, values)


def _random_aiq(bench: _Bench) -> Floats:
    assert bench.single_cost is not None  # noqa: S101 - asked only where there are costs
    return np.array(
        [aiq(c, s, bench.low, bench.high) for c, s in zip(bench.single_cost, bench.single_score, strict=True)]
    )


def _mix_at(bench: _Bench, cost: Floats) -> Floats:
    """Return `(1 + n_draws,)` scores of the best random mix of single models at the given cost."""
    assert bench.single_cost is not None  # noqa: S101 - asked only where there are costs
    result = np.empty(len(cost))
    for d, at in enumerate(cost.tolist()):
        x, y = convex_hull(np.append(bench.single_cost[d], 0.0), np.append(bench.single_score[d], 0.0))
        result[d] = np.interp(at, x, y)
    return result


def _lift(costs: Floats, scores: Floats, bench: _Bench) -> Floats:
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


def _measure(candidate: _Candidate, bench: _Bench) -> tuple[EvalRow, Floats | None]:
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
            metrics["aiq"] = _estimate(area)
            metrics["perf_gain"] = _estimate(scores.max(axis=1) / best_score - 1.0)
            for name, tolerance in (("cost_save", 0.0), ("cost_save_1pt", 0.01)):
                metrics[name] = _estimate(
                    [
                        cost_save(c, s, b, q, tolerance)
                        for c, s, b, q in zip(costs, scores, best_cost, best_score, strict=True)
                    ]
                )
            metrics["accuracy"] = _estimate(scores[:, at])
            metrics["cost_usd_per_1k"] = _estimate(1000.0 * costs[:, at])
            metrics["gain"] = _estimate(scores[:, at] - _mix_at(bench, costs[:, at]))
            metrics["lift"] = _estimate(_lift(costs, scores, bench))
            curve = tuple(zip(sweep.wtp, costs[0].tolist(), scores[0].tolist(), strict=True))
        else:
            metrics["perf_gain"] = _estimate(scores[:, 0] / best_score - 1.0)
            metrics["accuracy"] = _estimate(scores[:, 0])
    rank = candidate.rank
    if rank is None and candidate.quality is not None and bench.strong is not None and bench.weak is not None:
        rank = candidate.quality[:, bench.strong] - candidate.quality[:, bench.weak]
    calls: tuple[tuple[float, float], ...] = ()
    if rank is not None and bench.strong is not None and bench.weak is not None:
        metrics |= _pair_metrics(rank, bench)
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


def _pair_metrics(rank: Floats, bench: _Bench) -> dict[str, Estimate]:
    strong, weak = bench.score[:, bench.strong], bench.score[:, bench.weak]
    values: dict[str, list[float]] = {"apgr": [], "cpt50": [], "cpt80": []}
    for rows in bench.draws.rows()[:301]:
        r, s, w = rank[rows], strong[rows], weak[rows]
        values["apgr"].append(apgr(r, s, w))
        values["cpt50"].append(cpt(r, s, w, 0.5))
        values["cpt80"].append(cpt(r, s, w, 0.8))
    return {name: _estimate(v) for name, v in values.items()}


def _learn_candidates(
    fit: _Set,
    test: _Set,
    router: LearnedRouter,
    arms: Sequence[ArmInfo],
    wanted: Sequence[str],
    *,
    from_zero: bool,
    seed: int,
) -> list[_Candidate]:
    """Return what can be learnt on the fit part: `fitted`, and the baselines."""
    x_fit, x_test = router.features(fit.embeddings, fit.surface), router.features(test.embeddings, test.surface)
    score = fit.outcomes.score
    cost = None
    if np.isfinite(fit.outcomes.cost_usd).any(axis=0).all():
        cost = baselines.cost_ridge(x_fit, fit.outcomes.cost_usd, x_test)
    found = []
    if "fitted" in wanted:
        learnt = fit_layers(router, fit.embeddings, fit.surface, arms, score, from_zero=from_zero, seed=seed)
        quality = learnt.predict(test.embeddings, test.surface, arms).quality
        note = "learnt from zero: the router's own view knows these prompts" if from_zero else None
        found.append(_Candidate("fitted", quality, cost, note=note))
    length = FEATURE_NAMES.index("log_chars")
    makers: dict[str, Callable[[], Floats]] = {
        "knn": lambda: baselines.nearest_means(fit.embeddings, score, test.embeddings),
        "cluster": lambda: baselines.cluster_means(fit.embeddings, score, test.embeddings, seed=seed),
        "ridge": lambda: baselines.ridge_heads(x_fit, score, x_test),
        "length": lambda: baselines.length_heads(fit.surface[:, length], score, test.surface[:, length]),
    }
    found += [_Candidate(name, makers[name](), cost) for name in BASELINES if name in wanted]
    return found


def _router_candidate(
    name: str, router: LearnedRouter, test: _Set, arms: Sequence[ArmInfo], rates: Floats | None, note: str | None
) -> _Candidate:
    predictions = router.predict(test.embeddings, test.surface, arms)
    cost = None
    if np.isfinite(test.outcomes.cost_usd).any():
        if rates is None:
            cost = np.tile(np.nanmean(test.outcomes.cost_usd, axis=0), (len(test.surface), 1))
        else:
            n_in = np.nan_to_num(np.nanmedian(test.outcomes.input_tokens, axis=1))
            sd = router.prior["token_sd"]
            n_out = predictions.output_tokens_p50 * math.exp(sd * sd / 2.0)
            cost = n_in[:, None] * rates[None, :, 0] + n_out * rates[None, :, 1]
    return _Candidate(name, predictions.quality, cost, note=note)


def evaluate(
    outcomes: Outcomes,
    router: LearnedRouter,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    name: str = "shipped",
    others: Mapping[str, LearnedRouter] | None = None,
    fit: int | Outcomes | None = None,
    wanted: Sequence[str] = ("fitted", *BASELINES, "random", "oracle"),
    strong: str | None = None,
    weak: str | None = None,
    seed: int = 0,
    n_bootstrap: int = 500,
) -> EvalReport:
    """Measure routers on outcomes.

    Parameters
    ----------
    outcomes
        To test on; with `fit` a number, a random part of it is learnt from instead.
    router, name
        The router to start from and its row's name.
    embed
        Turns prompts into unit vectors.
    others
        More routers to measure, by name.
    fit
        How many rows, drawn at random, or which outcomes, to learn the rows `fitted` and the baselines on. None: the
        router alone, beside what needs no learning.
    wanted
        Rows to report besides the routers'.
    strong, weak
        A pair of models: only these are compared, and APGR and CPT are measured. Without names they are measured
        where there are two models.
    seed
        Draws the split, the bootstrap and the random rank.

    Raises
    ------
    DataError
        If there is nothing to measure: one model, no common models, one score for all.
    UsageError
        If a pair is not one, or fewer rows are there than asked to fit on.
    """
    notes: list[str] = []
    if (strong is None) != (weak is None):
        raise UsageError("a pair needs both: --strong A --weak B")
    _check(outcomes)
    if strong is not None and weak is not None:
        if strong == weak:
            raise UsageError(f"--strong and --weak are both {strong}")
        outcomes = outcomes.only([strong, weak])
        _check(outcomes)
    rng = np.random.default_rng(seed)
    fit_part: Outcomes | None = None
    if isinstance(fit, int):
        if not 1 <= fit <= len(outcomes) - 2:
            raise UsageError(
                f"--fit {fit} leaves nothing to {'test' if fit else 'fit'} on: {outcomes.name} has {len(outcomes)} rows"
            )
        order = rng.permutation(len(outcomes))
        fit_part, outcomes = outcomes.take(order[:fit]), outcomes.take(order[fit:])
    elif fit is not None:
        common = [model for model in outcomes.models if model in fit.models]
        if len(common) < 2:
            raise DataError(
                f"{fit.name} and {outcomes.name} have {len(common)} models in common: two are needed",
                hint=f"they have {', '.join(fit.models[:5])}, ... and {', '.join(outcomes.models[:5])}, ...",
            )
        overlap = set(fit.prompts) & set(outcomes.prompts)
        if overlap:
            notes.append(f"{len(overlap)} prompts to test on are also in the file learnt from")
        fit_part, outcomes = fit.only(common), outcomes.only(common)
    outcomes = outcomes.take(np.flatnonzero((~np.isnan(outcomes.score)).any(axis=1)))
    outcomes = _usable(outcomes, notes) if strong is None else outcomes
    outcomes = outcomes.take(np.flatnonzero((~np.isnan(outcomes.score)).any(axis=1)))
    if fit_part is not None:
        fit_part = fit_part.only(outcomes.models)
    test = _Set(outcomes, embed(outcomes.prompts), surface_matrix(outcomes.prompts))
    has_cost = bool(np.isfinite(outcomes.cost_usd).any(axis=0).all())
    singles_by = fit_part if fit_part is not None else outcomes
    means = np.nanmean(_filled(singles_by.score), axis=0)
    best = int(np.argmax(means))
    if strong is None and len(outcomes.models) == 2:
        strong, weak = outcomes.models[best], outcomes.models[1 - best]
    bench = _make_bench(outcomes, has_cost, best, strong, weak, n_bootstrap, rng)
    rates = _rates(outcomes) if has_cost else None
    arms = _arms(outcomes.models, strong, weak, rates)
    candidates = []
    for label, version in ({name: router} | dict(others or {})).items():
        seen = int(version.seen(outcomes.prompts).sum())
        note = f"{seen} of these prompts were trained on: its figures flatter it" if seen else None
        candidates.append(_router_candidate(label, version, test, arms, rates if has_cost else None, note))
    if fit_part is not None:
        fit_set = _Set(fit_part, embed(fit_part.prompts), surface_matrix(fit_part.prompts))
        from_zero = bool(router.seen(outcomes.prompts).mean() > 0.01)
        candidates += _learn_candidates(fit_set, test, router, arms, wanted, from_zero=from_zero, seed=seed)
    elif "length" in wanted and strong is not None:
        column = test.surface[:, FEATURE_NAMES.index("log_chars")]
        candidates.append(_Candidate("length", None, None, rank=column))
    return _report(candidates, bench, outcomes, wanted, fit_part, strong, weak, seed, notes, rng)


def _make_bench(
    outcomes: Outcomes,
    has_cost: bool,
    best: int,
    strong: str | None,
    weak: str | None,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> _Bench:
    draws = _draws(len(outcomes), n_bootstrap, rng)
    single_cost = draws.means(_filled(outcomes.cost_usd).T) if has_cost else None
    position = {model: j for j, model in enumerate(outcomes.models)}
    return _Bench(
        score=outcomes.score,
        cost=outcomes.cost_usd if has_cost else None,
        draws=draws,
        single_score=draws.means(_filled(outcomes.score).T),
        single_cost=single_cost,
        best=best,
        low=float(single_cost[0].min()) if single_cost is not None else 0.0,
        high=float(single_cost[0].max()) if single_cost is not None else 0.0,
        strong=position[strong] if strong is not None else None,
        weak=position[weak] if weak is not None else None,
    )


def _report(
    candidates: Sequence[_Candidate],
    bench: _Bench,
    outcomes: Outcomes,
    wanted: Sequence[str],
    fit_part: Outcomes | None,
    strong: str | None,
    weak: str | None,
    seed: int,
    notes: list[str],
    rng: np.random.Generator,
) -> EvalReport:
    n = len(outcomes)
    random_area = _random_aiq(bench) if bench.single_cost is not None else None
    oracle = _Candidate("oracle", np.nan_to_num(outcomes.score), bench.cost, states_quality=False)
    oracle_row, oracle_area = _measure(oracle, bench)
    rows = []
    lead: tuple[str, Estimate] | None = None
    for candidate in candidates:
        row, area = _measure(candidate, bench)
        if area is not None and random_area is not None and oracle_area is not None:
            span = oracle_area - random_area
            row.metrics["oracle_share"] = _estimate((area - random_area) / np.where(span > 0, span, np.nan))
            over = row.metrics["lift"]
        else:
            over = row.metrics.get("apgr", Estimate(None))
            if over.value is not None and over.low is not None and over.high is not None:
                over = Estimate(over.value - 0.5, over.low - 0.5, over.high - 0.5)
        rows.append(row)
        preferred = "fitted" if fit_part is not None and "fitted" in wanted else candidates[0].name
        if candidate.name == preferred:
            lead = (candidate.name, over)
    if "random" in wanted:
        metrics: dict[str, Estimate] = {}
        if random_area is not None:
            metrics["aiq"] = _estimate(random_area)
        if bench.strong is not None:
            metrics |= _pair_metrics(rng.permutation(n).astype(np.float64), bench)
        rows.append(EvalRow("random", n, metrics, note="a mix of single models at the same cost"))
    if "oracle" in wanted:
        rows.append(oracle_row)
    verdict, why = _verdict(lead, n)
    cost = bench.single_cost
    return EvalReport(
        n_fit=0 if fit_part is None else len(fit_part),
        n_test=n,
        models=outcomes.models,
        strong=strong,
        weak=weak,
        seed=seed,
        rows=tuple(rows),
        best_single={
            "model": outcomes.models[bench.best],
            "accuracy": float(bench.single_score[0, bench.best]),
            "cost_usd_per_1k": None if cost is None else float(1000.0 * cost[0, bench.best]),
            "chosen_on": "fit" if fit_part is not None else "test",
        },
        oracle={
            "accuracy": float(np.nanmax(outcomes.score, axis=1).mean()),
            "aiq": None if oracle_area is None else _estimate(oracle_area).value,
        },
        singles=tuple(
            (name, None if cost is None else float(cost[0, j]), float(bench.single_score[0, j]))
            for j, name in enumerate(outcomes.models)
        ),
        verdict=verdict,
        why=why,
        notes=tuple(notes),
    )


def _verdict(lead: tuple[str, Estimate] | None, n: int) -> tuple[Verdict, str]:
    if n < _ENOUGH:
        return "inconclusive", f"{n} rows are too few to conclude anything from: {_ENOUGH} are the least"
    if lead is None or lead[1].value is None or lead[1].low is None:
        return "inconclusive", "there is nothing to compare routers by: no costs, and no pair of models"
    name, over = lead
    if over.low is not None and over.low > 0.0:
        return "helps", f"{name} is above a random mix at the same cost (by {over.value:.4f}, at least {over.low:.4f})"
    why = (
        f"Routing does not help here: {name} is not above a random mix of single models at the same cost "
        f"({over.value:+.4f}, interval {over.low:+.4f} to {over.high:+.4f})"
    )
    return "does not help", why


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
