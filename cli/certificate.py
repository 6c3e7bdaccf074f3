"""What a cheaper arm may be said to lose, in all and by kind of prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .result import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .result import Block

__all__ = ["certificate_blocks"]


def certificate_blocks(found: Mapping[str, Any]) -> tuple[Block, ...]:
    """Return a certificate as `refit --json` has it, in words, with a table of kinds where there are any."""
    line = f"certificate: {found.get('text')}"
    kinds = found.get("by_kind") or {}
    if not kinds:
        return (line,)
    table = Table(
        (
            Column("kind of prompt"), Column("sent cheaper", "right"), Column("both known", "right"),
            Column("lost", "right"), Column("at most", "right"), Column("", drop=1),
        ),
        [
            (
                kind, f"{each['n_sent']:,}", f"{each['n']:,}", f"{each['n_wrong']:,}",
                "not enough data" if each["at_most"] is None else f"{each['at_most']:.1%}",
                "" if each["at_most"] is None else f"at {100 * each['confidence']:.3g}%, so that all hold at 95%",
            )
            for kind, each in kinds.items()
        ],
        title="certified by kind",
    )  # fmt: skip
    return (line, table)
