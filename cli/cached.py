"""`ask --cache`: an answer that was given before, where it is exactly what is asked now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.routing.asking.request import Ask, Checked, Way
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context

__all__ = ["cache_age_s", "run_cached"]


def cache_age_s(age: str | None, keep: str) -> float | None:
    """Return how old an answer of the cache may be, in seconds; None without `--cache`.

    Parameters
    ----------
    keep
        What the log keeps of the request: the cache keeps no text that the log does not.

    Raises
    ------
    UsageError
        If it is no age, or no text is kept.
    """
    if age is None:
        return None
    from scrimp.routing.batch.files.cache import parse_age

    age_s = parse_age(age)
    if keep != "all":
        raise UsageError("--cache keeps answers, and this profile (or --no-log) keeps no text")
    return age_s


def run_cached(
    space: Workspace,
    request: Ask,
    decision: Decision,
    context: Context,
    plan: Plan,
    way: Way,
    *,
    max_age_s: float,
    on_text: Callable[[str], None] | None,
) -> Checked:
    """Return the answer: from the cache, where it has one that is young enough, else from the arm."""
    from scrimp.routing.batch.files.answered import Answered

    before = Answered(
        paths().responses, max_age_s=max_age_s, space=space, ask=request, decision=decision, plan=plan, way=way
    )
    try:
        found = before.find(context)
        if found is not None:
            if on_text is not None:
                on_text(found.answer.text)
            return found
        checked = space.run(request, decision, context, plan, way, on_text=on_text)
        before.keep(checked)
        return checked
    finally:
        before.close()
