"""Fit a router to a user's own outcomes: every head moves from the shipped one as far as the outcomes bear it out.

A head's move is learnt in the directions in which this user's prompts differ most (their leading principal
components), in two steps: one move that all arms share, then each arm's own. Both are maxima a posteriori around the
shipped head, and cross-validation sets how strongly they are drawn to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.heads import map_logistic, sigmoid
from scrimp.routing.router.learned import ArmLayer, LearnedRouter

from .families import families_of, level_with, token_shifts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.router.arms import ArmInfo
    from scrimp.routing.router.learned import Weights

    from .families import Families

    Floats = NDArray[np.float64]

__all__ = ["STRENGTHS", "Drift", "Fitted", "drift", "fit", "importance", "layer_key"]

STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Penalties that cross-validation chooses from: from a head of one's own to the shipped head with a shift."""

RANK: Final = 64
"""Directions in which a head may move."""

CALIBRATED_FROM: Final = 50
"""Outcomes of an arm from which its quality is called calibrated."""

_N_LANDMARKS: Final = 500
_MAX_CELLS: Final = 20_000  # of each step: for 65 numbers more would buy nothing but time
_CV_ROWS: Final = 1500


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted router, and how it was fitted.

    Attributes
    ----------
    strength
        The penalty that cross-validation chose.
    slope, intercept
        Recalibration of the logits, with an intercept for each arm; 1 and 0 where it did not help.
    n_outcomes
        Outcomes behind each arm's head.
    log_loss, log_loss_shipped
        Cross-validated, and that of the shipped heads on the same outcomes.
    """

    router: LearnedRouter
    strength: float
    slope: float
    intercept: Mapping[str, float]
    n_outcomes: Mapping[str, int]
    log_loss: float
    log_loss_shipped: float


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether new prompts are like those fitted on.

    Attributes
    ----------
    share_far
        Share of the new ones farther from the fitted ones than 95% of those are from one another.
    drifted
        Whether that is more than chance would do: above twice the 5%, by a one-sided test at 1%.
    """

    share_far: float
    n: int
    drifted: bool


def layer_key(arm: ArmInfo, arms: Sequence[ArmInfo]) -> str:
    """Return what an arm's layer is stored under: its model, or its own name where arms share a model."""
    return arm.model if sum(each.model == arm.model for each in arms) == 1 else arm.name


