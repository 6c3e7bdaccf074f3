"""Rows of JSON: a prompt, messages, or the OpenAI Batch shape."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.call_fields import kind_of

from .chats import CALL_FIELDS, chat, wanted_of
from .own_keys import NO_KEYS, OwnKeys, own_keys, own_values
from .places import filled_template, named_in
from .rows import Row, files_of, id_of, prompt_of

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
        values = own_values(value, None)
        made = partial(filled_template, own=value, given=source.given, used=source.used)
        prompt = prompt_of(source, source.template, system=system, own=values, made=made)
        return _looked_at(source, Row(n, line, name, prompt, plan=plan, files=files))
    key = source.column or "prompt"
    # Where the prompt stands elsewhere, the rows are somebody's data: of an earlier output, `arm` is who answered.
    keys = own_keys(value) if plain else NO_KEYS
    if key in value:
        if not isinstance(value[key], str):
            hint = "A conversation stands under messages." if isinstance(value[key], list) else None
            raise DataError(f"{key}: expected text, got {kind_of(value[key])}", hint=hint)
        values = own_values(value, key)
        prompt = prompt_of(source, value[key], system=system, own=values, schema=keys.schema)
        row = Row(n, line, name, prompt, plan=plan, files=files)
        return _looked_at(source, _by(keys, row))
    if plain and "messages" in value:
        body = {each: item for each, item in value.items() if each in CALL_FIELDS}
        wanted = wanted_of(body, "")
        values = {each: item for each, item in own_values(value, None).items() if each not in CALL_FIELDS}
        prompt = chat(source, value["messages"], system=system, needs=wanted.needs, own=values, schema=keys.schema)
        row = Row(n, line, name, prompt, wanted.limit, wanted.params, wanted.response_format, plan=plan, files=files)
        return _looked_at(source, _by(keys, row))
    for shape, inside, fix in _OTHER_SHAPES if plain else ():
        if isinstance(value.get(inside), (dict, list)):
            raise DataError(f"{inside}: the rows have {shape}, which is not read", hint=f"Convert them: {fix}")
    wanted_key = repr(key) if source.column else '"prompt" or "messages"'
    raise DataError(f"no {wanted_key} in it (it has: {', '.join(map(repr, list(value)[:8])) or 'nothing'})")


def _by(keys: OwnKeys, row: Row) -> Row:
    """Return a row with what it says of itself."""
    if keys is NO_KEYS:
        return row
    limits = [each for each in (keys.limit, row.max_output_tokens) if each is not None]
    return replace(
        row,
        arm=keys.arm,
        schema=keys.schema,
        checks=keys.checks,
        priority=keys.priority,
        deadline_s=keys.deadline_s,
        max_output_tokens=min(limits, default=None),
    )


def _looked_at(source: Source, row: Row) -> Row:
    """Return a row whose names (an arm, checks) are known.

    Raises
    ------
    DataError
        If one is not.
    """
    if row.arm is not None and row.plan is not None:
        raise DataError("arm and plan both say who answers: give one of them")
    if row.arm is not None or row.checks:
        source.look(row.arm, row.checks)
    return row


def _files(source: Source, value: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a row's files; a key that is a part of the prompt names none unless it is asked to."""
    key = source.files or "file"
    if source.files is None and (key == source.column or key in named_in(source.template or "")):
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
