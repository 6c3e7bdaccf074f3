"""The prior of an arm that was never seen: by its tier, else by its price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
from .arms import ArmInfo, Basis, Ground, Predictions

__all__ = ["TierPrior"]


_TIER_ABILITY: Final = {"small": 0.3, "medium": 1.0, "large": 1.8}
_MIDDLE_OUTPUT_PRICE = 2.0  # USD per million output tokens of a middling model


def _ability_from_price(arm: ArmInfo) -> float:
    """Return a rough ability on the logit scale from the declared tier, else from the output price."""
    if arm.tier is not None:
        return _TIER_ABILITY[arm.tier]
    price = arm.output_usd_per_mtok
    if price is None or price <= 0.0:
        return _TIER_ABILITY["small"]
    return min(2.2, max(0.0, 1.0 + 0.6 * math.log10(price / _MIDDLE_OUTPUT_PRICE)))


@dataclass(frozen=True, slots=True)
class TierPrior:
    """A router without weights: quality from tier and price, moved by how hard the prompt looks. Never calibrated."""

    version: str = "tier-prior"
    embedder_id: str = ""
    note: str | None = None

    def predict(
        self, embeddings: NDArray[np.float32], surface: NDArray[np.float64], arms: Sequence[ArmInfo]
    ) -> Predictions:
        """Return predictions from surface features alone; the embeddings are not looked at."""
        import numpy as np

        from scrimp.routing.prompts.surface import FEATURE_NAMES

        del embeddings
        column = {name: surface[:, j] for j, name in enumerate(FEATURE_NAMES)}
        difficulty = (
            0.35 * (column["log_chars"] - 5.0)
            + 0.5 * np.minimum(column["latex_rate"], 3.0)
            + 2.0 * column["maths_share"]
            + 0.6 * column["reasoning_form"]
        ).clip(-1.5, 2.5)
        ability = np.array([_ability_from_price(arm) for arm in arms])
        logit = ability[None, :] - (1.0 - 0.2 * ability[None, :]) * difficulty[:, None]
        quality = (1.0 / (1.0 + np.exp(-logit))).clip(0.05, 0.95)
        median = np.exp(4.6 + 0.35 * (column["log_chars"] - 5.0).clip(-2.0, 4.0))[:, None]
        limits = np.array([float(arm.output_limit) for arm in arms])[None, :]
        thinking = np.array([6.0 if arm.reasoning else 1.0 for arm in arms])[None, :]
        basis: tuple[Basis, ...] = tuple("uncalibrated" for _ in arms)
        rests_on: tuple[Ground, ...] = tuple("tier and price" for _ in arms)
        return Predictions(
            quality=quality,
            quality_low=(quality - 0.3).clip(0.0, 1.0),
            quality_high=(quality + 0.3).clip(0.0, 1.0),
            basis=basis,
            rests_on=rests_on,
            output_tokens_p50=np.minimum(median * thinking, limits),
            output_tokens_p90=np.minimum(3.5 * median * thinking, limits),
            ood=np.zeros(len(surface)),
            level=np.full(len(surface), np.nan),
            prompt_tokens=median[:, 0],
        )

    def reasons(self, arms: Sequence[ArmInfo]) -> list[str]:
        """Return what each arm's quality rests on: little."""
        return ["uncalibrated: a guess from tier and price" for _ in arms]
