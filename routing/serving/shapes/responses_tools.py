"""The tools of a Responses request as functions, which is all that every provider has, and calls of them back again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from .offered import Offered
from .reading import field_object, objects, refuse, shown, string, string_if, text, word
from .tools import chosen, function_tool, openai_choice

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Toolbox", "flat_name", "given_of", "input_of"]

_READ: Final = {"type", "name", "description", "parameters", "strict", "format", "tools"}

_LONGEST: Final = 64
"""Providers take no longer names."""

_DEFAULT: Final = "functions"
"""The namespace of tools that are in none."""

_INPUT: Final = "input"

_RUN_THERE: Final = (
    "web_search",
    "file_search",
    "code_interpreter",
    "image_generation",
    "mcp",
    "tool_search",
)
"""Tools that the provider runs itself, by how their types begin (`web_search_preview`)."""


class Toolbox:
    """The tools that a request offers, in all its places.

    Tools that the provider itself would run (a search of the web) are left out where there are others, since no other
    provider has them, and agents offer them with each request.
    """

    def __init__(self, ignored: list[str]) -> None:
        self._ignored = ignored
        self._functions: dict[str, dict[str, Any]] = {}
        self._offered: dict[str, Offered] = {}
        self._left_out: dict[str, str] = {}

    def add(self, value: Any, at: str, *, namespace: str | None = None) -> None:
        """Add a list of tools; one of the same name takes the place of an earlier one."""
        for place, tool in objects([] if value is None else value, at):
            kind = string(tool.get("type"), f"{place}.type")
            if kind == "namespace":
                self.add(tool.get("tools"), f"{place}.tools", namespace=string(tool.get("name"), f"{place}.name"))
                continue
            if kind.startswith(_RUN_THERE):
                self._left_out.setdefault(kind, f"{place}.type")
                continue
            word(kind, f"{place}.type", ("function", "custom", "namespace"))
            self._ignored += [f"tools[].{key}" for key in tool if key not in _READ]
            name = string(tool.get("name"), f"{place}.name")
            flat = flat_name(name, namespace)
            function = function_tool(tool, place) if kind == "function" else _as_function(tool, place)
            function["function"]["name"] = flat
            self._functions[flat] = function
            self._offered.pop(flat, None)
            if kind == "custom" or namespace is not None:
                self._offered[flat] = Offered(name, namespace, kind == "custom")

    @property
    def offered(self) -> Mapping[str, Offered]:
        """The tools that are no plain functions, by the names that the model calls them by."""
        return self._offered

    def functions(self) -> tuple[dict[str, Any], ...]:
        """Return all as functions.

        Raises
        ------
        ShapeError
            If all of the tools are the provider's own.
        """
        if self._left_out and not self._functions:
            kind, at = next(iter(self._left_out.items()))
            raise refuse(at, f"is {shown(kind)}, which only its own provider runs, and no other tool is offered")
        self._ignored += [f"tools[].{kind}" for kind in self._left_out]
        return tuple(self._functions.values())

    def choice(self, value: Any) -> str | dict[str, Any] | None:
        """Return which tool must be called, in OpenAI's form."""
        tools = self.functions()
        if not isinstance(value, dict) or value.get("type") not in ("function", "custom"):
            return openai_choice(value, tools)
        named = flat_name(string(value.get("name"), "tool_choice.name"), string_if(value, "namespace", "tool_choice."))
        return chosen(None, named, tools, "tool_choice.name")


def flat_name(name: str, namespace: str | None) -> str:
    """Return the name of the function that stands for a tool.

    Examples
    --------
    >>> flat_name("wait", "functions"), flat_name("wait", "clock"), flat_name("get", "mcp__a__")
    ('wait', 'clock__wait', 'mcp__a__get')
    """
    if namespace in (None, _DEFAULT):
        return name
    flat = f"{namespace}{name}" if str(namespace).endswith("__") else f"{namespace}__{name}"
    if len(flat) <= _LONGEST:
        return flat
    return f"{flat[: _LONGEST - 9]}_{hashlib.blake2b(flat.encode(), digest_size=4).hexdigest()}"


def given_of(said: str) -> str:
    """Return the arguments that stand for the text which a custom tool was called with."""
    return json.dumps({_INPUT: said}, ensure_ascii=False)


def input_of(arguments: str) -> str:
    """Return the text that a custom tool is called with: what stands for it in the arguments, or all of them.

    Examples
    --------
    >>> input_of('{"input": "ls"}'), input_of("ls")
    ('ls', 'ls')
    """
    try:
        given = json.loads(arguments)
    except ValueError:
        return arguments
    said = given.get(_INPUT) if isinstance(given, dict) else None
    return said if isinstance(said, str) else arguments


def _as_function(tool: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return a tool that is called with a text as a function of one text: what it must look like is told, not held."""
    form = field_object(tool, "format")
    described = [] if tool.get("description") is None else [text(tool["description"], f"{at}.description")]
    if form.get("definition") is not None:
        grammar = text(form["definition"], f"{at}.format.definition")
        described.append(f"The input follows this grammar ({form.get('syntax', 'lark')}):\n{grammar}")
    schema = {"type": "object", "properties": {_INPUT: {"type": "string"}}, "required": [_INPUT]}
    of = {"name": tool.get("name"), "description": "\n\n".join(described), "parameters": schema}
    return function_tool(of, at)
