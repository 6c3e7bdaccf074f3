"""Conversations in the log: their turns, their names, and what is kept of them in few words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import NAME_PATTERN, NAME_WORDS

from .clauses import all_of
from .store import instant, new_id

if TYPE_CHECKING:
    from .store import Ledger

__all__ = [
    "Conversation",
    "PastTurn",
    "begin_conversation",
    "check_name",
    "conversation",
    "find_conversation",
    "keep_summary",
    "known_names",
    "last_conversation",
    "list_conversations",
    "name_conversation",
    "summary_of",
]

_TURN: Final = "status = 'ok' AND command = 'ask'"
_LAST: Final = f"SELECT conversation_id AS id FROM requests WHERE {_TURN} ORDER BY created_at DESC, n DESC LIMIT 1"  # noqa: S608 - constants
"""What makes a request a turn of its conversation."""

_ANSWER: Final = (
    "coalesce((WITH RECURSIVE again(id, n) AS (SELECT id, n FROM requests WHERE redo_of = q.id AND status = 'ok' "
    "UNION ALL SELECT r.id, r.n FROM again JOIN requests r ON r.redo_of = again.id AND r.status = 'ok') "
    "SELECT r.answer FROM again JOIN requests r ON r.id = again.id WHERE r.answer IS NOT NULL AND r.command = 'redo' "
    "ORDER BY again.n DESC LIMIT 1), q.answer)"
)
"""What a turn was answered: where it was asked again, what came of that last."""

_ID: Final = re.compile(r"01[0-9a-hjkmnp-tv-z]{2,24}")
"""What is meant as an id, and so begins no conversation: a mistyped one is to be refused."""


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn of a conversation as the log has it.

    Attributes
    ----------
    id
        Of its request.
    prompt, answer
        What was asked and answered.
    embedding, embedder_id
        Of what was asked, little-endian float32; None where it was not kept.
    """

    id: str
    prompt: str
    answer: str
    embedding: bytes | None = None
    embedder_id: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that goes on.

    Attributes
    ----------
    id
        By which the log holds its requests together.
    turns
        What was answered in it, in order.
    system
        The system prompt that it began with.
    arm, n_read, n_cached, at
        Of its last call: the arm, tokens of input and those of them that came from the provider's cache (0 where that
        is not known), and when it began, as the ledger spells it.
    whole
        Whether all turns were sent with it.
    brief
        Whether it asked for a short answer.
    """

    id: str
    turns: tuple[PastTurn, ...] = ()
    system: str | None = None
    arm: str | None = None
    n_read: int = 0
    n_cached: int = 0
    at: str = ""
    whole: bool = True
    brief: bool = False


def find_conversation(ledger: Ledger, which: str) -> str | None:
    """Return the id of a conversation: of its name or id, or an end of that; `last`; None: none.

    Raises
    ------
    UsageError
        If several have that end.
    """
    if which == "last":
        rows = ledger.rows(_LAST)
        return str(rows[0]["id"]) if rows else None
    found = ledger.rows("SELECT id FROM conversations WHERE name = ?", (which,)) or ledger.rows(
        "SELECT DISTINCT conversation_id AS id FROM requests WHERE command = 'ask' AND (conversation_id = ? OR "
        "(length(?) >= 4 AND (substr(conversation_id, 1, length(?)) = ? "
        "OR substr(conversation_id, -length(?)) = ?))) LIMIT 2",
        (which.lower(),) * 6,
    )
    if len(found) > 1:
        raise UsageError(f"{which!r} fits more than one conversation", hint="Give more of its id.")
    return str(found[0]["id"]) if found else None


def begin_conversation(ledger: Ledger, name: str, *, now: float) -> str:
    """Return the id of the conversation of a name, which is begun where there is none: also by several at once.

    Raises
    ------
    UsageError
        If it cannot be a name.
    """
    check_name(name)
    with ledger.transaction() as conn:
        conn.execute(
            "INSERT INTO conversations (id, name, at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (new_id(now), name, instant(now)),
        )
        return str(conn.execute("SELECT id FROM conversations WHERE name = ?", (name,)).fetchone()[0])


def name_conversation(ledger: Ledger | None, which: str, name: str, *, now: float) -> str:
    """Give a conversation a name, in place of any that it has; return its id.

    Raises
    ------
    UsageError
        If there is no such conversation, or the name is another's or cannot be one.
    """
    found = None if ledger is None else find_conversation(ledger, which)
    if ledger is None or found is None:
        raise UsageError(f"there is no conversation {which!r}", hint="`scrimp log conversations` lists what there is.")
    check_name(name)
    with ledger.transaction() as conn:
        other = conn.execute("SELECT id FROM conversations WHERE name = ?", (name,)).fetchone()
        if other is not None and other[0] != found:
            raise UsageError(f"another conversation is called {name!r} already: {other[0]}")
        conn.execute(
            "INSERT INTO conversations (id, name, at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = ?",
            (found, name, instant(now), name),
        )
    return found


def check_name(name: str) -> None:
    """Check what a conversation is to be called.

    Raises
    ------
    UsageError
        If it cannot be a name, or is meant as an id.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"a conversation: expected {NAME_WORDS}; not {name!r}")
    if _ID.fullmatch(name) or name == "last":
        raise UsageError(f"there is no conversation {name!r}", hint="`scrimp log conversations` lists what there is.")


