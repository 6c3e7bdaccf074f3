"""Three efforts of one model in a world of known truth, learnt from a log: python bench/efforts.py [--seeds N].

A prompt has a difficulty that its embedding tells in part. P(right) rises with effort, by as much on the logit scale for all
prompts, so that it is little on easy ones; answers have 2, 6 and 12 times the tokens of one without thinking. The log is that of a
user to whom a right answer is worth $1, at $6 a million tokens: the router in force decides, 20% of the prompts go to an effort
drawn at random, a check says whether the answer was right, and `refit` is run every 1,500 prompts. On 4,000 further prompts it is
held against always `high`:

shipped   before any outcome, by the table of efforts
in force  after 3,000 prompts, where a refit is promoted only by its own gate
fitted    the last router that was fitted, whether or not the gate let it in (`refit --force`)
copied    fitted after every outcome was copied to other efforts (a pass to those above, a fail to those below), as papers on
          efforts propose for prompts that were tried at all of them: here only one was
best      the efforts of greatest true utility
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from scrimp.routing.learn.data.decisions import Pool, predict_in_parts
from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.fitting.fit import fit
from scrimp.routing.learn.judging.refit import history_of, made_by, refit
from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.in_force import SHIPPED, load_router

EFFORTS = ("low", "medium", "high")
TIMES = np.array([2.0, 6.0, 12.0])
TYPICAL = 150.0
USD_PER_TOKEN = 6e-6
ARMS = tuple(
    ArmInfo(
        name=f"model:{effort}", model="x/model", tier="medium", output_usd_per_mtok=6.0, reasoning=True,
        output_limit=16_384, effort=effort, ladder="model",
    )
    for effort in EFFORTS
)  # fmt: skip
EVERY = 1_500
N_LOG = 3_000
N_TEST = 4_000
EXPLORED = 0.2
"""Of the prompts, drawn at random among the efforts."""


def world(shipped, n, rng):
    """Return embeddings, surface features, `(n, 3)` P(right) and `(n, 3)` output tokens."""
    w = shipped.weights
    x = w.landmarks[rng.integers(0, 1_000, n)]
    x = x + 0.3 * rng.normal(size=x.shape).astype(np.float32) / x.shape[1] ** 0.5
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    direction = w.landmarks[:40].mean(axis=0) - w.landmarks[40:80].mean(axis=0)
    told = x @ direction
    middle = w.landmarks[:1_000] @ direction
    hard = (told - middle.mean()) / middle.std() + 0.3 * rng.normal(size=n)
    logit = 5.0 - 3.0 * hard[:, None] + np.array([0.0, 1.2, 2.0])  # what an effort adds
    tokens = TYPICAL * TIMES * np.exp(0.4 * rng.normal(size=(n, 1)) + 0.2 * hard[:, None])
    return x, np.tile(w.surface_mean, (n, 1)), sigmoid(logit), tokens


def copied(reward):
    """Return rewards with each pass at higher efforts and each fail at lower ones, where nothing was observed."""
    full = reward.copy()
    for low in range(3):
        for high in range(low + 1, 3):
            full[:, high] = np.where(np.isnan(full[:, high]) & (reward[:, low] == 1.0), 1.0, full[:, high])
            full[:, low] = np.where(np.isnan(full[:, low]) & (reward[:, high] == 0.0), 0.0, full[:, low])
    return full


def live(shipped, rng, seed):
    """Return the routers that a user's log leads to, by name, with the pool, the promotions, and the world's test part."""
    pool = Pool(ARMS, np.zeros(3), np.full(3, USD_PER_TOKEN), np.zeros(3), wtp_usd=1.0)
    x, surface, quality, tokens = world(shipped, N_LOG + N_TEST, rng)
    right = (rng.random(quality.shape) < quality).astype(float)
    current, past, promoted = shipped, [], 0
    rewards, spent = np.full((N_LOG, 3), np.nan), np.full((N_LOG, 3), np.nan)
    chance, chosen = np.zeros((N_LOG, 3)), np.zeros(N_LOG, np.intp)
    for start in range(0, N_LOG, EVERY):
        rows, seen = np.arange(start, start + EVERY), np.arange(start + EVERY)
        predicted = predict_in_parts(current, x[rows], surface[rows], ARMS)
        greedy = pool.decide(predicted, np.zeros(EVERY), np.ones((EVERY, 3), bool))
        chance[rows] = EXPLORED / 3
        chance[rows, greedy] += 1.0 - EXPLORED
        chosen[rows] = np.where(rng.random(EVERY) < EXPLORED, rng.integers(0, 3, EVERY), greedy)
        rewards[rows, chosen[rows]], spent[rows, chosen[rows]] = right[rows, chosen[rows]], tokens[rows, chosen[rows]]
        log = of_scores([arm.name for arm in ARMS], rewards[seen], x[seen], surface[seen], output_tokens=spent[seen])
        log = replace(
            log, chance=chance[seen], chosen=chosen[seen], propensity=chance[seen, chosen[seen]],
            input_tokens=np.zeros(len(seen)),
        )  # fmt: skip
        looks, watermark = history_of(past, made_by(current, pool))
        version = f"v{start}"
        found = refit(log, shipped, current, pool, version=version, past=looks, watermark=watermark, seed=seed)
        data = json.dumps(found.to_dict(version=version, candidate=version))
        past.append(
            {
                "verdict": found.verdict.word, "version": version, "tested": int(found.verdict.tested),
                "alpha": found.verdict.alpha, "last_label": found.last_label, "forced": 0, "data": data,
            }
        )  # fmt: skip
        if found.promoted:
            current, promoted = found.fitted.router, promoted + 1
    full = copied(log.reward)
    log = replace(log, reward=full, weight=np.where(np.isnan(full), 0.0, 1.0))
    routers = {
        "shipped": shipped, "in force": current, "fitted": found.fitted.router,
        "copied": fit(shipped, ARMS, log, version="copied", seed=seed).router,
    }  # fmt: skip
    test = slice(N_LOG, None)
    return routers, pool, promoted, (x[test], surface[test], quality[test], tokens[test])


def measured(router, pool, test):
    """Return the share of tokens saved against always `high`, points lost, `(3,)` points too good, and shares taken."""
    x, surface, quality, tokens = test
    rows = np.arange(len(x))
    off = np.full(3, np.nan)
    if router is None:
        taken = (pool.wtp_usd * quality - USD_PER_TOKEN * tokens).argmax(axis=1)
    else:
        predicted = predict_in_parts(router, x, surface, ARMS)
        taken = pool.decide(predicted, np.zeros(len(x)), np.ones(quality.shape, bool))
        off = 100.0 * (predicted.quality - quality).mean(axis=0)
        falls = (np.diff(predicted.quality, axis=1) < 0) | (np.diff(predicted.output_tokens_p50, axis=1) < 0)
        assert not falls.any(), "a prediction falls with effort"
    saved = 1.0 - tokens[rows, taken].sum() / tokens[:, 2].sum()
    lost = 100.0 * (quality[:, 2].mean() - quality[rows, taken].mean())
    return saved, lost, off, np.bincount(taken, minlength=3) / len(x)


def main():
    n_seeds = int(sys.argv[sys.argv.index("--seeds") + 1]) if "--seeds" in sys.argv else 3
    with tempfile.TemporaryDirectory() as folder:
        shipped = load_router(SHIPPED, Path(folder))
    found, promotions = {}, 0
    for seed in range(n_seeds):
        routers, pool, promoted, test = live(shipped, np.random.default_rng(seed), seed)
        promotions += promoted
        for name, router in {**routers, "best": None}.items():
            found.setdefault(name, []).append(measured(router, pool, test))
    print(f"{n_seeds} seeds, {promotions} promotions in {n_seeds * N_LOG // EVERY} refits")
    print("router    tokens saved         points lost           low/medium/high  predicted - true, points")
    for name, rows in found.items():
        saved, lost = (np.array([row[k] for row in rows]) for k in (0, 1))
        off, shares = (np.mean([row[k] for row in rows], axis=0) for k in (2, 3))
        print(
            f"{name:8}  {saved.mean():5.1%} ({saved.min():.0%} to {saved.max():.0%})"
            f"  {lost.mean():5.2f} ({lost.min():.2f} to {lost.max():.2f})  "
            + "/".join(f"{share:.0%}" for share in shares).center(16)
            + ("" if np.isnan(off).any() else "  " + ", ".join(f"{each:+.1f}" for each in off))
        )


if __name__ == "__main__":
    main()
