"""Profiles as files: found by name or path, with all that they extend, and laid over one another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import ConfigError, UsageError
from .inherit import inherit
from .layers import File, Tree, arms_by_name, is_path, read_toml
from .project import PROJECT_FILE
from .ruling import check_rules
from .schema import NAME_PATTERN, did_you_mean
from .texts import place_examples, place_pool, read_names, read_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .paths import Paths

__all__ = ["BUILT_IN", "Listed", "list_profiles", "merged", "profile_path", "read_built_in", "read_chain"]

BUILT_IN: Final = (
    "local", "openai", "anthropic", "google", "deepseek", "mistral", "xai", "groq", "cerebras", "together",
    "openrouter", "bedrock", "azure", "ollama", "lmstudio", "llamacpp", "vllm", "mixed",
)  # fmt: skip
"""The profiles that come with scrimp."""

_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Listed:
    """A profile that can be chosen by name: `origin` is "built-in" or "user", `shadows` says it hides a built-in."""

    name: str
    origin: str
    path: Path
    shadows: bool = False


def list_profiles(paths: Paths) -> tuple[Listed, ...]:
    """Return the profiles that `-p` takes by name: the user's own, then the built-in ones they leave visible."""
    own = sorted(file.stem for file in _own_files(paths))
    listed = [Listed(name, "user", paths.profiles / f"{name}.toml", shadows=name in BUILT_IN) for name in own]
    listed += [Listed(name, "built-in", _built_in(name)) for name in BUILT_IN if name not in own]
    return tuple(listed)


def profile_path(name: str, paths: Paths) -> Path:
    """Return the file of the profile called `name`.

    Raises
    ------
    UsageError
        If there is none.
    """
    for listed in list_profiles(paths):
        if listed.name == name:
            return listed.path
    raise _no_such(name, "", paths)


def read_chain(chosen: str, chosen_by: str, cwd: Path, paths: Paths) -> list[File]:
    """Return the chosen file and those it extends, nearest first."""
    by = "" if chosen_by == "--profile" else f"{chosen_by}: "
    if chosen_by == PROJECT_FILE:
        chain = [_by_name(chosen, paths, by)]
    elif is_path(chosen):
        file = cwd / Path(chosen).expanduser()
        if not os.path.lexists(file):
            raise UsageError(
                f"{by}there is no file {chosen}", hint="-p takes a profile's name or a path to a .toml file."
            )
        chain = [_read_file(file, f"file {chosen}", chosen)]
    else:
        chain = [_by_name(chosen, paths, by)]
    while (parent := chain[-1].table.get("extends")) is not None:
        last = chain[-1]
        at = f"{last.source.at(('extends',))}: extends"
        if not isinstance(parent, str):
            raise ConfigError(f"{at}: expected the name of a profile or a path to a .toml file")
        if is_path(parent):
            file = last.path.parent / Path(parent).expanduser()
            if not os.path.lexists(file):
                raise ConfigError(f"{at}: there is no file {parent}")
            found = _read_file(file, f"file {parent}", str(file))
        elif parent in BUILT_IN and (last.path == paths.profiles / f"{parent}.toml" or last.path == _built_in(parent)):
            found = read_built_in(parent)
        else:
            try:
                found = _by_name(parent, paths, "")
            except UsageError as error:
                raise ConfigError(f"{at}: {error.message}", hint=error.hint) from None
        names = [file.name for file in (*chain, found)]
        if any(_same(found.path, file.path) for file in chain):
            raise ConfigError(f"{at}: profiles extend each other in a circle: {' -> '.join(names)}")
        if len(chain) == _MAX_DEPTH:
            raise ConfigError(f"{at}: profiles extend each other more than {_MAX_DEPTH} deep: {' -> '.join(names)}")
        chain.append(found)
    return chain


def merged(chain: Sequence[File]) -> Tree:
    """Return the tables of a chain of files, the farthest at the bottom, with what arms take from one another.

    Raises
    ------
    ConfigError
        If an arm is like one that is not there, or like itself in a circle; or a rule names none that is there.
    """
    tree = Tree()
    for file in reversed(chain):
        tree.lay({key: value for key, value in file.table.items() if key not in {"name", "extends"}}, file.source)
    nearest = chain[0]
    own = {key: value for key, value in nearest.table.items() if key == "extends"}
    tree.lay({"name": nearest.name, **own}, nearest.source)
    inherit(tree)
    check_rules(tree)
    return tree


def _by_name(name: str, paths: Paths, by: str) -> File:
    if NAME_PATTERN.fullmatch(name):
        own = paths.profiles / f"{name}.toml"
        if os.path.lexists(own):
            return _read_file(own, f"user file {name}.toml", str(own), name)
        if name in BUILT_IN:
            return read_built_in(name)
    raise _no_such(name, by, paths)


def _no_such(name: str, by: str, paths: Paths) -> UsageError:
    names = [listed.name for listed in list_profiles(paths)]
    return UsageError(
        f"{by}there is no profile called {name!r}{did_you_mean(name, names)}",
        hint=f"There are: {', '.join(names)}. `scrimp profile init NAME` makes another.",
    )


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def read_built_in(name: str) -> File:
    """Return the file of a profile that comes with scrimp, also where one of the user's hides it."""
    return _read_file(_built_in(name), f"built-in {name}.toml", f"built-in {name}.toml", name)


def _built_in(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.toml")


def _own_files(paths: Paths) -> Iterator[Path]:
    try:
        files = sorted(paths.profiles.glob("*.toml"))
    except OSError as error:
        raise ConfigError(f"{paths.profiles}: cannot be read: {error.strerror}") from None
    yield from (file for file in files if NAME_PATTERN.fullmatch(file.stem) and not is_path(file.stem))


def _read_file(path: Path, label: str, place: str, name: str | None = None) -> File:
    """Return a profile's file, its arms by name.

    A profile is called what its file is called. In the user's folder, where `-p` finds it by that, another `name`
    inside would only mislead and is refused; a file given by its path may name itself.
    """
    table, source = read_toml(path, label, place)
    table["arms"] = arms_by_name(table, source) if "arms" in table else {}
    read_texts(table["arms"], source, path.parent)
    place_pool(table, path.parent)
    read_names(table, source, path.parent)
    place_examples(table, path.parent)
    stated = table.get("name")
    if stated is not None and not (isinstance(stated, str) and NAME_PATTERN.fullmatch(stated)):
        raise ConfigError(f"{source.at(('name',))}: name: expected the name of a profile")
    if name is not None and stated not in {None, name}:
        raise ConfigError(
            f"{source.at(('name',))}: name: expected {name!r}, as the file is called, got {stated!r}",
            hint="-p takes the file's name: rename the file, or leave `name` out.",
        )
    name = name or stated or path.stem
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"{place}: {name!r} is not a name for a profile", hint='Rename the file, or give it a `name = "..."`.'
        )
    return File(path, name, table, source)
