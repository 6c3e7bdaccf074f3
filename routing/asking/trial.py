"""Trying keys: one tiny call for each, paid like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.keys import key_names
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.prompts.prompt import Prompt

from .request import Ask

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.prices.table import PriceTable

    from .workspace import Workspace

__all__ = ["cheapest_by_key", "try_arm"]


def cheapest_by_key(profile: Profile, table: PriceTable) -> dict[str, str]:
    """Return, for each key that a profile's arms use, the cheapest arm that uses it."""
    chosen: dict[str, tuple[float, str]] = {}
    for arm in profile.arms:
        name = "key_cmd" if arm.key_cmd else next(iter(key_names(arm)), None)
        price = table.price(arm)
        if name is not None and price is not None:
            chosen[name] = min(chosen.get(name, (float("inf"), "")), (price.output_usd_per_mtok, arm.name))
    return {name: arm for name, (_, arm) in chosen.items()}


def try_arm(space: Workspace, arm: str) -> ScrimpError | None:
    """Make one tiny call of an arm; return what went wrong, or None."""
    prompt = Prompt("Answer with the one word OK.")
    try:
        space.answer(Ask(prompt, Wishes(arm=arm, waits=False), command="keys test", keep="money", deadline_s=60.0))
    except ScrimpError as error:
        return error
    return None
