"""A router on judged prompts: whether it knows an easy one from a hard one, and acts on it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import DataError
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.learn.fitting.transfer import rank_correlation, within_kinds
from scrimp.routing.prompts.prompt import Prompt

from .results import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.learn.data.judged import Judged

    Floats = NDArray[np.float64]

__all__ = ["JudgedReport", "evaluate_judged"]

_EASY: Final = 2.0  # up to this level a prompt is easy
_HARD: Final = 4.0  # from this one on it is hard
_END: Final = 0.25  # levels so near to 1 or 5 are those of the ends
_LEAST: Final = 20


@dataclass(frozen=True, slots=True)
class JudgedReport:
    """What a router makes of judged prompts.

    Attributes
    ----------
    n, n_easy, n_hard
        Prompts in all, of levels up to 2, and of 4 and more.
    cheapest, best
        The arm of least expected cost (of several, the first in the profile), and that of the greatest mean quality.
    rank
        Spearman's rank correlation of the cheapest arm's predicted quality and ease (5 less the level).
    level_rank
        The same of the predicted level and the judged one; None where the router has no levels.
    auc
        The chance that a hard prompt has a larger gap in predicted quality, best less cheapest, than an easy one.
    easy_cheapest, hard_dearer
        Shares of the easy prompts that go to an arm that costs least, and of the hard ones that go to a dearer one.
    quality_1, quality_5
        Mean predicted quality of the cheapest arm on prompts of level 1, and of level 5.
    length_rank, length_auc
        What the prompt's length alone has in place of `rank` and `auc`.
    by_kind
        `level_rank` (else `rank`) within each kind of 20 prompts or more.
    arms
        How many prompts of each level, rounded, each arm takes.
    """

    n: int
    n_easy: int
    n_hard: int
    cheapest: str
    best: str
    rank: Estimate
    level_rank: Estimate | None
    auc: Estimate
    easy_cheapest: Estimate
    hard_dearer: Estimate
    quality_1: Estimate
    quality_5: Estimate
    length_rank: Estimate
    length_auc: Estimate
    by_kind: dict[str, float]
    arms: dict[str, list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""

        def plain(value: Estimate | None) -> dict[str, float | None] | None:
            return None if value is None else {"value": value.value, "low": value.low, "high": value.high}

        estimates = {
            name: plain(getattr(self, name))
            for name in (
                "rank", "level_rank", "auc", "easy_cheapest", "hard_dearer", "quality_1", "quality_5", "length_rank",
                "length_auc",
            )
        }  # fmt: skip
        return {
            "schema_version": 1,
            "n": self.n,
            "n_easy": self.n_easy,
            "n_hard": self.n_hard,
            "cheapest": self.cheapest,
            "best": self.best,
            **estimates,
            "within_kind": float(np.mean(list(self.by_kind.values()))) if self.by_kind else None,
            "by_kind": self.by_kind,
            "arms_by_level": self.arms,
        }


def auc(value: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive has the larger value, ties counting half; NaN without both."""
    from scipy.stats import rankdata

    n = int(positive.sum())
    if n == 0 or n == len(positive):
        return float("nan")
    return float((rankdata(value)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def evaluate_judged(judged: Judged, decider: Decider, *, seed: int = 0, n_bootstrap: int = 500) -> JudgedReport:
    """Measure what a profile's router predicts and decides on judged prompts.

    Parameters
    ----------
    seed
        Draws the bootstrap's prompts, for 95% intervals.

    Raises
    ------
    DataError
        If there are fewer than 20 prompts, none of levels up to 2, none from 4 on, or an arm without a price.
    """
    level = judged.levels
    easy, hard = level <= _EASY, level >= _HARD
    if len(judged) < _LEAST or not easy.any() or not hard.any():
        raise DataError(
            f"{len(judged)} judged prompts, {int(easy.sum())} easy and {int(hard.sum())} hard, are too few",
            hint=f"{_LEAST} are the least, of levels 1 to 2 and 4 to 5 both",
        )
    predictions = decider.predict(decider.contexts(judged.prompts))
    wishes = Wishes(explore=0.0)
    names = [info.name for info in decider.infos]
    cost = np.full((len(judged), len(names)), np.nan)
    taken = np.full(len(judged), -1)
    for i, text in enumerate(judged.prompts):
        decision = decider.decide(
            Prompt(text),
            predictions,
            wishes,
            decision_id="",
            rng=random.Random(seed),  # noqa: S311 - nothing is drawn
            row=i,
        )
        for weighed in decision.choice.weighed:
            nano = weighed.option.cost_nano
            cost[i, names.index(weighed.option.arm)] = np.nan if nano is None else nano
        if decision.arm is not None:
            taken[i] = names.index(decision.arm)
    if np.isnan(cost).any():
        missing = [name for name, column in zip(names, cost.T, strict=True) if np.isnan(column).any()]
        raise DataError(f"no price is known of {', '.join(missing)}: what is cheapest cannot be said")
    cheapest = int(np.argmin(cost.mean(axis=0)))
    best = int(np.argmax(predictions.quality.mean(axis=0)))
    mine = predictions.quality[:, cheapest]
    gap = predictions.quality[:, best] - mine
    dearer = (taken >= 0) & (cost[np.arange(len(taken)), taken] > cost.min(axis=1) * 1.001)
    length = np.array([float(len(prompt)) for prompt in judged.prompts])
    ends = level <= 1.0 + _END, level >= 5.0 - _END
    clear = easy | hard

    def of(measure: Callable[[NDArray[np.intp]], float]) -> Estimate:
        rng = np.random.default_rng(seed)
        every = np.arange(len(level))
        drawn = np.array([measure(rng.choice(every, len(every))) for _ in range(n_bootstrap)])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
        return Estimate(measure(every), low=float(low), high=float(high))

    def share(values: NDArray[Any], of_these: NDArray[np.bool_]) -> Estimate:
        return of(lambda rows: float(np.mean(values[rows][of_these[rows]])) if of_these[rows].any() else float("nan"))

    known = ~np.isnan(predictions.level).any()
    return JudgedReport(
        n=len(judged),
        n_easy=int(easy.sum()),
        n_hard=int(hard.sum()),
        cheapest=names[cheapest],
        best=names[best],
        rank=of(lambda rows: rank_correlation(mine[rows], -level[rows])),
        level_rank=of(lambda rows: rank_correlation(predictions.level[rows], level[rows])) if known else None,
        auc=of(lambda rows: auc(gap[rows][clear[rows]], hard[rows][clear[rows]])),
        easy_cheapest=share(~dearer & (taken >= 0), easy),
        hard_dearer=share(dearer, hard),
        quality_1=share(mine, ends[0]),
        quality_5=share(mine, ends[1]),
        length_rank=of(lambda rows: rank_correlation(length[rows], level[rows])),
        length_auc=of(lambda rows: auc(length[rows][clear[rows]], hard[rows][clear[rows]])),
        by_kind=within_kinds(judged.kinds, level, predictions.level if known else -mine),
        arms={
            name: [int(((taken == a) & (np.round(level) == k)).sum()) for k in range(1, 6)]
            for a, name in enumerate(names)
        },
    )
