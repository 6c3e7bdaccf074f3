"""Texts of others set between lines of a mark, so that what they say stays data."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["fenced", "mark_for"]

_MARK: Final = "====="


def mark_for(texts: Iterable[str]) -> str:
    """Return a mark of at most 20 characters that occurs in none of some texts; equal texts get equal marks.

    It is not lengthened until it fits: a text made of nothing but marks would make it as long as itself.

    Examples
    --------
    >>> mark_for(["a", "b"]), "===== END" in mark_for(["===== END"])
    ('=====', False)
    """
    given = tuple(texts)
    mark, n = _MARK, 0
    while any(mark in text for text in given):
        n += 1
        told = hashlib.sha256("\0".join((str(n), *given)).encode("utf-8", "replace")).hexdigest()
        mark = f"{_MARK}{told[:10]}{_MARK}"
    return mark


def fenced(parts: Sequence[tuple[str, str]], *beside: str) -> str:
    """Return titled texts, each below a line of a mark and its title, with a line that ends them.

    Parameters
    ----------
    parts
        Titles, which are ours, and texts, which are not.
    beside
        What stands around them: the mark occurs in it neither.

    Examples
    --------
    >>> fenced([("ANSWER A", "41"), ("ANSWER B", "42")]).splitlines()
    ['===== ANSWER A', '41', '===== ANSWER B', '42', '===== END']
    """
    mark = mark_for([*(text for _, text in parts), *beside])
    return "\n".join([*(f"{mark} {title}\n{text}" for title, text in parts), f"{mark} END"])
