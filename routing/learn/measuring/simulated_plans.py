"""Plans of agreement and votes on outcomes with answers: what each would have said and cost, looked up call by call."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.text.compare import n_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.outcomes import Outcomes

    Floats = NDArray[np.float64]

__all__ = ["answer_codes", "plans_for", "simulate"]

_N_CHEAP: Final = 7
_N_STRONG: Final = 7


def answer_codes(outcomes: Outcomes, models: Sequence[str]) -> NDArray[np.int64]:
    """Return `(n, m)`: equal numbers on a row are equal answers; -1 is no answer, which agrees with nothing."""
    codes = np.full((len(outcomes), len(models)), -1)
    for i, answers in enumerate(outcomes.answers):
        seen: dict[str, int] = {}
        for j, model in enumerate(models):
            if model in answers:
                codes[i, j] = seen.setdefault(answers[model], len(seen))
    return codes


def simulate(
    plan: Plan, models: Sequence[str], score: Floats, cost: Floats, codes: NDArray[np.int64], accuracy: Floats
) -> tuple[Floats, Floats]:
    """Return `(n,)` scores and `(n,)` costs in USD of a plan of agreement or voting, looked up call by call.

    Parameters
    ----------
    score, cost, codes
        `(n, m)` of the models.
    accuracy
        `(m,)` by which votes are weighted.
    """
    n = len(score)
    position = {name: j for j, name in enumerate(models)}
    live = np.ones(n, dtype=bool)
    got, paid = np.zeros(n), np.zeros(n)
    asked: list[int] = []
    for number, stage in enumerate(plan.stages):
        columns = [position[arm] for arm in stage.arms]
        paid += np.where(live, cost[:, columns].sum(axis=1), 0.0)
        last = number == len(plan.stages) - 1
        first = columns[0]
        if stage.how == "vote":
            right = _vote(score[:, columns], codes[:, columns], accuracy[columns])
            stops = live
        elif last or stage.quorum is None:
            right, stops = score[:, first], live
        else:  # the answers of this stage are compared among themselves; a single one with all that were asked before
            compared = columns if columns[1:] else [*asked, first]
            mine = codes[:, compared]
            same = ((mine[:, :, None] == mine[:, None, :]) & (mine >= 0)[:, :, None]).sum(axis=2)
            best = (same + 0.5 * accuracy[compared]).argmax(axis=1)
            right = score[np.arange(n), np.array(compared)[best]]
            stops = live & (same.max(axis=1) >= n_needed(stage.quorum, len(compared)))
        got[stops] = right[stops]
        live = live & ~stops
        asked += columns
    return got, paid


def _vote(score: Floats, codes: NDArray[np.int64], accuracy: Floats) -> Floats:
    """Return `(n,)` scores of the answer of greatest total weight; ties go to the more accurate model's."""
    q = np.clip(accuracy, 0.05, 0.95)
    weight = np.maximum(0.05, np.log(4.0 * q / (1.0 - q)))
    totals = np.column_stack(
        [((codes == codes[:, [j]]) * weight).sum(axis=1) * (codes[:, j] >= 0) for j in range(codes.shape[1])]
    )
    best = (totals + 1e-6 * q).argmax(axis=1)
    result: Floats = score[np.arange(len(score)), best]
    return result


def plans_for(models: Sequence[str], score: Floats, cost: Floats) -> list[Plan]:
    """Return the plans weighed for some models, by what they did on the fitted rows.

    One model; two cheap ones that agree, else a third; the same with a fourth where the third agrees with neither; and
    votes of three.
    """
    accuracy, price = score.mean(axis=0), cost.mean(axis=0)
    best = int(np.lexsort((price, -accuracy))[0])
    names = list(models)
    every = range(len(names))
    cheap = [j for j in every if price[j] < 0.45 * price[best] and accuracy[j] > 0.55 * accuracy[best]]
    cheap = sorted(cheap, key=lambda j: -accuracy[j] + 0.05 * np.log(max(price[j], 1e-12)))[:_N_CHEAP]
    strong = [j for j in every if price[j] <= 1.6 * price[best] and accuracy[j] >= 0.8 * accuracy[best]]
    strong = sorted(strong, key=lambda j: -accuracy[j])[:_N_STRONG]
    plans = [Plan((Stage((name,)),)) for name in names]
    for a, b in itertools.combinations(cheap, 2):
        pair = Stage((names[a], names[b]), "agree")
        for c in dict.fromkeys([*strong, *cheap]):
            if c in (a, b):
                continue
            plans.append(Plan((pair, Stage((names[c],)))))
            plans += [
                Plan((pair, Stage((names[c],), "most"), Stage((names[d],)))) for d in strong if d not in (a, b, c)
            ]
    voters = list(dict.fromkeys([*strong[:4], *cheap[:4]]))
    plans += [
        Plan((Stage(tuple(names[j] for j in sorted(trio, key=lambda j: -accuracy[j])), None, "vote"),))
        for trio in itertools.combinations(voters, 3)
    ]
    return plans
