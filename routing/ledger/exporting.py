"""What an export of the best answers reads: requests by prompt, a few at a time, and a salt for their ids."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from .clauses import all_of, marks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .store import Ledger

__all__ = ["answers_by_prompt", "export_salt", "n_to_export"]

_SALT: Final = "export_salt"
_COLUMNS: Final = "n, id, redo_of, system, prompt, answer, attachments, schema, messages, sources, arm"
_AT_ONCE: Final = 500


def export_salt(ledger: Ledger) -> str:
    """Return the salt of this log's exported ids, made at first: one request has one id in every export."""
    with ledger.transaction():
        ledger.conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (_SALT, secrets.token_hex(16))
        )
    return str(ledger.rows("SELECT value FROM meta WHERE key = ?", (_SALT,))[0]["value"])


def _where(profile: str | None, tag: str | None, since: str | None) -> tuple[str, tuple[object, ...]]:
    """Return what chooses requests; a tag also chooses what was asked again of those that have it."""
    where, parameters = all_of(("profile = ?", profile), ("created_at >= ?", since))
    if tag is not None:
        where += " AND (tag = ? OR redo_of IN (SELECT t.id FROM requests t WHERE t.tag = ?))"
        parameters = [*parameters, tag, tag]
    return f"status = 'ok' AND command <> 'probe' AND {where}", tuple(parameters)


def n_to_export(
    ledger: Ledger, *, profile: str | None = None, tag: str | None = None, since: str | None = None
) -> tuple[int, int]:
    """Return how many answered requests have their text, and how many have it not any more."""
    where, parameters = _where(profile, tag, since)
    row = ledger.rows(
        "SELECT count(*) AS n, coalesce(sum(prompt IS NOT NULL AND answer IS NOT NULL), 0) AS kept "  # noqa: S608 - constants
        f"FROM requests WHERE {where}",
        parameters,
    )[0]
    return row["kept"], row["n"] - row["kept"]


def answers_by_prompt(
    ledger: Ledger, *, profile: str | None = None, tag: str | None = None, since: str | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yield the answered requests of each prompt together, prompts in the order in which they were first asked.

    One prompt is the same text with the same instructions and history; what was asked again goes with it. A request has
    `labels` (oldest first), `steps` (with an answer of their own) and `models` (by arm) besides its text. Only some
    hundred requests are held at a time.
    """
    where, parameters = _where(profile, tag, since)
    order = ledger.conn.execute(
        "SELECT n, min(n) OVER (PARTITION BY prompt, coalesce(system, ''), coalesce(messages, ''), "  # noqa: S608 - constants
        f"coalesce(attachments, ''), coalesce(sources, '')) AS first FROM requests WHERE {where} "
        "AND prompt IS NOT NULL AND answer IS NOT NULL ORDER BY first, n",
        parameters,
    )
    group: list[dict[str, Any]] = []
    group_of: int | None = None
    while some := order.fetchmany(_AT_ONCE):
        rows = _rows(ledger, [n for n, _ in some])
        for n, first in some:
            if first != group_of and group:
                yield group
                group = []
            group_of = first
            if n in rows:  # else it was forgotten meanwhile
                group.append(rows[n])
    if group:
        yield group


def _rows(ledger: Ledger, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """Return requests with what is known of their answers, by number."""
    found = {
        row["n"]: {**row, "labels": [], "steps": [], "models": {}}
        for row in ledger.rows(f"SELECT {_COLUMNS} FROM requests WHERE n IN ({marks(numbers)})", tuple(numbers))  # noqa: S608 - marks
    }
    by_id = {row["id"]: row for row in found.values()}
    ids = tuple(by_id)
    # An audit labels the request it asks again, of which it is the answer of another arm.
    again: dict[str, list[dict[str, Any]]] = {}
    for row in found.values():
        if row["redo_of"] is not None:
            again.setdefault(row["redo_of"], []).append(row)
    about = (*ids, *again)
    for label in ledger.rows(
        "SELECT request_id, arm, reward, source, note, check_kind FROM labels "  # noqa: S608 - marks
        f"WHERE request_id IN ({marks(about)}) ORDER BY id",
        about,
    ):
        if label["request_id"] in by_id:
            by_id[label["request_id"]]["labels"].append(label)
        for row in again.get(label["request_id"], ()):
            if row["arm"] == label["arm"]:
                row["labels"].append(label)
    for step in ledger.rows(
        "SELECT request_id, kind, arm, verdicts, answer, taken FROM steps "  # noqa: S608 - marks
        f"WHERE request_id IN ({marks(ids)}) ORDER BY id",
        ids,
    ):
        by_id[step["request_id"]]["steps"].append(step)
    for call in ledger.rows(
        f"SELECT request_id, arm, requested_model FROM attempts WHERE request_id IN ({marks(ids)}) ORDER BY id",  # noqa: S608 - marks
        ids,
    ):
        by_id[call["request_id"]]["models"][call["arm"]] = call["requested_model"]
    return found
