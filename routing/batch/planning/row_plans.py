"""What rows are expected to cost where they take several calls: by their plans, and with the checks that ask models."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of
from scrimp.routing.asking.named_plans import with_own
from scrimp.routing.asking.plan_choice import arms_in
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.checks.names import make_check
from scrimp.routing.checks.text import SchemaCheck
from scrimp.routing.strategies.desk import calls_models

from .optimise import SKIP
from .plan import Options, forecast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.profiles.schema import Profile
    from scrimp.routing.asking.plan_choice import PlanChooser
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.deciding.decide import Decider, Wishes

    from .choosing import Decided
    from .money import Money
    from .plan import Bools

__all__ = ["PLANS", "RowWays", "not_there", "plan_options", "with_checks", "with_plans"]

PLANS: Final = "plans"
"""What stands in the place of an arm's name where each row has a plan of its own."""

_MOST_WAYS: Final = 256
"""Ways of rows' own that are kept."""


class RowWays:
    """What chooses the plan of each row, by the checks and the schema that it brings.

    Parameters
    ----------
    plans
        Chooses those of rows that bring none.
    profile
        Whose checks rows may name.
    """

    def __init__(self, plans: PlanChooser, profile: Profile) -> None:
        self.plans = plans
        self.profile = profile
        self._known: dict[tuple[str, tuple[str, ...], bool], PlanChooser] = {}

    def of(self, row: Row) -> PlanChooser:
        """Return what chooses the plan of a row."""
        by_arm = row.arm is not None and self.plans.way.several
        if row.schema is None and not row.checks and not by_arm:
            return self.plans
        key = "" if row.schema is None else json.dumps(row.schema), row.checks, by_arm
        if key not in self._known:
            if len(self._known) >= _MOST_WAYS:
                self._known.clear()
            self._known[key] = self.plans.by(self._way(row))
        return self._known[key]

    def _way(self, row: Row) -> Way:
        way = self.plans.way
        checks = way.checks
        if row.arm is not None:  # who answers is said, as with `-m`
            way = replace(way, cascade=False, plan=None, name=None, named=())
        if row.schema is not None:
            rest = (check for check in checks if not isinstance(check, SchemaCheck))
            checks = (SchemaCheck(dict(row.schema)), *rest)
        made = (make_check(text, self.profile.checks, calls=True) for text in row.checks)
        return replace(way, checks=with_own(checks, tuple(made)))


def not_there(decider: Decider, arm: str | None, checks: Sequence[str]) -> str | None:
    """Return why a row cannot be asked as it says: an arm, or a check, that is not there; None where it can."""
    try:
        made = tuple(make_check(text, decider.profile.checks, calls=True) for text in checks)
    except ScrimpError as error:
        return f"check: {error.message}"
    judges = {bare_of(name) for name in arms_in(Way(made))}
    known = decider.with_arms(judges if arm is None else {*judges, arm}).profile
    names = {each.name for each in known.arms}
    if arm is not None and bare_of(arm) not in names:
        return f"arm: profile {known.name} has no arm {arm!r}. {known.known_arms(arm)}"
    lost = next((name for name in judges if name not in names), None)
    return None if lost is None else f"check: profile {known.name} has no arm {lost!r}. {known.known_arms(lost)}"


def plan_options(
    ways: RowWays, rows: Sequence[Row], decided: Sequence[Decided], money: Money, wishes: Wishes
) -> Options:
    """Return `(m, 1)` options: what each row's plan is expected to bring; -1 is natural where it has none."""
    import numpy as np

    quality, cost, low, high, bound, tokens, read = (np.zeros((len(rows), 1)) for _ in range(7))
    natural = np.full(len(rows), SKIP, dtype=np.int64)
    for i, (row, each) in enumerate(zip(rows, decided, strict=True)):
        decision = each.decision
        try:
            plans = ways.of(row)
            if plans.way.several or row.plan is not None:
                decision, _ = plans.choose(Ask(row.prompt, wishes), decision, money.rooms, spelled=row.plan)
        except ScrimpError:
            continue
        if decision.arm is None:
            continue
        option = decision.choice.taken
        one = forecast(option)
        likely, most, n_calls, quality[i] = one.mean, (option.bound_nano or 0) / NANO, 1.0, option.quality
        if decision.plan is not None:
            expected = decision.plan["expected"]
            # A plan is chosen by median lengths; a file costs what they come to on average.
            longer = one.mean / (option.cost_nano / NANO) if option.cost_nano else 1.0
            likely, most, n_calls = expected["cost_usd"] * longer, expected["bound_usd"], expected["calls"]
            quality[i] = expected["quality"]
        natural[i], cost[i], bound[i], tokens[i] = 0, likely, most, one.tokens * n_calls
        read[i] = option.input_tokens * n_calls
        # Answers that are short or long are so for every call: the whole moves as the first one does.
        low[i] = likely * (one.low / one.mean if one.mean else 1.0)
        high[i] = likely * (one.high / one.mean if one.mean else 1.0)
    held = np.zeros((len(rows), 1))  # there is one plan a row, and nothing to hold it against
    return Options(quality, cost, low, high, bound, tokens, read, held, natural[:, None] != SKIP, natural)


def with_plans(arms: Options, plans: Options, own: Bools) -> Options:
    """Return options with a column more, which is all that rows have that bring a plan of their own.

    Parameters
    ----------
    arms, plans
        `(m, k)` options of arms, and `(m, 1)` of plans.
    own
        `(m,) bool`: which rows bring one.
    """
    import numpy as np

    made: dict[str, Any] = {
        name: np.column_stack([getattr(arms, name), np.where(own, getattr(plans, name)[:, 0], 0.0)])
        for name in Options.__slots__
        if name not in ("feasible", "natural")
    }
    feasible = np.column_stack([arms.feasible & ~own[:, None], plans.feasible[:, 0] & own])
    n_arms = arms.feasible.shape[1]
    natural = np.where(own, np.where(plans.natural == SKIP, SKIP, n_arms), arms.natural)
    return Options(**made, feasible=feasible, natural=natural)


def with_checks(ways: RowWays, decided: Sequence[Decided], options: Options) -> Options:
    """Return the options of arms with what the checks that ask models add to each answer."""
    import numpy as np

    plans = [ways.of(each.row) for each in decided]
    if not any(calls_models(check) for each in {id(own): own for own in plans}.values() for check in each.way.checks):
        return options
    extra, most = np.zeros((len(decided), 1)), np.zeros((len(decided), 1))
    for i, (each, own) in enumerate(zip(decided, plans, strict=True)):
        with suppress(ScrimpError):  # a judge that cannot take the prompt is said when its turn comes
            gates = own.gates.of(each.decision, own.way.checks)
            extra[i] = sum(gate.cost_nano for gate in gates) / NANO
            most[i] = sum(gate.bound_nano for gate in gates) / NANO
    return replace(
        options,
        cost=options.cost + extra,
        low=options.low + extra,
        high=options.high + extra,
        bound=options.bound + most,
    )
