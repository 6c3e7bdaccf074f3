"""What a profile may say: the types, and how a table of TOML becomes one of them or an error that names the place."""

from __future__ import annotations

import difflib
import re
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Path_: TypeAlias = tuple[str, ...]
    Locate: TypeAlias = Callable[[Path_], str]

__all__ = [
    "DEFAULT_OUTPUT_LIMIT",
    "NAME_PATTERN",
    "PARAMS",
    "PRESETS_USD",
    "REASONING_OUTPUT_LIMIT",
    "TIERS",
    "Arm",
    "ArmCaps",
    "Caps",
    "Check",
    "Embedding",
    "Keep",
    "Limits",
    "Log",
    "Policy",
    "Pool",
    "Prefer",
    "Price",
    "Profile",
    "Resident",
    "Tier",
    "build",
    "build_profile",
    "did_you_mean",
    "dotted",
]

DEFAULT_OUTPUT_LIMIT: Final = 4096
"""Output tokens an arm may spend when its profile does not say."""

REASONING_OUTPUT_LIMIT: Final = 16_384
"""The same for an arm that reasons, whose thinking is output too."""

PRESETS_USD: Final = {"cheap": Decimal("0.01"), "balanced": Decimal("0.1"), "best": Decimal("1.0")}
"""What a right answer is worth under each `prefer`, in USD."""

TIERS: Final = ("small", "medium", "large")
"""Tiers from least to most capable."""

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of profiles, arms and checks: they become file names and parts of scopes such as `arm:NAME:day`."""

PARAMS: Final = frozenset(
    {
        "frequency_penalty", "keep_alive", "logit_bias", "min_p", "num_ctx", "presence_penalty", "repetition_penalty",
        "seed", "stop", "temperature", "thinking", "top_k", "top_p", "user", "verbosity",
    }
)  # fmt: skip
"""Everything `params` may hold. Other parameters can change what a call costs or where it goes."""

Prefer = Literal["cheap", "balanced", "best"]
Keep = Literal["all", "features", "money"]
Tier = Literal["small", "medium", "large"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_Meta = msgspec.Meta
_Usd = Annotated[Decimal, _Meta(description="an amount in USD, 0 or more")]
_Count = Annotated[int, _Meta(ge=1, le=10**9, description="a whole number, 1 or more")]
_Name = Annotated[
    str,
    _Meta(
        pattern=rf"^{NAME_PATTERN.pattern}\Z",
        description="a name: up to 64 letters, digits, dots, dashes and underscores, the first a letter or digit",
    ),
]
_Model = Annotated[
    str,
    _Meta(
        pattern=r"^[^\s\x00-\x1f\x7f]{1,256}\Z", description='a model as LiteLLM names it, such as "openai/gpt-5-mini"'
    ),
]
_Url = Annotated[
    str,
    _Meta(
        pattern=r"^https?://[^\s/?#@\x00-\x1f]+(/[^\s?#@\x00-\x1f]*)?\Z",
        description="an http:// or https:// address without user name, password, ? or #",
    ),
]
_Variable = Annotated[
    str,
    _Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", description="the name of an environment variable, never the key itself"
    ),
]
_Command = Annotated[
    tuple[Annotated[str, _Meta(min_length=1)], ...],
    _Meta(min_length=1, description='a list of words, such as ["pass", "show", "openai"]; no shell reads it'),
]
_Tag = Annotated[str, _Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
_Text = Annotated[
    str, _Meta(min_length=1, max_length=200_000, description='text, or "file:NAME" to read it from a file')
]
_PlanText = Annotated[str, _Meta(min_length=1, max_length=4096, description='a plan such as "small ? checks > large"')]

_SECRET_FIELDS = frozenset({"key_env", "key_cmd", "api_base"})
"""Fields whose value an error never repeats: people paste keys into them."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an arm costs when the profile says so, in USD per million tokens; it wins over every price table."""

    input_usd_per_mtok: _Usd
    output_usd_per_mtok: _Usd
    cache_read_usd_per_mtok: _Usd | None = None
    cache_write_usd_per_mtok: _Usd | None = None
    reasoning_usd_per_mtok: _Usd | None = None
    per_request_usd: _Usd = Decimal(0)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a provider lets an arm go."""

    rpm: _Count | None = None
    tpm: _Count | None = None
    concurrency: _Count | None = None


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most a profile may spend; None is no cap of that kind."""

    per_call_usd: _Usd | None = None
    per_run_usd: _Usd | None = None
    per_day_usd: _Usd | None = None
    per_month_usd: _Usd | None = None
    timezone: Annotated[str, _Meta(description='"local" or a zone such as "Europe/Paris"')] = "local"


class ArmCaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most one arm may spend, within the profile's own caps."""

    per_call_usd: _Usd | None = None
    per_day_usd: _Usd | None = None
    per_month_usd: _Usd | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the router weighs quality against cost."""

    mode: Literal["route", "cascade"] = "route"
    prefer: Prefer = "balanced"
    wtp_usd: _Usd | None = None
    min_quality: Annotated[float, _Meta(ge=0, le=1, description="a number from 0 to 1")] = 0.0
    explore: Annotated[float, _Meta(ge=0, le=0.5, description="a number from 0 to 0.5")] = 0.02
    pace: Literal["off", "month"] = "off"

    @property
    def wtp(self) -> float:
        """Return the willingness to pay: USD for one unit of quality."""
        return float(PRESETS_USD[self.prefer] if self.wtp_usd is None else self.wtp_usd)


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ledger keeps of a prompt besides its money, and for how long."""

    keep: Keep = "all"
    retention_days: Annotated[int, _Meta(ge=1, le=36_500, description="a number of days, 1 or more")] | None = 365


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice the policy can make: a model, its effort and its limits."""

    name: _Name
    model: _Model
    api_base: _Url | None = None
    key_env: _Variable | None = None
    key_cmd: _Command | None = None
    max_output_tokens: _Count | None = None
    reasoning_effort: Effort | None = None
    tier: Tier | None = None
    tags: Annotated[tuple[_Tag, ...], _Meta(description='a list of lower-case words, such as ["json", "local"]')] = ()
    price: Price | None = None
    limits: Limits = Limits()
    cap: ArmCaps | None = None
    params: dict[str, Any] = {}
    timeout_s: Annotated[float, _Meta(gt=0, le=86_400, description="a number of seconds above 0")] = 120.0
    context_window: _Count | None = None
    system: _Text | None = None
    prompt: Annotated[_Text, _Meta(description='text with {{input}} in it, or "file:NAME"')] | None = None
    about: _Text | None = None
    like: _Name | None = None
    efforts: tuple[Effort, ...] = ()

    @property
    def provider(self) -> str:
        """Return the model's provider prefix, or "" for a bare model id."""
        prefix, slash, _ = self.model.partition("/")
        return prefix if slash else ""

    @property
    def output_limit(self) -> int:
        """Return the enforced limit on output tokens, as far as the profile alone can tell.

        A model that reasons without being told to is known to the price table only: see `PriceTable.output_limit`.
        """
        if self.max_output_tokens is not None:
            return self.max_output_tokens
        return REASONING_OUTPUT_LIMIT if self.reasoning_effort not in {None, "none"} else DEFAULT_OUTPUT_LIMIT


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named check of an answer: a command, or any other check spelled as for `--check`."""

    cmd: _Command | None = None
    spec: Annotated[str, _Meta(min_length=1, max_length=4096, description='a check such as "re:^[A-D]$"')] | None = None
    timeout_s: Annotated[float, _Meta(gt=0, le=3_600, description="a number of seconds above 0")] = 60.0


class Embedding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model that embeds prompts on this machine."""

    model: Annotated[str, _Meta(min_length=1, max_length=256, description="the name of an embedding model")] = "builtin"


