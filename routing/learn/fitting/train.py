"""From outcome files to a router version: what makes prompts hard, how able each model is, and how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.maths.heads import map_logistic, platt, ridge_within, sigmoid
from scrimp.routing.learn.maths.metrics import apgr, brier, ece
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_matrix
from scrimp.routing.router.learned import (
    SURFACE_SCALE,
    LearnedRouter,
    Weights,
    canonical_name,
    prompt_hash,
    surface_excess,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    Floats = NDArray[np.float64]

__all__ = ["SHIPPED_RECIPE", "Recipe", "Table", "Transfer", "held_out_sources", "tabulate", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every number that training depends on; the shipped router's are the defaults.

    Attributes
    ----------
    ease_features, spread_features
        Surface features that stand beside the embedding where the shared view of a prompt is learnt. Few on purpose:
        across tasks most of them tell the benchmark rather than how hard the prompt is.
    ease_l2, ease_surface_l2, ease_pooling
        Penalties, and the share of the difference between sources that is learnt from.
    spread_l2, spread_surface_l2, hard_source_weight
        The same for what widens the gap between models; sources that even able models fail count this much.
    spread_ratio
        How much the spread counts against the ease in ranking a pair's gaps, both in standard deviations.
    head_l2
        Penalty of a known model's own head around the shared one.
    drop
        (source, part of a model's name): cells left out because their labels are known to be wrong.
    related
        Sources that are held out together when transfer is measured.
    """

    ease_features: tuple[str, ...] = ("log_chars",)
    ease_l2: float = 100.0
    ease_surface_l2: float = 1.0
    ease_pooling: float = 0.3
    spread_features: tuple[str, ...] = ("log_chars",)
    spread_l2: float = 600.0
    spread_surface_l2: float = 1.0
    spread_ratio: float = 2.0
    hard_source_weight: float = 0.0
    head_l2: float = 3.0
    token_l2: float = 10.0
    n_landmarks: int = 1500
    drop: tuple[tuple[str, str], ...] = ()
    related: tuple[tuple[str, ...], ...] = ()


_CHOICE_SOURCES = ("mmlu", "commonsense_qa", "openbook_qa", "arc_challenge", "agentverse-logicgrid")

SHIPPED_RECIPE = Recipe(
    drop=(*((source, "chatqa") for source in _CHOICE_SOURCES), ("mmlu", "qwen2.5-7b-instruct")),
    related=(
        ("gsm8k", "agentverse-mgsm"),
        ("math", "math-l5"),
        ("mbpp", "human_eval"),
        ("natural_qa", "trivia_qa"),
        ("arc_challenge", "openbook_qa", "commonsense_qa"),
    ),
)
"""How the shipped router is trained."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Outcomes made ready for learning.

    Attributes
    ----------
    embeddings, surface
        `(n, dim) float32` and `(n, n_features) float64`.
    groups
        `(n,)` names of the sources, large ones split by category.
    models
        Canonical names; columns of `score` and `output_tokens`, `(n, m) float64`.
    """

    embeddings: NDArray[np.float32]
    surface: Floats
    groups: NDArray[np.str_]
    models: tuple[str, ...]
    score: Floats
    output_tokens: Floats
    prompts: tuple[str, ...]

    def take(self, rows: NDArray[np.intp]) -> Table:
        """Return some rows."""
        return Table(
            embeddings=self.embeddings[rows],
            surface=self.surface[rows],
            groups=self.groups[rows],
            models=self.models,
            score=self.score[rows],
            output_tokens=self.output_tokens[rows],
            prompts=tuple(self.prompts[i] for i in rows.tolist()),
        )


def _group_names(outcomes: Outcomes, smallest: int = 60) -> list[str]:
    """Return a source name per row: split by category where a source has several, small parts merged."""
    categories: dict[str, set[str | None]] = {}
    for source, category in zip(outcomes.sources, outcomes.categories, strict=True):
        categories.setdefault(source, set()).add(category)
    names = [
        f"{source}/{category}" if len(categories[source]) > 1 else source
        for source, category in zip(outcomes.sources, outcomes.categories, strict=True)
    ]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    return [f"{name.split('/')[0]}/other" if "/" in name and counts[name] < smallest else name for name in names]


