"""The context of a prompt: what the router sees of it, an embedding and a few cheap surface features."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
from .surface import surface_features

_BLANKS: Final = re.compile(r"[ \t\r\n]{5,}")

__all__ = ["Context", "TextEmbedder", "approx_tokens", "contexts", "stack"]


class TextEmbedder(Protocol):
    """What the router needs of an embedder; `scrimp.routing.prompts.embedding.Embedder` is one."""

    @property
    def id(self) -> str:
        """Name model, weights and truncation: vectors of different ids are not comparable."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return `(n_texts, dim) float32`, rows of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of one prompt before any model has seen it.

    Attributes
    ----------
    embedding
        `(dim,) float32`, unit length.
    surface
        `(n_features,) float64`, in the order of `FEATURE_NAMES`.
    """

    embedding: NDArray[np.float32]
    surface: NDArray[np.float64]


def approx_tokens(text: str) -> int:
    """Estimate a prompt's tokens from its length: four ASCII characters a token, one token for any other character.

    A run of blanks is one token at most: tokenisers have tokens for those, and tables are set with them (of quarterly
    reports, by length alone, 43% more would be counted than gpt-4o reads). Blanks that do not break are blanks.

    Examples
    --------
    >>> approx_tokens("twelve chars"), approx_tokens("日本語"), approx_tokens(""), approx_tokens("a" + " " * 99 + "b")
    (3, 3, 0, 2)
    """
    text = _BLANKS.sub("    ", text.replace("\xa0", " "))
    if text.isascii():
        return -(-len(text) // 4)
    n_ascii = len(text.encode("ascii", "ignore"))
    return -(-n_ascii // 4) + len(text) - n_ascii


def contexts(texts: Sequence[str], embedder: TextEmbedder) -> list[Context]:
    """Return the context of each prompt, embedding them in one go."""
    if not texts:
        return []
    return [
        Context(embedding, surface_features(text)) for text, embedding in zip(texts, embedder.embed(texts), strict=True)
    ]


def stack(items: Sequence[Context]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return `(n, dim) float32` embeddings and `(n, n_features) float64` surface features of one or more contexts."""
    import numpy as np

    return np.stack([item.embedding for item in items]), np.stack([item.surface for item in items])
