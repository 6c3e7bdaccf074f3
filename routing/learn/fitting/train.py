"""From outcome files to a router version: what makes prompts hard, how able each model is, and how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, platt, sigmoid
from scrimp.routing.learn.maths.metrics import brier, ece
from scrimp.routing.router.learned import (
    LearnedRouter,
    Weights,
    canonical_name,
    features_of,
    prompt_hash,
    surface_excess,
)

from .recipe import Recipe
from .shared import abilities_of, shared_view
from .table import standards, tabulate
from .transfer import held_out_sources, holdouts, transfer_slope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["train"]


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """The known models' own heads on the logit scale: `(m, p + 1)`, and predictions made without the row's fold."""

    head: Floats
    out_of_fold: Floats


def _fit_heads(table: Table, x: Floats, fold: NDArray[np.intp], recipe: Recipe) -> _Heads:
    """Fit each model's head around one that all models share, and calibrate it on folds it was not fitted on."""
    k_folds = int(fold.max()) + 1
    p = x.shape[1]
    m = len(table.models)
    precision = np.append(np.full(p - 1, recipe.head_l2), 0.01)
    out_of_fold = np.full(table.score.shape, np.nan)
    head = np.zeros((m, p))
    n_tried = (~np.isnan(table.score)).sum(axis=1)
    for k in range(-1, k_folds):
        rows = np.flatnonzero(fold != k) if k >= 0 else np.arange(len(x))
        mean = np.nanmean(table.score[rows], axis=1)
        weight = np.minimum(n_tried[rows], 4).astype(float)
        common = map_logistic(x[rows], mean, precision=precision, weight=weight)
        offset = x @ common
        for j in range(m):
            mine = rows[~np.isnan(table.score[rows, j])]
            if len(mine) < 50:
                w = np.zeros(p)
                w[-1] = -8.0 if k < 0 else 0.0
            else:
                w = map_logistic(x[mine], table.score[mine, j], precision=precision, offset=offset[mine])
            if k < 0:
                head[j] = common + w
            else:
                test = np.flatnonzero((fold == k) & ~np.isnan(table.score[:, j]))
                out_of_fold[test, j] = offset[test] + x[test] @ w
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
    return weights, np.where(counted.any(axis=0), shift, np.nan), float(np.quantile(residual, 0.9) / 1.2816)


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


