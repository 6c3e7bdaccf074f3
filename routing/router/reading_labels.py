"""What labels say of readings beside the prior: offsets, partially pooled.

The logit of P(right) of a model at a reading is the prior's, moved by a common part, one of the reading, and one of the
model at it, each normal about 0. The common part is what questions of files are beside what the router thought of them:
where passages fail since the questions are hard, the whole is expected to fail too, and only the rest turns the choice.
The posterior's mode and its covariance (Laplace) are found by Newton's method.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import READINGS

from .readings import Offset

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LEAST", "TriedReading", "learn_offsets"]

LEAST: Final = 10
"""Labels of answers from files below which the prior stands as it is."""

_COMMON_SD: Final = 0.6
_READING_SD: Final = 0.6
_OWN_SD: Final = 0.44
"""Standard deviations before labels, logits: chosen, but the last, which is the spread of LaRA's models."""


@dataclass(frozen=True, slots=True)
class TriedReading:
    """One labelled answer.

    Attributes
    ----------
    quality
        P(right) that was predicted, without what labels had said until then.
    reward
        How right it was, in [0, 1].
    """

    model: str
    reading: str
    quality: float
    reward: float
    weight: float = 1.0


def learn_offsets(tried: Sequence[TriedReading]) -> dict[tuple[str, str], Offset]:
    """Return the offsets by model and reading; of models without labels by ("", reading). Empty below `LEAST` labels.

    Examples
    --------
    >>> found = learn_offsets([TriedReading("m", "passages", 0.7, 0.0)] * 40)
    >>> found["m", "passages"].mean < found["", "passages"].mean < found["", "whole"].mean < 0.0
    True
    """
    import numpy as np

    if len(tried) < LEAST:
        return {}
    keys = sorted({(each.model, each.reading) for each in tried})
    place = {key: 1 + len(READINGS) + k for k, key in enumerate(keys)}
    n = 1 + len(READINGS) + len(keys)
    x = np.zeros((len(tried), n))
    for row, each in zip(x, tried, strict=True):
        row[[0, 1 + READINGS.index(each.reading), place[each.model, each.reading]]] = 1.0
    clipped = np.array([each.quality for each in tried]).clip(0.01, 0.99)
    prior = np.log(clipped / (1.0 - clipped))
    reward = np.array([each.reward for each in tried])
    weight = np.array([each.weight for each in tried])
    precision = np.diag([_COMMON_SD**-2] + [_READING_SD**-2] * len(READINGS) + [_OWN_SD**-2] * len(keys))
    at, hessian = np.zeros(n), precision
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(prior + x @ at)))
        hessian = (x * (weight * p * (1.0 - p))[:, None]).T @ x + precision
        step = np.linalg.solve(hessian, x.T @ (weight * (reward - p)) - precision @ at)
        at = at + step * min(1.0, 2.0 / max(1e-9, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-6:
            break
    covariance = np.linalg.inv(hessian)
    counts = Counter((each.model, each.reading) for each in tried)
    found = {}
    for model, reading in [*keys, *(("", reading) for reading in READINGS)]:
        row = np.zeros(n)
        row[[0, 1 + READINGS.index(reading)]] = 1.0
        if model:
            row[place[model, reading]] = 1.0
        variance = float(row @ covariance @ row) + (0.0 if model else _OWN_SD**2)
        of = counts[model, reading] if model else sum(count for key, count in counts.items() if key[1] == reading)
        found[model, reading] = Offset(float(row @ at), math.sqrt(variance), of)
    return found
