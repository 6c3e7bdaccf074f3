"""Judge routers on outcomes they were not fitted on: directly where arms were tried, doubly robustly elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.learn.data.decisions import as_policy, predict_in_parts
from scrimp.routing.learn.maths.offpolicy import (
    FLOOR,
    Estimate,
    Gap,
    bootstrap,
    cell_scores,
    cross_fitted,
    effective_size,
    mean_estimate,
    self_normalised,
    support_gaps,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.decisions import Pool
    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.router.arms import Router

    Floats = NDArray[np.float64]

__all__ = ["Judgement", "Views", "compare", "scaled_costs", "views"]


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What two routers make of the same prompts, in the order of the log.

    Attributes
    ----------
    current, new
        `(n,)` decisions.
    current_quality, new_quality, cost_usd
        `(n, m)`.
    block
        `(n,)` rising: where the new router is a series of refits, which of them it was; all 0 unless given.
    """

    current: NDArray[np.intp]
    new: NDArray[np.intp]
    current_quality: Floats
    new_quality: Floats
    cost_usd: Floats
    block: NDArray[np.intp] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """A new router against the current one on n prompts with outcomes.

    Attributes
    ----------
    method
        "direct" where every decision's outcome is known, else "doubly robust".
    scores
        `(n,)` each prompt's gain in utility, USD, times the weight of its block; their mean is the gain.
    share_changed
        Share of all prompts of the log on which the two decide differently.
    n_late, n_changed_late
        Prompts of the last block, and decisions that differ there.
    ess, ess_changed
        Effective sample size: of all outcomes, and of those that show the new choice where it differs.
    unsupported
        Share of the changed decisions that go where the log has no support.
    values
        Quality, cost and utility of the current router, the new one, the best single arm and a random mix at the new
        router's shares; `quality_snips` is quality by self-normalised weights, beside the doubly robust one.
    neediest
        The arm whose outcomes are most wanting.
    """

    n: int
    method: str
    scores: Floats
    share_changed: float
    n_changed: int
    n_late: int
    n_changed_late: int
    ess: float
    ess_changed: float
    unsupported: float
    gaps: tuple[Gap, ...]
    gain_quality: Estimate
    gain_cost: Estimate
    gain_utility: Estimate
    values: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    best_single: str | None = None
    neediest: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without the scores."""
        return {
            "n": self.n, "method": self.method, "share_changed": self.share_changed, "n_changed": self.n_changed,
            "n_late": self.n_late, "n_changed_late": self.n_changed_late,
            "ess": round(self.ess, 1), "ess_changed": round(self.ess_changed, 1), "unsupported": self.unsupported,
            "gaps": [{"arm": gap.arm, "share": gap.share} for gap in self.gaps],
            "gain_quality": _finite(self.gain_quality), "gain_cost_usd": _finite(self.gain_cost),
            "best_single": self.best_single,
            "values": {
                name: {what: _finite(estimate) for what, estimate in parts.items()}
                for name, parts in self.values.items()
            },
        }  # fmt: skip


def _finite(estimate: Estimate) -> dict[str, float | int | None]:
    return {key: value if np.isfinite(value) else None for key, value in estimate.to_dict().items()}


def views(current: Router, series: Sequence[tuple[Router, int]], log: Labelled, pool: Pool) -> Views:
    """Return what the router in force and a series of refits decide on the log's prompts, and what each arm costs.

    A cost is what was paid where it is known; elsewhere it is predicted, by the new router, for both, and scaled by
    what calls of that arm cost on average against their predictions (a median of tokens is not their mean).

    Parameters
    ----------
    series
        Refits, and how many prompts each decides: the log's first ones, the next ones, and so on to the end.
    """
    old = predict_in_parts(current, log.embeddings, log.surface, pool.arms)
    lengths = [length for _, length in series]
    if sum(lengths) != len(log):
        raise ValueError(f"the series decides {sum(lengths)} prompts of {len(log)}")
    decided, quality, predicted = [], [], []
    begin = 0
    for router, length in series:
        rows = np.arange(begin, begin + length)
        new = predict_in_parts(router, log.embeddings[rows], log.surface[rows], pool.arms)
        decided.append(pool.decide(new, log.input_tokens[rows], log.feasible[rows]))
        quality.append(new.quality)
        predicted.append(pool.costs(log.input_tokens[rows], new.output_tokens_p50))
        begin += length
    expected = scaled_costs(np.concatenate(predicted), log.cost_usd)
    return Views(
        current=pool.decide(old, log.input_tokens, log.feasible),
        new=np.concatenate(decided),
        current_quality=old.quality,
        new_quality=np.concatenate(quality),
        cost_usd=np.where(np.isnan(log.cost_usd), expected, log.cost_usd),
        block=np.repeat(np.arange(len(lengths)), lengths),
    )


def scaled_costs(predicted: Floats, paid: Floats, *, least: int = 20) -> Floats:
    """Return predicted costs times paid over predicted, of each arm that was paid often enough, else of all."""
    known = ~np.isnan(paid) & ~np.isnan(predicted)

    def ratio(cells: NDArray[np.bool_]) -> float:
        total = float(predicted[cells].sum())
        return float(np.clip(paid[cells].sum() / total, 0.2, 5.0)) if cells.sum() >= least and total > 0.0 else 1.0

    overall = ratio(known)
    scales = []
    for a in range(paid.shape[1]):
        mine = np.zeros_like(known)
        mine[:, a] = known[:, a]
        scales.append(ratio(mine) if mine.sum() >= least else overall)
    scaled: Floats = predicted * np.array(scales)
    return scaled


def compare(log: Labelled, seen: Views, pool: Pool, *, rng: np.random.Generator, details: bool = True) -> Judgement:
    """Judge what two routers decide on prompts with outcomes.

    Rewards that were not observed come from a model that is fitted on these outcomes (cross-fitted), not from the
    router on trial: it would be judge in its own cause. Where a changed decision has no support, it counts as no gain.

    Parameters
    ----------
    details
        Whether to value each policy by itself too (for people; the gate does not look at it).
    """
    m = len(pool.arms)
    reward, chance = log.judged, log.chance
    mean = np.array([np.nanmean(column) if (~np.isnan(column)).any() else np.nan for column in reward.T])
    design = np.stack([seen.current_quality, seen.new_quality], axis=2)
    model = cross_fitted(design, reward, rng=rng, prior=np.array([0.5, 0.5]))
    cost = np.where(np.isnan(seen.cost_usd), 0.0, seen.cost_usd)
    new, current = as_policy(seen.new, m), as_policy(seen.current, m)
    quality_new, weight = cell_scores(new, reward, chance, model)
    quality_current, _ = cell_scores(current, reward, chance, model)
    changed = (seen.new != seen.current) & (seen.new >= 0) & (seen.current >= 0)
    rows = np.flatnonzero(changed)
    gain_quality = np.where(changed, quality_new - quality_current, 0.0)
    gain_cost = ((new - current) * cost).sum(axis=1)
    gain_cost = np.where(changed, gain_cost, 0.0)
    utility = pool.wtp_usd * gain_quality - gain_cost
    known = ~np.isnan(reward)
    block = np.zeros(len(log), np.intp) if seen.block is None else seen.block
    lacking = np.zeros(len(log), bool)
    lacking[rows] = (chance[rows, seen.new[rows]] < FLOOR) | (chance[rows, seen.current[rows]] < FLOOR)
    share = _block_weights(block, changed & ~lacking, seen, chance)
    quality_gain, cost_gain = gain_quality * share, gain_cost * share
    utility = np.where(lacking, np.minimum(utility, 0.0), utility) * share
    unsupported = float(lacking[rows].mean()) if len(rows) else 0.0
    direct = len(rows) == 0 or bool(
        (known[rows, seen.new[rows]] & known[rows, seen.current[rows]]).all()
        and (chance[rows, seen.new[rows]] >= 1.0).all()
        and (chance[rows, seen.current[rows]] >= 1.0).all()
    )
    shown = known & (chance >= FLOOR)
    hits = np.zeros(len(log))
    hits[rows] = np.where(shown[rows, seen.new[rows]], 1.0 / np.maximum(chance[rows, seen.new[rows]], FLOOR), 0.0)
    wanting = np.zeros(m)
    for side in (seen.new, seen.current):
        np.add.at(wanting, side[rows], ~shown[rows, side[rows]])
    lost = np.zeros((len(log), m))
    lost[rows[lacking[rows]], seen.new[rows[lacking[rows]]]] = 1.0
    late = block == block[-1] if len(log) else np.zeros(0, bool)
    values, best = _values(log, seen, pool, model, cost, mean, rng) if details else ({}, None)
    return Judgement(
        n=len(log),
        method="direct" if direct else "doubly robust",
        scores=utility,
        share_changed=float(changed.mean()) if len(log) else 0.0,
        n_changed=len(rows),
        n_late=int(late.sum()),
        n_changed_late=int((changed & late).sum()),
        ess=float(len(log)) if direct else effective_size(weight * share),
        ess_changed=effective_size(hits * share),
        unsupported=unsupported,
        gaps=support_gaps(lost, np.zeros((len(log), m)), pool.names),
        gain_quality=mean_estimate(quality_gain),
        gain_cost=mean_estimate(cost_gain),
        gain_utility=mean_estimate(utility),
        values=values,
        best_single=best,
        neediest=pool.names[int(wanting.argmax())] if wanting.any() else None,
    )


def _block_weights(block: NDArray[np.intp], counts: NDArray[np.bool_], seen: Views, chance: Floats) -> Floats:
    """Return `(n,)` weights with mean 1: a block counts by how well outcomes show a gain there, not by what they were.

    That is one over the mean of 1/p(new) + 1/p(current) on the block's changed decisions, the variance of a score but
    for a factor. Else a few drawn outcomes of great weight would drown the imports of an earlier block.
    """
    weight = np.full(len(block), np.nan)
    for b in np.unique(block):
        mine = np.flatnonzero((block == b) & counts)
        if len(mine):
            variance = 1.0 / chance[mine, seen.new[mine]] + 1.0 / chance[mine, seen.current[mine]]
            weight[block == b] = 1.0 / float(variance.mean())
    if np.isnan(weight).all():
        return np.ones(len(block))
    weight = np.where(np.isnan(weight), np.nanmean(weight), weight)  # nothing changes there: its scores are 0
    even: Floats = weight / weight.mean()
    return even


def _values(
    log: Labelled, seen: Views, pool: Pool, model: Floats, cost: Floats, mean: Floats, rng: np.random.Generator
) -> tuple[dict[str, dict[str, Estimate]], str | None]:
    """Return quality, cost and utility of the current and new router, the best single arm and a random mix."""
    m = len(pool.arms)
    if not len(log):
        return {}, None
    policies = {"current": as_policy(seen.current, m), "new": as_policy(seen.new, m)}
    singles: list[tuple[float, int, Floats]] = []
    for a in range(m):
        if not np.isnan(mean[a]) and not np.isnan(seen.cost_usd[:, a]).all():
            policy = np.zeros((len(log), m))
            policy[:, a] = 1.0
            score, _ = cell_scores(policy, log.judged, log.chance, model)
            singles.append((float(pool.wtp_usd * score.mean() - cost[:, a].mean()), a, policy))
    best = None
    if singles:
        _, arm, policy = max(singles, key=lambda each: each[0])
        best = pool.names[arm]
        policies["best single"] = policy
    share = policies["new"].mean(axis=0)
    policies["random mix"] = np.tile(share, (len(log), 1))
    out: dict[str, dict[str, Estimate]] = {}
    for name, policy in policies.items():
        quality, weight = cell_scores(policy, log.judged, log.chance, model)
        paid = (policy * cost).sum(axis=1)
        ess = effective_size(weight)
        out[name] = {
            what: _bootstrapped(values, ess, rng)
            for what, values in (
                ("quality", quality), ("cost_usd", paid), ("utility_usd", pool.wtp_usd * quality - paid),
            )
        }  # fmt: skip
        out[name]["quality_snips"] = self_normalised(policy, log.judged, log.chance, rng=rng, n_resamples=400)
    return out, best


def _bootstrapped(values: Floats, ess: float, rng: np.random.Generator) -> Estimate:
    low, high = bootstrap(values, rng=rng, n_resamples=400)
    return Estimate(float(values.mean()), low, high, len(values), ess)
