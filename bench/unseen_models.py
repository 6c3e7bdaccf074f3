"""How much few outcomes tell of an unseen model: python bench/unseen_models.py OUTCOMES_DIR [--embeddings CACHE_DIR] [--models N].

Leaves each model of train/zeroeval.jsonl.gz out in turn: the shared view of a prompt is learnt anew from the training files without
any outcome of that model, as `bench/train_shipped.py` learns it. Then the model is believed a middling one, placed by n of its
outcomes, and by all rows but the ones it is tested on. Prints the share of the full gain in log loss that n outcomes give.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from scrimp.routing.learn.fitting.shared import abilities_of, shared_view
from train_shipped import FILES

from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.prior import place
from scrimp.routing.learn.fitting.recipe import SHIPPED_RECIPE
from scrimp.routing.learn.fitting.table import tabulate
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router
from scrimp.routing.router.in_force import shipped_folder
from scrimp.routing.router.learned import features_of

NS = (0, 20, 40, 80)


def without(table, j):
    """The table without a model's outcomes, and without prompts that only it was tried on."""
    score, tokens = table.score.copy(), table.output_tokens.copy()
    score[:, j] = tokens[:, j] = np.nan
    return replace(table, score=score, output_tokens=tokens).take(np.flatnonzero((~np.isnan(score)).any(axis=1)))


def view(table, router, recipe, scale=None):
    """A router with the shared view of a table; `scale` are slopes of ease and spread, taken from the shipped router where None."""
    w = router.weights
    x = features_of(table.embeddings, table.surface, w.centre, w.surface_mean, w.surface_sd)[:, :-1]
    abilities = abilities_of(table)
    shared = shared_view(table, x, abilities, recipe)
    if scale is None:
        norm = np.linalg.norm
        scale = norm(w.ease[:-1]) / norm(shared.ease), norm(w.spread[:-1]) / norm(shared.spread)
    balanced = np.array([1.0 / (table.groups == name).sum() for name in table.groups])
    balanced /= balanced.sum()
    tried = (~np.isnan(table.score)).any(axis=0)
    middle = float(np.median(abilities.ability[tried]))
    level = float(np.mean(list(abilities.level.values())))
    ease, spread = scale[0] * shared.ease, scale[1] * shared.spread
    weights = replace(
        w,
        ease=np.append(ease, level + middle - float(balanced @ (x @ ease))),
        spread=np.append(spread, -float(balanced @ (x @ spread))),
    )
    prior = {
        **router.prior,
        "ability_mean": middle,
        "ability_medium": float(np.quantile(abilities.ability[tried], 0.70)),
        "ability_sd": float(np.std(abilities.ability[tried])),
    }
    return replace(router, weights=weights, prior=prior), scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--models", type=int, help="only this many models, spread over the list")
    args = parser.parse_args()
    recipe = SHIPPED_RECIPE
    outcomes = read_outcomes([args.outcomes / "train" / f"{name}.jsonl.gz" for name in FILES])
    embedder = Embedder()
    embed = VectorCache(embedder, args.embeddings).embed if args.embeddings else embedder.embed
    table = tabulate(outcomes, embed, recipe.drop)
    shipped = read_router(shipped_folder())
    _, scale = view(table, shipped, recipe)
    zeroeval = np.array([source in {"math-l5", "cruxeval-o"} for source in outcomes.sources])
    names = [j for j in range(len(table.models)) if (~np.isnan(table.score[zeroeval, j])).sum() >= 400]
    names = names[:: max(1, len(names) // args.models)] if args.models else names
    arm = ArmInfo(name="unseen", model="unseen", tier="medium")
    loss = {n: [] for n in (*NS, "all")}
    rng = np.random.default_rng(0)
    for j in names:
        router, _ = view(without(table, j), shipped, recipe, scale)
        rows = rng.permutation(np.flatnonzero(zeroeval & ~np.isnan(table.score[:, j])))
        test, pool = rows[: len(rows) // 4], rows[len(rows) // 4 :]
        x = router.features(table.embeddings[test], table.surface[test])
        for n, values in loss.items():
            use = pool if n == "all" else pool[:n]
            ability = place(router, table.embeddings[use], table.surface[use], table.score[use, j], arm).median
            z = router.shared_logit(x, np.array([ability]))[:, 0]
            values.append(np.mean(np.logaddexp(0, z) - table.score[test, j] * z))
    mean = {n: float(np.mean(v)) for n, v in loss.items()}
    print(f"{len(names)} models")
    for n, value in mean.items():
        print(f"n = {n}: log loss {value:.4f}, {(mean[0] - value) / (mean[0] - mean['all']):.0%} of the full gain")


if __name__ == "__main__":
    main()
