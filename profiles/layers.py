"""Tables of TOML laid over each other, each key with the file and line that set it."""

from __future__ import annotations

import copy
import re
import stat
import tomllib
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from .addresses import NO_ADDRESS
from .errors import ConfigError
from .schema import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Key = tuple[str, ...]

__all__ = [
    "ADDRESS",
    "MODEL_FACTS",
    "File",
    "Source",
    "Tree",
    "arms_by_name",
    "is_path",
    "moves",
    "parse_toml",
    "provider_in",
    "read_toml",
]

_MAX_BYTES: Final = 1 << 20

MODEL_FACTS: Final = ("price", "tags", "context_window")
"""Keys of an arm that describe its model."""

ADDRESS: Final = ("api_base", "key_env", "key_cmd")
"""Keys of an arm that say where it goes, and by which key."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a variable or a flag that sets keys.

    Parameters
    ----------
    label
        How it is called where keys are listed with their origins.
    place
        How it is called in errors: a file's path, or the variable or flag.
    lines
        The line of each key, for a file.
    """

    label: str
    place: str
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def at(self, path: Key) -> str:
        """Return "FILE:LINE" for a key, or for the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"{self.place}:{self.lines[path[:end]]}"
        return self.place


@dataclass(slots=True)
class Tree:
    """Tables merged so far, and the source of each key in them."""

    table: dict[str, Any] = field(default_factory=dict)
    sources: dict[Key, Source] = field(default_factory=dict)
    last: Source | None = None

    def at(self, path: Key) -> str:
        """Return where a key was set."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.sources:
                return self.sources[path[:end]].at(path)
        inside = [source for key, source in self.sources.items() if key[: len(path)] == path]
        source = inside[-1] if path and inside else self.last
        return source.at(path) if source else "the profile"

    def lay(self, layer: Mapping[str, Any], source: Source) -> None:
        """Lay one source's tables over what is below, key by key."""
        self.last = source
        layered = {key: value for key, value in layer.items() if key != "arms"}
        placed = self._rules_together(layered, source)
        policy = layered.get("policy")
        if isinstance(policy, dict) and ("prefer" in policy) != ("wtp_usd" in policy):
            self.drop("policy", "wtp_usd" if "prefer" in policy else "prefer")  # one replaces the other
        self._merge(self.table, layered, (), source)
        self.sources |= placed
        for name, arm in layer.get("arms", {}).items():
            below = self.table.setdefault("arms", {}).setdefault(name, {})
            self._forget_old_model(name, below, arm)
            if ("efforts" in arm) != ("reasoning_effort" in arm):
                self.drop("arms", name, "reasoning_effort" if "efforts" in arm else "efforts")  # one replaces the other
            self.sources.setdefault(("arms", name), source)
            self._merge(below, arm, ("arms", name), source)

    def _rules_together(self, layered: dict[str, Any], source: Source) -> dict[Key, Source]:
        """Put a layer's rules before those below, which are tried after them; return where each was said."""
        above, below = layered.get("rules"), self.table.get("rules", [])
        if not (isinstance(above, list) and isinstance(below, list)):
            return {}
        layered["rules"] = [*above, *below]
        placed: dict[Key, Source] = {("rules", str(number)): source for number in range(len(above))}
        for number in range(len(below)):
            moved = number + len(above)
            placed["rules", str(moved)] = _renumbered(self.sources["rules", str(number)], number, moved)
        return placed

    def copy(self) -> Tree:
        """Return a tree that can be laid over without touching this one."""
        return Tree(copy.deepcopy(self.table), dict(self.sources), self.last)

    def drop(self, *path: str) -> None:
        """Forget a key and what is below it."""
        table: Any = self.table
        for part in path[:-1]:
            table = table.get(part, {})
        if isinstance(table, dict):
            table.pop(path[-1], None)
        for key in [key for key in self.sources if key[: len(path)] == path]:
            del self.sources[key]

    def _merge(self, below: dict[str, Any], layer: Mapping[str, Any], path: Key, source: Source) -> None:
        for key, value in layer.items():
            here = (*path, key)
            if isinstance(value, dict):
                if not isinstance(below.get(key), dict):
                    self.drop(*here)
                    below[key] = {}
                self.sources.setdefault(here, source)
                self._merge(below[key], value, here, source)
            else:
                self.drop(*here)
                below[key] = value
                self.sources[here] = source

    def _forget_old_model(self, name: str, below: Mapping[str, Any], arm: Mapping[str, Any]) -> None:
        """Drop what describes the old model when an arm is given another, and its keys when it goes elsewhere.

        A price of 0 or the tag `local` must not pass from a model on this machine to one that is neither, nor a key
        from the host it was meant for to another.
        """
        moved = moves(arm, below)
        changed = "model" in arm and "model" in below and arm["model"] != below["model"]
        elsewhere = changed and provider_in(arm["model"]) != provider_in(below["model"])
        if "model" in below and (moved or changed):
            for key in MODEL_FACTS:
                self.drop("arms", name, key)
        if "model" in below and (moved or elsewhere):
            for key in ADDRESS:
                self.drop("arms", name, key)


def _renumbered(source: Source, old: int, new: int) -> Source:
    """Return the source of one rule that is counted by another number."""
    was, now = ("rules", str(old)), ("rules", str(new))
    lines = {(*now, *key[2:]): line for key, line in source.lines.items() if key[:2] == was}
    if not lines and ("rules",) in source.lines:  # a list in one line
        lines = {now: source.lines["rules",]}
    return replace(source, lines=lines)


