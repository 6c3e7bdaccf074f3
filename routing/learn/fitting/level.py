"""Learn to read a prompt's level of difficulty: from judged prompts, and from who is right on public ones.

The level is a sum of two parts: what the words asked say (a hashed lexicon, `prompts.words`), and a Gaussian kernel
over the embedding and the surface features. Both are fitted together to the judged levels by kernel ridge regression;
then the kernel's part once more, with what outcomes say of public prompts beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.prompts.words import BUCKETS, word_ids
from scrimp.routing.router.learned import level_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .recipe import Recipe

    Floats = NDArray[np.float64]

__all__ = [
    "LevelHead", "LevelProblem", "Within", "feature_scale", "fit_lexicon", "judged_folds", "word_matrix",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LevelHead:
    """What tells the level of a prompt, beside its words: the sum of the centres' Gaussians, and the words' level.

    Attributes
    ----------
    scale
        `(n_features,)` of the surface features beside the embedding.
    centres
        `(k, dim + n_features) float32`.
    weights
        `(k + 1,)`: of the centres, and the intercept.
    """

    scale: Floats
    centres: NDArray[np.float32]
    weights: Floats

    def levels(self, features: Floats, words: Floats) -> Floats:
        """Return `(n,)` levels, not yet cut to the scale, of `features_of` and the words' levels."""
        kernel = _gaussian(level_inputs(features, self.scale), self.centres.astype(np.float64))
        level: Floats = kernel @ self.weights[:-1] + self.weights[-1] + words
        return level


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """What outcomes say of public prompts' levels; of the difference between sources only a share is believed.

    Attributes
    ----------
    features
        `(n, p + 1)` as `features_of` returns them.
    level
        `(n,)` levels implied by the outcomes.
    groups
        Row indices of each source.
    """

    features: Floats
    level: Floats
    groups: Mapping[str, NDArray[np.intp]]


def feature_scale(recipe: Recipe) -> Floats:
    """Return `(n_features,)`: how far each standardised feature counts in the kernel; the words' level does not."""
    return np.array([0.0 if name == "word_level" else recipe.level_surface for name in FEATURE_NAMES])


def word_matrix(prompts: Sequence[str]) -> sparse.csr_array:
    """Return `(n, BUCKETS)`: the words that each prompt asks with, rows of unit length; 0 without words."""
    rows, columns, values = [], [], []
    for i, prompt in enumerate(prompts):
        ids = word_ids(prompt)
        rows += [i] * len(ids)
        columns += ids
        values += [max(1, len(ids)) ** -0.5] * len(ids)
    return sparse.csr_array((values, (rows, columns)), shape=(len(prompts), BUCKETS))


def _gaussian(a: Floats, b: Floats) -> Floats:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    kernel: Floats = np.exp(-np.maximum(squared, 0.0))
    return kernel


def fit_lexicon(inputs: Floats, words: sparse.csr_array, levels: Floats, recipe: Recipe) -> Floats:
    """Return `(BUCKETS,)`: what each word adds to the level, fitted together with a Gaussian part, thrown away.

    Parameters
    ----------
    inputs
        `(n, dim + n_features)` of the judged prompts, as `level_inputs` returns them.
    words
        `(n, BUCKETS)`, their words (`word_matrix`).
    """
    kernel = _gaussian(inputs, inputs) + recipe.level_words * (words @ words.T).toarray()
    kernel[np.diag_indices_from(kernel)] += recipe.level_l2
    # The intercept is free: a bordered system.
    n = len(levels)
    system = np.block([[kernel, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    dual = linalg.solve(system, np.append(levels, 0.0), assume_a="sym")[:-1]
    lexicon: Floats = recipe.level_words * (words.T @ dual)
    return lexicon


class LevelProblem:
    """The kernel's part of the level, with what the words say given: solved for any part of prompts and sources.

    Minimises sum_judged (level - words - head)^2 + level_within * sum_sources 10 / sqrt(rows) * (the same, of levels
    implied by outcomes, with all but `level_pooling` of the source's mean taken out) + level_l2 * |head|^2 in the
    kernel's norm, on centres drawn from both (subset of regressors).

    Parameters
    ----------
    judged
        `(n, p + 1)` features of the judged prompts.
    levels
        `(n,)` of each.
    within
        What outcomes say.
    """

    def __init__(
        self,
        judged: Floats,
        levels: Floats,
        within: Within,
        recipe: Recipe,
        rng: np.random.Generator,
    ) -> None:
        self._recipe = recipe
        self._scale = feature_scale(recipe)
        self._levels, self._within = levels, within
        inputs = level_inputs(judged, self._scale)
        k = min(recipe.level_centres, len(inputs))
        parts = [inputs[np.sort(rng.choice(len(inputs), k, replace=False))]]
        other = level_inputs(within.features, self._scale)
        chance = np.zeros(len(other))
        for rows in within.groups.values():
            chance[rows] = len(rows) ** -0.5
        k = min(recipe.level_centres, len(other))
        parts.append(other[np.sort(rng.choice(len(other), k, replace=False, p=chance / chance.sum()))])
        # As they will be stored: the weights are fitted to what is read again.
        parts = [part.astype(np.float16).astype(np.float64) for part in parts]
        self._centres = np.concatenate(parts)
        penalty: Floats = recipe.level_l2 * np.asarray(linalg.block_diag(*(_gaussian(part, part) for part in parts)))
        self._penalty = penalty
        self._design = np.column_stack([_gaussian(inputs, self._centres), np.ones(len(inputs))])
        self._sources: dict[str, tuple[Floats, Floats]] = {}
        for name, rows in within.groups.items():
            part = np.column_stack([_gaussian(other[rows], self._centres), np.ones(len(rows))])
            part -= (1.0 - recipe.level_pooling) * part.mean(axis=0)
            factor = 10.0 * recipe.level_within * len(rows) ** -0.5
            self._sources[name] = (factor * (part.T @ part), factor * part.T)

    def head(
        self,
        words: Floats,
        words_within: Floats,
        *,
        judged: NDArray[np.bool_] | None = None,
        without: Sequence[str] = (),
    ) -> LevelHead:
        """Return the head fitted to a part: `words` and `words_within` are the words' levels, `(n,)` each.

        Parameters
        ----------
        judged
            `(n,)`, which judged prompts to learn from; all when None.
        without
            Sources to leave out.
        """
        rows = np.ones(len(self._levels), bool) if judged is None else judged
        design = self._design[rows]
        k = len(self._centres)
        gram = design.T @ design
        moment = design.T @ (self._levels - words)[rows]
        for name, (each, turned) in self._sources.items():
            if name not in without:
                at = self._within.groups[name]
                gram += each
                rest = self._within.level[at] - words_within[at]
                moment += turned @ (rest - (1.0 - self._recipe.level_pooling) * rest.mean())
        gram[:k, :k] += self._penalty
        gram[np.diag_indices_from(gram)] += 1e-5
        solution = linalg.solve(gram, moment, assume_a="pos")
        return LevelHead(self._scale, self._centres.astype(np.float32), solution)


def judged_folds(kinds: Sequence[str], n_folds: int) -> NDArray[np.intp]:
    """Return `(n,)`: the fold of each prompt; a kind is never split."""
    names = sorted(set(kinds))
    fold = {name: k % n_folds for k, name in enumerate(names)}
    return np.array([fold[kind] for kind in kinds], dtype=np.intp)
