"""Requests are read with these: values of the kind that is expected, and texts that every later step can hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.prompts.call_fields import image_in, kind_of, output_limit
from scrimp.routing.text.clean import clean_text
from scrimp.routing.text.sanitize import encodable

from .shape import ShapeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from scrimp.routing.prompts.chat import Chat

__all__ = [
    "FORMATS",
    "field_object",
    "flag",
    "image_part",
    "kept",
    "listed",
    "named_schema",
    "needs_of",
    "number_param",
    "obj",
    "objects",
    "pdf_part",
    "plain",
    "put_limit",
    "refuse",
    "refuse_set",
    "session_of",
    "shown",
    "stops",
    "string",
    "string_if",
    "text",
    "text_from_tool",
    "word",
]

FORMATS: Final = ("text", "json_object", "json_schema")
"""The kinds of `response_format`."""

_DEEPEST: Final = 64
"""How deep a schema's JSON may be nested: far more than any provider takes."""

_SESSION_HEADERS: Final = ("x-scrimp-session", "x-claude-code-session-id", "session_id", "session-id", "x-session-id")
"""Headers by which programs name their conversation: ours, Claude Code's, Codex's, opencode's."""

_PDF: Final = "data:application/pdf;base64,"

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}


def refuse(param: str, why: str = "is not supported") -> ShapeError:
    """Return the error of a field."""
    return ShapeError(f"{param} {why}", param=param)


def _expected(param: str, what: str, value: Any) -> ShapeError:
    return ShapeError(f"{param}: expected {what}, got {kind_of(value)}", param=param)


def shown(value: Any) -> str:
    """Return a value for a message, cut short."""
    return repr(encodable(str(value))[:60])


def obj(value: Any, param: str) -> Mapping[str, Any]:
    """Return an object."""
    if not isinstance(value, dict):
        raise _expected(param, "an object", value)
    return value


