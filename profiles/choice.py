"""Which profile is used when none is named: the one that the user made the default, or one that fits the keys."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .building import build_profile
from .chain import profile_path, read_built_in
from .credentials import seen
from .errors import ConfigError
from .files import store_own
from .providers import KEYS_OF, MAKERS, OTHERS, RESELLER
from .reading import read_text
from .schema import NAME_PATTERN, TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import Keys, KeyStatus
    from .layers import File, Tree
    from .paths import Paths

__all__ = [
    "USE",
    "ByKeys",
    "by_keys",
    "join_arms",
    "key_of",
    "profile_in_use",
    "template_by_keys",
    "two_arms",
    "use_profile",
]

USE: Final = "scrimp profile use"
"""What chose the profile, where the user made it the default."""


def profile_in_use(paths: Paths) -> str | None:
    """Return the name of the profile that `scrimp profile use` made the default; None without one.

    Raises
    ------
    ConfigError
        If the file that says so cannot be read, or holds no name.
    """
    try:
        name = read_text(paths.in_use, limit=1 << 12).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{paths.in_use}: cannot be read: {error.strerror}") from None
    except ValueError:
        name = ""
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"{paths.in_use}: expected the name of a profile", hint="`scrimp profile use NAME` writes it anew."
        )
    return name


def use_profile(name: str | None, paths: Paths) -> bool:
    """Make a profile the one that is used where none is named, or none of them; return whether that changed anything.

    Raises
    ------
    UsageError
        If there is no profile of that name.
    ConfigError
        If it cannot be written.
    """
    if name is None:
        try:
            paths.in_use.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{paths.in_use}: cannot be removed: {error.strerror}") from None
        return True
    profile_path(name, paths)
    with contextlib.suppress(ConfigError):
        if profile_in_use(paths) == name:
            return False
    store_own(paths.in_use, f"{name}\n".encode())
    return True


@dataclass(frozen=True, slots=True)
class ByKeys:
    """The built-in profile that fits the keys that are there.

    Parameters
    ----------
    name
        The profile.
    why
        Why, in words that follow "because".
    of
        Whose keys are there, as names of built-in profiles: those whose arms `mixed` is made of.
    """

    name: str
    why: str
    of: tuple[str, ...] = ()


def by_keys(keys: Keys, env: Mapping[str, str]) -> ByKeys:
    """Return the built-in profile that fits the keys that are set and stored.

    One provider's key: that provider's profile. Several: `mixed`. None: `local`, and what is there all the same is
    said. A reseller's key counts only where no maker's own is there.
    """
    there = {name: key for name, names in KEYS_OF.items() if (key := next(filter(keys.has, names), None))}
    if there.keys() & set(MAKERS):
        there.pop(RESELLER, None)
    if len(there) > 1:
        return ByKeys("mixed", f"{_and(list(there.values()))} are set", tuple(there))
    if there:
        ((name, key),) = there.items()
        return ByKeys(name, f"{key} is set", (name,))
    return ByKeys("local", _no_key(keys, env))


def key_of(name: str, keys: Keys, env: Mapping[str, str]) -> KeyStatus:
    """Return whether there is what a built-in profile is asked with: of `mixed`, one maker's key at least."""
    if name == "mixed":
        return "present" if any(key_of(maker, keys, env) == "present" for maker in MAKERS) else "missing"
    names = ("AZURE_API_KEY",) if name == "azure" else KEYS_OF.get(name)
    if names is None:
        return "not needed"
    if any(map(keys.has, names)) or (name == "bedrock" and seen("bedrock", env)):
        return "present"
    return "not seen" if name == "bedrock" else "missing"


def template_by_keys(keys: Keys, env: Mapping[str, str]) -> str:
    """Return the built-in profile that a profile of the user's own best extends: every arm of it has its key."""
    choice = by_keys(keys, env)
    if choice.name != "mixed" or set(choice.of) >= set(MAKERS):
        return choice.name
    return choice.of[0]


def _no_key(keys: Keys, env: Mapping[str, str]) -> str:
    """Say why no arm that costs money is used: of what is there, that which is nearest to being of use."""
    if keys.has("AZURE_API_KEY"):
        return "AZURE_API_KEY is set, but only you know its address, which `scrimp setup` asks for"
    other = next(((name, provider) for name, provider in OTHERS.items() if keys.has(name)), None)
    if other is not None:
        name, provider = other
        return f"{name} is set, but no built-in profile is of {provider}: `-m {provider}/MODEL` asks it"
    if seen("bedrock", env):
        return "no key is set but AWS's, which are for more than models: `-p bedrock` uses them"
    if any(name.endswith("_API_KEY") and value.strip() for name, value in env.items()):
        return "no key of a provider that is known here is set"
    return "no key is set"


def join_arms(tree: Tree, choice: ByKeys, keys: Keys) -> None:
    """Make the tables of `mixed` those of the providers whose keys are there.

    Of the makers that it has arms of itself, those without a key go. Of each other provider its cheapest arm and its
    default one come in, called by provider and arm: `groq-small`, `groq-large`. Order and names depend on nothing but
    which keys are there.
    """
    profile = build_profile(tree.table, tree.at)
    gone = [arm for arm in profile.arms if keys.status(arm) == "missing"]
    for arm in gone:
        tree.drop("arms", arm.base)
    if any(arm.name == profile.default_arm for arm in gone):
        tree.drop("default_arm")
    for name in choice.of:
        if name in MAKERS:
            continue
        file = read_built_in(name)
        arms = {f"{name}-{base}": arm for base, arm in two_arms(file).items()}
        tree.lay({"arms": arms}, file.source)


def two_arms(file: File) -> dict[str, dict[str, Any]]:
    """Return the tables of a built-in profile's cheapest and default arm, by name; they may be one."""
    arms = file.table["arms"]
    cheapest = min(arms, key=lambda name: TIERS.index(arms[name]["tier"]))
    return {name: arms[name] for name in (cheapest, file.table["default_arm"])}


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
