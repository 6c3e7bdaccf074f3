"""How answers are come to, from flags: the checks they must pass, and whether a plan of several calls may be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import SPLIT, bare_of
from scrimp.routing.checks.names import check_kinds, make_check
from scrimp.routing.checks.text import SchemaCheck

from .named_plans import named_plan, offered_plans, spelled_checks, with_own
from .request import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.checks.base import Check

    from .request import NamedPlan

__all__ = ["check_kinds", "make_way", "split_plan"]


def split_plan(reading: str, *, arm: str | None, plan: str | None, cascade: bool = False) -> str | None:
    """Return the plan that reads all of a prompt's files piece by piece, where that is asked for as a reading.

    Parameters
    ----------
    arm
        Who is to read; None: the arm of greatest utility for the prompt.

    Returns
    -------
    str or None
        None for another reading.

    Raises
    ------
    UsageError
        If a plan is asked for beside it.

    Examples
    --------
    >>> split_plan("split", arm="small", plan=None), split_plan("split", arm=None, plan=None)
    ('small/split', '@1/split')
    """
    if reading != SPLIT:
        return None
    if plan is not None or cascade:
        raise UsageError("--read split is a plan of its own", hint="In a plan say which arm splits, as in small/split.")
    return f"{'@1' if arm is None else bare_of(arm)}/{SPLIT}"


def make_way(
    profile: Profile,
    *,
    schema: Mapping[str, Any] | None,
    checks: Iterable[str] = (),
    cascade: bool = False,
    plan: str | None = None,
    repair: bool = False,
    arm: str | None = None,
    rows_have_plans: bool = False,
    weighs_plans: bool = True,
) -> Way:
    """Make the checks and the plan that flags and schema ask for; a plan by its name brings the checks it stops at.

    Parameters
    ----------
    rows_have_plans
        Whether a plan may come with the prompt itself, so that --repair makes sense without one here.
    weighs_plans
        Whether a plan of the profile's may be chosen in place of one arm.

    Raises
    ------
    UsageError
        If there is no such check, or the flags do not go together.
    """
    made: list[Check] = []
    if schema is not None:
        made.append(SchemaCheck(dict(schema)))
    made += [make_check(text, profile.checks, calls=True) for text in dict.fromkeys(checks)]
    name = plan if plan in profile.plans else None
    if name is not None:
        own = named_plan(profile, name)
        plan, made = own.text, [*with_own(tuple(made), own.checks)]
    elif plan is not None:
        made = [*with_own(tuple(made), spelled_checks(profile, plan))]
    cascade = cascade or (profile.policy.mode == "cascade" and arm is None)
    if repair and not (cascade or plan or rows_have_plans):
        raise UsageError("--repair is about escalation", hint="Add --cascade, or a --plan.")
    if arm is not None and (cascade or plan):
        raise UsageError("-m takes one arm and --cascade chooses among plans: give one of the two")
    named: tuple[NamedPlan, ...] = ()
    if weighs_plans and arm is None and plan is None and profile.plans:
        named = offered_plans(profile, {check.name for check in made})
    return Way(tuple(made), cascade, plan, repair, name, named)
