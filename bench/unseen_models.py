"""How much few outcomes tell of an unseen model: python bench/unseen_models.py OUTCOMES_DIR [--embeddings CACHE_DIR] [--models N].

Leaves N models (6) of train/zeroeval.jsonl.gz out together: a router is learnt from the training files without any outcome of theirs,
as `bench/train_shipped.py` learns it. Then each is believed a middling model, placed by n of its outcomes, and by all rows but the ones
it is tested on. Prints the share of the full gain in log loss that n outcomes give.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from train_shipped import FILES, judged_prompts

from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.prior import place
from scrimp.routing.learn.fitting.recipe import SHIPPED_RECIPE
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.learned import canonical_name
from scrimp.routing.router.placed import Placed

NS = (0, 20, 40, 80)


def without(outcomes, models):
    """The outcomes without those of some models, under any name, and without prompts that only these were tried on."""
    names = {canonical_name(outcomes.models[j]) for j in models}
    gone = [j for j, name in enumerate(outcomes.models) if canonical_name(name) in names]
    score, tokens = outcomes.score.copy(), outcomes.output_tokens.copy()
    score[:, gone] = tokens[:, gone] = np.nan
    return replace(outcomes, score=score, output_tokens=tokens).take(np.flatnonzero((~np.isnan(score)).any(axis=1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--models", type=int, default=6, help="how many, spread over the list")
    args = parser.parse_args()
    outcomes = read_outcomes([args.outcomes / "train" / f"{name}.jsonl.gz" for name in FILES])
    embedder = Embedder()
    embed = VectorCache(embedder, args.embeddings).embed if args.embeddings else embedder.embed
    zeroeval = np.array([source in {"math-l5", "cruxeval-o"} for source in outcomes.sources])
    able = [j for j in range(len(outcomes.models)) if (~np.isnan(outcomes.score[zeroeval, j])).sum() >= 400]
    left_out = able[:: max(1, len(able) // args.models)][: args.models]
    router = train(
        without(outcomes, left_out),
        embed,
        embedder.id,
        judged=judged_prompts(outcomes)[0],
        recipe=SHIPPED_RECIPE,
        version="without-some",
        seed=0,
    )
    middling = Placed(router.prior["ability_mean"], router.prior["ability_sd"], "nothing known")
    arm = ArmInfo(name="unseen", model="unseen", tier="medium", placed=middling)
    loss = {n: [] for n in (*NS, "all")}
    rng = np.random.default_rng(0)
    for j in left_out:
        rows = rng.permutation(np.flatnonzero(zeroeval & ~np.isnan(outcomes.score[:, j])))
        prompts = [outcomes.prompts[i] for i in rows]
        vectors, surface, score = embed(prompts), surface_matrix(prompts), outcomes.score[rows, j]
        test, pool = slice(None, len(rows) // 4), np.arange(len(rows) // 4, len(rows))
        view = router.view(router.features(vectors[test], surface[test]))
        for n, values in loss.items():
            use = pool if n == "all" else pool[:n]
            ability = place(router, vectors[use], surface[use], score[use], arm).median
            z = view.logit(np.array([ability - router.prior["ability_mean"]]))[:, 0]
            values.append(np.mean(np.logaddexp(0, z) - score[test] * z))
    mean = {n: float(np.mean(v)) for n, v in loss.items()}
    print(f"{len(left_out)} models: {', '.join(outcomes.models[j] for j in left_out)}")
    for n, value in mean.items():
        print(f"n = {n}: log loss {value:.4f}, {(mean[0] - value) / (mean[0] - mean['all']):.0%} of the full gain")


if __name__ == "__main__":
    main()
