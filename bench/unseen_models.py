"""How much few outcomes tell of an unseen model: python bench/unseen_models.py OUTCOMES_DIR --embeddings CACHE_DIR.

For every model of train/zeroeval.jsonl.gz: believe a middling model, then place it by n outcomes, then by all rows but the ones it
is tested on. Prints the share of the full gain in log loss that n outcomes give.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from scrimp.routing.context import surface_matrix
from scrimp.routing.embedding import Embedder
from scrimp.routing.learn.outcomes import read_outcomes
from scrimp.routing.learn.prior import place
from scrimp.routing.predict import ArmInfo, shipped_folder
from scrimp.routing.router_file import read_router
from scrimp.routing.vector_cache import VectorCache

NS = (0, 20, 40, 80)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--embeddings", type=Path, required=True)
    args = parser.parse_args()
    outcomes = read_outcomes([args.outcomes / "train" / "zeroeval.jsonl.gz"])
    e, s = VectorCache(Embedder(), args.embeddings).embed(outcomes.prompts), surface_matrix(outcomes.prompts)
    router = read_router(shipped_folder())
    x = router.features(e, s)
    arm = ArmInfo(name="unseen", model="unseen", tier="medium")
    loss = {n: [] for n in (*NS, "all")}
    rng = np.random.default_rng(0)
    for j in range(len(outcomes.models)):
        rows = rng.permutation(np.flatnonzero(~np.isnan(outcomes.score[:, j])))
        test, pool = rows[: len(rows) // 4], rows[len(rows) // 4 :]
        for n in (*NS, "all"):
            use = pool if n == "all" else pool[:n]
            ability = place(router, e[use], s[use], outcomes.score[use, j], arm).mean
            z = router.shared_logit(x[test], np.array([ability]))[:, 0]
            loss[n].append(np.mean(np.logaddexp(0, z) - outcomes.score[test, j] * z))
    mean = {n: float(np.mean(v)) for n, v in loss.items()}
    for n, value in mean.items():
        print(f"n = {n}: log loss {value:.4f}, {(mean[0] - value) / (mean[0] - mean['all']):.0%} of the full gain")


if __name__ == "__main__":
    main()
