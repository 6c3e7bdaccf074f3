"""The view of prompts like the public ones, from outcomes: what makes them hard, and where able models pull away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.prompts.surface import FEATURE_NAMES

from .abilities import abilities_of
from .table import row_means
from .transfer import holdouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .abilities import Abilities
    from .recipe import Recipe
    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["PublicLogit", "PublicView", "fit_gate", "public_logit", "public_view", "slope_of"]

_ALL_BUT: Final = 0.9
"""A model that was tried on nine prompts of ten of a source still teaches there."""


_SURE: Final = 99.0
_GATE_SLOPE: Final = 2.0
_GATE_SHIFT: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class PublicView:
    """The view before it is put on the logit scale: `(p,)` directions for ease and spread."""

    ease: Floats
    spread: Floats


def _within_gap(score: Floats) -> Floats:
    """Return `(n,)`: how much more often able models are right than those some way behind, on one source's prompts."""
    there = ~np.isnan(score)
    full = score[:, there.mean(axis=0) >= _ALL_BUT]
    gap = np.zeros(len(score))
    if full.shape[1] < 2:
        return gap
    mean = np.nanmean(full, axis=0)
    full = np.where(np.isnan(full), mean, full)  # a cell that is missing says nothing
    best = float(mean.max())
    able = mean >= (max(0.5, best - 0.2) if best > 0.4 else best - 0.08)
    pairs = 0
    for a in np.flatnonzero(able):
        behind = (mean[a] - mean > 0.06) & (mean[a] - mean < 0.35) & (mean > 0.15)
        gap += behind.sum() * full[:, a] - full[:, behind].sum(axis=1)
        pairs += int(behind.sum())
    return gap / max(pairs, 1)


def _precision(dim: int, used: Sequence[str], l2: float, surface_l2: float) -> Floats:
    blocked = 1e9  # a feature left out
    surface = [surface_l2 if name in used else blocked for name in FEATURE_NAMES]
    return np.concatenate([np.full(dim, l2), np.array(surface)])


def public_view(table: Table, x: Floats, abilities: Abilities, recipe: Recipe) -> PublicView:
    """Learn ease and spread of public prompts from differences within sources (and a little from those between them).

    `x` is `(n, p)`, without the column of ones.
    """
    names = list(abilities.level)
    groups = [np.flatnonzero(table.groups == name) for name in names]
    level = np.array([abilities.level[name] for name in names])
    ease_target, gap_target = np.zeros(len(x)), np.zeros(len(x))
    centre = float(sigmoid(level).mean())
    for name, rows in zip(names, groups, strict=True):
        mean = row_means(table.score[rows])
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
    return PublicView(ease, spread)


@dataclass(frozen=True, slots=True, eq=False)
class PublicLogit:
    """The view on the logit scale: `(p + 1,)` weights of ease and spread; both, `(n,)`, without the source."""

    ease: Floats
    spread: Floats
    left_out_ease: Floats
    left_out_spread: Floats


def public_logit(table: Table, x: Floats, abilities: Abilities, recipe: Recipe) -> PublicLogit:
    """Learn the view, and put it on the logit scale by what carries over to sources never seen. `x` is `(n, p + 1)`."""
    features = x[:, :-1]
    shared = public_view(table, features, abilities, recipe)
    ease_out, spread_out = np.zeros(len(x)), np.zeros(len(x))
    for out in holdouts(table.groups, recipe.related):
        is_out = np.isin(table.groups, out)
        rest = np.flatnonzero(~is_out)
        if len(rest):
            part = table.take(rest)
            view = public_view(part, features[rest], abilities_of(part), recipe)
            ease_out[is_out], spread_out[is_out] = features[is_out] @ view.ease, features[is_out] @ view.spread
    slope = slope_of(table.groups, table.score, ease_out)
    names = list(abilities.level)
    balanced = np.array([1.0 / (table.groups == name).sum() for name in table.groups])
    balanced /= balanced.sum()
    ease, spread = slope * (features @ shared.ease), features @ shared.spread
    ease_sd = float(np.sqrt(balanced @ (ease - balanced @ ease) ** 2))
    spread_sd = float(np.sqrt(balanced @ (spread - balanced @ spread) ** 2))
    # In the middle of the range where arms are compared (right three times in four) a standard deviation of ease moves
    # the gap by half as much in ln: this is what `spread_ratio` is a multiple of.
    factor = recipe.spread_ratio * 0.5 * ease_sd / max(spread_sd, 1e-9)
    middle = float(np.mean([abilities.level[name] for name in names])) + float(np.median(abilities.ability))
    at_ease, at_spread = middle - float(balanced @ ease), -factor * float(balanced @ spread)
    return PublicLogit(
        np.append(slope * shared.ease, at_ease),
        np.append(factor * shared.spread, at_spread),
        slope * ease_out + middle - float(balanced @ (slope * ease_out)),
        factor * (spread_out - float(balanced @ spread_out)),
    )


