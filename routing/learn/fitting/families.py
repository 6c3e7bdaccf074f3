"""Arms of one model: what they share in a fit, and what tells them apart.

Arms of one model at other instructions or efforts share a head; each has its own level on it. The rungs of a ladder
have nothing but that level, and it never falls from one effort to the next: that a pass at low is a pass at high, and a
fail at high one at low, is so built into the numbers that are fitted, and not copied into the outcomes. Copied it would
bend them: where only low was asked, its passes would become passes at high, and its fails nothing at all
(bench/efforts.py shows by how much).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.router.abilities import effort_tokens
from scrimp.routing.router.ladders import isotonic, ladders_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.router.arms import ArmInfo
    from scrimp.routing.router.learned import LearnedRouter

    Floats = NDArray[np.float64]

__all__ = ["Families", "families_of", "level_with", "token_shifts"]

_TOKEN_PRIOR = 10.0  # a token head's shift is drawn to the shipped one as by so many observations
_TOLD_SD = 0.5
"""How far the level of an arm may lie, on the logit scale, from that of others of its model, and that of a rung from
where the table of efforts has it (half of the gap, where that is more): half of what two tasks differ by. Chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Families:
    """Which of m arms share a model.

    Attributes
    ----------
    groups
        Positions of arms that share one, two or more each.
    ladders
        Positions of the rungs of each ladder, ascending; each lies in one group.
    level
        `(m,)`: how much above the least effort of its ladder a rung starts, on the logit scale; 0 elsewhere.
    precision
        `(m,)`: how strongly an arm's level is drawn there: the inverse of its variance.
    """

    groups: tuple[tuple[int, ...], ...]
    ladders: tuple[tuple[int, ...], ...]
    level: Floats
    precision: Floats

    def risen(self, moves: Floats, information: Floats) -> Floats:
        """Return `(m, r + 1)` moves under which no rung's level falls below that of the one before it.

        Parameters
        ----------
        information
            `(m,)`: how much each arm's outcomes say of its level.
        """
        for rungs in map(list, self.ladders):
            levels = self.level[rungs] + moves[rungs, -1]
            moves[rungs, -1] = isotonic(levels, information[rungs] + self.precision[rungs]) - self.level[rungs]
        return moves


def families_of(arms: Sequence[ArmInfo], offset: Floats, shift_precision: float) -> Families:
    """Return which arms share a model, of `(n, m)` logits that the fit starts from."""
    by_model: dict[str, list[int]] = {}
    for a, arm in enumerate(arms):
        by_model.setdefault(arm.model, []).append(a)
    ladders = ladders_of(arms)
    level = np.zeros(len(arms))
    precision = np.full(len(arms), shift_precision)
    groups = tuple(tuple(group) for group in by_model.values() if len(group) > 1)
    for group in map(list, groups):
        precision[group] = max(shift_precision, _TOLD_SD**-2)
    for rungs in ladders:
        level[rungs] = (offset[:, rungs] - offset[:, rungs[:1]]).mean(axis=0)
        precision[rungs] = 1.0 / np.maximum(0.5 * level[rungs], _TOLD_SD) ** 2
    return Families(groups, tuple(map(tuple, ladders)), level, precision)


def level_with(offset: Floats, families: Families) -> Floats:
    """Return `(n, m)` logits in which the rungs of a ladder differ by their levels alone."""
    level = offset.copy()
    for rungs in map(list, families.ladders):
        level[:, rungs] = offset[:, rungs[:1]] + families.level[rungs]
    return level


def token_shifts(base: LearnedRouter, x: Floats, arms: Sequence[ArmInfo], log: Labelled) -> list[float | None]:
    """Return each arm's shift of ln output tokens, drawn towards the shipped one; None without observations.

    With it predictions add up to the tokens that were counted: what a decision weighs is the expected cost, and a
    median of lengths that differ as much as these lies well below their mean. The rungs of a ladder start from one
    another's: each is drawn to what the others were counted at, times what the table of efforts has them differ by.
    """
    observed = [_observed(base, x, log, a) for a in range(len(arms))]
    prior = [_shipped(base, arm) for arm in arms]
    shifts = [
        (shift * n + before * _TOKEN_PRIOR) / (n + _TOKEN_PRIOR) if n else None
        for (shift, n), before in zip(observed, prior, strict=True)
    ]
    for rungs in ladders_of(arms):
        counted = np.array([observed[a][1] for a in rungs], dtype=np.float64)
        if not counted.any():
            continue
        effort = np.log([effort_tokens(arms[a].effort) for a in rungs])
        above = np.array([observed[a][0] for a in rungs]) - effort
        start = prior[rungs[0]] - effort[0]
        common = float((above * counted).sum() + start * _TOKEN_PRIOR) / (float(counted.sum()) + _TOKEN_PRIOR)
        drawn = ((above + effort) * counted + (common + effort) * _TOKEN_PRIOR) / (counted + _TOKEN_PRIOR)
        for a, shift in zip(rungs, isotonic(drawn, counted + _TOKEN_PRIOR).tolist(), strict=True):
            shifts[a] = shift
    return shifts


def _observed(base: LearnedRouter, x: Floats, log: Labelled, a: int) -> tuple[float, int]:
    """Return by how much ln output tokens differ from the prediction, and of how many answers; (0, 0) without any."""
    tokens = log.output_tokens[:, a]
    seen = tokens > 0
    if log.retold is not None and (seen & ~log.retold[:, a]).any():
        seen &= ~log.retold[:, a]
    n = int(seen.sum())
    if not n:
        return 0.0, 0
    predicted = np.exp(np.clip(x[seen] @ base.weights.tokens, 0.0, 12.0))
    return float(np.log(tokens[seen].sum() / predicted.sum())), n


def _shipped(base: LearnedRouter, arm: ArmInfo) -> float:
    known = base.known(arm.model)
    found = 0.0 if known is None else float(base.weights.token_shift[known])
    return (0.0 if np.isnan(found) else found) + (
        np.log(effort_tokens(arm.effort or "medium")) if arm.reasoning else 0.0
    )
