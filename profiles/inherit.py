"""Arms that are like others: `like = "small"` takes what an arm does not say itself from the one that it names."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .building import dotted
from .errors import ConfigError
from .layers import ADDRESS, MODEL_FACTS, moves, provider_in
from .schema import did_you_mean

if TYPE_CHECKING:
    from .layers import Tree

__all__ = ["inherit"]

_ITS_OWN: Final = frozenset({"name", "like", "about", "system", "prompt", "efforts"})
"""What is never taken over: what tells an arm from the one that it is like."""


def inherit(tree: Tree) -> None:
    """Give every arm of merged tables that is like another what it does not say itself.

    Tables (`cap`, `limits`, `params`, `price`) are taken over key by key. What describes a model (price, tags, context
    window) does not pass to another model or address, nor a key or an address to another provider's.

    Raises
    ------
    ConfigError
        If an arm is like one that is not there, or they are like each other in a circle.
    """
    done: set[str] = set()
    for name in list(tree.table.get("arms", {})):
        _complete(tree, name, (), done)


def _complete(tree: Tree, name: str, way: tuple[str, ...], done: set[str]) -> None:
    arms = tree.table["arms"]
    stated = arms[name].get("like") if isinstance(arms[name], dict) else None
    if name in done or not isinstance(stated, str):
        done.add(name)
        return
    path = ("arms", name, "like")
    at = f"{tree.at(path)}: {dotted(path)}"
    other, colon, effort = stated.partition(":")
    if other in (*way, name):
        circle = [*way, name, other]
        raise ConfigError(f"{at}: arms are like each other in a circle: {' -> '.join(circle[circle.index(other) :])}")
    if other not in arms:
        raise ConfigError(
            f"{at}: no arm is called {other!r}{did_you_mean(other, arms)}", hint=f"The arms are: {', '.join(arms)}."
        )
    if colon and effort not in (arms[other].get("efforts") or ()):
        raise ConfigError(f"{at}: {other} has no effort {effort!r}")
    _complete(tree, other, (*way, name), done)
    own = arms[name]
    taken = {key: value for key, value in arms[other].items() if key in _passes(own, arms[other])}
    if colon and not own.keys() & {"efforts", "reasoning_effort"}:
        taken["reasoning_effort"] = effort
        tree.sources.setdefault(("arms", name, "reasoning_effort"), tree.sources[path])
    arms[name] = _under(own, taken)
    for key, source in list(tree.sources.items()):
        mine = ("arms", name, *key[2:])
        if key[:2] == ("arms", other) and len(key) > 2 and key[2] in taken and mine not in tree.sources:
            lines = {mine: source.lines[key]} if key in source.lines else {}
            tree.sources[mine] = replace(source, label=f"{source.label}, like {stated}", lines=lines)
    done.add(name)


def _passes(own: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Return the keys that pass from one arm to another that is like it."""
    passes = set(other) - _ITS_OWN
    moved = moves(own, other)
    changed = "model" in own and own["model"] != other.get("model")
    if moved or changed:
        passes -= set(MODEL_FACTS)
    if moved or (changed and provider_in(own["model"]) != provider_in(other.get("model"))):
        passes -= set(ADDRESS)
    if own.keys() & {"key_env", "key_cmd"}:
        passes -= {"key_env", "key_cmd"}
    if own.get("efforts"):
        passes.discard("reasoning_effort")
    return passes


def _under(own: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Return a table laid over another, tables within it key by key."""
    merged = copy.deepcopy(taken)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _under(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged
