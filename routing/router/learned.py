"""A learned router: predictions from stored weights. numpy only; no learning happens here."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .arms import ArmInfo, Basis, Ground, Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "PLACED", "ArmLayer", "LearnedRouter", "Weights", "canonical_name", "features_of", "prompt_hash", "surface_excess",
]  # fmt: skip

# Where no source is named, a number was chosen, not measured. Those that training sets stand in `LearnedRouter.prior`.

_SURFACE_SCALE: Final = 0.1
"""Standardised surface features times this stand beside the embedding's coordinates, which are about 384^-1/2 = 0.05:
each counts as much as a few of them. Chosen; the penalties of training are relative to it."""

_Z80: Final = 1.2816  # half-width of an 80% interval, in standard deviations: the normal's 90% quantile

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

_SPREAD_RANGE: Final = (0.25, 2.0)
"""No prompt turns the order of two abilities round, or makes more than double of their gap. Chosen."""

_PRICE_REACH: Final = 0.8
"""The most that a price alone moves an ability: about one standard deviation of the known models' (0.74)."""

_REASONING_FACTOR: Final = 6.0
"""Tokens written by an arm that thinks, to those of one that does not. Chosen; the user's own counts take its place."""

_BEYOND: Final = 0.9925
"""Half a step below 200 of the 201 stored quantiles: a form more unusual than 99.5% of held-out prompts'."""

_LEAST_RANGE: Final = 0.05
"""A feature that hardly varied in training is taken to range so far, in its own unit. Chosen."""


