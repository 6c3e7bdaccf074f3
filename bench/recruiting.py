"""Measure recruiting: `@3 vote` by scrimp's own heads, on MMLU-Pro's stored answers.

    python bench/recruiting.py --data FOLDER [--fit 2000] [--test 2000] [--seeds 3]

FOLDER holds answers/mmlu_pro.jsonl.gz (docs/results-cascades.md says where it is from). Every model with scores on 85
rows of 100 is an arm; where it has no answer it is not recruited, and what asks it all the same has none of it. The
heads are those that `refit` fits (`learn/fitting/fit.py`), to 2,000 random rows from a router that knows nothing of
these models or prompts, or (`--by train`) those of `scrimp train` on the same rows; judged are 2,000 others. For each
prompt the three arms of greatest utility are recruited as `@3` recruits them, and their stored answers vote, weighted
by what was predicted of that prompt (`text.compare.vote`). Beside it stand the best single model, the best three, and
the category's best model, all chosen on the rows that were fitted on.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

from scrimp.profiles.paths import paths
from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.fit import fit
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.learn.measuring.evaluate import blank
from scrimp.routing.learn.measuring.simulated_plans import answer_codes
from scrimp.routing.plans.picks import recruit
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.in_force import SHIPPED, load_router
from scrimp.routing.text.compare import vote

WTP_USD = 1.0
"""What a right answer is worth, as under the preset `best`: costs here are a thousandth of that."""


def voted(score, codes, quality, members):
    """Return the score of what some models vote for on one row; 0 where none of them answered."""
    numbers = [None if codes[j] < 0 else int(codes[j]) for j in members]
    won = vote(numbers, [float(quality[j]) for j in members])
    return 0.0 if won is None else float(score[members[won]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", type=int, default=2_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--by", choices=("refit", "train"), default="refit", help="Whose heads: what fits them.")
    given = parser.parse_args()
    file = given.data / "answers" / "mmlu_pro.jsonl.gz"
    if not file.exists():
        print(f"skipped: {file} is not here", file=sys.stderr)
        return 0
    every = read_outcomes([file])
    share = (~np.isnan(every.score)).mean(axis=0)
    every = every.only([model for model, there in zip(every.models, share, strict=True) if there >= 0.85])
    names = list(every.models)
    where = paths()
    embedder = VectorCache(Embedder(cache_dir=where.cache), where.vectors)
    router = load_router(SHIPPED, where.routers, embedder_id=embedder.id)
    print(f"{len(every)} rows, {len(names)} models", file=sys.stderr)
    for seed in range(given.seeds):
        order = np.random.default_rng(seed).permutation(len(every))
        known, new = order[: given.fit], order[given.fit : given.fit + given.test]
        fitted, test = every.take(known), every.take(new)
        vectors = [embedder.embed(part.prompts) for part in (fitted, test)]  # minutes
        arms = [ArmInfo(name=name, model=name, output_limit=100_000) for name in names]
        if given.by == "train":
            learnt = train(fitted, embedder.embed, embedder.id, version="bench", seed=seed)
        else:
            log = of_scores(names, fitted.score, vectors[0], surface_matrix(fitted.prompts))
            learnt = fit(blank(router), arms, log, version="bench", seed=seed).router
        quality = learnt.predict(vectors[1], surface_matrix(test.prompts), arms).quality
        cost = np.nan_to_num(np.nanmean(fitted.cost_usd, axis=0))
        codes, scores = answer_codes(test, names), np.nan_to_num(test.score)  # what was not answered is not right
        mean = np.nanmean(fitted.score, axis=0)
        best = int(mean.argmax())
        fit_codes = answer_codes(fitted, names)
        leading = np.argsort(-mean)[:7].tolist()
        trio = max(
            itertools.combinations(leading, 3),
            key=lambda members: sum(
                voted(np.nan_to_num(fitted.score[i]), fit_codes[i], mean, members) for i in range(len(fitted))
            ),
        )
        by_category = {
            category: int(np.nanmean(fitted.score[[c == category for c in fitted.categories]], axis=0).argmax())
            for category in {*fitted.categories}
        }
        found: dict[str, list[float]] = {}
        recruited: dict[str, int] = {}
        nano = {name: round(1e9 * usd) for name, usd in zip(names, cost, strict=True)}
        for i in range(len(test)):
            able = [j for j in range(len(names)) if codes[i, j] >= 0]  # an arm that cannot take a prompt is no choice
            worth = {names[j]: WTP_USD * float(quality[i, j]) - float(cost[j]) for j in able}

            def pick(text, worth=worth, nano=nano):
                plan, _ = recruit(Plan((Stage((text,), None, "vote"),)), worth, nano)
                return [names.index(arm) for arm in plan.arms]

            three = pick("@3")
            for j in three:
                recruited[names[j]] = recruited.get(names[j], 0) + 1
            row = scores[i], codes[i]
            for name, value in {
                "best single model": scores[i, best],
                "best three, fixed": voted(*row, mean, trio),
                "best three by majority": voted(*row, np.full(len(names), 0.5), trio),
                "best model of the category": scores[i, by_category.get(test.categories[i], best)],
                "best model by the heads": scores[i, names.index(max(worth, key=worth.__getitem__))],
                "@3 vote": voted(*row, quality[i], three),
                "@5 vote": voted(*row, quality[i], pick("@5")),
                "all vote": voted(*row, quality[i], list(range(len(names)))),
            }.items():
                found.setdefault(name, []).append(float(value))
        error = np.std(np.array(found["@3 vote"]) - np.array(found["best three, fixed"])) / len(test) ** 0.5
        print(f"seed {seed}: best single {names[best]}, fixed three {', '.join(names[j] for j in trio)}")
        for name, values in found.items():
            print(f"  {name:28} {np.mean(values):.4f}")
        gain = np.mean(found["@3 vote"]) - np.mean(found["best three, fixed"])
        print(f"  @3 above the fixed three: {gain:+.4f}, 95% {gain - 1.96 * error:+.4f} to {gain + 1.96 * error:+.4f}")
        often = sorted(recruited.items(), key=lambda each: -each[1])[:6]
        print("  recruited: " + ", ".join(f"{name} {n / len(test):.0%}" for name, n in often), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
