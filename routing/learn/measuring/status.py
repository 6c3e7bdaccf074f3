"""What is known of how good answers are, by arm and by kind of prompt, and what would be most worth knowing next."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.learn.data.decisions import predict_in_parts
from scrimp.routing.learn.maths.kmeans import clusters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.decisions import Pool
    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.router.arms import Router

    Floats = NDArray[np.float64]

__all__ = ["Cluster", "Worth", "clusters", "missing", "most_worth"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A kind of prompt.

    Attributes
    ----------
    example
        The row nearest to its middle.
    n_labels, n_judges
        Labels of each arm: of all sources, and of those that may judge.
    """

    n: int
    example: int
    n_labels: tuple[int, ...]
    n_judges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """An answer whose label would tell most.

    Attributes
    ----------
    worth_usd
        What deciding such a prompt wrongly is expected to cost, USD.
    """

    row: int
    arm: str
    rival: str
    worth_usd: float


def clusters(log: Labelled, *, k: int = 8, seed: int = 0) -> list[Cluster]:
    """Return the kinds of prompts in a log, largest first."""
    kind, _ = clusters_of(log.embeddings, min(k, max(1, len(log) // 10)), seed=seed)
    found = []
    for c in np.unique(kind):
        rows = np.flatnonzero(kind == c)
        middle = log.embeddings[rows].mean(axis=0)
        found.append(
            Cluster(
                n=len(rows),
                example=int(rows[int((log.embeddings[rows] @ middle).argmax())]),
                n_labels=tuple((~np.isnan(log.reward[rows])).sum(axis=0).tolist()),
                n_judges=tuple((~np.isnan(log.judged[rows])).sum(axis=0).tolist()),
            )
        )
    return sorted(found, key=lambda each: -each.n)


def most_worth(router: Router, log: Labelled, pool: Pool, *, n: int = 5, kinds: int = 8) -> list[Worth]:
    """Return the unlabelled answers whose label would tell most, at most two of a kind.

    A label is worth what a wrong decision costs: E[max(u_rival - u_taken, 0)], with the rival's advantage normal around
    the predicted one and as uncertain as the predicted intervals say.
    """
    open_rows = np.flatnonzero(np.isnan(log.reward).all(axis=1) & (log.chosen >= 0))
    if not len(open_rows) or len(pool.arms) < 2:
        return []
    part = log.take(open_rows)
    seen = predict_in_parts(router, part.embeddings, part.surface, pool.arms)
    cost = pool.costs(part.input_tokens, seen.output_tokens_p50)
    utility = np.where(part.feasible & ~np.isnan(cost), pool.wtp_usd * seen.quality - cost, -np.inf)
    spread = pool.wtp_usd * (seen.quality_high - seen.quality_low) / (2 * 1.2816)
    rows = np.arange(len(part))
    taken = part.chosen
    rivals = utility.copy()
    rivals[rows, taken] = -np.inf
    rival = rivals.argmax(axis=1)
    gap = rivals[rows, rival] - utility[rows, taken]
    sd = np.hypot(spread[rows, taken], spread[rows, rival])
    kind, _ = clusters_of(part.embeddings, kinds)
    normal = NormalDist()
    worth = np.array([_expected_excess(float(g), float(s), normal) for g, s in zip(gap, sd, strict=True)])
    picked: list[Worth] = []
    used: dict[int, int] = {}
    for i in np.argsort(-worth, kind="stable"):
        if worth[i] <= 0.0 or len(picked) == n:
            break
        if used.get(int(kind[i]), 0) < 2:
            used[int(kind[i])] = used.get(int(kind[i]), 0) + 1
            picked.append(Worth(int(open_rows[i]), pool.names[taken[i]], pool.names[rival[i]], float(worth[i])))
    return picked


def _expected_excess(mean: float, sd: float, normal: NormalDist) -> float:
    """Return E[max(X, 0)] for X normal."""
    if not np.isfinite(mean):
        return 0.0
    if sd <= 0.0:
        return max(mean, 0.0)
    z = mean / sd
    return mean * normal.cdf(z) + sd * normal.pdf(z)


def missing(log: Labelled, names: Sequence[str], *, wanted: int = 100) -> list[dict[str, Any]]:
    """Return by arm how many labels there are, how many may judge, and how many are wanting."""
    labels, judges = (~np.isnan(log.reward)).sum(axis=0), (~np.isnan(log.judged)).sum(axis=0)
    return [
        {
            "arm": name, "n_labels": int(labels[a]), "n_judges": int(judges[a]),
            "n_answers": int((log.chosen == a).sum()), "wanting": max(0, wanted - int(judges[a])),
            "mean_reward": None if not labels[a] else float(np.nanmean(log.reward[:, a])),
        }
        for a, name in enumerate(names)
    ]  # fmt: skip
