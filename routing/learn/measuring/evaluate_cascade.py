"""Cascades and votes on outcome files with answers: simulated exactly, beside one-arm routing and single models.

Each model's normalised answer stands in the file, so what a plan of agreement would have said and cost is looked up,
not modelled. Which plan suits which prompt is learned on a part of the rows and judged on the others: by default four
times over, each quarter of the ids judged by what was learned on the rest, so that every row is judged once.

For each plan the learner is two ridge regressions, of P(right) and of cost, on the leading principal components of the
prompts' embeddings and their surface features. At each of many wtp the plan of greatest wtp * P(right) - cost is taken.
The predictions are means over several numbers of components and strengths of shrinkage.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.maths.metrics import aiq, convex_hull, cost_save
from scrimp.routing.prompts.surface import surface_matrix

from .measure import draws_of, estimate
from .results import Estimate, EvalRow
from .simulated_plans import answer_codes, plans_for, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    Floats = NDArray[np.float64]

__all__ = ["CascadeReport", "evaluate_cascade"]

_FOLDS: Final = 4
_WTP: Final = (0.0, *np.geomspace(3e-4, 30.0, 90).tolist())
_BALANCED: Final = int(np.argmin(np.abs(np.array(_WTP) - 0.1)))
"""The point of the sweep that is nearest to the preset `balanced`, $0.10 a right answer."""

_INNER_WTP: Final = tuple(np.geomspace(1e-3, 10.0, 25).tolist())
_SETTINGS: Final = ((8, 300.0), (8, 1000.0), (24, 300.0), (24, 1000.0), (64, 1000.0), (200, 1000.0))
"""(components, penalty) of the regressions that are averaged: none of them is chosen, so none is chosen by luck."""

_FEWEST: Final = 20
"""Prompts to learn on, and to judge, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """What is judged: `(n, m)` scores, costs in USD, tokens in and out, and answer codes; `(n, p)` features."""

    ids: tuple[str, ...]
    models: tuple[str, ...]
    score: Floats
    cost: Floats
    tokens: Floats
    codes: NDArray[np.int64]
    embeddings: Floats
    surface: Floats

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class _Learner:
    """Ridge regressions of each plan's score and cost on a prompt's features."""

    centre: Floats
    axes: Floats
    scale: float
    mean: Floats
    sd: Floats
    weights: Floats

    def features(self, embeddings: Floats, surface: Floats) -> Floats:
        projected = (embeddings - self.centre) @ self.axes.T / self.scale
        standard = 0.3 * np.clip((surface - self.mean) / self.sd, -3.0, 3.0)
        return np.column_stack([np.ones(len(embeddings)), projected, standard])

    def predict(self, embeddings: Floats, surface: Floats) -> tuple[Floats, Floats]:
        """Return `(n, n_plans)` P(right) and `(n, n_plans)` cost in USD."""
        both = self.features(embeddings, surface) @ self.weights
        half = both.shape[1] // 2
        return both[:, :half], np.maximum(both[:, half:], 0.0)


def _learn(embeddings: Floats, surface: Floats, got: Floats, paid: Floats) -> list[_Learner]:
    """Return a learner for each setting that the number of rows allows."""
    centre = embeddings.mean(axis=0)
    _, singular, axes = np.linalg.svd(embeddings - centre, full_matrices=False)
    scale = float(singular[0] / np.sqrt(len(embeddings))) or 1.0
    learners = []
    for n_axes, penalty in _SETTINGS:
        learner = _Learner(
            centre, axes[:n_axes], scale, surface.mean(axis=0), surface.std(axis=0) + 1e-9, np.zeros((0, 0))
        )
        x = learner.features(embeddings, surface)
        damp = np.eye(x.shape[1]) * penalty
        damp[0, 0] = 1e-6
        weights = np.linalg.solve(x.T @ x + damp, x.T @ np.concatenate([got, paid], axis=1))
        learners.append(replace(learner, weights=weights))
    return learners


def _take(p_right: Floats, p_cost: Floats, wtp: float, plans: slice = slice(None)) -> NDArray[np.intp]:
    """Return `(n,)`: the plan of greatest utility on each row; the cheapest where a right answer is worth nothing."""
    utility = wtp * p_right[:, plans] - p_cost[:, plans]
    return np.asarray(utility.argmax(axis=1))


