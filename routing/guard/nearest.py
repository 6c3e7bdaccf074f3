"""Whether a prompt is like examples: how near the nearest are, beside everyday requests, and what a head says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Vectors = NDArray[np.float32]

__all__ = ["BLOCK", "FEATURES", "NEAREST", "Likeness", "Nearest", "One", "mean_of_nearest"]

NEAREST: Final = 5
"""How many examples of a domain, and how many other requests, are looked at."""

FEATURES: Final = 5
"""What makes up a score: see `Nearest.features`."""

BLOCK: Final = 1024
"""Prompts whose cosines are in memory at once."""

_SAYS: Final = 0.3
"""How much of the head's word on the domain is added to a mean cosine."""


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How like the examples n prompts are.

    Attributes
    ----------
    score
        `(n,)` in logits; what reaches `Nearest.threshold` counts as like them.
    similarity
        `(n,)` in [-1, 1]: mean cosine to the nearest examples of the domain.
    domain
        `(n,) int64`: the position of the domain in `Nearest.names`.
    """

    score: Floats
    similarity: Floats
    domain: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class One:
    """How like the examples one prompt is.

    Attributes
    ----------
    domain, similarity
        The nearest domain, and the mean cosine to the nearest examples of it.
    score, threshold
        In logits: it counts as like them where the score reaches the threshold.
    """

    domain: str
    similarity: float
    score: float
    threshold: float

    @property
    def like(self) -> bool:
        """Whether it counts as like the examples."""
        return self.score >= self.threshold

    def to_dict(self) -> dict[str, str | float]:
        """Return it as plain data."""
        figures = {name: round(getattr(self, name), 4) for name in ("similarity", "score", "threshold")}
        return {"domain": self.domain, **figures}


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """What is known of n examples of k domains, and of m requests that are none, in d dimensions.

    Attributes
    ----------
    names
        The domains.
    rows, starts
        `(n, d) float32` the examples, unit length, a domain's beside one another, and `(k + 1,) int64`: where each
        domain begins, and the end.
    others
        `(m, d) float32`, unit length.
    head
        `(d + 1, k + 1)`: a ridge regression of the domains, and of being none of them last; its last row is the
        constant.
    spread, pull
        `(d, d) float32` and `(d + 1, k) float32`: x' spread x + x' pull, a column a domain, the last row the constants,
        is how much farther x is from the middle of all than from a domain's (`_distances`).
    mean, scale, coefficients
        `(5,)`, `(5,)`, `(6,)`: how features make up the score (`features`).
    threshold
        In logits.
    """

    names: tuple[str, ...]
    rows: Vectors
    starts: NDArray[np.int64]
    others: Vectors
    head: Floats
    spread: Vectors
    pull: Vectors
    mean: Floats
    scale: Floats
    coefficients: Floats
    threshold: float

    def of(self, vectors: Vectors) -> Likeness:
        """Return how like the examples prompts are: one product with what is kept, and a few sums.

        Parameters
        ----------
        vectors
            `(n, d) float32`, unit length.
        """
        features, domains = self.features(vectors)
        return Likeness(self.scores(features), features[:, 0], domains)

    def one(self, vector: Vectors) -> One:
        """Return how like the examples a prompt is.

        Parameters
        ----------
        vector
            `(d,) float32`, unit length.
        """
        found = self.of(vector[None, :])
        name = self.names[int(found.domain[0])]
        return One(name, float(found.similarity[0]), float(found.score[0]), self.threshold)

    def features(self, vectors: Vectors, *, others_from: int | None = None) -> tuple[Floats, NDArray[np.int64]]:
        """Return `(n, 5)` features, and `(n,)` the domains.

        The features: the mean cosine to the nearest examples of the domain; that to the nearest others; what the head
        says of being none; the cosine to the one nearest example; and by how much a domain's middle is nearer than that
        of all, each measured by the spread about it.

        Parameters
        ----------
        others_from
            The prompts are the others themselves, from this one on: none is compared with itself.
        """
        features = np.empty((len(vectors), FEATURES))
        domains = np.empty(len(vectors), dtype=np.int64)
        for at in range(0, len(vectors), BLOCK):
            block = vectors[at : at + BLOCK]
            alike = block @ self.rows.T
            pairs = zip(self.starts[:-1], self.starts[1:], strict=True)
            near = np.stack([mean_of_nearest(alike[:, a:b]) for a, b in pairs], axis=1)
            apart = block @ self.others.T
            if others_from is not None:
                apart[np.arange(len(block)), others_from + at + np.arange(len(block))] = -1.0
            said = block @ self.head[:-1] + self.head[-1]
            best = (near + _SAYS * said[:, :-1]).argmax(axis=1)
            here = slice(at, at + len(block))
            features[here, 0] = near[np.arange(len(block)), best]
            features[here, 1] = mean_of_nearest(apart)
            features[here, 2] = said[:, -1]
            features[here, 3] = alike.max(axis=1)
            nearer = np.einsum("ij,ij->i", block @ self.spread, block)[:, None] + block @ self.pull[:-1] + self.pull[-1]
            features[here, 4] = nearer.max(axis=1)
            domains[here] = best
        return features, domains

    def scores(self, features: Floats) -> Floats:
        """Return `(n,)` scores of features, in logits."""
        found: Floats = (features - self.mean) / self.scale @ self.coefficients[:-1] + self.coefficients[-1]
        return found


def mean_of_nearest(cosines: Vectors) -> Floats:
    """Return `(n,)` the mean of the greatest `NEAREST` in each row; -1 where there are none."""
    count = min(NEAREST, cosines.shape[1])
    if count == 0:
        return np.full(len(cosines), -1.0)
    greatest = cosines if count == cosines.shape[1] else np.partition(cosines, -count, axis=1)[:, -count:]
    found: Floats = greatest.mean(axis=1, dtype=np.float64)
    return found
