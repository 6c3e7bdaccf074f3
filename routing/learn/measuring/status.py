"""What is known of how good answers are, by arm and by kind of prompt, and what would be most worth knowing next."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.learn.data.decisions import predict_in_parts
from scrimp.routing.learn.judging.refit import MIN_LABELS, certificate_of, history_of, made_by
from scrimp.routing.learn.judging.refitting import past_refits, set_up
from scrimp.routing.learn.judging.timeline import timeline
from scrimp.routing.learn.maths.kmeans import clusters_of
from scrimp.routing.ledger.labels import count_by_source
from scrimp.routing.ledger.requests import by_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.learn.data.decisions import Pool
    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.router.arms import Router

    Floats = NDArray[np.float64]

__all__ = ["Cluster", "Worth", "clusters", "label_status", "missing", "most_worth"]


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


def label_status(ledger: Ledger | None, decider: Decider, routers: Path, *, kinds: int) -> dict[str, Any]:
    """Return what `learn status --json` prints: labels by arm and by kind of prompt, and what to label next.

    Parameters
    ----------
    kinds
        Kinds of prompts to tell apart, at most.

    Raises
    ------
    DataError
        If nothing can be learnt for this profile (`set_up`).
    """
    profile = decider.profile.name
    bench = set_up(decider, routers, ledger)
    log = bench.read(ledger, profile, decider.embedder)
    past, watermark = history_of(past_refits(ledger, profile), made_by(bench.current, bench.pool))
    names = bench.pool.names
    arms = missing(log, names)
    groups = clusters(log, k=kinds) if len(log) else []
    worth = most_worth(bench.current, log, bench.pool, kinds=kinds)
    shown = [log.ids[each.example] for each in groups] + [log.ids[each.row] for each in worth]
    known = {} if ledger is None else by_id(ledger, shown)
    texts = {key: row["prompt"] for key, row in known.items()}
    return {
        "schema_version": 1,
        "profile": profile,
        "n_prompts": len(log),
        "n_labels": sum(each["n_labels"] for each in arms),
        "n_fresh": sum(len(block.judged) for block in timeline(log, watermark)),
        "n_tests": len(past),
        "least_to_fit": MIN_LABELS,
        "certificate": certificate_of(bench.current, log, bench.pool, watermark).to_dict(),
        "sources": {} if ledger is None else count_by_source(ledger, profile),
        "arms": arms,
        "clusters": [
            {
                "n": each.n,
                "example": {"id": log.ids[each.example], "prompt": texts.get(log.ids[each.example])},
                "n_labels": dict(zip(names, each.n_labels, strict=True)),
                "n_judges": dict(zip(names, each.n_judges, strict=True)),
            }
            for each in groups
        ],
        "worth_labelling": [
            {
                "id": log.ids[each.row], "arm": each.arm, "rival": each.rival, "worth_usd": each.worth_usd,
                "prompt": texts.get(log.ids[each.row]),
            }
            for each in worth
        ],
        "notes": list(log.notes),
    }  # fmt: skip
