"""The kinds of stages, by `Stage.how`: a new kind is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .answers import best, one, voting
from .bid import bidding
from .desk import Came, Desk, Turn
from .knockout import knocking_out
from .lead import leading
from .merge import merging
from .protocol import Test, Wanted
from .split import splitting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.plans.plan import How, Stage

__all__ = ["KINDS", "Kind", "without_tools"]

Kind = Callable[[Desk, Turn], Generator[Wanted | Test, Any, Came]]
"""A kind of stage: it asks for what it wants, and returns the answer that is the stage's."""

KINDS: Final[Mapping[How, Kind]] = {
    "one": one,
    "vote": voting,
    "best": best,
    "merge": merging,
    "lead": leading,
    "bid": bidding,
    "knockout": knocking_out,
    "split": splitting,
}


def without_tools(desk: Desk, stage: Stage) -> Stage:
    """Return the stage as it is for the request's prompt: where tools may be called, one arm is asked in its place.

    Calls of tools cannot be merged, led or bid for: whoever makes them has to be told what they gave. The arm is the
    one that would have written the answer; where that is open, the one of best predicted quality.
    """
    chat = desk.brief.prompt.chat
    if stage.how not in ("merge", "lead", "bid", "knockout") or chat is None or not chat.with_tools:
        return stage
    writer = max(stage.arms, key=lambda arm: (desk.brief.quality(arm), -stage.arms.index(arm)))
    if stage.how in ("merge", "lead"):
        writer = stage.by[-1]
    does = _DOES[stage.how]
    desk.notes.append(f"tools are offered, and a plan does not {does} what calls them: {writer} was asked alone")
    return replace(stage, arms=(writer,), how="one", by=())


_DOES: Final = {"merge": "merge", "lead": "lead", "bid": "bid for", "knockout": "compare"}
