"""What a reply says of texts that it knows by letters: which one, or how good each is."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from .quoting import without_thoughts

__all__ = ["LETTERS", "read_letter", "read_scores"]

LETTERS: Final = "ABCDEFGHIJKL"
"""As many as a plan has calls."""

_READ: Final = 20_000
_SCORE: Final = re.compile(
    r"\b([A-L])\b[\"'*)\]\s]{0,6}(?:[:=\-\u2013|]|is|gets)?[\"'*\s]{0,6}(\d{1,3}(?:\.\d{1,6})?)\b"
)
_NAMED: Final = re.compile(
    r"(?i:\b(?:worst|drop|weakest|answer|choice)\b[\s\"'*:=(]{0,6}(?:is|to drop is)?[\s\"'*:=(]{0,6}(?:answer\s{1,3})?)"
    r"([A-L])\b"
)


def read_letter(reply: str, n: int) -> int | None:
    """Return which of n texts a reply names, by its number from 0; None where it names none, or several.

    Examples
    --------
    >>> [read_letter(said, 3) for said in ("B", "**Worst: C**", "Drop answer A.", "A or B", "D", "none")]
    [1, 2, 0, None, None, None]
    """
    text = without_thoughts(reply)[:_READ]
    letters = LETTERS[:n]
    alone = re.sub(r"[\W_]+", "", text)
    if len(alone) == 1:
        return letters.find(alone.upper()) if alone.upper() in letters else None
    named = {each.upper() for each in _NAMED.findall(text)}
    if len(named) != 1:
        named = set(re.findall(rf"\b[{letters}]\b", text))
    (only,) = named if len(named) == 1 else ("",)
    return letters.index(only) if only and only in letters else None


def read_scores(reply: str, n: int) -> dict[int, float]:
    r"""Return what a reply gives each of n texts, by its number from 0, in [0, 10]; what cannot be read is left out.

    Examples
    --------
    >>> read_scores('{"A": 7, "B": 2.5}', 2), read_scores("A: 8/10\nB - 11", 2), read_scores("all are fine", 2)
    ({0: 7.0, 1: 2.5}, {0: 8.0}, {})
    """
    text = without_thoughts(reply)[:_READ]
    found: dict[int, float] = {}
    for letter, said in [*_SCORE.findall(text), *_in_json(text)]:
        at, score = LETTERS[:n].find(letter), float(said)
        if at >= 0 and 0.0 <= score <= 10.0:
            found[at] = score
    return found


def _in_json(text: str) -> list[tuple[str, float]]:
    for block in re.findall(r"\{[^{}]*\}", text):
        try:
            data: Any = json.loads(block)
        except (ValueError, RecursionError):
            continue
        scores = [
            (str(key).strip().upper()[-1:], value)
            for key, value in data.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        if scores:
            return [(key, float(value)) for key, value in scores]
    return []
