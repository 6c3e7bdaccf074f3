"""The truth about a router on outcomes: cost against quality, beside single models, a random mix and baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.fitting.fit import fit as fit_router
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_matrix
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.text.in_words import counted

from . import baselines
from .measure import Bench, Candidate, estimate, filled, make_bench, measure, pair_metrics, random_aiq
from .results import Estimate, EvalReport, EvalRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes
    from scrimp.routing.router.learned import LearnedRouter

    from .results import Verdict

    Floats = NDArray[np.float64]

__all__ = ["BASELINES", "blank", "evaluate"]

BASELINES: Final = ("knn", "cluster", "ridge", "length")
_ENOUGH: Final = 50  # rows below which nothing is concluded


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Outcomes with their features: `(n, dim)`, `(n, n_features)`."""

    outcomes: Outcomes
    embeddings: NDArray[np.float32]
    surface: Floats


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
        notes.append(f"{counted(len(priced) - len(full), 'model')} tried on fewer prompts left out")
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


def _fitted(fit: _Set, router: LearnedRouter, arms: Sequence[ArmInfo], *, from_zero: bool, seed: int) -> LearnedRouter:
    """Return what `refit` would make of the fit part: the same fit, from the same base."""
    base = router.with_layers({}, router.version)
    log = of_scores(
        [arm.name for arm in arms], fit.outcomes.score, fit.embeddings, fit.surface,
        output_tokens=fit.outcomes.output_tokens,
    )  # fmt: skip
    log = log.take(log.may_judge)
    if not len(log):
        raise DataError(f"{fit.outcomes.name}: no outcomes of these models to learn from")
    return fit_router(blank(base) if from_zero else base, arms, log, version="fitted", seed=seed).router


def blank(router: LearnedRouter) -> LearnedRouter:
    """Return a router that knows abilities by tier and price only: for prompts that it was itself trained on."""
    w = router.weights
    flat, never = np.zeros_like(w.curve_ease), np.append(np.zeros(len(w.gate) - 1), -99.0)
    weights = replace(
        w, curve_ease=flat, curve_spread=flat + 1.0, gate=never, ability=w.ability[:0], head=w.head[:0],
        head_sources=w.head_sources[:0], token_shift=w.token_shift[:0],
    )  # fmt: skip
    return replace(router, models=(), weights=weights)


def _learn_baselines(fit: _Set, test: _Set, router: LearnedRouter, *, seed: int) -> list[Candidate]:
    x_fit, x_test = router.features(fit.embeddings, fit.surface), router.features(test.embeddings, test.surface)
    score = fit.outcomes.score
    cost = None
    if np.isfinite(fit.outcomes.cost_usd).any(axis=0).all():
        cost = baselines.cost_ridge(x_fit, fit.outcomes.cost_usd, x_test)
    length = FEATURE_NAMES.index("log_chars")
    makers: dict[str, Callable[[], Floats]] = {
        "knn": lambda: baselines.nearest_means(fit.embeddings, score, test.embeddings),
        "cluster": lambda: baselines.cluster_means(fit.embeddings, score, test.embeddings, seed=seed),
        "ridge": lambda: baselines.ridge_heads(x_fit, score, x_test),
        "length": lambda: baselines.length_heads(fit.surface[:, length], score, test.surface[:, length]),
    }
    return [Candidate(name, makers[name](), cost) for name in BASELINES]


def _router_candidate(
    name: str, router: LearnedRouter, test: _Set, arms: Sequence[ArmInfo], rates: Floats | None, note: str | None
) -> Candidate:
    """Return what a router predicts on the test part; its costs as a decision expects them."""
    predictions = router.predict(test.embeddings, test.surface, arms)
    cost = None
    if np.isfinite(test.outcomes.cost_usd).any():
        if rates is None:
            cost = np.tile(np.nanmean(test.outcomes.cost_usd, axis=0), (len(test.surface), 1))
        else:
            n_in = np.nan_to_num(np.nanmedian(test.outcomes.input_tokens, axis=1))
            cost = n_in[:, None] * rates[:, 0] + predictions.output_tokens_p50 * rates[:, 1]
    return Candidate(name, predictions.quality, cost, note=note)


