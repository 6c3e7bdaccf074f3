"""Why no arm can take a prompt: the error to end with, of the right kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, ScrimpError
from scrimp.profiles.money import format_usd
from scrimp.routing.ledger.caps import RefusedError, applicable_caps, check_caps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger

    from .request import Ask

__all__ = ["cheapest_too_dear", "refusal"]


def options_asked_for(decision: Decision, arm: str | None) -> list[Option]:
    """Return the options of the arms that were asked for: the one by name, else all."""
    return [weighed.option for weighed in decision.choice.weighed if arm in (None, weighed.option.arm)]


def cheapest_too_dear(decision: Decision, arm: str | None) -> Option | None:
    """Return the cheapest of the arms that only money keeps from taking a prompt; None where there is none."""
    dear = [option for option in options_asked_for(decision, arm) if option.by_cap]
    return min(dear, key=lambda option: option.bound_nano or 0, default=None)


def refusal(
    ask: Ask,
    decision: Decision,
    keyless: Mapping[str, ScrimpError],
    *,
    profile: Profile,
    ledger: Ledger | None,
    now: float,
) -> ScrimpError:
    """Return the error that says why no arm can take a prompt: money (exit 3), keys (4), or anything else (2)."""
    cheapest = cheapest_too_dear(decision, ask.wishes.arm)
    if cheapest is not None:
        return _too_dear(ask, decision, cheapest, profile=profile, ledger=ledger, now=now)
    options = options_asked_for(decision, ask.wishes.arm)
    if keyless and all(option.arm in keyless for option in options):
        return keyless[options[0].arm]
    reasons = "; ".join(f"{option.arm}: {option.infeasible}" for option in options)
    return ArmUnavailableError(
        f"no arm of profile {profile.name} can take this prompt ({reasons})",
        hint="`scrimp models` shows what each arm can take.",
    )


def _too_dear(
    ask: Ask, decision: Decision, cheapest: Option, *, profile: Profile, ledger: Ledger | None, now: float
) -> ScrimpError:
    bound = cheapest.bound_nano or 0
    for flag, limit in (("--max-cost", ask.wishes.max_cost_nano), ("--cap-override", ask.cap_override_nano)):
        if limit is not None and (bound > limit or flag == "--cap-override"):
            return BudgetRefusedError(
                f"refused by {flag} {format_usd(limit)}: {cheapest.arm}, the cheapest arm that could take this, could "
                f"cost up to {format_usd(bound)}",
                hint=f"Raise {flag}, or lower the arm's max_output_tokens.",
            )
    if ledger is not None:
        try:
            caps = applicable_caps(ledger, profile, cheapest.arm, now=now, run_id=ask.run_id or decision.id)
            check_caps(ledger, caps, bound, now=now)
        except RefusedError as refused:
            refused.message = f"{cheapest.arm}, the cheapest arm that could take this, was {refused.message}"
            refused.args = (refused.message,)
            return refused
    return BudgetRefusedError(
        f"{cheapest.arm}, the cheapest arm, {cheapest.infeasible}",
        hint="Raise the cap (`scrimp spend` shows all caps) or --max-cost, or lower the arm's max_output_tokens.",
    )
