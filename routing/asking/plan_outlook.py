"""What a profile's plans are expected to bring on the prompts that were asked of late."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.plans import recent_decisions
from scrimp.routing.prompts.prompt import Prompt

from .plan_choice import PlanChooser
from .request import Ask
from .ways import make_way

if TYPE_CHECKING:
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["LATEST", "Outlook", "outlook_of"]

LATEST: Final = 50
"""How many of the latest prompts a plan is weighed on."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a plan would bring.

    Attributes
    ----------
    n
        Prompts that it could be begun for; `n_not` could not.
    quality, cost_usd
        Means over these; None without any.
    why
        Why it can be begun for none at all, where its own checks or arms are the reason.
    """

    n: int
    n_not: int
    quality: float | None
    cost_usd: float | None
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "n": self.n,
            "n_not": self.n_not,
            "quality": self.quality,
            "cost_usd": self.cost_usd,
            "why": self.why,
        }


def outlook_of(decider: Decider, ledger: Ledger | None, name: str) -> Outlook:
    """Return what a plan of the profile is expected to bring, by the latest logged decisions; nothing is embedded."""
    profile = decider.profile
    try:
        chooser = PlanChooser(decider, make_way(profile, schema=None, plan=name), ledger)
    except ScrimpError as error:
        return Outlook(0, 0, None, None, error.message.partition("\n")[0])
    names = {arm.name for arm in profile.arms}
    found: list[dict[str, float]] = []
    n_not = 0
    for trace in [] if ledger is None else recent_decisions(ledger, profile.name, last=LATEST):
        try:
            decision = Decision.from_dict(json.loads(trace))
        except (ValueError, KeyError, TypeError):
            continue  # of a version that wrote it otherwise
        if {bare_of(weighed.option.arm) for weighed in decision.choice.weighed} != names:
            continue  # the profile had other arms then
        try:
            planned, _ = chooser.choose(Ask(Prompt(" "), Wishes()), decision, [])
        except ScrimpError:
            n_not += 1
            continue
        if planned.plan is not None and planned.plan["name"] == name:
            found.append(planned.plan["expected"])
    n = len(found)
    return Outlook(
        n,
        n_not,
        sum(each["quality"] for each in found) / n if n else None,
        sum(each["cost_usd"] for each in found) / n if n else None,
    )
