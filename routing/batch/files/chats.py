"""Chats as OpenAI's interface spells them: a conversation, and what is wanted of the call that goes on with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.call_fields import (
    AS_WE_DO,
    LIMITS,
    PARAMS,
    WITHOUT_EFFECT,
    image_in,
    is_as_we_do,
    kind_of,
    output_limit,
)
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn

from .rows import prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .source import Source

__all__ = ["CALL_FIELDS", "Wanted", "chat", "wanted_of"]

CALL_FIELDS: Final = (
    LIMITS
    | PARAMS
    | WITHOUT_EFFECT
    | AS_WE_DO.keys()
    | {"reasoning_effort", "response_format", "tools", "tool_choice", "functions", "function_call", "logit_bias"}
)
"""Fields beside `messages` that are about the call; others are the user's own."""

_NOTHING: Final[Mapping[str, Any]] = {}

_CHANGES_THE_MESSAGE: Final = ("tool_calls", "tool_call_id", "function_call", "name", "audio", "prefix")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a row wants of its call.

    Attributes
    ----------
    needs
        What an arm must be able to do.
    """

    limit: int | None
    params: Mapping[str, Any]
    response_format: Mapping[str, Any] | None
    needs: frozenset[str]


def wanted_of(fields: Mapping[str, Any], where: str) -> Wanted:
    """Read the fields of a call; what would change its price or its shape and is not known is refused.

    Parameters
    ----------
    where
        What stands before their names in messages.

    Raises
    ------
    DataError
        If one cannot be kept to.
    """
    limit: int | None = None
    params: dict[str, Any] = {}
    response_format: Mapping[str, Any] | None = None
    needs: set[str] = set()
    for key, item in fields.items():
        if key in WITHOUT_EFFECT or item is None:
            continue
        if key in LIMITS:
            most = output_limit(item)
            if most is None:
                raise DataError(f"{where}{key}: expected a whole number above 0")
            limit = most if limit is None else min(limit, most)
        elif key in PARAMS:
            params[key] = item
        elif key == "reasoning_effort" and isinstance(item, str) and re.fullmatch("[a-z]{1,16}", item):
            needs.add(f"effort-{item}")
        elif key == "response_format" and isinstance(item, dict):
            response_format = None if item.get("type") == "text" else item
        elif not is_as_we_do(key, item):
            raise DataError(
                f"{where}{key} is not supported", hint=f"Leave it out: jq -c 'del(.{where}{key})' FILE > NEW"
            )
    if response_format is not None:
        needs.add("json")
    return Wanted(limit, params, response_format, frozenset(needs))


def chat(
    source: Source,
    messages: Any,
    *,
    system: str | None = None,
    needs: frozenset[str] = frozenset(),
    own: Mapping[str, Any] = _NOTHING,
    schema: Mapping[str, Any] | None = None,
) -> Prompt:
    """Return the prompt of messages: system first, then user and assistant, a user last; a user may speak twice.

    Parameters
    ----------
    system
        A system prompt that stands beside them.
    own, schema
        As in `prompt_of`.

    Raises
    ------
    DataError
        If they are no conversation that can be sent as it is.
    """
    if not isinstance(messages, list) or not messages:
        raise DataError("messages: expected a list of messages")
    systems: list[str] = [] if system is None else [system]
    turns: list[Turn] = []
    asked: str | None = None
    attachments: tuple[Attachment, ...] = ()
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            raise DataError(f"messages[{at}]: expected an object, got {kind_of(message)}")
        odd = next((key for key in _CHANGES_THE_MESSAGE if message.get(key)), None)
        if odd is not None:
            raise DataError(f"messages[{at}].{odd} is not supported")
        role = message.get("role")
        text, images = _content(message.get("content"), at)
        if images and not (role == "user" and at == len(messages) - 1):
            raise DataError(f"messages[{at}]: images are taken in the last message only")
        if role in ("system", "developer") and asked is None and not turns:
            systems.append(text)
        elif role == "user":
            if asked is not None:
                turns.append(Turn(asked, None))
            asked, attachments = text, images
        elif role == "assistant" and asked is not None:
            turns.append(Turn(asked, text))
            asked = None
        else:
            raise DataError(
                f"messages[{at}]: role {str(role)[:40]!r} is out of turn (system messages first, then user and "
                "assistant, one answer at most to what the user says)"
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
        own=own,
        schema=schema,
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
        if kind in ("text", "input_text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
            continue
        url = part.get("image_url") if kind == "image_url" else None
        url = url.get("url") if isinstance(url, dict) else url
        found = image_in(url)
        if found is None:
            raise DataError(f"messages[{at}].content: only text and images as data: URLs are taken")
        import base64
        import binascii

        try:
            data = base64.b64decode(found[1], validate=True)
        except (binascii.Error, ValueError):
            raise DataError(f"messages[{at}].content: an image is not base64") from None
        images.append(Attachment(f"image-{len(images) + 1}", found[0], data))
    return "\n\n".join(texts), tuple(images)
