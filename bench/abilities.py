"""Place models on one scale of ability: python bench/abilities.py CELLS.csv.gz [--outcomes DIR] [-o FILE] [--quick].

Fits the scale to the cells, then what places models without scores. Prints: how models' abilities rank them on outcome files that
the fit never saw (Spearman; beside price), the newest models predicted from earlier ones, and the error on cells held out.
With -o, writes the table that ships (routing/weights/abilities.json). Prices are those of the installed litellm.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from scrimp.profiles.schema import Arm
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.ability_places import Facts, fit_places, prior_mean, rolled
from scrimp.routing.learn.fitting.ability_scale import fit_scale, read_cells, usable
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.router.abilities import SCHEMA, AbilityTable, Known, version_year
from scrimp.routing.router.model_names import parse_name

ANCHOR = "gpt-4o-mini"
SAME = {
    "livecodebench": "livecodebench",
    "lineage_bench": "lineage",
    "mmlu_pro": "mmlu-pro",
    "m_ifeval": "ifeval",
    "zeroeval": "math-level-5|llm-stats/math|crux",
}
"""Benchmarks that are left out of the fit when it is held against an outcome file of the same questions."""

UNIT_PRIOR = 3.0  # the scale's unit is drawn to that of the benchmarks as by so many sources
NEWEST = 30
SURE_ALONE = 0.3
SURE = 0.45  # models known less well than this (sd) test nothing


def price_of(table, name):
    """USD per million output tokens, or None."""
    try:
        price = table.price(Arm(name="x", model=name))
    except Exception:
        return None
    return None if price is None else price.output_usd_per_mtok


def facts_of(cells, table):
    """What is known of each model besides its scores."""
    released, priced, thinks = {}, {}, {}
    for cell in cells:
        if cell.released is not None:
            released[cell.model] = min(cell.released, released.get(cell.model, 9999.0))
        if cell.priced_as:
            priced.setdefault(cell.model, cell.priced_as)
    for model in {cell.model for cell in cells}:
        names = [priced[model]] if model in priced else [model, f"xai/{model}", f"mistral/{model}"]
        found = [price for name in names if (price := price_of(table, name))]
        flags = [table.model_info(Arm(name="x", model=name)).capabilities for name in names]
        thinks[model] = any("reasoning" in each for each in flags) or parse_name(model).thinks
        priced[model] = found[0] if found else None
    for model in thinks:
        if (month := re.search(r"-(2[3-6])(0[1-9]|1[0-2])$", model)) is not None:  # as Mistral dates its models
            released[model] = 2000 + int(month[1]) + (int(month[2]) - 0.5) / 12
    makers = {}
    for model, year in released.items():
        makers.setdefault(parse_name(model).maker, {})[model] = year
    for model in set(thinks) - set(released):
        if (name := parse_name(model)).maker:
            released[model] = version_year(name, makers.get(name.maker, {}))
    return {model: Facts(released.get(model), priced[model], thinks[model]) for model in thinks}


def fit(cells, facts):
    """The scale of cells, anchored: its abilities as rows of a table."""
    return fit_scale(cells, prior_mean(facts))


def rows_of(scale, facts, unit=1.0, zero=None):
    zero = scale.theta[scale.models.index(ANCHOR)] if zero is None else zero
    return {
        model: Known(
            float((scale.theta[j] - zero) * unit),
            float(scale.sd[j] * unit),
            facts[model].released,
            int(scale.n_benchmarks[j]),
            facts[model].price,
            facts[model].thinks,
        )
        for j, model in enumerate(scale.models)
    }


def table_of(rows, scale, places, cells, unit=1.0):
    """The table as JSON data."""
    makers = {}
    for key, row in sorted(rows.items()):
        makers.setdefault(parse_name(key).maker, {})[key] = [
            round(row.ability, 3),
            round(row.sd, 3),
            None if row.released is None else round(row.released, 2),
            row.n,
            None if row.price is None else round(row.price, 3),
            int(row.thinks),
        ]
    counts = Counter((cell.source, cell.licence) for cell in cells)
    sources = []
    for (source, licence), n in sorted(counts.items()):
        repository, _, commit = source.partition("@")
        sources.append({"repository": repository, "commit": commit.split(" ")[0], "licence": licence, "cells": n})
    return {
        "schema_version": SCHEMA,
        "scale": f"logits beside {ANCHOR}; one is about a logit of P(right) on a middling public benchmark",
        "sources": sources,
        "efforts": {effort: round(value * unit, 3) for effort, value in scale.offset.items()},
        "place": {
            "coefficients": {key: round(value, 4) for key, value in sorted(places.coefficients.items())},
            "weight": {key: round(value, 3) for key, value in places.weight.items()},
            "sd": {key: round(value, 3) for key, value in places.sd.items()},
            "newest": round(places.newest, 2),
        },
        "models": {maker: dict(sorted(models.items())) for maker, models in sorted(makers.items())},
    }


def abilities_on(outcomes):
    """Each model's mean score on an outcome file, where not all tried the same prompts: from a two-way additive fit; its mean cell count."""
    score = outcomes.score
    there = ~np.isnan(score)
    filled = np.nan_to_num(score)
    model = np.zeros(score.shape[1])
    for _ in range(100):
        prompt = ((filled - model) * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        model = ((filled - prompt[:, None]) * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        model -= model.mean()
    return np.clip(model + prompt.mean(), 0.01, 0.99)


def named(model):
    """An outcome file's name for a model, as others write it."""
    name = re.sub(r"@(?:together|hyperbolic|sambanova)$", "", model)
    return re.sub(r"-Inst(?=$|-fp8)", "-Instruct", name)


def listed_price(placer, facts, table, model):
    """USD per million output tokens of an outcome file's model, under its name or that of the leaderboards; NaN where unknown."""
    found = price_of(table, model)
    if found is None and (known := placer.known(model)) is not None:
        found = facts[known[0]].price
    return np.nan if found is None else found


def against_outcomes(cells, facts, folder, table):
    """By outcome file: Spearman of ability (table only; all models placed) and of price, number of models, slope of the logit."""
    found = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        source = path.name.removesuffix(".jsonl.gz")
        outcomes = read_outcomes([path])
        mine = [c for c in cells if source not in SAME or not re.search(SAME[source], c.benchmark)]
        scale = fit(usable(mine), facts)
        rows = rows_of(scale, facts)
        placer = AbilityTable(table_of(rows, scale, fit_places(rows), mine), "fitted")
        level = abilities_on(outcomes)
        prices = np.array([listed_price(placer, facts, table, named(m)) for m in outcomes.models])
        known = np.array([placer.known(named(m)) is not None for m in outcomes.models])
        ability = np.array(
            [
                placer.place(named(m), output_usd_per_mtok=None if np.isnan(p) else p).ability
                for m, p in zip(outcomes.models, prices, strict=True)
            ]
        )
        logit = np.log(level / (1 - level))
        priced = known & ~np.isnan(prices)
        found[source] = {
            "n": int(known.sum()),
            "spearman": float(spearmanr(ability[known], level[known])[0]),
            "n_all": len(known),
            "spearman_all": float(spearmanr(ability, level)[0]),
            "n_priced": int(priced.sum()),
            "price": float(spearmanr(prices[priced], level[priced])[0]) if priced.sum() > 4 else float("nan"),
            "ability_there": float(spearmanr(ability[priced], level[priced])[0]) if priced.sum() > 4 else float("nan"),
            "spread": float(
                np.std(logit[known] - np.polyval(np.polyfit(ability[known], logit[known], 1), ability[known]), ddof=2)
            ),
            "slope": float(np.polyfit(ability[known], logit[known], 1)[0]),
        }
    return found


def newest_left_out(cells, facts):
    """The newest models that two sources or more know, predicted by a fit without any model as new.

    Of each: model, basis, predicted, its sd, fitted with all cells, its sd, by its own cells alone (no prior).
    """
    scale = fit(cells, facts)
    rows = rows_of(scale, facts)
    alone = fit_scale(cells)
    own = dict(zip(alone.models, alone.own, strict=True))
    own_sd = dict(zip(alone.models, alone.sd, strict=True))
    sources = defaultdict(set)
    for cell in cells:
        sources[cell.model].add(cell.source)
    dated = [m for m, row in rows.items() if row.released is not None and row.sd < SURE and len(sources[m]) > 1]
    left = sorted(dated, key=lambda m: rows[m].released)[-NEWEST:]
    cut = rows[left[0]].released
    earlier = [c for c in cells if c.model not in left and (facts[c.model].released or 0.0) < cut]
    past_scale = fit(earlier, facts)
    past = rows_of(past_scale, facts)
    places = fit_places(past)
    placer = AbilityTable(table_of(past, past_scale, places, earlier), "earlier")
    # one scale for both fits, by the models in both
    both = [m for m in past if past[m].sd < SURE]
    slope, level = np.polyfit([rows[m].ability for m in both], [past[m].ability for m in both], 1)
    sure = [m for m in both if own_sd[m] < SURE_ALONE]
    slope_own, level_own = np.polyfit([own[m] for m in sure], [past[m].ability for m in sure], 1)
    found = []
    for model in left:
        if placer.known(model) is None:
            placed = placer.place(model, output_usd_per_mtok=facts[model].price, reasoning=facts[model].thinks)
            fitted, alone_there = rows[model].ability * slope + level, own[model] * slope_own + level_own
            found.append((model, placed.basis, placed.ability, placed.sd, fitted, rows[model].sd * slope, alone_there))
    return cut, found


def held_out_cells(cells, facts, folds=5):
    """Root mean square error on cells held out: of the score, by the scale and by the benchmark's mean."""
    rng = np.random.default_rng(0)
    fold = rng.integers(folds, size=len(cells))
    errors, plain = [], []
    for k in range(folds):
        seen = [cell for cell, f in zip(cells, fold, strict=True) if f != k]
        scale = fit(seen, facts)
        models, benchmarks = set(scale.models), set(scale.benchmarks)
        means = {b: np.mean([c.score for c in seen if c.benchmark == b]) for b in benchmarks}
        for cell, f in zip(cells, fold, strict=True):
            if f == k and cell.model in models and cell.benchmark in benchmarks:
                errors.append(scale.predict(cell.model, cell.effort, cell.benchmark) - cell.score)
                plain.append(means[cell.benchmark] - cell.score)
    return tuple(float(np.sqrt(np.mean(np.square(e)))) for e in (errors, plain))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=Path)
    parser.add_argument("--outcomes", type=Path, help="the folder of outcome files, for ranks and the unit")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    table = PriceTable.load()
    every = read_cells(args.cells)
    cells = usable(every)
    facts = facts_of(every, table)
    scale = fit(cells, facts)
    print(f"{len(cells):,} cells of {len(scale.models)} models on {len(scale.benchmarks)} benchmarks")
    print(
        "efforts:",
        {k: round(v, 2) for k, v in scale.offset.items()},
        " sources' own error:",
        {k.partition("/")[0]: round(v, 2) for k, v in scale.source_sd.items()},
    )
    unit = 1.0
    if args.outcomes:
        found = against_outcomes(every, facts, args.outcomes, table)
        print(
            "\n| outcome file | models known | Spearman | all models placed | Spearman | priced | by price | by ability there | slope | sd around it |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        for source, row in found.items():
            print(
                f"| {source} | {row['n']} | {row['spearman']:.2f} | {row['n_all']} | {row['spearman_all']:.2f} | {row['n_priced']} | {row['price']:.2f} | {row['ability_there']:.2f} | {row['slope']:.2f} | {row['spread']:.2f} |"
            )
        for key in ("spearman", "spearman_all", "price", "ability_there"):
            print(f"mean {key}: {np.nanmean([row[key] for row in found.values()]):.3f}")
        slopes = [row["slope"] for row in found.values()]
        unit = (sum(slopes) + UNIT_PRIOR) / (len(slopes) + UNIT_PRIOR)
        print(f"unit: {unit:.3f}")
    cut, rows = newest_left_out(cells, facts)
    predicted, sd = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    print(f"\nnewest {len(rows)} (from {cut:.2f}) by what came before")
    for words, truth in (
        ("fitted", np.array([row[4] for row in rows])),
        ("by own cells alone", np.array([row[6] for row in rows])),
    ):
        error = predicted - truth
        print(
            f"against {words}: Spearman {spearmanr(predicted, truth)[0]:.2f}, RMSE {np.sqrt(np.mean(error**2)):.2f}, "
            f"bias {error.mean():+.2f}, in the 80% interval {100 * np.mean(np.abs(error) <= 1.2816 * sd):.0f}%"
        )
    for model, basis, ability, sd, fitted, own_sd, alone in rows:
        print(
            f"  {model:36s} {ability:5.2f} ±{sd:.2f}  fitted {fitted:5.2f} ±{own_sd:.2f}  alone {alone:5.2f}  {basis}"
        )
    print("cells held out, RMSE of the score: {:.3f} (benchmark's mean: {:.3f})".format(*held_out_cells(cells, facts)))
    known = rows_of(scale, facts, unit)
    places = fit_places(known)
    print("\nplaces:", places.weight, places.sd, places.newest)
    print({k: round(v, 2) for k, v in places.coefficients.items()})
    print(Counter(expected.kind for expected, _ in rolled(known)))
    if args.output:
        data = table_of(known, scale, places, cells, unit)
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        args.output.write_text(re.sub(r'("[^"]*":\[)', r"\n\1", text) + "\n")


if __name__ == "__main__":
    main()
