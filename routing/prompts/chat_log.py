"""Conversations as the log keeps them: each request with what is new since the one that it goes on from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .chat import FILES, IMAGES, Chat, parts_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["IN_TOOL_LOOP", "After", "Lost", "after_of", "columns", "format_of", "lines", "rebuilt"]

IN_TOOL_LOOP: Final = '{"in_tool_loop": true'
"""How the kept messages of a request begin where it reads what tools gave: its `prompt` then is no user's."""

_RESULT_CHARS: Final = 400
"""So much of what a tool gave stands for a request that goes on with it, in the log's lists and its search."""


class Lost(Exception):  # noqa: N818 - a reason, told to the user as another error
    """A conversation cannot be put together again; the text says why."""


@dataclass(frozen=True, slots=True)
class After:
    """Where a conversation was last, so that only what is new is kept of its next request.

    Attributes
    ----------
    request_id
        The request that is on record with all that came before.
    n_messages
        How many of the messages those are, not counting the instructions ahead of them.
    system, tools
        Whether the instructions, and the tools, are still those that were kept.
    """

    request_id: str
    n_messages: int
    system: bool = True
    tools: bool = True


def columns(chat: Chat, after: After | None, own_format: Mapping[str, Any] | None = None) -> dict[str, str | None]:
    """Return the text of a chat as columns of the log: system, prompt, attachments and messages.

    One user's message without tools is kept as any prompt is. Of other chats `messages` is a JSON object: `messages`
    are those that are new since the request `after` (all, where there is none), without the instructions that stand
    ahead of them, which are `system`; `tools` where they are not as they were; `tool_choice` and `response_format`
    (`own_format`) where they were given. So a conversation is kept once, however many turns it has. `system` is null
    where it is as it was. Of an image or a file a description is kept, not its bytes.
    """
    n_known = chat.n_system + (0 if after is None else after.n_messages)
    new = chat.messages[n_known:]
    system = None if after is not None and after.system else chat.system
    if after is not None and not after.system and system is None:
        system = ""  # there were some, and are none now
    if after is None and own_format is None and _plain(chat):
        return {"system": system, "prompt": chat.asked, "attachments": None, "messages": None}
    described: list[dict[str, Any]] = []
    kept: dict[str, Any] = {"in_tool_loop": True} if chat.in_tool_loop else {}
    if after is not None:
        kept["after"] = after.request_id
    kept["messages"] = [_without_bytes(message, described) for message in new]
    if chat.tools if after is None else not after.tools:
        kept["tools"] = list(chat.tools)
    if chat.tool_choice is not None:
        kept["tool_choice"] = chat.tool_choice
    if own_format is not None:
        kept["response_format"] = own_format
    prompt = "\n".join(_told(name, text) for name, text in chat.results) if chat.in_tool_loop else chat.asked
    return {
        "system": system,
        "prompt": prompt,
        "attachments": json.dumps(described) if described else None,
        "messages": json.dumps(kept),
    }


def _plain(chat: Chat) -> bool:
    """Tell whether a chat is one user's message of text, whole as `asked` says it."""
    said = chat.messages[chat.n_system :]
    return (
        len(said) == 1
        and said[0].get("role") == "user"
        and not chat.with_tools
        and chat.tool_choice is None
        and all(isinstance(part, str) for part in parts_of(said[0]))
        and text_of(said[0].get("content")) == chat.asked
    )


def _told(name: str, text: str) -> str:
    short = text if len(text) <= _RESULT_CHARS else f"{text[:_RESULT_CHARS]}… ({len(text):,} characters)"
    return f"[{name or 'tool'} gave] {short}"


