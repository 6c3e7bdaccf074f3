"""What of the ledger the shell is offered: ids with some words on each, and tags. Little is read, by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .clauses import OPEN

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["calls_unsettled", "requests_beginning", "runs_beginning", "tags_beginning"]

_MOST: Final = 40
_LOOKED_AT: Final = 2_000
"""Requests in which tags are looked for, the latest: a column without an index is not read to its end."""


def requests_beginning(ledger: Ledger, beginning: str) -> list[tuple[str, str]]:
    """Return the latest requests whose id begins so, newest first: each with the first of its prompt, or ""."""
    rows = ledger.rows(
        "SELECT id, substr(coalesce(prompt, ''), 1, 200) AS said FROM requests "
        "WHERE command NOT IN ('import', 'audit') AND id >= ? AND id < ? || '~' ORDER BY id DESC LIMIT ?",
        (beginning.lower(), beginning.lower(), _MOST),
    )
    return [(row["id"], row["said"]) for row in rows]


def tags_beginning(ledger: Ledger, beginning: str) -> list[str]:
    """Return the tags of late that begin so, in order."""
    rows = ledger.rows(
        "SELECT DISTINCT tag FROM (SELECT tag FROM requests ORDER BY id DESC LIMIT ?) "
        "WHERE tag IS NOT NULL AND substr(tag, 1, ?) = ? ORDER BY tag LIMIT ?",
        (_LOOKED_AT, len(beginning), beginning, _MOST),
    )
    return [row["tag"] for row in rows]


def runs_beginning(ledger: Ledger, beginning: str) -> list[tuple[str, str]]:
    """Return the latest runs of `batch` whose id begins so, newest first: each with its state and its input."""
    rows = ledger.rows(
        "SELECT id, status, input FROM batch_runs WHERE id >= ? AND id < ? || '~' ORDER BY id DESC LIMIT ?",
        (beginning.lower(), beginning.lower(), _MOST),
    )
    return [(row["id"], f"{row['status']}: {row['input']}") for row in rows]


def calls_unsettled(ledger: Ledger) -> list[tuple[str, str]]:
    """Return the latest calls whose true cost is not known: the number of each, with its arm and state."""
    rows = ledger.rows(
        f"SELECT id, profile, arm, status FROM reservations WHERE {OPEN} ORDER BY id DESC LIMIT ?",  # noqa: S608 - a constant
        (_MOST,),
    )
    return [(str(row["id"]), f"{row['profile']}/{row['arm']} {row['status']}") for row in rows]
