"""What rows are expected to cost where they take several calls: by their plans, and with the checks that ask models."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.money import NANO
from scrimp.routing.asking.request import Ask
from scrimp.routing.strategies.desk import calls_models

from .optimise import SKIP
from .plan import Options, forecast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.asking.plan_choice import PlanChooser
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.deciding.decide import Wishes

    from .choosing import Decided
    from .money import Money

__all__ = ["PLANS", "plan_options", "with_checks"]

PLANS: Final = "plans"
"""What stands in the place of an arm's name where each row has a plan of its own."""


def plan_options(
    plans: PlanChooser, rows: Sequence[Row], decided: Sequence[Decided], money: Money, wishes: Wishes
) -> Options:
    """Return `(m, 1)` options: what each row's plan is expected to bring; -1 is natural where it has none."""
    import numpy as np

    quality, cost, low, high, bound, tokens, read = (np.zeros((len(rows), 1)) for _ in range(7))
    natural = np.full(len(rows), SKIP, dtype=np.int64)
    for i, (row, each) in enumerate(zip(rows, decided, strict=True)):
        decision = each.decision
        try:
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


def with_checks(plans: PlanChooser, decided: Sequence[Decided], options: Options) -> Options:
    """Return the options of arms with what the checks that ask models add to each answer."""
    import numpy as np

    if not any(calls_models(check) for check in plans.way.checks):
        return options
    extra, most = np.zeros((len(decided), 1)), np.zeros((len(decided), 1))
    for i, each in enumerate(decided):
        with suppress(ScrimpError):  # a judge that cannot take the prompt is said when its turn comes
            gates = plans.gates.of(each.decision, plans.way.checks)
            extra[i] = sum(gate.cost_nano for gate in gates) / NANO
            most[i] = sum(gate.bound_nano for gate in gates) / NANO
    return replace(
        options,
        cost=options.cost + extra,
        low=options.low + extra,
        high=options.high + extra,
        bound=options.bound + most,
    )
