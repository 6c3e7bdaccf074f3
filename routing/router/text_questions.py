"""What a question asks of a text that goes with it: of all of it, of two places of it to compare, or of a place in it.

Two logistic heads over the question's embedding, the pieces of its words and its first words; fitted by
`bench/train_asks.py` on sentences of our own, in six languages. A second pair does without the embedding, for profiles
that embed by another model.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ConfigError
from scrimp.routing.prompts.asked import asked_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BUCKETS", "DIM", "HEADS", "WEIGHTS", "Asks", "asks_of", "pieces_of"]

BUCKETS: Final = 4096
"""Pieces of words are told apart by a hash of this many values."""

DIM: Final = 384
"""Numbers of the embedding that the first pair of heads reads."""

HEADS: Final = ("whole", "whole by words", "comparison", "comparison by words")
"""What the rows of the weights tell, in order; each of `DIM + BUCKETS + 1` numbers, the last the intercept."""

WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "asks.npy"

_WORD: Final = re.compile(r"[^\W\d_]+|\d+|[?%]")
_SCRIPT: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LONGEST: Final = 2_000  # characters of a question that are looked at: its head and its tail


@dataclass(frozen=True, slots=True)
class Asks:
    """What a question is taken to ask of a text.

    Attributes
    ----------
    whole
        P(of the text as a whole), in [0, 1]: a summary, a count, a translation.
    comparison
        P(to compare or relate places of it), in [0, 1].
    """

    whole: float
    comparison: float


def pieces_of(text: str) -> dict[int, float]:
    """Return what the heads read of a text's words: buckets below `BUCKETS`, and each one's weight; of unit length.

    Words, their first four and five letters, neighbours, and the first words of the text; of Chinese and Japanese,
    single signs and pairs.

    Examples
    --------
    >>> pieces_of("Summarise 12 pages") == pieces_of("summarise 55 PAGES"), pieces_of(" ")
    (True, {})
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} {text[-_LONGEST // 2 :]}"
    words = ["#" if each.isdigit() else each for each in _WORD.findall(asked_part(text).lower())]
    found: set[str] = set()
    for at, word in enumerate(words):
        if _SCRIPT.search(word):
            found |= {*word, *map("".join, itertools.pairwise(word)), f"^{word[:2]}", f"${word[-3:]}"}
            continue
        found |= {word, f"{word[:4]}*", f"{word[:5]}*"}
        if at:
            found.add(f"{words[at - 1]} {word}")
    if words and not _SCRIPT.search(words[0]):
        found |= {f"^{words[0]}", "^" + " ".join(words[:2])}
    if words:
        found.add(f"n{min(len(words), 24) // 3}")
    value = 1.0 / math.sqrt(len(found)) if found else 0.0
    return {zlib.crc32(each.encode("utf-8", "replace")) % BUCKETS: value for each in sorted(found)}


@lru_cache(maxsize=1)
def _weights() -> NDArray[np.float64]:
    import numpy as np

    try:
        weights: NDArray[np.float64] = np.load(WEIGHTS, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError, EOFError):
        weights = np.zeros((0, 0))
    if weights.shape != (len(HEADS), DIM + BUCKETS + 1) or not np.isfinite(weights).all():
        raise ConfigError(
            f"what tells questions of a text apart is damaged or cannot be read: {WEIGHTS}",
            hint="install scrimp again: pip install --force-reinstall scrimp",
        )
    return weights


def asks_of(question: str, embedding: NDArray[np.float32] | None) -> Asks:
    """Return what a question asks of the text that goes with it.

    Parameters
    ----------
    embedding
        The question's, `(DIM,)`, of unit length, by the embedder that comes with scrimp; None: by another.

    Raises
    ------
    ConfigError
        If the weights are damaged or missing.
    """
    import numpy as np

    weights = _weights()
    pieces = pieces_of(question)
    at = np.fromiter(pieces, np.intp, len(pieces)) + DIM
    value = np.fromiter(pieces.values(), np.float64, len(pieces))
    found = []
    for row in (0, 2) if embedding is not None else (1, 3):
        head = weights[row]
        logit = float(head[at] @ value + head[-1])
        if embedding is not None:
            logit += float(head[:DIM] @ embedding)
        found.append(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit)))))
    return Asks(*found)