def importance(log: Labelled, *, clip: float = 5.0) -> Floats:
    """Return `(n, m)` weights that undo what the router's choice did to the sample: an arm's share over its propensity.

    Where nothing was drawn (an import, an audit, an arm asked for by name) the weight is 1.
    """
    weight = np.ones(log.reward.shape)
    drawn = np.flatnonzero(~np.isnan(log.propensity) & (log.chosen >= 0))
    if len(drawn):
        share = np.bincount(log.chosen[drawn], minlength=len(log.arms)) / len(drawn)
        ratio = share[log.chosen[drawn]] / log.propensity[drawn]
        weight[drawn, log.chosen[drawn]] = np.clip(ratio, 1.0 / clip, clip)
    return weight


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What the fits see: `(n, r + 1)` reduced features, and `(n, m)` offsets, rewards (NaN: none) and weights."""

    z: Floats
    offset: Floats
    reward: Floats
    weight: Floats
    shift_precision: float
    families: Families

    def rows(self, index: NDArray[np.intp]) -> _Problem:
        return replace(
            self, z=self.z[index], offset=self.offset[index], reward=self.reward[index], weight=self.weight[index]
        )

    def fit(self, strength: float, rng: np.random.Generator, tolerance: float = 1e-6) -> Floats:
        """Return `(m, r + 1)` moves of the heads."""
        known = ~np.isnan(self.reward)
        row, arm = np.nonzero(known)
        if len(row) > _MAX_CELLS:
            pick = rng.choice(len(row), _MAX_CELLS, replace=False)
            row, arm = row[pick], arm[pick]
        r = self.z.shape[1] - 1
        precision = np.append(np.full(r, strength), self.shift_precision)
        # The arms' own shifts are fitted beside the common move: else the arm with most outcomes would take all others
        # with it, and one that turned out worse than believed would pull down those that were hardly tried.
        arms = self.reward.shape[1]
        shifts = np.eye(arms)[arm]
        both = map_logistic(
            np.column_stack([self.z[row], shifts]), self.reward[row, arm], offset=self.offset[row, arm],
            weight=self.weight[row, arm], precision=np.append(precision, np.full(arms, self.shift_precision)),
            tolerance=tolerance,
        )  # fmt: skip
        moves = np.tile(both[: r + 1], (arms, 1))
        for group in map(list, self.families.groups):
            moves[group] += self._shared(moves, group, precision, rng, tolerance)
        rungs = {a for ladder in self.families.ladders for a in ladder}
        for a in range(arms):
            mine = np.flatnonzero(known[:, a])
            if len(mine) >= 5 and a not in rungs:
                if len(mine) > _MAX_CELLS:
                    mine = np.sort(rng.choice(mine, _MAX_CELLS, replace=False))
                z = self.z[mine]
                moves[a] += map_logistic(
                    z, self.reward[mine, a], offset=self.offset[mine, a] + z @ moves[a], weight=self.weight[mine, a],
                    precision=precision, tolerance=tolerance,
                )  # fmt: skip
        return self.families.risen(moves, self.information(moves))

    def _shared(
        self, moves: Floats, group: list[int], precision: Floats, rng: np.random.Generator, tolerance: float
    ) -> Floats:
        """Return `(k, r + 1)` moves that arms of one model share, but for their levels."""
        row, at = np.nonzero(~np.isnan(self.reward[:, group]))
        if len(row) < 5:
            return np.zeros((len(group), moves.shape[1]))
        if len(row) > _MAX_CELLS:
            pick = rng.choice(len(row), _MAX_CELLS, replace=False)
            row, at = row[pick], at[pick]
        arm = np.array(group)[at]
        found = map_logistic(
            np.column_stack([self.z[row], np.eye(len(group))[at]]), self.reward[row, arm],
            offset=self.offset[row, arm] + (self.z[row] * moves[arm]).sum(axis=1), weight=self.weight[row, arm],
            precision=np.append(precision, self.families.precision[group]), tolerance=tolerance,
        )  # fmt: skip
        shared = np.tile(found[: moves.shape[1]], (len(group), 1))
        shared[:, -1] += found[moves.shape[1] :]
        return shared

    def information(self, moves: Floats) -> Floats:
        """Return `(m,)`: how much each arm's outcomes say of its level, the prior aside."""
        p = sigmoid(self.logits(moves))
        return np.asarray((self.weight * p * (1.0 - p)).sum(axis=0), dtype=np.float64)

    def logits(self, moves: Floats) -> Floats:
        return self.offset + self.z @ moves.T


def _log_loss(logit: Floats, target: Floats, weight: Floats) -> float:
    return float(weight @ (np.logaddexp(0.0, logit) - target * logit) / weight.sum())


def _basis(x: Floats, rng: np.random.Generator) -> Floats:
    """Return `(p, r)` leading directions of `(n, p)` features."""
    if len(x) > 10_000:
        x = x[rng.choice(len(x), 10_000, replace=False)]
    rank = min(RANK, x.shape[1], max(1, len(x)))
    _, vectors = np.linalg.eigh(x.T @ x)
    return np.ascontiguousarray(vectors[:, ::-1][:, :rank])


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """What moves start from: `(n, m)` logits, and slope, `(m, p + 1)` heads and abilities of layers that give them."""

    offset: Floats
    slope: float
    head: Floats
    ability: Floats


def _base(base: LearnedRouter, x: Floats, arms: Sequence[ArmInfo]) -> _Base:
    """Return the shared path's logits; where every arm has a head of its own, those of the heads."""
    ability = base.abilities(arms)
    shared = base.view(x).logit(ability - base.prior["ability_mean"])
    known = [j for j in map(base.own_head, arms) if j is not None]
    if len(known) < len(arms):
        return _Base(shared, 1.0, np.zeros((len(arms), x.shape[1])), ability)
    slope = base.prior["known_slope"]
    head = slope * base.weights.head[known]
    head[:, -1] += base.prior["known_shift"]
    return _Base(slope * shared + x @ head.T, slope, head, ability)