def _mean(learners: Sequence[_Learner], embeddings: Floats, surface: Floats) -> tuple[Floats, Floats]:
    """Return the learners' mean `(n, n_plans)` P(right) and `(n, n_plans)` cost in USD."""
    both = [learner.predict(embeddings, surface) for learner in learners]
    return np.mean([right for right, _ in both], axis=0), np.mean([cost for _, cost in both], axis=0)


def _inner_curve(data: _Data, rows: NDArray[np.intp], got: Floats, paid: Floats) -> Floats:
    """Return (wtp, score, cost) of the sweep on the fitted rows, each judged by what was learned on others of them."""
    part = np.array([zlib.crc32(f"inner {data.ids[i]}".encode()) % 3 for i in rows])
    curve = np.column_stack([_INNER_WTP, np.zeros(len(_INNER_WTP)), np.zeros(len(_INNER_WTP))])
    for k in range(3):
        fit, test = np.flatnonzero(part != k), np.flatnonzero(part == k)
        learners = _learn(data.embeddings[rows[fit]], data.surface[rows[fit]], got[fit], paid[fit])
        p_right, p_cost = _mean(learners, data.embeddings[rows[test]], data.surface[rows[test]])
        for w, wtp in enumerate(_INNER_WTP):
            plan = _take(p_right, p_cost, wtp)
            curve[w, 1] += got[test, plan].sum() / len(rows)
            curve[w, 2] += paid[test, plan].sum() / len(rows)
    return curve


