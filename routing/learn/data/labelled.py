"""What a log knows of how good answers were: prompts by arms, with each label's source and each cell's chance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["JUDGES", "RETOLD", "SOURCES", "WEAK", "Labelled", "contradictions", "empty", "of_scores"]

SOURCES: Final[dict[str, float]] = {
    "audit": 1.0,
    "check": 1.0,
    "schema": 1.0,
    "import": 1.0,
    "probe": 1.0,
    "rating": 0.5,
    "redo": 0.5,
    "asked-again": 0.25,
    "agreement": 0.25,
}
"""Every source of labels, and how much one counts in a fit beside an outcome that was there for the asking."""

RETOLD: Final = 0.25
"""How much an outcome counts in a fit that an arm had at other instructions than it has now."""

WEAK: Final = frozenset({"redo", "asked-again"})
"""Sources that nobody gave as a label: what a user did says little, and nothing beside a label of that answer."""

JUDGES: Final = frozenset({"audit", "check", "schema", "import", "probe"})
"""Sources that may judge a router. Ratings and redos are given when people feel like it; agreement is not quality."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """n prompts, m arms; what is not known is NaN.

    Attributes
    ----------
    ids
        The request (the first, where a prompt was asked again).
    position
        `(n,) int64`: rising with the order of the log, whatever the clock said.
    embeddings, surface
        `(n, dim) float32` and `(n, n_features) float64`.
    reward, weight
        `(n, m)` observed quality in [0, 1] from all sources, and how much it counts in a fit.
    judged
        `(n, m)` observed quality from sources that may judge (`JUDGES`).
    chance
        `(n, m)` the chance that `judged` was observed: 1 where an outcome was there for the asking, the logged
        propensity where the arm was drawn, 0 where neither is known.
    first_label, last_label
        `(n,) int64` ids of the first and last label that may judge; 0 where there is none.
    chosen, propensity
        `(n,)` position of the arm that answered, -1 where it is not in the pool; NaN where it was not drawn.
    input_tokens
        `(n,)`.
    output_tokens, cost_usd
        `(n, m)` as observed.
    feasible
        `(n, m) bool`: whether the arm could take the prompt.
    text_key
        `(n,)` equal for equal prompts.
    retold
        `(n, m) bool`: which of `reward` and `output_tokens` an arm had at other instructions than it has now: they say
        where it starts, count less, and never judge. None: none of them.
    asked_at
        `(n,)` when each was asked by the clock of the day, in seconds; None where that is not known. Only compared.
    """

    arms: tuple[str, ...]
    ids: tuple[str, ...]
    position: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    surface: Floats
    reward: Floats
    weight: Floats
    judged: Floats
    chance: Floats
    first_label: NDArray[np.int64]
    last_label: NDArray[np.int64]
    chosen: NDArray[np.intp]
    propensity: Floats
    input_tokens: Floats
    output_tokens: Floats
    cost_usd: Floats
    feasible: NDArray[np.bool_]
    text_key: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    asked_at: Floats | None = None
    retold: NDArray[np.bool_] | None = None

    @property
    def own(self) -> NDArray[np.bool_]:
        """`(n, m)`: which outcomes are of the arms as they are told now."""
        known = ~np.isnan(self.reward)
        return known if self.retold is None else known & ~self.retold

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.ids)

    @property
    def may_judge(self) -> NDArray[np.bool_]:
        """`(n,)`: which prompts have an outcome that may judge."""
        return np.asarray((~np.isnan(self.judged)).any(axis=1), dtype=bool)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Labelled:
        """Return some prompts, in the order given (indices or a mask)."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.intp)
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "ids":
                value = tuple(value[i] for i in index.tolist())
            elif isinstance(value, np.ndarray):
                value = value[index]
            values[field.name] = value
        return Labelled(**values)


def empty(arms: Sequence[str], dim: int, n_features: int, notes: tuple[str, ...] = ()) -> Labelled:
    """Return a log without prompts."""
    m = len(arms)
    none, counts = np.zeros((0, m)), np.zeros(0, np.int64)
    return Labelled(
        arms=tuple(arms), ids=(), position=counts, embeddings=np.zeros((0, dim), np.float32),
        surface=np.zeros((0, n_features)), reward=none, weight=none, judged=none, chance=none, first_label=counts,
        last_label=counts, chosen=counts.astype(np.intp), propensity=np.zeros(0), input_tokens=np.zeros(0),
        output_tokens=none, cost_usd=none, feasible=none.astype(bool), text_key=counts, notes=notes,
    )  # fmt: skip


def of_scores(
    arms: Sequence[str],
    score: Floats,
    embeddings: NDArray[np.float32],
    surface: Floats,
    *,
    output_tokens: Floats | None = None,
) -> Labelled:
    """Return outcomes that were there for the asking, in order: each may judge, and none was drawn.

    Parameters
    ----------
    score, output_tokens
        `(n, m)`; NaN where an arm was not tried, or its tokens not counted.
    """
    n, m = score.shape
    there = np.where(np.isnan(score), 0.0, 1.0)
    unknown = np.full((n, m), np.nan)
    number = np.arange(n)
    return Labelled(
        arms=tuple(arms), ids=tuple(f"r{i}" for i in range(n)), position=number, embeddings=embeddings, surface=surface,
        reward=score, weight=there, judged=score, chance=there, first_label=number + 1, last_label=number + 1,
        chosen=np.full(n, -1), propensity=np.full(n, np.nan), input_tokens=np.full(n, np.nan),
        output_tokens=unknown if output_tokens is None else output_tokens, cost_usd=unknown,
        feasible=np.ones((n, m), bool), text_key=number,
    )  # fmt: skip


def contradictions(log: Labelled) -> tuple[int, int]:
    """Return how many prompts that were asked more than once got opposite outcomes from one arm, and how many could."""
    opposed = repeated = 0
    _, group, counts = np.unique(log.text_key, return_inverse=True, return_counts=True)
    for key in np.flatnonzero(counts > 1):
        part = log.reward[group == key]
        known = (~np.isnan(part)).sum(axis=0) > 1
        if known.any():
            repeated += 1
            spread = np.nanmax(part[:, known], axis=0) - np.nanmin(part[:, known], axis=0)
            opposed += bool((spread > 0.5).any())
    return opposed, repeated
