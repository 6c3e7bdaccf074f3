"""A fit to examples: on this machine, from the examples alone, with everyday requests for the rest of the world.

Whole domains that are left out in turn show how like the examples something can be that is none of them. See
docs/decisions/0034-scope.md for what else was tried.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from .nearest import BLOCK, FEATURES, NEAREST, Nearest, mean_of_nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Vectors = NDArray[np.float32]
    Mask = NDArray[np.bool_]

__all__ = ["fit"]

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

_LIKE: Final = 0.25
"""A request that is nearer to the examples than this share of them is to the others may well be of their kind."""

_STRICTER: Final = 0.03
"""Of the examples held out, so many more are given up than domains left out would ask: strangers come nearer yet."""

_SHARES: Final = (0.02, 0.25)
"""Bounds of the share of held-out examples below the threshold."""

_ALONE: Final = 0.1
"""That share where there is one domain, and none to leave out."""


def fit(
    vectors: Vectors, domains: Sequence[str], others: Vectors, surely: Vectors | None = None, *, kinds: bool = False
) -> Nearest:
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
    kinds
        Whether the domains are kinds of one thing: what is like it may be of a kind that nobody named, so none is left
        out, and the threshold is between the examples and the others.
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
    held = _held_out(without, rows, of)
    left = np.empty((0, FEATURES)) if kinds else _left_out(without, rows, of)
    strange = _strangers(whole, of, others)
    mean, scale, coefficients = _logistic(held, [each for each in (strange, left) if len(each)])
    found = replace(whole, mean=mean, scale=scale, coefficients=coefficients)
    theirs = strange if kinds else left
    return replace(found, threshold=_threshold(found.scores(held), found.scores(theirs)))


def _of_their_kind(rows: Vectors, others: Vectors) -> Mask:
    """Return `(m,)` which of the others lie among the examples."""
    if len(rows) == 1:
        return np.asarray(others @ rows[0] > 0.999, dtype=bool)
    own = np.empty(len(rows))
    for at in range(0, len(rows), BLOCK):
        alike = rows[at : at + BLOCK] @ rows.T
        alike[np.arange(len(alike)), at + np.arange(len(alike))] = -1.0
        own[at : at + len(alike)] = mean_of_nearest(alike if len(rows) > NEAREST else np.sort(alike, axis=1)[:, 1:])
    return np.asarray(mean_of_nearest(others @ rows.T) >= np.quantile(own, _LIKE), dtype=bool)


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
    square: Floats = np.asarray(far.T @ far / len(far), dtype=np.float64)
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
    found = np.empty((len(rows), FEATURES))
    for at in np.unique(part):
        out = part == at
        model = without(out if not out.all() else np.zeros(len(out), dtype=bool))
        found[out] = model.features(rows[out])[0]
    return found


def _left_out(without: Callable[[Mask], Nearest], rows: Vectors, of: NDArray[np.int64]) -> Floats:
    """Return `(n, 5)` features of the examples as strangers; none where there is one domain."""
    n_domains = int(of.max()) + 1
    if n_domains == 1:
        return np.empty((0, FEATURES))
    group = of % min(n_domains, _GROUPS)
    return np.concatenate([without(group == at).features(rows[group == at])[0] for at in np.unique(group)])


def _strangers(whole: Nearest, of: NDArray[np.int64], others: Vectors) -> Floats:
    """Return `(m, 5)` features of the others, each by a head that has not seen it."""
    if len(others) < 2 * _FOLDS:
        return np.empty((0, FEATURES))
    found = np.empty((len(others), FEATURES))
    edges = np.linspace(0, len(others), _FOLDS + 1).astype(int)
    for a, b in itertools.pairwise(edges.tolist()):
        seen = np.concatenate([others[:a], others[b:]])
        model = replace(whole, head=_ridge(whole.rows, of, np.unique(of), seen))
        found[a:b] = model.features(others[a:b], others_from=a)[0]
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