def fit(
    base: LearnedRouter,
    arms: Sequence[ArmInfo],
    log: Labelled,
    *,
    version: str,
    seed: int = 0,
    keep: Mapping[str, ArmLayer] | None = None,
) -> Fitted:
    """Fit every arm's head and token shift to outcomes, around the shipped heads.

    Parameters
    ----------
    base
        The shipped router, without layers.
    log
        The outcomes to learn from, in the arms' order.
    keep
        Layers of other profiles' arms, to be carried over.
    """
    rng = np.random.default_rng(seed)
    x = base.features(log.embeddings, log.surface)
    start = _base(base, x, arms)
    basis = _basis(x[:, :-1], rng)
    weight = log.weight * importance(log)
    shift_precision = 1.0 / max(base.prior.get("logit_sd", 0.7), 0.2) ** 2
    families = families_of(arms, start.offset, shift_precision)
    problem = _Problem(
        z=np.column_stack([x[:, :-1] @ basis, np.ones(len(x))]),
        offset=level_with(start.offset, families),
        reward=log.reward,
        weight=np.where(np.isnan(log.reward), 0.0, weight),
        shift_precision=shift_precision,
        families=families,
    )
    strength, slope, intercept, losses = _cross_validate(problem, log, rng)
    moves = problem.fit(strength, rng)
    information = problem.information(moves) + shift_precision
    tokens = token_shifts(base, x, arms, log)
    of = {a: ladder[0] for ladder in families.ladders for a in ladder}  # a rung is placed where the least effort is
    layers: dict[str, ArmLayer] = dict(keep or {})
    counts: dict[str, int] = {}
    for a, arm in enumerate(arms):
        full = start.head[a] + np.append(basis @ moves[a, :-1], moves[a, -1])
        full[-1] += families.level[a]
        full = slope * full
        full[-1] += intercept[a]
        counts[arm.name] = int(log.own[:, a].sum())
        layers[layer_key(arm, arms)] = ArmLayer(
            weights=full,
            n_outcomes=counts[arm.name],
            shift_sd=round(float(information[a]) ** -0.5, 6),
            calibrated=counts[arm.name] >= CALIBRATED_FROM,
            token_shift=tokens[a],
            ability=float(start.ability[of.get(a, a)]),
            version=version,
            slope=slope * start.slope,
            instructions=arm.instructions,
        )
    router = replace(
        base.with_layers(layers, version),
        weights=_familiar(base, log, rng),
        note=None,
    )
    intercepts = {arm.name: float(intercept[a]) for a, arm in enumerate(arms)}
    return Fitted(router, strength, slope, intercepts, counts, *losses)


