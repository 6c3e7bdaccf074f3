"""From outcome files to a router version: what makes prompts hard, how able each model is, and how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.learn.data.judged import everyday
from scrimp.routing.learn.maths.heads import map_logistic, platt, sigmoid
from scrimp.routing.learn.maths.metrics import brier, ece
from scrimp.routing.prompts.surface import FEATURE_NAMES, LENGTHS
from scrimp.routing.prompts.words import shipped_lexicon
from scrimp.routing.router.learned import (
    LEVELS,
    LearnedRouter,
    Weights,
    features_of,
    prompt_hash,
    surface_excess,
)
from scrimp.routing.router.placed import Z80

from .abilities import abilities_of, on_scale
from .curves import implied_levels, level_curves, stretch
from .lesson import FOLDS, as_implied, left_out_rows, left_out_sources, lesson_of
from .level import LevelProblem, Within, judged_folds, word_matrix
from .public import fit_gate, public_logit
from .recipe import SHIPPED_RECIPE, Recipe
from .table import tabulate
from .transfer import holdouts, measure_sources, within_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.judged import Judged
    from scrimp.routing.learn.data.outcomes import Outcomes

    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["train"]

_ANY = 1e6  # beyond every length
_WORD = FEATURE_NAMES.index("word_level")


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """The known models' own heads on the logit scale: `(m, p + 1)`, and predictions made without the row's fold."""

    head: Floats
    out_of_fold: Floats


def _fit_heads(
    table: Table, x: Floats, offset: Floats, several: NDArray[np.bool_], fold: NDArray[np.intp], recipe: Recipe
) -> _Heads:
    """Fit what each model known from several sources adds to the shared logit, in part with the others.

    `offset` is the shared logit, `(n, m)`. Predictions of the other models stay the shared ones.
    """
    k_folds = int(fold.max()) + 1
    p = x.shape[1]
    m = len(table.models)
    precision = np.append(np.full(p - 1, recipe.head_l2), 0.01)
    out_of_fold = np.where(np.isnan(table.score), np.nan, offset)
    head = np.zeros((m, p))
    columns = np.flatnonzero(several)
    if not len(columns):
        return _Heads(head, out_of_fold)
    score = np.where(several[None, :], table.score, np.nan)
    tried = ~np.isnan(score)
    some = tried.any(axis=1)
    mean = np.where(some, np.nansum(score, axis=1) / np.maximum(tried.sum(axis=1), 1), 0.0)
    middle = np.where(tried, offset, 0.0).sum(axis=1) / np.maximum(tried.sum(axis=1), 1)
    for k in range(-1, k_folds):
        rows = np.flatnonzero(some & (fold != k)) if k >= 0 else np.flatnonzero(some)
        weight = np.minimum(tried[rows].sum(axis=1), 4).astype(float)
        common = map_logistic(x[rows], mean[rows], precision=precision, weight=weight, offset=middle[rows])
        for j in columns:
            mine = rows[tried[rows, j]]
            w = np.zeros(p)
            if len(mine) >= 50:
                w = map_logistic(
                    x[mine], score[mine, j], precision=precision, offset=offset[mine, j] + x[mine] @ common
                )
            if k < 0:
                head[j] = common + w
            else:
                test = np.flatnonzero((fold == k) & tried[:, j])
                out_of_fold[test, j] = offset[test, j] + x[test] @ (common + w)
    return _Heads(head, out_of_fold)


def _fit_tokens(table: Table, x: Floats, l2: float) -> tuple[Floats, Floats, float]:
    """Fit ln of output tokens: `(p + 1,)` shared by all, `(m,)` shifts of the models, and the residual's spread."""
    counted = table.output_tokens > 0
    log_tokens = np.log(np.where(counted, table.output_tokens, 1.0))
    rows = np.flatnonzero(counted.any(axis=1))
    p, m = x.shape[1], len(table.models)
    if not len(rows):
        weights = np.zeros(p)
        weights[-1] = np.log(300.0)
        return weights, np.full(m, np.nan), 0.8
    shift = np.zeros(m)
    weights = np.zeros(p)
    precision = np.append(np.full(p - 1, l2), 1e-3)
    n = counted[rows].sum(axis=1)
    for _ in range(5):
        target = ((log_tokens - shift) * counted)[rows].sum(axis=1) / n
        weights = np.linalg.solve(x[rows].T @ x[rows] + np.diag(precision), x[rows].T @ target)
        residual = (log_tokens - (x @ weights)[:, None]) * counted
        count = counted.sum(axis=0)
        shift = np.where(count > 0, residual.sum(axis=0) / np.maximum(count, 1), 0.0)
        shift -= np.median(shift[count > 0])
    residual = (log_tokens - (x @ weights)[:, None] - shift)[counted]
    return weights, np.where(counted.any(axis=0), shift, np.nan), float(np.quantile(residual, 0.9) / Z80)


def _landmarks(table: Table, rng: np.random.Generator, k: int) -> NDArray[np.intp]:
    """Draw the prompts to measure distances from, every source counting alike (by the root of its size)."""
    names, inverse, counts = np.unique(table.groups, return_inverse=True, return_counts=True)
    del names
    chance = 1.0 / np.sqrt(counts[inverse])
    return np.sort(rng.choice(len(inverse), size=min(k, len(inverse)), replace=False, p=chance / chance.sum()))


