"""From a table of TOML to what it describes, or to an error that names the place."""

from __future__ import annotations

import re
import warnings
from decimal import Decimal
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from .errors import ConfigError
from .schema import (
    EFFORTS,
    INPUT,
    NAME_PATTERN,
    NAME_WORDS,
    PARAMS,
    TIERS,
    Arm,
    ArmCaps,
    Caps,
    Check,
    Guard,
    PlacedRule,
    Profile,
    Rule,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Path_: TypeAlias = tuple[str, ...]
    Locate: TypeAlias = Callable[[Path_], str]

__all__ = ["build", "build_profile", "build_rules", "dotted", "plain", "wrong_param"]

_SECRET_FIELDS: Final = frozenset({"key_env", "key_cmd", "api_base", "url", "endpoint"})
"""Fields whose value an error never repeats: people paste keys into them."""

_ELSEWHERE: Final = {
    "api_key": "Keys do not belong in a profile: use `scrimp keys set`, key_env or key_cmd.",
    "key": "Keys do not belong in a profile: use `scrimp keys set`, key_env or key_cmd.",
    "max_tokens": "The limit is called max_output_tokens.",
    "base_url": "The address is called api_base.",
}

T = TypeVar("T", bound=msgspec.Struct)


def build(cls: type[T], table: object, locate: Locate, path: Path_ = ()) -> T:
    """Return the Struct that a table of TOML describes.

    Parameters
    ----------
    cls
        One of the types of `schema`.
    table
        The table, its fractions read as Decimal.
    locate
        Gives "FILE:LINE" for the path of a key.
    path
        Where the table stands, such as `("caps",)` or `("arms", "small")`.

    Raises
    ------
    ConfigError
        At the first key that is unknown, missing or not what was expected.
    """
    if not isinstance(table, dict):
        raise _wrong(table, "a table", locate, path)
    hints = _hints(cls)
    for key in table:
        if key not in hints:
            raise _unknown(cls, key, hints, locate, path)
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(cls):
        if field.name in table:
            values[field.name] = _value(field.name, table[field.name], hints[field.name], locate, (*path, field.name))
        elif field.required:
            raise ConfigError(
                f"{locate(path)}: {dotted((*path, field.name))} is missing: expected {_expected(hints[field.name])}"
            )
    return cls(**values)


def build_profile(table: Mapping[str, object], locate: Locate) -> Profile:
    """Return the profile that merged tables describe, checked as a whole.

    Parameters
    ----------
    table
        The merged tables; `arms` is a table of arms by name, in their order.
    locate
        Gives "FILE:LINE" for the path of a key.

    Raises
    ------
    ConfigError
        If any key is wrong, no arm is left, or `default_arm` is not one of them.
    """
    profile = build(Profile, {**table, "arms": {}, "checks": {}, "rules": ()}, locate)
    stated = tuple(
        build(Arm, {"name": name, **_as_table(arm, locate, ("arms", name))}, locate, ("arms", name))
        for name, arm in _as_table(table.get("arms", {}), locate, ("arms",)).items()
    )
    checks = {
        name: build(Check, each, locate, ("checks", name))
        for name, each in _as_table(table.get("checks", {}), locate, ("checks",)).items()
    }
    rules = build_rules(table.get("rules", []), locate)
    for name, check in checks.items():
        if not NAME_PATTERN.fullmatch(name):
            raise _wrong(name, NAME_WORDS, locate, ("checks", name))
        if (check.cmd is None) == (check.spec is None):
            raise ConfigError(f"{locate(('checks', name))}: checks.{name}: give cmd or spec, one of the two")
    for arm in stated:
        _check_arm(arm, locate)
    if not stated:
        raise ConfigError(
            f"{locate(('arms',))}: this profile has no arms",
            hint='Add an [[arms]] table with name and model, or `extends = "openai"`.',
        )
    arms = tuple(rung for arm in stated for rung in _rungs(arm))
    names = [arm.name for arm in arms]
    default = profile.default_arm or _most_capable(stated).name
    tops = {arm.base: arm.name for arm in arms}  # of a ladder, its last rung: the safe one
    if default not in names and default not in tops:
        raise ConfigError(
            f"{locate(('default_arm',))}: default_arm: no arm is called {default!r}{did_you_mean(default, names)}",
            hint=f"The arms are: {', '.join(names)}.",
        )
    if profile.policy.wtp_usd is not None and "prefer" in _as_table(table.get("policy", {}), locate, ("policy",)):
        raise ConfigError(
            f"{locate(('policy', 'wtp_usd'))}: policy.wtp_usd and policy.prefer say the same thing twice",
            hint="Keep one of them: prefer is a name for a fixed wtp_usd.",
        )
    _check_sent(profile.guard.risky, {*names, *tops}, locate, ("guard", "risky"))
    _check_timezone(profile.caps.timezone, locate)
    if profile.alerts.cmd is not None and profile.alerts.url is not None:
        raise ConfigError(f"{locate(('alerts', 'url'))}: alerts: give cmd or url, one of the two")
    _check_guard(profile.guard, [*names, *(name for name in tops if name not in names)], locate)
    return msgspec.structs.replace(
        profile, arms=arms, checks=checks, rules=rules, default_arm=default if default in names else tops[default]
    )


def build_rules(value: object, locate: Locate) -> tuple[PlacedRule, ...]:
    """Return the rules that a list of tables describes, each of which says something; arms' names are not looked up.

    Parameters
    ----------
    value
        Tables, in the order in which they are tried.
    locate
        Gives "FILE:LINE" for the path of a key, such as `("rules", "0", "when")`.

    Raises
    ------
    ConfigError
        If it is no list of tables, a key is wrong, or a rule asks for nothing or says nothing.
    """
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ConfigError(f"{locate(('rules',))}: rules: expected a list of tables: write [[rules]] above each")
    return tuple(_rule(each, locate, ("rules", str(number))) for number, each in enumerate(value))


def _rule(table: dict[str, Any], locate: Locate, path: Path_) -> PlacedRule:
    rule = build(Rule, table, locate, path)
    when = (*path, "when")
    if not any(getattr(rule.when, key) is not None for key in rule.when.__struct_fields__):
        raise ConfigError(
            f"{locate(when)}: {dotted(when)}: it asks for nothing, so the rule would hold for every prompt",
            hint=f"Say one of: {', '.join(rule.when.__struct_fields__)}.",
        )
    if not rule.use and not rule.never:
        raise ConfigError(f"{locate(path)}: {dotted(path)}: it says neither use nor never, so nothing comes of it")
    if rule.when.match is not None:
        _check_match(rule.when.match, locate, (*when, "match"))
    return PlacedRule(when=rule.when, use=rule.use, never=rule.never, at=locate(path))


def _check_match(match: str, locate: Locate, path: Path_) -> None:
    pattern = match.removeprefix("re:")
    if not pattern.strip():
        raise ConfigError(f"{locate(path)}: {dotted(path)}: it is empty")
    if pattern != match:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a later Python may read otherwise
                re.compile(pattern, re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"{locate(path)}: {dotted(path)}: not a regular expression: {error}") from None


def _check_sent(sent: str, names: Collection[str], locate: Locate, path: Path_) -> None:
    """Check that there is an arm that a guard sends prompts to ("arm:NAME"); a ladder's name stands for its rungs."""
    to = sent.removeprefix("arm:")
    if to != sent and to not in names:
        raise ConfigError(
            f"{locate(path)}: {dotted(path)}: no arm is called {to!r}{did_you_mean(to, names)}",
            hint=f"The arms are: {', '.join(sorted(names))}.",
        )


def dotted(path: Path_) -> str:
    """Return a key's path as people write it.

    Examples
    --------
    >>> dotted(("caps", "per_day_usd")), dotted(("arms", "small", "price")), dotted(("rules", "0", "when", "match"))
    ('caps.per_day_usd', 'arm "small": price', 'rules[1]: when.match')
    """
    if len(path) >= 2 and path[0] == "rules":
        rest = ".".join(path[2:])
        return f"rules[{int(path[1]) + 1}]" + (f": {rest}" if rest else "")
    if len(path) >= 2 and path[0] == "arms":
        rest = ".".join(path[2:])
        return f'arm "{path[1]}"' + (f": {rest}" if rest else "")
    return ".".join(path)


@lru_cache(maxsize=32)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _value(name: str, value: object, kind: Any, locate: Locate, path: Path_) -> object:
    """Return `value` as `kind`, or raise the error that names its place."""
    if name == "params":
        return _params(value, locate, path)
    if path in {("arms",), ("checks",), ("rules",)}:
        return {} if name == "checks" else ()  # built by build_profile, under their own names
    table = _struct_in(kind)
    if table is not None:
        return build(table, value, locate, path)
    if get_origin(kind) is dict:
        each = get_args(kind)[1]
        return {
            key: _value(key, item, each, locate, (*path, key)) for key, item in _as_table(value, locate, path).items()
        }
    expected = _expected(kind)
    if Decimal in _members(kind):
        if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
            raise _wrong(value, expected, locate, path)
        if not (Decimal(value).is_finite() and 0 <= value <= 10**9):
            raise _wrong(value, expected, locate, path)
        return Decimal(value)
    try:
        converted: object = msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        near = did_you_mean(value, _choices(kind)) if isinstance(value, str) else ""
        raise _wrong(value, expected, locate, path, near) from None
    return converted


def _params(value: object, locate: Locate, path: Path_) -> dict[str, Any]:
    table = _as_table(value, locate, path)
    for key, item in table.items():
        here = (*path, key)
        if key not in PARAMS:
            raise ConfigError(
                f"{locate(here)}: {dotted(here)}: not a parameter a profile may pass on{did_you_mean(key, PARAMS)}",
                hint="Others can change what a call costs or where it goes; these cannot: "
                f"{', '.join(sorted(PARAMS))}.",
            )
        if (expected := wrong_param(key, item)) is not None:
            raise _wrong(item, expected, locate, here)
    return {key: plain(item) for key, item in table.items()}


def wrong_param(key: str, value: object) -> str | None:
    """Return what a value of a parameter (`schema.PARAMS`) has to be, in words; None where it is that."""
    if key in {"logit_bias", "thinking"}:
        return None if isinstance(value, dict) else "a table"
    if key == "stop":
        words = value if isinstance(value, list) else [value]
        return None if all(isinstance(word, str) for word in words) else "text or a list of texts"
    if key in {"user", "verbosity"}:
        return None if isinstance(value, str) else "text"
    if key == "keep_alive" and isinstance(value, str):
        return None
    number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and Decimal(value).is_finite()
    return None if number else "a number"


def plain(value: object) -> object:
    """Return a value of TOML as JSON knows it: fractions as floats."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _as_table(value: object, locate: Locate, path: Path_) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, "a table", locate, path)
    return value


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, and of what annotations wrap."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in {None, tuple, dict, Literal}:
        return (kind,)
    return tuple(member for part in get_args(kind) for member in _members(part))


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return member
    return None


def _choices(kind: Any) -> list[str]:
    return [choice for member in _members(kind) if get_origin(member) is Literal for choice in get_args(member)]


def _expected(kind: Any) -> str:
    """Return what a kind is called in an error."""
    if get_origin(kind) is Annotated:
        for note in get_args(kind)[1:]:
            if isinstance(note, msgspec.Meta) and note.description:
                return note.description
    choices = _choices(kind)
    if choices:
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    for part in get_args(kind):
        if get_origin(part) is Annotated:
            return _expected(part)
    names = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    return next((names[member] for member in _members(kind) if member in names), "a table")


def _wrong(value: object, expected: str, locate: Locate, path: Path_, near: str = "") -> ConfigError:
    got = "something else" if path and path[-1] in _SECRET_FIELDS else _shown(value)
    return ConfigError(f"{locate(path)}: {dotted(path) or 'the file'}: expected {expected}, got {got}{near}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value) if isinstance(value, (int, Decimal)) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown(cls: type, key: str, hints: Mapping[str, Any], locate: Locate, path: Path_) -> ConfigError:
    here = (*path, key)
    near = did_you_mean(key, hints)
    if cls in {Caps, ArmCaps}:
        return ConfigError(
            f"{locate(here)}: {dotted(here)}: no such cap{near}",
            hint=f"A cap that is not enforced is refused, never ignored; enforced here: {', '.join(hints)}.",
        )
    hint = _ELSEWHERE.get(key) or f"Known keys: {', '.join(hints)}."
    return ConfigError(f"{locate(here)}: {dotted(here)}: unknown key{near}", hint=hint)


def _check_guard(guard: Guard, names: list[str], locate: Locate) -> None:
    """Raise where a guard sends prompts to an arm that is not there."""
    stated = {
        ("guard", "risky"): guard.risky,
        ("guard", "scope", "outside"): "" if guard.scope is None else guard.scope.outside,
        ("guard", "unsafe", "use"): "" if guard.unsafe is None else guard.unsafe.use,
    }
    for path, value in stated.items():
        mark, colon, name = value.partition(":")
        if mark == "arm" and colon and name not in names:
            raise ConfigError(
                f"{locate(path)}: {dotted(path)}: no arm is called {name!r}{did_you_mean(name, names)}",
                hint=f"The arms are: {', '.join(names)}.",
            )


def _check_arm(arm: Arm, locate: Locate) -> None:
    if arm.key_env is not None and arm.key_cmd is not None:
        path = ("arms", arm.name, "key_cmd")
        raise ConfigError(f"{locate(path)}: {dotted(path)}: an arm takes key_env or key_cmd, not both")
    for key, what in (("tags", "a tag"), ("efforts", "an effort")):
        if len(set(getattr(arm, key))) != len(getattr(arm, key)):
            path = ("arms", arm.name, key)
            raise ConfigError(f"{locate(path)}: {dotted(path)}: {what} stands there twice")
    if arm.efforts and arm.reasoning_effort is not None:
        path = ("arms", arm.name, "efforts")
        raise ConfigError(f"{locate(path)}: {dotted(path)}: an arm takes efforts or reasoning_effort, not both")
    if arm.prompt is not None and INPUT not in arm.prompt:
        path = ("arms", arm.name, "prompt")
        raise ConfigError(
            f"{locate(path)}: {dotted(path)}: there is no {INPUT} in it, so what is asked has no place",
            hint=f"Write {INPUT} where the prompt is to stand, or use `system` for what comes before it.",
        )
    for key in ("system", "about"):
        text = getattr(arm, key)
        if text is not None and not text.strip():
            path = ("arms", arm.name, key)
            raise ConfigError(f"{locate(path)}: {dotted(path)}: it is empty")


def _rungs(arm: Arm) -> tuple[Arm, ...]:
    """Return an arm, or where it has efforts one for each, ascending."""
    if not arm.efforts:
        return (arm,)
    efforts = tuple(sorted(arm.efforts, key=EFFORTS.index))
    return tuple(
        msgspec.structs.replace(arm, name=f"{arm.name}:{effort}", reasoning_effort=effort, efforts=efforts)
        for effort in efforts
    )


def _check_timezone(name: str, locate: Locate) -> None:
    if name == "local":
        return
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _wrong(name, '"local" or a zone such as "Europe/Paris"', locate, ("caps", "timezone")) from None


def _most_capable(arms: tuple[Arm, ...]) -> Arm:
    """Return the arm of the highest tier; among equals the one whose stated price is highest, then the first."""

    def rank(arm: Arm) -> tuple[int, Decimal]:
        return (TIERS.index(arm.tier) if arm.tier else -1, arm.price.output_usd_per_mtok if arm.price else Decimal(0))

    return max(arms, key=rank)