def train(
    outcomes: Outcomes,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    embedder_id: str,
    *,
    recipe: Recipe | None = None,
    version: str,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> LearnedRouter:
    """Learn a router from outcomes.

    Parameters
    ----------
    outcomes
        Scores in [0, 1] of at least two models on at least 50 prompts.
    embed, embedder_id
        Turns prompts into `(n, dim) float32` unit vectors; its id goes into the card.
    version
        The version's name.
    seed
        Draws folds and landmarks.
    about
        More for the card: data, licences, date.

    Raises
    ------
    DataError
        If nothing can be learnt from the outcomes.
    """
    recipe = Recipe() if recipe is None else recipe
    table = tabulate(outcomes, embed, recipe.drop)
    rng = np.random.default_rng(seed)
    centre, mean, sd = standards(table)
    x = features_of(table.embeddings, table.surface, centre, mean, sd)
    abilities = abilities_of(table)
    shared = shared_view(table, x[:, :-1], abilities, recipe)
    transfer = held_out_sources(table, recipe)
    slope = transfer_slope(table, transfer.ease)
    names = list(abilities.level)
    balanced = np.array([1.0 / (table.groups == name).sum() for name in table.groups])
    balanced /= balanced.sum()
    ease = slope * (x[:, :-1] @ shared.ease)
    ease_sd = float(np.sqrt(balanced @ (ease - balanced @ ease) ** 2))
    spread = x[:, :-1] @ shared.spread
    spread_sd = float(np.sqrt(balanced @ (spread - balanced @ spread) ** 2))
    # In the middle of the range where arms are compared (right three times in four) a standard deviation of ease moves
    # the gap by half as much in ln: this is what `spread_ratio` is a multiple of.
    factor = recipe.spread_ratio * 0.5 * ease_sd / max(spread_sd, 1e-9)
    level = float(np.mean([abilities.level[name] for name in names]))
    tried = (~np.isnan(table.score)).any(axis=0)
    ability = abilities.ability
    ability_mean = float(np.median(ability[tried]))
    ease_weights = np.append(slope * shared.ease, level + ability_mean - float(balanced @ ease))
    spread_weights = np.append(factor * shared.spread, -factor * float(balanced @ spread))
    fold = rng.permutation(len(x)) % 5
    heads = _fit_heads(table, x, fold, recipe)
    cell = ~np.isnan(heads.out_of_fold)
    a, b = platt(heads.out_of_fold[cell], table.score[cell])
    predicted = sigmoid(a * heads.out_of_fold[cell] + b)
    head = a * heads.head
    head[:, -1] += b
    tokens, token_shift, token_sd = _fit_tokens(table, x, recipe.token_l2)
    marks = _landmarks(table, rng, recipe.n_landmarks)
    low, high = np.quantile(table.surface, [0.005, 0.995], axis=0)
    nearest, outside = _distances(table, marks, low, high, recipe)
    level_sd = float(np.std([abilities.level[name] for name in names]))
    per_decade = _ability_per_decade(outcomes, table, ability)
    prior = {
        "ability_mean": ability_mean,
        "ability_small": float(np.quantile(ability[tried], 0.50)),
        "ability_medium": float(np.quantile(ability[tried], 0.70)),
        "ability_large": float(np.quantile(ability[tried], 0.90)),
        "ability_per_decade": per_decade,
        "ability_sd": float(np.std(ability[tried])),
        "logit_sd": level_sd,
        "known_logit_sd": 0.35,  # of a head of its own, on a seen source: chosen, not measured
        "token_sd": token_sd,
    }
    card = {
        "kind": "scrimp router",
        "n_prompts": len(x),
        "n_outcomes": int((~np.isnan(table.score)).sum()),
        "sources": {name: int((table.groups == name).sum()) for name in names},
        "seed": seed,
        "recipe": {name: getattr(recipe, name) for name in Recipe.__annotations__ if name not in {"drop", "related"}},
        "left_out_cells": [list(item) for item in recipe.drop],
        "held_out_rows": {
            "ece": round(ece(predicted, table.score[cell]), 4),
            "brier": round(brier(predicted, table.score[cell]), 4),
            "folds": 5,
        },
        "held_out_sources": {
            "rank_correlation": round(
                float(np.mean([v["rank_correlation"] or 0.0 for v in transfer.by_source.values()])), 3
            ),
            "by_source": transfer.by_source,
        },
        **(about or {}),
    }
    weights = Weights(
        centre=centre,
        surface_mean=mean,
        surface_sd=sd,
        surface_low=low,
        surface_high=high,
        ease=ease_weights,
        spread=spread_weights,
        ability=ability,
        head=head,
        tokens=tokens,
        token_shift=token_shift,
        landmarks=table.embeddings[marks],
        landmark_quantiles=nearest,
        surface_quantiles=outside,
        seen=np.unique(np.array([prompt_hash(prompt) for prompt in table.prompts], dtype=np.uint32)),
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


def _ability_per_decade(outcomes: Outcomes, table: Table, ability: Floats) -> float:
    """Return how much abler a model is that costs ten times as much a prompt; 0.4 where few models have costs."""
    with np.errstate(all="ignore"):
        cost = np.array([np.nanmean(column) if (~np.isnan(column)).any() else np.nan for column in outcomes.cost_usd.T])
    known = [(np.log10(c), ability[table.models.index(canonical_name(name))])
             for name, c in zip(outcomes.models, cost, strict=True) if c > 0]  # fmt: skip
    if len(known) < 5:
        return 0.4
    x, y = np.array(known).T
    return float(np.clip(np.polyfit(x, y, 1)[0], 0.1, 1.0))
