"""Logs made up with a known truth: what every arm would have scored, and what a policy let be seen of it."""

from dataclasses import replace

import numpy as np

from scrimp.routing.learn.data.decisions import Pool
from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.judging.judge import Views
from scrimp.routing.router.arms import ArmInfo


def pool(m=2, wtp=0.1, cost=0.0):
    arms = tuple(ArmInfo(name=f"arm{a}", model=f"made-up/{a}", output_limit=1000) for a in range(m))
    return Pool(arms, np.zeros(m), np.zeros(m), np.arange(m) * cost, wtp_usd=wtp)


def labelled(judged, *, chance=None, chosen=None, cost=None, embeddings=None, surface=None, **over):
    n, m = judged.shape
    log = of_scores(
        over.pop("arms", [f"arm{a}" for a in range(m)]),
        judged,
        np.zeros((n, 2), np.float32) if embeddings is None else embeddings,
        np.zeros((n, 29)) if surface is None else surface,
    )
    drawn = {} if chosen is None else {"chosen": chosen, "propensity": chance[np.arange(n), chosen]}
    values = {
        "chance": log.chance if chance is None else chance,
        "cost_usd": np.zeros((n, m)) if cost is None else cost,
        "input_tokens": np.full(n, 100.0),
    }
    return replace(log, **(values | drawn | over))


def cells_of_log(reward, chosen, propensity, m):
    """Return a log as cells: `(n, m)` rewards, NaN where not observed, and `(n, m)` chances, 0 where not known."""
    rows = np.arange(len(chosen))
    cells, chance = np.full((len(chosen), m), np.nan), np.zeros((len(chosen), m))
    cells[rows, chosen], chance[rows, chosen] = reward, propensity
    return cells, chance


def trial(rng, *, n=500, gain=0.05, changed=0.15, good=None, epsilon=None, near_tie=True, base=0.75):
    """Return a log and what two routers decide on it; the new one is truly better by `gain` points of quality.

    Decisions change on a share of the prompts; there the new arm is right more often, so that the whole gains `gain`.
    With `epsilon` only the drawn arm's outcome is seen; without, every arm's.
    """
    step = gain / changed
    where = rng.random(n) < changed
    p_current = np.where(where, base - max(step, 0.0) / 2 if good is None else good, base)
    p_new = np.clip(np.where(where, p_current + step, p_current), 0.0, 1.0)
    right = np.column_stack([rng.random(n) < p_current, rng.random(n) < p_new]).astype(float)
    right[~where, 1] = rng.random((~where).sum()) < 0.5
    current = np.zeros(n, np.intp)
    new = where.astype(np.intp)
    # What a router believes is no evidence: a hopeful new router, a sober current one.
    believed = np.column_stack([np.full(n, 0.7), np.full(n, 0.85)])
    sober = np.column_stack([np.full(n, 0.75), np.full(n, 0.7)])
    views = Views(current, new, sober, believed, np.zeros((n, 2)))
    if epsilon is None:
        return labelled(right), views
    chance = np.tile([1.0 - epsilon / 2, epsilon / 2], (n, 1))
    if near_tie:  # exploration only where the two are as good as tied: not where they differ most
        tied = rng.random(n) < 0.3
        chance[~tied] = [1.0, 0.0]
    chosen = (rng.random(n) < chance[:, 1]).astype(np.intp)
    seen = np.full((n, 2), np.nan)
    seen[np.arange(n), chosen] = right[np.arange(n), chosen]
    return labelled(seen, chance=chance, chosen=chosen), views
