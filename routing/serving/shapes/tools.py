"""Tools, which one must be called, and calls with their results, in OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.text.sanitize import encodable

from .reading import flag, obj, plain, refuse, shown, string, text, word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Calls", "chosen", "function_tool", "openai_choice"]


def function_tool(of: Mapping[str, Any], at: str, *, schema: str = "parameters") -> dict[str, Any]:
    """Return a function that may be called.

    Parameters
    ----------
    schema
        The field with the schema of its arguments.
    """
    function: dict[str, Any] = {"name": string(of.get("name"), f"{at}.name")}
    if of.get("description") is not None:
        function["description"] = text(of["description"], f"{at}.description")
    if of.get(schema) is not None:
        function["parameters"] = plain(obj(of[schema], f"{at}.{schema}"), f"{at}.{schema}")
    if of.get("strict") is not None:
        function["strict"] = flag(of["strict"], f"{at}.strict")
    return {"type": "function", "function": function}


def chosen(choice: str | None, name: Any, tools: Sequence[Mapping[str, Any]], at: str) -> str | dict[str, Any] | None:
    """Return OpenAI's `tool_choice`.

    Parameters
    ----------
    choice
        auto, none or required; None where one is named.
    name
        The one that is named.
    at
        The path of the field with the choice, or with the name.
    """
    if choice is None:
        named = string(name, at)
        if all(tool["function"]["name"] != named for tool in tools):
            raise refuse(at, f"is {shown(named)}, which is none of the tools")
        return {"type": "function", "function": {"name": named}}
    if not tools:
        if choice == "required":
            raise refuse(at, "is given without tools")
        return None
    return choice


def openai_choice(
    value: Any, tools: Sequence[Mapping[str, Any]], *, inside: str | None = None
) -> str | dict[str, Any] | None:
    """Return the choice of one of OpenAI's interfaces; `inside` is the field with the name, where it is not beside."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return chosen(word(value, "tool_choice", ("auto", "none", "required")), None, tools, "tool_choice")
    word(value.get("type"), "tool_choice.type", ("function",))
    at = "tool_choice" if inside is None else f"tool_choice.{inside}"
    return chosen(None, obj(value if inside is None else value.get(inside), at).get("name"), tools, f"{at}.name")


class Calls:
    """The tool calls of a conversation: a result belongs to one that came before it, or providers refuse the whole."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def call(self, id: Any, name: Any, arguments: Any, ats: tuple[str, str, str]) -> dict[str, Any]:  # noqa: A002
        """Return a call; `ats` are the paths of its id, its name and its arguments, which are JSON text."""
        known = string(id, ats[0])
        self._ids.add(known)
        if not isinstance(arguments, str):
            raise refuse(ats[2], "is no text")
        function = {"name": string(name, ats[1]), "arguments": encodable(arguments)}
        return {"id": known, "type": "function", "function": function}

    def answered(self, id: Any, param: str) -> str:  # noqa: A002 - the field's name
        """Return the id of the call that a result belongs to."""
        known = string(id, param)
        if known not in self._ids:
            raise refuse(param, f"is {shown(known)}: no tool call of that id comes before it")
        return known
