"""What a router would decide on many prompts at once: the greedy choice of `deciding.policy`, in arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.deciding.decide import GUARD_QUANTILE
from scrimp.routing.deciding.policy import MEASURED, NEAR_TIE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.router.arms import ArmInfo, Predictions, Router

    Floats = NDArray[np.float64]

__all__ = ["Pool", "as_policy", "greedy", "predict_in_parts", "side_by_side"]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The arms a decision is about, with what is paid for them.

    Attributes
    ----------
    input_usd, output_usd, request_usd
        `(m,)` USD per token, and per request; NaN where an arm has no price.
    default
        Position of the default arm; None where the profile names none.
    """

    arms: tuple[ArmInfo, ...]
    input_usd: Floats
    output_usd: Floats
    request_usd: Floats
    wtp_usd: float
    min_quality: float = 0.0
    default: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The arms' names."""
        return tuple(arm.name for arm in self.arms)

    def take(self, arms: Sequence[int]) -> Pool:
        """Return those of the arms, by their positions; none of them is the default."""
        at = list(arms)
        return replace(
            self,
            arms=tuple(self.arms[a] for a in at),
            input_usd=self.input_usd[at],
            output_usd=self.output_usd[at],
            request_usd=self.request_usd[at],
            default=None,
        )

    def costs(self, input_tokens: Floats, output_tokens: Floats) -> Floats:
        """Return `(n, m)` expected costs in USD of `(n,)` input and `(n, m)` output tokens."""
        told = np.array([arm.told_tokens for arm in self.arms])
        read = input_tokens[:, None] + told
        return np.asarray(read * self.input_usd + output_tokens * self.output_usd + self.request_usd, dtype=np.float64)

    def decide(self, predictions: Predictions, input_tokens: Floats, feasible: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return `(n,)` the arm taken on each prompt, exploration aside; -1 where none is feasible."""
        cost = self.costs(input_tokens, predictions.output_tokens_p50)
        guarded = predictions.ood >= GUARD_QUANTILE if len(self.arms) > 1 else np.zeros(len(cost), bool)
        return greedy(
            predictions.quality,
            cost,
            feasible,
            wtp_usd=self.wtp_usd,
            min_quality=self.min_quality,
            default=self.default,
            guarded=guarded,
            measured=np.array([basis == MEASURED for basis in predictions.basis]),
        )


def greedy(
    quality: Floats,
    cost_usd: Floats,
    feasible: NDArray[np.bool_],
    *,
    wtp_usd: float,
    min_quality: float = 0.0,
    default: int | None = None,
    guarded: NDArray[np.bool_] | None = None,
    measured: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Return `(n,)` the arm that `policy.choose` takes when it does not explore; -1 where none is feasible.

    Parameters
    ----------
    quality, cost_usd, feasible
        `(n, m)`; an arm whose cost is NaN is not feasible.
    default, guarded
        Where `guarded` is true the default arm is taken, if it is feasible.
    measured
        `(m,)`, whose quality rests on outcomes of its own; all when None.
    """
    can = feasible & ~np.isnan(cost_usd)
    cost = np.where(can, cost_usd, np.inf)
    worth = np.where(can, wtp_usd * quality - np.where(can, cost_usd, 0.0), -np.inf)
    if min_quality > 0.0:
        reaching = can & (quality >= min_quality)
        cheapest = _best(-np.where(reaching, cost, np.inf), quality)
        ablest = _best(np.where(can, quality, -np.inf), -cost)
        chosen = np.where(reaching.any(axis=1), cheapest, ablest)
    else:
        chosen = _best(worth, -cost)
        if measured is not None and not measured.all():
            chosen = _unpaid(chosen, worth, cost, NEAR_TIE * wtp_usd, measured)
    if default is not None and guarded is not None:
        chosen = np.where(guarded & can[:, default], default, chosen)
    return np.where(can.any(axis=1), chosen, -1).astype(np.intp)


def _unpaid(
    best: NDArray[np.intp], worth: Floats, cost: Floats, margin: float, measured: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return `(n,)`: the cheapest arm within the margin of the best, of those that were not both measured."""
    rows = np.arange(len(best))
    unsure = ~(measured[best][:, None] & measured[None, :])
    near = unsure & (cost < cost[rows, best][:, None]) & (worth >= worth[rows, best][:, None] - margin)
    cheapest = np.where(near, cost, np.inf).argmin(axis=1).astype(np.intp)
    return np.where(near.any(axis=1), cheapest, best)


def _best(first: Floats, second: Floats) -> NDArray[np.intp]:
    """Return `(n,)` the column of the greatest `first`; ties go to the greatest `second`, then to the leftmost."""
    ties = first == first.max(axis=1, keepdims=True)
    return np.asarray(np.where(ties, second, -np.inf).argmax(axis=1), dtype=np.intp)


def as_policy(chosen: NDArray[np.intp], n_arms: int) -> Floats:
    """Return decisions as `(n, m)` probabilities of 0 and 1; a row without a decision is all 0."""
    policy = np.zeros((len(chosen), n_arms))
    rows = np.flatnonzero(chosen >= 0)
    policy[rows, chosen[rows]] = 1.0
    return policy


def predict_in_parts(
    router: Router, embeddings: NDArray[np.float32], surface: Floats, arms: Sequence[ArmInfo], *, part: int = 8192
) -> Predictions:
    """Return a router's predictions for many prompts, a part at a time: memory stays bounded."""
    from scrimp.routing.router.arms import Predictions

    if len(embeddings) <= part:
        return router.predict(embeddings, surface, arms)
    parts = [
        router.predict(embeddings[start : start + part], surface[start : start + part], arms)
        for start in range(0, len(embeddings), part)
    ]
    return Predictions(
        quality=np.concatenate([each.quality for each in parts]),
        quality_low=np.concatenate([each.quality_low for each in parts]),
        quality_high=np.concatenate([each.quality_high for each in parts]),
        basis=parts[0].basis,
        rests_on=parts[0].rests_on,
        output_tokens_p50=np.concatenate([each.output_tokens_p50 for each in parts]),
        output_tokens_p90=np.concatenate([each.output_tokens_p90 for each in parts]),
        ood=np.concatenate([each.ood for each in parts]),
        level=np.concatenate([each.level for each in parts]),
        similarity=_together([each.similarity for each in parts]),
        prompt_tokens=_together([each.prompt_tokens for each in parts]),
    )


def side_by_side(first: Predictions, second: Predictions) -> Predictions:
    """Return predictions of the same prompts for the arms of both."""
    return replace(
        first,
        quality=np.hstack([first.quality, second.quality]),
        quality_low=np.hstack([first.quality_low, second.quality_low]),
        quality_high=np.hstack([first.quality_high, second.quality_high]),
        basis=(*first.basis, *second.basis),
        rests_on=(*first.rests_on, *second.rests_on),
        output_tokens_p50=np.hstack([first.output_tokens_p50, second.output_tokens_p50]),
        output_tokens_p90=np.hstack([first.output_tokens_p90, second.output_tokens_p90]),
    )


def _together(parts: Sequence[Floats | None]) -> Floats | None:
    """Return what a router says of parts as one; None where it says nothing: of all of them or of none."""
    said = [each for each in parts if each is not None]
    return np.concatenate(said) if len(said) == len(parts) else None
