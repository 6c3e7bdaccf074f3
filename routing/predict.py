"""Predictions: how likely each arm is right on a prompt, and how many tokens it will write; from stored weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "SHIPPED",
    "ArmInfo",
    "Basis",
    "Predictions",
    "Router",
    "TierPrior",
    "current_version",
    "load_router",
    "shipped_folder",
]

Basis = Literal["calibrated", "prior", "uncalibrated"]


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
    """

    name: str
    model: str
    tier: Literal["small", "medium", "large"] | None = None
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    reasoning: bool = False
    output_limit: int = 4096


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for n prompts and n_arms arms.

    Attributes
    ----------
    quality, quality_low, quality_high
        `(n, n_arms) float64` in [0, 1]: P(right), and an 80% interval.
    basis
        One an arm: "calibrated" on this very model's outcomes, "prior" from tier and price, or "uncalibrated".
    output_tokens_p50, output_tokens_p90
        `(n, n_arms) float64`, median and 90th percentile of the output's length in tokens.
    ood
        `(n,) float64` in [0, 1]: the quantile, among held-out training prompts, of the prompt's distance to
        what was trained on; 1 is farther than all of them.
    """

    quality: NDArray[np.float64]
    quality_low: NDArray[np.float64]
    quality_high: NDArray[np.float64]
    basis: tuple[Basis, ...]
    output_tokens_p50: NDArray[np.float64]
    output_tokens_p90: NDArray[np.float64]
    ood: NDArray[np.float64]


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


SHIPPED: Final = "shipped"
"""The name of the router that comes with scrimp."""

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

        from .context import FEATURE_NAMES

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
        return Predictions(
            quality=quality,
            quality_low=(quality - 0.3).clip(0.0, 1.0),
            quality_high=(quality + 0.3).clip(0.0, 1.0),
            basis=basis,
            output_tokens_p50=np.minimum(median * thinking, limits),
            output_tokens_p90=np.minimum(3.5 * median * thinking, limits),
            ood=np.zeros(len(surface)),
        )


def shipped_folder() -> Path:
    """Return where the shipped router lies."""
    return Path(__file__).parent / "weights" / "router"


def current_version(routers_dir: Path) -> str | None:
    """Return the name of the promoted version, from the file `current`; None for the shipped."""
    try:
        text = (routers_dir / "current").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    # A damaged file names no folder, and whoever opens that one says so: the shipped router is no silent stand-in.
    name = "".join(c if c.isprintable() else "\ufffd" for c in text[:80])
    return None if name in {"", SHIPPED} else name


def load_router(version: str | None, routers_dir: Path, *, embedder_id: str | None = None) -> Router:
    """Return a router: the named or current learned version, else the shipped one.

    A current version that cannot be used is not fatal: the shipped router stands in, and its `note` says why. A version
    asked for by name is.

    Parameters
    ----------
    version
        A folder of `routers_dir`, "shipped", or None for the current one.
    routers_dir
        Where learned versions lie; it need not exist.
    embedder_id
        The embedder in use; None accepts any.

    Raises
    ------
    DataError
        If the version asked for by name cannot be used.
    """
    from scrimp.profiles.errors import DataError

    from .router_file import read_router

    named = version is not None and version != SHIPPED
    if named and (Path(str(version)).name != version or str(version).startswith(".")):
        raise DataError(f"router version {version!r} refused: that is not the name of a version")
    chosen = version if version is not None else current_version(routers_dir)
    note = None
    if chosen is not None and chosen != SHIPPED:
        try:
            return read_router(routers_dir / Path(chosen).name, embedder_id=embedder_id)
        except DataError as error:
            if named:
                raise
            note = f"{error.message}; the shipped router is used"
    try:
        shipped = read_router(shipped_folder(), embedder_id=embedder_id)
    except DataError as error:
        note = f"{note}; " if note else ""
        return TierPrior(note=f"{note}{error.message}; quality is a guess from tier and price")
    return shipped.with_note(note) if note else shipped