@dataclass(frozen=True, slots=True)
class File:
    """A file as read: its tables, with `arms` by name."""

    path: Path
    name: str
    table: dict[str, Any]
    source: Source


def is_path(reference: str) -> bool:
    """Return whether a reference to a profile is a path, not a name."""
    return "/" in reference or reference.endswith(".toml")


def read_toml(path: Path, label: str, place: str) -> tuple[dict[str, Any], Source]:
    """Return the tables of a TOML file, fractions as Decimal, and where each key stands in it.

    Raises
    ------
    ConfigError
        If it is not a file, cannot be read, or is not TOML.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{place}: not a file")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{place}: too long: over {_MAX_BYTES >> 20} MB")
    try:
        return parse_toml(data.decode("utf-8-sig"), label, place)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place}:{line}: not UTF-8: byte 0x{data[error.start]:02x}") from None


def parse_toml(text: str, label: str, place: str) -> tuple[dict[str, Any], Source]:
    """Return the tables of a TOML text, fractions as Decimal, and where each key stands in it; as `read_toml`.

    Raises
    ------
    ConfigError
        If it is not TOML.
    """
    if "\0" in text:
        raise ConfigError(f"{place}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: there is a NUL byte")
    try:
        table = tomllib.loads(text, parse_float=_decimal)
    except ValueError as error:
        found = re.fullmatch(
            r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", str(error), re.DOTALL
        )
        line = int(found["line"]) if found and found["line"] else text.count("\n") + 1
        raise ConfigError(f"{place}:{line}: not TOML: {found['what'] if found else error}") from None
    except RecursionError:
        raise ConfigError(f"{place}: its tables are nested too deep") from None
    return table, Source(label, place, _lines(text))


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        msg = f"not a number: {text}"
        raise ValueError(msg) from None


_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_LINE = re.compile(rf"\s*(?:\[\[\s*(?P<item>{_DOTTED})\s*\]\]|\[\s*(?P<table>{_DOTTED})\s*\]|(?P<key>{_DOTTED})\s*=)")
_FENCE = re.compile(r"\"{3}|'{3}")


def _lines(text: str) -> dict[Key, int]:
    """Return the line of each key and table of a TOML text; arms by name, other lists of tables by index."""
    found: dict[Key, int] = {}
    items: dict[Key, int] = {}
    names: dict[str, str] = {}
    here: Key = ()
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        inside = fence
        for mark in _FENCE.findall(line):
            fence = mark if not fence else ("" if fence == mark else fence)
        match = None if inside else _LINE.match(line)
        if match is None:
            continue
        parts = tuple(part.strip("\"'") for part in re.findall(_PART, match["item"] or match["table"] or match["key"]))
        if match["item"]:
            items[parts] = items.get(parts, -1) + 1
        if match["key"]:
            path = (*here, *parts)
        else:
            path = ()
            for part in parts:
                path = (*path, part)
                plain = tuple(step for step in path if not step.isdigit())
                if plain in items:
                    path = (*path, str(items[plain]))
            here = path
        if match["key"] and len(path) == 3 and path[0] == "arms" and path[2] == "name":
            value = re.match(r"""\s*["']([^"']*)["']""", line[match.end() :])
            if value:
                names[path[1]] = value[1]
        for end in range(1, len(path) + 1):
            found.setdefault(path[:end], number)
    return {
        ("arms", names.get(path[1], path[1]), *path[2:]) if path[0] == "arms" and len(path) > 1 else path: number
        for path, number in found.items()
    }


def arms_by_name(table: Mapping[str, Any], source: Source) -> dict[str, dict[str, Any]]:
    """Return a file's arms by name, in their order.

    Raises
    ------
    ConfigError
        If one has no name, or that of another.
    """
    arms = table["arms"]
    if not isinstance(arms, list) or not all(isinstance(arm, dict) for arm in arms):
        raise ConfigError(f"{source.at(('arms',))}: arms: expected a list of tables: write [[arms]] above each")
    named: dict[str, dict[str, Any]] = {}
    for index, arm in enumerate(arms):
        name = arm.get("name")
        at = source.at(("arms", name if isinstance(name, str) else str(index)))
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            what = "is missing" if name is None else f"cannot be {name!r}"
            raise ConfigError(
                f"{at}: arms[{index}].name {what}: expected letters, digits, dots, dashes and underscores, up to 64"
            )
        if name in named:
            raise ConfigError(f"{at}: two arms are called {name!r}", hint="Give one of them another name.")
        named[name] = {key: value for key, value in arm.items() if key != "name"}
    return named


def moves(arm: Mapping[str, Any], below: Mapping[str, Any]) -> bool:
    """Return whether an arm's own `api_base` sends it elsewhere than what it is laid over.

    The first address of one whose provider has none (Azure) sends it nowhere else: until then it could not be called.
    """
    if "api_base" not in arm or arm["api_base"] == below.get("api_base"):
        return False
    return "api_base" in below or provider_in(below.get("model")) not in NO_ADDRESS


def provider_in(model: object) -> str:
    """Return the provider's prefix of a model's id; "" where it has none."""
    return model.partition("/")[0] if isinstance(model, str) else ""
