"""A profile's arms: what they cost, what they can take, and whether they can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger.suspensions import suspensions
from scrimp.routing.prompts.instructions import instructions_id

from .abilities import arm_abilities

if TYPE_CHECKING:
    from scrimp.profiles.keys import Keys
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.router.abilities import AbilityTable

__all__ = ["arm_rows", "pool_rows", "price_row"]


def price_row(arm: Arm, table: PriceTable) -> dict[str, Any]:
    """Return an arm's price in USD per million tokens, and where it comes from; None where it is not known."""
    price = table.price(arm)
    return {
        "input_usd_per_mtok": None if price is None else price.input_usd_per_mtok,
        "output_usd_per_mtok": None if price is None else price.output_usd_per_mtok,
        "source": None if price is None else price.source,
    }


def pool_rows(profile: Profile) -> tuple[list[dict[str, Any]], int]:
    """Return a row for each arm of a profile's pool, and how many files are left out.

    Raises
    ------
    ConfigError
        If the folder cannot be read.
    """
    from scrimp.routing.deciding.pool import check_pool

    if profile.pool is None:
        return [], 0
    cards, wrong = check_pool(profile)
    return [{"name": card.name, "like": card.like, "about": card.about, "file": card.key} for card in cards], len(wrong)


def arm_rows(
    profile: Profile, table: PriceTable, keys: Keys, ledger: Ledger | None, abilities: AbilityTable
) -> list[dict[str, Any]]:
    """Return a row for each arm, as `models --json` spells it: prices, limits in tokens, capabilities, key, ability."""
    placed = arm_abilities(profile, table, abilities)
    stopped = {} if ledger is None else suspensions(ledger, profile.name)
    rows = []
    for arm, place in zip(profile.arms, placed, strict=True):
        price, info = price_row(arm, table), table.model_info(arm)
        rows.append(
            {
                "name": arm.name,
                "model": arm.model,
                "default": arm.name == profile.default_arm,
                "tier": arm.tier,
                "input_usd_per_mtok": price["input_usd_per_mtok"],
                "output_usd_per_mtok": price["output_usd_per_mtok"],
                "price_source": price["source"],
                "context_window": arm.context_window or info.max_input_tokens,
                "output_limit": table.output_limit(arm),
                "capabilities": sorted(info.capabilities | set(arm.tags)),
                "ability": place["ability"],
                "ability_low": place["low"],
                "ability_high": place["high"],
                "ability_basis": place["basis"],
                "key": keys.status(arm),
                "deprecated_on": info.deprecation_date,
                "successor": info.successor,
                "suspended": stopped.get(arm.name),
                "about": arm.about,
                "like": arm.like,
                "efforts": list(arm.efforts),
                "reasoning_effort": arm.reasoning_effort,
                "instructions": instructions_id(arm),
            }
        )
    return rows
