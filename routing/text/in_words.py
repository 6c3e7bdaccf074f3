"""Numbers in words: how many, how hard, how long, how like what was trained on."""

from __future__ import annotations

from typing import Final

__all__ = ["counted", "distance_in_words", "level_in_words", "percent", "seconds_in_words"]

_LEVELS: Final = ((1.5, "very easy"), (2.5, "easy"), (3.5, "middling"), (4.5, "hard"))
"""Below each: the word for the level that it rounds to."""

_DISTANCES: Final = (
    (0.90, "like its training prompts"),
    (0.97, "less usual than most of its training prompts"),
    (0.999, "unlike most of its training prompts"),
)
"""Below each quantile. They are where the router begins to trust a model's own head less (0.90) and to draw quality
towards one half (0.97), and where the guard stops it (0.999): see `router.learned` and `deciding.decide`."""


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return a number of things as a person writes it.

    Parameters
    ----------
    one, many
        What one of them is called, with what agrees with it, and several; without `many`, with an s.

    Examples
    --------
    >>> counted(1, "arm"), counted(1200, "row"), counted(0, "reply is", "replies are")
    ('1 arm', '1,200 rows', '0 replies are')
    """
    return f"{n:,} {one}" if n == 1 else f"{n:,} {many or one + 's'}"


def level_in_words(level: float) -> str:
    """Return a level of difficulty, in [1, 5], as a person reads it.

    Examples
    --------
    >>> level_in_words(1.78), level_in_words(4.5)
    ('easy, 1.8 of 5', 'very hard, 4.5 of 5')
    """
    word = next((word for below, word in _LEVELS if level < below), "very hard")
    return f"{word}, {level:.1f} of 5"


def distance_in_words(quantile: float) -> str:
    """Return how like a prompt is to what a router was trained on, from the quantile of its distance, in [0, 1].

    Examples
    --------
    >>> distance_in_words(0.42)
    'like its training prompts (distance quantile 0.42)'
    """
    words = next((words for below, words in _DISTANCES if quantile < below), "unlike all of its training prompts")
    return f"{words} (distance quantile {quantile:.2f})"


def percent(chance: float) -> str:
    """Return a chance in whole percent, never as what is certain.

    Examples
    --------
    >>> percent(0.996), percent(0.5), percent(0.001)
    ('>99%', '50%', '<1%')
    """
    return ">99%" if chance > 0.99 else "<1%" if chance < 0.01 else f"{chance:.0%}"


def seconds_in_words(seconds: float | None) -> str:
    """Return how long something takes as a person reads it; "-" where that is not known.

    Examples
    --------
    >>> [seconds_in_words(each) for each in (None, 0.042, 0.38, 3.14, 42.4, 130.0)]
    ['-', '0.04 s', '0.4 s', '3.1 s', '42 s', '2 min 10 s']
    """
    if seconds is None:
        return "-"
    if seconds < 0.1:
        return "<0.01 s" if seconds < 0.005 else f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"
