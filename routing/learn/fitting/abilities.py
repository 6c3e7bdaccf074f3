"""How able the models of a set of outcomes are, beside one another and on the scale of all models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.router.abilities import shipped_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["Abilities", "abilities_of", "on_scale"]


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


_WITHIN_SD = 0.4
"""How far a model's ability by one set of outcomes lies from that by benchmarks, beside its standard error: see
docs/model-card.md (residual of the scale's fit)."""


def on_scale(abilities: Abilities, models: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Return `(m,)` abilities on the scale of all models, and `(m,)` what benchmarks alone say (NaN: nothing).

    The outcomes' own scale is laid on the table's by least squares over the models that both know (by a shift where
    they are few); each ability is then the mean of both, weighted by precision.
    """
    table = shipped_table()
    known = [table.known(name) for name in models]
    by_table = np.array([np.nan if row is None else row[1].ability for row in known])
    sd = np.array([np.nan if row is None else row[1].sd for row in known])
    both = ~np.isnan(by_table)
    slope, shift = 1.0, 0.0
    if both.sum() >= 8 and abilities.ability[both].std() > 0.1:
        slope, shift = np.polyfit(abilities.ability[both], by_table[both], 1)
        slope = float(np.clip(slope, 0.3, 2.0))
    if both.any():
        shift = float(np.mean(by_table[both] - slope * abilities.ability[both]))
    mine = slope * abilities.ability + shift
    precision = np.where(both, 1.0 / (np.nan_to_num(sd) ** 2 + 1e-9), 0.0)
    own = _WITHIN_SD**-2
    return (mine * own + np.nan_to_num(by_table) * precision) / (own + precision), by_table
