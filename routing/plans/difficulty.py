"""The hidden difficulty of a prompt: what an arm's predicted quality means at each node of it.

What makes a prompt hard for one arm makes it hard for the next, so all of them hang on one number d ~ N(0, 1), which is
summed over at seven nodes: logit q(d) = c - spread * d, with c such that the mean over d is what was predicted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .power import NODES, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["clipped", "over_difficulty"]


def clipped(quality: Sequence[float]) -> Floats:
    """Return `(n,)` qualities that have a logit."""
    return np.clip(np.asarray(quality, dtype=np.float64), 1e-4, 1.0 - 1e-4)


def over_difficulty(quality: Floats, spread: float) -> Floats:
    """Return `(n, K)` P(right) at each node, of arms whose predicted qualities are `(n,)`."""
    centre = np.log(quality / (1.0 - quality)) * math.sqrt(1.0 + math.pi * spread**2 / 8.0)
    at_nodes = 1.0 / (1.0 + np.exp(-(centre[:, None] - spread * NODES[None, :])))
    at_nodes *= (quality / (at_nodes @ WEIGHTS))[:, None]  # the mean over difficulty is what was predicted
    return np.minimum(at_nodes, 1.0)
