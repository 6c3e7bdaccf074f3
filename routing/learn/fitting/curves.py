"""What a level means: the chance that a model of known ability is right on a prompt of that level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.router.learned import LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Curves", "as_predicted", "level_curves"]

_EASE_PRIOR = (3.5, 2.0, 0.5, -1.0, -2.5)
"""By the scale's own words, of a model of 2024's middle: right nearly always at 1 and 2, seldom at 5. Weak: two logits each."""


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
        ease, spread = np.interp(level, LEVELS, self.ease), np.interp(level, LEVELS, self.spread)
        return ease[:, None] + spread[:, None] * gap[None, :]


def _hats(level: Floats) -> Floats:
    """Return `(n, 5)`: each level as shares of the two knots beside it."""
    return np.maximum(0.0, 1.0 - np.abs(level[:, None] - np.array(LEVELS)[None, :]))


def _falling(values: Floats, floor: float) -> Floats:
    """Return values made non-increasing with steps of at least `floor`, as near as the running mean of both passes."""
    steps = np.arange(len(values)) * floor
    flat = values + steps
    return (np.minimum.accumulate(flat) + np.maximum.accumulate(flat[::-1])[::-1]) / 2.0 - steps


def level_curves(
    level: Floats, score: Floats, sources: Sequence[str], gap: Floats, *, source_sd: float = 0.9
) -> Curves:
    """Fit P(right | level, ability, source) to outcomes of judged prompts; sources differ by an intercept each.

    Parameters
    ----------
    level
        `(n,)` judged.
    score
        `(n, m)`, NaN where a model was not tried.
    gap
        `(m,)` abilities less their mean; NaN where a model's is not known.
    source_sd
        Standard deviation of the sources' intercepts, to which they are drawn.
    """
    there = ~np.isnan(score) & ~np.isnan(gap)[None, :]
    row, column = np.nonzero(there)
    names = list(dict.fromkeys(sources))
    position = {name: k for k, name in enumerate(names)}
    source = np.array([position[name] for name in sources])
    hats = _hats(level)
    design = np.column_stack([hats[row], hats[row] * gap[column][:, None], np.eye(len(names))[source[row]]])
    # Many models on one prompt are not as many prompts: each prompt counts as four outcomes at most.
    weight = (np.minimum(4.0, there.sum(axis=1)) / np.maximum(1, there.sum(axis=1)))[row]
    k = len(LEVELS)
    prior = np.concatenate([_EASE_PRIOR, np.ones(k), np.zeros(len(names))])
    precision = np.concatenate([np.full(k, 0.25), np.full(k, 10.0), np.full(len(names), source_sd**-2)])
    fitted = map_logistic(design, score[row, column], precision=precision, prior=prior, weight=weight)
    return Curves(_falling(fitted[:k], 0.3), np.clip(fitted[k : 2 * k], 0.3, 2.0), float(np.std(fitted[2 * k :])))


def as_predicted(curves: Curves, judged: Floats, predicted: Floats, gaps: Floats) -> Curves:
    """Return the curves over levels as they are predicted: a prediction is nearer to the middle than the truth.

    Parameters
    ----------
    judged, predicted
        `(n,)` levels of the same prompts; predicted without having seen their kind.
    gaps
        `(g,)` abilities less their mean at which the two are to agree.
    """
    target = sigmoid(curves.logit(judged, gaps))
    hats = _hats(np.clip(predicted, LEVELS[0], LEVELS[-1]))
    design = np.column_stack(
        [np.repeat(hats, len(gaps), axis=0), (hats[:, :, None] * gaps).transpose(0, 2, 1).reshape(-1, len(LEVELS))]
    )
    prior = np.concatenate([curves.ease, curves.spread])
    fitted = map_logistic(design, target.ravel(), precision=np.full(2 * len(LEVELS), 1.0), prior=prior)
    k = len(LEVELS)
    return Curves(_falling(fitted[:k], 0.1), np.clip(fitted[k:], 0.3, 2.0), curves.source_sd)
