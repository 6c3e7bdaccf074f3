"""Kinds of prompts that a person can name, told by surface features alone: where no text is kept, too."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from .surface import FEATURE_NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kind", "kinds_of"]


class Kind(StrEnum):
    """What a prompt is; of several the first."""

    CHOICE = "multiple choice"
    """Two or more lettered options."""
    CODE = "code"
    """Two or more marks of program text."""
    MATHS = "mathematics"
    """LaTeX, operators between numbers, or numbers and a word that asks for a quantity."""
    OTHER = "not English"
    """Another script, or five or more words with hardly a function word of English among them."""
    LONG = "long text"
    """2,000 characters or more."""
    QUESTION = "question"
    """A question mark, or who, when, where, which, what, why, how many."""
    TASK = "task"
    """Anything else: write, translate, sort, ..."""


def kinds_of(surface: NDArray[np.float64]) -> list[Kind]:
    """Return the kind of each prompt.

    Parameters
    ----------
    surface
        `(n, n_features) float64`, as `surface.surface_matrix` makes them.
    """
    import numpy as np

    column = {name: surface[:, at] for at, name in enumerate(FEATURE_NAMES) if at < surface.shape[1]}
    maths = (column["latex_rate"] >= math.log1p(2)) | ((column["maths_share"] >= 0.03) & (column["log_numbers"] > 0))
    maths |= (column["how_many"] > 0) & (column["log_numbers"] >= math.log1p(2))
    least = np.where(column["non_ascii_share"] > 0.01, 0.12, 0.06)  # of function words in English
    bare = (column["function_words"] < least) & (column["log_stem"] >= math.log1p(5))
    tests = {
        Kind.CHOICE: column["n_options"] >= 2,
        Kind.CODE: column["code_rate"] >= math.log1p(2),
        Kind.MATHS: maths,
        Kind.OTHER: (column["other_script_share"] > 0.2) | bare,
        Kind.LONG: column["log_chars"] >= math.log1p(2000),
        Kind.QUESTION: (column["question_marks"] > 0) | (column["wh_form"] > 0) | (column["how_many"] > 0),
    }
    first = np.select(list(tests.values()), list(range(len(tests))), default=len(tests))
    kinds = [*tests, Kind.TASK]
    return [kinds[at] for at in first.tolist()]
