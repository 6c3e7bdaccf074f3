"""Names of a ladder's rungs: an arm at one of several efforts."""

from __future__ import annotations

__all__ = ["base_of"]


def base_of(arm: str) -> str:
    """Return the name of the `[[arms]]` that an arm comes of.

    Examples
    --------
    >>> base_of("sonnet:low"), base_of("small")
    ('sonnet', 'small')
    """
    return arm.partition(":")[0]
