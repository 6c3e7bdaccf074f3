"""How much nearer an arm that says what it is for is to a prompt, in the logit of its predicted quality."""

from __future__ import annotations

from math import tanh
from typing import Final

__all__ = ["BOUND", "nearness_shift"]

BOUND: Final = 0.5
"""The most that nearness moves a logit, up or down: a guess until outcomes say more, so it never outweighs much."""

_EVEN: Final = 0.3
"""A similarity at which instructions neither help nor harm: bench/pool.py's own intents lie above, strangers below."""

_SLOPE: Final = 4.0


def nearness_shift(similarity: float) -> float:
    """Return the shift of a logit for a similarity (0 to 1) of prompt and arm: B tanh(4 (similarity - 0.3) / B).

    B is `BOUND`: the shift is never more, and always tells two arms apart.

    Examples
    --------
    >>> round(nearness_shift(0.3), 3), round(nearness_shift(0.45), 3), round(nearness_shift(0.0), 3)
    (0.0, 0.417, -0.492)
    """
    return BOUND * tanh(_SLOPE * (similarity - _EVEN) / BOUND)
