"""Predictions: how likely each arm is right on a prompt, and how many tokens it will write; from stored weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .placed import Placed

__all__ = ["ArmInfo", "Basis", "Ground", "Predictions", "Router"]


Basis = Literal["calibrated", "prior", "uncalibrated"]

Ground = Literal["your outcomes", "outcomes", "similar models", "judged difficulty", "tier and price"]
"""What stands behind a quality, in words that a table can hold: the firmest ground that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmInfo:
    """What a router may know of an arm.

    Attributes
    ----------
    input_usd_per_mtok, output_usd_per_mtok
        List price in USD per million tokens; None where unknown.
    reasoning
        Whether the arm thinks before it answers (its output is longer).
    output_limit
        The enforced limit on output tokens.
    effort
        The reasoning effort it is asked at; None is the model's own default.
    placed
        Where the user's own table of abilities has it; None leaves that to the router.
    ladder
        The name that it shares with the same arm at other efforts; None where it is not one of several.
    like
        The arm of the same model that it was made like; None where there is none.
    instructions
        What tells its instructions from others (`prompts.instructions.instructions_id`); None where it has none.
    told_tokens
        About how many tokens of input those are.
    """

    name: str
    model: str
    tier: Literal["small", "medium", "large"] | None = None
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    reasoning: bool = False
    output_limit: int = 4096
    effort: str | None = None
    placed: Placed | None = None
    ladder: str | None = None
    like: str | None = None
    instructions: str | None = None
    told_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for n prompts and n_arms arms.

    Attributes
    ----------
    quality, quality_low, quality_high
        `(n, n_arms) float64` in [0, 1]: P(right), and an 80% interval.
    basis
        One an arm: "calibrated" on this very model's outcomes, "prior" from tier and price, or "uncalibrated".
    rests_on
        One an arm: what stands behind its quality.
    output_tokens_p50, output_tokens_p90
        `(n, n_arms) float64`, median and 90th percentile of the output's length in tokens.
    ood
        `(n,) float64` in [0, 1]: the quantile, among held-out training prompts, of the prompt's distance to
        what was trained on; 1 is farther than all of them.
    level
        `(n,) float64` in [1, 5]: how hard each prompt is, from 1 (any model) to 5 (the best may fail); NaN where the
        router has no such judgement.
    prompt_tokens
        `(n,) float64`, what a middling model writes for each prompt, the median in tokens; None where the router does
        not tell that from what it says of arms.
    similarity
        `(n,) float64` in [-1, 1]: the cosine between each prompt and the nearest that was trained on; None where the
        router was trained on none.
    """

    quality: NDArray[np.float64]
    quality_low: NDArray[np.float64]
    quality_high: NDArray[np.float64]
    basis: tuple[Basis, ...]
    rests_on: tuple[Ground, ...]
    output_tokens_p50: NDArray[np.float64]
    output_tokens_p90: NDArray[np.float64]
    ood: NDArray[np.float64]
    level: NDArray[np.float64]
    similarity: NDArray[np.float64] | None = None
    prompt_tokens: NDArray[np.float64] | None = None


class Router(Protocol):
    """Anything that predicts quality and output length."""

    @property
    def version(self) -> str:
        """Name of this version: `shipped-...`, a learned version's folder, or a baseline's name."""
        ...

    @property
    def embedder_id(self) -> str:
        """Id of the embedder whose vectors are expected; empty where embeddings are not used."""
        ...

    @property
    def note(self) -> str | None:
        """What the user should be told about how this router came to be used; None when all is well."""
        ...

    def predict(
        self, embeddings: NDArray[np.float32], surface: NDArray[np.float64], arms: Sequence[ArmInfo]
    ) -> Predictions:
        """Return predictions for `(n, dim)` embeddings and `(n, n_features)` surface features."""
        ...

    def reasons(self, arms: Sequence[ArmInfo]) -> list[str]:
        """Return what each arm's quality rests on, in words."""
        ...
