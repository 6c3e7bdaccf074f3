"""What carries over to sources never seen: each is left out in turn, with its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic
from scrimp.routing.learn.maths.metrics import apgr
from scrimp.routing.router.learned import features_of

from .shared import abilities_of, shared_view
from .table import row_means, standards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .recipe import Recipe
    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["Transfer", "held_out_sources", "holdouts", "transfer_slope"]


def holdouts(groups: NDArray[np.str_], related: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
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
    x = features_of(table.embeddings, table.surface, *standards(table))[:, :-1]
    ease, spread = np.zeros(len(x)), np.zeros(len(x))
    for out in holdouts(table.groups, recipe.related):
        is_out = np.isin(table.groups, out)
        rest = np.flatnonzero(~is_out)
        if len(rest):
            part = table.take(rest)
            shared = shared_view(part, x[rest], abilities_of(part), recipe)
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
            "rank_correlation": round(_rank_correlation(ease[rows], row_means(table.score[rows])), 3),
            "apgr": None if mean_apgr is None else round(mean_apgr, 3),
        }
    return Transfer(ease, spread, by_source)


def _rank_correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    first, second = (np.argsort(np.argsort(v, kind="stable"), kind="stable").astype(np.float64) for v in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def transfer_slope(table: Table, ease: Floats) -> float:
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
