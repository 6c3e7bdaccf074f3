"""A request that was decided, and what it needs to run."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrimp.routing.strategies.brief import NO_MEMORY

from .guarding import check_shielded
from .paid_call import LIVE_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.schema import Arm
    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.strategies.brief import Memory
    from scrimp.routing.text.compare import Embed

    from .request import Ask

__all__ = ["Asked", "Kit"]


@dataclass(frozen=True, slots=True)
class Kit:
    """What a request needs to run, whoever runs it.

    Attributes
    ----------
    decider
        The profile's arms, prices and router.
    key
        Returns an arm's key, or None where it needs none; raises where the arm cannot be called (no key, no engine).
    price_id
        Returns the ledger's id of an arm's price.
    say
        Takes a line for the user while the request goes on.
    clock, timer, rng
        POSIX time; monotonic seconds, for deadlines; randomness for back-off.
    embed
        Embeds prose, to compare answers.
    caps_wait_s
        How long a call waits, seconds, where only live calls stand in its way; None for as long as it takes.
    price_in
        Returns an arm's price in a lane (`ledger.reservations.Reservation.lane`); None where all have one price alone.
    """

    decider: Decider
    key: Callable[[Arm], str | None]
    price_id: Callable[[str], int]
    say: Callable[[str], None] = lambda _line: None
    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    embed: Embed | None = None
    caps_wait_s: float | None = LIVE_WAIT_S
    price_in: Callable[[str, str], ArmPrice] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was decided.

    Attributes
    ----------
    ask, decision
        What was asked, and how it was decided.
    context
        The prompt's features; None where nothing was embedded, since there was nothing to choose.
    plan
        Which arms are asked, and what lets it stop.
    checks
        What every answer has to pass.
    records_steps
        Whether its calls are rows of `steps`: where there are checks or a plan.
    memory
        What the log knows of bids, for a plan that has some.
    put
        The request as it was put, where it is asked in other words; None where it is asked as it was put.
    """

    ask: Ask
    decision: Decision
    context: Context | None
    plan: Plan
    checks: tuple[Check, ...] = ()
    records_steps: bool = False
    memory: Memory = NO_MEMORY
    put: Ask | None = None

    def __post_init__(self) -> None:
        """Have checks look for what stands in the answer: placeholders, where those were sent."""
        if self.ask.vault is not None and self.checks:
            object.__setattr__(self, "checks", tuple(check_shielded(each, self.ask.vault) for each in self.checks))