@dataclass(frozen=True, slots=True)
class CascadeReport:
    """What an evaluation of cascades found.

    Attributes
    ----------
    rows
        One a way of answering: `cascade` (a plan for each prompt), `fixed` (one plan for all), `one-arm` (the same
        learner, single models only), `random` (mixes of single models).
    best_single, oracle
        The most accurate single model (of equals the cheapest), and the cheapest right model for each prompt.
    taken
        The plans that `cascade` took most often at the preset `balanced`, with their share of the prompts.
    """

    n: int
    n_plans: int
    models: tuple[str, ...]
    seed: int
    rows: tuple[EvalRow, ...]
    best_single: dict[str, Any]
    oracle: dict[str, Any]
    taken: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values, in the form of the `eval --json` contract."""
        return {
            "schema_version": 1,
            "seed": self.seed,
            "n_test": self.n,
            "n_plans": self.n_plans,
            "models": list(self.models),
            "rows": [row.to_json() for row in self.rows],
            "best_single": self.best_single,
            "oracle": self.oracle,
            "taken": [list(pair) for pair in self.taken],
            "notes": list(self.notes),
        }


def _usable(outcomes: Outcomes, embed: Callable[[Sequence[str]], NDArray[np.float32]], notes: list[str]) -> _Data:
    if not outcomes.answers:
        raise DataError(
            "these outcomes carry no answers, so agreement cannot be simulated",
            hint='each model needs an "answer" beside its score; `--router shipped` needs none',
        )
    there = ~(np.isnan(outcomes.score) | np.isnan(outcomes.cost_usd))
    share = there.mean(axis=0)
    columns = [j for j in range(len(outcomes.models)) if share[j] >= 0.9]
    if len(columns) < 3:
        raise DataError("fewer than three models have scores and costs on these prompts: no cascade can be simulated")
    complete = there[:, columns].all(axis=1)
    if len(columns) < len(outcomes.models):
        notes.append(f"{len(outcomes.models) - len(columns)} models without costs, or tried on few prompts, left out")
    if not complete.all():
        notes.append(f"{int((~complete).sum())} prompts that not every model was tried on left out")
    kept = outcomes.take(np.flatnonzero(complete))
    if len(kept) < 40:
        raise DataError(f"only {len(kept)} prompts were tried on every model: too few to learn plans from")
    models = tuple(outcomes.models[j] for j in columns)
    return _Data(
        kept.ids,
        models,
        kept.score[:, columns],
        kept.cost_usd[:, columns],
        kept.input_tokens[:, columns] + kept.output_tokens[:, columns],
        answer_codes(kept, models),
        np.asarray(embed(kept.prompts), dtype=np.float64),
        surface_matrix(kept.prompts),
    )


@dataclass(slots=True, eq=False)
class _Sweeps:
    """What each way gets on every judged row at each willingness to pay: `(n_wtp, n)` scores and costs."""

    score: dict[str, Floats]
    cost: dict[str, Floats]
    preset: dict[str, tuple[Floats, Floats]]
    tokens: dict[str, Floats]
    taken: list[str]
    n_plans: int


def _judge(data: _Data, parts: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> _Sweeps:
    """Learn on each part's fitted rows, and look up what comes of it on the others."""
    n = len(data)
    names = ("cascade", "one-arm", "fixed")
    score = {name: np.full((len(_WTP), n), np.nan) for name in names}
    cost = {name: np.full((len(_WTP), n), np.nan) for name in names}
    preset = {name: (np.full(n, np.nan), np.full(n, np.nan)) for name in ("at_cost", "save_1pt")}
    tokens = {name: np.full(n, np.nan) for name in names}
    taken: list[str] = []
    n_plans = 0
    for fit, test in parts:
        plans = plans_for(data.models, data.score[fit], data.cost[fit])
        n_plans = max(n_plans, len(plans))
        accuracy = data.score[fit].mean(axis=0)
        both = [simulate(plan, data.models, data.score, data.cost, data.codes, accuracy) for plan in plans]
        got, paid = np.column_stack([one for one, _ in both]), np.column_stack([two for _, two in both])
        inner = _inner_curve(data, fit, got[fit], paid[fit])
        learners = _learn(data.embeddings[fit], data.surface[fit], got[fit], paid[fit])
        p_right, p_cost = _mean(learners, data.embeddings[test], data.surface[test])
        single = slice(0, len(data.models))
        means = got[fit].mean(axis=0), paid[fit].mean(axis=0)
        rows = np.arange(len(test))
        for w, wtp in enumerate(_WTP):
            for name, plan in (
                ("cascade", _take(p_right, p_cost, wtp)),
                ("one-arm", _take(p_right, p_cost, wtp, single)),
                ("fixed", np.full(len(test), int((wtp * means[0] - means[1]).argmax()))),
            ):
                score[name][w, test] = got[test][rows, plan]
                cost[name][w, test] = paid[test][rows, plan]
                if w == _BALANCED:
                    for j in np.unique(plan).tolist():
                        mine = test[plan == j]
                        cells = (data.score[mine], data.tokens[mine], data.codes[mine], accuracy)
                        tokens[name][mine] = simulate(plans[j], data.models, *cells)[1]
        # Settings chosen before the judged rows are seen, from rows left out within the fitted ones.
        best = int(np.lexsort((data.cost[fit].mean(axis=0), -accuracy))[0])
        best_cost, best_score = float(data.cost[fit, best].mean()), float(accuracy[best])
        dear = inner[inner[:, 2] <= 0.97 * best_cost]
        good = inner[inner[:, 1] >= best_score - 0.005]
        for name, curve, by in (("at_cost", dear, -1), ("save_1pt", good, 1)):
            if len(curve):
                at = int(np.argmax(curve[:, 1])) if by < 0 else int(np.argmin(curve[:, 2]))
                plan = _take(p_right, p_cost, float(curve[at, 0]))
                preset[name][0][test] = got[test][rows, plan]
                preset[name][1][test] = paid[test][rows, plan]
            else:
                preset[name][0][test], preset[name][1][test] = data.score[test, best], data.cost[test, best]
        taken += [str(plans[j]) for j in _take(p_right, p_cost, _WTP[_BALANCED]).tolist()]
    return _Sweeps(score, cost, preset, tokens, taken, n_plans)


