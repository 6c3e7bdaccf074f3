"""A profile as TOML again."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from .schema import Guard, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .schema import Arm, Profile

    Key = tuple[str, ...]

__all__ = ["to_toml", "toml_key", "toml_value"]


def to_toml(profile: Profile, origin: Mapping[str, str] | None = None) -> str:
    """Return a profile as TOML, complete, so that it says the same without what it extended.

    Parameters
    ----------
    profile
        The profile.
    origin
        Where each key comes from, as `Loaded.origin`; given, it stands behind each key as a comment.
    """

    def line(path: Key, key: str, value: object) -> str:
        remark = (origin or {}).get(".".join(path))
        return f"{toml_key(key)} = {toml_value(value)}" + (f"  # {remark}" if remark else "") + "\n"

    text = [line((key,), key, getattr(profile, key)) for key in ("name", "default_arm")]
    for path, table in _tables(profile):
        text.append(f"\n[{'.'.join(path)}]\n")
        text += [line((*path, key), key, value) for key, value in _set_keys(table, whole=True)]
    bases = {arm.base: arm for arm in reversed(profile.arms)}
    for base, arm in reversed(bases.items()):
        text.append("\n[[arms]]\n")
        text += [line(("arms", arm.name, key), key, value) for key, value in _as_stated(arm, base, bases)]
    for rule in profile.rules:
        text.append("\n[[rules]]\n")
        text += [f"{key} = {toml_value(value)}\n" for key, value in _set_keys(rule, whole=False) if key != "at"]
    if profile.plans:
        text.append("\n[plans]\n")
        text += [line(("plans", name), name, plan) for name, plan in profile.plans.items()]
    for name, check in profile.checks.items():
        text.append(f"\n[checks.{toml_key(name)}]\n")
        text += [line(("checks", name, key), key, value) for key, value in _set_keys(check, whole=True)]
    return "".join(text)


def _tables(profile: Profile) -> Iterator[tuple[Key, msgspec.Struct]]:
    """Yield the tables that stand once, each before those in it; of those that say nothing only the profile's own."""
    for name in ("caps", "policy", "log", "embedding", "resident", "pool", "guard", "alerts", "otel"):
        if (table := getattr(profile, name)) is None:
            continue
        if name not in ("guard", "alerts") or table != type(table)():
            yield (name,), table
        for key in table.__struct_fields__:
            inner = getattr(table, key)
            if isinstance(inner, msgspec.Struct) and any(True for _ in _set_keys(inner, whole=False)):
                yield (name, key), inner


def _as_stated(arm: Arm, base: str, bases: Mapping[str, Arm]) -> Iterator[tuple[str, object]]:
    """Yield the keys of the `[[arms]]` that an arm, or the first rung of a ladder, comes of.

    One that is like another says all that it does not leave open: else it would take the other's again.
    """
    like = arm.like is not None and arm.like.partition(":")[0] in bases
    for key, value in _set_keys(arm, whole=like):
        if key == "name":
            yield key, base
        elif not ((key == "reasoning_effort" and arm.efforts) or (key == "like" and not like)):
            yield key, value


def _set_keys(table: msgspec.Struct, *, whole: bool) -> Iterator[tuple[str, object]]:
    """Yield the keys of a table worth writing: all that have a value, or those that are not the default."""
    for key in msgspec.structs.fields(table):
        value = getattr(table, key.name)
        if value is None or (not whole and not key.required and value == key.default):
            continue
        if (value in ({}, ()) and not whole) or (isinstance(value, msgspec.Struct) and _stands_apart(table)):
            continue
        if key.name == "prefer" and getattr(table, "wtp_usd", None) is not None:
            continue
        yield key.name, value


def _stands_apart(table: msgspec.Struct) -> bool:
    """Tell whether the tables in a table are written below it (`_tables`), and not on a line of it."""
    return isinstance(table, (Policy, Guard))


def toml_value(value: object) -> str:
    """Return a value as TOML writes it, on one line."""
    match value:
        case bool():
            text = "true" if value else "false"
        case Decimal():
            text = f"{value:f}"
        case int() | float():
            text = repr(value)
        case str():
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case msgspec.Struct():
            text = toml_value(dict(_set_keys(value, whole=False)))
        case dict():
            inside = ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items())
            text = f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            text = f"[{', '.join(map(toml_value, value))}]"
        case _:
            msg = f"no TOML for {type(value).__name__}"
            raise TypeError(msg)
    return text


def toml_key(key: str) -> str:
    """Return a key as TOML writes it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)
