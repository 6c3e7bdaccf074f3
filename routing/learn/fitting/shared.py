"""The view of a prompt that all models share: what makes prompts hard, and where able models pull away from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import ridge_within, sigmoid
from scrimp.routing.prompts.surface import FEATURE_NAMES

from .table import row_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .recipe import Recipe
    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["Abilities", "SharedView", "abilities_of", "shared_view"]


@dataclass(frozen=True, slots=True, eq=False)
class Abilities:
    """A two-way view of the scores: model m on source s is right with logit ability_m + level_s."""

    ability: Floats
    level: dict[str, float]


def abilities_of(table: Table, shrink: float = 0.5) -> Abilities:
    """Return models' abilities and sources' levels; an ability is drawn to 0 as by `shrink` sources more."""
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
    return Abilities(ability, dict(zip(names, level.tolist(), strict=True)))


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
class SharedView:
    """The shared view before it is put on the logit scale: `(p,)` directions for ease and spread."""

    ease: Floats
    spread: Floats


def _precision(dim: int, used: Sequence[str], l2: float, surface_l2: float) -> Floats:
    blocked = 1e9  # a feature left out
    surface = [surface_l2 if name in used else blocked for name in FEATURE_NAMES]
    return np.concatenate([np.full(dim, l2), np.array(surface)])


def shared_view(table: Table, x: Floats, abilities: Abilities, recipe: Recipe) -> SharedView:
    """Learn ease and spread from differences within sources (and a little from those between them)."""
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
    return SharedView(ease, spread)
