"""Answers that are handed on to another arm, as data."""

from __future__ import annotations

from scrimp.routing.plans.spends import QUOTE_BYTES

__all__ = ["mark_beside", "quoted"]


def quoted(text: str) -> str:
    """Return as much of a text as may be handed on: `QUOTE_BYTES` of it in UTF-8, at a whole character.

    Examples
    --------
    >>> quoted("a short answer"), len(quoted("é" * 10_000))
    ('a short answer', 6000)
    """
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= QUOTE_BYTES else raw[:QUOTE_BYTES].decode("utf-8", "ignore")


def mark_beside(*texts: str) -> str:
    """Return a marker that stands in none of these texts, so that none can end its own quotation.

    Examples
    --------
    >>> mark_beside("a", "====== b")
    '======='
    """
    mark = "====="
    while any(mark in text for text in texts):
        mark += "="
    return mark