def evaluate_cascade(
    outcomes: Outcomes,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    fit: Outcomes | int | None = None,
    seed: int = 0,
    n_bootstrap: int = 1000,
) -> CascadeReport:
    """Judge cascades, votes and one-arm routing on outcomes with answers.

    Parameters
    ----------
    embed
        Returns `(n, dim)` embeddings of prompts.
    fit
        Outcomes to learn plans on, or how many random rows (`seed` draws them) to learn on, the others being judged;
        None learns on three quarters of the ids and judges the fourth, four times over.
    n_bootstrap
        Draws of the judged rows, the same for every way: intervals of differences are paired.

    Raises
    ------
    DataError
        If there are no answers, or fewer than three models with costs.
    """
    notes: list[str] = []
    if isinstance(fit, int):
        data = _usable(outcomes, embed, notes)
        if not _FEWEST <= fit <= len(data) - _FEWEST:
            raise DataError(
                f"{fit} rows to learn on leave too few, or are too few: there are {len(data)} prompts",
                hint=f"At least {_FEWEST} are needed to learn on, and {_FEWEST} to judge.",
            )
        order = np.random.default_rng(seed).permutation(len(data))
        parts = [(np.sort(order[:fit]), np.sort(order[fit:]))]
    elif fit is not None:
        outcomes, at = _joined(fit, outcomes)
        data = _usable(outcomes, embed, notes)
        is_fit = np.array([identifier in at for identifier in data.ids])
        parts = [(np.flatnonzero(is_fit), np.flatnonzero(~is_fit))]
    else:
        data = _usable(outcomes, embed, notes)
        fold = np.array([zlib.crc32(identifier.encode()) % _FOLDS for identifier in data.ids])
        parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(_FOLDS)]
        parts = [(fitted, judged) for fitted, judged in parts if len(judged)]
    sweeps = _judge(data, parts)
    judged = np.concatenate([test for _, test in parts])
    n = len(judged)
    rng = np.random.default_rng(seed)
    weights = draws_of(n, n_bootstrap, rng).weights
    single_score, single_cost = weights @ data.score[judged], weights @ data.cost[judged]
    best = int(np.lexsort((single_cost[0], -single_score[0]))[0])
    best_score, best_cost = single_score[:, best], single_cost[:, best]
    low, high = float(single_cost[0].min()), float(single_cost[0].max())
    rows = []
    area: dict[str, Floats] = {}
    for name in ("cascade", "fixed", "one-arm"):
        scores = weights @ sweeps.score[name][:, judged].T
        costs = weights @ sweeps.cost[name][:, judged].T
        area[name] = np.array([aiq(c, s, low, high) for c, s in zip(costs, scores, strict=True)])
        metrics = _metrics(scores, costs, best_score, best_cost, area[name])
        base = int(single_cost[0].argmin())
        metrics["tep"] = _tep(
            scores[:, _BALANCED], weights @ sweeps.tokens[name][judged], single_score[:, base],
            weights @ data.tokens[judged, base],
        )  # fmt: skip
        if name == "cascade":
            metrics |= _preset(sweeps, judged, weights, best_score, best_cost)
        curve = tuple(zip(_WTP, costs[0].tolist(), scores[0].tolist(), strict=True))
        rows.append(EvalRow(name, n, metrics, curve))
    rows.append(EvalRow("random", n, _random(single_score, single_cost, best_score, best_cost, low, high)))
    for name in ("one-arm", "fixed"):
        rows[0].metrics[f"aiq_above_{name.replace('-', '_')}"] = estimate(area["cascade"] - area[name])
    right = data.score[judged] >= data.score[judged].max(axis=1, keepdims=True)
    cheapest = np.where(right, data.cost[judged], np.inf).argmin(axis=1)
    at_rows = np.arange(n)
    counts: dict[str, int] = {}
    for text in sweeps.taken:
        counts[text] = counts.get(text, 0) + 1
    return CascadeReport(
        n=n,
        n_plans=sweeps.n_plans,
        models=data.models,
        seed=seed,
        rows=tuple(rows),
        best_single={
            "model": data.models[best],
            "accuracy": float(best_score[0]),
            "cost_usd_per_1k": 1000.0 * float(best_cost[0]),
            "chosen_on": "judged",
        },
        oracle={
            "accuracy": float(data.score[judged][at_rows, cheapest].mean()),
            "cost_usd_per_1k": 1000.0 * float(data.cost[judged][at_rows, cheapest].mean()),
        },
        taken=tuple((text, count / n) for text, count in sorted(counts.items(), key=lambda pair: -pair[1])[:8]),
        notes=tuple(notes),
    )


