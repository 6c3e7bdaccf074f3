"""Options of one call, as `-o KEY VALUE` gives them: what becomes of the limit on output, and what is passed on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrimp.profiles.building import wrong_param
from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import PARAMS, did_you_mean
from scrimp.routing.prompts.call_fields import LIMITS, output_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MAX_TOKENS", "CallOptions", "logged", "of_log", "read_options", "typed_options"]

MAX_TOKENS: Final = "max_tokens"

_LIMITS: Final = LIMITS | {"max_output_tokens"}

_INSTEAD: Final = {
    "reasoning_effort": "How long a model thinks is part of an arm: -m MODEL:low, or `reasoning_effort` in a profile.",
    "response_format": "--schema asks for JSON, and checks it.",
    "json_object": "--schema asks for JSON, and checks it.",
    "stream": "--no-stream prints the answer when it is complete.",
    "system": "-s gives a system prompt.",
    "timeout": "--max-seconds limits the time.",
}
"""What is asked for by another flag."""


class CallOptions(NamedTuple):
    """What calls are asked with before what their arms say: parameters, and the most output tokens (None: as they say).

    The arm's own limit holds beside this one.
    """

    params: Mapping[str, Any]
    output_limit: int | None


def typed_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Return options that were typed, as KEY=VALUE: a value that is JSON means that, any other is text.

    Examples
    --------
    >>> typed_options(["temperature=0.5", "stop=END", "max_tokens=100"])
    {'temperature': 0.5, 'stop': 'END', 'max_tokens': 100}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = json.loads(value, parse_constant=str)
        except ValueError:
            found[key] = value
        if wrong_param(key, found[key]) == "text":
            found[key] = value
    return found


def read_options(options: Mapping[str, Any], *, what: str = "-o") -> CallOptions:
    """Return options by what becomes of them.

    Parameters
    ----------
    what
        Where they come from, in errors.

    Raises
    ------
    UsageError
        If one is not passed on, since it could change what a call costs or where it goes, or its value is wrong.
    """
    params: dict[str, Any] = {}
    limit: int | None = None
    for key, value in options.items():
        if key in _LIMITS:
            limit = output_limit(value)
            if limit is None:
                raise UsageError(f"{what} {key}: expected a whole number above 0, not {_shown(value)}")
        elif key not in PARAMS:
            raise _unknown(key, what)
        elif (expected := wrong_param(key, value)) is not None:
            raise UsageError(f"{what} {key}: expected {expected}, not {_shown(value)}")
        else:
            params[key] = value
    return CallOptions(params, limit)


def _unknown(key: str, what: str) -> UsageError:
    known = sorted({MAX_TOKENS, *PARAMS})
    why = "not an option that is passed on"
    hint = _INSTEAD.get(key, f"Others can change what a call costs or where it goes; these cannot: {', '.join(known)}.")
    return UsageError(f"{what} {key}: {why}{did_you_mean(key, known)}", hint=hint)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def logged(params: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    """Return the options of a request as its trace in the log has them, empty where it had none."""
    return {**params} if limit is None else {**params, MAX_TOKENS: limit}


def of_log(trace: Mapping[str, Any] | None) -> CallOptions:
    """Return the options that a request of the log was asked with, from its trace."""
    options = dict((trace or {}).get("options") or {})
    limit = options.pop(MAX_TOKENS, None)
    return CallOptions(options, limit)
