"""Names of what an arm is asked as: a ladder's rung (`NAME:EFFORT`), and how much it reads (`NAME/READING`)."""

from __future__ import annotations

from typing import Final

__all__ = ["READINGS", "READ_TOKENS", "SPLIT", "bare_of", "base_of", "reading_of", "with_reading"]

READINGS: Final = ("whole", "passages", "none")
"""How much of the files that go with a prompt one call reads, most first."""

READ_TOKENS: Final = 3_200
"""Tokens of passages that are sent unless the user says otherwise: eight pieces of 400."""

SPLIT: Final = "split"
"""The reading of everything, piece by piece: as many calls as there are pieces, in plans alone."""


def base_of(arm: str) -> str:
    """Return the name of the `[[arms]]` that an arm comes of.

    Examples
    --------
    >>> base_of("sonnet:low"), base_of("small"), base_of("sonnet:low/passages")
    ('sonnet', 'small', 'sonnet')
    """
    return bare_of(arm).partition(":")[0]


def bare_of(arm: str) -> str:
    """Return an arm's name without its reading: what caps, keys, prices and suspensions know it by.

    Examples
    --------
    >>> bare_of("sonnet:low/passages"), bare_of("small")
    ('sonnet:low', 'small')
    """
    return arm.partition("/")[0]


def reading_of(arm: str) -> str | None:
    """Return the reading that an arm's name carries, or None.

    Examples
    --------
    >>> reading_of("small/whole"), reading_of("small")
    ('whole', None)
    """
    return arm.partition("/")[2] or None


def with_reading(arm: str, reading: str | None) -> str:
    """Return an arm's name at another reading; None: at none.

    Examples
    --------
    >>> with_reading("small/whole", "passages"), with_reading("small/whole", None)
    ('small/passages', 'small')
    """
    return bare_of(arm) if reading is None else f"{bare_of(arm)}/{reading}"
