"""`scrimp log conversations`: which conversations there are, and how they are called."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.money import NANO, format_usd
from scrimp.routing.text.moments import local_time, with_zone

from . import session
from .complete import complete_conversations
from .options import DaysOption, JsonOption, SinceOption, days_back
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["conversations", "memory_line", "memory_words"]


def conversations(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many, the last answered first.")] = 20,
    days: DaysOption = None,
    since: SinceOption = None,
    name: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--name",
            metavar="ID NAME",
            help="Call this conversation so, and list nothing.",
            autocompletion=complete_conversations,
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    """List conversations: `ask --cid NAME` goes on with one."""
    from scrimp.routing.reports.conversations import list_conversations, name_conversation

    ledger, now = session.ledger_to_read(), time.time()
    if name is not None:
        found = name_conversation(ledger, *name, now=now)
        say(f"conversation {found} is called {name[1]}")
        return 0
    rows = list_conversations(ledger, now=now, days=days_back(days, since, now=now), limit=limit)
    if not rows and not json:
        say("there are no conversations")
    last = with_zone("last", (row["last_at"] for row in rows))
    table = Table(
        (
            Column("id"), Column("name"), Column("turns", "right"), Column(last), Column("tokens", "right"),
            Column("cost", "right"), Column("began with", narrow="below"),
        ),
        [
            (
                row["id"],
                row["name"] or "-",
                str(row["turns"]),
                local_time(row["last_at"]),
                f"{row['tokens'] or 0:,}",
                format_usd(round((row["charged_usd"] or 0.0) * NANO)),
                "(not kept)" if row["first"] is None else _short(row["first"]),
            )
            for row in rows
        ],
    )  # fmt: skip
    return emit(Result(data={"schema_version": 1, "rows": rows}, blocks=(table,) if rows else ()), as_json=json)


def memory_words(memory: Mapping[str, Any]) -> str:
    """Return in few words what of a conversation went along, from what the log keeps of that."""
    n, of = len(memory["turns"]), memory["n_turns"]
    if n == of:
        return f"all {of} earlier turns" if of > 1 else "1 earlier turn"
    return f"{n} of {of} earlier turns{' and a summary' if memory['summary_upto'] else ''}"


def memory_line(memory: Mapping[str, Any]) -> str:
    """Return what of a conversation went along, and how it was chosen."""
    asked = "" if memory["wanted"] == memory["tier"] else f" (asked for: {memory['wanted']})"
    within = "" if memory["budget"] is None else f", within {memory['budget']:,}"
    turns = "" if memory["budget"] is None else f": {', '.join(memory['turns'])}"
    size = f"about {memory['n_tokens']:,} of {memory['n_all']:,} tokens{within}"
    return f"memory {memory['tier']}{asked}: {memory_words(memory)}, {size}{turns}"


def _short(text: str, width: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
