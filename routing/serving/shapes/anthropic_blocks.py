"""Anthropic's messages, made of blocks, as OpenAI's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from .reading import (
    flag,
    image_part,
    kept,
    obj,
    objects,
    pdf_part,
    plain,
    refuse,
    refuse_set,
    string,
    text,
    text_from_tool,
    word,
)
from .tools import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["messages_of", "referenced", "system_of"]

_BLOCKS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("text",),
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
    "tool": ("text", "image", "document", "tool_reference"),
}
"""What a content may be made of, by role; `tool` is a tool's result."""

_IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")

_BILLING: Final = re.compile(r"x-anthropic-billing-header:[^\n]*\n*")
"""What Claude Code begins its instructions with: it is for Anthropic's books and not for a model, and in some versions
it is another with each request, at which a provider's prompt cache would be of no use."""

Content = str | list[dict[str, Any]]


def system_of(value: Any, at: str) -> Content | None:
    """Return a system prompt; None where it is null or empty."""
    if value is None or value in ("", []):
        return None
    if isinstance(value, str):
        return _told(text(value, at)) or None
    parts = [_part(block, "system", place) for place, block in objects(value, at)]
    parts = [{**part, "text": _told(part["text"])} for part in parts]
    return _flat([part for part in parts if part["text"]]) or None


def _told(system: str) -> str:
    """Return what of instructions is for the model."""
    head = _BILLING.match(system)
    return system if head is None else system[head.end() :]


def messages_of(value: Any, ignored: list[str]) -> list[dict[str, Any]]:
    """Return the messages of a conversation; what is left out of them is added to `ignored`.

    Thinking is left out: only the model that thought can read it, and the next arm may be another.
    """
    read: list[dict[str, Any]] = []
    calls = Calls()
    for at, message in objects(value, "messages"):
        role = word(message.get("role"), f"{at}.role", ("user", "assistant", "system"))
        ignored += [f"messages[].{key}" for key in message if key not in ("role", "content")]
        content = message.get("content")
        if role == "assistant":
            read.append(_assistant(content, f"{at}.content", calls, ignored))
        elif role == "system":
            system = system_of(content, f"{at}.content")
            if system is None:
                raise refuse(f"{at}.content", "is empty")
            read.append({"role": "system", "content": system})
        else:
            read += _user(content, f"{at}.content", calls)
    if not read:
        raise refuse("messages", "is empty")
    if read[-1]["role"] == "assistant":
        raise refuse("messages", "end with the assistant's: an answer that is begun for the model is not supported")
    if not any(message["role"] in ("user", "tool") for message in read):
        raise refuse("messages", "has no message of the user's")
    return read


def referenced(value: Any) -> set[str]:
    """Return the names of the tools that a search for tools has found, in messages that were read before."""
    contents = (message["content"] for message in value if message["role"] == "user")
    results = (block for content in contents if isinstance(content, list) for block in content)
    found = (part for result in results if isinstance(result.get("content"), list) for part in result["content"])
    return {part["tool_name"] for part in found if part.get("type") == "tool_reference"}


def _user(content: Any, at: str, calls: Calls) -> list[dict[str, Any]]:
    """Return the results of tools that a user's message has, each a message, and then the rest of it."""
    if isinstance(content, str):
        return [{"role": "user", "content": text(content, at)}]
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for place, block in objects(content, at):
        if word(block.get("type"), f"{place}.type", _BLOCKS["user"]) == "tool_result":
            results.append(_result(block, place, calls))
        else:
            parts += _parts(block, "user", place)
    if not results and not parts:
        raise refuse(at, "is empty")
    return [*results, {"role": "user", "content": _flat(parts)}] if parts else results


def _result(block: Mapping[str, Any], at: str, calls: Calls) -> dict[str, Any]:
    known = calls.answered(block.get("tool_use_id"), f"{at}.tool_use_id")
    content = block.get("content")
    parts: list[dict[str, Any]] = []
    if isinstance(content, str):
        parts.append({"type": "text", "text": text_from_tool(content, f"{at}.content")})
    else:
        for place, part in objects([] if content is None else content, f"{at}.content"):
            parts += _parts(part, "tool", place)
    if flag(block.get("is_error"), f"{at}.is_error"):
        parts.insert(0, {"type": "text", "text": "The tool failed:"})  # OpenAI's form has no field for it
    if not parts:
        parts.append({"type": "text", "text": ""})
    parts[-1] = kept(parts[-1], block, at)
    return {"role": "tool", "tool_call_id": known, "content": _flat(parts)}


