"""Many plans as arrays of stages, so that all are valued at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from .kinds.every import KINDS
from .kinds.kind import REPEATS, Group
from .plan import ALL
from .spends import spends_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.text.compare import Quorum

    from .kinds.kind import Likely
    from .plan import Plan, Stage

    Floats = NDArray[np.float64]

__all__ = ["PlanTable", "plan_arrays"]


@dataclass(frozen=True, slots=True)
class StageAt:
    """A stage, and what its value takes from where in a plan it stands.

    Attributes
    ----------
    again
        For each of its arms, whether an earlier stage has asked it.
    earlier
        Whose answers its own is compared with: those before it, for a quorum of a single arm.
    unmet
        The quorum that those answers did not make; None where they were not compared.
    """

    stage: Stage
    again: tuple[bool, ...]
    earlier: tuple[str, ...] = ()
    unmet: Quorum | None = None


def _kind_of(at: StageAt) -> str:
    """Return the name of the kind that values a stage."""
    if at.stage.quorum is None:
        return at.stage.how
    return "together" if len(at.stage.arms) > 1 else "joins"


def stages_of(plan: Plan) -> list[StageAt]:
    """Return a plan's stages, each with what its value depends on."""
    found: list[StageAt] = []
    before: tuple[str, ...] = ()
    for number, stage in enumerate(plan.stages, start=1):
        again = tuple(arm in before for arm in stage.arms)
        if stage.quorum is None:
            at = StageAt(stage, again)
        elif number == len(plan.stages):
            # It ends the plan, met or not: what most say stands then; of a single arm mostly its own answer.
            at = StageAt(replace(stage, gate=None, how="vote" if len(stage.arms) > 1 else "one"), again)
        elif len(stage.arms) > 1:
            at = StageAt(stage, again)
        else:
            at = StageAt(stage, again, before, plan.stages[number - 2].quorum)
        found.append(at)
        before += stage.by if stage.how == "lead" else stage.arms  # workers answer questions of the planner's own
    return found


def grouped(stages: Sequence[StageAt], arms: Sequence[str], gates: Sequence[str]) -> list[Group]:
    """Return stages in groups that are valued by one formula."""
    row = {name: i for i, name in enumerate(arms)}
    gate_row = {name: i for i, name in enumerate([*gates, ALL])}
    places: dict[tuple[str, int, int, bool, Quorum | None, Quorum | None, tuple[int, ...]], list[int]] = {}
    for i, at in enumerate(stages):
        stage = at.stage
        compared = at.earlier or stage.arms
        repeats = tuple(compared.index(arm) for arm in compared)
        gated = stage.gate is not None and stage.quorum is None
        key = _kind_of(at), len(stage.arms), len(stage.by), gated, stage.quorum, at.unmet, repeats
        places.setdefault(key, []).append(i)

    def rows(of: Sequence[tuple[str, ...]]) -> NDArray[np.intp]:
        return np.array([[row[arm] for arm in each] for each in of], dtype=np.intp).reshape(len(of), -1)

    return [
        Group(
            kind,
            np.array(at, dtype=np.intp),
            rows([stages[i].stage.arms for i in at]),
            rows([stages[i].stage.by for i in at]),
            np.array([stages[i].again for i in at]),
            np.array([gate_row.get(stages[i].stage.gate or "", -1) for i in at], dtype=np.intp),
            gated,
            rows([stages[i].earlier for i in at]),
            quorum,
            unmet,
            repeats,
        )
        for (kind, _, _, gated, quorum, unmet, repeats), at in places.items()
    ]


