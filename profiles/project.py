"""A project's own file, found in the working directory: it may narrow what a profile allows, or choose within that."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from .building import build, dotted
from .errors import ConfigError
from .layers import File, is_path, read_toml
from .schema import NAME_PATTERN, Caps, Keep, Log, Policy, did_you_mean
from .within import may_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .layers import Source, Tree

    Key = tuple[str, ...]

__all__ = ["PROJECT_FILE", "distrust", "find_project_file", "lay_project", "read_project"]

PROJECT_FILE: Final = ".scrimp.toml"
"""What a project's own file is called."""


def find_project_file(cwd: Path, env: Mapping[str, str]) -> Path | None:
    """Return the project's own file, sought upwards from `cwd` to the repository's root, or the home folder."""
    home = env.get("HOME")
    try:
        cwd = cwd.absolute()
    except OSError:  # it was removed under us
        return None
    for folder in (cwd, *cwd.parents):
        file = folder / PROJECT_FILE
        if os.path.lexists(file):
            return file
        if os.path.lexists(folder / ".git") or (home and folder == Path(home)):
            return None
    return None


def distrust(path: Path, env: Mapping[str, str]) -> str | None:
    """Return why a project's own file is not to be followed; None where there is no reason.

    Whoever can write it could say which of the user's profiles is used here. So it has to be the user's (or root's),
    the link that leads to it too, and not everybody's to write; git asks the same of a repository.
    """
    if not hasattr(os, "geteuid"):
        return None  # Windows: who may write is for the folder's own rights to say
    owners = {os.geteuid(), 0}
    if os.geteuid() == 0 and env.get("SUDO_UID", "").isdecimal():
        owners.add(int(env["SUDO_UID"]))
    try:
        looked = [os.lstat(path), path.stat(), path.resolve().parent.stat()]
    except (OSError, RuntimeError):
        return None  # reading it says what is wrong
    link, file, folder = looked
    for found in (link, file):
        if found.st_uid not in owners:
            return f"it belongs to another user (uid {found.st_uid})"
    if file.st_mode & stat.S_IWOTH:
        return "everybody can write it (chmod o-w mends that)"
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return "everybody can write its folder (chmod o-w mends that)"
    return None


def read_project(path: Path) -> File:
    """Return a project's own file, with nothing in it but what such a file may set."""
    allowed = may_set()
    table, source = read_toml(path, PROJECT_FILE, str(path))
    for key, value in table.items():
        if key not in allowed:
            raise _forbidden(source, (key,), allowed)
        inner = allowed[key]
        if inner is None:
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{source.at((key,))}: {key}: expected a table")
        for name in value:
            if name not in inner:
                raise _forbidden(source, (key, name), inner)
    name = table.get("profile")
    if name is not None and not (isinstance(name, str) and NAME_PATTERN.fullmatch(name) and not is_path(name)):
        raise ConfigError(
            f"{source.at(('profile',))}: profile: expected the name of a profile",
            hint="A project's own file may choose a profile by name, never by path.",
        )
    use = table.get("use")
    if use is not None and not (isinstance(use, list) and use and all(isinstance(arm, str) for arm in use)):
        raise ConfigError(f"{source.at(('use',))}: use: expected a list of arms' names")
    return File(path, PROJECT_FILE, table, source)


def _forbidden(source: Source, path: Key, allowed: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"{source.at(path)}: {dotted(path)}: a project's own file may not set this{did_you_mean(path[-1], allowed)}",
        hint="It may set profile, use, default_arm, [policy], lower [caps] and a stricter log.keep; arms, keys, "
        "addresses, prices, parameters and commands belong in a profile of your own.",
    )


