"""New prices held against old ones: which of a profile's arms they change, and which logged choices they would flip."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import UsageError
from scrimp.profiles.files import store_own
from scrimp.profiles.reading import read_bytes
from scrimp.profiles.rungs import bare_of
from scrimp.routing.deciding.policy import NoDraw, choose
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.requests import decisions
from scrimp.routing.ledger.spending import last_prices
from scrimp.routing.ledger.store import instant
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.table import check_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.table import PriceTable

__all__ = ["Change", "Flip", "changes", "flips", "logged_prices", "take_table"]


@dataclass(frozen=True, slots=True)
class Change:
    """An arm's price before and now; None where there was, or is, none."""

    arm: str
    model: str
    before: ArmPrice | None
    after: ArmPrice | None

    @property
    def changed(self) -> bool:
        """Whether anything but the name of the table differs."""
        return _rates(self.before) != _rates(self.after)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, USD per million tokens."""
        return {
            "arm": self.arm,
            "model": self.model,
            "changed": self.changed,
            "before": _price_dict(self.before),
            "after": _price_dict(self.after),
        }


@dataclass(frozen=True, slots=True)
class Flip:
    """A logged choice that would fall on another arm at the new prices.

    Attributes
    ----------
    id, at
        The request, and the instant it was made.
    was, now
        The best arm then, and now; None where no arm can take it now.
    was_cost_nano, now_cost_nano
        What a call of each is expected to cost at the new prices, nano-USD; None where the arm has no price.
    """

    id: str
    at: str
    was: str
    now: str | None
    was_cost_nano: int | None
    now_cost_nano: int | None


def _rates(price: ArmPrice | None) -> ArmPrice | None:
    return None if price is None else replace(price, source="", surcharges=())


def _price_dict(price: ArmPrice | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "input_usd_per_mtok": price.input_usd_per_mtok,
        "output_usd_per_mtok": price.output_usd_per_mtok,
        "cache_read_usd_per_mtok": None if price.cache_read is None else float(price.cache_read / 1000),
        "cache_write_usd_per_mtok": None if price.cache_write is None else float(price.cache_write / 1000),
        "source": price.source,
    }


def logged_prices(ledger: Ledger, profile: str) -> dict[str, ArmPrice]:
    """Return the price that each arm of a profile was last charged at, by the arm's name."""
    return {arm: ArmPrice.from_json(text) for arm, text in last_prices(ledger, profile).items()}


def changes(profile: Profile, before: Mapping[str, ArmPrice | None], table: PriceTable) -> list[Change]:
    """Return every arm's price before and in `table`; an arm that `before` does not name is left out."""
    return [
        Change(arm.name, arm.model, before[arm.name], table.price(arm)) for arm in profile.arms if arm.name in before
    ]


def flips(ledger: Ledger, profile: Profile, table: PriceTable, *, since: float) -> tuple[list[Flip], int]:
    """Decide logged prompts again at the prices of `table`; return the choices that change, and how many were decided.

    All else stays as it was: qualities, tokens, what an answer was worth, which arms were feasible. Exploration is
    left out: the best arm then is held against the best arm now. Choices by name (`-m`) were no choices.

    Parameters
    ----------
    since
        POSIX time of the oldest choice to look at.
    """
    arms = {arm.name: arm for arm in profile.arms}
    found, n_decided = [], 0
    for row in decisions(ledger, profile.name, since=instant(since)):
        decision = Decision.from_dict(json.loads(row["decision"]))
        choice = decision.choice
        if choice.greedy is None or choice.no_draw is NoDraw.ASKED_FOR:
            continue
        n_decided += 1
        options = []
        for weighed in choice.weighed:
            option = weighed.option
            arm = arms.get(bare_of(option.arm))
            if arm is not None and arm.model == option.model:
                price = table.price(arm)
                cost = (
                    None
                    if price is None
                    else price.expected_nano(option.input_tokens, option.output_tokens_p50, option.cached_tokens)
                )
                option = replace(option, cost_nano=cost)
            options.append(option)
        again = choose(
            options,
            wtp_usd=decision.wtp_usd,
            min_quality=decision.min_quality,
            default_arm=profile.default_arm,
            guard=choice.guard,
            rng=random.Random(0),  # noqa: S311 - nothing is drawn: exploration is off
        )
        if again.greedy != choice.greedy:
            costs = {option.arm: option.cost_nano for option in options}
            found.append(
                Flip(
                    row["id"],
                    row["created_at"],
                    choice.greedy,
                    again.greedy,
                    costs.get(choice.greedy),
                    None if again.greedy is None else costs.get(again.greedy),
                )
            )
    return found, n_decided


def take_table(update: Path, own: Path) -> int:
    """Make a file of prices (in LiteLLM's form) the user's own table; return how many models it prices.

    Raises
    ------
    UsageError
        If it cannot be read, or is no table of prices.
    """
    try:
        data = read_bytes(update)
    except OSError as error:
        raise UsageError(f"cannot read {update}: {error.strerror}") from None
    n_priced = check_table(data, str(update))
    store_own(own, data)
    return n_priced
