"""What a program may name as its model: scrimp itself, a preset, an arm, an arm's model, a plan or its name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import PRESETS_USD
from scrimp.routing.asking.request import Way
from scrimp.routing.asking.ways import make_way
from scrimp.routing.checks.names import HARMLESS
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.plans.grammar import gates_in, is_plan

from .shapes.shape import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.profiles.schema import Profile

__all__ = ["ROUTED", "model_names", "resolve"]

ROUTED: Final = "scrimp"
"""The model that stands for any: each request is routed."""


def model_names(profile: Profile) -> list[str]:
    """Return the names that a program may choose from: `scrimp`, one a preset and a plan, and the profile's arms."""
    return [
        ROUTED,
        *(f"{ROUTED}/{name}" for name in (*PRESETS_USD, *profile.plans)),
        *(arm.name for arm in profile.arms),
    ]


def resolve(name: str, profile: Profile, *, effort: str | None = None, any_model: bool = False) -> tuple[Wishes, Way]:
    """Return what the name of a model asks for.

    An arm's name goes before its model's (with or without the provider's prefix: the first arm of that model is
    taken). Of a model that is there at several efforts, or of the name that those share, it is the one at the effort
    asked for. A plan brings the checks that it stops at; one of the profile's is called by its name, with or without
    `scrimp/` before it.

    Parameters
    ----------
    effort
        The reasoning effort that is wished for; None where none is.
    any_model
        Whether a name that is not known stands for `scrimp`: some programs name models of their own choice.

    Raises
    ------
    ShapeError
        If there is no such model.

    Examples
    --------
    >>> from scrimp.profiles.schema import Arm, Profile
    >>> profile = Profile(name="p", arms=(Arm(name="small", model="openai/gpt-5-mini"),))
    >>> resolve("gpt-5-mini", profile)[0].arm, resolve("scrimp/best", profile)[0].wtp_usd
    ('small', 1.0)
    """
    routed, _, preset = name.partition("/")
    if routed == ROUTED and (not preset or preset in PRESETS_USD):
        return _routed(profile, preset)
    for arm in profile.arms:
        if name == arm.name:
            return Wishes(arm=arm.name), Way()
    plan = preset if routed == ROUTED else name
    if plan in profile.plans:
        return _planned(profile, plan)
    of_model = [arm for arm in profile.arms if name in (arm.model, arm.model.partition("/")[2])]
    at_effort = [arm for arm in (*profile.rungs(name), *of_model) if arm.reasoning_effort == effort is not None]
    for arm in (*at_effort, *of_model):
        return Wishes(arm=arm.name), Way()
    if is_plan(name):
        gates = gates_in(name)
        for gate in gates:
            if gate not in profile.checks and gate.partition(":")[0] not in HARMLESS:
                raise ShapeError(
                    f"the plan stops at {gate[:80]!r}, which is no check that a program may name: let the profile have "
                    f"it, under [checks]",
                    param="model",
                )
        return _planned(profile, name, gates)
    if any_model:
        return _routed(profile, "")
    known = model_names(profile)
    near = get_close_matches(name, [*known, *profile.plans], n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    if profile.rungs(name):
        meant = f" {profile.known_arms(name)}"
    raise ShapeError(
        f"no model {name[:80]!r}.{meant} There are: {', '.join(known)}. (An arm of the profile is called by its name; "
        f"`{ROUTED}` takes the cheapest that will do.)",
        param="model",
        kind="not_found",
    )


def _routed(profile: Profile, preset: str) -> tuple[Wishes, Way]:
    return Wishes(wtp_usd=float(PRESETS_USD[preset]) if preset else None), make_way(profile, schema=None)


def _planned(profile: Profile, plan: str, gates: Sequence[str] = ()) -> tuple[Wishes, Way]:
    try:
        return Wishes(), make_way(profile, schema=None, plan=plan, checks=gates)
    except UsageError as error:
        raise ShapeError(error.message, param="model") from None
