"""Chats as OpenAI's interface spells them: a conversation, and what is wanted of the call that goes on with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.prompt import Attachment, Prompt, Turn

from .rows import kind_of, prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .source import Source

__all__ = ["CALL_FIELDS", "Wanted", "chat", "wanted_of"]

_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
_PARAMS: Final = frozenset({"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"})
_WITHOUT_EFFECT: Final = frozenset(
    {"model", "user", "metadata", "store", "service_tier", "stream_options", "safety_identifier", "prompt_cache_key"}
)
"""What is left out: it changes no answer, or (`model`) is what scrimp decides."""

_AS_WE_DO: Final[Mapping[str, Any]] = {"n": 1, "stream": False, "modalities": ["text"], "logprobs": False}
"""What may be said, since it is so in any case."""

CALL_FIELDS: Final = (
    _LIMITS
    | _PARAMS
    | _WITHOUT_EFFECT
    | _AS_WE_DO.keys()
    | {"reasoning_effort", "response_format", "tools", "tool_choice", "functions", "function_call", "logit_bias"}
)
"""Fields beside `messages` that are about the call; others are the user's own."""

_CHANGES_THE_MESSAGE: Final = ("tool_calls", "tool_call_id", "function_call", "name", "audio", "prefix")
_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.*)", re.DOTALL)


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
        if key in _WITHOUT_EFFECT or item is None:
            continue
        if key in _LIMITS:
            if isinstance(item, float) and item.is_integer():
                item = int(item)  # noqa: PLW2901 - as programs write it that know no whole numbers
            if not isinstance(item, int) or isinstance(item, bool) or item < 1:
                raise DataError(f"{where}{key}: expected a whole number above 0")
            limit = item if limit is None else min(limit, item)
        elif key in _PARAMS:
            params[key] = item
        elif key == "reasoning_effort" and isinstance(item, str) and re.fullmatch("[a-z]{1,16}", item):
            needs.add(f"effort-{item}")
        elif key == "response_format" and isinstance(item, dict):
            response_format = None if item.get("type") == "text" else item
        elif (
            key not in _AS_WE_DO
            or item != _AS_WE_DO[key]
            or isinstance(item, bool) is not isinstance(_AS_WE_DO[key], bool)
        ):
            raise DataError(
                f"{where}{key} is not supported", hint=f"Leave it out: jq -c 'del(.{where}{key})' FILE > NEW"
            )
    if response_format is not None:
        needs.add("json")
    return Wanted(limit, params, response_format, frozenset(needs))


def chat(source: Source, messages: Any, *, system: str | None = None, needs: frozenset[str] = frozenset()) -> Prompt:
    """Return the prompt of messages: system first, then user and assistant, a user last; a user may speak twice.

    Parameters
    ----------
    system
        A system prompt that stands beside them.

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
