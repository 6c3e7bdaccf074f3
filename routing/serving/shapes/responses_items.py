"""The items of a Responses input as messages of Chat Completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .reading import image_part, objects, pdf_part, refuse, refuse_set, shown, string_if, text, text_from_tool, word
from .tools import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def messages_of(value: Any, ignored: list[str]) -> list[dict[str, Any]]:
    """Return the messages of an input; what is left out is added to `ignored`.

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
        elif kind == "function_call":
            _call(item, at, read, calls)
        elif kind == "function_call_output":
            known = calls.answered(item.get("call_id"), f"{at}.call_id")
            output = _content(item.get("output"), "tool", f"{at}.output")
            read.append({"role": "tool", "tool_call_id": known, "content": output})
        elif kind == "reasoning":
            ignored.append("input[].reasoning")
        else:
            raise refuse(f"{at}.type", f"is {shown(kind)}: only messages and function calls are supported")
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
    ats = (f"{at}.call_id", f"{at}.name", f"{at}.arguments")
    call = calls.call(item.get("call_id"), item.get("name"), item.get("arguments"), ats)
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
