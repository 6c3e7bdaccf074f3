"""What a report counts, kept for each `BLOCK` requests (or calls) in a row, so that no report reads the whole log.

A block is summed up by the first report after it is full, in a transaction of its own. Whatever changes a request or a
call of it later (a label, a correction, a late settlement, a purge) drops the sums with the same statement, by triggers
(`migrations`), and the next report makes them anew: nothing is counted twice, and nothing that changed is missed.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from .clauses import OPEN, all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .store import Ledger

__all__ = ["BLOCK", "Kind", "Span", "keep_up", "sums_of"]

BLOCK: Final = 2000
"""Rows of a block, in the order of writing; the triggers have the number too."""

Kind = Literal["requests", "calls"]

_OF: Final[dict[Kind, tuple[str, str, str]]] = {
    "requests": ("requests", "n", "created_at"),
    "calls": ("attempts", "id", "started_at"),
}
"""Table, number and instant of each kind."""

_IN_FLIGHT: Final[dict[Kind, str]] = {
    "requests": f"SELECT 1 FROM reservations r CROSS JOIN requests q ON q.id = r.request_id WHERE r.{OPEN} "  # noqa: S608 - constants
    "AND r.status = 'reserved' AND q.n BETWEEN ? AND ? LIMIT 1",
    "calls": f"SELECT 1 FROM reservations WHERE {OPEN} AND status = 'reserved' AND id BETWEEN ? AND ? LIMIT 1",  # noqa: S608 - constants
}

Span = tuple[int, int]
"""The first and the last number of some rows, both included."""


def sums_of(
    ledger: Ledger,
    kind: Kind,
    sum_up: Callable[[Ledger, Span, str | None], dict[str, dict[str, Any]]],
    *,
    since: str | None = None,
    profile: str | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield what `sum_up` says of each part of the log: together they are the whole of it.

    Parameters
    ----------
    sum_up
        Returns plain data by profile, of the rows of a span that are dated at an instant or later.
    since, profile
        Only rows from this instant on; only this profile's.
    tell
        As for `keep_up`.
    """
    n_full = _n_full(ledger, kind)
    keep_up(ledger, kind, sum_up, tell=tell)
    dates = {
        row["block"]: (row["first_at"], row["last_at"])
        for row in ledger.rows("SELECT block, first_at, last_at FROM digests WHERE kind = ?", (kind,))
    }
    where, parameters = all_of(("kind = ?", kind), ("first_at >= ?", since), ("block < ?", n_full))
    for row in ledger.rows(f"SELECT data FROM digests WHERE {where}", parameters):  # noqa: S608 - constants
        yield from _mine(json.loads(row["data"]), profile)
    for block in range(n_full):
        first, last = dates.get(block, ("", "9"))
        if block not in dates or (since is not None and first < since <= last):
            yield from _mine(sum_up(ledger, _span(block), since), profile)
    yield from _mine(sum_up(ledger, (n_full * BLOCK, 2**62), since), profile)


def keep_up(
    ledger: Ledger,
    kind: Kind,
    sum_up: Callable[[Ledger, Span, str | None], dict[str, dict[str, Any]]],
    *,
    seconds: float | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Sum up the full blocks that have no sums, the oldest first, each in a transaction of some 20 ms.

    One with a call in flight is left for later: its end alone drops no sums.

    Parameters
    ----------
    seconds
        Stop after so many; None does all.
    tell
        Takes, block by block, how many rows are summed up and how many there were to sum up.
    """
    n_full = _n_full(ledger, kind)
    (row,) = ledger.rows("SELECT count(*) AS n FROM digests WHERE kind = ? AND block < ?", (kind, n_full))
    if row["n"] == n_full:
        return
    table, number, at = _OF[kind]
    there = {row["block"] for row in ledger.rows("SELECT block FROM digests WHERE kind = ?", (kind,))}
    until = None if seconds is None else time.monotonic() + seconds
    missing = [block for block in range(n_full) if block not in there]
    for n_done, block in enumerate(missing):
        if tell is not None:
            tell(n_done * BLOCK, len(missing) * BLOCK)
        if until is not None and time.monotonic() > until:
            return
        with ledger.transaction(durable=False) as conn:
            if conn.execute(_IN_FLIGHT[kind], _span(block)).fetchone():
                continue
            (dates,) = ledger.rows(
                f"SELECT min({at}) AS first_at, max({at}) AS last_at FROM {table} WHERE {number} BETWEEN ? AND ?",  # noqa: S608 - constants
                _span(block),
            )
            data = json.dumps(sum_up(ledger, _span(block), None), separators=(",", ":"))
            conn.execute(
                "INSERT OR REPLACE INTO digests (kind, block, first_at, last_at, data) VALUES (?, ?, ?, ?, ?)",
                (kind, block, dates["first_at"] or "", dates["last_at"] or "", data),
            )
    if tell is not None:
        tell(len(missing) * BLOCK, len(missing) * BLOCK)


def _n_full(ledger: Ledger, kind: Kind) -> int:
    """Return how many blocks are full: the rows in the last one may not all be written yet."""
    table, number, _ = _OF[kind]
    (row,) = ledger.rows(f"SELECT max({number}) AS last FROM {table}")  # noqa: S608 - constants
    return 0 if row["last"] is None else int(row["last"]) // BLOCK


def _span(block: int) -> Span:
    return block * BLOCK, (block + 1) * BLOCK - 1


def _mine(found: dict[str, Any], profile: str | None) -> Iterator[dict[str, Any]]:
    if profile is None:
        yield from found.values()
    elif profile in found:
        yield found[profile]
