"""The conversations of the log: which there are, and how they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import usd_from_nano
from scrimp.routing.ledger import conversations
from scrimp.routing.ledger.conversations import name_conversation
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["id_of", "list_conversations", "name_conversation", "names"]


def list_conversations(
    ledger: Ledger | None, *, now: float, days: float | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Return conversations, the one that was last answered first.

    Parameters
    ----------
    ledger
        None where there is none yet.
    now, days
        POSIX time; only those that were answered in the last so many days.

    Returns
    -------
    For each: id, name (None without), turns, first (what was first asked; None where its text was not kept), tokens (of
    input and output, of all calls), charged_usd, last_at.
    """
    since = None if days is None else instant(now - days * 86_400)
    rows = conversations.list_conversations(ledger, limit=limit, since=since)
    return [
        {
            **{key: value for key, value in row.items() if key not in ("charged_nano", "last_at")},
            "charged_usd": None if row["charged_nano"] is None else usd_from_nano(row["charged_nano"]),
            "last_at": row["last_at"],
        }
        for row in rows
    ]


def id_of(ledger: Ledger | None, which: str) -> str:
    """Return the id of a conversation: of its name, its id, or an end of that; `last` is the one last answered.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    found = None if ledger is None else conversations.find_conversation(ledger, which)
    if found is None:
        raise UsageError(f"there is no conversation {which!r}", hint="`scrimp log conversations` lists what there is.")
    return found


def names(ledger: Ledger | None) -> list[str]:
    """Return the names that conversations have."""
    return [] if ledger is None else conversations.known_names(ledger)
