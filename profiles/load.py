"""From a name to a complete profile: files, `extends`, the project's own file, the environment and flags, in layers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from .addresses import note_ignored
from .errors import ConfigError, UsageError
from .files import new_file
from .keys import Keys
from .layers import File, Source, Tree, arms_by_name, is_path, read_toml
from .money import read_number
from .paths import make_private_dir
from .project import PROJECT_FILE, find_project_file, lay_project, read_project
from .render import to_toml
from .schema import NAME_PATTERN, Profile, build_profile, did_you_mean
from .starter import STARTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from .paths import Paths
    from .schema import Arm

    Key = tuple[str, ...]

__all__ = [
    "BUILT_IN",
    "PROJECT_FILE",
    "Listed",
    "Loaded",
    "find_project_file",
    "init_profile",
    "list_profiles",
    "load_profile",
    "override",
    "profile_path",
    "to_toml",
]

BUILT_IN: Final = ("local", "openai", "anthropic", "google", "openrouter", "ollama", "mixed")
"""The profiles that come with scrimp."""

_KEYS_OF: Final = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "openrouter": ("OPENROUTER_API_KEY",),
}
"""The keys that make a built-in profile the one to take when nobody chose."""

_ENVIRONMENT: Final = {
    "SCRIMP_PREFER": ("policy", "prefer"),
    "SCRIMP_WTP": ("policy", "wtp_usd"),
    "SCRIMP_MIN_QUALITY": ("policy", "min_quality"),
    "SCRIMP_LOG": ("log", "keep"),
}
"""Variables that override a key of the profile."""

_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile, and where each part of it comes from.

    Parameters
    ----------
    profile
        The complete profile.
    files
        The files it was read from, the chosen one first; then what it extends; then the project's own file.
    origin
        For each key as `caps.per_day_usd` or `arms.small.model`: "user file work.toml", "built-in openai.toml",
        ".scrimp.toml", "SCRIMP_PREFER", "--prefer" or "default".
    chosen_by
        What chose the profile: "--profile", "SCRIMP_PROFILE", ".scrimp.toml", "user file default.toml" or "keys".
    notes
        Remarks for the user, one line each; they belong on stderr.
    project_file
        The project's own file, if there is one.
    tree
        The tables behind the profile, for `override`.
    """

    profile: Profile
    files: tuple[Path, ...]
    origin: Mapping[str, str]
    chosen_by: str
    notes: tuple[str, ...] = ()
    project_file: Path | None = None
    tree: Tree = field(default_factory=Tree, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A profile that can be chosen by name: `origin` is "built-in" or "user", `shadows` says it hides a built-in."""

    name: str
    origin: str
    path: Path
    shadows: bool = False


def load_profile(name_or_path: str | None, *, env: Mapping[str, str], cwd: Path, paths: Paths) -> Loaded:
    """Return the profile to use, complete and checked.

    Layers, from the top: SCRIMP_* variables, the project's own file, the chosen file, what it extends. Flags lie above
    them all: see `override`. Nobody chose when neither the argument, nor SCRIMP_PROFILE, nor the project's file does:
    then it is the user's profile called `default`, or else a built-in picked by the keys that are set.

    Parameters
    ----------
    name_or_path
        What `-p` says: a name, or a path to a .toml file (it holds a slash or ends in .toml); None when not given.
    env
        The environment.
    cwd
        The working directory: paths and the project's file are sought from here.
    paths
        Where the user's files live.

    Raises
    ------
    UsageError
        If no profile has that name, or there is no file at that path.
    ConfigError
        If a file cannot be read, or says something it may not.
    """
    keys = Keys(env, paths)
    notes = list(keys.notes)
    project_path = find_project_file(cwd, env)
    project = read_project(project_path) if project_path else None
    by_project = project.table.get("profile") if project else None
    if name_or_path is not None:
        chosen, chosen_by = name_or_path, "--profile"
    elif env.get("SCRIMP_PROFILE"):
        chosen, chosen_by = env["SCRIMP_PROFILE"], "SCRIMP_PROFILE"
    elif by_project is not None:
        chosen, chosen_by = by_project, PROJECT_FILE
    elif os.path.lexists(paths.profiles / "default.toml"):
        chosen, chosen_by = "default", "user file default.toml"
    else:
        chosen, why = _choose(keys)
        chosen_by = "keys"
        notes.append(f"no profile chosen: using {chosen}, because {why} (-p NAME takes another)")
    chain = _chain(chosen, chosen_by, cwd, paths)
    tree = _merged(chain)
    if chosen_by == "keys" and chosen == "mixed":
        _drop_arms_without_keys(tree, keys)
    if project is not None:
        notes += lay_project(
            tree,
            project,
            about_this=by_project in {None, chosen},
            choosy=chosen_by in {"--profile", "SCRIMP_PROFILE"},
        )
    _lay_environment(tree, env)
    profile = build_profile(tree.table, tree.at)
    if (ignored := note_ignored(_not_moved(profile, tree), env)) is not None:
        notes.append(ignored)
    return Loaded(
        profile=profile,
        files=tuple(file.path for file in (*chain, *([project] if project else []))),
        origin=MappingProxyType(_origins(profile, tree)),
        chosen_by=chosen_by,
        notes=tuple(notes),
        project_file=project_path,
        tree=tree,
    )


def override(
    loaded: Loaded,
    *,
    prefer: str | None = None,
    wtp_usd: Decimal | float | str | None = None,
    min_quality: float | None = None,
    explore: float | None = None,
    keep: str | None = None,
) -> Loaded:
    """Return the profile with what flags say laid over it; None leaves a key as it is.

    Raises
    ------
    UsageError
        If a value is not what its key expects, or `prefer` and `wtp_usd` are both given.
    """
    if prefer is not None and wtp_usd is not None:
        raise UsageError("--prefer and --wtp say the same thing twice", hint="Give one of them.")
    flags: list[tuple[str, str, str, object]] = [
        ("--prefer", "policy", "prefer", prefer),
        ("--wtp", "policy", "wtp_usd", wtp_usd if wtp_usd is None else _number(str(wtp_usd))),
        ("--min-quality", "policy", "min_quality", min_quality),
        ("--explore", "policy", "explore", explore),
        ("--log", "log", "keep", keep),
    ]
    tree = loaded.tree.copy()
    for flag, table, key, value in flags:
        if value is not None:
            tree.lay({table: {key: value}}, Source(flag, flag))
    try:
        profile = build_profile(tree.table, tree.at)
    except ConfigError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return replace(loaded, profile=profile, origin=MappingProxyType(_origins(profile, tree)), tree=tree)


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


def init_profile(name: str, template: str, paths: Paths) -> Path:
    """Write a starter profile that extends `template`, with everything else in comments; never over another file.

    Raises
    ------
    UsageError
        If the name cannot be one, there is a profile of that name already, or no template of the other.
    ConfigError
        If the file cannot be written.
    """
    if not NAME_PATTERN.fullmatch(name) or name.endswith(".toml"):
        raise UsageError(
            f"not a name for a profile: {name!r}", hint="Use letters, digits, dots, dashes and underscores."
        )
    tree = _merged(_chain(template, "--profile", paths.config, paths))
    arms = build_profile(tree.table, tree.at).arms
    file = paths.profiles / f"{name}.toml"
    text = STARTER.format(
        name=name,
        template=template,
        arms=", ".join(arm.name for arm in arms),
        arm=arms[0].name,
        model=arms[0].model,
    )
    try:
        make_private_dir(paths.profiles)
        with new_file(file) as opened:
            opened.write(text.encode())
    except FileExistsError:
        raise UsageError(
            f"there is a profile called {name} already: {file}", hint=f"`scrimp profile edit {name}` opens it."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    return file


def _chain(chosen: str, chosen_by: str, cwd: Path, paths: Paths) -> list[File]:
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
            found = _read_file(_built_in(parent), f"built-in {parent}.toml", f"built-in {parent}.toml")
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


def _merged(chain: Sequence[File]) -> Tree:
    """Return the tables of a chain of files, the farthest at the bottom."""
    tree = Tree()
    for file in reversed(chain):
        tree.lay({key: value for key, value in file.table.items() if key not in {"name", "extends"}}, file.source)
    nearest = chain[0]
    own = {key: value for key, value in nearest.table.items() if key == "extends"}
    tree.lay({"name": nearest.name, **own}, nearest.source)
    return tree


def _by_name(name: str, paths: Paths, by: str) -> File:
    if NAME_PATTERN.fullmatch(name):
        own = paths.profiles / f"{name}.toml"
        if os.path.lexists(own):
            return _read_file(own, f"user file {name}.toml", str(own), name)
        if name in BUILT_IN:
            return _read_file(_built_in(name), f"built-in {name}.toml", f"built-in {name}.toml", name)
    raise _no_such(name, by, paths)


def _no_such(name: str, by: str, paths: Paths) -> UsageError:
    names = [listed.name for listed in list_profiles(paths)]
    return UsageError(
        f"{by}there is no profile called {name!r}{did_you_mean(name, names)}",
        hint=f"There are: {', '.join(names)}. `scrimp profile init NAME` makes another.",
    )


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


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


def _choose(keys: Keys) -> tuple[str, str]:
    """Return the built-in profile that fits the keys that are there, and why."""
    there = {
        name: key for name, names in _KEYS_OF.items() if (key := next((key for key in names if keys.has(key)), None))
    }
    own = [name for name in there if name != "openrouter"]
    if len(own) > 1:
        return "mixed", f"{_and([there[name] for name in own])} are set"
    if own:
        return own[0], f"{there[own[0]]} is set"
    if there:
        return "openrouter", "OPENROUTER_API_KEY is set"
    return "local", "no key is set"


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _drop_arms_without_keys(tree: Tree, keys: Keys) -> None:
    profile = build_profile(tree.table, tree.at)
    for arm in profile.arms:
        if keys.status(arm) == "missing":
            tree.drop("arms", arm.name)
            if arm.name == profile.default_arm:
                tree.drop("default_arm")


def _not_moved(profile: Profile, tree: Tree) -> Iterator[Arm]:
    """Yield the arms whose address nobody but scrimp itself has chosen."""
    for arm in profile.arms:
        source = tree.sources.get(("arms", arm.name, "api_base"))
        if source is None or source.label.startswith("built-in "):
            yield arm


def _lay_environment(tree: Tree, env: Mapping[str, str]) -> None:
    if env.get("SCRIMP_PREFER") and env.get("SCRIMP_WTP"):
        raise ConfigError("SCRIMP_PREFER and SCRIMP_WTP say the same thing twice", hint="Unset one of them.")
    for variable, (table, key) in _ENVIRONMENT.items():
        value = env.get(variable)
        if value:
            laid = _number(value) if key in {"wtp_usd", "min_quality"} else value
            tree.lay({table: {key: laid}}, Source(variable, variable))


def _number(text: str) -> Decimal | str:
    """Return a number, or the text itself, for the schema to refuse by name."""
    try:
        return read_number(text)
    except ValueError:
        return text


def _origins(profile: Profile, tree: Tree) -> dict[str, str]:
    """Return where each key that has a value comes from."""

    def walk(value: object, path: Key) -> Iterator[Key]:
        if isinstance(value, msgspec.Struct):
            for key in value.__struct_fields__:
                yield from walk(getattr(value, key), (*path, key))
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))
        elif value is not None and value != ():
            yield path

    found: dict[str, str] = {}
    whole = msgspec.structs.replace(profile, arms=())
    for path in (*walk(whole, ()), *(leaf for arm in profile.arms for leaf in walk(arm, ("arms", arm.name)))):
        is_name = path[0] == "arms" and path[-1] == "name"
        source = tree.sources.get(path[:-1] if is_name else path)
        found[".".join(path)] = source.label if source else "default"
    return found
