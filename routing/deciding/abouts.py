"""What a profile's arms say they are for, beside a prompt: which is nearest, and where that tells arms apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.retrieval.texts import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.profiles.schema import Arm
    from scrimp.routing.prompts.context import TextEmbedder

__all__ = ["Abouts"]

_NEAR: Final = 0.15
"""A cosine up to which a text and a prompt have nothing in common. Chosen."""


class Abouts:
    """The `about` of arms, embedded when the first prompt is rated.

    Parameters
    ----------
    arms
        A profile's; those without `about` are passed over, and a ladder counts as one.
    embedder
        That of the prompts, or one with a memory.
    """

    def __init__(self, arms: Sequence[Arm], embedder: TextEmbedder) -> None:
        self._texts = {arm.name: arm.about for arm in arms if arm.about is not None}
        self._distinct = list(dict.fromkeys(self._texts.values()))
        self._embedder = embedder
        self._vectors: NDArray[np.float32] | None = None
        bases: dict[str, set[str]] = {}
        for arm in arms:
            bases.setdefault(arm.model, set()).add(arm.base)
        self.tells_apart = frozenset(arm.name for arm in arms if arm.about is not None and len(bases[arm.model]) > 1)
        """Arms that share a model with another one: it is what they are for that tells them apart."""
        models = {arm.model for arm in arms if arm.name in self.tells_apart}
        self.beside = frozenset(arm.name for arm in arms if arm.about is None and arm.model in models)
        """Those of the same models that say nothing: they are for all else."""

    def __bool__(self) -> bool:
        """Whether any arm says what it is for."""
        return bool(self._texts)

    def near(self, embedding: NDArray[np.float32]) -> dict[str, Found]:
        """Return how near each is to a prompt's `(dim,)` unit vector, the cosine, at least 0.

        The nearest says so, if it is nearer than what has nothing in common.
        """
        if self._vectors is None:
            self._vectors = self._embedder.embed(self._distinct)
        # Each text once: two equal rows of a product need not be equal to the last bit.
        products = (self._vectors @ embedding).tolist()
        scores = {text: max(0.0, score) for text, score in zip(self._distinct, products, strict=True)}
        best = max(*scores.values(), _NEAR)
        return {
            name: Found(name, scores[text], ("about",) if scores[text] == best else ())
            for name, text in self._texts.items()
        }
