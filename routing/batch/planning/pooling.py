"""The arms of a pool that a file's rows choose among: those that are near to most of them."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from scrimp.routing.asking.plan_choice import arms_in
from scrimp.routing.asking.request import Way
from scrimp.routing.batch.files.scan import good_rows
from scrimp.routing.deciding.pool import ALL_OF

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrimp.routing.batch.files.scan import Scan
    from scrimp.routing.batch.files.source import Source
    from scrimp.routing.deciding.decide import Decider

__all__ = ["for_rows"]

_LOOKED_AT: Final = 256
"""Rows that are looked at."""


def for_rows(
    decider: Decider, source: Source, found: Scan, way: Way, arm: str | None, *, seed: int, also: Iterable[str] = ()
) -> Decider:
    """Return what decides the rows of a file: of a pool it sees as many arms as a policy may.

    One optimiser shares out a file's budget, so all rows have the same arms to choose among: those that are asked for,
    and those nearest to the rows of a sample, by the sum of their scores.

    Parameters
    ----------
    arm
        The one that was asked for by name; None where none was.
    also
        Arms that are to be there whatever is near: of a run that goes on, those it has asked.
    """
    if decider.pool is None:
        return decider
    named = {*arms_in(way), *also, *found.arms, *(() if arm is None else (arm,))}
    if arm is not None:
        return decider.with_arms(named)
    picker = random.Random(seed)  # noqa: S311 - a sample, not a secret
    n = found.n_rows
    sampled = frozenset(range(n) if n <= _LOOKED_AT else picker.sample(range(n), _LOOKED_AT))
    rows = [row for row in good_rows(source, found) if row.n in sampled]
    near: defaultdict[str, float] = defaultdict(float)
    for row, context in zip(rows, decider.contexts([row.prompt.text for row in rows]), strict=True):
        for name, each in decider.pool.nearest(row.prompt.text, context.embedding).items():
            near[name] += each.score
        named |= arms_in(Way(plan=row.plan))
    most = max(0, ALL_OF - len(decider.profile.arms))
    return decider.with_arms((*sorted(named), *sorted(near, key=lambda name: (-near[name], name))[:most]))
