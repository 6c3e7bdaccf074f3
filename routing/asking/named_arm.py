"""What `-m` names: an arm of the profile, an alias, or a model with a known price, which becomes an arm beside them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from scrimp.profiles.addresses import needs_address
from scrimp.profiles.aliases import read_aliases
from scrimp.profiles.chain import read_built_in
from scrimp.profiles.errors import UsageError
from scrimp.profiles.keys import provider_of
from scrimp.profiles.load import with_arm
from scrimp.profiles.project import read_project
from scrimp.profiles.rungs import READINGS, SPLIT, bare_of
from scrimp.profiles.schema import EFFORTS, Arm

from . import stock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.load import Loaded
    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Profile
    from scrimp.routing.prices.table import PriceTable

__all__ = ["arm_of", "followed", "has_arm"]

_OWN_MACHINE: Final = {"local": "local", "ollama": "ollama", "ollama_chat": "ollama", "lm_studio": "lmstudio"}
"""Providers on this machine, whose models are free and in no price table: a built-in profile has the facts."""

_SHOWN: Final = 5

_OF_ONE_MODEL: Final = frozenset({"model", "tier", "size", "release"})


def has_arm(profile: Profile, name: str) -> bool:
    """Return whether a profile has an arm of that name itself; a reading may stand behind it (`small/whole`)."""
    return any(arm.name == bare_of(name) for arm in profile.arms)


def arm_of(loaded: Loaded, asked: str, *, paths: Paths, keys: Keys | None = None) -> tuple[Loaded, str]:
    """Return the profile with the arm that is asked for, and what it is called there.

    An arm of the profile comes first, then an alias, then the model of an arm, which is that arm; then any model that
    has a price, which joins the arms: under the profile's caps, as every other.

    Parameters
    ----------
    asked
        A name; `/READING` behind it says how much of files is read, `:EFFORT` behind a model how long it thinks.
    paths
        Where the user's aliases and prices are.
    keys
        Which providers have a key: of several that sell a model, the one that has is meant.

    Raises
    ------
    UsageError
        If it is none of these, or may be several; if no price is known for the model; or if the project's own file
        says which arms there are.
    """
    profile = loaded.profile
    if has_arm(profile, asked) or profile.rungs(bare_of(asked)):
        return loaded, asked
    name, reading = _with_reading(asked)
    aliases = read_aliases(paths)
    if name in aliases:
        target, own = _with_reading(aliases[name])
        name, reading = target, reading or own
        if has_arm(profile, name) or profile.rungs(name):
            return loaded, name + reading
    model, effort = _with_effort(name)
    if (same := _arm_of_model(profile, model, effort)) is not None:
        return loaded, same + reading
    prices = stock.prices(paths.prices)
    found = _models(model, prices, keys)
    if len(found) > 1:
        such = " such as" if len(found) > _SHOWN else ""
        raise UsageError(
            f"-m {asked}: {len(found)} providers sell a model of that name",
            hint=f"Name one{such}: {', '.join(found[:_SHOWN])}.",
        )
    if not found:
        if profile.pool is not None and "/" not in model:
            return loaded, asked  # it may be one of the pool, which is not read here
        raise _unknown(asked, model, profile, aliases, prices)
    model = found[0]
    if (same := _arm_of_model(profile, model, effort)) is not None:
        return loaded, same + reading
    loaded, arm = _joined(loaded, model, effort, prices)
    return loaded, arm + reading


def followed(asked: str, profile: Profile, paths: Paths) -> str:
    """Return a name with its alias followed, so that it means the same whatever becomes of the alias."""
    name, reading = _with_reading(asked)
    return asked if has_arm(profile, asked) else read_aliases(paths).get(name, name) + reading


def _with_reading(name: str) -> tuple[str, str]:
    """Return a name, and the `/READING` behind it or ""."""
    head, slash, tail = name.rpartition("/")
    return (head, f"/{tail}") if slash and tail in (*READINGS, SPLIT) else (name, "")


def _with_effort(name: str) -> tuple[str, str | None]:
    head, colon, tail = name.rpartition(":")
    return (head, tail) if colon and tail in EFFORTS else (name, None)


def _models(name: str, prices: PriceTable, keys: Keys | None) -> list[str]:
    """Return the models that a name may mean, each with its provider's prefix."""
    if "/" in name and name.partition("/")[0] in _OWN_MACHINE:
        return [f"ollama_chat/{name.removeprefix('ollama/')}" if name.startswith("ollama/") else name]
    listed = "/" in name and prices.entry(name) is not None
    return _with_a_key(_called([name] if listed else prices.models_called(name)), keys)


def _called(models: Iterable[str]) -> list[str]:
    """Return those models that can be called without an address of the user's own."""
    given = list(models)
    return [model for model in given if needs_address(Arm(name="x", model=model)) is None] or given


