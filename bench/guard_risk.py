"""What `guard.risky` would have kept from being answered wrongly: python bench/guard_risk.py --data OUTCOMES_DIR.

Prompts of MMLU-Pro with the answers of 15 models (eval/mmlu_pro_overlap.jsonl.gz: the shipped router was never trained on them, though
it was on other questions of MMLU-Pro and other answers of the same models). Each model is taken as the one arm of a profile; the 20%
of prompts on which its predicted quality is lowest are not asked. Printed is the share of its wrong answers that are among them, where
20% drawn by lot would hold 20% of them; the mean over models with its bootstrap interval (prompts drawn anew), and the AUROC of
predicted quality for wrong answers. With --own also what comes of it after outcomes of one's own: a refit on train/mmlu_pro.jsonl.gz.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

SHARE = 0.2
DRAWS = 500
TARGET = ">= 24% (by lot 20%)"
BELOW = (0.25, 0.35, 0.5)


def avoided(quality, score, share=SHARE):
    """Return the share of wrong answers that are not asked for; `(n,)` predicted qualities and scores, NaN: not tried."""
    tried = ~np.isnan(score)
    quality, wrong = quality[tried], 1.0 - score[tried]
    held = np.argsort(quality, kind="stable")[: round(share * len(quality))]
    return float(wrong[held].sum() / wrong.sum())


def auroc(quality, score):
    """Return P(a wrong answer's predicted quality is below a right one's), ties counting half."""
    tried = ~np.isnan(score)
    quality, wrong = quality[tried], score[tried] < 0.5
    _, at = np.unique(quality, return_inverse=True)
    bad, good = np.bincount(at, wrong), np.bincount(at, ~wrong)
    above = good.sum() - np.cumsum(good)
    return float(bad @ (above + good / 2) / (bad.sum() * good.sum()))


def over_models(quality, score, measure):
    """Return a measure of each model, from `(n, m)` predicted qualities and scores."""
    return np.array([measure(quality[:, j], score[:, j]) for j in range(score.shape[1])])


def interval(quality, score, draws=DRAWS):
    """Return the 95% bootstrap interval of the mean share avoided: prompts are drawn anew, for all models together."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(draws):
        rows = rng.integers(0, len(score), len(score))
        means.append(over_models(quality[rows], score[rows], avoided).mean())
    return tuple(np.quantile(means, (0.025, 0.975)))


def held_back(quality, score, below):
    """Return which share of answers `risk_below` holds back, and how many of these and of the others are wrong."""
    tried = ~np.isnan(score)
    held = tried & (quality < below)
    kept = tried & ~held
    wrong = 1.0 - score
    return held.sum() / tried.sum(), np.nan if not held.any() else wrong[held].mean(), wrong[kept].mean()


def read(path, embed):
    from scrimp.routing.learn.data.outcomes import read_outcomes
    from scrimp.routing.prompts.surface import surface_matrix

    outcomes = read_outcomes([path])
    return outcomes, embed(outcomes.prompts), surface_matrix(outcomes.prompts)


def told(what, quality, score):
    share, auc = over_models(quality, score, avoided), over_models(quality, score, auroc)
    low, high = interval(quality, score)
    most = np.minimum(SHARE / (1.0 - np.nanmean(score, axis=0)), 1.0)
    got = (
        f"{share.mean():.1%} (95%: {low:.1%} to {high:.1%}); by model {share.min():.1%} to {share.max():.1%}, where knowing all would "
        f"avoid {most.mean():.0%}; AUROC {auc.mean():.3f} ({auc.min():.3f} to {auc.max():.3f})"
    )
    return what, TARGET, got


def rows(data: Path | None, *, own: bool = False, embeddings: Path | None = None) -> list[tuple[str, str, str]]:
    """Return what was measured, what it should be, and what it came to."""
    what = "wrong answers avoided by not asking the riskiest 20%, MMLU-Pro"
    if data is None:
        return [(what, TARGET, "not measured: needs --data OUTCOMES_DIR")]
    from scrimp.routing.prompts.embedding import Embedder
    from scrimp.routing.prompts.vector_cache import VectorCache
    from scrimp.routing.router.arms import ArmInfo
    from scrimp.routing.router.folder import read_router
    from scrimp.routing.router.in_force import shipped_folder

    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder()
        embed = VectorCache(embedder, embeddings or Path(folder)).embed
        outcomes, vectors, surface = read(data / "eval" / "mmlu_pro_overlap.jsonl.gz", embed)
        router, score = read_router(shipped_folder()), outcomes.score
        infos = [ArmInfo(name=model, model=model) for model in outcomes.models]
        quality = router.predict(vectors, surface, infos).quality
        of = f"{len(outcomes):,} prompts, {len(infos)} models"
        found = [told(f"{what} ({of})", quality, score)]
        if own:
            from scrimp.routing.learn.data.labelled import of_scores
            from scrimp.routing.learn.fitting.fit import fit

            train, train_vectors, train_surface = read(data / "train" / "mmlu_pro.jsonl.gz", embed)
            log = of_scores(outcomes.models, train.only(outcomes.models).score, train_vectors, train_surface)
            fitted = fit(router, infos, log, version="own").router.predict(vectors, surface, infos).quality
            found.append(told(f"the same, after {len(train):,} prompts with outcomes of one's own", fitted, score))
        for below in BELOW:
            held, wrong, rest = held_back(quality, score, below)
            by_model = np.array([held_back(quality[:, j], score[:, j], below)[0] for j in range(score.shape[1])])
            spread = f"by model {by_model.min():.0%} to {by_model.max():.0%}"
            got = f"{held:.0%} of answers held back ({spread}), {wrong:.0%} of them wrong; {rest:.0%} of the others"
            found.append((f"risk_below = {below:g}, all models together", "-", got))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that holds eval/ and train/")
    parser.add_argument("--own", action="store_true", help="also after a refit on other questions of the same kind")
    parser.add_argument("--embeddings", type=Path, help="keeps embeddings from one run to the next")
    args = parser.parse_args()
    for row in rows(args.data, own=args.own, embeddings=args.embeddings):
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
