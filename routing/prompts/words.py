"""The words of what a prompt asks, hashed, and what the shipped lexicon says they add to its level of difficulty."""

from __future__ import annotations

import math
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ConfigError

from .asked import SEGMENT, asked_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BUCKETS", "LEXICON", "shipped_lexicon", "word_ids", "word_level"]

BUCKETS: Final = 8192
"""Words are told apart by a hash of this many values."""

LEXICON: Final = Path(__file__).parents[1] / "weights" / "words.npy"
"""`(BUCKETS,) float16`, levels: fitted by `bench/train_shipped.py` together with the router's view of the embedding."""

_TOKEN: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_LONGEST_NUMBER: Final = 6


def _tokens(text: str) -> list[str]:
    """Return words, marks, and numbers by their count of digits alone."""
    return ["#" * min(len(each), _LONGEST_NUMBER) if each.isdigit() else each for each in _TOKEN.findall(text)]


def word_ids(text: str) -> list[int]:
    """Return the distinct hashes, below `BUCKETS` and rising, of the words a text asks with, and sentences' heads.

    Examples
    --------
    >>> word_ids("What is 7 x 8?") == word_ids("what is 5 x 3?")
    True
    """
    part = asked_part(text).lower()
    found = set(_tokens(part))
    for sentence in SEGMENT.split(part):
        if first := _tokens(sentence)[:2]:
            found |= {"^" + first[0], "^" + " ".join(first)}
    return sorted({zlib.crc32(each.encode("utf-8", "replace")) % BUCKETS for each in found})


@lru_cache(maxsize=1)
def shipped_lexicon() -> NDArray[np.float16]:
    """Return the lexicon that comes with scrimp.

    Raises
    ------
    ConfigError
        If it is damaged or missing.
    """
    import numpy as np

    try:
        weights: NDArray[np.float16] = np.load(LEXICON, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        weights = np.zeros(0, np.float16)
    if weights.shape != (BUCKETS,) or not np.isfinite(weights).all():
        raise ConfigError(
            f"the router's lexicon is damaged or cannot be read: {LEXICON}",
            hint="install scrimp again: pip install --force-reinstall scrimp",
        )
    return weights


def word_level(text: str) -> float:
    """Return what the words of a text add to its level, in levels; 0 for a text without words."""
    ids = word_ids(text)
    return float(shipped_lexicon()[ids].sum(dtype="f8")) / math.sqrt(len(ids)) if ids else 0.0
