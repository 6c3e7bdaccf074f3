"""An ability in words: the models of the table that stand where it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scrimp.routing.router.abilities import AbilityTable

__all__ = ["alike", "likeness"]

_BEYOND: Final = 0.3  # logits past the table's ends within which an ability still is like the model at the end


def alike(table: AbilityTable, ability: float, *, n: int = 2) -> tuple[str, ...]:
    """Return the names of the models nearest to an ability in logits, best first; those that are known well go first.

    Empty where it lies beyond all of them.
    """
    known = list(table.items())
    if not known or not known[-1][1].ability - _BEYOND <= ability <= known[0][1].ability + _BEYOND:
        return ()
    near = sorted(known, key=lambda item: (abs(item[1].ability - ability) + item[1].sd, item[0]))
    return tuple(name for name, _ in near[:n])


def likeness(table: AbilityTable, ability: float) -> str:
    """Return an ability in words, such as `like gpt-4o-mini or llama-3.1-70b`."""
    names = alike(table, ability)
    if names:
        return f"like {' or '.join(names)}"
    known = list(table.items())
    if not known:
        return "like no model that is known"
    if ability > known[0][1].ability:
        return f"abler than any model that is known (the ablest is {known[0][0]})"
    return f"less able than any model that is known (the least is {known[-1][0]})"
