"""Ladders: arms that are one model at several efforts, of which the greater is never predicted to do worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scrimp.profiles.schema import EFFORTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .arms import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["isotonic", "ladders_of", "rising"]


def ladders_of(arms: Sequence[ArmInfo]) -> list[list[int]]:
    """Return the positions of each ladder's rungs, the least effort first; arms that are no rungs are left out."""
    found: dict[str, list[int]] = {}
    for a, arm in enumerate(arms):
        if arm.ladder is not None and arm.effort in EFFORTS:
            found.setdefault(arm.ladder, []).append(a)
    return [sorted(rungs, key=lambda a: EFFORTS.index(arms[a].effort)) for rungs in found.values()]


def rising(values: Floats, ladders: Sequence[Sequence[int]]) -> Floats:
    """Return `(n, n_arms)` values of which none falls from one rung of a ladder to the next.

    Examples
    --------
    >>> rising(np.array([[1.0, 3.0, 2.0]]), [[0, 1, 2]]).tolist()
    [[1.0, 3.0, 3.0]]
    """
    for rungs in ladders:
        values[:, rungs] = np.maximum.accumulate(values[:, rungs], axis=1)
    return values


def isotonic(value: Floats, weight: Floats) -> Floats:
    """Return the non-decreasing `(k,)` values nearest to those given, by weighted squares (pool adjacent violators).

    Examples
    --------
    >>> isotonic(np.array([1.0, 3.0, 1.0]), np.array([1.0, 1.0, 3.0])).tolist()
    [1.0, 1.5, 1.5]
    """
    blocks: list[list[float]] = []  # mean, weight, how many
    for each, heavy in zip(value.tolist(), weight.tolist(), strict=True):
        blocks.append([each, heavy, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, total, n = blocks.pop()
            below = blocks[-1]
            below[0] = (below[0] * below[1] + mean * total) / (below[1] + total)
            below[1], below[2] = below[1] + total, below[2] + n
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
