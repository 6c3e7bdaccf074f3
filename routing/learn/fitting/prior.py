"""Place a model that was never seen: its ability, with a credible interval, from a few outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.router.learned import ArmLayer, LearnedRouter
from scrimp.routing.router.placed import Z80

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scrimp.routing.router.arms import ArmInfo

    Floats = NDArray[np.float64]

__all__ = ["Ability", "Beside", "place", "with_ability"]

_DF: Final = 3.0
"""Degrees of freedom of the prior's tail: far out it falls as the fourth power, and a dozen outcomes overrule it."""

_T80: Final = 1.6377
"""Half an 80% interval of Student's t with three degrees of freedom, in scales: the quantile at 0.9."""

_REACH: Final = 8.0  # logits from where a name and a price put a model: the whole table is eight wide
_COARSE: Final = 81
_FINE: Final = 161
_NEGLIGIBLE: Final = 12.0  # what is exp(-12) as likely as the likeliest is left out


@dataclass(frozen=True, slots=True)
class Ability:
    """Where a model stands, in logits beside gpt-4o-mini's.

    Attributes
    ----------
    median
        Of the posterior.
    sd
        Half the interval's width, as a normal's standard deviation.
    low, high
        80% credible interval: the posterior's quantiles at 0.1 and 0.9.
    prior_mean, prior_sd, prior_basis
        What was believed before, and what that rests on, in words.
    n
        Outcomes it rests on.
    shift, shift_sd
        How much easier the prompts of the user's own log are than the router takes them to be, on the same scale;
        0 and None where none were tried.
    """

    median: float
    sd: float
    low: float
    high: float
    prior_mean: float
    prior_sd: float
    prior_basis: str
    n: int
    shift: float = 0.0
    shift_sd: float | None = None

    @property
    def prior_low(self) -> float:
        """The lower end of the 80% interval before."""
        return self.prior_mean - Z80 * self.prior_sd

    @property
    def prior_high(self) -> float:
        """The upper end of the 80% interval before."""
        return self.prior_mean + Z80 * self.prior_sd

    def p_right(self, router: LearnedRouter, level: Floats, own: NDArray[np.bool_]) -> Floats:
        """Return `(n,)` chances to be right at the median on prompts of these levels; `own` are of the user's log."""
        return sigmoid(router.shared_logit(level, np.array([self.median]))[:, 0] + own * self.shift)


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


@dataclass(frozen=True, slots=True, eq=False)
class _Outcomes:
    """Outcomes as the posterior takes them: rows of the placed arm and of others, columns of what is learnt beside.

    Attributes
    ----------
    offset, slope
        `(n,)`: the logit where all that is learnt is 0, and what the arm's ability adds to it (0 in rows of others).
    design
        `(n, k)`: what the others' abilities and, last, the shift add; k is 0 where no prompt is of the user's log.
    centre, precision
        `(k,)` of the Gaussian priors of these.
    target, weight
        `(n,)`.
    """

    offset: Floats
    slope: Floats
    design: Floats
    centre: Floats
    precision: Floats
    target: Floats
    weight: Floats

    def log_likelihood(self, ability: float) -> tuple[float, float, float]:
        """Return the log likelihood of an ability, up to a constant, and the shift's mean and variance there.

        What is learnt beside is integrated out by Laplace's approximation at its mode (Tierney and Kadane, 1986).
        """
        offset = self.offset + self.slope * ability
        if not len(self.centre):
            return self._log_right(offset), 0.0, 0.0
        mode = map_logistic(
            self.design, self.target, precision=self.precision, prior=self.centre, offset=offset, weight=self.weight
        )
        z = offset + self.design @ mode
        right = sigmoid(z)
        curvature = (self.design * (self.weight * right * (1.0 - right))[:, None]).T @ self.design
        curvature += np.diag(self.precision)
        prior = -0.5 * float(self.precision @ (mode - self.centre) ** 2)
        log = self._log_right(z) + prior - 0.5 * float(np.linalg.slogdet(curvature)[1])
        return log, float(mode[-1]), float(np.linalg.inv(curvature)[-1, -1])

    def _log_right(self, z: Floats) -> float:
        return float(self.weight @ (self.target * z - np.logaddexp(0.0, z)))


