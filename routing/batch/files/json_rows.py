"""Rows of JSON: a prompt, messages, or the OpenAI Batch shape."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.call_fields import kind_of

from .chats import CALL_FIELDS, chat, wanted_of
from .rows import Row, files_of, fill, id_of, prompt_of, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .source import Source

__all__ = ["json_row", "row_of"]

_OTHER_SHAPES: Final = (
    (
        "Anthropic's batch shape",
        "params",
        "jq -c '{id: .custom_id, system: .params.system, messages: .params.messages, max_tokens: .params.max_tokens}'",
    ),
    (
        "Gemini's shape",
        "contents",
        "jq -c '{id, prompt: ([.contents[-1].parts[].text] | join(\"\\n\"))}' (without earlier turns)",
    ),
    (
        "Gemini's batch shape",
        "request",
        "jq -c '{id: .key, prompt: ([.request.contents[-1].parts[].text] | join(\"\\n\"))}' (without earlier turns)",
    ),
)
"""(name, the key that tells it, how it is converted)."""


def json_row(source: Source, n: int, line: int, text: str) -> Row:
    """Return the row of a line.

    Raises
    ------
    DataError, UsageError
        If it cannot be asked.
    """
    text = text.strip()
    try:
        value: Any = json.loads(text[:-1] if text.endswith("},") else text)
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error) or "nested too deeply"
        raise DataError(f"not JSON: {what}") from None
    return row_of(source, n, line, value, own=line)


def row_of(source: Source, n: int, line: int, value: Any, *, own: int) -> Row:
    """Return the row of a JSON value.

    Parameters
    ----------
    own
        The number that is its id where it brings none.

    Raises
    ------
    DataError, UsageError
        If it cannot be asked.
    """
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {kind_of(value)}")
    plain = source.column is None and source.template is None
    name = id_of(_first(value, "id", "custom_id", "key"), own)
    if plain and isinstance(value.get("body"), dict):
        return _openai_row(source, n, line, value, id_of(_first(value, "custom_id", "id"), own))
    system = value.get("system")
    if system is not None and not isinstance(system, str):
        raise DataError(f"system: expected text, got {kind_of(system)}")
    plan = value.get("plan")
    if plan is not None and not isinstance(plan, str):
        raise DataError(f"plan: expected text such as 'small ? checks > large', got {kind_of(plan)}")
    files = _files(source, value)
    if source.template is not None:
        prompt = prompt_of(source, fill(source.template, value), system=system)
        return Row(n, line, name, prompt, plan=plan, files=files)
    key = source.column or "prompt"
    if key in value:
        if not isinstance(value[key], str):
            hint = "A conversation stands under messages." if isinstance(value[key], list) else None
            raise DataError(f"{key}: expected text, got {kind_of(value[key])}", hint=hint)
        return Row(n, line, name, prompt_of(source, value[key], system=system), plan=plan, files=files)
    if plain and "messages" in value:
        body = {each: item for each, item in value.items() if each in CALL_FIELDS}
        wanted = wanted_of(body, "")
        prompt = chat(source, value["messages"], system=system, needs=wanted.needs)
        return Row(n, line, name, prompt, wanted.limit, wanted.params, wanted.response_format, plan=plan, files=files)
    for shape, inside, fix in _OTHER_SHAPES if plain else ():
        if isinstance(value.get(inside), (dict, list)):
            raise DataError(f"{inside}: the rows have {shape}, which is not read", hint=f"Convert them: {fix}")
    wanted_key = repr(key) if source.column else '"prompt" or "messages"'
    raise DataError(f"no {wanted_key} in it (it has: {', '.join(map(repr, list(value)[:8])) or 'nothing'})")


def _files(source: Source, value: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a row's files; a key that is a part of the prompt names none unless it is asked to."""
    key = source.files or "file"
    if source.files is None and (key == source.column or key in variables(source.template or "")):
        return ()
    if source.files is not None and key not in value:
        raise DataError(f"no {key!r} in it, which is to name its file (null, where it has none)")
    return files_of(value.get(key), key)


def _first(value: Mapping[str, Any], *keys: str) -> Any:
    """Return the first of some keys' values that is there."""
    return next((value[key] for key in keys if value.get(key) is not None), None)


def _openai_row(source: Source, n: int, line: int, value: dict[str, Any], name: str | int) -> Row:
    """Read a row of OpenAI's Batch files."""
    url = value.get("url", "/v1/chat/completions")
    if not isinstance(url, str) or not url.endswith("/chat/completions"):
        raise DataError(f"url: only /v1/chat/completions is answered, not {str(url)[:60]!r}")
    body = value["body"]
    wanted = wanted_of({key: item for key, item in body.items() if key != "messages"}, "body.")
    prompt = chat(source, body.get("messages"), needs=wanted.needs)
    prompt = replace(prompt, own_format=wanted.response_format)
    return Row(n, line, name, prompt, wanted.limit, wanted.params, wanted.response_format, openai=True)