def evaluate(
    outcomes: Outcomes,
    router: LearnedRouter,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    name: str = "shipped",
    others: Mapping[str, LearnedRouter] | None = None,
    fit: int | Outcomes | None = None,
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
            notes.append(
                f"{counted(len(overlap), 'prompt to test on is', 'prompts to test on are')} also in the file "
                "learnt from"
            )
        fit_part, outcomes = fit.only(common), outcomes.only(common)
    outcomes = outcomes.take(np.flatnonzero((~np.isnan(outcomes.score)).any(axis=1)))
    outcomes = _usable(outcomes, notes) if strong is None else outcomes
    outcomes = outcomes.take(np.flatnonzero((~np.isnan(outcomes.score)).any(axis=1)))
    if fit_part is not None:
        fit_part = fit_part.only(outcomes.models)
    test = _Set(outcomes, embed(outcomes.prompts), surface_matrix(outcomes.prompts))
    has_cost = bool(np.isfinite(outcomes.cost_usd).any(axis=0).all())
    singles_by = fit_part if fit_part is not None else outcomes
    means = np.nanmean(filled(singles_by.score), axis=0)
    best = int(np.argmax(means))
    if strong is None and len(outcomes.models) == 2:
        strong, weak = outcomes.models[best], outcomes.models[1 - best]
    bench = make_bench(outcomes, has_cost, best, strong, weak, n_bootstrap, rng)
    rates = _rates(outcomes) if has_cost else None
    arms = _arms(outcomes.models, strong, weak, rates)
    candidates = []
    for label, version in ({name: router} | dict(others or {})).items():
        seen = int(version.seen(outcomes.prompts).sum())
        note = f"{seen} of these prompts were trained on: its figures flatter it" if seen else None
        candidates.append(_router_candidate(label, version, test, arms, rates, note))
    if fit_part is not None:
        fit_set = _Set(fit_part, embed(fit_part.prompts), surface_matrix(fit_part.prompts))
        from_zero = bool(router.seen(outcomes.prompts).mean() > 0.01)
        learnt = _fitted(fit_set, router, arms, from_zero=from_zero, seed=seed)
        note = "learnt from zero: the router's own view knows these prompts" if from_zero else None
        candidates.append(_router_candidate("fitted", learnt, test, arms, rates, note))
        candidates += _learn_baselines(fit_set, test, router, seed=seed)
    elif strong is not None:
        column = test.surface[:, FEATURE_NAMES.index("log_chars")]
        candidates.append(Candidate("length", None, None, rank=column))
    return _report(candidates, bench, outcomes, fit_part, strong, weak, seed, notes, rng)


def _report(
    candidates: Sequence[Candidate],
    bench: Bench,
    outcomes: Outcomes,
    fit_part: Outcomes | None,
    strong: str | None,
    weak: str | None,
    seed: int,
    notes: list[str],
    rng: np.random.Generator,
) -> EvalReport:
    n = len(outcomes)
    random_area = random_aiq(bench) if bench.single_cost is not None else None
    oracle = Candidate("oracle", np.nan_to_num(outcomes.score), bench.cost, states_quality=False)
    oracle_row, oracle_area = measure(oracle, bench)
    rows = []
    lead: tuple[str, Estimate] | None = None
    for candidate in candidates:
        row, area = measure(candidate, bench)
        if area is not None and random_area is not None and oracle_area is not None:
            span = oracle_area - random_area
            row.metrics["oracle_share"] = estimate((area - random_area) / np.where(span > 0, span, np.nan))
            over = row.metrics["lift"]
        else:
            over = row.metrics.get("apgr", Estimate(None))
            if over.value is not None and over.low is not None and over.high is not None:
                over = Estimate(over.value - 0.5, over.low - 0.5, over.high - 0.5)
        rows.append(row)
        preferred = "fitted" if fit_part is not None else candidates[0].name
        if candidate.name == preferred:
            lead = (candidate.name, over)
    metrics: dict[str, Estimate] = {}
    if random_area is not None:
        metrics["aiq"] = estimate(random_area)
    if bench.strong is not None:
        metrics |= pair_metrics(rng.permutation(n).astype(np.float64), bench)
    rows.append(EvalRow("random", n, metrics, note="a mix of single models at the same cost"))
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
            "aiq": None if oracle_area is None else estimate(oracle_area).value,
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
        return (
            "inconclusive",
            f"{counted(n, 'row is', 'rows are')} too few to conclude anything from: {_ENOUGH} are the least",
        )
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
