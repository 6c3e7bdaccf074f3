"""What it is taken to be worth that an arm is told the text for a prompt's kind, where several arms are one model."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["WORTH", "fitting", "with_text"]

WORTH: Final = 0.1
"""The most of its quality that an arm loses where it is told another text than the one that fits, or none: a guess.

Less would hardly count: two points that nobody has measured are not paid for, and a text costs.
"""

_SHARPNESS: Final = 20.0
_NONE: Final = 0.35
"""Sharpness and the score at which a text is as likely to fit as none: see docs/decisions/0028-pool.md."""


def fitting(scores: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Return how likely each text is the one that fits a prompt, and how likely none does; together 1.

    P(k) = exp(20 s_k) / (exp(20 x 0.35) + sum over all j of exp(20 s_j)).

    Parameters
    ----------
    scores
        How near each text is to the prompt, 0 to 1 (`retrieval.ranking`).

    Examples
    --------
    >>> each, none = fitting({"tax": 0.6, "soup": 0.3})
    >>> round(each["tax"], 3), round(each["soup"], 3), round(none, 3)
    (0.991, 0.002, 0.007)
    """
    weights = {name: exp(_SHARPNESS * (score - _NONE)) for name, score in scores.items()}
    whole = 1.0 + sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}, 1.0 / whole


def with_text(names: Iterable[str], scores: Mapping[str, float], told: Iterable[str]) -> dict[str, float]:
    """Return by what each arm's quality is multiplied: 1 - WORTH (1 - P), P that it is told the text that fits.

    Parameters
    ----------
    names
        All arms that are weighed.
    told
        Those that are told a text of a pool; the others fit where no text does.
    """
    fits, none = fitting(scores)
    those = set(told)
    return {name: 1.0 - WORTH * (1.0 - (fits.get(name, 0.0) if name in those else none)) for name in names}
