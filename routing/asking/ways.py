"""How answers are come to, from flags: the checks they must pass, and whether a plan of several calls may be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.routing.checks.names import make_check
from scrimp.routing.checks.text import SchemaCheck

from .request import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.checks.base import Check

__all__ = ["make_way"]


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
) -> Way:
    """Make the checks and the plan that flags and schema ask for.

    Parameters
    ----------
    rows_have_plans
        Whether a plan may come with the prompt itself, so that --repair makes sense without one here.

    Raises
    ------
    UsageError
        If there is no such check, or the flags do not go together.
    """
    made: list[Check] = []
    if schema is not None:
        made.append(SchemaCheck(dict(schema)))
    made += [make_check(text, profile.checks, calls=True) for text in dict.fromkeys(checks)]
    cascade = cascade or (profile.policy.mode == "cascade" and arm is None)
    if repair and not (cascade or plan or rows_have_plans):
        raise UsageError("--repair is about escalation", hint="Add --cascade, or a --plan.")
    if arm is not None and (cascade or plan):
        raise UsageError("-m takes one arm and --cascade chooses among plans: give one of the two")
    return Way(tuple(made), cascade, plan, repair)