def _without_bytes(message: Mapping[str, Any], described: list[dict[str, Any]]) -> Mapping[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts: list[Any] = []
    for part in content:
        description = _described(part)
        if description is None:
            parts.append(part)
        else:
            described.append(description)
            parts.append({"type": part["type"], "kept": description})
    return {**message, "content": parts}


def _described(part: Any) -> dict[str, Any] | None:
    """Return what is kept of an image or a file in place of its bytes; None for other parts, and for an URL's."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in IMAGES | FILES:
        return None
    held = part.get(kind)
    given = held if isinstance(held, dict) else {"url": held}
    url = str(given.get("url") or given.get("file_data") or given.get("data") or "")
    if url.startswith(("http://", "https://")):
        return None
    head, comma, body = url.partition(",")
    try:
        data = base64.b64decode(body if comma else url, validate=False)
    except (binascii.Error, ValueError):
        data = url.encode()
    media_type = head.removeprefix("data:").partition(";")[0] if comma else str(given.get("format") or kind)
    digest = hashlib.sha256(data).hexdigest()
    name = str(given.get("filename") or given.get("file_id") or "image")
    return {"name": name, "media_type": media_type, "n_bytes": len(data), "sha256": digest}


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kept messages of a row of the log as an object, whatever form they have there."""
    kept = json.loads(row["messages"] or "[]")
    if isinstance(kept, dict):
        return kept
    said: list[dict[str, Any]] = []
    for asked, answered in kept:
        said.append({"role": "user", "content": asked})
        if answered is not None:
            said.append({"role": "assistant", "content": answered})
    return {"messages": [*said, {"role": "user", "content": row["prompt"]}]}


def format_of(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the `response_format` that a row of the log was asked with; None where it had none."""
    found: dict[str, Any] | None = _read(row).get("response_format")
    return found


def after_of(row: Mapping[str, Any]) -> str | None:
    """Return the id of the request that a row of the log goes on from; None where it is whole."""
    kept = json.loads(row["messages"] or "[]")
    return kept.get("after") if isinstance(kept, dict) else None


def rebuilt(rows: Sequence[Mapping[str, Any]]) -> tuple[Chat, After | None]:
    """Return the chat of a logged request, and what of it was kept with the request before it.

    Parameters
    ----------
    rows
        Of the log, each going on from the one before it; the last is the request's. With id, system, prompt, messages.

    Raises
    ------
    Lost
        If the bytes of an image or a file are in it, which the log does not keep, or text was not kept.
    """
    messages: list[Mapping[str, Any]] = []
    tools: tuple[Mapping[str, Any], ...] = ()
    system: str | None = None
    after: After | None = None
    kept: dict[str, Any] = {}
    for row in rows:
        if row["prompt"] is None:
            raise Lost(f"the text of {row['id']} was not kept")
        kept = _read(row)
        if "after" in kept:
            same = row["system"] is None
            after = After(kept["after"], len(messages), system=same, tools="tools" not in kept)
        else:
            messages, tools, system, after = [], (), None, None
        messages += kept["messages"]
        tools = tuple(kept.get("tools", tools))
        system = system if row["system"] is None else row["system"]
    if any("kept" in part for message in messages for part in parts_of(message) if not isinstance(part, str)):
        raise Lost("an image or a file is in it, which the log does not keep")
    first: tuple[Mapping[str, Any], ...] = ({"role": "system", "content": system},) if system else ()
    return Chat((*first, *messages), tools, kept.get("tool_choice")), after


def lines(row: Mapping[str, Any], *, width: int = 200) -> list[str]:
    """Return what is new in a request of a conversation, a line a message; [] where there is no more than its prompt.

    Parameters
    ----------
    width
        Characters that are shown of each text at most.
    """
    kept = json.loads(row["messages"] or "[]")
    if not isinstance(kept, dict):
        return []
    n = len(kept.get("tools", ()))
    found = [f"tools: {n} offered"] if n else []
    for message in kept["messages"]:
        text = text_of(message.get("content"))
        others = [part for part in parts_of(message) if not isinstance(part, str)]
        said = [_short(text, width)] if text.strip() else []
        said += [f"({part.get('kept', {}).get('media_type') or part.get('type')})" for part in others]
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            said.append(f"{function.get('name')}({_short(str(function.get('arguments') or ''), width)})")
        found.append(f"{message.get('role')}: {' '.join(said) or '(nothing)'}")
    return found


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