@dataclass(frozen=True, slots=True)
class PlanTable:
    """What does not depend on the prompt: the stages that plans are made of, and each plan as their places.

    Attributes
    ----------
    stages, index
        The different stages, and `(n_plans, most_stages)` which of them each plan has, in order; -1 after its last.
    names
        The arms, as rows of the qualities.
    groups
        The stages by the formula that values them.
    again
        `(n_stages, 1)` by what P(right) is multiplied: an arm that was asked before mostly says the same again. (Kinds
        that make something of answers see to that themselves.)
    calls, n_calls
        The sorts of calls that are likely made, and `(n_stages, n_sorts)` how many of each.
    most, n_most
        The sorts of calls that may be made, as (whom each may go to, quotations, limit), and `(n_plans, n_sorts)` how
        many of each at most.
    checks, n_checked
        Of each stage: whose cost its checks are, as a row of the gates, all together, or none; and how often they are
        used.
    n_judged
        `(n_plans,)` how often each plan may put an answer to all checks.
    made, known
        The places of the plans that have an answer made of others, and all plans.
    """

    plans: tuple[Plan, ...]
    stages: tuple[StageAt, ...]
    index: NDArray[np.intp]
    names: tuple[str, ...]
    groups: list[Group]
    again: Floats
    calls: tuple[Likely, ...]
    n_calls: Floats
    most: tuple[tuple[tuple[str, ...], int, int | None], ...]
    n_most: Floats
    checks: NDArray[np.intp]
    n_checked: Floats
    n_judged: Floats
    made: tuple[int, ...]
    known: frozenset[Plan]


_BY_ID: Final[dict[tuple[int, tuple[str, ...]], PlanTable]] = {}
"""Tables of long tuples of plans, found without hashing every plan: each holds its tuple, so no id is used twice."""

_LONG: Final = 50


def plan_arrays(plans: tuple[Plan, ...], gates: tuple[str, ...]) -> PlanTable:
    """Return plans as arrays, for checks of these names."""
    if len(plans) < _LONG:
        return _plan_arrays(plans, gates)
    table = _BY_ID.get((id(plans), gates))
    if table is None:
        if len(_BY_ID) >= 32:
            _BY_ID.clear()
        table = _BY_ID[id(plans), gates] = _made(plans, gates)
    return table


@lru_cache(maxsize=512)
def _plan_arrays(plans: tuple[Plan, ...], gates: tuple[str, ...]) -> PlanTable:
    return _made(plans, gates)


def _made(plans: tuple[Plan, ...], gates: tuple[str, ...]) -> PlanTable:
    stages: dict[StageAt, int] = {}
    index = np.full((len(plans), max((len(plan.stages) for plan in plans), default=1)), -1, dtype=np.intp)
    spent: dict[tuple[tuple[str, ...], int, int | None], int] = {}
    n_spent: list[dict[int, int]] = []
    for i, plan in enumerate(plans):
        most: dict[int, int] = {}
        for j, at in enumerate(stages_of(plan)):
            index[i, j] = stages.setdefault(at, len(stages))
        for j, stage in enumerate(plan.stages):
            for each in spends_of(stage, repairs=plan.repair and j > 0):
                column = spent.setdefault((each.arms, each.quotes, each.limit), len(spent))
                most[column] = most.get(column, 0) + each.n
        n_spent.append(most)
    names = tuple(sorted({arm for plan in plans for arm in plan.arms}))
    gate_row = {name: i for i, name in enumerate([*gates, ALL])}
    own = [at.stage for at in stages]
    calls: dict[Likely, int] = {}
    likely = [
        [(calls.setdefault(call, len(calls)), n) for call, n in KINDS[_kind_of(at)].likely(at.stage)] for at in stages
    ]
    return PlanTable(
        plans,
        tuple(stages),
        index,
        names,
        grouped(list(stages), names, gates),
        np.array([[1.0 - REPEATS if any(at.again) and not at.stage.made else 1.0] for at in stages]),
        tuple(calls),
        _matrix(likely, len(calls)),
        tuple(spent),
        _matrix([[*each.items()] for each in n_spent], len(spent)),
        # What a stage's checks cost: of its gate once, or of all for each of several answers.
        np.array([gate_row.get(ALL if stage.how == "best" else stage.gate or "", -1) for stage in own]),
        np.array([len(stage.arms) if stage.how == "best" else 1.0 for stage in own]),
        np.array([sum(len(s.arms) if s.how == "best" else 1 for s in plan.stages) for plan in plans], dtype=np.float64),
        tuple(i for i, plan in enumerate(plans) if any(stage.made for stage in plan.stages)),
        frozenset(plans),
    )


def _matrix(rows: Sequence[Sequence[tuple[int, float]]], n_columns: int) -> Floats:
    """Return the dense matrix of rows that name their columns; what names one twice counts twice."""
    matrix = np.zeros((len(rows), n_columns))
    for i, row in enumerate(rows):
        for column, n in row:
            matrix[i, column] += n
    return matrix
