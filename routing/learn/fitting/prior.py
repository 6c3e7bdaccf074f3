"""Place a model that was never seen: its ability, with a credible interval, from a few outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.router.learned import ArmLayer, LearnedRouter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scrimp.routing.router.arms import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["Ability", "Beside", "place", "with_ability"]

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
    shift, shift_sd
        How much easier the prompts of the user's own log are than the router takes them to be, on the same scale;
        0 and None where none were tried.
    """

    mean: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    n: int
    shift: float = 0.0
    shift_sd: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What other arms got on prompts of the same log: they tell how hard those prompts are.

    Attributes
    ----------
    arms
        One an outcome.
    embeddings, surface
        `(n, dim)` and `(n, n_features)` of the prompts.
    score, weight
        `(n,)` in [0, 1], and how much each says.
    """

    arms: tuple[ArmInfo, ...]
    embeddings: NDArray[np.float32]
    surface: Floats
    score: Floats
    weight: Floats


def place(
    router: LearnedRouter,
    embeddings: NDArray[np.float32],
    surface: Floats,
    score: Floats,
    arm: ArmInfo,
    *,
    prior_sd: float | None = None,
    difficulty: Floats | None = None,
    weight: Floats | None = None,
    beside: Beside | None = None,
) -> Ability:
    """Return a model's ability by maximum a posteriori.

    score_i ~ Bernoulli(sigmoid(ease_i + shift + spread_i * (ability - mean))), ability ~ Normal(prior from tier and
    price). On prompts of a user's own log, which may be harder or easier as a whole than they look, the shift is
    learnt with it, from what other arms got there, whose abilities are as uncertain as their priors:
    shift ~ Normal(0, logit_sd). Elsewhere it is 0.

    Parameters
    ----------
    embeddings, surface
        `(n, dim)` and `(n, n_features)` of the prompts tried.
    score
        `(n,)` in [0, 1]; NaN (a check that abstained, a call that failed) is left out.
    prior_sd
        Standard deviation of the prior; the spread of the known models' abilities unless given.
    difficulty
        `(n,)` known logits of difficulty in place of the router's ease, as a probe suite has them; NaN where the prompt
        is of the user's log and the router's ease stands. All known to the router where None is given.
    weight
        `(n,)`, how much each outcome says; one unless given.
    beside
        Outcomes of other arms on prompts of the log.
    """
    sd = float(router.prior["ability_sd"] if prior_sd is None else prior_sd)
    tried = np.flatnonzero(~np.isnan(score))
    x = router.features(embeddings[tried], surface[tried])
    own = np.zeros(len(tried), dtype=bool) if difficulty is None else np.isnan(difficulty[tried])
    by_router = np.ones(len(tried), dtype=bool) if difficulty is None else own
    ease = np.where(by_router, x @ router.weights.ease, 0.0 if difficulty is None else -difficulty[tried])
    spread = np.where(by_router, router.spread(x), 1.0)
    target, weights = score[tried], np.ones(len(tried)) if weight is None else weight[tried]
    arms = [arm]
    column = np.zeros(len(tried), dtype=np.intp)
    if beside is not None and len(beside.score):
        others = list({each.name: each for each in beside.arms}.values())
        position = {each.name: j for j, each in enumerate(others, start=1)}
        arms += others
        x = router.features(beside.embeddings, beside.surface)
        ease = np.append(ease, x @ router.weights.ease)
        spread = np.append(spread, router.spread(x))
        own = np.append(own, np.ones(len(x), dtype=bool))
        target, weights = np.append(target, beside.score), np.append(weights, beside.weight)
        column = np.append(column, [position[each.name] for each in beside.arms])
    mean = router.abilities(arms)
    # The last coordinate is the shift; the design's rows give the derivative of the logit by each coordinate.
    centre = np.append(mean, 0.0)
    precision = np.append(np.full(len(arms), sd**-2), router.prior["logit_sd"] ** -2)
    design = np.zeros((len(target), len(centre)))
    design[np.arange(len(target)), column] = spread
    design[:, -1] = own
    offset = ease - spread * router.prior["ability_mean"]
    at = map_logistic(design, target, precision=precision, prior=centre, offset=offset, weight=weights)
    right = sigmoid(offset + design @ at)
    information = (design * (weights * right * (1.0 - right))[:, None]).T @ design + np.diag(precision)
    sds = np.sqrt(np.diag(np.linalg.inv(information)))
    ability, posterior = float(at[0]), float(sds[0])
    return Ability(
        ability,
        posterior,
        ability - _Z90 * posterior,
        ability + _Z90 * posterior,
        float(mean[0]),
        sd,
        len(tried),
        shift=float(at[-1]) if own.any() else 0.0,
        shift_sd=float(sds[-1]) if own.any() else None,
    )


def with_ability(router: LearnedRouter, key: str, ability: Ability, *, version: str) -> LearnedRouter:
    """Return a router that puts a placed ability, with its uncertainty, in place of an arm's or a model's prior."""
    layer = ArmLayer(
        weights=np.zeros_like(router.weights.tokens),
        n_outcomes=ability.n,
        shift_sd=ability.sd,
        calibrated=False,
        ability=ability.mean,
    )
    return router.with_layers({**router.layers, key: layer}, version)
