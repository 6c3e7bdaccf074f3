"""Whether a prompt is like examples: how near the nearest are, beside everyday requests, and what heads say.

Fitted on this machine from the examples alone, with the requests that come with scrimp for the rest of the world; whole
domains that are left out in turn show how like the examples something can be that is none of them. See
docs/decisions/0034-scope.md for what else was tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Vectors = NDArray[np.float32]
    Mask = NDArray[np.bool_]

__all__ = ["NEAREST", "Likeness", "Nearest", "One", "fit"]

NEAREST: Final = 5
"""How many examples of a domain, and how many other requests, are looked at."""

_FEATURES: Final = 5

_BLOCK: Final = 1024
"""Prompts whose cosines are in memory at once."""

_FOLDS: Final = 4
_GROUPS: Final = 6
"""Examples are held out in so many parts; domains are left out in so many groups at most."""

_RIDGE: Final = 4.0
"""Penalty of the head's squared weights."""

_LOGISTIC: Final = 1.0
"""Penalty of the squared coefficients, beside 200 examples and 200 others."""

_SHRINK: Final = 6.0
"""How many times the mean variance is added to every direction of a covariance, of many examples."""

_FEW: Final = 200.0
"""Of so many examples it is twice that."""

_SAYS: Final = 0.3
"""How much of the head's word on the domain is added to a mean cosine."""

_LIKE: Final = 0.25
"""A request that is nearer to the examples than this share of them is to the others may well be of their kind."""

_STRICTER: Final = 0.03
"""Of the examples held out, so many more are given up than domains left out would ask: strangers come nearer yet."""

_SHARES: Final = (0.02, 0.25)
"""Bounds of the share of held-out examples below the threshold."""

_ALONE: Final = 0.1
"""That share where there is one domain, and none to leave out."""


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
        features = np.empty((len(vectors), _FEATURES))
        domains = np.empty(len(vectors), dtype=np.int64)
        for at in range(0, len(vectors), _BLOCK):
            block = vectors[at : at + _BLOCK]
            alike = block @ self.rows.T
            pairs = zip(self.starts[:-1], self.starts[1:], strict=True)
            near = np.stack([_top(alike[:, a:b]) for a, b in pairs], axis=1)
            apart = block @ self.others.T
            if others_from is not None:
                apart[np.arange(len(block)), others_from + at + np.arange(len(block))] = -1.0
            said = block @ self.head[:-1] + self.head[-1]
            best = (near + _SAYS * said[:, :-1]).argmax(axis=1)
            here = slice(at, at + len(block))
            features[here, 0] = near[np.arange(len(block)), best]
            features[here, 1] = _top(apart)
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


def fit(vectors: Vectors, domains: Sequence[str], others: Vectors, surely: Vectors | None = None) -> Nearest:
    """Fit to examples.

    Each example is judged by a fit without it, each domain as a stranger by a fit without that domain, each of the
    others by a head without it; a logistic regression of what it was makes the score. The threshold is where the
    harmonic mean of examples accepted and of domains left out refused is greatest, and then a little stricter.

    Parameters
    ----------
    vectors, domains
        `(n, d) float32`, unit length, and what each is about; n > 0.
    others
        `(m, d)` prompts of all kinds: those as near to the examples as these are to one another are not counted.
    surely
        `(s, d)` prompts that are none of the examples' kind, however near; None: there are none.
    """
    order = np.argsort(np.array(domains), kind="stable")
    rows = vectors[order]
    names, of = np.unique(np.array(domains)[order], return_inverse=True)
    others = others[~_of_their_kind(rows, others)]
    if surely is not None:
        others = np.concatenate([surely, others])

    def without(out: Mask) -> Nearest:
        return _heads(names, rows[~out], of[~out], others)

    whole = without(np.zeros(len(rows), dtype=bool))
    held, left = _held_out(without, rows, of), _left_out(without, rows, of)
    strange = _strangers(whole, of, others)
    mean, scale, coefficients = _logistic(held, [each for each in (strange, left) if len(each)])
    found = replace(whole, mean=mean, scale=scale, coefficients=coefficients)
    return replace(found, threshold=_threshold(found.scores(held), found.scores(left)))


