"""Place a model that was never seen: its ability, with a credible interval, from a few outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learned import ArmLayer, LearnedRouter

from .heads import sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scrimp.routing.predict import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["Ability", "place", "with_ability"]

_Z90 = 1.6449


@dataclass(frozen=True, slots=True)
class Ability:
    """Where a model stands on the logit scale of abilities.

    Attributes
    ----------
    mean, sd
        Of the posterior, by Laplace's approximation.
    low, high
        90% credible interval.
    prior_mean, prior_sd
        What was believed before, from tier and price.
    n
        Outcomes it rests on.
    """

    mean: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    n: int


def place(
    router: LearnedRouter,
    embeddings: NDArray[np.float32],
    surface: Floats,
    score: Floats,
    arm: ArmInfo,
    *,
    prior_sd: float | None = None,
    difficulty: Floats | None = None,
) -> Ability:
    """Return a model's ability by maximum a posteriori.

    score_i ~ Bernoulli(sigmoid(ease_i + spread_i * (ability - mean))), ability ~ Normal(prior from tier and price).

    Parameters
    ----------
    embeddings, surface
        `(n, dim)` and `(n, n_features)` of the prompts tried.
    score
        `(n,)` in [0, 1]; NaN (a check that abstained, a call that failed) is left out.
    prior_sd
        Standard deviation of the prior; the spread of the known models' abilities unless given.
    difficulty
        `(n,)` known logits of difficulty in place of the router's ease, as a probe suite has them.
    """
    tried = np.flatnonzero(~np.isnan(score))
    x = router.features(embeddings[tried], surface[tried])
    middle = router.prior["ability_mean"]
    ease = x @ router.weights.ease if difficulty is None else -difficulty[tried]
    spread = np.clip(1.0 + x @ router.weights.spread, 0.25, 2.0) if difficulty is None else np.ones(len(tried))
    mean = float(router.abilities([arm])[0])
    sd = float(router.prior["ability_sd"] if prior_sd is None else prior_sd)
    target = score[tried]
    ability = mean
    for _ in range(100):
        right = sigmoid(ease + spread * (ability - middle))
        slope = float(np.sum(spread * (right - target))) + (ability - mean) / sd**2
        curvature = float(np.sum(spread**2 * right * (1.0 - right))) + 1.0 / sd**2
        step = float(np.clip(slope / curvature, -1.0, 1.0))
        ability -= step
        if abs(step) < 1e-9:
            break
    right = sigmoid(ease + spread * (ability - middle))
    posterior = float(np.sum(spread**2 * right * (1.0 - right)) + 1.0 / sd**2) ** -0.5
    return Ability(ability, posterior, ability - _Z90 * posterior, ability + _Z90 * posterior, mean, sd, len(tried))


def with_ability(router: LearnedRouter, key: str, ability: Ability, *, version: str) -> LearnedRouter:
    """Return a router that puts a placed ability, with its uncertainty, in place of an arm's or a model's prior."""
    layer = ArmLayer(
        weights=np.zeros_like(router.weights.ease),
        n_outcomes=ability.n,
        shift_sd=ability.sd,
        calibrated=False,
        ability=ability.mean,
    )
    return router.with_layers({**router.layers, key: layer}, version)
