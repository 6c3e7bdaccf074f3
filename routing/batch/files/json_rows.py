"""Rows of JSON Lines: a prompt, messages, or the OpenAI Batch shape."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn

from .rows import Row, fill, id_of, kind_of, prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .source import Source

__all__ = ["json_row"]

_BODY_PARAMS: Final = frozenset({"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"})
_BODY_IGNORED: Final = frozenset({"model", "user", "metadata", "store", "service_tier", "stream_options"})
_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.*)", re.DOTALL)


def json_row(source: Source, n: int, line: int, text: str) -> Row:
    """Return the row of a line.

    Raises
    ------
    DataError, UsageError
        If it cannot be asked.
    """
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error) or "nested too deeply"
        raise DataError(f"not JSON: {what}") from None
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {kind_of(value)}")
    if isinstance(value.get("body"), dict) and source.column is None and source.template is None:
        return _openai_row(source, n, line, value)
    name = id_of(value.get("id", value.get("custom_id")), line)
    system = value.get("system")
    if system is not None and not isinstance(system, str):
        raise DataError(f"system: expected text, got {kind_of(system)}")
    plan = value.get("plan")
    if plan is not None and not isinstance(plan, str):
        raise DataError(f"plan: expected text such as 'small ? checks > large', got {kind_of(plan)}")
    if source.template is not None:
        return Row(n, line, name, prompt_of(source, fill(source.template, value), system=system), plan=plan)
    key = source.column or "prompt"
    if key in value:
        if not isinstance(value[key], str):
            raise DataError(f"{key}: expected text, got {kind_of(value[key])}")
        return Row(n, line, name, prompt_of(source, value[key], system=system), plan=plan)
    if source.column is None and "messages" in value:
        return Row(n, line, name, _chat(source, value["messages"]), plan=plan)
    wanted = repr(key) if source.column else '"prompt" or "messages"'
    raise DataError(f"no {wanted} in it (it has: {', '.join(map(repr, list(value)[:8])) or 'nothing'})")


def _openai_row(source: Source, n: int, line: int, value: dict[str, Any]) -> Row:
    """Read a row of OpenAI's Batch files; what would change its price or its shape and is not known is refused."""
    body = value["body"]
    url = value.get("url", "/v1/chat/completions")
    if not isinstance(url, str) or not url.endswith("/chat/completions"):
        raise DataError(f"url: only /v1/chat/completions is answered, not {str(url)[:60]!r}")
    limit: int | None = None
    params: dict[str, Any] = {}
    response_format: Mapping[str, Any] | None = None
    for key, item in body.items():
        if key == "messages" or key in _BODY_IGNORED or item is None:
            continue
        if key in ("max_tokens", "max_completion_tokens"):
            if not isinstance(item, int) or isinstance(item, bool) or item < 1:
                raise DataError(f"body.{key}: expected a whole number above 0")
            limit = item if limit is None else min(limit, item)
        elif key in _BODY_PARAMS:
            params[key] = item
        elif key == "response_format" and isinstance(item, dict):
            response_format = None if item.get("type") == "text" else item
        elif (key == "n" and item == 1) or (key == "stream" and item is False):
            continue
        else:
            raise DataError(f"body.{key} is not supported")
    prompt = _chat(source, body.get("messages"), needs=frozenset() if response_format is None else frozenset({"json"}))
    prompt = replace(prompt, own_format=response_format)
    name = id_of(value.get("custom_id", value.get("id")), line)
    return Row(n, line, name, prompt, limit, params, response_format, openai=True)


def _chat(source: Source, messages: Any, *, needs: frozenset[str] = frozenset()) -> Prompt:
    """Return the prompt of OpenAI-style messages: system first, then user and assistant in turn, a user last."""
    if not isinstance(messages, list) or not messages:
        raise DataError("messages: expected a list of messages")
    systems: list[str] = []
    turns: list[Turn] = []
    asked: str | None = None
    attachments: tuple[Attachment, ...] = ()
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            raise DataError(f"messages[{at}]: expected an object, got {kind_of(message)}")
        role = message.get("role")
        text, images = _content(message.get("content"), at)
        if images and not (role == "user" and at == len(messages) - 1):
            raise DataError(f"messages[{at}]: images are taken in the last message only")
        if role in ("system", "developer") and asked is None and not turns:
            systems.append(text)
        elif role == "user" and asked is None:
            asked, attachments = text, images
        elif role == "assistant" and asked is not None:
            turns.append(Turn(asked, text))
            asked = None
        else:
            raise DataError(
                f"messages[{at}]: role {str(role)[:40]!r} is out of turn (a system message first, then user and "
                "assistant by turns)"
            )
    if asked is None:
        raise DataError("messages: the last message is not the user's")
    return prompt_of(
        source,
        asked,
        system="\n\n".join(systems) if systems else None,
        history=tuple(turns),
        attachments=attachments,
        needs=needs,
    )


def _content(content: Any, at: int) -> tuple[str, tuple[Attachment, ...]]:
    """Return the text and the images of a message."""
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise DataError(f"messages[{at}].content: expected text or a list of parts, got {kind_of(content)}")
    texts: list[str] = []
    images: list[Attachment] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
            continue
        url = part.get("image_url") if kind == "image_url" else None
        url = url.get("url") if isinstance(url, dict) else url
        found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
        if found is None:
            raise DataError(f"messages[{at}].content: only text and images as data: URLs are taken")
        import base64
        import binascii

        try:
            data = base64.b64decode(found[2], validate=True)
        except (binascii.Error, ValueError):
            raise DataError(f"messages[{at}].content: an image is not base64") from None
        images.append(Attachment(f"image-{len(images) + 1}", found[1], data))
    return "\n\n".join(texts), tuple(images)
