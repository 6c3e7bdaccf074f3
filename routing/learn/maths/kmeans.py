"""Clusters of prompts: k-means of unit vectors, where the nearest by distance is the nearest by angle."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clusters_of"]

_SAMPLE: Final = 20_000  # points that centres are learnt from: more move them no further


def clusters_of(
    points: NDArray[np.float32], k: int, *, others: NDArray[np.float32] | None = None, seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return `(n,)` the cluster of each point, and `(n_others,)` that of others by the same centres.

    Parameters
    ----------
    points, others
        `(n, dim)` and `(n_others, dim)` unit vectors.
    k
        Clusters at most: fewer where there are fewer different points.
    """
    nobody = points[:0] if others is None else others
    if not len(points):
        return np.zeros(0, np.intp), np.zeros(len(nobody), np.intp)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(seed)
    sample = points if len(points) <= _SAMPLE else points[rng.choice(len(points), _SAMPLE, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        make: Any = KMeans  # its parameters' types are guessed from their defaults, wrongly
        found = make(n_clusters=min(k, len(sample)), n_init=4, random_state=seed).fit(sample)
    theirs = found.predict(nobody) if len(nobody) else np.zeros(0)
    return found.predict(points).astype(np.intp), theirs.astype(np.intp)
