"""What past decisions would have been under another profile, router or worth of an answer: no call is made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger.requests import asked_with
from scrimp.routing.ledger.store import instant
from scrimp.routing.router.in_force import load_router
from scrimp.routing.text.in_words import counted

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["WhatIf", "asked_with", "difference", "replay"]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is to be different; None leaves it as the profile has it.

    Attributes
    ----------
    max_cost_usd
        Arms predicted to cost more are left out.
    since
        Only requests made at this POSIX time or later.
    """

    router: str | None = None
    wtp_usd: float | None = None
    max_cost_usd: float | None = None
    since: float | None = None


def difference(
    ledger: Ledger | None, decider: Decider, routers: Path, first: str, second: str | None
) -> dict[str, Any]:
    """Return how two router versions would decide the prompts of a profile's log.

    Parameters
    ----------
    second
        None takes the version in force.

    Raises
    ------
    UsageError, DataError
        If a version is not there, or cannot be used.
    """
    import numpy as np

    from scrimp.routing.learn.data.decisions import predict_in_parts
    from scrimp.routing.learn.judging.refitting import set_up
    from scrimp.routing.router import versions

    second = second or versions.current_name(routers)
    pair = [versions.open_version(routers, name) for name in (first, second)]
    bench = set_up(decider, routers, ledger)
    log = bench.read(ledger, decider.profile.name, decider.embedder)
    names = [*bench.pool.names, "none"]
    decided = [
        bench.pool.decide(
            predict_in_parts(router, log.embeddings, log.surface, bench.pool.arms), log.input_tokens, log.feasible
        )
        for router in pair
    ]
    n = len(log)
    moves = Counter((names[a], names[b]) for a, b in zip(*(each.tolist() for each in decided), strict=True) if a != b)
    shares = [
        (name, *(float((each == (a if name != "none" else -1)).mean()) if n else 0.0 for each in decided))
        for a, name in enumerate(names)
    ]
    return {
        "schema_version": 1, "first": first, "second": second, "n": n,
        "n_changed": int(np.sum(decided[0] != decided[1])),
        "shares": [row for row in shares if row[0] != "none" or row[1] or row[2]],
        "moves": [{"from": a, "to": b, "n": count} for (a, b), count in moves.most_common()],
        "notes": list(log.notes),
    }  # fmt: skip


