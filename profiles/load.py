"""From a name to a complete profile: files, `extends`, the project's own file, the environment and flags, in layers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from .addresses import note_ignored
from .building import build_profile
from .chain import BUILT_IN, Listed, list_profiles, merged, profile_path, read_chain
from .choice import USE, ByKeys, by_keys, join_arms, profile_in_use
from .errors import ConfigError, UsageError
from .files import new_file
from .keys import Keys
from .layers import File, Source, Tree
from .money import read_number
from .paths import make_private_dir
from .project import PROJECT_FILE, distrust, find_project_file, lay_project, read_project
from .render import to_toml
from .schema import NAME_PATTERN, Profile
from .served import name_served
from .starter import STARTER
from .within import keep_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal
    from pathlib import Path

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
    "with_arm",
]

_ENVIRONMENT: Final = {
    "SCRIMP_PREFER": ("policy", "prefer"),
    "SCRIMP_WTP": ("policy", "wtp_usd"),
    "SCRIMP_MIN_QUALITY": ("policy", "min_quality"),
    "SCRIMP_LOG": ("log", "keep"),
}
"""Variables that override a key of the profile."""


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
        What chose the profile: "--profile", "SCRIMP_PROFILE", ".scrimp.toml", "scrimp profile use", "user file
        default.toml" or "keys".
    notes
        Remarks for the user, one line each; they belong on stderr.
    daily
        That one of them which is said once a day: which profile the keys chose; None where somebody chose.
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
    daily: str | None = None
    project_file: Path | None = None
    tree: Tree = field(default_factory=Tree, repr=False, compare=False)


def load_profile(name_or_path: str | None, *, env: Mapping[str, str], cwd: Path, paths: Paths) -> Loaded:
    """Return the profile to use, complete and checked.

    Layers, from the top: SCRIMP_* variables, the project's own file, the chosen file, what it extends. Flags lie above
    them all: see `override`. Nobody chose when neither the argument, nor SCRIMP_PROFILE, nor the project's file does:
    then it is the profile that `scrimp profile use` made the default, the user's profile called `default`, or else a
    built-in picked by the keys that are set.

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
    project = _project(cwd, env, notes)
    asked_by = "--profile" if name_or_path is not None else "SCRIMP_PROFILE"
    asked = name_or_path if name_or_path is not None else env.get("SCRIMP_PROFILE") or None
    said: list[str] = []
    daily = None
    if asked is not None:
        chain = read_chain(asked, asked_by, cwd, paths)
        tree, chosen_by = merged(chain), asked_by
        if project is not None:
            about_this = project.table.get("profile") in {None, asked}
            said = lay_project(tree, project, about_this=about_this, choosy=True)
    else:
        chain, tree, chosen_by, why = _own(keys, env, cwd, paths)
        if project is not None:
            chain, tree, chosen_by, said = _by_project(project, chain, tree, chosen_by, cwd, paths)
        if chosen_by == "keys":
            daily = f"no profile chosen: using {chain[0].name}, because {why} (-p NAME takes another)"
            notes.append(daily)
    if project is not None and said:
        notes.append(f"{project.path}: " + "; ".join(said))
    _lay_environment(tree, env)
    profile = build_profile(tree.table, tree.at)
    if name_served(tree, profile, keys):
        profile = build_profile(tree.table, tree.at)
    if (ignored := note_ignored(_not_moved(profile, tree), env)) is not None:
        notes.append(ignored)
    return Loaded(
        profile=profile,
        files=tuple(dict.fromkeys(file.path for file in (*chain, *([project] if project else [])))),
        origin=MappingProxyType(_origins(profile, tree)),
        chosen_by=chosen_by,
        notes=tuple(notes),
        daily=daily,
        project_file=project.path if project else None,
        tree=tree,
    )


def _project(cwd: Path, env: Mapping[str, str], notes: list[str]) -> File | None:
    """Return the project's own file, if there is one that can be trusted; what is said otherwise goes to `notes`."""
    path = find_project_file(cwd, env)
    if path is not None and (why := distrust(path, env)) is not None:
        notes.append(f"{path}: ignored, since {why}")
        return None
    return None if path is None else read_project(path)