def _top(cosines: Vectors) -> Floats:
    """Return `(n,)` the mean of the greatest `NEAREST` in each row; -1 where there are none."""
    count = min(NEAREST, cosines.shape[1])
    if count == 0:
        return np.full(len(cosines), -1.0)
    greatest = cosines if count == cosines.shape[1] else np.partition(cosines, -count, axis=1)[:, -count:]
    found: Floats = greatest.mean(axis=1, dtype=np.float64)
    return found


def _of_their_kind(rows: Vectors, others: Vectors) -> Mask:
    """Return `(m,)` which of the others lie among the examples."""
    if len(rows) == 1:
        return np.asarray(others @ rows[0] > 0.999, dtype=bool)
    own = np.empty(len(rows))
    for at in range(0, len(rows), _BLOCK):
        alike = rows[at : at + _BLOCK] @ rows.T
        alike[np.arange(len(alike)), at + np.arange(len(alike))] = -1.0
        own[at : at + len(alike)] = _top(alike if len(rows) > NEAREST else np.sort(alike, axis=1)[:, 1:])
    return np.asarray(_top(others @ rows.T) >= np.quantile(own, _LIKE), dtype=bool)


def _heads(names: NDArray[np.str_], rows: Vectors, of: NDArray[np.int64], others: Vectors) -> Nearest:
    """Return a fit to some of the examples, with a head but no score yet."""
    there = np.unique(of)
    starts = np.append(np.searchsorted(of, there), len(of)).astype(np.int64)
    rest = np.zeros(0)
    kept = tuple(str(names[each]) for each in there)
    head, (spread, pull) = _ridge(rows, of, there, others), _distances(rows, of, there, others)
    return Nearest(kept, rows, starts, others, head, spread, pull, rest, rest, rest, 0.0)


def _ridge(rows: Vectors, of: NDArray[np.int64], there: NDArray[np.int64], others: Vectors) -> Floats:
    """Return `(d + 1, k + 1)`: regress the domains, and being none, with half the weight on the others."""
    x = np.concatenate([rows, others]).astype(np.float64)
    y = np.zeros((len(x), len(there) + 1))
    y[np.arange(len(rows)), np.searchsorted(there, of)] = 1.0
    y[len(rows) :, -1] = 1.0
    weight = y @ (1.0 / np.maximum(y.sum(axis=0), 1.0) / np.append(np.full(len(there), 2.0 * len(there)), 2.0))
    weight *= len(x) / weight.sum()
    middle, mean = np.average(x, axis=0, weights=weight), np.average(y, axis=0, weights=weight)
    x -= middle
    weighted = x * weight[:, None]
    square = weighted.T @ x
    square[np.diag_indices(len(square))] += _RIDGE
    slopes = np.linalg.solve(square, weighted.T @ (y - mean))
    return np.vstack([slopes, mean - middle @ slopes])


def _distances(
    rows: Vectors, of: NDArray[np.int64], there: NDArray[np.int64], others: Vectors
) -> tuple[Vectors, Vectors]:
    """Return `spread` and `pull` of the relative Mahalanobis distance, with its sign turned, in hundreds.

    J. Ren et al., A Simple Fix to Mahalanobis Distance (arXiv:2106.09022), equation 2: the distance to a domain's
    middle by the covariance within domains, less that to the middle of all by the covariance of all.
    """
    x, rest = rows.astype(np.float64), others.astype(np.float64)
    middles = np.stack([x[of == each].mean(axis=0) for each in there])
    shrink = _SHRINK * (1.0 + _FEW / len(x))
    within = _inverse(x - middles[np.searchsorted(there, of)], shrink)
    everything = np.concatenate([x, rest])
    middle = everything.mean(axis=0)
    whole = _inverse(everything - middle, shrink)
    to_middles = middles @ within
    constants = middle @ whole @ middle - np.einsum("ij,ij->i", to_middles, middles)
    slopes = 2.0 * (to_middles - middle @ whole).T
    return ((whole - within) / 100.0).astype(np.float32), (np.vstack([slopes, constants]) / 100.0).astype(np.float32)


