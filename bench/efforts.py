"""Three efforts of one model in a world of known truth, learnt from a log: python bench/efforts.py [--seeds N].

A prompt has a difficulty that its embedding tells in part. P(right) rises with effort, and much more on hard prompts than on easy
ones; answers have 2, 6 and 12 times the tokens of one without thinking. The log is that of a user: the router in force decides,
a tenth of the prompts go to an effort drawn at random, a check says whether the answer was right, and `refit` is run every 1,000
prompts, promoting only where its own gate lets it. What it would decide on 4,000 further prompts is held against always `high`.

With `--copied` every outcome at one effort is first copied to others (a pass to those above, a fail to those below), as papers
on efforts propose for prompts that were tried at all of them: predictions at `high` are then too good by what it prints.
"""

from __future__ import annotations

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
USD_PER_TOKEN = 10e-6
ARMS = tuple(
    ArmInfo(
        name=f"model:{effort}", model="x/model", tier="medium", output_usd_per_mtok=10.0, reasoning=True,
        output_limit=16_384, effort=effort, ladder="model",
    )
    for effort in EFFORTS
)  # fmt: skip
EVERY = 1_000
N_LOG = 2_000
N_TEST = 4_000


def world(shipped, n, rng):
    """Return embeddings, surface features, `(n, 3)` P(right) and `(n, 3)` output tokens."""
    w = shipped.weights
    x = w.landmarks[rng.integers(0, 1_000, n)]
    x = x + 0.3 * rng.normal(size=x.shape).astype(np.float32) / x.shape[1] ** 0.5
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    direction = w.landmarks[:40].mean(axis=0) - w.landmarks[40:80].mean(axis=0)
    told = x @ direction
    middle = w.landmarks[:1_000] @ direction
    hard = (told - middle.mean()) / middle.std() + 0.4 * rng.normal(size=n)
    effect = np.array([0.0, 1.6, 3.0])  # what an effort adds on the logit scale, on a hard prompt
    logit = 4.0 + (effect - 5.0) * sigmoid(3.0 * (hard - 0.6))[:, None]
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


def live(shipped, wtp, seed, *, copies=False):
    """Return what a user's log came to: the router in force, how many promotions, labels, and the world's test part."""
    rng = np.random.default_rng(seed)
    pool = Pool(ARMS, np.zeros(3), np.full(3, USD_PER_TOKEN), np.zeros(3), wtp_usd=wtp)
    x, surface, quality, tokens = world(shipped, N_LOG + N_TEST, rng)
    right = (rng.random(quality.shape) < quality).astype(float)
    current, log, past, watermark, promoted = shipped, None, [], 0, 0
    rewards, spent = np.full((N_LOG, 3), np.nan), np.full((N_LOG, 3), np.nan)
    chance, chosen = np.zeros((N_LOG, 3)), np.zeros(N_LOG, np.intp)
    for start in range(0, N_LOG, EVERY):
        rows = np.arange(start, start + EVERY)
        predicted = predict_in_parts(current, x[rows], surface[rows], ARMS)
        greedy = pool.decide(predicted, np.zeros(EVERY), np.ones((EVERY, 3), bool))
        chance[rows] = 0.1 / 3
        chance[rows, greedy] += 0.9
        chosen[rows] = np.where(rng.random(EVERY) < 0.1, rng.integers(0, 3, EVERY), greedy)
        rewards[rows, chosen[rows]], spent[rows, chosen[rows]] = right[rows, chosen[rows]], tokens[rows, chosen[rows]]
        seen = np.arange(start + EVERY)
        log = of_scores([arm.name for arm in ARMS], rewards[seen], x[seen], surface[seen], output_tokens=spent[seen])
        log = replace(
            log, chance=chance[seen], chosen=chosen[seen], propensity=chance[seen, chosen[seen]],
            input_tokens=np.zeros(len(seen)),
        )  # fmt: skip
        if copies:
            continue
        looks, watermark = history_of(past, made_by(current, pool))
        version = f"v{start}"
        found = refit(log, shipped, current, pool, version=version, past=looks, watermark=watermark, seed=seed)
        data = found.to_dict(version=version, candidate=version)
        past.append(
            {
                "verdict": found.verdict.word, "version": version, "tested": int(found.verdict.tested),
                "alpha": found.verdict.alpha, "last_label": found.last_label, "forced": 0, "data": _json(data),
            }
        )  # fmt: skip
        if found.promoted:
            current, promoted = found.fitted.router, promoted + 1
    if copies:
        full = copied(log.reward)
        log = replace(log, reward=full, weight=np.where(np.isnan(full), 0.0, 1.0), propensity=np.full(N_LOG, np.nan))
        current = fit(shipped, ARMS, log, version="copied", seed=seed).router
    test = slice(N_LOG, None)
    return current, pool, promoted, (x[test], surface[test], quality[test], tokens[test])


def _json(data):
    import json

    return json.dumps(data)


def measured(router, pool, test):
    """Return the share of tokens saved against always `high`, the points lost, and how much too good `high` is thought."""
    x, surface, quality, tokens = test
    predicted = predict_in_parts(router, x, surface, ARMS)
    taken = pool.decide(predicted, np.zeros(len(x)), np.ones(quality.shape, bool))
    rows = np.arange(len(x))
    shares = np.bincount(taken, minlength=3) / len(x)
    saved = 1.0 - tokens[rows, taken].sum() / tokens[:, 2].sum()
    lost = 100.0 * (quality[:, 2].mean() - quality[rows, taken].mean())
    falls = (np.diff(predicted.quality, axis=1) < 0).any() or (np.diff(predicted.output_tokens_p50, axis=1) < 0).any()
    return saved, lost, 100.0 * (predicted.quality - quality).mean(axis=0), shares, bool(falls)


def main():
    n_seeds = int(sys.argv[sys.argv.index("--seeds") + 1]) if "--seeds" in sys.argv else 3
    copies = "--copied" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        shipped = load_router(SHIPPED, Path(folder))
    print("wtp $  promoted  tokens saved    points lost    low/medium/high       predicted - true, points")
    for wtp in (1.0,) if "--best" in sys.argv else (1.0, 0.3):
        rows, counts = [], []
        for seed in range(n_seeds):
            router, pool, promoted, test = live(shipped, wtp, seed, copies=copies)
            rows.append(measured(router, pool, test))
            counts.append(promoted)
        saved, lost = (np.array([row[k] for row in rows]) for k in (0, 1))
        off, shares = (np.mean([row[k] for row in rows], axis=0) for k in (2, 3))
        assert not any(row[4] for row in rows), "a prediction falls with effort"
        print(
            f"{wtp:5.2f}  {np.mean(counts):8.1f}  {saved.mean():5.1%} ({saved.min():.0%} to {saved.max():.0%})"
            f"  {lost.mean():4.2f} ({lost.min():.2f} to {lost.max():.2f})  "
            + "/".join(f"{share:.0%}" for share in shares)
            + "  "
            + ", ".join(f"{each:+.1f}" for each in off),
            flush=True,
        )


if __name__ == "__main__":
    main()
