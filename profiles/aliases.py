"""Aliases: the user's own names for arms and models, as `-m` takes them; one line each in a file of the user's."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from .errors import ConfigError, UsageError
from .files import hold, replacing
from .layers import read_toml
from .paths import make_private_dir
from .render import toml_key, toml_value
from .schema import NAME_PATTERN, NAME_WORDS, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .paths import Paths

__all__ = ["read_aliases", "remove_alias", "set_alias"]

_TARGET: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,256}")

_HEAD: Final = "# Names for arms and models: `scrimp ask -m NAME`. An arm of that name in the profile comes first.\n"


def read_aliases(paths: Paths) -> dict[str, str]:
    """Return what each alias stands for, an arm or a model, by name in the order of the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line of it is no alias: the message names file and line.
    """
    if not os.path.lexists(paths.aliases):
        return {}
    table, source = read_toml(paths.aliases, "aliases", str(paths.aliases))
    for name, target in table.items():
        at = source.at((name,))
        if not NAME_PATTERN.fullmatch(name):
            raise ConfigError(f"{at}: {name!r} is not a name for an alias: expected {NAME_WORDS}")
        if not (isinstance(target, str) and _TARGET.fullmatch(target)):
            raise ConfigError(
                f"{at}: {name}: expected an arm or a model in quotes",
                hint=f'Such as: {toml_key(name)} = "openai/gpt-5-mini"',
            )
    return {name: str(target) for name, target in table.items()}


def set_alias(name: str, target: str, paths: Paths) -> str | None:
    """Have a name stand for an arm or a model; return what it stood for before, or None.

    An alias that is given as the target is followed once, here: what it stands for is written down.

    Raises
    ------
    UsageError
        If the name or the target cannot be one.
    ConfigError
        If the file cannot be read or written.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"not a name for an alias: {name!r}", hint=f"Use {NAME_WORDS}.")
    if not _TARGET.fullmatch(target):
        raise UsageError(
            f"not an arm or a model: {target!r}", hint='Such as "small", or LiteLLM\'s name "openai/gpt-5-mini".'
        )

    if target == name:
        raise UsageError(f"the alias {name} cannot stand for itself")

    def laid(aliases: dict[str, str]) -> None:
        aliases[name] = aliases.get(target, target)

    return _changed(paths, laid).get(name)


def remove_alias(name: str, paths: Paths) -> str:
    """Forget an alias; return what it stood for.

    Raises
    ------
    UsageError
        If there is none of that name.
    ConfigError
        If the file cannot be read or written.
    """
    there = read_aliases(paths)
    if name not in there:
        raise UsageError(
            f"no alias is called {name!r}{did_you_mean(name, there)}",
            hint=f"There are: {', '.join(there)}." if there else "`scrimp alias set NAME TARGET` makes one.",
        )
    return _changed(paths, lambda aliases: aliases.pop(name, None)).get(name, there[name])


def _changed(paths: Paths, change: Callable[[dict[str, str]], object]) -> Mapping[str, str]:
    """Write the aliases as they are changed, whole or not at all; return what they were."""
    try:
        make_private_dir(paths.aliases.parent)
        with hold(paths.aliases.with_name(".lock")):
            before = read_aliases(paths)
            after = dict(before)
            change(after)
            lines = [f"{toml_key(name)} = {toml_value(target)}\n" for name, target in after.items()]
            with replacing(paths.aliases) as file:
                file.write((_HEAD + "".join(lines)).encode())
    except OSError as error:
        raise ConfigError(f"{paths.aliases} cannot be written: {error.strerror}") from None
    return before