def _distances(
    table: Table, marks: NDArray[np.intp], low: Floats, high: Floats, recipe: Recipe
) -> tuple[Floats, Floats]:
    """Return quantiles of the distances of prompts to landmarks of other sources, and of their surface excess."""
    nearest, outside = [], []
    for out in holdouts(table.groups, recipe.related):
        rows = np.flatnonzero(np.isin(table.groups, out))
        others = marks[~np.isin(table.groups[marks], out)]
        if not len(others):
            others = marks
        rows = rows[:: max(1, len(rows) // 150)]
        nearest.append(1.0 - (table.embeddings[rows] @ table.embeddings[others].T).max(axis=1))
        outside.append(surface_excess(table.surface[rows], low, high))
    grid = np.linspace(0.0, 1.0, 201)
    return np.quantile(np.concatenate(nearest), grid), np.quantile(np.concatenate(outside), grid)


def _sources(table: Table) -> tuple[list[str], NDArray[np.intp]]:
    """Return the sources, categories of one taken together, and the `(n,)` source of each row."""
    base = [name.split("/")[0] for name in table.groups.tolist()]
    names = list(dict.fromkeys(base))
    return names, np.array([names.index(name) for name in base], dtype=np.intp)


def train(
    outcomes: Outcomes,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    embedder_id: str,
    *,
    judged: Judged | None = None,
    recipe: Recipe | None = None,
    version: str,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> LearnedRouter:
    """Learn a router from outcomes and judged prompts.

    Parameters
    ----------
    outcomes
        Scores in [0, 1] of at least two models on at least 50 prompts.
    embed, embedder_id
        Turns prompts into `(n, dim) float32` unit vectors; its id goes into the card.
    judged
        Prompts with their level of difficulty; those that come with scrimp when None. Prompts of the outcomes among
        them say what a level means.
    recipe
        How; as the shipped router's when None.
    version
        The version's name.
    seed
        Draws folds, centres and landmarks.
    about
        More for the card: data, licences, date.

    Raises
    ------
    DataError
        If nothing can be learnt from the outcomes.
    """
    recipe = SHIPPED_RECIPE if recipe is None else recipe
    judged = everyday() if judged is None else judged
    table = tabulate(outcomes, embed, recipe.drop)
    rng = np.random.default_rng(seed)
    lesson = lesson_of(judged, table, embed)
    standard = lesson.standard
    x = features_of(table.embeddings, table.surface, *standard)
    groups = {name: np.flatnonzero(table.groups == name) for name in dict.fromkeys(table.groups.tolist())}
    # What a level means: from outcomes of judged prompts, and the scale's own words.
    abilities = abilities_of(table)
    ability, by_table = on_scale(abilities, table.models)
    ability_mean = float(np.median(ability))
    source_names, source = _sources(table)
    public = np.flatnonzero(lesson.row >= 0)
    true = level_curves(
        judged.levels[public],
        table.score[lesson.row[public]],
        [source_names[k] for k in source[lesson.row[public]]],
        ability,
        ability_mean,
    )
    within = Within(x, implied_levels(true, table.score, ability - ability_mean, groups), groups)
    problem = LevelProblem(lesson.x, as_implied(lesson, within), within, recipe, rng)
    lexicon = shipped_lexicon().astype(np.float64)
    words_within = word_matrix(table.prompts)
    head = problem.head(lesson.words @ lexicon, words_within @ lexicon)
    by_kind = left_out_rows(problem, lesson, words_within, judged_folds(judged.kinds, FOLDS), recipe)
    by_source = left_out_sources(problem, lesson, within, words_within, lesson.lexicon(recipe), table, recipe)
    own = np.flatnonzero(lesson.row < 0)
    by_fold = left_out_rows(problem, lesson, words_within, rng.permutation(len(judged)) % FOLDS, recipe)
    slope, shift = stretch(judged.levels[own], by_fold[own])
    by_kind, by_source = slope * by_kind + shift, np.clip(slope * by_source + shift, LEVELS[0], LEVELS[-1])
    level = np.clip(slope * head.levels(x, words_within @ lexicon) + shift, LEVELS[0], LEVELS[-1])
    public_part = public_logit(table, x, abilities, recipe)
    gate = fit_gate(x, table.groups, lesson.x[own], recipe.gate_l2)
    share = sigmoid(x @ gate)
    shared = true.view(level).blended(share, x @ public_part.ease, x @ public_part.spread)
    left_out = true.view(by_source).blended(share, public_part.left_out_ease, public_part.left_out_spread)
    tiers = {"small": ability <= np.quantile(ability, 0.4), "large": ability >= np.quantile(ability, 0.7)}
    transfer = measure_sources(table, by_source, left_out, by_table - ability_mean, tiers)
    several = np.array(
        [
            len(set(source[~np.isnan(table.score[:, j])].tolist())) >= recipe.head_sources
            for j in range(len(table.models))
        ]
    )
    fold = rng.permutation(len(x)) % 5
    heads = _fit_heads(table, x, shared.logit(ability - ability_mean), several, fold, recipe)
    cell = ~np.isnan(heads.out_of_fold) & several[None, :]
    measured = None
    a, b = 1.0, 0.0
    if cell.any():
        a, b = platt(heads.out_of_fold[cell], table.score[cell])
        measured = a * heads.out_of_fold[cell] + b, table.score[cell]
    head_sources = np.zeros((len(table.models), len(source_names)), np.uint8)
    for j in np.flatnonzero(several):
        head_sources[j, np.unique(source[~np.isnan(table.score[:, j])])] = 1
    tokens, token_shift, token_sd = _fit_tokens(table, x, recipe.token_l2)
    marks = _landmarks(table, rng, recipe.n_landmarks)
    mine = np.sort(rng.choice(len(judged), min(recipe.n_landmarks // 2, len(judged)), replace=False))
    mine = mine[lesson.row[mine] < 0]
    both = np.concatenate([table.surface, lesson.surface])
    low, high = np.quantile(both, [0.005, 0.995], axis=0)
    lengths = np.isin(FEATURE_NAMES, list(LENGTHS))
    low[lengths], high[lengths] = -_ANY, _ANY
    nearest, outside = _distances(table, marks, low, high, recipe)
    kinds = within_kinds([judged.kinds[i] for i in own], judged.levels[own], by_kind[own])
    level_sd = (
        float(np.sqrt(np.mean((np.clip(by_kind[own], LEVELS[0], LEVELS[-1]) - judged.levels[own]) ** 2)))
        if len(own)
        else 1.0
    )
    step = float(-np.polyfit(LEVELS, true.ease, 1)[0])
    prior = {
        "ability_mean": ability_mean,
        "ability_sd": float(np.std(ability)),
        "logit_sd": float(np.hypot(true.source_sd, level_sd * step * 0.5)) if np.isfinite(true.source_sd) else 0.9,
        "known_slope": a,
        "known_shift": b,
        "known_logit_sd": 0.35,  # of a head of its own, on a seen source: chosen, not measured
        "token_sd": token_sd,
    }
    card = {
        "kind": "scrimp router",
        "n_prompts": len(x),
        "n_outcomes": int((~np.isnan(table.score)).sum()),
        "n_judged": len(judged),
        "sources": {name: len(rows) for name, rows in groups.items()},
        "seed": seed,
        "recipe": {name: getattr(recipe, name) for name in Recipe.__annotations__ if name not in {"drop", "related"}},
        "left_out_cells": [list(item) for item in recipe.drop],
        "level": {
            "stretch": [round(slope, 3), round(shift, 3)],
            "curve": {
                "ease": _rounded(true.ease),
                "spread": _rounded(true.spread),
                "source_sd": _rounded(true.source_sd),
            },
            "left_out_kinds": kinds,
            "left_out_kinds_mean": round(float(np.mean(list(kinds.values()))), 3) if kinds else None,
            "left_out_kinds_rmse": round(level_sd, 3),
        },
        "held_out_rows": {
            "ece": None if measured is None else round(ece(sigmoid(measured[0]), measured[1]), 4),
            "brier": None if measured is None else round(brier(sigmoid(measured[0]), measured[1]), 4),
            "folds": 5,
            "models": int(several.sum()),
        },
        "held_out_sources": {
            "rank_correlation": round(
                float(np.mean([v["rank_correlation"] or 0.0 for v in transfer.by_source.values()])), 3
            ),
            "ece": transfer.ece,
            "by_source": transfer.by_source,
        },
        **(about or {}),
    }
    weights = Weights(
        centre=standard[0],
        surface_mean=standard[1],
        surface_sd=standard[2],
        surface_low=low,
        surface_high=high,
        level_scale=head.scale,
        level_centres=head.centres,
        level_weights=np.concatenate(
            [
                slope * head.weights[:-1],
                [slope * standard[2][_WORD]],
                [slope * (head.weights[-1] + standard[1][_WORD]) + shift],
            ]
        ),
        curve_ease=true.ease,
        curve_spread=true.spread,
        public_ease=public_part.ease,
        public_spread=public_part.spread,
        gate=gate,
        ability=ability,
        head=heads.head,
        head_sources=head_sources,
        tokens=tokens,
        token_shift=token_shift,
        landmarks=np.concatenate([table.embeddings[marks], lesson.embeddings[mine]]),
        landmark_sources=np.concatenate([source[marks], np.full(len(mine), 255)]).astype(np.uint8),
        landmark_quantiles=nearest,
        surface_quantiles=outside,
        seen=np.unique(
            np.array([prompt_hash(prompt) for prompt in (*table.prompts, *judged.prompts)], dtype=np.uint32)
        ),
    )
    return LearnedRouter(
        version=version,
        embedder_id=embedder_id,
        weights=weights,
        models=table.models,
        prior={key: round(value, 4) for key, value in prior.items()},
        layers={},
        card=card,
    )


def _rounded(value: Floats | float) -> Any:
    return np.round(value, 3).tolist() if np.isfinite(value).all() else None
