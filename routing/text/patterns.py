"""Regular expressions that users write, searched for without hanging: a pattern can backtrack practically for ever."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["QUICK_CHARS", "searched_quickly", "searched_within"]

QUICK_CHARS: Final = 10_000
"""In a text of so many characters a pattern that is searched for quickly is found at once."""


def searched_quickly(pattern: str) -> bool:
    r"""Return whether searching a short text for a pattern cannot take long.

    So it is with at most one repetition, which is not of a group, and few alternatives: each of those can double the
    ways in which the rest is tried.

    Examples
    --------
    >>> [searched_quickly(each) for each in (r"^\d{3}-[a-d]$", "^(yes|no)", "(a|a)*b", "(a+)+$", "a?" * 30 + "a" * 30)]
    [True, True, False, False, False]
    """
    source = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern).replace("(?:", "(")
    many = re.findall(r"[*+]|\{\d*,?\d*\}", source)
    return (
        len(many) <= 1
        and len(re.findall(r"[?|]", source)) <= 8
        and re.search(r"\)(?:[*+]|\{\d*,?\d*\})", source) is None
        and "(?P=" not in source
    )


def searched_within(pattern: str, texts: Iterable[str], *, timeout_s: float) -> bool | None:
    """Return whether a pattern is found in any of some texts; None where that takes too long to tell.

    A simple pattern in a short text is searched for as it is; else by an engine that can be stopped, in this process.

    Parameters
    ----------
    timeout_s
        For all texts together, seconds.

    Raises
    ------
    re.error
        If the pattern is no regular expression, to either engine.
    """
    many = tuple(texts)
    if searched_quickly(pattern) and all(len(text) <= QUICK_CHARS for text in many):
        quick = re.compile(pattern, re.MULTILINE)
        return any(quick.search(text) is not None for text in many)
    import time

    import regex

    try:
        found = regex.compile(pattern, regex.MULTILINE)
    except regex.error as error:
        raise re.error(str(error)) from None
    ends = time.monotonic() + timeout_s
    try:
        return any(
            found.search(text, timeout=max(0.001, ends - time.monotonic()), concurrent=True) is not None
            for text in many
        )
    except TimeoutError:
        return None