def place(
    router: LearnedRouter,
    embeddings: NDArray[np.float32],
    surface: Floats,
    score: Floats,
    arm: ArmInfo,
    *,
    level: Floats | None = None,
    weight: Floats | None = None,
    beside: Beside | None = None,
) -> Ability:
    """Return a model's ability by its posterior, on a grid.

    score_i ~ Bernoulli(sigmoid(ease(level_i) + spread(level_i) * (ability - mean) + shift)).

    The prior is Student's t with three degrees of freedom about where the router has the arm without outcomes of its
    own, log p(ability) = -2 * log(1 + ((ability - centre) / scale)^2 / 3), as wide as that place's 80% interval
    (scale = sd * 1.2816 / 1.6377). A name and a price may be far off, and a normal prior would hold on to them against
    any evidence; this one gives way, and where it and the outcomes disagree, the interval is the wider (O'Hagan, 1979).

    On prompts of a user's own log, which may be harder or easier as a whole than they look, the shift is learnt
    besides, from what other arms got there, whose abilities are as uncertain as the router has them:
    shift ~ Normal(0, logit_sd). Elsewhere it is 0.

    Parameters
    ----------
    embeddings, surface
        `(n, dim)` and `(n, n_features)` of the prompts tried.
    score
        `(n,)` in [0, 1]; NaN (a check that abstained, a call that failed) is left out.
    level
        `(n,)` in [1, 5], judged, as a probe suite has them; NaN where the prompt is of the user's log and the router's
        own level stands. The router's levels, and no shift, where None is given.
    weight
        `(n,)`, how much each outcome says; one unless given.
    beside
        Outcomes of other arms on prompts of the log.
    """
    before = _without_own(router, arm).placed(arm)
    tried = np.flatnonzero(~np.isnan(score))
    judged = np.full(len(tried), np.nan) if level is None else level[tried]
    own = np.zeros(len(tried), dtype=bool) if level is None else np.isnan(judged)
    view = router.view(router.features(embeddings[tried], surface[tried]))
    stated = np.nan_to_num(judged, nan=1.0)
    outcomes = _outcomes(
        router,
        np.where(np.isnan(judged), view.ease, router.ease(stated)),
        np.where(np.isnan(judged), view.spread, router.spread(stated)),
        own,
        score[tried],
        np.ones(len(tried)) if weight is None else weight[tried],
        beside,
    )
    scale = before.sd * Z80 / _T80

    def posterior(grid: Floats) -> tuple[Floats, Floats, Floats]:
        found = np.array([outcomes.log_likelihood(float(ability)) for ability in grid])
        log = found[:, 0] - 0.5 * (_DF + 1.0) * np.log1p(((grid - before.ability) / scale) ** 2 / _DF)
        return log, found[:, 1], found[:, 2]

    far = np.arcsinh(_REACH / scale)
    grid = before.ability + scale * np.sinh(np.linspace(-far, far, _COARSE))
    likely = np.flatnonzero((log := posterior(grid)[0]) > log.max() - _NEGLIGIBLE)
    grid = np.linspace(grid[max(likely[0] - 1, 0)], grid[min(likely[-1] + 1, len(grid) - 1)], _FINE)
    log, shift, variance = posterior(grid)
    density = np.exp(log - log.max())
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    low, median, high = (float(q) for q in np.interp([0.1, 0.5, 0.9], below / below[-1], grid))
    share = density / density.sum()
    mean = float(share @ shift)
    return Ability(
        median,
        (high - low) / (2.0 * Z80),
        low,
        high,
        before.ability,
        before.sd,
        before.basis,
        len(tried),
        shift=mean,
        shift_sd=float(np.sqrt(share @ (variance + (shift - mean) ** 2))) if own.any() else None,
    )


def _outcomes(
    router: LearnedRouter,
    ease: Floats,
    slope: Floats,
    own: NDArray[np.bool_],
    score: Floats,
    weight: Floats,
    beside: Beside | None,
) -> _Outcomes:
    """Return outcomes as rows; those of others count only where they tell of the shift."""
    mean = router.prior["ability_mean"]
    offset = ease - slope * mean
    nothing = np.zeros(0)
    if not own.any():
        return _Outcomes(offset, slope, np.zeros((len(score), 0)), nothing, nothing, score, weight)
    shift_precision = router.prior["logit_sd"] ** -2
    if beside is None or not len(beside.score):
        design = own[:, None].astype(float)
        return _Outcomes(offset, slope, design, np.zeros(1), np.array([shift_precision]), score, weight)
    others = list({each.name: each for each in beside.arms}.values())
    position = {each.name: j for j, each in enumerate(others)}
    read = router.view(router.features(beside.embeddings, beside.surface))
    spread = read.spread
    n, m = len(score), len(beside.score)
    design = np.zeros((n + m, len(others) + 1))
    design[n + np.arange(m), [position[each.name] for each in beside.arms]] = spread
    design[:, -1] = np.append(own, np.ones(m, dtype=bool))
    return _Outcomes(
        np.append(offset, read.ease - spread * mean),
        np.append(slope, np.zeros(m)),
        design,
        np.append(router.abilities(others), 0.0),
        np.append(router.ability_sds(others) ** -2, shift_precision),
        np.append(score, beside.score),
        np.append(weight, beside.weight),
    )


def _without_own(router: LearnedRouter, arm: ArmInfo) -> LearnedRouter:
    """Return the router without what it learnt of an arm: the same prompts asked twice are not twice the evidence."""
    layers = {key: layer for key, layer in router.layers.items() if key not in (arm.name, arm.model)}
    return router.with_layers(layers, router.version)


def with_ability(
    router: LearnedRouter, key: str, ability: Ability, *, version: str, of_arm: str | None = None
) -> LearnedRouter:
    """Return a router that puts a placed ability, with its uncertainty, in place of an arm's or a model's prior.

    Parameters
    ----------
    key
        The arm's name or its model's.
    of_arm
        The arm's name: what was learnt under it would go before what stands under its model, and is dropped.
    """
    layer = ArmLayer(
        weights=np.zeros_like(router.weights.tokens),
        n_outcomes=ability.n,
        shift_sd=ability.sd,
        calibrated=False,
        ability=ability.median,
    )
    kept = {name: other for name, other in router.layers.items() if name != of_arm}
    return router.with_layers({**kept, key: layer}, version)
