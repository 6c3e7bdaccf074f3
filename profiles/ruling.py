"""The arms that a profile's rules name: looked up where all of its arms are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .building import build_profile, build_rules, dotted
from .errors import ConfigError
from .schema import PlacedRule, When, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from .layers import Tree
    from .schema import Arm

__all__ = ["allowed_by", "check_rules", "rules_for"]


def check_rules(tree: Tree) -> None:
    """See to it that the rules of merged tables name arms that are there, and leave one to each prompt.

    It is asked of the tables of a user's own files: what a project's own file leaves out later is missed by no rule.
    With a pool a name may be one of its arms, which are files that come and go.

    Raises
    ------
    ConfigError
        If one does not: it names the rule's file, line and key.
    """
    if not tree.table.get("rules") or not tree.table.get("arms"):
        return
    rules, profile = build_rules(tree.table["rules"], tree.at), build_profile(tree.table, tree.at)
    names = list(dict.fromkeys(name for arm in profile.arms for name in (arm.name, arm.base)))
    for number, rule in enumerate(rules):
        path = ("rules", str(number))
        for key in ("use", "never"):
            for name in getattr(rule, key):
                if name not in names and profile.pool is None:
                    here = (*path, key)
                    raise ConfigError(
                        f"{tree.at(here)}: {dotted(here)}: no arm is called {name!r}{did_you_mean(name, names)}",
                        hint=f"The arms are: {', '.join(names)}.",
                    )
        if profile.pool is None and not any(allowed_by(rule, arm.name, arm.base) for arm in profile.arms):
            raise ConfigError(
                f"{tree.at(path)}: {dotted(path)}: it leaves no arm to what it is about",
                hint="To send nothing at all, write a [guard] that refuses.",
            )


def allowed_by(rule: PlacedRule, name: str, base: str) -> bool:
    """Return whether a rule lets an arm take what it is about.

    Parameters
    ----------
    name, base
        The arm's, and its ladder's.
    """
    return (not rule.use or name in rule.use or base in rule.use) and name not in rule.never and base not in rule.never


def rules_for(
    arms: tuple[Arm, ...], own: tuple[PlacedRule, ...], ours: tuple[Arm, ...], same: Callable[[Arm, Arm], bool]
) -> list[tuple[PlacedRule, dict[str, object]]]:
    """Return a user's own rules, and each as a table of TOML that says of other arms what it says of the user's.

    Parameters
    ----------
    arms
        Those of another profile.
    own, ours
        The rules, and the arms that they are about.
    same
        Whether an arm of the other profile is one of the user's: the same model at the same place.
    """
    found: list[tuple[PlacedRule, dict[str, object]]] = []
    for rule in own:
        allowed = [arm for arm in ours if allowed_by(rule, arm.name, arm.base)]
        barred = [arm for arm in ours if arm not in allowed]
        fit = [
            arm.name
            for arm in arms
            if not any(same(arm, each) for each in barred)
            and (not rule.use or any(same(arm, each) for each in allowed))
        ]
        when = {key: value for key, value in _said(rule.when).items() if value is not None}
        said = {"use": fit} if fit else {"never": [arm.name for arm in arms]}
        found.append((rule, {"when": when, **said}))
    return found


def _said(when: When) -> dict[str, object]:
    return msgspec.structs.asdict(when)
