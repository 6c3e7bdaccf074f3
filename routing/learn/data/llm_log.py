"""The log of simonw/llm as it lies on disk: prompts, answers and tokens, oldest first.

Older versions keep them in one table, `responses`. In newer ones (0.36, say) turns point into chains of messages made
of parts, and a text that borrows a fragment stores its id. A log that lived through both holds both.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Turn", "is_sqlite", "read_llm_log"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt with its answer; tokens are None where they were not counted."""

    id: str
    model: str
    prompt: str
    system: str | None
    answer: str | None
    input_tokens: int | None
    output_tokens: int | None


def is_sqlite(path: Path) -> bool:
    """Tell whether a file is a SQLite database: of those, the logs of simonw/llm are read."""
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\x00"
    except OSError:
        return False


def read_llm_log(path: Path) -> list[Turn]:
    """Return the turns of a log, oldest first, without those whose prompt is not text alone (attachments, tools).

    Raises
    ------
    DataError
        If the file is no log of llm, or cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as conn:
            conn.row_factory = sqlite3.Row
            old = {"id", "model", "prompt", "response"} <= _columns(conn, "responses")
            new = {"id", "model", "parent_message_hash", "tip_message_hash"} <= _columns(conn, "turns")
            if not old and not new:
                raise DataError(
                    f"{path}: a SQLite database, but not the log of llm (it has no table of responses or turns)",
                    hint="`llm logs path` names the log; other outcomes are read as JSON Lines.",
                )
            found = [*(_responses(conn) if old else ()), *(_turns(conn) if new else ())]
    except (sqlite3.Error, json.JSONDecodeError) as error:
        raise DataError(f"{path}: the database cannot be read ({error})") from error
    # llm may have copied older responses to turns: one id is one call. Its times are ISO 8601, so they sort as text.
    newest = {turn.id: (at.replace("T", " "), turn) for at, turn in found}
    return [turn for _, turn in sorted(newest.values(), key=lambda each: each[0])]


def _columns(conn: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in conn.execute(f"PRAGMA table_info({table})")}


def _selected(conn: sqlite3.Connection, table: str, *names: str) -> str:
    """Return what to select: columns that older logs lack are NULL."""
    there = _columns(conn, table)
    return ", ".join(name if name in there else f"NULL AS {name}" for name in names)


def _responses(conn: sqlite3.Connection) -> Iterator[tuple[str, Turn]]:
    pieces: dict[str, list[str]] = {}
    if _columns(conn, "prompt_fragments") and _columns(conn, "fragments"):
        for row in conn.execute(
            "SELECT p.response_id, f.content FROM prompt_fragments p JOIN fragments f ON f.id = p.fragment_id "
            'ORDER BY p.response_id, p."order"'
        ):
            pieces.setdefault(row["response_id"], []).append(row["content"] or "")
    names = ("id", "model", "prompt", "response", "system", "input_tokens", "output_tokens", "datetime_utc")
    for row in conn.execute(f"SELECT {_selected(conn, 'responses', *names)} FROM responses ORDER BY rowid"):  # noqa: S608 - names are ours
        prompt = "\n".join([*pieces.get(row["id"], []), row["prompt"] or ""]).strip()
        if prompt:
            yield row["datetime_utc"] or "", Turn(
                str(row["id"]), str(row["model"]), prompt, row["system"], row["response"],
                row["input_tokens"], row["output_tokens"],
            )  # fmt: skip


def _turns(conn: sqlite3.Connection) -> Iterator[tuple[str, Turn]]:
    fragments = {row["id"]: row["content"] or "" for row in conn.execute("SELECT id, content FROM fragments")}
    parts: dict[str, list[sqlite3.Row]] = {}
    for row in conn.execute("SELECT message_hash, type, text, payload FROM parts ORDER BY message_hash, position"):
        parts.setdefault(row["message_hash"], []).append(row)
    messages = {row["hash"]: row for row in conn.execute("SELECT hash, parent_hash, role FROM messages")}

    def text(key: str | None) -> str:
        found = (_text(part, fragments) for part in parts.get(key or "", []) if part["type"] == "text")
        return "\n".join(filter(None, found))

    def system(key: str | None) -> str | None:
        """Return what stands at the head of the chain, where that is a system message."""
        seen: set[str] = set()
        while key is not None and key in messages and key not in seen and messages[key]["parent_hash"] is not None:
            seen.add(key)
            key = messages[key]["parent_hash"]
        return text(key) or None if key in messages and messages[key]["role"] == "system" else None

    names = ("id", "model", "parent_message_hash", "tip_message_hash", "input_tokens", "output_tokens", "datetime_utc")
    for row in conn.execute(f"SELECT {_selected(conn, 'turns', *names)} FROM turns ORDER BY rowid"):  # noqa: S608 - names are ours
        asked = row["parent_message_hash"]
        if asked not in messages or messages[asked]["role"] != "user":
            continue
        prompt = text(asked).strip()
        if prompt and all(part["type"] == "text" for part in parts.get(asked, [])):
            yield row["datetime_utc"] or "", Turn(
                str(row["id"]), str(row["model"]), prompt, system(asked), text(row["tip_message_hash"]) or None,
                row["input_tokens"], row["output_tokens"],
            )  # fmt: skip


def _text(part: sqlite3.Row, fragments: dict[Any, str]) -> str:
    if part["text"] is not None:
        return str(part["text"])
    payload = json.loads(part["payload"]) if part["payload"] else {}
    pieces = payload.get("text_ref") or []
    return "".join(each["literal"] if "literal" in each else fragments.get(each.get("fragment"), "") for each in pieces)
