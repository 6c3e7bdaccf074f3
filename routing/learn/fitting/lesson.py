"""Judged prompts beside the outcomes they are learnt with, and the levels that are predicted of what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.router.learned import features_of, level_inputs

from .level import LevelProblem, Within, feature_scale, fit_lexicon, word_matrix
from .recipe import SHIPPED_RECIPE
from .table import standards, tabulate
from .transfer import holdouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from scipy import sparse

    from scrimp.routing.learn.data.judged import Judged
    from scrimp.routing.learn.data.outcomes import Outcomes

    from .recipe import Recipe
    from .table import Table

    Floats = NDArray[np.float64]

__all__ = ["FOLDS", "Lesson", "as_implied", "left_out_rows", "left_out_sources", "lesson_of", "new_lexicon"]

FOLDS = 7


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Judged prompts made ready, n of them.

    Attributes
    ----------
    embeddings, surface
        `(n, dim) float32` and `(n, n_features) float64`.
    standard
        What features are standardised by: centre, mean, standard deviation (`table.standards`).
    x
        `(n, p + 1)`, as `features_of` returns them.
    words
        `(n, BUCKETS)`.
    row
        `(n,)` rows of the table that hold the same prompt; -1 where none does.
    """

    judged: Judged
    embeddings: NDArray[np.float32]
    surface: Floats
    standard: tuple[NDArray[np.float32], Floats, Floats]
    x: Floats
    words: sparse.csr_array
    row: NDArray[np.intp]

    @property
    def levels(self) -> Floats:
        """`(n,)` levels as judged."""
        return self.judged.levels

    def lexicon(self, recipe: Recipe, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Return `(BUCKETS,)`: what words add to the level, by all judged prompts or `(n,)` some of them."""
        kept = slice(None) if rows is None else np.flatnonzero(rows)
        inputs = level_inputs(self.x[kept], feature_scale(recipe))
        return fit_lexicon(inputs, self.words[kept], self.levels[kept], recipe)


def lesson_of(judged: Judged, table: Table, embed: Callable[[Sequence[str]], NDArray[np.float32]]) -> Lesson:
    """Return judged prompts made ready to be learnt with a table of outcomes."""
    embeddings, surface = embed(judged.prompts), surface_matrix(judged.prompts)
    standard = standards(table, embeddings, surface)
    position = {prompt: i for i, prompt in enumerate(table.prompts)}
    row = np.array([position.get(prompt, -1) for prompt in judged.prompts], dtype=np.intp)
    x = features_of(embeddings, surface, *standard)
    return Lesson(judged, embeddings, surface, standard, x, word_matrix(judged.prompts), row)


def new_lexicon(
    outcomes: Outcomes,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    judged: Judged,
    *,
    recipe: Recipe | None = None,
) -> NDArray[np.float16]:
    """Return `(BUCKETS,) float16`: a lexicon for `prompts.words`, fitted to judged prompts."""
    recipe = SHIPPED_RECIPE if recipe is None else recipe
    return lesson_of(judged, tabulate(outcomes, embed, recipe.drop), embed).lexicon(recipe).astype(np.float16)


def as_implied(lesson: Lesson, within: Within) -> Floats:
    """Return `(n,)` levels to learn: as judged; public ones moved by what their source's outcomes say of them all.

    What is judged the same may be harder there than here: distractors, an answer's form, a strict key.
    """
    levels = lesson.levels.copy()
    kinds = np.array(lesson.judged.kinds)
    for kind in dict.fromkeys(kinds[lesson.row >= 0].tolist()):
        rows = np.flatnonzero((kinds == kind) & (lesson.row >= 0))
        levels[rows] += float(np.mean(within.level[lesson.row[rows]] - levels[rows]))
    return levels


def left_out_rows(
    problem: LevelProblem, lesson: Lesson, words_within: sparse.csr_array, fold: NDArray[np.intp], recipe: Recipe
) -> Floats:
    """Return `(n,)` levels of judged prompts, each predicted without its fold."""
    predicted = np.zeros(len(lesson.levels))
    for k in range(int(fold.max()) + 1):
        test, rest = np.flatnonzero(fold == k), fold != k
        if len(test) and rest.any():
            lexicon = lesson.lexicon(recipe, rest)
            head = problem.head(lesson.words @ lexicon, words_within @ lexicon, judged=rest)
            predicted[test] = head.levels(lesson.x[test], lesson.words[test] @ lexicon)
    return predicted


def left_out_sources(
    problem: LevelProblem,
    lesson: Lesson,
    within: Within,
    words_within: sparse.csr_array,
    lexicon: Floats,
    table: Table,
    recipe: Recipe,
) -> Floats:
    """Return `(n,)` levels of the table's prompts, each predicted without its source; the lexicon has seen them all."""
    predicted = np.zeros(len(table.groups))
    words, other = lesson.words @ lexicon, words_within @ lexicon
    for out in holdouts(table.groups, recipe.related):
        is_out = np.isin(table.groups, out)
        rest = ~((lesson.row >= 0) & is_out[lesson.row])
        head = problem.head(words, other, judged=rest, without=out)
        predicted[is_out] = head.levels(within.features[is_out], other[is_out])
    return predicted
