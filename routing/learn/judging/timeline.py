"""The log in order of time: what a refit may learn from, and what came later and judges it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from .gate import MIN_ESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.labelled import Labelled

__all__ = ["Block", "disorder", "timeline"]

STEP: Final = 1.25**2
"""A refit is made again once so many times as much came since the router in force was made, counting a hundred more."""

MOST_BLOCKS: Final = 10
LARGE: Final = 10_000
"""Prompts from which half as many blocks do: there is no want of outcomes, and each block costs a fit."""

LAST: Final = 0.2
"""Share of what judges that the last block holds at least: it is what the router on trial is judged on itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows that a refit is fitted on, and the rows after them that judge it."""

    to_fit: NDArray[np.intp]
    judged: NDArray[np.intp]


def timeline(log: Labelled, watermark: int) -> tuple[Block, ...]:
    """Return the refits that would have been made as the log grew, each with what came between it and the next one.

    The first half of the outcomes that may judge, at most `MIN_ESS` prompts, is fitted on only; from there on every
    prompt judges the refit before it, unless one of its labels was there when the router in force was made (ids up to
    `watermark`). In order of the labels: what was learnt later judges what was learnt before. The limits lie at fixed
    numbers of prompts, so that as the log grows blocks are added, and those judged before stay as they were.
    """
    strong = np.flatnonzero(log.may_judge)
    strong = strong[np.argsort(log.first_label[strong], kind="stable")]
    n = len(strong)
    start = max(min(int(MIN_ESS), n - n // 2), int((log.first_label[strong] <= watermark).sum()))
    if start >= n:
        return ()
    weak = np.flatnonzero(~log.may_judge & (~np.isnan(log.reward)).any(axis=1))
    limits = [*_limits(start, n), n]
    blocks = []
    for begin, end in itertools.pairwise(limits):
        before, judged = strong[:begin], strong[begin:end]
        until = log.position[before].max() if len(before) else log.position[judged].min()
        # A rating of a prompt that is judged, under another request, would let the judge's answer slip into the fit.
        rated = weak[(log.position[weak] <= until) & ~np.isin(log.text_key[weak], log.text_key[judged])]
        blocks.append(Block(np.sort(np.concatenate([before, rated])), judged))
    return tuple(blocks)


def _limits(start: int, n: int) -> list[int]:
    """Return where blocks begin: at `start`, then in a geometric series, as if `MIN_ESS` fresh prompts were before."""
    most = MOST_BLOCKS if n <= LARGE else MOST_BLOCKS // 2
    step = STEP
    while math.log((n - start) / MIN_ESS + 1.0) / math.log(step) > most:
        step *= step
    limits, at = [start], MIN_ESS * step
    while start + round(at - MIN_ESS) < n:
        limits.append(start + round(at - MIN_ESS))
        at *= step
    while len(limits) > 1 and n - limits[-1] < LAST * (n - start):
        limits.pop()
    return limits


def disorder(log: Labelled, blocks: Sequence[Block]) -> float:
    """Return the share of the rows judged on that would be fitted on if the dates were the order, not the log.

    Labels may come long after the prompt: so the dates are set against the places in the log, not against the labels.
    """
    if log.asked_at is None or not blocks:
        return 0.0
    first = blocks[0].to_fit
    rows = np.concatenate([first[log.may_judge[first]], *(block.judged for block in blocks)])
    lengths = [len(rows) - sum(len(block.judged) for block in blocks), *(len(block.judged) for block in blocks)]
    if not lengths[0]:
        return 0.0
    turn = np.repeat(np.arange(len(lengths)), lengths)
    by_place, by_date = np.empty(len(rows), np.intp), np.empty(len(rows), np.intp)
    in_order = rows[np.argsort(log.position[rows], kind="stable")]
    place = {int(row): i for i, row in enumerate(rows)}
    for values, out in ((log.position, by_place), (log.asked_at, by_date)):
        order = in_order[np.argsort(values[in_order], kind="stable")]
        out[[place[int(row)] for row in order]] = turn
    return float((by_date < by_place)[by_place > 0].mean())
