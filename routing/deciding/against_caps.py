"""Deciding against what the caps leave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.ledger.caps import applicable_caps, balance, left_nano
from scrimp.routing.ledger.suspensions import suspensions

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

    from .decide import Decider, Wishes
    from .pace import Pace
    from .trace import Decision

__all__ = ["caps_left", "decide", "month_pace"]


def decide(
    decider: Decider,
    ledger: Ledger | None,
    prompt: Prompt,
    wishes: Wishes,
    *,
    now: float,
    rng: random.Random,
    decision_id: str,
    context: Context,
    blocked: Mapping[str, str] | None = None,
    cap_override_nano: int | None = None,
    run_id: str | None = None,
    output_limit: int | None = None,
    held_nano: int = 0,
) -> Decision:
    """Decide one prompt against what the caps leave now.

    Parameters
    ----------
    held_nano
        What of it another call for the same request may cost that is made before, nano-USD.

    Raises
    ------
    UsageError
        If the arm asked for is not in the profile.
    """
    profile = decider.profile
    if wishes.arm is not None and bare_of(wishes.arm) not in (names := [arm.name for arm in profile.arms]):
        from scrimp.profiles.schema import did_you_mean

        if decider.pool is not None:
            names += decider.pool.cards
        near = "" if profile.rungs(wishes.arm) else did_you_mean(wishes.arm, names)
        raise UsageError(f"profile {profile.name} has no arm {wishes.arm!r}{near}", hint=profile.known_arms(wishes.arm))
    left, suspended = caps_left(ledger, profile, now=now, run_id=run_id or decision_id)
    if cap_override_nano is not None:
        left = {arm.name: cap_override_nano for arm in profile.arms}
    blocked = {**(blocked or {}), **suspended}
    if held_nano:
        left = {name: None if nano is None else nano - held_nano for name, nano in left.items()}
        if wishes.max_cost_nano is not None:
            wishes = replace(wishes, max_cost_nano=wishes.max_cost_nano - held_nano)
    return decider.decide(
        prompt,
        decider.predict([context]),
        wishes,
        decision_id=decision_id,
        rng=rng,
        left_nano=left,
        output_limit=output_limit,
        blocked=blocked,
        pace=None if ledger is None else month_pace(ledger, profile, now=now),
    )


def caps_left(
    ledger: Ledger | None, profile: Profile, *, now: float, run_id: str | None = None
) -> tuple[dict[str, int | None], dict[str, str]]:
    """Return what the caps leave for each arm now (nano-USD, None: no cap), and which arms are suspended, and why."""
    if ledger is None:
        return {arm.name: _own_least(profile, arm) for arm in profile.arms}, {}
    left = {
        arm.name: left_nano(ledger, applicable_caps(ledger, profile, arm.name, now=now, run_id=run_id))
        for arm in profile.arms
    }
    suspended = {
        name: f"suspended: {reason} (`scrimp models resume {name}` clears it)"
        for name, reason in suspensions(ledger, profile.name).items()
    }
    return left, suspended


def _own_least(profile: Profile, arm: Arm) -> int | None:
    """Return the least cap that stands on an arm before anything was spent, nano-USD."""
    from scrimp.profiles.money import nano_from_usd

    own, arms = profile.caps, arm.cap
    caps = [own.per_call_usd, own.per_run_usd, own.per_day_usd, own.per_month_usd]
    if arms is not None:
        caps += [arms.per_call_usd, arms.per_day_usd, arms.per_month_usd]
    return min((nano_from_usd(usd) for usd in caps if usd is not None), default=None)


def month_pace(ledger: Ledger, profile: Profile, *, now: float) -> Pace | None:
    """Return how the month stands for a profile that paces itself; None when it does not, or no month is capped.

    Calls in flight do not count: their bounds are far above what most of them will cost.
    """
    if profile.policy.pace != "month":
        return None
    from scrimp.routing.deciding.pace import pace

    caps = applicable_caps(ledger, profile, "", now=now)
    months = [(cap.scope, cap.limit_nano, balance(ledger, cap.key)[1]) for cap in caps if cap.window == "month"]
    return pace(months, ledger.month_gone(now))
