"""The Pareto front of a decision for people: a table, and what it says beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import format_usd
from scrimp.routing.text.in_words import percent, seconds_in_words

from .result import Column, Note, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.deciding.front import Placed
    from scrimp.routing.deciding.trace import Decision

    from .result import Block

__all__ = ["front_blocks", "front_data", "taken_of"]


def front_data(decision: Decision, placed: Sequence[Placed]) -> dict[str, Any]:
    """Return what `route --front --json` prints."""
    return {
        "schema_version": 1,
        "id": decision.id,
        "profile": decision.profile,
        "arm": decision.arm,
        "taken": taken_of(decision),
        "axes": ["quality", "cost_usd", "seconds"],
        "points": [each.to_dict() for each in placed],
    }


def front_blocks(decision: Decision, placed: Sequence[Placed]) -> tuple[Block, ...]:
    """Return the front as a table, and what is said below it."""
    taken = taken_of(decision)
    timed = any(each.point.seconds is not None for each in placed)
    columns = [Column("  way"), Column("quality", "right"), Column("cost", "right")]
    columns += [Column("1st word", "right"), Column("all", "right")] if timed else []
    rows = []
    for each in placed:
        point = each.point
        row = [("> " if point.name == taken else "  ") + point.name, percent(point.quality)]
        row.append(format_usd(point.cost_nano))
        row += [seconds_in_words(point.first_s), seconds_in_words(point.seconds)] if timed else []
        rows.append((*row, _where(each)))
    notes = [_sense(timed=timed)]
    unknown = [each.point.name for each in placed if each.point.seconds is None]
    if timed and unknown:
        notes.append(
            f"no time is known of {', '.join(unknown)}: compared by quality and cost alone, and set before nothing "
            "whose time is known"
        )
    return (Table((*columns, Column("front", narrow="below")), rows), *map(Note, notes))


def taken_of(decision: Decision) -> str | None:
    """Return the name of what was taken, as the front has it: an arm or a plan; None where no arm could be."""
    plan = decision.plan
    return decision.arm if plan is None else plan.get("name") or plan["text"]


def _where(placed: Placed) -> str:
    if placed.on_front:
        return ", ".join(placed.roles) or "in between"
    first, *more = placed.dominated_by
    return f"dominated by {first}" + (f" and {len(more)} more" if more else "")


def _sense(*, timed: bool) -> str:
    if timed:
        return "the front: what no other way beats in quality, cost and time at once"
    return "the front: what no other way beats in quality and cost at once; no time is known (docs/time.md)"
