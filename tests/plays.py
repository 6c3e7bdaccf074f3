"""Plays a strategy: what it wants is replied to by a script, and all that it asked is kept."""

from dataclasses import dataclass, field

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError
from scrimp.routing.checks.base import Given
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.plans.spends import QUOTED_BYTES, spends_of
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.strategies.brief import Brief, Card
from scrimp.routing.strategies.protocol import Got, Test
from scrimp.routing.strategies.stages import Staged

__all__ = ["ARMS", "FAILS", "REFUSED", "SUSPENDED", "Played", "play", "staged", "within"]

FAILS = object()
REFUSED = object()
SUSPENDED = object()
"""Replies that are none: the provider fails, a cap stands in the way, the arm takes no calls."""

ARMS = {
    "small": Card(0.5, 1_000_000, "quick work", 800_000),
    "medium": Card(0.7, 4_000_000, None, 3_000_000),
    "large": Card(0.9, 20_000_000, "hard work", 15_000_000),
}


@dataclass
class Played:
    """What came of a play: the end, every call with its reply, and the texts that were shown."""

    end: object
    calls: list = field(default_factory=list)
    gots: list = field(default_factory=list)

    @property
    def said(self):
        """The answer that stands."""
        if self.end.taken is None:
            return None
        return self.gots[self.end.taken - 1].text if self.end.text is None else self.end.text

    @property
    def roles(self):
        """Who was asked for what, in order."""
        return [(str(each.role), each.arm) for each in self.calls]

    def texts(self, role):
        """The texts of the prompts of one role."""
        return [each.prompt.text for each in self.calls if each.role == role]


def staged(how, arms, *by, gate=None):
    """Return the plan of one stage."""
    return Plan((Stage(tuple(arms), gate, how, by),))


def play(plan, reply, *, prompt=None, charge=1000, **brief):
    """Run a plan; `reply` takes a `Wanted` and its number from 1, and returns a text, or one of `FAILS`, ...

    Returns
    -------
    Played
    """
    told = Brief(prompt or Prompt("How many regions?"), **{"arms": ARMS, "wtp_usd": 0.1, **brief})
    run = Staged(plan, told).run()
    played, back = Played(None), None
    while True:
        try:
            wish = run.send(back)
        except StopIteration as stop:
            played.end = stop.value
            return played
        if isinstance(wish, Test):
            back = tuple(check.test(wish.text, Given(told.prompt.text, wish.finish_reason)) for check in wish.checks)
            continue
        played.calls.append(wish)
        said = reply(wish, len(played.calls))
        finish = "stop"
        if isinstance(said, tuple):
            said, finish = said
        refusal = {REFUSED: BudgetRefusedError("the cap"), SUSPENDED: ArmUnavailableError("suspended")}.get(said)
        text = said if isinstance(said, str) else None
        paid = 0 if refusal is not None else charge
        back = Got(len(played.calls), wish.arm, text, finish if text is not None else None, paid, refusal)
        played.gots.append(back)


def within(played, plan, request, *, asks_of_checks=0):
    """Return why the calls of a play are more than `spends_of` says; None where they are not.

    Every call has to find a place of its own among those that are reckoned with: of its arm, with room for its quotes
    and its limit.
    """
    places = [
        (number, spend)
        for number, stage in enumerate(plan.stages, start=1)
        for spend in spends_of(stage, repairs=plan.repair and number > 1)
        for _ in range(spend.n)
    ]
    places.sort(key=lambda each: (each[1].limit or 10**9, each[1].quotes))  # the narrowest that will do is taken
    own = len(request.text.encode())
    for call in played.calls:
        said = (
            0
            if call.prompt is None
            else sum(len(part.encode()) for part in (call.prompt.text, call.prompt.system or ""))
        )
        place = next(
            (
                (number, spend)
                for number, spend in places
                if number == call.stage
                and call.arm in spend.arms
                and said <= own + spend.quotes * QUOTED_BYTES
                and (spend.limit is None or (call.limit is not None and call.limit <= spend.limit))
            ),
            None,
        )
        if place is None:
            return f"no room for {call.role} of {call.arm}: {said} bytes (the request has {own}), limit {call.limit}"
        places.remove(place)
    return None
