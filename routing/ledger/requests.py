"""The log read back: requests by id, search, export; and what reports and learning read of requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.routing.prompts.chat_log import IN_TOOL_LOOP, after_of

from .attempts import attempts_of
from .clauses import all_of, bare, marks, named
from .labels import labels_of
from .steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .store import Ledger

__all__ = [
    "SINGLE",
    "answered",
    "asked_before",
    "asked_unkept",
    "asked_with",
    "auditable",
    "batch_options",
    "by_id",
    "checked",
    "conversation_to",
    "decisions",
    "embedded",
    "export",
    "features",
    "find",
    "last_with_files",
    "listing",
]


_COLUMNS = (
    "id, created_at, command, profile, conversation_id, redo_of, system, prompt, answer, attachments, schema, "
    "messages, memory, embedder_id, router_version, "
    "unpacked(decision) AS decision, arm, propensity, status, error, tag, "
    "hint, hinted, hint_propensity, hint_similarity, sources, readings"
)

SINGLE = "command IN ('ask', 'batch', 'redo', 'serve') AND coalesce(messages, '') NOT LIKE '{%'"
"""Requests whose row has all of their prompt: of those of programs, such as are no part of a conversation."""

_ASKED = "command NOT IN ('import', 'audit')"
"""What the user asked, not what was imported or asked again by an audit."""


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
            rows = ledger.rows(f"SELECT {_COLUMNS} FROM requests WHERE id = ?", (which.lower(),))  # noqa: S608 - constants
            where, parameters = named(which)
            # An end of an id is looked for in all of them: in the index, which has nothing else.
            some = f"SELECT id FROM requests WHERE {where} LIMIT 2"  # noqa: S608 - constants
            rows = rows or ledger.rows(f"SELECT {_COLUMNS} FROM requests WHERE id IN ({some})", parameters)  # noqa: S608 - constants
    if not rows:
        raise UsageError(
            "the log is empty" if which == "last" else f"no request {which!r} in the log",
            hint="`scrimp log` lists what there is.",
        )
    if len(rows) > 1:
        raise UsageError(f"{which!r} fits more than one request", hint="Give more of its id.")
    return rows[0]


def asked_before(ledger: Ledger, request_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return an answered question and the one that the same profile answered before it; None where there is none.

    Each as id, created_at, arm, prompt, sources, embedding and embedder_id; None where they were not kept.
    """
    columns = "n, id, created_at, profile, arm, prompt, sources, floats(embedding) AS embedding, embedder_id"
    asked = f"SELECT {columns} FROM requests WHERE command = 'ask' AND status = 'ok'"  # noqa: S608 - constants
    own = ledger.rows(f"{asked} AND id = ?", (request_id,))
    if not own:
        return None
    before = ledger.rows(f"{asked} AND n < ? ORDER BY n DESC LIMIT 1", (own[0]["n"],))
    return (own[0], before[0]) if before and before[0]["profile"] == own[0]["profile"] else None


def asked_with(ledger: Ledger | None, profile: str) -> str:
    """Return the profile whose log can tell something of another one: its own, else the one that was asked with last.

    Probes do not count: nobody asked them.
    """
    if ledger is None:
        return profile
    asked = f"SELECT profile FROM requests WHERE {_ASKED} AND command <> 'probe'"  # noqa: S608 - constants
    own = ledger.rows(f"{asked} AND profile = ? LIMIT 1", (profile,))
    rows = own or ledger.rows(f"{asked} ORDER BY n DESC LIMIT 1")
    return str(rows[0]["profile"]) if rows else profile


def asked_unkept(ledger: Ledger | None) -> str | None:
    """Return the id of what was asked last, if the log has nothing of it (`--no-log`, or forgotten since); else None.

    Its calls are on record all the same: money is never forgotten.
    """
    if ledger is None:
        return None
    rows = ledger.rows(
        f"SELECT request_id FROM reservations WHERE {_ASKED.replace('command', 'source')} ORDER BY id DESC LIMIT 1"  # noqa: S608 - constants
    )
    last = rows[0]["request_id"] if rows else None
    there = ledger.rows("SELECT 1 FROM requests WHERE id = ?", (last,))
    return None if last is None or there else str(last)


