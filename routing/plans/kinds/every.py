"""The kinds of stages by name: a further one is a module of its own and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .agreement import Joins, Together
from .best import Best
from .bid import Bid
from .knockout import Knockout
from .lead import Lead
from .merge import Merge
from .single import Single
from .split import Split
from .vote import Vote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .kind import Kind

__all__ = ["KINDS", "UNPROVEN"]

KINDS: Final[Mapping[str, Kind]] = {
    "one": Single(),
    "together": Together(),
    "joins": Joins(),
    "vote": Vote(),
    "best": Best(),
    "merge": Merge(),
    "lead": Lead(),
    "bid": Bid(),
    "knockout": Knockout(),
    "split": Split(),
}

UNPROVEN: Final = frozenset({"lead", "bid", "knockout", "split"})
"""Kinds that are only offered where labels have shown that they pay."""
