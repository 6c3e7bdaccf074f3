"""The log read back: requests by id, search, conversations, export, removal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.routing.prompts.prompt import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.routing.ledger.store import Ledger

__all__ = ["attempts_of", "export", "find", "labels_of", "last_conversation", "listing", "steps_of"]


_COLUMNS = (
    "id, created_at, command, profile, conversation_id, redo_of, system, prompt, answer, attachments, schema, "
    "messages, embedder_id, router_version, decision, arm, propensity, status, error, tag"
)

_ASKED = "command NOT IN ('import', 'audit')"
"""What the user asked, as against what was read from a file or asked for the learner's sake."""


def find(ledger: Ledger | None, which: str = "last") -> dict[str, Any]:
    """Return one request: `last`, an id, or the beginning or end of one.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    rows: list[dict[str, Any]] = []
    if ledger is not None:
        if which == "last":
            rows = ledger.rows(
                f"SELECT {_COLUMNS} FROM requests WHERE {_ASKED} ORDER BY created_at DESC, n DESC LIMIT 1"  # noqa: S608 - constants
            )
        else:
            wanted = which.lower()
            rows = ledger.rows(
                f"SELECT {_COLUMNS} FROM requests WHERE id = ? OR (length(?) >= 4 AND (substr(id, 1, length(?)) = ? "  # noqa: S608 - constants
                "OR substr(id, -length(?)) = ?)) LIMIT 2",
                (wanted,) * 6,
            )
    if not rows:
        raise UsageError(
            "the log is empty" if which == "last" else f"no request {which!r} in the log",
            hint="`scrimp log` lists what there is.",
        )
    if len(rows) > 1:
        raise UsageError(f"{which!r} fits more than one request", hint="Give more of its id.")
    return rows[0]


def attempts_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return a request's attempts with their money, in order."""
    return ledger.rows(
        "SELECT a.*, r.status, r.reserved_nano, r.charged_nano, r.breach, r.note, r.cap_override_nano, "
        "p.json AS price, p.table_version FROM attempts a JOIN reservations r ON r.id = a.id "
        "LEFT JOIN prices p ON p.id = r.price_id "
        "WHERE a.request_id = ? ORDER BY a.seq, a.id",
        (request_id,),
    )


def labels_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return a request's labels, oldest first."""
    return ledger.rows(
        "SELECT arm, reward, source, weight, note, at FROM labels WHERE request_id = ? ORDER BY id", (request_id,)
    )


def steps_of(ledger: Ledger, request_id: str) -> list[dict[str, Any]]:
    """Return the steps of a request's plan, in order, with the verdicts on each answer as plain data."""
    rows = ledger.rows(
        "SELECT seq, stage, kind, arm, outcome, verdicts, answer, charged_nano, latency_s, taken, note, at FROM steps "
        "WHERE request_id = ? ORDER BY seq, id",
        (request_id,),
    )
    for row in rows:
        row["verdicts"] = json.loads(row["verdicts"] or "[]")
    return rows


def last_conversation(ledger: Ledger) -> tuple[str, tuple[Turn, ...], str | None]:
    """Return the id, the turns and the system prompt of the conversation that was last answered.

    Raises
    ------
    UsageError
        If there is none, or its text was not kept.
    """
    rows = ledger.rows(
        "SELECT conversation_id FROM requests WHERE status = 'ok' AND command = 'ask' "
        "ORDER BY created_at DESC, n DESC LIMIT 1"
    )
    if not rows:
        raise UsageError("there is no conversation to go on with", hint="Ask without -c first.")
    conversation = rows[0]["conversation_id"]
    turns = ledger.rows(
        "SELECT system, prompt, answer FROM requests WHERE conversation_id = ? AND status = 'ok' AND command = 'ask' "
        "ORDER BY created_at, n",
        (conversation,),
    )
    if any(turn["prompt"] is None or turn["answer"] is None for turn in turns):
        raise UsageError(
            "the last conversation's text was not kept, so it cannot go on",
            hint='Keep text with log.keep = "all" in the profile.',
        )
    return conversation, tuple(Turn(turn["prompt"], turn["answer"]) for turn in turns), turns[0]["system"]


def listing(
    ledger: Ledger,
    *,
    query: str | None = None,
    limit: int = 20,
    arm: str | None = None,
    profile: str | None = None,
    tag: str | None = None,
    since: str | None = None,
) -> list[dict[str, Any]]:
    """Return requests, newest first, with what each was charged; `query` searches prompts and answers."""
    where, parameters = [f"q.{_ASKED}"], []
    for column, value in (("q.arm", arm), ("q.profile", profile), ("q.tag", tag)):
        if value is not None:
            where.append(f"{column} = ?")
            parameters.append(value)
    if since is not None:
        where.append("q.created_at >= ?")
        parameters.append(since)
    if query is not None:
        # Each word in quotes: no word of a question is an operator of the full-text search.
        words = " ".join('"' + word.replace('"', '""') + '"' for word in query.split())
        where.append("q.n IN (SELECT rowid FROM requests_fts WHERE requests_fts MATCH ?)")
        parameters.append(words or '""')
    return ledger.rows(
        "SELECT q.id, q.created_at, q.command, q.profile, q.arm, q.status, q.prompt, q.answer, q.error, q.tag, "  # noqa: S608 - constants
        "(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = q.id) AS charged_nano, "
        "(SELECT count(*) FROM reservations r WHERE r.request_id = q.id "
        "AND r.status IN ('unverified', 'unknown', 'reserved')) AS n_open FROM requests q WHERE "
        + " AND ".join(where)
        + " ORDER BY q.created_at DESC, q.n DESC LIMIT ?",
        (*parameters, limit),
    )


def export(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield every request, oldest first, with its decision, attempts and labels as plain data."""
    last = 0
    while True:
        rows = ledger.rows(f"SELECT n, {_COLUMNS} FROM requests WHERE n > ? ORDER BY n LIMIT 200", (last,))  # noqa: S608 - constants
        if not rows:
            return
        for row in rows:
            last = row.pop("n")
            for column in ("decision", "attachments", "schema", "messages"):
                row[column] = None if row[column] is None else json.loads(row[column])
            row["attempts"] = attempts_of(ledger, row["id"])
            row["labels"] = labels_of(ledger, row["id"])
            row["steps"] = steps_of(ledger, row["id"])
            yield row
