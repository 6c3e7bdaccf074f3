"""What carries over to what was never seen: sources left out with their relatives, and kinds of judged prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.learn.maths.metrics import apgr, ece

from .table import row_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.router.learned import View

    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["Transfer", "holdouts", "measure_sources", "rank_correlation", "within_kinds"]


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
    """Return `(n, n_pairs)`: score of the abler model less the other's, over pairs a router could be asked about.

    A model counts where nine in ten of its cells are there; where one of a pair's is missing, the gap is 0.
    """
    there = ~np.isnan(score)
    full = score[:, there.mean(axis=0) >= 0.9] if len(score) else score[:, :0]
    mean = np.nanmean(full, axis=0) if full.shape[1] else np.zeros(0)
    best = mean.max() if len(mean) else 0.0
    gaps = [
        np.nan_to_num(full[:, a] - full[:, b])
        for a in range(len(mean))
        for b in range(len(mean))
        if mean[a] >= best - 0.2 and 0.06 < mean[a] - mean[b] < 0.35 and mean[b] > 0.15
    ]
    return np.array(gaps).T if gaps else np.zeros((len(score), 0))


_PAIR = (0.5, -0.5)
"""Abilities, from the mean, of two models whose gap ranks prompts."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What carried over to sources never seen.

    Attributes
    ----------
    by_source
        Per source: rows, rank correlation of predicted ease and observed score, mean APGR over pairs of models, mean
        level as predicted and mean score.
    ece
        Calibration error of models' predicted quality on them, of the small ones and of the large ones; 0 of 10 bins
        empty counts as nothing.
    """

    by_source: dict[str, dict[str, float | int | None]]
    ece: dict[str, float | None]


def measure_sources(
    table: Table, level: Floats, view: View, gap: Floats, tiers: Mapping[str, NDArray[np.bool_]]
) -> Transfer:
    """Measure levels that were predicted for each source without it.

    Parameters
    ----------
    level, view
        `(n,)`, and what is shared by all models, each predicted without the prompt's source.
    gap
        `(m,)` abilities less their mean, from elsewhere than these outcomes; NaN where there is none.
    tiers
        Name to `(m,) bool`: the models whose calibration error is measured together.
    """
    by_source: dict[str, dict[str, float | int | None]] = {}
    able, weak = sigmoid(view.logit(np.array(_PAIR))).T
    rank = able - weak
    for name in dict.fromkeys(table.groups.tolist()):
        rows = np.flatnonzero(table.groups == name)
        gaps = _pair_gaps(table.score[rows])
        none = np.zeros(len(rows))
        mean_apgr = float(np.mean([apgr(rank[rows], each, none) for each in gaps.T])) if gaps.shape[1] else None
        by_source[name] = {
            "n": len(rows),
            "rank_correlation": round(rank_correlation(view.ease[rows], row_means(table.score[rows])), 3),
            "apgr": None if mean_apgr is None else round(mean_apgr, 3),
            "level": round(float(level[rows].mean()), 2),
            "score": round(float(np.nanmean(table.score[rows])), 3),
        }
    predicted = sigmoid(view.logit(np.nan_to_num(gap)))
    # Every source counts alike: a large one would drown the others.
    sizes = {name: int(each["n"] or 1) for name, each in by_source.items()}
    chance = np.array([1.0 / sizes[name] for name in table.groups.tolist()])
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(chance), size=min(20_000, 4 * len(chance)), p=chance / chance.sum())
    errors: dict[str, float | None] = {}
    for name, models in tiers.items():
        cells = ~np.isnan(table.score[drawn]) & (models & ~np.isnan(gap))[None, :]
        errors[name] = round(ece(predicted[drawn][cells], table.score[drawn][cells]), 4) if cells.any() else None
    return Transfer(by_source, errors)


def within_kinds(kinds: Sequence[str], judged: Floats, predicted: Floats) -> dict[str, float]:
    """Return the rank correlation of judged and predicted levels within each kind of 20 prompts or more."""
    names = np.array(kinds)
    return {
        kind: round(rank_correlation(judged[names == kind], predicted[names == kind]), 3)
        for kind in sorted(set(kinds))
        if (names == kind).sum() >= 20
    }


def rank_correlation(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; 0 where one of the two does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
