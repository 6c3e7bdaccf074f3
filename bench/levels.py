"""How well two judgements agree, and what a judged level tells of outcomes: python bench/levels.py OUTCOMES_DIR.

Prints Cohen's kappa with quadratic weights of the two judgements of each prompt (everyday ones, and public ones); then, of the public
ones, whether within a source the prompts judged easier are those answered right more often: the AUC of the level against right and
wrong, models of like ability taken together (weak below 0, able above 1, in logits beside gpt-4o-mini's). The judges saw no scores.
The last row is the mean over sources, each by its number of prompts, with its standard error by drawing prompts anew within sources.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from train_shipped import FILES, JUDGED_OUTCOMES, judged_prompts

from scrimp.routing.learn.data.judged import everyday_folder, weighted_kappa
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.router.folder import read_router
from scrimp.routing.router.in_force import shipped_folder

ASIDE = Path(__file__).with_name("everyday")
BANDS = {"weak": (-np.inf, 0.0), "middling": (0.0, 1.0), "able": (1.0, np.inf), "all": (-np.inf, np.inf)}
DRAWS = 500
LEAST = 20.0
"""A band with fewer answers right, or wrong, says nothing of a source."""


def agreement(files):
    """Return n, kappa, and the shares of prompts on which both judgements are the same and within one level."""
    first, second = np.array([json.loads(line)["levels"] for path in files for line in path.open()]).T
    apart = np.abs(first - second)
    return len(first), weighted_kappa(first, second), float((apart == 0).mean()), float((apart <= 1).mean())


def auc(level, right, wrong):
    """Return P(a right answer's prompt has the lower level), ties counting half; NaN where there are too few of either.

    `right` and `wrong` are `(n,)` numbers of answers to each prompt; a score of 0.3 is 0.3 of a right one.
    """
    if right.sum() < LEAST or wrong.sum() < LEAST:
        return np.nan
    _, at = np.unique(level, return_inverse=True)
    r, w = np.bincount(at, right), np.bincount(at, wrong)
    above = w.sum() - np.cumsum(w)
    return float(r @ (above + w / 2) / (r.sum() * w.sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    args = parser.parse_args()
    own = sorted(everyday_folder().glob("*.jsonl")) + sorted(ASIDE.glob("*.jsonl"))
    kinds = {path.stem: agreement([path])[1] for path in own}
    for name, files in {"everyday": own, "public": [JUDGED_OUTCOMES]}.items():
        n, kappa, same, near = agreement(files)
        print(f"{name}: {n:,} prompts, kappa {kappa:.3f}, same level {same:.1%}, within one {near:.1%}")
    print(f"kappa by kind: {min(kinds.values()):.3f} to {max(kinds.values()):.3f}\n")

    outcomes = read_outcomes([args.outcomes / "train" / f"{name}.jsonl.gz" for name in FILES])
    judged, _ = judged_prompts(outcomes)
    row = {name: i for i, name in enumerate(outcomes.ids)}
    public = np.array([name in row for name in judged.ids])
    score = outcomes.score[[row[name] for name in judged.ids if name in row]]
    level = judged.levels[public]
    source = np.array([kind.removeprefix("public/") for kind in judged.kinds])[public]
    router = read_router(shipped_folder())
    known = [router.known(name) for name in outcomes.models]
    ability = np.array([np.nan if j is None else router.weights.ability[j] for j in known])
    counts = {}
    for band, (low, high) in BANDS.items():
        part = score[:, (ability >= low) & (ability < high)]
        counts[band] = np.nansum(part, axis=1), np.nansum(1.0 - part, axis=1)

    rng = np.random.default_rng(0)
    rows_of = {name: np.flatnonzero(source == name) for name in sorted(set(source))}
    print("| source | prompts | mean level | " + " | ".join(BANDS) + " |\n|---|---|---|" + "---|" * len(BANDS))
    found = {}
    for name, rows in sorted(rows_of.items(), key=lambda item: -len(item[1])):
        found[name] = [auc(level[rows], right[rows], wrong[rows]) for right, wrong in counts.values()]
        cells = " | ".join("" if np.isnan(value) else f"{value:.2f}" for value in found[name])
        print(f"| {name} | {len(rows)} | {level[rows].mean():.1f} | {cells} |")

    cells = []
    for k, (right, wrong) in enumerate(counts.values()):
        there = [name for name in rows_of if not np.isnan(found[name][k])]
        weight = np.array([len(rows_of[name]) for name in there])
        mean = weight @ [found[name][k] for name in there] / weight.sum()
        drawn = np.empty((DRAWS, len(there)))
        for j, name in enumerate(there):
            for d in range(DRAWS):
                rows = rng.choice(rows_of[name], len(rows_of[name]))
                drawn[d, j] = auc(level[rows], right[rows], wrong[rows])
        sd = float(np.std(np.nansum(drawn * weight, axis=1) / (~np.isnan(drawn) @ weight)))
        cells.append(f"{mean:.2f} +- {sd:.2f} ({len(there)} sources)")
    print(f"| mean | {len(level):,} | {level.mean():.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