def _inverse(far: Floats, shrink: float) -> Floats:
    """Return `(d, d)`: the inverse of the covariance of what lies about 0, shrunk towards a sphere."""
    square = far.T @ far / len(far)
    mean = max(float(np.trace(square)) / len(square), 1e-4)
    square[np.diag_indices(len(square))] += shrink * mean
    found: Floats = np.linalg.inv(square)
    return found


def _held_out(without: Callable[[Mask], Nearest], rows: Vectors, of: NDArray[np.int64]) -> Floats:
    """Return `(n, 5)` features of the examples, each by a fit to the other parts; a domain of one is kept whole."""
    part = np.zeros(len(rows), dtype=np.int64)
    rng = np.random.default_rng(0)
    for each in np.unique(of):
        there = np.flatnonzero(of == each)
        part[rng.permutation(there)] = np.arange(len(there)) % _FOLDS
    found = np.empty((len(rows), _FEATURES))
    for at in np.unique(part):
        out = part == at
        model = without(out if not out.all() else np.zeros(len(out), dtype=bool))
        found[out] = model.features(rows[out])[0]
    return found


def _left_out(without: Callable[[Mask], Nearest], rows: Vectors, of: NDArray[np.int64]) -> Floats:
    """Return `(n, 5)` features of the examples as strangers; none where there is one domain."""
    n_domains = int(of.max()) + 1
    if n_domains == 1:
        return np.empty((0, _FEATURES))
    group = of % min(n_domains, _GROUPS)
    return np.concatenate([without(group == at).features(rows[group == at])[0] for at in np.unique(group)])


def _strangers(whole: Nearest, of: NDArray[np.int64], others: Vectors) -> Floats:
    """Return `(m, 5)` features of the others, each by a head that has not seen it."""
    if len(others) < 2 * _FOLDS:
        return np.empty((0, _FEATURES))
    found = np.empty((len(others), _FEATURES))
    edges = np.linspace(0, len(others), _FOLDS + 1).astype(int)
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        seen = np.concatenate([others[:a], others[b:]])
        model = replace(whole, head=_ridge(whole.rows, of, np.unique(of), seen))
        found[a:b] = model.features(others[a:b], others_from=int(a))[0]
    return found


def _logistic(ours: Floats, theirs: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return means, scales and coefficients of log odds that features are of an example; each part weighs the same."""
    x = np.concatenate([ours, *theirs])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    was = np.append(np.ones(len(ours)), np.zeros(len(x) - len(ours)))
    weight = 200.0 * np.concatenate(
        [np.full(len(ours), 1.0 / len(ours)), *(np.full(len(part), 1.0 / len(part) / len(theirs)) for part in theirs)]
    )
    penalty = np.append(np.full(z.shape[1] - 1, _LOGISTIC), 1e-6)
    found = np.zeros(z.shape[1])
    for _ in range(25):
        chance = 1.0 / (1.0 + np.exp(-np.clip(z @ found, -30.0, 30.0)))
        slope = z.T @ (weight * (chance - was)) + penalty * found
        curve = (z * (weight * np.maximum(chance * (1.0 - chance), 1e-9))[:, None]).T @ z + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        found -= step / max(1.0, float(np.abs(step).max()) / 5.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    return mean, scale, found


def _threshold(ours: Floats, theirs: Floats) -> float:
    """Return the score from which on a prompt counts as like the examples.

    Parameters
    ----------
    ours, theirs
        Scores of examples held out, and of domains left out (which may be none).
    """
    shares = np.arange(*_SHARES, 0.005)
    at = np.quantile(ours, shares)
    share = _ALONE
    if len(theirs):
        kept = (ours[None, :] >= at[:, None]).mean(axis=1)
        refused = (theirs[None, :] < at[:, None]).mean(axis=1)
        harmonic = 2.0 * kept * refused / np.maximum(kept + refused, 1e-9)
        share = min(_SHARES[1], float(shares[int(harmonic.argmax())]) + _STRICTER)
    return float(np.quantile(ours, share))