def replay(
    ledger: Ledger | None,
    logged: str,
    decider: Decider,
    routers: Path,
    what: WhatIf,
    *,
    before: Decider | None = None,
    n_shown: int = 20,
) -> dict[str, Any]:
    """Decide the past prompts of one profile's log anew, and set what would change against what was done.

    What was done is known by the model that answered, whatever its arm is called now. Prompts of probes are left out.
    Quality is predicted by the router in use here, drawn to outcomes where the log has them (a doubly robust estimate);
    costs are those paid, or predicted where nothing was. Both intervals are bootstrapped over prompts.

    Parameters
    ----------
    logged
        The name of the profile whose log is replayed.
    decider
        Of the profile to decide by, which may be another one.
    before
        Of the profile whose log it is, where that is another one: for what its arms are expected to do that the first
        has not. None leaves their answers out.

    Raises
    ------
    UsageError, DataError
        If the router asked for is not there, or cannot be used.
    """
    import numpy as np

    from scrimp.routing.learn.data.decisions import as_policy, predict_in_parts, side_by_side
    from scrimp.routing.learn.data.read import make_pool
    from scrimp.routing.learn.judging.judge import scaled_costs
    from scrimp.routing.learn.judging.refitting import set_up
    from scrimp.routing.learn.maths.offpolicy import bootstrap, cell_scores, cross_fitted

    bench = set_up(decider, routers, ledger, logged)
    router = (
        bench.current if what.router is None else load_router(what.router, routers, embedder_id=bench.base.embedder_id)
    )
    pool = bench.pool if what.wtp_usd is None else replace(bench.pool, wtp_usd=what.wtp_usd)
    own, gone = len(pool.arms), pool.take([])
    if before is not None:
        models = {arm.model for arm in pool.arms}
        gone = make_pool(before.profile, before.infos, [before.price(arm.name) for arm in before.profile.arms])
        gone = gone.take([a for a, arm in enumerate(gone.arms) if arm.model not in models])
    names = (*pool.names, *(f"{logged}:{name}" for name in gone.names))
    done = (*pool.arms, *(replace(arm, name=name) for arm, name in zip(gone.arms, names[own:], strict=True)))
    log = bench.read(
        ledger, logged, decider.embedder, since=None if what.since is None else instant(what.since), arms=done,
        by_model=True, probes=False,
    )  # fmt: skip
    n_all = len(log)
    log = log.take(log.chosen >= 0)
    n, m = len(log), len(done)
    decided = predict_in_parts(router, log.embeddings, log.surface, pool.arms)
    expected = pool.costs(log.input_tokens, decided.output_tokens_p50)
    feasible = log.feasible[:, :own]
    if what.max_cost_usd is not None:
        feasible = feasible & ~(expected > what.max_cost_usd)
    new = pool.decide(decided, log.input_tokens, feasible)
    seen = decided
    if gone.arms:
        of_gone = predict_in_parts(router, log.embeddings, log.surface, gone.arms)
        seen = side_by_side(decided, of_gone)
        expected = np.hstack([expected, gone.costs(log.input_tokens, of_gone.output_tokens_p50)])
    both = new >= 0
    changed = both & (new != log.chosen)
    data: dict[str, Any] = {
        "schema_version": 1, "profile": logged, "decided_by": decider.profile.name, "router": router.version,
        "wtp_usd": pool.wtp_usd, "n": n, "n_changed": int(changed.sum()), "n_infeasible": int((~both).sum()),
        "changes": [], "moves": [], "cost_usd": None, "quality": None, "utility_usd": None, "notes": list(log.notes),
    }  # fmt: skip
    if n_all > n:
        data["notes"].append(
            f"{counted(n_all - n, 'prompt is', 'prompts are')} left out: what answered is no arm of "
            f"{decider.profile.name}{'' if before is None else f' or of {logged}'}"
        )
    if not n:
        return data
    rng = np.random.default_rng(0)
    scaled = scaled_costs(expected, log.cost_usd)
    cost = np.where(np.isnan(log.cost_usd), scaled, log.cost_usd)
    reward = np.where(log.chance > 0.0, log.judged, np.nan)
    model = cross_fitted(seen.quality[:, :, None], reward, rng=rng, prior=np.array([1.0]))
    step = as_policy(np.where(changed, new, -1), m) - as_policy(np.where(changed, log.chosen, -1), m)
    quality, _ = cell_scores(step, reward, log.chance, model)
    paid = (step * np.where(np.isnan(cost), 0.0, cost)).sum(axis=1)
    for key, values in (("quality", quality), ("cost_usd", paid), ("utility_usd", pool.wtp_usd * quality - paid)):
        low, high = bootstrap(values, rng=rng)
        data[key] = {"estimate": float(values.mean()), "low": low, "high": high, "total": float(values.sum())}
    data["n_outcomes"] = int((~np.isnan(reward)).any(axis=1).sum())
    moves = Counter((names[log.chosen[i]], names[new[i]]) for i in np.flatnonzero(changed))
    data["moves"] = [{"from": a, "to": b, "n": count} for (a, b), count in moves.most_common()]
    order = np.flatnonzero(changed)
    order = order[np.argsort(-np.abs(pool.wtp_usd * quality[order] - paid[order]), kind="stable")][:n_shown]
    data["changes"] = [
        {
            "id": log.ids[i], "from": names[log.chosen[i]], "to": names[new[i]],
            "quality": float(seen.quality[i, new[i]] - seen.quality[i, log.chosen[i]]), "cost_usd": float(paid[i]),
        }
        for i in order
    ]  # fmt: skip
    return data