class Resident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a process that has everything loaded is kept for the next command."""

    start: Literal["auto", "off"] = "auto"


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder of Markdown files, each of them an arm."""

    folder: Annotated[str, _Meta(min_length=1, max_length=4096, description='a folder, such as "skills/"')]
    like: _Name | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arms, caps and a policy under one name, complete: every default is filled in."""

    name: _Name
    extends: str | None = None
    default_arm: str = ""
    caps: Caps = Caps()
    policy: Policy = Policy()
    log: Log = Log()
    arms: tuple[Arm, ...] = ()
    checks: dict[str, Check] = {}
    embedding: Embedding = Embedding()
    resident: Resident = Resident()
    plans: dict[str, _PlanText] = {}
    pool: Pool | None = None

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`.

        Raises
        ------
        KeyError
            If no arm has that name.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    @property
    def default(self) -> Arm:
        """Return the safe arm: the one taken when the router should not be trusted."""
        return self.arm(self.default_arm)


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
        One of the types of this module.
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
    profile = build(Profile, {**table, "arms": {}, "checks": {}}, locate)
    arms = tuple(
        build(Arm, {"name": name, **_as_table(arm, locate, ("arms", name))}, locate, ("arms", name))
        for name, arm in _as_table(table.get("arms", {}), locate, ("arms",)).items()
    )
    checks = {
        name: build(Check, each, locate, ("checks", name))
        for name, each in _as_table(table.get("checks", {}), locate, ("checks",)).items()
    }
    for name, check in checks.items():
        if not NAME_PATTERN.fullmatch(name):
            raise _wrong(name, _expected(_Name), locate, ("checks", name))
        if (check.cmd is None) == (check.spec is None):
            raise ConfigError(f"{locate(('checks', name))}: checks.{name}: give cmd or spec, one of the two")
    for arm in arms:
        _check_arm(arm, locate)
    if not arms:
        raise ConfigError(
            f"{locate(('arms',))}: this profile has no arms",
            hint='Add an [[arms]] table with name and model, or `extends = "openai"`.',
        )
    names = [arm.name for arm in arms]
    if profile.default_arm and profile.default_arm not in names:
        raise ConfigError(
            f"{locate(('default_arm',))}: default_arm: no arm is called {profile.default_arm!r}"
            f"{did_you_mean(profile.default_arm, names)}",
            hint=f"The arms are: {', '.join(names)}.",
        )
    if profile.policy.wtp_usd is not None and "prefer" in _as_table(table.get("policy", {}), locate, ("policy",)):
        raise ConfigError(
            f"{locate(('policy', 'wtp_usd'))}: policy.wtp_usd and policy.prefer say the same thing twice",
            hint="Keep one of them: prefer is a name for a fixed wtp_usd.",
        )
    _check_timezone(profile.caps.timezone, locate)
    return msgspec.structs.replace(
        profile, arms=arms, checks=checks, default_arm=profile.default_arm or _most_capable(arms).name
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)", or "" when nothing known comes near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def dotted(path: Path_) -> str:
    """Return a key's path as people write it.

    Examples
    --------
    >>> dotted(("caps", "per_day_usd")), dotted(("arms", "small", "price"))
    ('caps.per_day_usd', 'arm "small": price')
    """
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
    if name in {"arms", "checks"}:
        return () if name == "arms" else {}  # built by build_profile, under their own names
    table = _struct_in(kind)
    if table is not None:
        return build(table, value, locate, path)
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
        if key in {"logit_bias", "thinking"}:
            _as_table(item, locate, here)
        elif key == "stop":
            words = item if isinstance(item, list) else [item]
            if not all(isinstance(word, str) for word in words):
                raise _wrong(item, "text or a list of texts", locate, here)
        elif key in {"user", "verbosity"}:
            if not isinstance(item, str):
                raise _wrong(item, "text", locate, here)
        elif key == "keep_alive" and isinstance(item, str):
            continue
        elif not isinstance(item, (int, Decimal)) or isinstance(item, bool) or not Decimal(item).is_finite():
            raise _wrong(item, "a number", locate, here)
    return {key: _plain(item) for key, item in table.items()}


def _plain(value: object) -> object:
    """Return a value of TOML as JSON knows it: fractions as floats."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
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
            if isinstance(note, _Meta) and note.description:
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


def _check_arm(arm: Arm, locate: Locate) -> None:
    if arm.key_env is not None and arm.key_cmd is not None:
        path = ("arms", arm.name, "key_cmd")
        raise ConfigError(f"{locate(path)}: {dotted(path)}: an arm takes key_env or key_cmd, not both")
    if len(set(arm.tags)) != len(arm.tags):
        path = ("arms", arm.name, "tags")
        raise ConfigError(f"{locate(path)}: {dotted(path)}: a tag stands there twice")


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