def lay_project(tree: Tree, project: File, *, about_this: bool, choosy: bool) -> list[str]:
    """Lay a project's own file over a profile; it can only narrow what the profile allows.

    Parameters
    ----------
    tree
        The profile so far.
    project
        The project's own file.
    about_this
        Whether the file is about this profile, or names another one.
    choosy
        Whether the user asked for this profile by name: then arms that it does not have are left aside.

    Returns
    -------
    list
        Remarks for the user: what it chose, and what was left aside.

    Raises
    ------
    ConfigError
        If the file names an arm that is not there, raises a cap, or keeps more of the log.
    """
    table = {key: value for key, value in project.table.items() if key not in {"profile", "use"}}
    notes: list[str] = []
    arms = _names(tree)
    named = [*project.table.get("use", []), *([table["default_arm"]] if "default_arm" in table else [])]
    if not about_this or (choosy and not all(name in arms for name in named)):
        table.pop("default_arm", None)
        if named:
            notes.append("its use and default_arm are about another profile, and left aside")
    else:
        notes += _keep_arms(tree, project)
        if table.get("default_arm", tree.table.get("default_arm")) != tree.table.get("default_arm"):
            notes.append(f"default_arm = {table['default_arm']}")
    _check_caps(tree, table.get("caps", {}), project.source)
    _check_keep(tree, table.get("log", {}), project.source)
    policy = table.get("policy", {})
    build(Policy, policy, project.source.at, ("policy",))
    notes += [f"{key} = {value}" for key, value in policy.items() if tree.table.get("policy", {}).get(key) != value]
    tree.lay(table, project.source)
    return notes


def _keep_arms(tree: Tree, project: File) -> list[str]:
    arms = _names(tree)
    if "use" not in project.table:
        return []
    use = project.table["use"]
    for name in use:
        if name not in arms:
            raise ConfigError(
                f"{project.source.at(('use',))}: use: no arm is called {name!r}{did_you_mean(name, arms)}",
                hint=f"The arms of {tree.table['name']} are: {', '.join(arms)}.",
            )
    n_before = len(arms)
    for name in list(tree.table.get("arms", {})):
        efforts = [effort for effort in _efforts(tree, name) if f"{name}:{effort}" in use]
        if name in use or not efforts:
            if name not in use:
                tree.drop("arms", name)
        else:
            tree.table["arms"][name]["efforts"] = efforts
    kept = _names(tree)
    if tree.table.get("default_arm") not in (None, *kept):
        tree.drop("default_arm")
    return [f"uses only {', '.join(use)}"] if len(kept) < n_before else []


def _names(tree: Tree) -> list[str]:
    """Return every name that an arm, a ladder or one of its rungs goes by."""
    return [
        each for name in tree.table.get("arms", {}) for each in (name, *(f"{name}:{e}" for e in _efforts(tree, name)))
    ]


def _efforts(tree: Tree, name: str) -> list[str]:
    arm = tree.table["arms"][name]
    efforts = arm.get("efforts") if isinstance(arm, dict) else None
    return [each for each in efforts if isinstance(each, str)] if isinstance(efforts, list) else []


def _check_caps(tree: Tree, caps: Mapping[str, object], source: Source) -> None:
    below = build(Caps, tree.table.get("caps", {}), tree.at, ("caps",))
    wanted = build(Caps, caps, source.at, ("caps",))
    for key in caps:
        limit, asked = getattr(below, key), getattr(wanted, key)
        if limit is not None and asked > limit:
            path = ("caps", key)
            raise ConfigError(
                f"{source.at(path)}: caps.{key}: a project's own file may only lower a cap: "
                f"{asked} is above {limit} ({tree.at(path)})"
            )


def _check_keep(tree: Tree, log: Mapping[str, object], source: Source) -> None:
    allowed = build(Log, tree.table.get("log", {}), tree.at, ("log",)).keep
    asked = build(Log, {"keep": allowed, **log}, source.at, ("log",)).keep
    strictness = get_args(Keep)
    if strictness.index(asked) < strictness.index(allowed):
        raise ConfigError(
            f"{source.at(('log', 'keep'))}: log.keep: a project's own file may only keep less: "
            f'"{asked}" keeps more than "{allowed}" ({tree.at(("log", "keep"))})'
        )
