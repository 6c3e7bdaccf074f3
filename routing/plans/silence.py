"""What a check means that looks whether an answer says that the text is silent, where some texts are.

Of an answer that is right, it is the right thing to say where the text does not answer the question; of one that is
wrong, it shows that too little was read. So with u = P(the text does not answer the question)

    P(fires | right) = u * RIGHT_SILENT + (1 - u) * RIGHT_FALSE
    P(fires | wrong) = (1 - u) * WRONG_SILENT + u * WRONG_FALSE

and a plan that reads on where it fires pays the more, the less u is: with it, a right answer is given up.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import bare_of, reading_of

from .plan import ALL, Plan, Stage
from .skills import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .power import Power
    from .value import Gate

__all__ = ["SILENCE", "UNANSWERABLE", "fires", "reading_on", "shown_to_pay", "told_of_silence"]

SILENCE: Final = frozenset({"found", "quoted"})
"""Kinds of checks of what an answer goes by: nothing is chosen unasked for them before labels stand behind them."""

UNANSWERABLE: Final = 0.2
"""P(a text does not answer the question), where nothing tells: as `router.readings` supposes it."""

_RIGHT_SILENT: Final = 0.97
_RIGHT_FALSE: Final = 0.02
_WRONG_SILENT: Final = 0.2
_WRONG_FALSE: Final = 0.02
"""Chosen so that `passages ? found > whole` gains about what it did on LaRA's answerable questions (1.5 to 3.6 points),
and loses about what it did with 39% unanswerable ones among them (8 points, gpt-4o-mini)."""


def fires(unanswerable: float) -> tuple[float, float]:
    """Return P(fires | right) and P(fires | wrong), by how likely the text is silent.

    Examples
    --------
    >>> [tuple(round(p, 3) for p in fires(u)) for u in (0.0, 0.2, 0.39)]
    [(0.02, 0.2), (0.21, 0.164), (0.391, 0.13)]
    """
    u = min(1.0, max(0.0, unanswerable))
    return u * _RIGHT_SILENT + (1.0 - u) * _RIGHT_FALSE, (1.0 - u) * _WRONG_SILENT + u * _WRONG_FALSE


def told_of_silence(power: Power, unanswerable: float) -> Power:
    """Return the power of such a check for a prompt of which is told how likely its text is silent.

    What was learned of the check holds for prompts as they come; it is shifted by the logits from there to this one.
    """
    before, now = fires(UNANSWERABLE), fires(unanswerable)
    right, wrong = (_logit(1.0 - after) - _logit(1.0 - was) for after, was in zip(now, before, strict=True))
    return replace(
        power, right=(power.right[0] + right, power.right[1]), wrong=(power.wrong[0] + wrong, power.wrong[1])
    )


def _logit(p: float) -> float:
    p = min(1.0 - 1e-4, max(1e-4, p))
    return math.log(p / (1.0 - p))


def reading_on(costs: Mapping[str, int], gates: Sequence[Gate], *, repair: bool = False) -> list[Plan]:
    """Return the plans that read the whole, with the same arm or a dearer one, where passages do not pass a check.

    Only for checks behind which labels stand: as many as there are such checks and pairs of arms.

    Parameters
    ----------
    costs
        Of the arms that can take the prompt, by the names that say how much they read: expected cost, nano-USD.
    """
    proven = [gate.name for gate in gates if gate.power.n >= ENOUGH]
    first = [arm for arm in costs if reading_of(arm) == "passages"]
    then = [arm for arm in costs if reading_of(arm) == "whole"]
    return [
        Plan((Stage((one,), gate), Stage((other,))), repair)
        for gate in proven
        for one in first
        for other in then
        if costs[other] >= costs[one] and _no_less(one, other, costs)
    ]


def _no_less(one: str, other: str, costs: Mapping[str, int]) -> bool:
    """Tell whether the arm that reads on is the same, or one that is dearer to read the same with."""
    again = f"{bare_of(one)}/whole"
    return bare_of(one) == bare_of(other) or costs[other] >= costs.get(again, 0)


def shown_to_pay(plan: Plan, gates: Sequence[Gate]) -> bool:
    """Tell whether labels stand behind what is new in a plan: checks of silence, reading on, and pieces."""
    reads_on = len({reading_of(arm) for arm in plan.arms}) > 1
    for stage in plan.stages:
        if stage.how == "split":
            return False
        for gate in gates:
            if stage.gate in (ALL, gate.name) and (reads_on or gate.kind in SILENCE) and gate.power.n < ENOUGH:
                return False
    return True
