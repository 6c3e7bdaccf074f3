"""Answers that are handed on to another arm, as data."""

from __future__ import annotations

from scrimp.routing.plans.spends import QUOTE_BYTES

__all__ = ["quoted"]


def quoted(text: str) -> str:
    """Return as much of a text as may be handed on: `QUOTE_BYTES` of it in UTF-8, at a whole character.

    Examples
    --------
    >>> quoted("a short answer"), len(quoted("é" * 10_000))
    ('a short answer', 6000)
    """
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= QUOTE_BYTES else raw[:QUOTE_BYTES].decode("utf-8", "ignore")
