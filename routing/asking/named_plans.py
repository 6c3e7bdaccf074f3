"""Plans that a profile has under a name: checked when it is loaded, with the checks that each stops at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.schema import NAME_PATTERN, PRESETS_USD, did_you_mean
from scrimp.routing.checks.names import is_check, make_check, runs_nothing
from scrimp.routing.plans.grammar import gates_at, gates_in, read_plan
from scrimp.routing.plans.pointing import PlanError

from .request import NamedPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from scrimp.profiles.schema import Profile
    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.trace import Decision

    from .request import Way

__all__ = ["check_plans", "checks_of", "named_plan", "offered_plans", "spelled_checks", "with_own"]


def named_plan(profile: Profile, name: str) -> NamedPlan:
    """Return a profile's plan with its checks.

    Raises
    ------
    UsageError
        If a check of it cannot be run here, or there is none of that name.
    """
    text = profile.plans[name]
    checks = tuple(make_check(gate, profile.checks, calls=True) for gate in gates_in(text))
    return NamedPlan(name, text, checks)


def checks_of(way: Way, decision: Decision, profile: Profile) -> tuple[Check, ...]:
    """Return what the answers to a decided request have to pass: the way's checks, and those that its plan brings.

    Raises
    ------
    UsageError
        If a check of its plan cannot be run here.
    """
    plan = decision.plan or {}
    if (name := plan.get("name")) is not None and name in profile.plans:
        return with_own(way.checks, named_plan(profile, name).checks)
    return with_own(way.checks, spelled_checks(profile, plan.get("spelled", "")))


def spelled_checks(profile: Profile, text: str) -> tuple[Check, ...]:
    """Return the checks that a plan brings which somebody spelled: those of its gates that run nothing.

    One that runs a command or code, or reads a file, has to be given beside it (`--check`).

    Raises
    ------
    UsageError
        If the argument of one is wrong.
    """
    gates = (gate for gate in gates_in(text) if runs_nothing(gate, profile.checks) and is_check(gate, profile.checks))
    return tuple(make_check(gate, profile.checks, calls=True) for gate in gates)


def with_own(checks: tuple[Check, ...], own: tuple[Check, ...]) -> tuple[Check, ...]:
    """Return checks with a plan's own after them, each once."""
    given = {check.name for check in checks}
    return (*checks, *(check for check in own if check.name not in given))


def offered_plans(profile: Profile, given: Collection[str]) -> tuple[NamedPlan, ...]:
    """Return the plans of a profile that may be chosen by themselves.

    One that stops at a check which runs commands or code, reads files, or may take for ever is none of them unless
    that check was asked for: a plan that nobody named runs nothing that nobody named.

    Parameters
    ----------
    given
        The names of the checks that were asked for.
    """
    found = []
    for name, text in profile.plans.items():
        if all(gate in given or runs_nothing(gate, profile.checks) for gate in gates_in(text)):
            try:
                found.append(named_plan(profile, name))
            except UsageError:  # a check with an argument that is none: said where the plan is asked for
                continue
    return tuple(found)


def check_plans(profile: Profile, locate: Callable[[tuple[str, ...]], str]) -> None:
    """Refuse a profile with a plan that is none.

    Parameters
    ----------
    locate
        Gives "FILE:LINE" for the path of a key.

    Raises
    ------
    ConfigError
        If a plan cannot be read, is called as an arm or a preset is, or is made of plans.
    """
    arms = [arm.name for arm in profile.arms]
    for name, text in profile.plans.items():
        where = f"{locate(('plans', name))}: plans.{name}"
        if not NAME_PATTERN.fullmatch(name):
            raise ConfigError(f"{where}: a plan is called as an arm is: letters, digits, dots, dashes and underscores")
        if name in arms:
            raise ConfigError(f"{where}: an arm has that name", hint="Call the plan something else.")
        if name in PRESETS_USD:
            raise ConfigError(
                f"{where}: programs name the preset {name} as scrimp/{name}", hint="Call the plan something else."
            )
        try:
            read_plan(text, arms, None, where=where, plans=list(profile.plans))
            _check_gates(text, where, profile)
        except PlanError as error:
            raise ConfigError(error.message, hint=error.hint) from None


def _check_gates(text: str, where: str, profile: Profile) -> None:
    """Refuse what is the name of no check; whether a check can be run here is for when it is used."""
    for gate, at in gates_at(text):
        if not is_check(gate, profile.checks):
            reason = f"no check {gate[:80]!r}{did_you_mean(gate, profile.checks)}"
            hint = "The profile's own stand under [checks]; docs/checks.md has the others."
            raise PlanError(text, at, len(gate), reason, "a check", where=where, hint=hint)
