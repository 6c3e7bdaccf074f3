"""JSON Schemas in few words, as `llm` has them: `name, age int, bio: one line`."""

from __future__ import annotations

import re
from typing import Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import did_you_mean

__all__ = ["is_in_words", "many_of", "schema_of_words"]

_TYPES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def is_in_words(given: str) -> bool:
    """Return whether what was given for a schema is meant to be one in words, and not the name of a file.

    Examples
    --------
    >>> [is_in_words(each) for each in ("name, age int", "name str", "name", "city.json", "my city.json")]
    [True, True, False, False, False]
    """
    fields = _fields(given)
    if not fields or not re.search(r"[\s,:]", given.strip()):
        return False
    return all(_NAME.fullmatch(word) for name, kind, _ in fields for word in (name, *kind[:1]))


def schema_of_words(given: str) -> dict[str, Any]:
    """Return the JSON Schema of an object whose fields are given in words: all are required, and text unless they say.

    Fields stand between commas, or on lines of their own (then a description may hold commas): a name, a type (`str`,
    `int`, `float`, `bool`) and behind a colon a description.

    Raises
    ------
    UsageError
        If a field cannot be read.

    Examples
    --------
    >>> schema_of_words("name, age int: in years")["properties"]
    {'name': {'type': 'string'}, 'age': {'type': 'integer', 'description': 'in years'}}
    """
    found: dict[str, Any] = {}
    for name, kind, description in _fields(given):
        if not _NAME.fullmatch(name) or len(kind) > 1:
            shown = " ".join((name, *kind))
            raise UsageError(
                f"--schema: {shown!r} is no field: expected a name, a type and, behind a colon, a description",
                hint="Such as 'name, age int, bio: one line'; else give a JSON Schema, or a file that holds one.",
            )
        word = kind[0] if kind else "str"
        if word not in _TYPES:
            raise UsageError(
                f"--schema: {name}: no type {word!r}{did_you_mean(word, _TYPES)}",
                hint=f"There are: {', '.join(_TYPES)}.",
            )
        if name in found:
            raise UsageError(f"--schema: there are two fields called {name}")
        found[name] = {"type": _TYPES[word]} | ({"description": description} if description else {})
    return {"type": "object", "properties": found, "required": list(found)}


def many_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object whose `items` are a list of what a schema describes."""
    items = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"items": items}, "required": ["items"]}


def _fields(given: str) -> list[tuple[str, list[str], str]]:
    """Return each field's name, the words behind it, and its description."""
    parts = given.split("\n" if "\n" in given.strip() else ",")
    found = []
    for part in parts:
        head, _, description = part.partition(":")
        words = head.split()
        if words or description.strip():
            found.append((words[0] if words else "", words[1:], description.strip()))
    return found