def field_object(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a field's object, an empty one where it is absent or null."""
    return {} if body.get(key) is None else obj(body[key], key)


def listed(value: Any, param: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise _expected(param, "a list", value)
    return value


def objects(value: Any, param: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of a list, each with its path."""
    for n, each in enumerate(listed(value, param)):
        yield f"{param}[{n}]", obj(each, f"{param}[{n}]")


def flag(value: Any, param: str) -> bool:
    """Return a truth value; null is False."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _expected(param, "true or false", value)
    return value


def string(value: Any, param: str) -> str:
    """Return a string that is no text of a conversation: a name or an id, and not empty."""
    if not isinstance(value, str):
        raise _expected(param, "text", value)
    if not value:
        raise refuse(param, "is empty")
    return encodable(value).replace("\0", "\ufffd")


def string_if(of: Mapping[str, Any], key: str, at: str = "") -> str | None:
    """Return a field's string, or None where it is absent or null."""
    return None if of.get(key) is None else string(of[key], f"{at}{key}")


def text(value: Any, param: str) -> str:
    """Return a text, cleaned as all input is: lone surrogates become U+FFFD, and a NUL is refused."""
    if not isinstance(value, str):
        raise _expected(param, "text", value)
    try:
        return clean_text(encodable(value), what=param)
    except UsageError as error:
        raise ShapeError(error.message, param=param) from None


def text_from_tool(value: Any, param: str) -> str:
    """Return a tool's output: nobody typed it, and it stays in the conversation, so that a NUL becomes U+FFFD."""
    return text(value.replace("\0", "\ufffd") if isinstance(value, str) else value, param)


def word(value: Any, param: str, known: Collection[str]) -> str:
    """Return a string out of those that are known."""
    if not isinstance(value, str):
        raise _expected(param, "text", value)
    if value not in known:
        raise refuse(param, f"is {shown(value)}: expected one of {', '.join(sorted(known))}")
    return value


def plain(value: Any, param: str, *, _depth: int = 0) -> Any:
    """Return JSON with its strings made valid Unicode; numbers that JSON does not have are refused."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(param, "has a number that JSON does not have")
    if not isinstance(value, (dict, list)):
        return value
    if _depth >= _DEEPEST:
        raise refuse(param, f"is nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        return {encodable(key): plain(item, param, _depth=_depth + 1) for key, item in value.items()}
    return [plain(item, param, _depth=_depth + 1) for item in value]


def number_param(params: dict[str, Any], key: str, value: Any) -> None:
    """Put a number among a call's parameters; null leaves it out."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _expected(key, "a number", value)
    if key in ("seed", "top_k"):
        if not isinstance(value, int):
            raise refuse(key, "is no whole number")
    elif not _RANGES[key][0] <= value <= _RANGES[key][1]:
        raise refuse(key, f"is {value}: expected a number from {_RANGES[key][0]} to {_RANGES[key][1]}")
    params[key] = value


def stops(params: dict[str, Any], key: str, value: Any) -> None:
    """Put the texts at which an answer ends among a call's parameters; none, or null, leaves them out."""
    if value is None or value == []:
        return
    if isinstance(value, str):
        params["stop"] = text(value, key)
    else:
        params["stop"] = [text(each, f"{key}[{at}]") for at, each in enumerate(listed(value, key))]


def put_limit(known: int | None, value: Any, key: str) -> int | None:
    """Return the lower of two limits on output; null sets none."""
    if value is None:
        return known
    most = output_limit(value)
    if most is None:
        raise refuse(key, "is no whole number above 0")
    return most if known is None else min(known, most)


def session_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    """Return the first word that names the conversation: a header's, then a field's; last those that name the user."""
    metadata = field_object(body, "metadata")
    for value in (
        *(headers.get(name) for name in _SESSION_HEADERS),
        *(metadata.get(key) for key in ("session_id", "conversation_id")),
        *(body.get(key) for key in ("prompt_cache_key", "user")),
        metadata.get("user_id"),
        body.get("safety_identifier"),
    ):
        if isinstance(value, str) and value.strip():
            return encodable(value)[:512]
    return None


def refuse_set(body: Mapping[str, Any], refused: Mapping[str, tuple[Any, ...]], at: str = "") -> None:
    """Refuse fields that say what is not done; null says nothing, nor do the values named with each."""
    for key, harmless in refused.items():
        value = body.get(key)
        if value is None or any(type(value) is type(one) and value == one for one in harmless):
            continue
        named = f": only {' or '.join(map(repr, harmless))}" if harmless and isinstance(harmless[0], (str, int)) else ""
        raise refuse(f"{at}{key}", f"is not supported{named}")


def image_part(url: Any, param: str, *, detail: Any = None) -> dict[str, Any]:
    """Return a part with an image, from a data: URL of a kind that models take, or one that the provider fetches."""
    if not isinstance(url, str):
        raise _expected(param, "a URL", url)
    if image_in(url) is None and not url.startswith(("https://", "http://")):
        raise refuse(param, "is neither an https: URL nor a base64 data: URL of a PNG, JPEG, GIF or WebP image")
    image = {"url": encodable(url)}
    if detail is not None:
        image["detail"] = word(detail, param, ("auto", "low", "high", "original"))
    return {"type": "image_url", "image_url": image}


def named_schema(of: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return an object with a schema, its name and whether it is strict as OpenAI's `response_format`."""
    form: dict[str, Any] = {
        "name": string(of.get("name", "answer"), f"{at}.name"),
        "schema": plain(obj(of.get("schema"), f"{at}.schema"), f"{at}.schema"),
    }
    if of.get("strict") is not None:
        form["strict"] = flag(of["strict"], f"{at}.strict")
    if of.get("description") is not None:
        form["description"] = text(of["description"], f"{at}.description")
    return {"type": "json_schema", "json_schema": form}


def needs_of(chat: Chat, response_format: Mapping[str, Any] | None) -> frozenset[str]:
    """Return what an arm must be able to do to take a conversation, and to answer in a form."""
    return chat.required if response_format is None else chat.required | {"json"}


def pdf_part(data: Any, param: str, *, filename: str | None = None) -> dict[str, Any]:
    """Return a part with a PDF, from its data: URL."""
    if not isinstance(data, str):
        raise _expected(param, "text", data)
    if not data.startswith(_PDF):
        raise refuse(param, f"does not begin with {_PDF}: no other files are taken")
    return {"type": "file", "file": {"filename": filename or "document.pdf", "file_data": encodable(data)}}


def kept(part: dict[str, Any], of: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return a part with the mark by which a provider is asked to cache what ends there."""
    if of.get("cache_control") is not None:
        param = f"{at}.cache_control"
        part["cache_control"] = plain(obj(of["cache_control"], param), param)
    return part
