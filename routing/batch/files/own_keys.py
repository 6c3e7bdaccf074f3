"""Keys of a JSON Lines row that say how this one row is asked: its arm, form, checks, limit, priority and deadline."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.call_fields import kind_of, output_limit
from scrimp.routing.prompts.prompt import load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_KEYS", "READ_KEYS", "OwnKeys", "own_keys", "own_values"]

MOST_PRIORITY: Final = 1_000_000

READ_KEYS: Final = frozenset(
    {
        "prompt", "messages", "system", "body", "custom_id", "id", "key", "file", "plan", "arm", "schema", "check",
        "checks", "priority", "deadline_s", "max_output_tokens",
    }
)  # fmt: skip
"""Keys with a meaning of their own: none of them is a value for `{{NAME}}`."""


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """What a row says of itself, as `Row` holds it."""

    arm: str | None = None
    schema: Mapping[str, Any] | None = None
    checks: tuple[str, ...] = ()
    priority: int = 0
    deadline_s: float | None = None
    limit: int | None = None


NO_KEYS: Final = OwnKeys()


def own_values(value: Mapping[str, Any], prompt_key: str | None) -> dict[str, Any]:
    """Return the values that a row brings for places in its own prompt."""
    return {name: item for name, item in value.items() if name not in READ_KEYS and name != prompt_key}


def own_keys(value: Mapping[str, Any]) -> OwnKeys:
    """Return what a row says of itself; null says nothing.

    Raises
    ------
    DataError
        If a value is none that its key can have; the message names the key.
    """
    if not READ_KEYS & value.keys():
        return NO_KEYS
    arm, schema = value.get("arm"), value.get("schema")
    if arm is not None and (not isinstance(arm, str) or not arm.strip()):
        raise DataError(f"arm: expected the name of an arm, got {kind_of(arm)}")
    if schema is not None and not isinstance(schema, dict):
        raise DataError(f"schema: expected a JSON Schema, which is an object, got {kind_of(schema)}")
    return OwnKeys(
        arm,
        None if schema is None else _schema(json.dumps(schema)),
        tuple(dict.fromkeys((*_checks(value, "check"), *_checks(value, "checks")))),
        _priority(value.get("priority")),
        _deadline(value.get("deadline_s")),
        _limit(value.get("max_output_tokens")),
    )


@lru_cache(maxsize=64)
def _schema(text: str) -> dict[str, Any]:
    return load_schema(text, what="schema")


def _checks(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    checks = [] if found is None else found if isinstance(found, list) else [found]
    odd = next((each for each in checks if not isinstance(each, str) or not each.strip()), None)
    if odd is not None:
        raise DataError(f"{key}: expected a check such as 'number:42', or a list of them, got {kind_of(odd)}")
    return tuple(checks)


def _whole(item: Any) -> int | None:
    if isinstance(item, float) and item.is_integer():
        item = int(item)  # as programs write it that know no whole numbers
    return item if isinstance(item, int) and not isinstance(item, bool) else None


def _priority(item: Any) -> int:
    if item is None:
        return 0
    found = _whole(item)
    if found is None or abs(found) > MOST_PRIORITY:
        raise DataError(f"priority: expected a whole number between -{MOST_PRIORITY:,} and {MOST_PRIORITY:,}")
    return found


def _deadline(item: Any) -> float | None:
    if item is None:
        return None
    if isinstance(item, bool) or not isinstance(item, int | float) or not 0 < item < math.inf:
        raise DataError("deadline_s: expected a number of seconds above 0")
    return float(item)


def _limit(item: Any) -> int | None:
    if item is None:
        return None
    found = output_limit(item)
    if found is None:
        raise DataError("max_output_tokens: expected a whole number above 0")
    return found