def _cross_validate(
    problem: _Problem, log: Labelled, rng: np.random.Generator
) -> tuple[float, float, Floats, tuple[float, float]]:
    """Return the strength that predicts best, and out of fold: Platt's slope, `(m,)` intercepts, both log losses."""
    index = np.arange(len(problem.z))
    if len(index) > _CV_ROWS:
        index = np.sort(rng.choice(len(index), _CV_ROWS, replace=False))
    part = problem.rows(index)
    keys = log.text_key[index]
    _, group = np.unique(keys, return_inverse=True)  # a prompt asked twice stays in one fold
    fold = rng.permutation(int(group.max()) + 1)[group] % 4
    cell = ~np.isnan(part.reward)
    target, weight = part.reward[cell], part.weight[cell]
    shipped = _log_loss(part.offset[cell], target, weight)
    best, best_strength, best_logit = np.inf, STRENGTHS[-1], part.offset
    for strength in STRENGTHS:
        out = part.offset.copy()
        for f in range(4):
            test, train = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
            if len(test) and cell[train].any():
                moves = part.rows(train).fit(strength, rng, tolerance=1e-4)
                out[test] = part.rows(test).logits(moves)
        loss = _log_loss(out[cell], target, weight)
        if loss < best - 1e-4:
            best, best_strength, best_logit = loss, strength, out
    slope, intercept, centre = 1.0, 0.0, np.zeros(best_logit.shape[1])
    if cell.sum() >= 2 * CALIBRATED_FROM:
        # About each arm's own middle: one line through all arms would draw the able and the weak ones together.
        for arm in np.flatnonzero(cell.any(axis=0)):
            centre[arm] = best_logit[cell[:, arm], arm].mean()
        for rungs in map(list, problem.families.ladders):  # of the same prompts for all: they differ by their levels
            if (tried := cell[:, rungs].any(axis=1)).any():
                centre[rungs] = best_logit[tried][:, rungs].mean(axis=0)
        middle = np.broadcast_to(centre, best_logit.shape)[cell]
        a, b = map_logistic(
            np.column_stack([best_logit[cell] - middle, np.ones(len(middle))]), target, offset=middle, weight=weight,
            precision=np.array([1.0, 0.1]), prior=np.array([1.0, 0.0]),
        ).tolist()  # fmt: skip
        if 0.3 < a < 2.0 and _log_loss(middle + a * (best_logit[cell] - middle) + b, target, weight) < best - 1e-3:
            slope, intercept = a, b
    return best_strength, slope, intercept + (1.0 - slope) * centre, (best, shipped)


def _familiar(base: LearnedRouter, log: Labelled, rng: np.random.Generator) -> Weights:
    """Return the weights with landmarks, distances and ranges that take in the prompts fitted on."""
    w = base.weights
    order = rng.permutation(len(log))
    mine = log.embeddings[np.sort(order[:_N_LANDMARKS])]
    landmarks = np.concatenate([w.landmarks, mine])
    others = log.embeddings[np.sort(order[_N_LANDMARKS : 3 * _N_LANDMARKS])]
    if len(others) >= _N_LANDMARKS // 2:
        nearest = 1.0 - (others @ landmarks.T).max(axis=1)
    else:  # few prompts: each one's distance to all the others
        among = mine @ mine.T
        np.fill_diagonal(among, -1.0)
        nearest = 1.0 - np.maximum(among.max(axis=1), (mine @ w.landmarks.T).max(axis=1))
    grid = np.linspace(0.0, 1.0, len(w.landmark_quantiles))
    low, high = np.quantile(log.surface, [0.005, 0.995], axis=0)
    return replace(
        w,
        landmarks=landmarks,
        landmark_sources=np.append(w.landmark_sources, np.full(len(mine), 255, np.uint8)),
        # Strange is what lies far by the measure of the public prompts and of this user's own: the heads were fitted
        # without being drawn to one half, so on prompts like those fitted on they must not be.
        landmark_quantiles=np.maximum(w.landmark_quantiles, np.quantile(nearest, grid)),
        surface_low=np.minimum(w.surface_low, low),
        surface_high=np.maximum(w.surface_high, high),
    )


def drift(old: NDArray[np.float32], new: NDArray[np.float32], *, seed: int = 0, most: int = 1000) -> Drift:
    """Tell whether new prompts are like the old ones, by distances to the nearest of them.

    Parameters
    ----------
    old, new
        `(n, dim)` unit vectors.
    """
    rng = np.random.default_rng(seed)
    old, new = (part[rng.choice(len(part), min(most, len(part)), replace=False)] for part in (old, new))
    if len(old) < 50 or len(new) < 20:
        return Drift(0.0, len(new), drifted=False)
    among = old @ old.T
    np.fill_diagonal(among, -1.0)
    usual = float(np.quantile(1.0 - among.max(axis=1), 0.95))
    share = float((1.0 - (new @ old.T).max(axis=1) > usual + 1e-6).mean())
    bar = 0.10 + 2.33 * (0.10 * 0.90 / len(new)) ** 0.5
    return Drift(share, len(new), drifted=share > bar)
