"""What a level means: the chance that a model of known ability is right on a prompt of that level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic
from scrimp.routing.router.learned import LEVELS, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Curves", "implied_levels", "level_curves", "stretch"]

_ANCHORS: Final = (
    (1, -1.4, 0.95), (2, 0.0, 0.95), (3, 0.8, 0.95), (3, 0.0, 0.55), (4, 2.4, 0.95), (4, 0.8, 0.55), (5, 2.4, 0.375),
)  # fmt: skip
"""(level, ability, chance): the scale's own words (docs/difficulty.md), each at the middle of what it leaves open.

"Nearly always" is 95%; "fails one time of four or more" is right 55% of the time where the level below still holds
most, 37.5% where nothing is sure. Its classes of models, by ability: one that fits a phone -1.4 (llama-3.2-3b), a small
hosted one 0 (gpt-4o-mini), a good middling one 0.8 (gpt-4.1-mini), a frontier model 2.4 (gemini-3-pro)."""

_ANCHOR_WEIGHT: Final = 20.0
"""As how many outcomes each of them counts. Chosen on kinds of the training part that were left out."""

_STEP_SD: Final = 0.5
"""How much sources differ in the step of a level, in logits. Chosen: half of a step."""

_WITHIN_SOURCE_SD: Final = 0.9
"""How much prompts of one source differ, in levels: as judged ones do (docs/model-card.md)."""

_MOST_STRETCH: Final = 1.8

EVERYDAY: Final = "everyday"
"""The source of prompts that nobody has outcomes of: its intercept is known by the anchors alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """P(right) = sigmoid(ease(level) + spread(level) * (ability - mean)), interpolated between `LEVELS`.

    Attributes
    ----------
    ease, spread
        `(5,)` each.
    source_sd
        How much sources differ beside it, on the logit scale; NaN where that was not measured.
    """

    ease: Floats
    spread: Floats
    source_sd: float = float("nan")

    def logit(self, level: Floats, gap: Floats) -> Floats:
        """Return `(n, m)` logits of `(n,)` levels and `(m,)` abilities less the mean."""
        return self.view(level).logit(gap)

    def view(self, level: Floats) -> View:
        """Return the view of prompts of `(n,)` levels that all models share."""
        return View(level, np.interp(level, LEVELS, self.ease), np.interp(level, LEVELS, self.spread))


def _hats(level: Floats) -> Floats:
    """Return `(n, 5)`: each level as shares of the two knots beside it."""
    hats: Floats = np.maximum(0.0, 1.0 - np.abs(level[:, None] - np.array(LEVELS)[None, :]))
    return hats


def _falling(values: Floats, floor: float) -> Floats:
    """Return values made non-increasing with steps of at least `floor`, as near as the running mean of both passes."""
    steps = np.arange(len(values)) * floor
    flat = values + steps
    return (np.minimum.accumulate(flat) + np.maximum.accumulate(flat[::-1])[::-1]) / 2.0 - steps


