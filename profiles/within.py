"""A profile that a project's own file chooses, kept within what the user's own profile may spend and where it sends.

The user's own profile is the one that would be used without the file. A repository that was cloned must not make
anything possible that is not possible in an empty folder: no cap is higher or stands in another window, no prompt goes
to another host, and no more is kept of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import msgspec

from .building import build_profile
from .keys import provider_of
from .layers import Source
from .ruling import rules_for
from .schema import Arm, Caps, Guard, Keep, Log, Policy, Private, Profile, Resident

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .layers import Tree

    Key = tuple[str, ...]

__all__ = ["RULES", "Rule", "keep_within", "may_set"]

How = Literal["own", "least", "stricter", "free", "hosts", "kept"]


class Rule(NamedTuple):
    """What a project's own file may do about a key of a profile.

    Parameters
    ----------
    how
        For a profile that the file chooses. "own": it stays as the user's own profile has it; "least", "stricter": of
        the two profiles' values the lower, or stricter, one holds; "kept": what the user's own profile says of it holds
        there too; "free": it is the chosen profile's to say, since caps and hosts hold whatever it says; "hosts": an
        arm that goes where the user's own profile sends nothing is left out.
    direct
        Whether the file may set the key itself (a cap only below the profile's, `log.keep` only to keep less).
    """

    how: How
    direct: bool = False


RULES: Final[dict[Key, Rule]] = {
    ("name",): Rule("own"),  # so that what it spends counts in the windows of the user's own caps
    ("extends",): Rule("free"),
    ("default_arm",): Rule("free", direct=True),
    ("caps", "per_call_usd"): Rule("least", direct=True),
    ("caps", "per_run_usd"): Rule("least", direct=True),
    ("caps", "per_day_usd"): Rule("least", direct=True),
    ("caps", "per_month_usd"): Rule("least", direct=True),
    ("caps", "timezone"): Rule("own"),
    ("policy", "mode"): Rule("free"),
    ("policy", "prefer"): Rule("free", direct=True),
    ("policy", "wtp_usd"): Rule("free", direct=True),
    ("policy", "min_quality"): Rule("free", direct=True),
    ("policy", "explore"): Rule("free", direct=True),
    ("policy", "pace"): Rule("stricter"),
    ("policy", "minute_usd"): Rule("free", direct=True),
    ("policy", "max_seconds"): Rule("free", direct=True),
    ("policy", "weights"): Rule("free", direct=True),
    ("log", "keep"): Rule("stricter", direct=True),
    ("log", "retention_days"): Rule("least"),
    ("log", "signals"): Rule("free"),
    ("arms", "*", "name"): Rule("free"),
    ("arms", "*", "model"): Rule("hosts"),
    ("arms", "*", "api_base"): Rule("hosts"),
    ("arms", "*", "batch_api"): Rule("free"),
    ("arms", "*", "key_env"): Rule("free"),
    ("arms", "*", "key_cmd"): Rule("free"),
    ("arms", "*", "max_output_tokens"): Rule("free"),
    ("arms", "*", "reasoning_effort"): Rule("free"),
    ("arms", "*", "tier"): Rule("free"),
    ("arms", "*", "tags"): Rule("free"),
    ("arms", "*", "price"): Rule("free"),
    ("arms", "*", "limits"): Rule("free"),
    ("arms", "*", "cap", "per_call_usd"): Rule("least"),
    ("arms", "*", "cap", "per_day_usd"): Rule("least"),
    ("arms", "*", "cap", "per_month_usd"): Rule("least"),
    ("arms", "*", "params"): Rule("free"),
    ("arms", "*", "timeout_s"): Rule("free"),
    ("arms", "*", "context_window"): Rule("free"),
    ("arms", "*", "system"): Rule("free"),
    ("arms", "*", "prompt"): Rule("free"),
    ("arms", "*", "about"): Rule("free"),
    ("arms", "*", "like"): Rule("free"),
    ("arms", "*", "efforts"): Rule("free"),
    ("arms", "*", "release"): Rule("free"),
    ("arms", "*", "size"): Rule("free"),
    ("checks", "*", "cmd"): Rule("free"),  # the user's own commands, run only where `--check` names them
    ("checks", "*", "spec"): Rule("free"),
    ("checks", "*", "timeout_s"): Rule("free"),
    ("embedding", "model"): Rule("free"),
    ("resident", "start"): Rule("own"),
    ("alerts", "cmd"): Rule("free"),  # the user's own, from a file of the user's: never the project's
    ("alerts", "url"): Rule("free"),
    ("alerts", "at"): Rule("free"),
    ("alerts", "timeout_s"): Rule("free"),
    ("otel", "endpoint"): Rule("free"),
    ("otel", "content"): Rule("free"),
    ("otel", "timeout_s"): Rule("free"),
    ("plans",): Rule("free"),
    ("guard", "private"): Rule("stricter"),
    ("guard", "names"): Rule("kept"),
    ("guard", "risky"): Rule("kept"),
    ("guard", "risk_below"): Rule("kept"),
    ("guard", "scope"): Rule("kept"),
    ("guard", "unsafe"): Rule("kept"),
    ("rules",): Rule("kept"),  # those of the user's own profile are tried first
    ("pool",): Rule("free"),  # its arms go where the one does that they are like
}
"""Every key of the schema. "free" is what the user wrote (or scrimp brings) and cannot raise a cap or name a host."""

_STRICTNESS: Final = {"keep": get_args(Keep), "pace": ("off", "month"), "private": get_args(Private)}
_UNSET: Final = (None, (), "off")


def may_set() -> dict[str, tuple[str, ...] | None]:
    """Return what a project's own file may set: names of keys, with those of a table's inner keys."""
    found: dict[str, tuple[str, ...] | None] = {"profile": None, "use": None}
    for path, rule in RULES.items():
        if rule.direct and len(path) == 1:
            found[path[0]] = None
        elif rule.direct:
            found[path[0]] = (*(found.get(path[0]) or ()), path[1])
    return found


def keep_within(tree: Tree, own: Tree, *, source: Source) -> list[str] | None:
    """Change the tables of a chosen profile so that they allow nothing that the user's own do not.

    Parameters
    ----------
    tree
        The chosen profile.
    own
        The user's own profile.
    source
        What is named as the origin of the keys that had to change.

    Returns
    -------
    list
        The names of arms left out, since the user's own profile sends nothing to where they go; None when no arm
        would be left: then nothing was changed.
    """
    theirs, ours = build_profile(tree.table, tree.at), build_profile(own.table, own.at)
    left_out = [arm.name for arm in theirs.arms if not _reachable(arm, ours)]
    if len(left_out) == len(theirs.arms):
        return None
    for name in left_out:
        tree.drop("arms", theirs.arm(name).base)
        if theirs.default_arm == name:
            tree.drop("default_arm")
    if theirs.pool is not None and any(arm.cap is not None for arm in ours.arms):
        tree.drop("pool")  # each of its arms has a cap of its own: together they would get round it
    for table, kind in (("caps", Caps), ("policy", Policy), ("log", Log), ("guard", Guard), ("resident", Resident)):
        one, other = getattr(theirs, table), getattr(ours, table)
        _bound((table,), kind.__struct_fields__, one, other, tree, source)
    for arm in theirs.arms:
        if arm.name not in left_out and (same := _called(arm.base, ours)) is not None and same.cap is not None:
            _bound(("arms", arm.base, "cap"), same.cap.__struct_fields__, arm.cap, same.cap, tree, source)
    tree.lay({"name": ours.name}, source)
    arms = tuple(arm for arm in theirs.arms if arm.name not in left_out)
    for rule, said in reversed(rules_for(arms, ours.rules, ours.arms, _same_model)):
        tree.lay({"rules": [said]}, Source(source.label, rule.at))
    return left_out


def _bound(path: Key, keys: Iterable[str], theirs: object, ours: object, tree: Tree, source: Source) -> None:
    """Lay over a table of the chosen profile what the user's own says more strictly."""
    for key in keys:
        where = ("arms", "*", *path[2:], key) if path[0] == "arms" else (*path, key)
        how = RULES[where].how
        one, other = getattr(theirs, key, None), getattr(ours, key)
        if how == "free" or other is None or other == one:
            continue
        if how == "least" and one is not None and one <= other:
            continue
        if how == "stricter" and _STRICTNESS[key].index(one) > _STRICTNESS[key].index(other):
            continue
        if how == "kept" and other in _UNSET:
            continue
        value: Any = {key: msgspec.to_builtins(other) if isinstance(other, msgspec.Struct) else other}
        for part in reversed(path):
            value = {part: value}
        tree.lay(value, source)


def _reachable(arm: Arm, own: Profile) -> bool:
    """Return whether the user's own profile sends prompts where an arm does, and has no cap there to get round."""
    if arm.provider == "local":
        return True
    for ours in own.arms:
        if ours.base != arm.base and ours.cap is not None and (ours.model, _host(ours)) == (arm.model, _host(arm)):
            return False
    return any(_host(arm) == _host(ours) for ours in own.arms)


def _same_model(arm: Arm, other: Arm) -> bool:
    return (arm.model, _host(arm)) == (other.model, _host(other))


def _host(arm: Arm) -> str:
    """Return where an arm's prompts go: a scheme, host and port, or a provider's name."""
    if arm.api_base is None:
        return provider_of(arm)
    scheme, _, rest = arm.api_base.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}".lower()


def _called(base: str, profile: Profile) -> Arm | None:
    return next((arm for arm in profile.arms if arm.base == base), None)
