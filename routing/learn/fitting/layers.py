"""Learn a user's own outcomes on top of a router: heads are drawn towards the shipped view, not towards zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.router.learned import ArmLayer, LearnedRouter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.router.arms import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["CALIBRATED_FROM", "PENALTIES", "choose_penalty", "fit_layers"]

CALIBRATED_FROM = 200
"""Outcomes of a model from which its fitted quality counts as calibrated."""

PENALTIES = (7.5, 12.0, 20.0, 40.0, 100.0, 1000.0)
"""Penalties tried; the last leaves the prior's shape and learns a shift."""

_SURFACE_SHARE = 0.3  # of the penalty: few numbers, each worth more than a coordinate of the embedding

_SHARED_FROM = 4  # models from which a head is learnt that all share, before each has its own

_OWN_FACTOR = 2.5  # on the penalty of own heads where one is shared: the best of many noisy heads is mostly noise

_SHIFT_PRECISION = 0.5  # a model's shift: standard deviation 1.4 on the logit scale


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    features: Floats
    offset: Floats
    score: Floats
    weight: Floats


def _fit(task: _Task, rows: NDArray[np.intp], penalty: float) -> Floats:
    n_surface = len(FEATURE_NAMES)
    dim = task.features.shape[1] - n_surface - 1
    precision = np.repeat([penalty, _SURFACE_SHARE * penalty, _SHIFT_PRECISION], [dim, n_surface, 1])
    return map_logistic(
        task.features[rows], task.score[rows], precision=precision, offset=task.offset[rows], weight=task.weight[rows]
    )


def _log_loss(task: _Task, rows: NDArray[np.intp], weights: Floats) -> float:
    z = task.offset[rows] + task.features[rows] @ weights
    return float(np.sum(task.weight[rows] * (np.logaddexp(0.0, z) - task.score[rows] * z)))


def choose_penalty(tasks: Sequence[_Task], rng: np.random.Generator, folds: int = 5) -> float:
    """Return the largest penalty whose log loss on held-out folds is within one standard error of the least.

    The same for all models. Log loss is flat around its minimum; of equal heads the one nearer the prior ranks better.
    """
    loss = np.zeros((len(PENALTIES), folds))
    # A few models are enough to choose one number by.
    for task in sorted(tasks, key=lambda t: -len(t.score))[:6]:
        fold = rng.permutation(len(task.score)) % folds
        for k in range(folds):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if len(train) and len(test):
                for i, penalty in enumerate(PENALTIES):
                    loss[i, k] += _log_loss(task, test, _fit(task, train, penalty))
    over = loss - loss[int(loss.sum(axis=1).argmin())]
    error = over.std(axis=1, ddof=1) / np.sqrt(folds)
    return max(penalty for i, penalty in enumerate(PENALTIES) if over[i].mean() <= error[i])


def fit_layers(
    router: LearnedRouter,
    embeddings: NDArray[np.float32],
    surface: Floats,
    arms: Sequence[ArmInfo],
    score: Floats,
    *,
    output_tokens: Floats | None = None,
    weight: Floats | None = None,
    from_zero: bool = False,
    penalty: float | None = None,
    version: str = "fitted",
    seed: int = 0,
) -> LearnedRouter:
    """Return a router that has learnt from outcomes, by maximum a posteriori from the given one.

    Parameters
    ----------
    router
        Where to start from; what it learnt for other arms is kept.
    embeddings, surface
        `(n, dim) float32` and `(n, n_features) float64`.
    arms
        One per column of `score`.
    score
        `(n, n_arms)` in [0, 1]; NaN where an arm was not tried.
    output_tokens
        `(n, n_arms)`; NaN where not counted.
    weight
        `(n, n_arms)` weights of the outcomes; one unless given.
    from_zero
        Learn with no help of the router's view of a prompt: for prompts it was itself trained on.
    penalty
        Of a head's distance from the prior; chosen by cross-validation unless given.

    Raises
    ------
    DataError
        If no arm has an outcome.
    """
    x = router.features(embeddings, surface)
    weight = np.ones(score.shape) if weight is None else weight
    tried = ~np.isnan(score)
    if not tried.any():
        raise DataError("there are no outcomes to learn from")
    rng = np.random.default_rng(seed)
    base = np.zeros(score.shape) if from_zero else router.shared_logit(x, router.abilities(arms))
    common = np.zeros(x.shape[1])
    if len(arms) >= _SHARED_FROM:
        common = _fit_common(x, base, np.where(tried, score, np.nan), rng)
    tasks = [
        _Task(x[rows], base[rows, j] + x[rows] @ common, score[rows, j], weight[rows, j])
        for j, rows in ((j, np.flatnonzero(tried[:, j])) for j in range(len(arms)))
    ]
    if penalty is None:
        penalty = choose_penalty([task for task in tasks if len(task.score)], rng) if len(x) >= 30 else PENALTIES[-1]
    layers = dict(router.layers)
    log_base = x @ router.weights.tokens
    for j, (arm, task) in enumerate(zip(arms, tasks, strict=True)):
        n = len(task.score)
        if not n:
            continue
        weights = _fit(task, np.arange(n), penalty * (_OWN_FACTOR if len(arms) >= _SHARED_FROM else 1.0))
        right = sigmoid(task.offset + task.features @ weights)
        information = float(np.sum(task.weight * right * (1.0 - right))) + _SHIFT_PRECISION
        shift: float | None = None
        if output_tokens is not None:
            counted = np.flatnonzero(output_tokens[:, j] > 0)
            if len(counted) >= 5:
                shift = float(np.mean(np.log(output_tokens[counted, j]) - log_base[counted]))
        layers[arm.name] = ArmLayer(
            weights=common + weights,
            n_outcomes=n,
            shift_sd=information**-0.5,
            calibrated=n >= CALIBRATED_FROM,
            whole=from_zero,
            token_shift=shift,
        )
    return router.with_layers(layers, version)


def _fit_common(x: Floats, base: Floats, score: Floats, rng: np.random.Generator) -> Floats:
    """Return the `(p,)` head that all models share, learnt from mean scores: many models tell how hard a prompt is."""
    rows = np.flatnonzero((~np.isnan(score)).any(axis=1))
    there = ~np.isnan(score[rows])
    offset = (base[rows] * there).sum(axis=1) / there.sum(axis=1)
    task = _Task(x[rows], offset, np.nanmean(score[rows], axis=1), np.minimum(there.sum(axis=1), 4).astype(np.float64))
    return _fit(task, np.arange(len(rows)), choose_penalty([task], rng))
