"""Arms for many rows under one budget: a Lagrangian over each row's options, solved by bisection. Pure.

Maximise sum_i v[i, x_i] subject to sum_i c[i, x_i] <= B (a multiple-choice knapsack). For a price of money lambda >= 0
each row chooses alone, x_i = argmax_j v[i, j] - lambda c[i, j], and

    g(lambda) = lambda B + sum_i max_j (v[i, j] - lambda c[i, j])

bounds the optimum from above for every lambda; its least value is the dual bound. Everett (1963), Operations Research
11(3); Kellerer, Pferschy and Pisinger (2004), Knapsack Problems, chapter 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]

__all__ = ["SKIP", "Rule", "Solution", "cheapest_at_quality", "frontier", "most_quality", "most_quality_within_bounds"]

SKIP: Final = -1
"""The choice of a row that is left out because the budget does not reach."""

_TINY: Final = 1e-9
"""Quality a dollar below which money does not matter: it settles ties in favour of the cheaper arm."""

_MATERIAL: Final = 0.005
"""Share of the budget below which the room for the last reservations is not worth a search."""

_STEPS: Final = 80
_THRESHOLDS: Final = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """How rows that were not in the plan choose: by one of two neighbouring prices, the lower one for a share of rows.

    Attributes
    ----------
    high, low
        Prices of money, in value a USD: at `high` the sample's cost fits its budget, at `low` it does not.
    share
        Of the rows that would choose differently, how many follow `low`, in [0, 1].
    may_skip
        Whether a row that an arm could take may be left out for the money.
    most_room
        Options whose reservation needs more room than this beside their cost (USD) are not taken.
    """

    high: float
    low: float
    share: float
    may_skip: bool = True
    most_room: float = math.inf

    def choose(
        self, value: Floats, cost: Floats, feasible: Bools, *, bound: Floats | None = None, start: float = 0.0
    ) -> tuple[Ints, float]:
        """Choose for `(n, n_arms)` rows.

        Parameters
        ----------
        value, cost, feasible
            As `most_quality`.
        bound
            What would be reserved, USD.
        start
            What the last call returned: shares add up over calls.

        Returns
        -------
        tuple
            `(n,) int64` arms (`SKIP` for none), and where the next call starts.
        """
        if bound is not None:
            feasible = feasible & (bound - cost <= self.most_room * (1.0 + 1e-9))
        value, cost = _with_skip(value, cost, feasible)
        if not self.may_skip:
            value[feasible.any(axis=1), -1] = -math.inf
        dear, cheap = _best(value, cost, self.low), _best(value, cost, self.high)
        chosen = cheap.copy()
        for i in (dear != cheap).nonzero()[0]:
            start += self.share
            if start >= 1.0:
                start -= 1.0
                chosen[i] = dear[i]
        return _named(chosen, value), start


@dataclass(frozen=True, slots=True)
class Solution:
    """A plan for n rows.

    Attributes
    ----------
    choice
        `(n,) int64`: each row's arm, or `SKIP`.
    value, cost
        The plan's total value, and its cost in USD.
    dual
        What no plan can beat: an upper bound on the value (`most_quality`), or a lower one on the cost
        (`cheapest_at_quality`).
    rule
        How rows beyond these would choose alike.
    reached
        Whether the target was within reach (always so for `most_quality`).
    """

    choice: Ints
    value: float
    cost: float
    dual: float
    rule: Rule
    reached: bool = True


def most_quality(value: Floats, cost: Floats, feasible: Bools, budget: float) -> Solution:
    """Maximise total value under a budget.

    Parameters
    ----------
    value
        `(n, n_arms) float64`: what each arm's answer is worth (expected quality, less what its cost is worth).
    cost
        `(n, n_arms) float64`, USD, >= 0.
    feasible
        `(n, n_arms) bool`. A row without a feasible arm is skipped.
    budget
        USD, >= 0.

    Returns
    -------
    Solution
        A plan within the budget. Its value is at most one row's step below the dual bound.
    """
    value, cost = _with_skip(value, cost, feasible)
    rows = _rows(value)

    def spent(choice: Ints) -> float:
        return float(cost[rows, choice].sum())

    low, choice = _TINY, _best(value, cost, _TINY)
    if spent(choice) <= budget:
        total = float(value[rows, choice].sum())
        return Solution(_named(choice, value), total, spent(choice), total, Rule(_TINY, _TINY, 0.0))
    high = 1.0
    while spent(_best(value, cost, high)) > budget and high < 1e18:
        low, high = high, high * 8.0
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        if spent(_best(value, cost, middle)) > budget:
            low = middle
        else:
            high = middle
        if high - low <= 1e-12 * high:
            break
    dear, cheap = _best(value, cost, low), _best(value, cost, high)
    dual = min(
        price * budget + float((value[rows, best] - price * cost[rows, best]).sum())
        for price, best in ((low, dear), (high, cheap))
    )
    filled = _fill(value, cost, cheap, dear, budget)
    differ = dear != cheap
    n_differ = int(differ.sum())
    share = float(((filled == dear) & differ).sum() / n_differ) if n_differ else 0.0
    return Solution(
        _named(filled, value), float(value[rows, filled].sum()), spent(filled), dual, Rule(high, low, share)
    )


def most_quality_within_bounds(
    value: Floats, cost: Floats, bound: Floats, feasible: Bools, budget: float, *, share: float = 1.0
) -> Solution:
    """Maximise total value under a budget that must also hold each call's reservation.

    A call is reserved at its upper bound before it is settled at its cost, so the last ones need room for bound - cost
    beside all that was spent. Several thresholds on that room are tried, each with the budget less the room; the best
    plan is taken.

    Parameters
    ----------
    bound
        `(n, n_arms) float64`, USD: what would be reserved.
    share
        These rows' share of all rows, in (0, 1]: `budget` is theirs, the room at the end is needed once.
    """
    import numpy as np

    room = np.maximum(bound - cost, 0.0)
    feasible = feasible & (bound * share <= budget)
    if not feasible.any():  # nothing can be reserved, of these rows or of others
        nothing = most_quality(value, cost, feasible, budget)
        return replace(nothing, rule=replace(nothing.rule, most_room=-math.inf))
    rooms = room[feasible]
    best: Solution | None = None
    dual = most_quality(value, cost, feasible, budget).dual
    if share * float(rooms.max()) <= _MATERIAL * budget:
        best = most_quality(value, cost, feasible, budget - share * float(rooms.max()))
        return Solution(best.choice, best.value, best.cost, max(dual, best.value), best.rule)
    # The most that each arm needs is a threshold too: a quantile may shut out an arm's last rows alone.
    whole = np.where(feasible, room, 0.0).max(axis=0)
    for threshold in np.unique(np.concatenate([np.quantile(rooms, np.linspace(0.0, 1.0, _THRESHOLDS)), whole])):
        within = feasible & (room <= threshold)
        solution = most_quality(value, cost, within, max(0.0, budget - share * float(threshold)))
        if best is None or solution.value > best.value:
            best = replace(solution, rule=replace(solution.rule, most_room=float(threshold)))
    assert best is not None  # noqa: S101 - there is at least one threshold
    return Solution(best.choice, best.value, best.cost, max(dual, best.value), best.rule)


def cheapest_at_quality(quality: Floats, cost: Floats, feasible: Bools, target: float) -> Solution:
    """Minimise total cost at a mean quality of at least `target`.

    Parameters
    ----------
    quality
        `(n, n_arms) float64` in [0, 1].
    cost, feasible
        As `most_quality`.
    target
        Mean over the n rows, in [0, 1]; a row without a feasible arm counts as 0.
    """
    import numpy as np

    quality, cost = _with_skip(quality, cost, feasible)
    rows = _rows(quality)
    goal = target * len(rows)
    # Nothing is left out to save money: that is for rows that nothing can take.
    quality[feasible.any(axis=1), -1] = -np.inf

    def reached(choice: Ints) -> float:
        return float(quality[rows, choice].sum())

    best = _best(quality, cost, _TINY)
    if reached(best) < goal:
        total = float(cost[rows, best].sum())
        return Solution(
            _named(best, quality), reached(best), total, total, Rule(_TINY, _TINY, 0.0, may_skip=False), reached=False
        )
    low, high = _TINY, 1.0
    while reached(_best(quality, cost, high)) >= goal and high < 1e18:
        low, high = high, high * 8.0
    if high < 1e18:
        for _ in range(_STEPS):
            middle = (low * high) ** 0.5
            if reached(_best(quality, cost, middle)) >= goal:
                low = middle
            else:
                high = middle
            if high - low <= 1e-12 * high:
                break
    good, poor = _best(quality, cost, low), _best(quality, cost, high)
    dual = max(
        (goal - float((quality[rows, choice] - price * cost[rows, choice]).sum())) / price
        for price, choice in ((low, good), (high, poor))
    )
    chosen = good.copy()
    spare = reached(good) - goal
    differ = (good != poor).nonzero()[0]
    lost = quality[differ, good[differ]] - quality[differ, poor[differ]]
    for i, loss in sorted(zip(differ.tolist(), lost.tolist(), strict=True), key=lambda pair: pair[1]):
        if loss <= spare:
            spare -= loss
            chosen[i] = poor[i]
    n_differ = len(differ)
    share = float((chosen[differ] == good[differ]).sum() / n_differ) if n_differ else 0.0
    total = float(cost[rows, chosen].sum())
    return Solution(
        _named(chosen, quality), reached(chosen), total, min(dual, total), Rule(high, low, share, may_skip=False)
    )


def frontier(quality: Floats, cost: Floats, feasible: Bools, *, n_points: int = 6) -> list[tuple[float, float]]:
    """Return (cost in USD, mean quality) of the best plans from the cheapest that answers all to the best there is."""
    import numpy as np

    if not feasible.any():
        return []
    least = float(np.where(feasible, cost, np.inf).min(axis=1)[feasible.any(axis=1)].sum())
    most = most_quality(quality, cost, feasible, float("inf"))
    if most.cost <= least * (1.0 + 1e-9):
        return [(most.cost, most.value / len(quality))]
    start = max(least, most.cost * 1e-3)
    budgets = [least] if least < start else []
    budgets += list(np.geomspace(start, most.cost, n_points))
    points = []
    for budget in budgets:
        solution = most_quality(quality, cost, feasible, float(budget) * (1.0 + 1e-9))
        points.append((float(budget), solution.value / len(quality)))
    return points


def _with_skip(value: Floats, cost: Floats, feasible: Bools) -> tuple[Floats, Floats]:
    """Put the option of skipping a row last: worth nothing, and never worth more than an arm that can take it."""
    import numpy as np

    worst = np.where(feasible, value, np.inf).min(axis=1, initial=0.0)
    value = np.column_stack([np.where(feasible, value, -np.inf), worst - _TINY])
    return value, np.column_stack([np.where(feasible, cost, 0.0), np.zeros(len(cost))])


def _rows(value: Floats) -> Ints:
    import numpy as np

    return np.arange(len(value))


def _best(value: Floats, cost: Floats, price: float) -> Ints:
    best: Ints = (value - price * cost).argmax(axis=1)
    return best


def _named(choice: Ints, value: Floats) -> Ints:
    import numpy as np

    return np.where(choice == value.shape[1] - 1, SKIP, choice)


def _fill(value: Floats, cost: Floats, cheap: Ints, dear: Ints, budget: float) -> Ints:
    """Spend what the cheaper of two plans leaves: first towards the dearer plan, then on any step that fits."""
    import numpy as np

    rows = _rows(value)
    chosen = cheap.copy()
    left = budget - float(cost[rows, chosen].sum())
    for targets in (dear, None):
        for _ in range(50):
            now_cost, now_value = cost[rows, chosen], value[rows, chosen]
            if targets is None:
                steps = cost - now_cost[:, None]
                gains = np.where((steps <= left) & (value > now_value[:, None]), value - now_value[:, None], -np.inf)
                rates = gains / np.maximum(steps, 1e-15)
                wanted = rates.argmax(axis=1)
            else:
                wanted = targets
            step = cost[rows, wanted] - now_cost
            gain = value[rows, wanted] - now_value
            open_rows = ((gain > 0.0) & (step <= left) & (wanted != chosen)).nonzero()[0]
            if not len(open_rows):
                break
            order = open_rows[np.argsort(-gain[open_rows] / np.maximum(step[open_rows], 1e-15), kind="stable")]
            taken = False
            for i in order:
                if step[i] <= left:
                    left -= float(step[i])
                    chosen[i] = wanted[i]
                    taken = True
            if targets is not None or not taken:
                break
    return chosen
