"""Errors in a spelled plan, which point at what is wrong like a compiler."""

from __future__ import annotations

import unicodedata
from typing import Final

from scrimp.profiles.errors import UsageError

__all__ = ["PlanError"]

_SHOWN: Final = 100
"""Characters of a plan that are shown around what is wrong with it."""


class PlanError(UsageError):
    """A text is no plan.

    Attributes
    ----------
    text
        The plan.
    column, length
        Where what is wrong stands, from 1, and how many characters of it there are.
    reason, expected
        What is wrong there, and what could stand there.
    """

    def __init__(
        self, text: str, at: int, length: int, reason: str, expected: str, *, where: str, hint: str | None = None
    ) -> None:
        self.text = text
        self.column = at + 1
        self.length = max(1, length)
        self.reason = reason
        self.expected = expected
        super().__init__(
            f"{where}: column {self.column}: {reason}: expected {expected}\n{_pointed(text, at, self.length)}",
            hint=hint,
        )


def _pointed(text: str, at: int, length: int) -> str:
    """Return the part of a text where something is wrong, and below it a line that points there."""
    begin = max(0, at - _SHOWN // 2)
    shown = "".join(each if each.isprintable() else " " for each in text[begin : begin + _SHOWN])
    before = "... " if begin else ""
    gap = len(before) + sum(_width(each) for each in shown[: at - begin])
    wide = sum(_width(each) for each in shown[at - begin : at - begin + length])
    after = " ..." if len(text) > begin + _SHOWN else ""
    return f"  {before}{shown}{after}\n  {' ' * gap}^{'~' * (wide - 1)}"


def _width(char: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
