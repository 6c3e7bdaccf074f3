"""What placeholders of a run's results stand for, found again when its output is written: no file of it holds them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scrimp.routing.guard.private import named_in, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .output import Result
    from .rows import Row

__all__ = ["values_of"]


def values_of(
    results: Iterable[Result], rows: Iterable[Row], shielded: Callable[[Row], Row]
) -> tuple[dict[int, Callable[[str], str]], int]:
    """Return what puts the values into a row's texts, by its place, and how many rows cannot have theirs.

    What is private in a row is looked for as it was before it was asked, and numbered alike: a digest kept with the
    result tells whether that is so. Only what a result has is held.

    Parameters
    ----------
    results
        All of the run.
    rows
        Of its input, as they stand there.
    shielded
        Returns a row with placeholders, and what they stand for.
    """
    wanted: dict[int, tuple[str | None, frozenset[str]]] = {}
    for result in results:
        texts = (result.id, result.answer, result.error, result.note, *(result.cells or ()))
        found = frozenset(each for text in texts if isinstance(text, str) for each in named_in(text))
        if found and result.sealed is not None:
            wanted[result.n] = (result.sealed, found)
    known: dict[int, Callable[[str], str]] = {}
    for bare in rows:
        if bare.n not in wanted:
            continue
        sealed, found = wanted[bare.n]
        row = shielded(bare)
        if row.vault is not None and row.sealed == sealed:
            values = {each: row.vault.values[each] for each in found if each in row.vault.values}
            forms = (row.prompt.schema, row.prompt.own_format, row.response_format)
            known[bare.n] = partial(restored, values=values, in_json=any(form is not None for form in forms))
        if len(known) == len(wanted):
            break
    return known, len(wanted) - len(known)