def last_conversation(ledger: Ledger) -> Conversation:
    """Return the conversation that was last answered.

    Raises
    ------
    UsageError
        If there is none, or its text was not kept.
    """
    rows = ledger.rows(_LAST)
    if not rows:
        raise UsageError("there is no conversation to go on with", hint="Ask without -c first.")
    return conversation(ledger, rows[0]["id"])


def conversation(ledger: Ledger, which: str) -> Conversation:
    """Return a conversation by its id, with no turns where none was answered yet.

    Raises
    ------
    UsageError
        If its text was not kept.
    """
    rows = ledger.rows(
        f"SELECT q.id, system, prompt, {_ANSWER} AS answer, floats(embedding) AS embedding, embedder_id, memory, "  # noqa: S608 - constants
        "coalesce(json_extract(unpacked(decision), '$.brief'), 0) AS brief FROM requests q "
        f"WHERE conversation_id = ? AND {_TURN} ORDER BY created_at, n",
        (which,),
    )
    if any(row["prompt"] is None or row["answer"] is None for row in rows):
        raise UsageError(
            "the conversation's text was not kept, so it cannot go on",
            hint='Keep text with log.keep = "all" in the profile.',
        )
    if not rows:
        return Conversation(which)
    turns = tuple(
        PastTurn(row["id"], row["prompt"], row["answer"], row["embedding"], row["embedder_id"]) for row in rows
    )
    calls = ledger.rows(
        "SELECT arm, input_tokens, cached_tokens, started_at FROM attempts WHERE request_id = ? AND error_kind IS NULL "
        "AND kind != 'summary' ORDER BY seq DESC LIMIT 1",
        (turns[-1].id,),
    )
    call: dict[str, Any] = calls[0] if calls else {}
    return Conversation(
        which,
        turns,
        rows[0]["system"],
        call.get("arm"),
        call.get("input_tokens") or 0,
        call.get("cached_tokens") or 0,
        call.get("started_at") or "",
        whole='"tier": "all"' in (rows[-1]["memory"] or '"tier": "all"'),
        brief=bool(rows[-1]["brief"]),
    )


def list_conversations(ledger: Ledger | None, *, limit: int = 20, since: str | None = None) -> list[dict[str, Any]]:
    """Return conversations, the one that was last answered first.

    Returns
    -------
    For each: id, name (None without), turns, first (what was first asked; None where its text was not kept), tokens (of
    input and output, of all calls), charged_nano, last_at.
    """
    if ledger is None:
        return []
    return ledger.rows(
        "WITH last AS (SELECT conversation_id AS id, count(*) AS turns, max(created_at) AS last_at, max(n) AS n "  # noqa: S608 - constants
        f"FROM requests WHERE {_TURN} GROUP BY conversation_id HAVING max(created_at) >= ? "
        "ORDER BY last_at DESC, n DESC LIMIT ?) "
        "SELECT l.id, c.name, l.turns, "
        f"(SELECT prompt FROM requests WHERE conversation_id = l.id AND {_TURN} "
        "ORDER BY created_at, n LIMIT 1) AS first, "
        "(SELECT sum(coalesce(a.input_tokens, 0) + coalesce(a.output_tokens, 0)) FROM attempts a "
        "JOIN requests t ON t.id = a.request_id WHERE t.conversation_id = l.id) AS tokens, "
        "(SELECT sum(r.charged_nano) FROM reservations r JOIN requests t ON t.id = r.request_id "
        "WHERE t.conversation_id = l.id) AS charged_nano, l.last_at "
        "FROM last l LEFT JOIN conversations c ON c.id = l.id ORDER BY l.last_at DESC, l.n DESC",
        (since or "", limit),
    )


def known_names(ledger: Ledger) -> list[str]:
    """Return the names of conversations."""
    return [row["name"] for row in ledger.rows("SELECT name FROM conversations WHERE name IS NOT NULL ORDER BY name")]


# -- what is kept of them in few words ------------------------------------------------------------------------------


def summary_of(ledger: Ledger, conversation_id: str, upto: str | None = None) -> tuple[str, str] | None:
    """Return the latest summary of a conversation, or the one that ends with a request: that request's id and the text.

    None where there is none.
    """
    where, parameters = all_of(("conversation_id = ?", conversation_id), ("upto = ?", upto))
    rows = ledger.rows(
        f"SELECT upto, text FROM summaries WHERE {where} ORDER BY at DESC, rowid DESC LIMIT 1",  # noqa: S608 - constants
        parameters,
    )
    return (rows[0]["upto"], rows[0]["text"]) if rows else None


def keep_summary(
    ledger: Ledger, *, conversation_id: str, upto: str, text: str, n_tokens: int, request_id: str, at: str
) -> None:
    """Keep a summary of a conversation until one of its requests, inside the caller's transaction."""
    ledger.conn.execute(
        "INSERT OR REPLACE INTO summaries (conversation_id, upto, at, text, n_tokens, request_id) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (conversation_id, upto, at, text, n_tokens, request_id),
    )
