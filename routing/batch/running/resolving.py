"""Answers put where a row refers to them: from the journal, with the values that their placeholders stand for.

What a row's answer holds that is private is a placeholder in the journal, numbered for that row alone. So the values
are put back first, and the row that takes the answer is looked through as a whole, with numbers of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.routing.batch.files.output import result_of
from scrimp.routing.batch.files.places import answered, opening
from scrimp.routing.guard.private import restored
from scrimp.routing.ledger import batches
from scrimp.routing.prompts.context import approx_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scrimp.routing.batch.files.graph import Graph
    from scrimp.routing.batch.files.output import Journal, Result
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Resolver"]

_KEPT_TOKENS: Final = 1_024
"""How long a beginning has to be that providers keep it in their caches (OpenAI, Anthropic, DeepSeek: at most this)."""


class Resolver:
    """Makes the prompts of rows that take other rows' answers.

    Parameters
    ----------
    graph
        Which rows take whose.
    ledger, journal, run_id
        Where the answers are: to be used where the ledger may be.
    rows
        Returns the rows of the file as they stand there, as a stream.
    shielded
        Returns a row with placeholders; None where nothing is replaced.
    """

    def __init__(
        self,
        graph: Graph,
        ledger: Ledger,
        journal: Journal,
        run_id: str,
        *,
        rows: Callable[[], Iterator[Row]],
        shielded: Callable[[Row], Row] | None,
    ) -> None:
        self.graph = graph
        self._ledger = ledger
        self._journal = journal
        self._run_id = run_id
        self._rows = rows
        self._shielded = shielded
        self._values: dict[int, tuple[str, Mapping[str, str], bool]] = {}
        self._bare: dict[int, Row] | None = None

    def keep(self, row: Row) -> None:
        """Keep what the placeholders of a row stand for, where other rows take its answer."""
        if row.n in self.graph.children and row.vault is not None and row.sealed is not None:
            self._values[row.n] = row.sealed, row.vault.values, _in_json(row)

    def resolved(self, row: Row) -> Row:
        """Return a row with the answers in its prompt; as it is where one of them is not there.

        Raises
        ------
        UsageError
            If the prompt is too long with them, or empty.
        """
        parents = self.graph.parents.get(row.n, ())
        if not parents:
            return row
        found = batches.results_of(self._ledger, self._run_id, parents)
        answers: dict[str, str] = {}
        for name, parent in zip(row.refs, parents, strict=True):
            status, span = found.get(parent, ("", None))
            if status != "ok" or span is None:
                return row
            answers[name] = self._answer(result_of(self._journal.read(*span)))
        begins = opening(row.prompt, answers)
        alike = hashlib.sha256(begins.encode()).digest() if approx_tokens(begins) >= _KEPT_TOKENS else None
        return replace(row, prompt=answered(row.prompt, answers), opening=alike)

    def _answer(self, result: Result) -> str:
        text = result.answer or ""
        if self._shielded is None or result.sealed is None:
            return text
        if result.n not in self._values:  # answered by an earlier process: what was private is found again
            self.keep(self._shielded(self.resolved(self._bare_rows()[result.n])))
        sealed, values, in_json = self._values.get(result.n, ("", {}, False))
        # Where the values are not what they were, the placeholders stay.
        return restored(text, values, in_json=in_json) if sealed == result.sealed else text

    def _bare_rows(self) -> dict[int, Row]:
        if self._bare is None:
            self._bare = {row.n: row for row in self._rows() if row.n in self.graph.children}
        return self._bare


def _in_json(row: Row) -> bool:
    return any(form is not None for form in (row.prompt.schema, row.prompt.own_format, row.response_format))