PLACED: Final = "ability of "
"""A key of the prior that starts so holds the ability of the model (by canonical name) that was placed by probes."""


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
    ease
        `(p + 1,)`, what moves every model's logit alike on this prompt; the last is the intercept.
    spread
        `(p + 1,)`, by how much a gap in ability counts more, or less, on this prompt; the last is the intercept.
    ability
        `(m,)` of the known models, on the logit scale.
    head
        `(m, p + 1)`: the known models' own calibrated heads.
    tokens
        `(p + 1,)`, ln of the median output tokens of a middling model.
    token_shift
        `(m,)`, added for a known model; NaN where its outputs were never counted.
    landmarks
        `(k, dim) float32`, prompts of the training set, for the distance to them.
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
    ease: Floats
    spread: Floats
    ability: Floats
    head: Floats
    tokens: Floats
    token_shift: Floats
    landmarks: NDArray[np.float32]
    landmark_quantiles: Floats
    surface_quantiles: Floats
    seen: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class ArmLayer:
    """What a user's own outcomes add for one model: a shift and a head on top of the shared logit.

    Attributes
    ----------
    weights
        `(p + 1,)`, added to the logit of the shared path; the last is the shift.
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
    """

    weights: Floats
    n_outcomes: int
    shift_sd: float
    calibrated: bool
    token_shift: float | None = None
    ability: float | None = None
    version: str = ""


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
        """Return what was learnt of an arm, under its own name or its model's."""
        return self.layers.get(arm.name) or self.layers.get(arm.model)

    def abilities(self, arms: Sequence[ArmInfo]) -> Floats:
        """Return `(n_arms,)` abilities on the logit scale.

        The first of: learnt from outcomes; known from training; placed by probes before the router shipped; stated by
        the tier; from the price within the pool.
        """
        prior = self.prior
        prices = [a.output_usd_per_mtok for a in arms if a.output_usd_per_mtok]
        middle = float(np.median(np.log10(prices))) if prices else 0.0
        ability = np.empty(len(arms))
        for j, arm in enumerate(arms):
            known, layer = self.known(arm.model), self.layer(arm)
            if layer is not None and layer.ability is not None:
                ability[j] = layer.ability
            elif known is not None and not arm.reasoning:
                ability[j] = self.weights.ability[known]
            elif (placed := prior.get(PLACED + canonical_name(arm.model))) is not None:
                ability[j] = placed
            elif arm.tier is not None:
                ability[j] = prior[f"ability_{arm.tier}"]
            elif arm.output_usd_per_mtok:
                gap = prior["ability_per_decade"] * (float(np.log10(arm.output_usd_per_mtok)) - middle)
                ability[j] = prior["ability_medium"] + min(_PRICE_REACH, max(-_PRICE_REACH, gap))
            else:
                ability[j] = prior["ability_small"]
        return ability

    def reasons(self, arms: Sequence[ArmInfo]) -> list[str]:
        """Return why each arm's quality is what `predict` says it is: `calibrated`, or `prior` and on what ground."""
        unknown = [arm.model for arm in arms if arm.reasoning or self.known(arm.model) is None]
        layered = [arm.name for arm in arms if self.layer(arm) is not None]
        found = []
        for arm in arms:
            layer, known = self.layer(arm), None if arm.reasoning else self.known(arm.model)
            if layer is not None:
                kind = "calibrated" if layer.calibrated else "prior"
                found.append(f"{kind}: moved by {layer.n_outcomes:,} outcomes of your own")
            elif known is not None and not unknown and not layered:
                found.append(f"calibrated: it has a head of its own, learnt from {self.models[known]}")
            elif known is not None:
                other = f"{layered[0]} was learnt from your outcomes" if layered else f"{unknown[0]} is not"
                found.append(
                    f"prior: the ability of {self.models[known]} is known, but {other}, and arms are compared alike"
                )
            else:
                model = (
                    f"{arm.model} thinks before it answers"
                    if arm.reasoning
                    else f"{arm.model} is not in the training data"
                )
                if PLACED + canonical_name(arm.model) in self.prior:
                    ground = "its ability is that of probes made before this router shipped"
                elif arm.tier is not None:
                    ground = f"its ability is that of its tier, {arm.tier}"
                elif arm.output_usd_per_mtok:
                    ground = "its ability is guessed from its price beside the others'"
                else:
                    ground = "with neither tier nor price it is taken for a small one"
                found.append(f"prior: {model}; {ground} (`scrimp probe {arm.name}` finds it out)")
        return found

    def distance_quantile(self, embeddings: NDArray[np.float32], surface: Floats) -> Floats:
        """Return `(n,)` in [0, 1]: the quantile of a prompt's distance among prompts of held-out sources.

        A form (length, digits, script, ...) beyond 99.5% of those counts as beyond them all: their few outliers are odd
        in one way, such as a table of numbers, and would hide what is odd in another, such as a log of 50 kB.
        """
        w = self.weights
        nearest = 1.0 - (embeddings @ w.landmarks.T).max(axis=1)
        outside = _quantile_of(surface_excess(surface, w.surface_low, w.surface_high), w.surface_quantiles)
        return np.maximum(_quantile_of(nearest, w.landmark_quantiles), np.where(outside > _BEYOND, 1.0, outside))

    def shared_logit(self, features: Floats, ability: Floats) -> Floats:
        """Return `(n, n_arms)` logits by the shared path: ease of the prompt, plus ability times its spread."""
        ease = features @ self.weights.ease
        return ease[:, None] + self.spread(features)[:, None] * (ability - self.prior["ability_mean"])[None, :]

    def spread(self, features: Floats) -> Floats:
        """Return `(n,)`: how much a gap in ability counts on each prompt; 1 on a middling one."""
        return np.clip(1.0 + features @ self.weights.spread, *_SPREAD_RANGE)

    def predict(
        self, embeddings: NDArray[np.float32], surface: NDArray[np.float64], arms: Sequence[ArmInfo]
    ) -> Predictions:
        """Return predictions for `(n, dim)` embeddings and `(n, n_features)` surface features."""
        x = self.features(embeddings, surface)
        ood = self.distance_quantile(embeddings, surface)
        ability = self.abilities(arms)
        logit = self.shared_logit(x, ability)
        known = [None if arm.reasoning else self.known(arm.model) for arm in arms]
        layers = [self.layer(arm) for arm in arms]
        sd = np.full(len(arms), self.prior["logit_sd"])
        basis: list[Basis] = ["prior"] * len(arms)
        rests_on: list[Ground] = ["similar models"] * len(arms)
        all_known = all(j is not None for j in known) and not any(layers)
        trust = np.clip((_STRANGE - ood) / (_STRANGE - _FAMILIAR), 0.0, 1.0)
        for a, (j, layer) in enumerate(zip(known, layers, strict=True)):
            if layer is not None:
                # Learnt on the user's own prompts: it holds there, however far they lie from the public ones.
                logit[:, a] += x @ layer.weights
                sd[a] = min(sd[a], layer.shift_sd + _HEAD_SD)
                basis[a] = "calibrated" if layer.calibrated else "prior"
                rests_on[a] = "your outcomes"
            elif j is not None and all_known:
                logit[:, a] = trust * (x @ self.weights.head[j]) + (1.0 - trust) * logit[:, a]
                sd[a] = self.prior["known_logit_sd"]
                basis[a] = "calibrated"
                rests_on[a] = "outcomes"
        strange = np.clip((ood - _STRANGE) / (1.0 - _STRANGE), 0.0, 1.0)[:, None]
        logit *= 1.0 - _STRANGE_PULL * strange
        width = _Z80 * (sd[None, :] + _STRANGE_SD * strange)
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
            level=np.full(len(ood), np.nan),
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
                shift[a] += np.log(_REASONING_FACTOR)
        middle = np.clip((x @ self.weights.tokens)[:, None] + shift[None, :], 0.0, 12.0)
        limit = np.array([float(arm.output_limit) for arm in arms])[None, :]
        p90 = middle + _Z80 * self.prior["token_sd"]
        return np.minimum(np.exp(middle), limit), np.minimum(np.exp(p90), limit)


def features_of(
    embeddings: NDArray[np.float32], surface: Floats, centre: NDArray[np.float32], mean: Floats, sd: Floats
) -> Floats:
    """Return `(n, p + 1) float64`: centred embedding, surface features standardised by `mean` and `sd`, and 1."""
    scaled = np.clip((surface - mean) / sd, -3.0, 3.0) * _SURFACE_SCALE
    return np.concatenate([embeddings - centre, scaled, np.ones((len(surface), 1))], axis=1, dtype=np.float64)


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