def _assistant(content: Any, at: str, calls: Calls, ignored: list[str]) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": text(content, at)}
    parts: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    for place, block in objects(content, at):
        kind = word(block.get("type"), f"{place}.type", _BLOCKS["assistant"])
        if kind == "tool_use":
            given = json.dumps(plain(obj(block.get("input"), f"{place}.input"), f"{place}.input"), ensure_ascii=False)
            ats = (f"{place}.id", f"{place}.name", f"{place}.input")
            made.append(kept(calls.call(block.get("id"), block.get("name"), given, ats), block, place))
        elif kind == "text":
            parts += _parts(block, "assistant", place)
        else:
            ignored.append(f"messages[].content[].{kind}")
    read: dict[str, Any] = {"role": "assistant", "content": _flat(parts) if parts else None if made else ""}
    if made:
        read["tool_calls"] = made
    return read


def _flat(parts: list[dict[str, Any]]) -> Content:
    """Return a single plain text as a string, which is what every server takes."""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _parts(block: Mapping[str, Any], role: str, at: str) -> list[dict[str, Any]]:
    """Return what a block becomes: a document may be several parts."""
    kind = word(block.get("type"), f"{at}.type", _BLOCKS[role])
    if kind == "tool_reference":
        found = string(block.get("tool_name"), f"{at}.tool_name")
        return [kept({"type": "text", "text": f"The tool {found} can be called now."}, block, at)]
    if kind != "document":
        return [_part(block, role, at)]
    source, place = obj(block.get("source"), f"{at}.source"), f"{at}.source"
    citations = {} if block.get("citations") is None else obj(block["citations"], f"{at}.citations")
    refuse_set(citations, {"enabled": (False,)}, f"{at}.citations.")
    shape = word(source.get("type"), f"{place}.type", ("base64", "text", "content"))
    title = None if block.get("title") is None else text(block["title"], f"{at}.title")
    heads = [title] if title is not None and shape != "base64" else []
    heads += [] if block.get("context") is None else [text(block["context"], f"{at}.context")]
    parts: list[dict[str, Any]] = [{"type": "text", "text": head} for head in heads]
    if shape == "base64":
        word(source.get("media_type"), f"{place}.media_type", ("application/pdf",))
        data = string(source.get("data"), f"{place}.data")
        parts.append(pdf_part(f"data:application/pdf;base64,{data}", f"{place}.data", filename=title))
    elif shape == "text" or isinstance(source.get("content"), str):
        key = "data" if shape == "text" else "content"
        parts.append({"type": "text", "text": text_from_tool(source.get(key), f"{place}.{key}")})
    else:
        parts += [_part(part, "tool", each) for each, part in objects(source.get("content"), f"{place}.content")]
    if not parts:
        raise refuse(f"{place}.content", "is empty")
    parts[-1] = kept(parts[-1], block, at)
    return parts


def _part(block: Mapping[str, Any], role: str, at: str) -> dict[str, Any]:
    kind = word(block.get("type"), f"{at}.type", ("text", "image") if role == "tool" else _BLOCKS[role])
    if kind != "image":
        clean = text_from_tool if role == "tool" else text
        return kept({"type": "text", "text": clean(block.get("text"), f"{at}.text")}, block, at)
    source, place = obj(block.get("source"), f"{at}.source"), f"{at}.source"
    if word(source.get("type"), f"{place}.type", ("base64", "url")) == "url":
        return kept(image_part(source.get("url"), f"{place}.url"), block, at)
    media_type = word(source.get("media_type"), f"{place}.media_type", _IMAGES)
    data = string(source.get("data"), f"{place}.data")
    return kept(image_part(f"data:{media_type};base64,{data}", f"{place}.data"), block, at)