def _own(keys: Keys, env: Mapping[str, str], cwd: Path, paths: Paths) -> tuple[list[File], Tree, str, str]:
    """Return the profile that is used where nothing chooses another: its files and tables, what chose it, and why."""
    choice = ByKeys("default", "")
    if (name := profile_in_use(paths)) is not None:
        choice, by = ByKeys(name, ""), USE
    elif os.path.lexists(paths.profiles / "default.toml"):
        by = "user file default.toml"
    else:
        choice, by = by_keys(keys, env), "keys"
    chain = read_chain(choice.name, by, cwd, paths)
    tree = merged(chain)
    if by == "keys" and choice.name == "mixed":
        join_arms(tree, choice, keys)
    return chain, tree, by, choice.why


def _by_project(
    project: File, chain: list[File], tree: Tree, chosen_by: str, cwd: Path, paths: Paths
) -> tuple[list[File], Tree, str, list[str]]:
    """Return what a project's own file makes of the user's own profile: as `_own`, and what there is to say of it."""
    own, name = chain[0].name, project.table.get("profile")
    if name in {None, own}:
        said = lay_project(tree, project, about_this=True, choosy=False)
        return chain, tree, chosen_by if name is None else PROJECT_FILE, said
    theirs = read_chain(str(name), PROJECT_FILE, cwd, paths)
    other = merged(theirs)
    said = lay_project(other, project, about_this=True, choosy=False)
    left_out = keep_within(other, tree, source=chain[0].source)
    if left_out is None:
        said = lay_project(tree, project, about_this=False, choosy=False)
        refused = f"profile {name} is not used: {own}, your own, sends nothing to where it goes (-p {name} takes it)"
        return chain, tree, chosen_by, [refused, *said]
    said = [f"profile {name}, within the caps and hosts of {own}, your own (-p {name} takes all of it)", *said]
    if left_out:
        said.append(f"{own} sends nothing to where {', '.join(left_out)} would go: left out")
    return [*theirs, *chain], other, PROJECT_FILE, said


def override(
    loaded: Loaded,
    *,
    prefer: str | None = None,
    wtp_usd: Decimal | float | str | None = None,
    min_quality: float | None = None,
    explore: float | None = None,
    keep: str | None = None,
    per_run_usd: Decimal | None = None,
    private: str | None = None,
    max_seconds: float | None = None,
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
        ("--max-cost", "caps", "per_run_usd", per_run_usd),
        ("--private", "guard", "private", private),
        ("--max-seconds", "policy", "max_seconds", max_seconds),
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


def with_arm(loaded: Loaded, name: str, arm: Mapping[str, object], *, by: str) -> Loaded:
    """Return the profile with one arm more; all else, its default arm too, is as it was.

    Parameters
    ----------
    name, arm
        What it is called, and its keys as `[[arms]]` has them, without the name.
    by
        What is named as its origin: a flag.

    Raises
    ------
    UsageError
        If a key is wrong.
    """
    tree = loaded.tree.copy()
    tree.lay({"default_arm": loaded.profile.default_arm, "arms": {name: dict(arm)}}, Source(by, by))
    try:
        profile = build_profile(tree.table, tree.at)
    except ConfigError as error:
        raise UsageError(error.message, hint=error.hint) from None
    return replace(loaded, profile=profile, origin=MappingProxyType(_origins(profile, tree)), tree=tree)


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
    tree = merged(read_chain(template, "--profile", paths.config, paths))
    arms = build_profile(tree.table, tree.at).arms
    file = paths.profiles / f"{name}.toml"
    text = STARTER.format(
        name=name,
        template=template,
        arms=", ".join(dict.fromkeys(arm.base for arm in arms)),
        arm=arms[0].base,
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


def _not_moved(profile: Profile, tree: Tree) -> Iterator[Arm]:
    """Yield the arms whose address nobody but scrimp itself has chosen."""
    for arm in profile.arms:
        source = tree.sources.get(("arms", arm.base, "api_base"))
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
        source = tree.sources.get(_said(path, profile))
        found[".".join(path)] = source.label if source else "default"
    return found


def _said(path: Key, profile: Profile) -> Key:
    """Return the key of the merged tables that a profile's key was said by."""
    if path[0] != "arms":
        return path
    arm = profile.arm(path[1])
    key = "efforts" if arm.efforts and path[2] == "reasoning_effort" else path[2]
    return ("arms", arm.base) if key == "name" else ("arms", arm.base, key, *path[3:])
