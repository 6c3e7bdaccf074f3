"""Outcomes made ready for learning: features, canonical model names, sources by category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.router.learned import canonical_name
from scrimp.routing.text.in_words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    Floats = NDArray[np.float64]

__all__ = ["Table", "row_means", "standards", "tabulate"]


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
            f"{outcomes.name}: {counted(len(outcomes), 'prompt is', 'prompts are')} too few to train on",
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


def row_means(score: Floats) -> Floats:
    """Return `(n,)` mean scores over the models tried, each model's own mean taken out first."""
    tried = score[:, ~np.isnan(score).all(axis=0)]
    centred = tried - np.nanmean(tried, axis=0)
    means: Floats = np.nansum(centred, axis=1) / np.maximum((~np.isnan(centred)).sum(axis=1), 1)
    return means


def standards(
    table: Table, embeddings: NDArray[np.float32], surface: Floats
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Return centre, mean and standard deviation of the features: half of it the table's groups, half other prompts."""
    weight = np.zeros(len(table.groups))
    for name in dict.fromkeys(table.groups.tolist()):
        rows = table.groups == name
        weight[rows] = 1.0 / rows.sum()
    weight = np.concatenate([0.5 * weight / weight.sum(), np.full(len(surface), 0.5 / max(len(surface), 1))])
    weight /= weight.sum()
    every = np.concatenate([table.surface, surface])
    centre = (weight @ np.concatenate([table.embeddings, embeddings])).astype(np.float32)
    mean = weight @ every
    sd = np.sqrt(weight @ (every - mean) ** 2)
    return centre, mean, np.where(sd > 1e-6, sd, 1.0)
