"""The items of a Responses input as messages of Chat Completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .reading import (
    image_part,
    objects,
    pdf_part,
    refuse,
    refuse_set,
    shown,
    string,
    string_if,
    text,
    text_from_tool,
    word,
)
from .responses_tools import flat_name, given_of
from .tools import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .responses_tools import Toolbox

__all__ = ["messages_of"]

_ROLES: Final = ("user", "assistant", "system", "developer")

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("input_text", "input_image", "input_file"),
    "system": ("input_text",),
    "developer": ("input_text",),
    "assistant": ("output_text", "input_text", "refusal"),
    "tool": ("input_text", "output_text", "input_image", "input_file"),
}
"""What a content may be made of, by role; `tool` is a function's output."""

_TEXT: Final = {"refusal": "refusal"}
"""The field with the text, where it is not `text`."""


_LEFT_OUT: Final = {"reasoning", "web_search_call", "image_generation_call"}
"""What only the provider that made it can read, or has the answer in the message after it."""


def messages_of(value: Any, ignored: list[str], toolbox: Toolbox) -> list[dict[str, Any]]:
    """Return the messages of an input; what is left out is added to `ignored`, and tools are put in the toolbox.

    Reasoning is left out: only the model that thought can read it, and the next arm may be another.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": text(value, "input")}]
    read: list[dict[str, Any]] = []
    calls = Calls()
    for at, item in objects(value, "input"):
        kind = item.get("type", "message")
        if kind == "message":
            _message(item, at, read)
        elif kind in ("function_call", "custom_tool_call"):
            _call(item, at, read, calls)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            known = calls.answered(item.get("call_id"), f"{at}.call_id")
            output = _content(item.get("output"), "tool", f"{at}.output")
            read.append({"role": "tool", "tool_call_id": known, "content": output})
        elif kind == "additional_tools":
            toolbox.add(item.get("tools"), f"{at}.tools")
        elif kind in _LEFT_OUT:
            ignored.append(f"input[].{kind}")
        else:
            raise refuse(f"{at}.type", f"is {shown(kind)}: only messages, tool calls and outputs are supported")
    if not read:
        raise refuse("input", "is empty")
    if not any(message["role"] in ("user", "tool") for message in read):
        raise refuse("input", "has no message of the user's")
    return read


def _message(item: Mapping[str, Any], at: str, read: list[dict[str, Any]]) -> None:
    role = word(item.get("role"), f"{at}.role", _ROLES)
    content = _content(item.get("content"), role, f"{at}.content")
    if role == "assistant" and read and read[-1].get("tool_calls") and read[-1]["content"] is None:
        read[-1]["content"] = content  # one turn of the model's: what it said stands in one message with its calls
    else:
        read.append({"role": "system" if role == "developer" else role, "content": content})


def _call(item: Mapping[str, Any], at: str, read: list[dict[str, Any]], calls: Calls) -> None:
    """Add a call to the assistant's message that it belongs to."""
    custom = item.get("type") == "custom_tool_call"
    key = "input" if custom else "arguments"
    given = item.get(key)
    if custom and isinstance(given, str):
        given = given_of(given)
    name = flat_name(string(item.get("name"), f"{at}.name"), string_if(item, "namespace", f"{at}."))
    call = calls.call(item.get("call_id"), name, given, (f"{at}.call_id", f"{at}.name", f"{at}.{key}"))
    if not read or read[-1]["role"] != "assistant":
        read.append({"role": "assistant", "content": None})
    read[-1].setdefault("tool_calls", []).append(call)


def _content(value: Any, role: str, at: str) -> str | list[dict[str, Any]]:
    clean = text_from_tool if role == "tool" else text
    if not isinstance(value, list):
        return clean(value, at)
    parts = [_part(part, role, place) for place, part in objects(value, at)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _part(part: Mapping[str, Any], role: str, at: str) -> dict[str, Any]:
    kind = word(part.get("type"), f"{at}.type", _PARTS[role])
    refuse_set(part, {"file_id": (), "file_url": ()}, f"{at}.")
    if kind == "input_image":
        return image_part(part.get("image_url"), f"{at}.image_url", detail=part.get("detail"))
    if kind == "input_file":
        return pdf_part(part.get("file_data"), f"{at}.file_data", filename=string_if(part, "filename", f"{at}."))
    clean = text_from_tool if role == "tool" else text
    key = _TEXT.get(kind, "text")
    return {"type": "text", "text": clean(part.get(key), f"{at}.{key}")}
