"""A tool as a program offers it, where no other interface has its like."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Offered"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as the program offers it, where it is no plain function.

    Attributes
    ----------
    name, namespace
        Its own name, and that of the group that it is in; None where it is in none.
    custom
        Whether it is called with a text and not with JSON.
    """

    name: str
    namespace: str | None = None
    custom: bool = False