def slope_of(groups: NDArray[np.str_], score: Floats, ease: Floats) -> float:
    """Return the logit slope on an ease that was predicted for unseen sources: what of it may be believed."""
    slopes, weights = [], []
    for name in dict.fromkeys(groups.tolist()):
        rows = np.flatnonzero(groups == name)
        mean = np.nanmean(score[rows], axis=1)
        x = np.column_stack([ease[rows] - ease[rows].mean(), np.ones(len(rows))])
        coefficients = map_logistic(x, mean, precision=np.array([1e-3, 1e-3]))
        slopes.append(coefficients[0])
        weights.append(np.sqrt(len(rows)) * float(ease[rows].var()))
    total = float(np.sum(weights))
    return float(np.clip(np.dot(slopes, weights) / total, 0.5, 8.0)) if total > 0 else 1.0


def fit_gate(public: Floats, groups: NDArray[np.str_], everyday: Floats, l2: float) -> Floats:
    """Return `(p + 1,)`: the logit that a prompt is one of the public ones; every source counts alike, and both sorts.

    Parameters
    ----------
    public, everyday
        `(n, p + 1)` features of each.
    """
    if not len(everyday):
        return np.append(np.zeros(public.shape[1] - 1), _SURE)
    weight = np.zeros(len(public))
    for name in dict.fromkeys(groups.tolist()):
        rows = groups == name
        weight[rows] = 1.0 / rows.sum()
    weight *= len(everyday) / weight.sum()
    fitted = map_logistic(
        np.concatenate([public, everyday]),
        np.append(np.ones(len(public)), np.zeros(len(everyday))),
        precision=np.append(np.full(public.shape[1] - 1, l2), 1e-3),
        weight=np.append(weight, np.ones(len(everyday))),
    )
    # In doubt a prompt is an everyday one: on kinds left out 5% of the view is public, 28% without.
    gate = _GATE_SLOPE * fitted
    gate[-1] -= _GATE_SHIFT
    return gate


def ridge_within(
    features: Floats,
    target: Floats,
    groups: Sequence[NDArray[np.intp]],
    *,
    precision: Floats,
    pooling: float = 0.0,
    group_weight: Sequence[float] | None = None,
) -> Floats:
    """Fit a ridge regression with an intercept per group, pooled partly, all groups counting alike.

    Each group's mean is taken out of features and target, but for the share `pooling` of it: with 0 only differences
    within a group are learnt from, with 1 there is one intercept. (Quasi-demeaning, as in a random-intercept model.)

    Parameters
    ----------
    features, target
        `(n, p)` and `(n,)`.
    groups
        Row indices of each group.
    precision
        `(p,)` penalties, for groups weighing `n / n_groups` rows each.
    group_weight
        A factor for each group; one unless given.

    Returns
    -------
    `(p,) float64` coefficients.
    """
    p = features.shape[1]
    gram = np.diag(np.append(precision, 1e-3))
    moment = np.zeros(p + 1)
    rows_each = sum(map(len, groups)) / len(groups)
    for k, rows in enumerate(groups):
        x, y = features[rows], target[rows]
        x = np.column_stack([x - (1.0 - pooling) * x.mean(axis=0), np.full(len(rows), pooling)])
        y = y - (1.0 - pooling) * y.mean()
        factor = rows_each / len(rows) * (1.0 if group_weight is None else group_weight[k])
        gram += factor * (x.T @ x)
        moment += factor * (x.T @ y)
    coefficients: Floats = np.linalg.solve(gram, moment).astype(np.float64, copy=False)
    return coefficients[:-1]