def _with_a_key(models: list[str], keys: Keys | None) -> list[str]:
    """Return those of several models whose provider has a key; where none has, all."""
    if len(models) < 2 or keys is None:
        return models
    return [model for model in models if keys.status(Arm(name="x", model=model)) == "present"] or models


def _arm_of_model(profile: Profile, model: str, effort: str | None) -> str | None:
    """Return the arm of the profile that is this model; None where there is none.

    Raises
    ------
    UsageError
        If several are; or if one has a cap of its own, which another arm of the same model would get round.
    """
    theirs = [arm for arm in profile.arms if model in (arm.model, _full(arm))]
    fit = [arm for arm in theirs if arm.system is None and arm.prompt is None]
    if effort is not None or not any(arm.efforts for arm in fit):
        fit = [arm for arm in fit if effort in (None, arm.reasoning_effort)]
    if len(fit) == 1:
        return fit[0].name
    if fit or any(arm.cap is not None for arm in theirs):
        raise UsageError(
            f"profile {profile.name} asks {model} by arms of its own",
            hint=f"Name one with -m: {', '.join(arm.name for arm in fit or theirs)}.",
        )
    return None


def _full(arm: Arm) -> str:
    """Return an arm's model with its provider's prefix."""
    return arm.model if arm.provider else f"{provider_of(arm)}/{arm.model}"


def _joined(loaded: Loaded, model: str, effort: str | None, prices: PriceTable) -> tuple[Loaded, str]:
    """Return the profile with a model as an arm of its own, and what that is called."""
    profile = loaded.profile
    if (only := _only_these(loaded)) is not None:
        raise UsageError(
            f"{loaded.project_file} says which arms there are ({only}), and {model} is none of them",
            hint="-p NAME takes a profile of yours instead, without what that file says of its arms.",
        )
    table: dict[str, object] = {"model": model}
    if (built_in := _OWN_MACHINE.get(model.partition("/")[0])) is not None:
        facts = next(iter(read_built_in(built_in).table["arms"].values()))
        table |= {key: value for key, value in facts.items() if key not in _OF_ONE_MODEL}
    elif (missing := needs_address(Arm(name="x", model=model))) is not None:
        raise UsageError(
            f"-m {model}: {missing}", hint=f"Write it into a profile: `scrimp profile edit {profile.name}`."
        )
    elif prices.price(Arm(name="x", model=model)) is None:
        raise _priceless(model, profile)
    if effort is not None:
        table["efforts"] = [effort]
    name = _name_for(model, profile, prices)
    return with_arm(loaded, name, table, by="-m"), name if effort is None else f"{name}:{effort}"


def _only_these(loaded: Loaded) -> str | None:
    """Return the arms that the project's own file leaves, where it names them and is followed in that; else None."""
    if loaded.project_file is None:
        return None
    use = read_project(loaded.project_file).table.get("use")
    if use is None or not all({arm.name, arm.base} & set(use) for arm in loaded.profile.arms):
        return None
    return ", ".join(use)


def _name_for(model: str, profile: Profile, prices: PriceTable) -> str:
    """Return what a model is called as an arm: as it is without its provider where that is clear, else all of it."""
    bare = model.partition("/")[2]
    taken = {each for arm in profile.arms for each in (arm.name, arm.base)}
    own = model.partition("/")[0] in _OWN_MACHINE or _called(prices.models_called(bare)) == [model]
    for wanted in (*((bare,) if own else ()), model, f"{model}-2"):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", wanted)[-64:].lstrip("._-")
        if name and name not in taken:
            return name
    raise UsageError(f"{model}: arms of profile {profile.name} have all names that it could have")


def _priceless(model: str, profile: Profile) -> UsageError:
    return UsageError(
        f"no price is known for {model}, so it is not asked",
        hint=f"State one: an [[arms]] table with this model and its price (`scrimp profile edit {profile.name}`), or a "
        "newer price table (`scrimp models prices --update FILE`).",
    )


def _unknown(asked: str, model: str, profile: Profile, aliases: Mapping[str, str], prices: PriceTable) -> UsageError:
    """Return the error for what is neither an arm, nor an alias, nor a model with a price."""
    names = [*(arm.name for arm in profile.arms), *aliases]
    near = difflib.get_close_matches(model, names, n=2, cutoff=0.6)
    known = [each for each in prices.models if each != model]
    near += difflib.get_close_matches(model, known, n=3 - len(near), cutoff=0.8)
    if "/" in model or prices.entry(model) is not None:
        error = _priceless(model, profile)
        return UsageError(error.message + _did_you_mean(near), hint=error.hint)
    also = f"; aliases: {', '.join(aliases)}" if aliases else ""
    return UsageError(
        f"profile {profile.name} has no arm {asked!r}, and no alias or priced model is called that"
        f"{_did_you_mean(near)}",
        hint=f"Its arms: {', '.join(arm.name for arm in profile.arms)}{also}; or a model as LiteLLM names it, such as "
        "openai/gpt-5-mini.",
    )


def _did_you_mean(near: list[str]) -> str:
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
