"""P(right) of an arm that reads a whole text, passages of it, or nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.prompts.sources import Evidence

    from .arms import ArmInfo

__all__ = ["as_read"]


def as_read(rights: Sequence[float], reading: str, evidence: Evidence, arm: ArmInfo) -> list[float]:
    """Return an arm's predicted quality, and its interval's ends, at a reading.

    Parameters
    ----------
    rights
        Quality, low and high, each in [0, 1], for the question as if it were asked by itself.
    """
    del arm
    if reading == "whole":
        return list(rights)
    share = evidence.wants_whole if reading == "passages" else 1.0
    return [right * (1.0 - 0.9 * share) for right in rights]
