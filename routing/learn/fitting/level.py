"""Learn to read a prompt's level of difficulty: from judged prompts, and from who is right on public ones.

The level is a sum of two parts: what the words asked say (a hashed lexicon, `prompts.words`), and a Gaussian kernel over the
embedding and the surface features (centres drawn from the judged prompts). Both are fitted together to the judged levels by
kernel ridge regression; then the kernel's part once more, with what outcomes say of prompts within their source beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.prompts.words import BUCKETS, word_ids
from scrimp.routing.router.learned import LEVELS, level_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .recipe import Recipe

    Floats = NDArray[np.float64]

__all__ = ["LevelHead", "Within", "fit_level", "fit_lexicon", "word_matrix"]


@dataclass(frozen=True, slots=True, eq=False)
class LevelHead:
    """What tells the level of a prompt: `LearnedRouter.levels` has the formula.

    Attributes
    ----------
    scale
        `(n_features,)` of the surface features beside the embedding.
    centres
        `(k, dim + n_features) float32`.
    weights
        `(k + 2,)`: of the centres, of the standardised `word_level`, and the intercept.
    """

    scale: Floats
    centres: NDArray[np.float32]
    weights: Floats

    def levels(self, features: Floats) -> Floats:
        """Return `(n,)` levels, not yet cut to the scale."""
        design = _design(level_inputs(features, self.scale), self.centres, features)
        return design @ self.weights


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """What outcomes say of public prompts' levels, within each source: the rest of the difference is the source's own.

    Attributes
    ----------
    features
        `(n, p + 1)` as `features_of` returns them.
    level
        `(n,)` levels implied by the outcomes, up to a constant a source.
    groups
        Row indices of each source.
    """

    features: Floats
    level: Floats
    groups: Sequence[NDArray[np.intp]]


def feature_scale(recipe: Recipe) -> Floats:
    """Return `(n_features,)`: how far each standardised feature counts; the words' level stands beside the kernel, not in it."""
    return np.array([0.0 if name == "word_level" else recipe.level_surface for name in FEATURE_NAMES])


def word_matrix(prompts: Sequence[str]) -> sparse.csr_array:
    """Return `(n, BUCKETS)`: the words that each prompt asks with, rows of unit length."""
    rows, columns, values = [], [], []
    for i, prompt in enumerate(prompts):
        ids = word_ids(prompt)
        rows += [i] * len(ids)
        columns += ids
        values += [len(ids) ** -0.5] * len(ids)
    return sparse.csr_array((values, (rows, columns)), shape=(len(prompts), BUCKETS))


def _gaussian(a: Floats, b: Floats) -> Floats:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.exp(-np.maximum(squared, 0.0))


def _design(inputs: Floats, centres: NDArray[np.float32], features: Floats) -> Floats:
    word = features[:, -2] / 0.1
    return np.column_stack([_gaussian(inputs, centres.astype(np.float64)), word, np.ones(len(inputs))])


def fit_lexicon(inputs: Floats, prompts: Sequence[str], levels: Floats, weight: Floats, recipe: Recipe) -> Floats:
    """Return `(BUCKETS,)`: what each word adds to the level, fitted together with the Gaussian part that is thrown away.

    Parameters
    ----------
    inputs
        `(n, dim + n_features)` of the judged prompts, as `level_inputs` returns them.
    weight
        `(n,)` of each judgement.
    """
    words = word_matrix(prompts)
    kernel = _gaussian(inputs, inputs) + recipe.level_words * (words @ words.T).toarray()
    kernel[np.diag_indices_from(kernel)] += recipe.level_l2 / weight
    # The intercept is free: a bordered system.
    n = len(levels)
    system = np.block([[kernel, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    dual = linalg.solve(system, np.append(levels, 0.0), assume_a="sym")[:-1]
    return recipe.level_words * (words.T @ dual)
