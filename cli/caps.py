"""Caps and what they leave, as one table wherever they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd
from scrimp.routing.text.moments import local_time, with_zone

from .result import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.ledger.caps import CapState

__all__ = ["cap_table"]


def cap_table(states: Sequence[CapState], *, title: str | None = None) -> Table:
    """Return one row a cap: its limit, what is charged to its window, and what is left."""
    return Table(
        (
            Column("cap"),
            Column("limit", "right"),
            Column("spent", "right"),
            Column("reserved", "right", narrow="once"),
            Column("unknown", "right", narrow="once"),
            Column("left", "right"),
            Column(with_zone("rolls over", (state.resets_at for state in states))),
        ),
        [
            (
                state.cap.scope,
                format_usd(state.cap.limit_nano),
                format_usd(state.settled_nano),
                format_usd(state.reserved_nano),
                format_usd(state.unknown_nano),
                format_usd(state.left_nano),
                local_time(state.resets_at),
            )
            for state in states
        ],
        title=title,
    )
