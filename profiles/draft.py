"""A profile that `scrimp setup` writes: of answers to its questions, a TOML text that can be read and edited."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .building import build_profile
from .chain import merged, read_built_in
from .choice import two_arms
from .layers import File, Source, arms_by_name
from .providers import MAKERS
from .render import toml_value
from .schema import PRESETS_USD, TIERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .schema import Profile

__all__ = ["Draft", "drafted", "in_toml"]

_MOST_MODELS: Final = 3
"""The most models of one Ollama that become arms."""

_PREFIX: Final = {"google": "gemini"}
"""How LiteLLM calls a maker that a profile is called otherwise after."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new profile is to be.

    Parameters
    ----------
    name
        What it is called.
    of
        The built-in profiles whose arms it is made of, in order; one at least.
    month_usd
        The most that it may spend in a month, USD.
    prefer
        What a right answer is worth: cheap, balanced or best.
    azure
        The address of the user's Azure resource, if that is among them.
    ollama
        The models that Ollama serves, if that is.
    """

    name: str
    of: tuple[str, ...]
    month_usd: Decimal = Decimal(50)
    prefer: str = "balanced"
    azure: str | None = None
    ollama: tuple[str, ...] = ()


def drafted(draft: Draft) -> Profile:
    """Return the profile that the text of a draft makes.

    Raises
    ------
    ConfigError
        If it cannot be one.
    """
    table: dict[str, Any] = tomllib.loads(in_toml(draft), parse_float=Decimal)
    source = Source("the new profile", "the new profile")
    table["arms"] = arms_by_name(table, source) if "arms" in table else {}
    file = File(Path(f"{draft.name}.toml"), draft.name, table, source)
    tree = merged([file, *([read_built_in(table["extends"])] if "extends" in table else [])])
    return build_profile(tree.table, tree.at)


def in_toml(draft: Draft) -> str:
    """Return a draft as the text of a profile's file.

    Of one provider it extends the built-in profile, which newer versions of scrimp keep up to date; of several it
    states arms of its own: those that `mixed` has of a maker, the cheapest and the default one of any other.
    """
    call = min(draft.month_usd, Decimal("0.50"))
    day = min(draft.month_usd, max(draft.month_usd / 10, call))
    lines = [
        "# Written by `scrimp setup`. What else can be set: docs/profiles.md.",
        f"# To change it: scrimp profile edit {draft.name}",
        f"# To check it: scrimp profile check {draft.name}",
        f"name = {toml_value(draft.name)}",
    ]
    parent = _parent(draft)
    arms = dict(_arms(draft))
    if parent is not None:
        lines.append(f"extends = {toml_value(parent)}")
    elif (default := _default(arms)) is not None:
        lines.append(f"default_arm = {toml_value(default)}  # taken when the router should not be trusted")
    lines += [
        "",
        "[caps]  # in USD; a call that could exceed one is not sent",
        f"per_call_usd = {_usd(call)}",
        f"per_day_usd = {_usd(day)}",
        f"per_month_usd = {_usd(draft.month_usd)}",
        "",
        "[policy]",
        f"prefer = {toml_value(draft.prefer)}  # a right answer is worth {_usd(PRESETS_USD[draft.prefer])} USD",
    ]
    for name, arm in arms.items():
        lines += ["", "[[arms]]", f"name = {toml_value(name)}"]
        lines += [f"{key} = {toml_value(value)}" for key, value in arm.items()]
    return "\n".join(lines) + "\n"


def _parent(draft: Draft) -> str | None:
    """Return the built-in profile that a draft of one provider extends; Ollama's arms are the models that are there."""
    return draft.of[0] if len(draft.of) == 1 and draft.of[0] != "ollama" else None


def _arms(draft: Draft) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the arms that the file states, by name."""
    if draft.of == ("azure",):
        yield from ((name, {"api_base": draft.azure}) for name in read_built_in("azure").table["arms"])
        return
    if _parent(draft) is not None:
        return
    if makers := {_PREFIX.get(name, name) for name in draft.of if name in MAKERS}:
        for name, arm in read_built_in("mixed").table["arms"].items():
            if arm["model"].partition("/")[0] in makers:
                yield name, arm
    for each in draft.of:
        if each == "ollama":
            yield from _of_ollama(draft.ollama)
        elif each not in MAKERS:
            more = {"api_base": draft.azure} if each == "azure" else {}
            for name, arm in two_arms(read_built_in(each)).items():
                yield (name if each == "local" else f"{each}-{name}"), arm | more


def _of_ollama(models: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    pattern = next(iter(read_built_in("ollama").table["arms"].values()))
    for model in models[:_MOST_MODELS]:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", model.removesuffix(":latest")).strip("-.")
        facts = {key: value for key, value in pattern.items() if key not in {"size", "release", "model"}}
        yield f"ollama-{name}"[:64], {"model": f"ollama_chat/{model}"} | facts


def _default(arms: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the arm to fall back on: `mixed`'s own where it is there, else the first of the highest tier."""
    safe = read_built_in("mixed").table["default_arm"]
    if safe in arms:
        return str(safe)
    return max(arms, key=lambda name: TIERS.index(arms[name]["tier"]), default=None)


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01')):f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount:f}"
