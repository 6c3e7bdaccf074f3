"""A learned router: predictions from stored weights. numpy only; no learning happens here."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.routing.text.in_words import counted

from .abilities import effort_tokens, place_arm, shipped_table
from .arms import ArmInfo, Basis, Ground, Predictions
from .ladders import ladders_of, rising
from .placed import Z80, Placed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "LEVELS",
    "ArmLayer",
    "LearnedRouter",
    "View",
    "Weights",
    "canonical_name",
    "features_of",
    "level_inputs",
    "prompt_hash",
    "surface_excess",
]  # fmt: skip

# Where no source is named, a number was chosen, not measured. Those that training sets stand in `LearnedRouter.prior`.

_SURFACE_SCALE: Final = 0.1
"""Standardised surface features times this stand beside the embedding's coordinates, which are about 384^-1/2 = 0.05:
each counts as much as a few of them. Chosen; the penalties of training are relative to it."""

_FAMILIAR: Final = 0.90
"""Up to this quantile of distance a known model's own head is trusted in full. Chosen."""

_STRANGE: Final = 0.97
"""From this quantile on quality is drawn towards one half. Chosen."""

_STRANGE_PULL: Final = 0.5  # how far, at the greatest distance: chosen

_STRANGE_SD: Final = 1.0
"""What the logit's standard deviation grows by, at the greatest distance: levels of unseen sources differ by 0.95
(`logit_sd`, docs/decisions/0004), so the doubt about a task is counted once more."""

_HEAD_SD: Final = 0.2
"""How far a fitted layer may be off beside its shift, on the logit scale. Chosen."""

_RETOLD_SD: Final = 0.5
"""What a layer may be off by, on the logit scale, where it was learnt of the model at other instructions. Chosen: half
of what two tasks differ by (`logit_sd`)."""

_SPREAD_RANGE: Final = (0.25, 2.0)
"""No prompt turns the order of two abilities round, or makes more than double of their gap. Chosen."""

LEVELS: Final = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Knots of the curves: what a level means for a model of known ability is interpolated between them."""

_LEVEL_REACH: Final = 2.0
"""A surface feature counts for the level as far as so many standard deviations: 50 kB is long, not new. Chosen."""

_COARSE_SD: Final = 0.4
_COARSE_STEP: Final = 0.25
"""An ability that is uncertain by `_COARSE_SD` or more is told to so much: half of what it is uncertain by. Chosen."""

_BEYOND: Final = 0.9925
"""Half a step below 200 of the 201 stored quantiles: a form more unusual than 99.5% of held-out prompts'."""

_LEAST_RANGE: Final = 0.05
"""A feature that hardly varied in training is taken to range so far, in its own unit. Chosen."""


def canonical_name(model: str) -> str:
    """Return a model's name without provider, case or vendor prefix.

    Examples
    --------
    >>> canonical_name("openrouter/meta-llama/Meta-Llama-3.1-8B-Instruct")
    'llama-3.1-8b-instruct'
    """
    return model.rsplit("/", 1)[-1].lower().removeprefix("meta-")


def _undated(name: str) -> str:
    return re.sub(r"-(?:20\d{2}-\d{2}-\d{2}|20\d{6}|\d{4}|latest)$", "", name)


@lru_cache(maxsize=8)
def _positions(models: tuple[str, ...]) -> dict[str, int]:
    """Return each known model's position, by its name and, where only one dated name shares it, by the undated name."""
    undated: dict[str, list[int]] = {}
    for j, name in enumerate(models):
        undated.setdefault(_undated(name), []).append(j)
    return {name: at[0] for name, at in undated.items() if len(at) == 1} | {name: j for j, name in enumerate(models)}


def prompt_hash(prompt: str) -> int:
    """Return 32 bits that tell a prompt seen in training from one that was not."""
    return zlib.crc32(" ".join(prompt.split()).encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The arrays of a router; p is `dim + n_features`, m the number of known models.

    Attributes
    ----------
    centre
        `(dim,)` mean embedding of the training prompts.
    surface_mean, surface_sd, surface_low, surface_high
        `(n_features,)` statistics of the surface features; low and high are the 0.5% and 99.5% quantiles.
    level_scale
        `(n_features,)`, how far a standardised surface feature counts beside the embedding in the distance to a centre.
    level_centres
        `(k, dim + n_features) float32`, prompts that levels are told from: centred embedding and scaled features.
    level_weights
        `(k + 2,)`: of each centre's Gaussian, of the standardised `word_level`, and the intercept.
    curve_ease, curve_spread
        `(5,)`: the logit of a model of mean ability at each of `LEVELS`, and how much a gap in ability counts there.
    public_ease, public_spread
        `(p + 1,)` each: of prompts like the public ones, the logit of a model of mean ability, and how much more than
        1, or less, a gap in ability counts; the last is the intercept.
    gate
        `(p + 1,)`: the logit that a prompt reads like the public ones.
    ability
        `(m,)` of the known models, on the logit scale.
    head
        `(m, p + 1)`: what the known models' own outcomes add to the shared logit; 0 for a model known from few sources.
    head_sources
        `(m, n_sources) uint8`: 1 where a model's head was learnt from a source.
    tokens
        `(p + 1,)`, ln of the median output tokens of a middling model.
    token_shift
        `(m,)`, added for a known model; NaN where its outputs were never counted.
    landmarks
        `(k, dim) float32`, prompts of the training set, for the distance to them.
    landmark_sources
        `(k,) uint8`, the source of each; 255 for none of them.
    landmark_quantiles, surface_quantiles
        `(201,)` quantiles of the distances of prompts of held-out sources.
    seen
        `(n,) uint32` sorted hashes of the training prompts.
    """

    centre: NDArray[np.float32]
    surface_mean: Floats
    surface_sd: Floats
    surface_low: Floats
    surface_high: Floats
    level_scale: Floats
    level_centres: NDArray[np.float32]
    level_weights: Floats
    curve_ease: Floats
    curve_spread: Floats
    public_ease: Floats
    public_spread: Floats
    gate: Floats
    ability: Floats
    head: Floats
    head_sources: NDArray[np.uint8]
    tokens: Floats
    token_shift: Floats
    landmarks: NDArray[np.float32]
    landmark_sources: NDArray[np.uint8]
    landmark_quantiles: Floats
    surface_quantiles: Floats
    seen: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What all models share of n prompts: P(right) = sigmoid(ease + spread * gap in ability).

    Attributes
    ----------
    level
        `(n,)` levels of difficulty in [1, 5].
    ease, spread
        `(n,)` logits of a model of mean ability, and how much a gap in ability counts.
    """

    level: Floats
    ease: Floats
    spread: Floats

    def logit(self, gap: Floats) -> Floats:
        """Return `(n, m)` logits of models `(m,)` abilities from the mean."""
        logit: Floats = self.ease[:, None] + self.spread[:, None] * gap[None, :]
        return logit

    def blended(self, share: Floats, ease: Floats, spread: Floats) -> View:
        """Return this view with a `(n,)` share of that of public prompts in it: their ease, and their spread less 1."""
        wide = np.clip(1.0 + spread, *_SPREAD_RANGE)
        return View(self.level, (1.0 - share) * self.ease + share * ease, (1.0 - share) * self.spread + share * wide)


@lru_cache(maxsize=256)
def _by_table(arm: ArmInfo) -> Placed:
    """Return where the shipped table has an arm; what is not known finely is told in coarse steps.

    Of a ladder that is the model's own place: how far its efforts lie apart is not rounded away.
    """
    placed = place_arm(shipped_table(), arm)
    if placed.sd < _COARSE_SD:
        return placed
    usual = placed if arm.ladder is None else place_arm(shipped_table(), replace(arm, effort=None))
    coarse = round(usual.ability / _COARSE_STEP) * _COARSE_STEP
    return replace(placed, ability=coarse + placed.ability - usual.ability)


@lru_cache(maxsize=256)
def _in_table(model: str) -> bool:
    """Tell whether the shipped table knows a model by its own benchmarks."""
    return shipped_table().known(model) is not None


@lru_cache(maxsize=4)
def _norms(weights: Weights) -> NDArray[np.float32]:
    """Return `(k,)` squared lengths of a level's centres."""
    norms: NDArray[np.float32] = (weights.level_centres**2).sum(axis=1)
    return norms


@dataclass(frozen=True, slots=True, eq=False)
class ArmLayer:
    """What a user's own outcomes add for one model: a shift and a head on top of the shared logit.

    Attributes
    ----------
    weights
        `(p + 1,)`, added to the logit of the shared path; the last is the shift.
    slope
        The shared path's logit counts times this.
    n_outcomes
        How many outcomes it was learnt from.
    shift_sd
        Standard deviation of the shift.
    calibrated
        Whether enough outcomes stand behind it to call its quality calibrated.
    token_shift
        Added to ln of the median output tokens; None leaves them.
    ability
        Put in place of the prior ability; None leaves it.
    version
        The version that it was fitted for: later ones may carry it over. "" where that was not noted.
    instructions
        Those that the arm had; None where it had none.
    """

    weights: Floats
    n_outcomes: int
    shift_sd: float
    calibrated: bool
    token_shift: float | None = None
    ability: float | None = None
    version: str = ""
    slope: float = 1.0
    instructions: str | None = None

    def is_of(self, arm: ArmInfo) -> bool:
        """Tell whether it was learnt of an arm as it is told now; of other instructions it is where that one starts."""
        return self.instructions == arm.instructions


@dataclass(frozen=True, slots=True, eq=False)
class LearnedRouter:
    """A router with weights: shipped, trained, or refitted to the user's outcomes.

    Arms are compared by one method at a time. Where every arm is a known model, each has its own calibrated head. Where
    one is not, all of them share one view of how easy the prompt is and differ by ability: a calibrated head against a
    prior would compare two methods instead of two models.
    """

    version: str
    embedder_id: str
    weights: Weights
    models: tuple[str, ...]
    prior: Mapping[str, float]
    layers: Mapping[str, ArmLayer]
    card: Mapping[str, Any]
    note: str | None = None

    def with_note(self, note: str) -> LearnedRouter:
        """Return the same router with something to tell the user."""
        return replace(self, note=note)

    def with_layers(self, layers: Mapping[str, ArmLayer], version: str) -> LearnedRouter:
        """Return a router that adds what was learnt from outcomes, keyed by arm or model name."""
        return replace(self, layers=dict(layers), version=version)

    def features(self, embeddings: NDArray[np.float32], surface: Floats) -> Floats:
        """Return `(n, p + 1) float64`: centred embedding, scaled surface features, and 1."""
        w = self.weights
        return features_of(embeddings, surface, w.centre, w.surface_mean, w.surface_sd)

    def known(self, model: str) -> int | None:
        """Return the position of a known model's head; a name without its date fits where one dated name does."""
        return _positions(self.models).get(canonical_name(model))

    def seen(self, prompts: Sequence[str]) -> NDArray[np.bool_]:
        """Return `(n,) bool`: which prompts were trained on (a false yes in 400,000)."""
        hashes = np.array([prompt_hash(prompt) for prompt in prompts], dtype=np.uint32)
        return np.isin(hashes, self.weights.seen)

    def layer(self, arm: ArmInfo) -> ArmLayer | None:
        """Return what was learnt of an arm: under its own name, that of the arm it is like, or its model's."""
        names = (arm.name, arm.like or "", arm.model)
        return next((self.layers[name] for name in names if name in self.layers), None)

    def placed(self, arm: ArmInfo) -> Placed:
        """Return where an arm stands, in logits beside gpt-4o-mini's: the first of these that is there.

        Learnt from the user's outcomes; the user's table of abilities; learnt in training; the shipped table; its
        relatives, price, tier and size. What is not known finely ties: then price and the profile's order decide.
        """
        known, layer = self.known(arm.model), self.layer(arm)
        if layer is not None and layer.ability is not None:
            ability = layer.ability
            if arm.ladder is not None and arm.name not in self.layers:  # learnt of the model before it had efforts
                ability += _by_table(arm).ability - _by_table(replace(arm, effort=None)).ability
            return Placed(ability, self._layer_sd(layer, arm), f"{counted(layer.n_outcomes, 'outcome')} of your own")
        if arm.placed is not None:
            return arm.placed
        if known is not None and not arm.reasoning:
            n = int(self.weights.head_sources[known].sum())
            basis = f"outcomes of {n} public sources" if n else "public outcomes"
            return Placed(float(self.weights.ability[known]), self.prior["known_logit_sd"], basis)
        return _by_table(arm)

    @staticmethod
    def _layer_sd(layer: ArmLayer, arm: ArmInfo) -> float:
        return layer.shift_sd if layer.is_of(arm) else float(np.hypot(layer.shift_sd, _RETOLD_SD))

    def abilities(self, arms: Sequence[ArmInfo]) -> Floats:
        """Return `(n_arms,)` abilities on the logit scale, as `placed` has them."""
        return np.array([self.placed(arm).ability for arm in arms])

    def ability_sds(self, arms: Sequence[ArmInfo]) -> Floats:
        """Return `(n_arms,)`: how uncertain each arm's ability is, a standard deviation on the logit scale."""
        return np.array([self.placed(arm).sd for arm in arms])

    def own_head(self, arm: ArmInfo) -> int | None:
        """Return the position of a known model's head; None where it is known from too few sources, or thinks."""
        known = None if arm.reasoning else self.known(arm.model)
        return known if known is not None and self.weights.head_sources[known].any() else None

    def reasons(self, arms: Sequence[ArmInfo]) -> list[str]:
        """Return why each arm's quality is what `predict` says it is: `calibrated`, or `prior` and on what ground."""
        without = [arm.model for arm in arms if self.own_head(arm) is None]
        layered = [arm.name for arm in arms if self.layer(arm) is not None]
        found = []
        for arm in arms:
            layer, placed = self.layer(arm), self.placed(arm)
            where = f"ability {placed.ability:+.1f} ({placed.low:+.1f} to {placed.high:+.1f})"
            if layer is not None:
                kind = "calibrated" if layer.calibrated and layer.is_of(arm) else "prior"
                told = "" if layer.is_of(arm) else " at other instructions"
                found.append(f"{kind}: moved by {counted(layer.n_outcomes, 'outcome')} of your own{told}; {where}")
            elif self.own_head(arm) is not None and not without and not layered:
                found.append(f"calibrated: it has a head of its own near the {placed.basis}; {where}")
            elif self.own_head(arm) is not None:
                other = f"{layered[0]} was learnt from your outcomes" if layered else f"{without[0]} has none"
                found.append(f"prior: it has a head of its own, but {other}, and arms are compared alike; {where}")
            else:
                found.append(
                    f"prior: judged difficulty, and {where} by {placed.basis} (`scrimp probe {arm.name}` finds it out)"
                )
        return found

    def _distances(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `(n, k)`: how far prompts lie from the landmarks, 1 less the cosine."""
        return 1.0 - embeddings @ self.weights.landmarks.T

    def _strangeness(self, distances: NDArray[np.float32], surface: Floats) -> Floats:
        """Return `(n,)` in [0, 1]: the quantile of a prompt's distance among prompts of held-out sources.

        A form (digits, script, ...) beyond 99.5% of those counts as beyond them all: their few outliers are odd in one
        way, such as a table of numbers, and would hide what is odd in another. Length is no oddness.
        """
        w = self.weights
        outside = _quantile_of(surface_excess(surface, w.surface_low, w.surface_high), w.surface_quantiles)
        nearest = _quantile_of(distances.min(axis=1), w.landmark_quantiles)
        return np.maximum(nearest, np.where(outside > _BEYOND, 1.0, outside))

    def levels(self, features: Floats) -> Floats:
        """Return `(n,)` levels of difficulty in [1, 5] (docs/difficulty.md)."""
        w = self.weights
        x = level_inputs(features, w.level_scale).astype(np.float32)
        near = 2.0 * (x @ w.level_centres.T)
        near -= (x**2).sum(axis=1)[:, None] + _norms(w)
        level = np.exp(near) @ w.level_weights[:-2] + features[:, -2] / _SURFACE_SCALE * w.level_weights[-2]
        cut: Floats = np.clip(level + w.level_weights[-1], LEVELS[0], LEVELS[-1])
        return cut

    def ease(self, level: Floats) -> Floats:
        """Return `(n,)` logits of a model of mean ability on prompts of these levels."""
        ease: Floats = np.interp(level, LEVELS, self.weights.curve_ease)
        return ease

    def spread(self, level: Floats) -> Floats:
        """Return `(n,)`: how much a gap in ability counts on prompts of these levels."""
        spread: Floats = np.interp(level, LEVELS, self.weights.curve_spread)
        return spread

    def shared_logit(self, level: Floats, ability: Floats) -> Floats:
        """Return `(n, n_arms)` logits by the shared path: ease of the prompt, plus ability times its spread."""
        return View(level, self.ease(level), self.spread(level)).logit(ability - self.prior["ability_mean"])

    def own_logit(self, shared: Floats, features: Floats, known: int) -> Floats:
        """Return `(n,)` calibrated logits of a known model's own head, from its shared logits."""
        own: Floats = shared + features @ self.weights.head[known]
        return self.prior["known_slope"] * own + self.prior["known_shift"]

    def view(self, features: Floats) -> View:
        """Return the view of prompts that all models share, of `(n, p + 1)` features.

        Everyday prompts are seen by their level; those that read like the public ones by what outcomes say of these;
        between the two, by as much of each as the gate has it.
        """
        w = self.weights
        level = self.levels(features)
        return View(level, self.ease(level), self.spread(level)).blended(
            _sigmoid(features @ w.gate), features @ w.public_ease, features @ w.public_spread
        )

    def _trust(self, distances: NDArray[np.float32], known: int) -> Floats:
        """Return `(n,)` in [0, 1]: how far a known model's head holds, by `(n, k)` distances to the landmarks."""
        w = self.weights
        near = np.isin(w.landmark_sources, np.flatnonzero(w.head_sources[known]))
        if not near.any():
            return np.zeros(len(distances))
        quantile = _quantile_of(distances[:, near].min(axis=1), w.landmark_quantiles)
        return np.clip((_STRANGE - quantile) / (_STRANGE - _FAMILIAR), 0.0, 1.0)

    def predict(
        self, embeddings: NDArray[np.float32], surface: NDArray[np.float64], arms: Sequence[ArmInfo]
    ) -> Predictions:
        """Return predictions for `(n, dim)` embeddings and `(n, n_features)` surface features."""
        x = self.features(embeddings, surface)
        distances = self._distances(embeddings)
        ood = self._strangeness(distances, surface)
        view = self.view(x)
        placed = [self.placed(arm) for arm in arms]
        logit = view.logit(np.array([each.ability for each in placed]) - self.prior["ability_mean"])
        known = [self.own_head(arm) for arm in arms]
        layers = [self.layer(arm) for arm in arms]
        # How sure a quality is: how well the prompt's level is known, and the model's place.
        sd = np.hypot(self.prior["logit_sd"], [each.sd for each in placed])
        basis: list[Basis] = ["prior"] * len(arms)
        rests_on: list[Ground] = ["judged difficulty" if _in_table(arm.model) else "similar models" for arm in arms]
        all_known = all(j is not None for j in known) and not any(layers)
        for a, (j, layer) in enumerate(zip(known, layers, strict=True)):
            if layer is not None:
                # Learnt on the user's own prompts: it holds there, however far they lie from the public ones.
                logit[:, a] = layer.slope * logit[:, a] + x @ layer.weights
                sd[a] = min(sd[a], self._layer_sd(layer, arms[a]) + _HEAD_SD)
                basis[a] = "calibrated" if layer.calibrated and layer.is_of(arms[a]) else "prior"
                rests_on[a] = "your outcomes"
            elif j is not None and all_known:
                own = self.own_logit(logit[:, a], x, j)
                logit[:, a] += self._trust(distances, j) * (own - logit[:, a])
                sd[a] = self.prior["known_logit_sd"]
                basis[a] = "calibrated"
                rests_on[a] = "outcomes"
        logit = rising(logit, ladders_of(arms))
        strange = np.clip((ood - _STRANGE) / (1.0 - _STRANGE), 0.0, 1.0)[:, None]
        logit *= 1.0 - _STRANGE_PULL * strange
        width = Z80 * (sd[None, :] + _STRANGE_SD * strange)
        p50, p90 = self._tokens(x, arms, layers)
        return Predictions(
            quality=_sigmoid(logit),
            quality_low=_sigmoid(logit - width),
            quality_high=_sigmoid(logit + width),
            basis=tuple(basis),
            rests_on=tuple(rests_on),
            output_tokens_p50=p50,
            output_tokens_p90=p90,
            ood=ood,
            level=view.level,
            prompt_tokens=np.exp(np.clip(x @ self.weights.tokens, 0.0, 12.0)),
            similarity=1.0 - distances.min(axis=1).astype(np.float64),
        )

    def _tokens(self, x: Floats, arms: Sequence[ArmInfo], layers: Sequence[ArmLayer | None]) -> tuple[Floats, Floats]:
        """Return `(n, n_arms)` medians and 90th percentiles of output tokens."""
        shift = np.zeros(len(arms))
        for a, (arm, layer) in enumerate(zip(arms, layers, strict=True)):
            known = self.known(arm.model)
            if layer is not None and layer.token_shift is not None:
                shift[a] = layer.token_shift
                continue
            if known is not None and not np.isnan(self.weights.token_shift[known]):
                shift[a] = self.weights.token_shift[known]
            if arm.reasoning:
                shift[a] += np.log(effort_tokens(arm.effort or "medium"))
        shift = rising(shift[None, :], ladders_of(arms))[0]
        middle = np.clip((x @ self.weights.tokens)[:, None] + shift[None, :], 0.0, 12.0)
        limit = np.array([float(arm.output_limit) for arm in arms])[None, :]
        p90 = middle + Z80 * self.prior["token_sd"]
        return np.minimum(np.exp(middle), limit), np.minimum(np.exp(p90), limit)


def features_of(
    embeddings: NDArray[np.float32], surface: Floats, centre: NDArray[np.float32], mean: Floats, sd: Floats
) -> Floats:
    """Return `(n, p + 1) float64`: centred embedding, surface features standardised by `mean` and `sd`, and 1."""
    scaled = np.clip((surface - mean) / sd, -3.0, 3.0) * _SURFACE_SCALE
    return np.concatenate([embeddings - centre, scaled, np.ones((len(surface), 1))], axis=1, dtype=np.float64)


def level_inputs(features: Floats, scale: Floats) -> Floats:
    """Return `(n, dim + n_features)`: where prompts lie among a level's centres, from `features_of`."""
    n = len(scale)
    surface = np.clip(features[:, -n - 1 : -1] / _SURFACE_SCALE, -_LEVEL_REACH, _LEVEL_REACH) * scale
    return np.concatenate([features[:, : -n - 1], surface], axis=1)


def surface_excess(surface: Floats, low: Floats, high: Floats) -> Floats:
    """Return `(n,)`: how far, in ranges, the most unusual surface feature lies outside the usual range; 0 inside."""
    width = np.maximum(high - low, _LEAST_RANGE)
    outside: Floats = np.maximum(np.maximum(low - surface, surface - high) / width, 0.0).max(axis=1)
    return outside


def _quantile_of(value: Floats, quantiles: Floats) -> Floats:
    """Return the share of the calibration set that lies strictly below each value."""
    return np.searchsorted(quantiles, value, side="left") / len(quantiles)


def _sigmoid(z: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * z))