def _joined(fit: Outcomes, test: Outcomes) -> tuple[Outcomes, frozenset[str]]:
    """Return both sets as one, for the models that both have, and the ids of the fitted rows."""
    shared = [model for model in fit.models if model in test.models]
    if not shared:
        raise DataError("the rows to learn on and the rows to judge have no model in common")
    a, b = fit.only(shared), test.only(shared)
    known = frozenset(a.ids)
    b = b.take([i for i, identifier in enumerate(b.ids) if identifier not in known])
    joined = replace(
        a,
        ids=a.ids + b.ids,
        sources=a.sources + b.sources,
        categories=a.categories + b.categories,
        prompts=a.prompts + b.prompts,
        answers=a.answers + b.answers,
        gold=(),
        score=np.concatenate([a.score, b.score]),
        cost_usd=np.concatenate([a.cost_usd, b.cost_usd]),
        input_tokens=np.concatenate([a.input_tokens, b.input_tokens]),
        output_tokens=np.concatenate([a.output_tokens, b.output_tokens]),
    )
    return joined, known


def _metrics(scores: Floats, costs: Floats, best_score: Floats, best_cost: Floats, area: Floats) -> dict[str, Estimate]:
    """Return the measures of a sweep: `(1 + n_draws, n_wtp)` mean scores and costs."""
    both = list(zip(costs, scores, best_cost, best_score, strict=True))
    at_cost = [float(s[c <= b * (1.0 + 1e-9)].max(initial=0.0)) - q for c, s, b, q in both]
    at = _BALANCED
    return {
        "aiq": estimate(area),
        "perf_gain": estimate(scores.max(axis=1) / best_score - 1.0),
        "cost_save": estimate([cost_save(c, s, b, q) for c, s, b, q in both]),
        "cost_save_1pt": estimate([cost_save(c, s, b, q, 0.01) for c, s, b, q in both]),
        "gain_at_cost": estimate(at_cost),
        "balanced_gain": estimate(scores[:, at] - best_score),
        "balanced_save": estimate(1.0 - costs[:, at] / best_cost),
        "accuracy": estimate(scores[:, at]),
        "cost_usd_per_1k": estimate(1000.0 * costs[:, at]),
        "cost_per_success_usd": estimate(costs[:, at] / np.maximum(scores[:, at], 1e-12)),
    }


def _tep(score: Floats, tokens: Floats, base_score: Floats, base_tokens: Floats) -> Estimate:
    """Return the Token Elasticity of Performance (EllieSQL) against the cheapest model, at the preset `balanced`.

    (score / base_score - 1) / (tokens / base_tokens - 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (score / base_score - 1.0) / (tokens / base_tokens - 1.0)
    return estimate(values) if np.isfinite(values).all() else Estimate(None)


def _preset(
    sweeps: _Sweeps, judged: NDArray[np.intp], weights: Floats, best_score: Floats, best_cost: Floats
) -> dict[str, Estimate]:
    """Return measures at a willingness to pay that was settled on the fitted rows alone."""
    measures = {}
    for name in ("at_cost", "save_1pt"):
        score, cost = (weights @ values[judged] for values in sweeps.preset[name])
        measures[f"preset_{name}_gain"] = estimate(score - best_score)
        measures[f"preset_{name}_save"] = estimate(1.0 - cost / best_cost)
    return measures


def _random(
    single_score: Floats, single_cost: Floats, best_score: Floats, best_cost: Floats, low: float, high: float
) -> dict[str, Estimate]:
    """Return the measures of the best random mixes of single models."""
    area, save, save_1pt, at_cost, gain = [], [], [], [], []
    for s, c, q, b in zip(single_score, single_cost, best_score, best_cost, strict=True):
        x, y = convex_hull(c, s)
        area.append(aiq(c, s, low, high))
        grid = np.unique(np.concatenate([np.linspace(x[0], x[-1], 400), x]))
        height = np.interp(grid, x, y)
        save.append(cost_save(grid, height, b, q))
        save_1pt.append(cost_save(grid, height, b, q, 0.01))
        at_cost.append(float(height[grid <= b * (1.0 + 1e-9)].max(initial=0.0)) - q)
        gain.append(float(s.max() / q - 1.0))
    return {
        "aiq": estimate(area),
        "perf_gain": estimate(gain),
        "cost_save": estimate(save),
        "cost_save_1pt": estimate(save_1pt),
        "gain_at_cost": estimate(at_cost),
    }
