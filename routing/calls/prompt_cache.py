"""Prompt caches that have to be asked for: Claude's keep what is marked, up to the mark, and nothing else.

A chat comes back turn after turn with the same beginning. What was kept of it costs a tenth of the price of input, and
keeping it a quarter on top (an hour: as much again): the marks pay from the second turn on. So it is with files that
several questions are asked about.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["cached_prompt", "marked_block", "priced_marks"]

_MARK: Final = "cache_control"
_CLAUDE_SELLERS: Final = frozenset({"anthropic", "bedrock", "vertex_ai", "azure_ai", "databricks", "openrouter"})


def cached_prompt(
    model: str, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, marks: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return copies of messages and tools as they are sent: without marks where the provider does not know them.

    Parameters
    ----------
    model
        LiteLLM's name for it, with its provider's prefix.
    marks
        Whether to mark what is worth keeping: the system's text, the tools, and all of a chat that has come to its
        second turn. Where the caller has marked anything, that stands.
    """
    sent = [copy.deepcopy(dict(message)) for message in messages]
    offered = [copy.deepcopy(dict(tool)) for tool in tools]
    if not _takes_marks(model):
        # Others refuse them, and LiteLLM has Gemini keep what is marked in a request of its own, which is not reserved.
        return _without(sent, _MARK), _without(offered, _MARK)
    going_on = any(message.get("role") == "assistant" for message in sent)
    if marks and going_on and not (_has_mark(sent) or _has_mark(offered)):
        for roles in (("system",), ("user", "tool")):
            newest = next((each for each in reversed(sent) if each.get("role") in roles), None)
            if newest is not None:
                _mark(newest)
        if offered:
            offered[-1][_MARK] = {"type": "ephemeral"}
    return sent, offered


def marked_block(model: str, messages: Sequence[Mapping[str, Any]], block: str) -> tuple[Mapping[str, Any], ...]:
    """Return messages with what the last of them begins with as a part of its own, marked to be kept.

    They stay as they are for a model that takes no marks, and where the last does not begin with `block`.
    """
    if not block or not messages or not _takes_marks(model):
        return tuple(messages)
    *before, last = messages
    content = last.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    text = parts[0].get("text") if parts else None
    if not isinstance(text, str) or not text.startswith(block) or not text[len(block) :].strip():
        return tuple(messages)
    first = {"type": "text", "text": block, _MARK: {"type": "ephemeral"}}
    return (*before, {**last, "content": [first, {**parts[0], "text": text[len(block) :]}, *parts[1:]]})


def priced_marks(values: Sequence[Mapping[str, Any]], *, writes: bool, hours: bool) -> tuple[Mapping[str, Any], ...]:
    """Return messages or tools without the marks whose price is not known: it would be paid above what is reserved.

    Parameters
    ----------
    writes, hours
        Whether the price of writing to the cache is known, and that of keeping it for an hour.
    """
    if (writes and hours) or not _has_mark(values):
        return tuple(values)
    plain = [copy.deepcopy(dict(value)) for value in values]
    return tuple(_without(plain, "ttl", within=_MARK) if writes else _without(plain, _MARK))


def _takes_marks(model: str) -> bool:
    """Tell whether a model is Claude, at a seller that passes marks on."""
    name = model.lower()
    seller = name.partition("/")[0] if "/" in name else "anthropic"
    return seller == "anthropic" or (seller in _CLAUDE_SELLERS and "claude" in name)


def _mark(message: dict[str, Any]) -> None:
    """Mark a message, on its last part: an empty text cannot be marked."""
    content = message.get("content")
    if isinstance(content, str) and content:
        message[_MARK] = {"type": "ephemeral"}
    elif isinstance(content, list) and content and isinstance(content[-1], dict) and content[-1].get("text") != "":
        content[-1][_MARK] = {"type": "ephemeral"}


def _layers(value: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the places in a message or a tool where a mark can stand."""
    parts = value.get("content")
    yield from (value, value.get("function"), *(parts if isinstance(parts, list) else ()))


def _has_mark(values: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        isinstance(layer, dict) and layer.get(_MARK)
        for value in values
        if len(value) > 2 or not isinstance(value.get("content"), str)  # else it is plain text: nearly all are
        for layer in _layers(value)
    )


def _without(values: list[dict[str, Any]], key: str, *, within: str | None = None) -> list[dict[str, Any]]:
    """Take a key out of values (where `within` is given: out of what stands under that)."""
    for value in values:
        for layer in _layers(value):
            holder = layer.get(within) if within is not None and isinstance(layer, dict) else layer
            if isinstance(holder, dict):
                holder.pop(key, None)
    return values