def tabulate(
    outcomes: Outcomes, embed: Callable[[Sequence[str]], NDArray[np.float32]], drop: Sequence[tuple[str, str]] = ()
) -> Table:
    """Return outcomes ready for learning: features, canonical model names, cells with wrong labels taken out.

    Raises
    ------
    DataError
        If nothing can be learnt: fewer than two models, or fewer than 50 prompts.
    """
    models = tuple(dict.fromkeys(canonical_name(name) for name in outcomes.models))
    if len(outcomes) < 50:
        raise DataError(
            f"{outcomes.name}: {len(outcomes)} prompts are too few to train on",
            hint="50 are the least, thousands are better",
        )
    if len(models) < 2:
        raise DataError(f"{outcomes.name}: outcomes of one model only: there is nothing to choose between")
    score, n_out = (np.full((len(outcomes), len(models)), np.nan) for _ in range(2))
    for j, name in enumerate(outcomes.models):
        column = models.index(canonical_name(name))
        for table, values in ((score, outcomes.score), (n_out, outcomes.output_tokens)):
            table[:, column] = np.where(np.isnan(values[:, j]), table[:, column], values[:, j])
    sources = np.array(outcomes.sources)
    for source, part in drop:
        columns = [j for j, name in enumerate(models) if part in name]
        score[np.ix_(sources == source, columns)] = np.nan
    if np.nanmin(score) == np.nanmax(score):
        raise DataError(f"{outcomes.name}: every score is the same: there is nothing to learn")
    if not ((~np.isnan(score)).sum(axis=1) >= 2).any():
        raise DataError(f"{outcomes.name}: no two models were tried on the same prompt: they cannot be compared")
    return Table(
        embeddings=embed(outcomes.prompts),
        surface=surface_matrix(outcomes.prompts),
        groups=np.array(_group_names(outcomes)),
        models=models,
        score=score,
        output_tokens=n_out,
        prompts=outcomes.prompts,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Abilities:
    """A two-way view of the scores: model m on source s is right with logit ability_m + level_s."""

    ability: Floats
    level: dict[str, float]


def _abilities(table: Table, shrink: float = 0.5) -> _Abilities:
    names = list(dict.fromkeys(table.groups.tolist()))
    logits = np.full((len(names), len(table.models)), np.nan)
    for k, name in enumerate(names):
        score = table.score[table.groups == name]
        n = (~np.isnan(score)).sum(axis=0)
        p = (np.nansum(score, axis=0) + 1.0) / (n + 2.0)
        logits[k] = np.where(n > 0, np.log(p / (1.0 - p)), np.nan)
    there = ~np.isnan(logits)
    values = np.where(there, logits, 0.0)
    ability = np.zeros(len(table.models))
    level = np.zeros(len(names))
    for _ in range(200):
        level = ((values - ability) * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        ability = ((values - level[:, None]) * there).sum(axis=0) / (there.sum(axis=0) + shrink)
    return _Abilities(ability, dict(zip(names, level.tolist(), strict=True)))


def _within_gap(score: Floats) -> Floats:
    """Return `(n,)`: how much more often able models are right than those some way behind, on one source's prompts."""
    full = score[:, ~np.isnan(score).any(axis=0)]
    gap = np.zeros(len(score))
    if full.shape[1] < 2:
        return gap
    mean = full.mean(axis=0)
    best = float(mean.max())
    able = mean >= (max(0.5, best - 0.2) if best > 0.4 else best - 0.08)
    pairs = 0
    for a in np.flatnonzero(able):
        behind = (mean[a] - mean > 0.06) & (mean[a] - mean < 0.35) & (mean > 0.15)
        gap += behind.sum() * full[:, a] - full[:, behind].sum(axis=1)
        pairs += int(behind.sum())
    return gap / max(pairs, 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """The shared view before it is put on the logit scale: `(p,)` directions for ease and spread."""

    ease: Floats
    spread: Floats


def _precision(dim: int, used: Sequence[str], l2: float, surface_l2: float) -> Floats:
    blocked = 1e9  # a feature left out
    surface = [surface_l2 if name in used else blocked for name in FEATURE_NAMES]
    return np.concatenate([np.full(dim, l2), np.array(surface)])


def _shared(table: Table, x: Floats, abilities: _Abilities, recipe: Recipe) -> _Shared:
    """Learn ease and spread from differences within sources (and a little from those between them)."""
    names = list(abilities.level)
    groups = [np.flatnonzero(table.groups == name) for name in names]
    level = np.array([abilities.level[name] for name in names])
    ease_target, gap_target = np.zeros(len(x)), np.zeros(len(x))
    centre = float(sigmoid(level).mean())
    for name, rows in zip(names, groups, strict=True):
        mean = _row_means(table.score[rows])
        ease_target[rows] = mean - mean.mean() + float(sigmoid(np.array(abilities.level[name]))) - centre
        gap = _within_gap(table.score[rows])
        gap_target[rows] = gap - gap.mean()
    dim = table.embeddings.shape[1]
    ease = ridge_within(
        x, ease_target, groups,
        precision=_precision(dim, recipe.ease_features, recipe.ease_l2, recipe.ease_surface_l2),
        pooling=recipe.ease_pooling,
    )  # fmt: skip
    spread = ridge_within(
        x, gap_target, groups,
        precision=_precision(dim, recipe.spread_features, recipe.spread_l2, recipe.spread_surface_l2),
        group_weight=[1.0 if abilities.level[name] > 0.4 else recipe.hard_source_weight for name in names],
    )  # fmt: skip
    return _Shared(ease, spread)


def _holdouts(groups: NDArray[np.str_], related: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the sets of groups that are held out together."""
    left = list(dict.fromkeys(groups.tolist()))
    sets = []
    for family in related:
        members = tuple(name for name in left if name in family)
        if members:
            sets.append(members)
            left = [name for name in left if name not in members]
    return sets + [(name,) for name in left]


def _pair_gaps(score: Floats) -> Floats:
    """Return `(n, n_pairs)`: score of the abler model less the other's, over pairs a router could be asked about."""
    full = score[:, ~np.isnan(score).any(axis=0)]
    mean = full.mean(axis=0)
    best = mean.max() if len(mean) else 0.0
    gaps = [
        full[:, a] - full[:, b]
        for a in range(len(mean))
        for b in range(len(mean))
        if mean[a] >= best - 0.2 and 0.06 < mean[a] - mean[b] < 0.35 and mean[b] > 0.15
    ]
    return np.array(gaps).T if gaps else np.zeros((len(score), 0))


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """What carried over to sources never seen: each source left out in turn, with its relatives.

    Attributes
    ----------
    ease, spread
        `(n,)` predictions for each prompt by directions learnt without its source.
    by_source
        Per source: rows, rank correlation of predicted ease and observed score, mean APGR over pairs of models.
    """

    ease: Floats
    spread: Floats
    by_source: dict[str, dict[str, float | int | None]]


def held_out_sources(table: Table, recipe: Recipe) -> Transfer:
    """Measure transfer by leaving sources out; rows of one source are never split."""
    x = _features(table, *_standards(table))[:, :-1]
    ease, spread = np.zeros(len(x)), np.zeros(len(x))
    for out in _holdouts(table.groups, recipe.related):
        is_out = np.isin(table.groups, out)
        rest = np.flatnonzero(~is_out)
        if len(rest):
            part = table.take(rest)
            shared = _shared(part, x[rest], _abilities(part), recipe)
            ease[is_out], spread[is_out] = x[is_out] @ shared.ease, x[is_out] @ shared.spread
    rank = recipe.spread_ratio * spread / max(float(spread.std()), 1e-9) - ease / max(float(ease.std()), 1e-9)
    by_source: dict[str, dict[str, float | int | None]] = {}
    for name in dict.fromkeys(table.groups.tolist()):
        rows = np.flatnonzero(table.groups == name)
        gaps = _pair_gaps(table.score[rows])
        none = np.zeros(len(rows))
        mean_apgr = float(np.mean([apgr(rank[rows], gap, none) for gap in gaps.T])) if gaps.shape[1] else None
        by_source[name] = {
            "n": len(rows),
            "rank_correlation": round(_rank_correlation(ease[rows], _row_means(table.score[rows])), 3),
            "apgr": None if mean_apgr is None else round(mean_apgr, 3),
        }
    return Transfer(ease, spread, by_source)


def _row_means(score: Floats) -> Floats:
    """Return `(n,)` mean scores over the models tried, each model's own mean taken out first."""
    tried = score[:, ~np.isnan(score).all(axis=0)]
    centred = tried - np.nanmean(tried, axis=0)
    means: Floats = np.nansum(centred, axis=1) / np.maximum((~np.isnan(centred)).sum(axis=1), 1)
    return means


def _rank_correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    first, second = (np.argsort(np.argsort(v, kind="stable"), kind="stable").astype(np.float64) for v in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def _standards(table: Table) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Return centre, mean and standard deviation of the features, every group counting alike."""
    weight = np.zeros(len(table.groups))
    for name in dict.fromkeys(table.groups.tolist()):
        rows = table.groups == name
        weight[rows] = 1.0 / rows.sum()
    weight /= weight.sum()
    centre = (weight @ table.embeddings).astype(np.float32)
    mean = weight @ table.surface
    sd = np.sqrt(weight @ (table.surface - mean) ** 2)
    return centre, mean, np.where(sd > 1e-6, sd, 1.0)


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
    for out in _holdouts(table.groups, recipe.related):
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
    centre, mean, sd = _standards(table)
    x = _features(table, centre, mean, sd)
    abilities = _abilities(table)
    shared = _shared(table, x[:, :-1], abilities, recipe)
    transfer = held_out_sources(table, recipe)
    slope = _transfer_slope(table, transfer.ease)
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
        "known_logit_sd": 0.35,
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


def _transfer_slope(table: Table, ease: Floats) -> float:
    """Return the logit slope on the ease predicted for unseen sources: what of it may be believed."""
    slopes, weights = [], []
    for name in dict.fromkeys(table.groups.tolist()):
        rows = np.flatnonzero(table.groups == name)
        mean = np.nanmean(table.score[rows], axis=1)
        x = np.column_stack([ease[rows] - ease[rows].mean(), np.ones(len(rows))])
        coefficients = map_logistic(x, mean, precision=np.array([1e-3, 1e-3]))
        slopes.append(coefficients[0])
        weights.append(np.sqrt(len(rows)) * float(ease[rows].var()))
    total = float(np.sum(weights))
    return float(np.clip(np.dot(slopes, weights) / total, 0.5, 8.0)) if total > 0 else 1.0


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


def _features(table: Table, centre: NDArray[np.float32], mean: Floats, sd: Floats) -> Floats:
    scaled = np.clip((table.surface - mean) / sd, -3.0, 3.0) * SURFACE_SCALE
    return np.concatenate([table.embeddings - centre, scaled, np.ones((len(scaled), 1))], axis=1, dtype=np.float64)