def level_curves(
    level: Floats, score: Floats, sources: Sequence[str], ability: Floats, mean: float, *, source_sd: float = 0.9
) -> Curves:
    """Fit P(right | level, ability, source) to outcomes of judged prompts, and return what holds of everyday ones.

    Sources differ by an intercept each, and by how much a level's step is there, drawn to 0. Everyday prompts are a
    source more, whose only evidence is what the scale says in words: what a level means for models of known ability.

    Parameters
    ----------
    level
        `(n,)` judged.
    score
        `(n, m)`, NaN where a model was not tried.
    ability, mean
        `(m,)`, and what the curves' gap is counted from.
    source_sd
        Standard deviation of the sources' intercepts.
    """
    there = ~np.isnan(score)
    row, column = np.nonzero(there)
    names = [*dict.fromkeys(sources), EVERYDAY]
    position = {name: k for k, name in enumerate(names)}
    source = np.array([position[name] for name in sources], dtype=np.intp)
    anchor = np.array(_ANCHORS, dtype=np.float64)
    # Many models on one prompt are not as many prompts: each prompt counts as four outcomes at most.
    weight = (np.minimum(4.0, there.sum(axis=1)) / np.maximum(1, there.sum(axis=1)))[row]
    hats = np.concatenate([_hats(level)[row], _hats(anchor[:, 0])])
    gap = np.concatenate([ability[column], anchor[:, 1]]) - mean
    which = np.concatenate([source[row], np.full(len(anchor), position[EVERYDAY])]).astype(np.intp)
    own = np.eye(len(names))[which]
    step = np.concatenate([level[row], anchor[:, 0]]) - 3.0
    design = np.column_stack([hats, hats * gap[:, None], own, own * step[:, None]])
    k, m = len(LEVELS), len(names)
    prior = np.concatenate([np.zeros(k), np.ones(k), np.zeros(2 * m)])
    precision = np.concatenate(
        [np.full(k, 0.05), np.full(k, 10.0), np.full(m, source_sd**-2), np.full(m, _STEP_SD**-2)]
    )
    fitted = map_logistic(
        design,
        np.concatenate([score[row, column], anchor[:, 2]]),
        precision=precision,
        prior=prior,
        weight=np.concatenate([weight, np.full(len(anchor), _ANCHOR_WEIGHT)]),
    )
    ease = fitted[:k] + fitted[2 * k + m - 1] + fitted[-1] * (np.array(LEVELS) - 3.0)
    ease = _falling(ease, 0.3)
    sd = float(np.std(fitted[2 * k : 2 * k + m - 1])) if m > 1 else float("nan")
    return Curves(ease, np.clip(fitted[k : 2 * k], 0.3, 2.0), sd)


def stretch(judged: Floats, predicted: Floats) -> tuple[float, float]:
    """Return (slope, intercept): what makes of predicted levels those that prompts judged alike have on average.

    A least-squares prediction lies nearer to the middle than the truth. Inverse regression undoes it: of prompts
    judged to be of a level, the stretched predictions have that level as their mean. 1.8 is the most.

    Parameters
    ----------
    judged, predicted
        `(n,)` levels of the same prompts, predicted without having seen them.
    """
    if len(judged) < 20 or np.ptp(judged) == 0:
        return 1.0, 0.0
    shrunk = float(np.polyfit(judged, predicted, 1)[0])
    slope = float(np.clip(1.0 / max(shrunk, 1e-3), 1.0, _MOST_STRETCH))
    return slope, float(judged.mean() - slope * predicted.mean())


def implied_levels(curves: Curves, score: Floats, gap: Floats, groups: Mapping[str, NDArray[np.intp]]) -> Floats:
    """Return `(n,)` levels that outcomes imply: of each prompt the mean a posteriori, around its source's level.

    Parameters
    ----------
    score
        `(n, m)`, NaN where a model was not tried.
    gap
        `(m,)` abilities less their mean.
    groups
        Row indices of each source.
    """
    grid = np.linspace(LEVELS[0], LEVELS[-1], 41)
    logit = curves.logit(grid, gap)  # (g, m)
    right, wrong = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)
    there = ~np.isnan(score)
    value = np.where(there, score, 0.0)
    # Models err together: twenty on one prompt say about as much as six that err alone.
    n = there.sum(axis=1)
    weight = np.where(n > 0, np.minimum(n, 2.0 + 0.2 * n) / np.maximum(n, 1), 0.0)
    likelihood = weight[:, None] * (value @ right.T + (there - value) @ wrong.T)
    level = np.zeros(len(score))
    for rows in groups.values():
        centre = float(grid[likelihood[rows].sum(axis=0).argmax()])
        for _ in range(3):  # the source's level, and its prompts' around it
            posterior = likelihood[rows] - 0.5 * ((grid - centre) / _WITHIN_SOURCE_SD) ** 2
            posterior = np.exp(posterior - posterior.max(axis=1, keepdims=True))
            posterior /= posterior.sum(axis=1, keepdims=True)
            level[rows] = posterior @ grid
            centre = float(level[rows].mean())
    return level
