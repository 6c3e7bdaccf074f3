"""Prompts with answers that are not there yet: for a plan, a text of the expected length stands for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.batch.files.graph import Graph
from scrimp.routing.batch.files.places import answered

from .plan import forecast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.deciding.trace import Decision

__all__ = ["Lengths", "stand_in"]

_PROSE: Final = (
    "The tide is the rise and fall of the sea, and it comes from the pull of the moon and of the sun on the water. "
)
_UNKNOWN_TOKENS: Final = 200.0
"""Of an answer of which nothing is known: a few paragraphs."""

_MOST_TOKENS: Final = 100_000


def stand_in(tokens: float) -> str:
    """Return prose of about so many tokens.

    Examples
    --------
    >>> approx_tokens(stand_in(50))
    50
    """
    n_chars = 4 * round(min(tokens, _MOST_TOKENS))
    return (_PROSE * (n_chars // len(_PROSE) + 1))[:n_chars]


class Lengths:
    """How long the answers are expected to be that stand in other rows' prompts.

    Parameters
    ----------
    graph
        Which rows take whose answers; None: none does.
    """

    def __init__(self, graph: Graph | None) -> None:
        self._graph = graph or Graph({}, {}, {})
        self._tokens: dict[int, float] = {}

    def learn(self, n: int, decision: Decision) -> None:
        """Take note of how long a row's answer is expected to be."""
        if n in self._graph.children and decision.choice.arm is not None:
            self._tokens[n] = forecast(decision.choice.taken).tokens

    def windows(self, rows: Iterator[Row], read: Callable[[Iterator[Row]], list[Row]]) -> Iterator[list[Row]]:
        """Yield rows by windows, each row after those whose answers it takes, and with a stand-in for each of these.

        Parameters
        ----------
        read
            Returns the next rows of a stream with what else goes with them.
        """
        waiting: dict[int, list[Row]] = {}

        def free() -> Iterator[Row]:
            for row in rows:
                if row.refs:
                    waiting.setdefault(self._graph.depth[row.n], []).append(row)
                else:
                    yield row

        first = free()
        while window := read(first):
            yield window
        for depth in sorted(waiting):
            # One level after another: what a level is expected to say is known when the next is made.
            level = (self._standing_in(row) for row in waiting[depth])
            while window := read(level):
                yield window

    def _standing_in(self, row: Row) -> Row:
        known = self._tokens.values()
        usual = sum(known) / len(known) if known else _UNKNOWN_TOKENS
        parents = self._graph.parents[row.n]
        texts = {
            name: stand_in(self._tokens.get(parent, usual)) for name, parent in zip(row.refs, parents, strict=True)
        }
        try:
            return replace(row, prompt=answered(row.prompt, texts))
        except UsageError:  # too long: that is said when the answers are there
            return replace(row, prompt=answered(row.prompt, dict.fromkeys(row.refs, "...")))