def conversation_to(ledger: Ledger, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a request's row after those that it goes on from, the first of its conversation first.

    Raises
    ------
    UsageError
        If one of them is not in the log any more.
    """
    rows = [row]
    seen = {row["id"]}
    while (before := after_of(rows[-1])) is not None:
        found = ledger.rows("SELECT id, system, prompt, messages FROM requests WHERE id = ?", (before,))
        if not found or before in seen:
            raise UsageError(f"{row['id']} goes on from {before}, which is not in the log any more")
        seen.add(before)
        rows.append(found[0])
    return rows[::-1]


def by_id(ledger: Ledger, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the arm and the prompt (None where its text was not kept) of those requests that the log has, by id."""
    rows = ledger.rows(f"SELECT id, arm, prompt FROM requests WHERE id IN ({marks(ids)})", tuple(ids))  # noqa: S608 - marks
    return {row["id"]: row for row in rows}


def last_with_files(ledger: Ledger, conversation_id: str) -> dict[str, Any] | None:
    """Return a conversation's last answered request that files went with, as id, sources and readings (JSON)."""
    rows = ledger.rows(
        "SELECT id, sources, readings FROM requests WHERE conversation_id = ? AND status = 'ok' AND command = 'ask' "
        "AND sources IS NOT NULL ORDER BY created_at DESC, n DESC LIMIT 1",
        (conversation_id,),
    )
    return rows[0] if rows else None


def listing(
    ledger: Ledger,
    *,
    query: str | None = None,
    limit: int = 20,
    arm: str | None = None,
    profile: str | None = None,
    tag: str | None = None,
    since: str | None = None,
    conversation: str | None = None,
) -> list[dict[str, Any]]:
    """Return requests, newest first, with what each was charged; `query` searches prompts and answers.

    What was written last is what is found first, whatever the clock said then.
    """
    # Each word in quotes: no word of a question is an operator of the full-text search.
    words = None if query is None else " ".join('"' + word.replace('"', '""') + '"' for word in query.split()) or '""'
    where, parameters = all_of(
        (f"? IN (q.arm, {bare('q.arm')})", arm),
        ("q.profile = ?", profile),
        ("q.tag = ?", tag),
        ("q.created_at >= ?", since),
        ("q.conversation_id = ?", conversation),
        ("requests_fts MATCH ?", words),
    )
    # What is found is read from the newest on, until there is enough: never all that has a word.
    found = "requests_fts CROSS JOIN requests q ON q.n = requests_fts.rowid"
    tables, order = (
        ("requests q", "q.created_at DESC, q.n DESC") if words is None else (found, "requests_fts.rowid DESC")
    )
    rows = ledger.rows(
        "SELECT q.id, q.created_at, q.command, q.profile, q.arm, q.status, q.prompt, q.answer, q.error, q.tag, "  # noqa: S608 - constants
        "q.sources, "
        "(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = q.id) AS charged_nano, "
        "(SELECT count(*) FROM reservations r WHERE r.request_id = q.id "
        "AND r.status IN ('unverified', 'unknown', 'reserved')) AS n_open "
        f"FROM {tables} WHERE q.{_ASKED} AND {where} ORDER BY {order} LIMIT ?",
        (*parameters, limit),
    )
    return sorted(rows, key=lambda row: str(row["created_at"]), reverse=True)


def export(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield every request, oldest first, with its decision, attempts and labels as plain data."""
    last = 0
    while True:
        rows = ledger.rows(f"SELECT n, {_COLUMNS} FROM requests WHERE n > ? ORDER BY n LIMIT 200", (last,))  # noqa: S608 - constants
        if not rows:
            return
        for row in rows:
            last = row.pop("n")
            for column in ("decision", "attachments", "schema", "messages", "memory", "sources", "readings"):
                row[column] = None if row[column] is None else json.loads(row[column])
            row["attempts"] = attempts_of(ledger, row["id"])
            row["labels"] = labels_of(ledger, row["id"])
            row["steps"] = steps_of(ledger, row["id"])
            yield row


def decisions(ledger: Ledger, profile: str, *, since: str | None = None) -> list[dict[str, Any]]:
    """Return a profile's decisions, made at `since` or later, as id, created_at and decision (JSON), oldest first."""
    where, parameters = all_of(("profile = ?", profile), ("created_at >= ?", since))
    return ledger.rows(
        f"SELECT id, created_at, unpacked(decision) AS decision FROM requests WHERE {where} AND decision IS NOT NULL "  # noqa: S608 - constants
        "ORDER BY n",
        parameters,
    )


def answered(ledger: Ledger, span: tuple[int, int], *, since: str | None = None) -> list[dict[str, Any]]:
    """Return the answered requests of a span, with what all calls of each took together.

    Parameters
    ----------
    span
        The first and the last number.

    Returns
    -------
    For each: id, profile, arm, n_stages (of its plan; None without one), charged_nano, latency_s and tokens (of input
    and output; None where none were reported).
    """
    where, parameters = all_of(("q.created_at >= ?", since))
    return ledger.rows(
        "SELECT q.id, q.profile, q.arm, q.n_stages, "  # noqa: S608 - constants
        "(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = q.id) AS charged_nano, "
        "(SELECT sum(latency_s) FROM attempts a WHERE a.request_id = q.id) AS latency_s, "
        "(SELECT sum(input_tokens + output_tokens) FROM attempts a WHERE a.request_id = q.id) AS tokens "
        f"FROM requests q WHERE q.n BETWEEN ? AND ? AND q.status = 'ok' AND {where}",
        (*span, *parameters),
    )


def features(
    ledger: Ledger, profile: str, *, since: str | None = None, labelled: bool = False, last: int | None = None
) -> list[dict[str, Any]]:
    """Return what learning reads of a profile's answered requests, in the order of writing.

    Where a program's request goes on with what tools gave, that is not what was embedded: `prompt` is None.

    Parameters
    ----------
    labelled
        Only those with a label, what they ask again, and what asked those again.
    last
        At most so many, the latest ones.
    """
    where, parameters = all_of(("profile = ?", profile), ("created_at >= ?", since))
    of, known = "requests q", ""
    if labelled:
        # The few that have one are looked up, however long the log is.
        known = (
            "WITH RECURSIVE roots AS (SELECT DISTINCT request_id AS id FROM labels UNION "
            "SELECT q.redo_of FROM roots CROSS JOIN requests q ON q.id = roots.id WHERE q.redo_of IS NOT NULL), "
            "wanted AS (SELECT id FROM roots UNION "
            "SELECT q.id FROM wanted CROSS JOIN requests q ON q.redo_of = wanted.id) "
        )
        of = "wanted CROSS JOIN requests q ON q.id = wanted.id"
    rows = ledger.rows(
        f"{known}SELECT n, q.id, created_at, command, redo_of, "  # noqa: S608 - constants
        f"CASE WHEN messages LIKE '{IN_TOOL_LOOP}%' THEN NULL ELSE prompt END AS prompt, "
        "floats(embedding) AS embedding, unpacked(surface) AS surface, embedder_id, "
        "unpacked(decision) AS decision, arm, "
        f"propensity FROM {of} WHERE {where} AND status = 'ok' ORDER BY n DESC LIMIT ?",
        (*parameters, -1 if last is None else last),
    )
    return rows[::-1]


def embedded(ledger: Ledger, request_id: str, *, last: int) -> tuple[bytes | None, list[dict[str, Any]]]:
    """Return a request's embedding (little-endian float32), and others' that can be compared with it.

    Parameters
    ----------
    last
        How many others at most, the latest ones.

    Returns
    -------
    The embedding (None where it was not kept), and id and embedding of answered prompts, newest first.
    """
    own = ledger.rows("SELECT floats(embedding) AS embedding, embedder_id FROM requests WHERE id = ?", (request_id,))
    if not own or own[0]["embedding"] is None:
        return None, []
    others = ledger.rows(
        "SELECT id, floats(embedding) AS embedding FROM requests "  # noqa: S608 - constants
        "WHERE embedder_id = ? AND id != ? AND embedding IS NOT NULL "
        f"AND coalesce(messages, '') NOT LIKE '{IN_TOOL_LOOP}%' "  # the turn is there once, however many tools it calls
        "AND redo_of IS NULL AND status = 'ok' AND length(floats(embedding)) = ? ORDER BY n DESC LIMIT ?",
        (own[0]["embedder_id"], request_id, len(own[0]["embedding"]), last),
    )
    return own[0]["embedding"], others


def checked(ledger: Ledger, profile: str, *, last: int) -> list[dict[str, Any]]:
    """Return a profile's latest answers that were checked, newest first, with the label of the last check."""
    return ledger.rows(
        "SELECT q.id, q.arm, q.command, q.prompt, q.system, q.messages, q.schema, q.attachments, "  # noqa: S608 - constants
        "unpacked(q.decision) AS decision, "
        "q.sources, q.readings, "
        "l.reward, l.weight FROM requests q JOIN labels l ON l.request_id = q.id AND l.arm = q.arm "
        f"WHERE q.profile = ? AND q.status = 'ok' AND {SINGLE} AND l.source = 'check' "
        "AND l.id = (SELECT max(o.id) FROM labels o WHERE o.request_id = q.id AND o.arm = q.arm "
        "AND o.source = 'check') ORDER BY q.n DESC LIMIT ?",
        (profile, last),
    )


def batch_options(ledger: Ledger, request_id: str) -> dict[str, Any] | None:
    """Return the options of the batch that asked a request; None where none did."""
    rows = ledger.rows(
        "SELECT b.options FROM reservations r JOIN batch_runs b ON b.id = r.run_id WHERE r.request_id = ? LIMIT 1",
        (request_id,),
    )
    options: dict[str, Any] | None = json.loads(rows[0]["options"]) if rows else None
    return options


def auditable(
    ledger: Ledger, profile: str, arms: Collection[str], *, but: str | None = None, last: int
) -> list[dict[str, Any]]:
    """Return the last answered requests of `arms` (not of `but`) that have text and no attachments, not yet audited.

    Of a program's requests only such as are one prompt: no conversation, and none with tools.
    """
    where, parameters = all_of(("profile = ?", profile), (f"{bare('arm')} != ?", but))
    return ledger.rows(
        "SELECT n, id, arm, prompt, system, answer, messages, schema, "  # noqa: S608 - marks
        "unpacked(decision) AS decision, sources, readings FROM requests q "
        f"WHERE {where} AND status = 'ok' AND {bare('arm')} IN ({marks(arms)}) "
        "AND prompt IS NOT NULL AND answer IS NOT NULL AND attachments IS NULL "
        f"AND {SINGLE} AND command != 'redo' AND NOT EXISTS (SELECT 1 FROM requests a WHERE a.redo_of = q.id "
        "AND a.command = 'audit') ORDER BY n DESC LIMIT ?",
        (*parameters, *arms, last),
    )
