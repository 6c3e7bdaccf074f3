"""Caps and what they leave, as one table wherever they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd

from .result import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrimp.routing.ledger.caps import CapState

__all__ = ["cap_table"]


def cap_table(states: Iterable[CapState], *, title: str | None = None) -> Table:
    """Return one row a cap: its limit, what is charged to its window, and what is left."""
    return Table(
        (
            Column("cap"),
            Column("limit", "right"),
            Column("spent", "right"),
            Column("reserved", "right", narrow="once"),
            Column("unknown", "right", narrow="once"),
            Column("left", "right"),
            Column("rolls over"),
        ),
        [
            (
                state.cap.scope,
                format_usd(state.cap.limit_nano),
                format_usd(state.settled_nano),
                format_usd(state.reserved_nano),
                format_usd(state.unknown_nano),
                format_usd(state.left_nano),
                state.resets_at or "-",
            )
            for state in states
        ],
        title=title,
    )
