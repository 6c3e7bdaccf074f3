"""What refits are worth, and whether the gate keeps its word: python bench/refit.py PART ... [--seeds N].

PART is one of
  replay     OUTCOMES_DIR replayed as a live log: prompts in order, only the drawn arm's score revealed, weekly refits
  simulate   known truths: coverage of the estimators, power and error of the gate, a year of weekly refits
  whole      known truths: whole refits (fit and test) of 2,000 prompts, every arm's outcome known
  years      known truths: whole refits every week between arms that are equal
  scale      100,000 prompts x 10 arms, time and memory of one refit

OUTCOMES_DIR/eval is read: files that measure. They are replayed as if they were one user's log; nothing learnt from them is
shipped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated_log import cells_of_log, labelled, pool, trial

from scrimp.routing.learn.data.decisions import Pool, predict_in_parts
from scrimp.routing.learn.data.labelled import Labelled
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.judging.gate import judge_gain
from scrimp.routing.learn.judging.judge import Views, compare
from scrimp.routing.learn.judging.refit import refit
from scrimp.routing.learn.maths.offpolicy import (
    bootstrap,
    cell_scores,
    cross_fitted,
    mean_estimate,
    quantile_t,
    self_normalised,
)
from scrimp.routing.learn.maths.sequential import Look
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.in_force import SHIPPED, load_router


@dataclass(frozen=True)
class Setting:
    """A pool of arms over a file.

    `named`: the arms go by their models' names, which the shipped router knows; else they are strangers with a tier and
    a price, as models newer than the router are.
    """

    name: str
    file: str
    arms: tuple[tuple[str, str], ...]
    wtp_usd: float
    named: bool


FLASH, PRO, JAMBA, LLAMA = (
    "gemini-1.5-flash-002", "gemini-1.5-pro-002", "jamba-1.5-large", "Meta-Llama-3.1-8B-Instruct",
)  # fmt: skip
SETTINGS = (
    Setting("known models", "mmlu_pro_overlap", ((LLAMA, "small"), (FLASH, "medium"), (PRO, "large")), 0.01, named=True),
    Setting("strangers", "mmlu_pro_overlap", ((LLAMA, "small"), (PRO, "large")), 0.01, named=False),
    Setting("strangers, one dearer than good", "mmlu_pro_overlap", ((FLASH, "small"), (JAMBA, "large")), 0.01, named=False),
    Setting("GPT-4 and Mixtral", "routellm_mmlu", (("Mixtral-8x7B-Instruct-v0.1", "small"), ("gpt-4-1106-preview", "large")), 0.05, named=False),
)  # fmt: skip
PRICES = {  # USD per million tokens in and out, as the outcome files were priced (December 2024)
    FLASH: (0.075, 0.3), PRO: (3.5, 10.5), JAMBA: (2.0, 8.0), LLAMA: (0.05, 0.08),
    "Mixtral-8x7B-Instruct-v0.1": (0.7, 0.7), "gpt-4-1106-preview": (10.0, 30.0),
}  # fmt: skip


def embedded(prompts, cache):
    embedder = Embedder()
    key = hashlib.sha256("\0".join([embedder.id, *prompts]).encode("utf-8", "replace")).hexdigest()[:16]
    path = cache / f"{key}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, embedder.embed(prompts))
    return np.load(path)


def world(setting, folder, cache):
    """Return the whole truth as a log with every cell, and the pool."""
    names = [name for name, _ in setting.arms]
    outcomes = read_outcomes([folder / "eval" / f"{setting.file}.jsonl.gz"]).only(names)
    outcomes = outcomes.take(np.flatnonzero(~np.isnan(outcomes.score).any(axis=1)))
    prices = np.array([PRICES[name] for name in names])
    arms = tuple(
        ArmInfo(
            name=tier, model=f"x/{name}" if setting.named else f"x/stranger-{tier}", tier=tier,
            input_usd_per_mtok=float(price[0]), output_usd_per_mtok=float(price[1]), output_limit=4096,
        )
        for (name, tier), price in zip(setting.arms, prices, strict=True)
    )  # fmt: skip
    bench = Pool(arms, prices[:, 0] / 1e6, prices[:, 1] / 1e6, np.zeros(len(names)), wtp_usd=setting.wtp_usd)
    n_input = (
        np.nanmean(np.where(np.isnan(outcomes.input_tokens), np.nan, outcomes.input_tokens), axis=1)
        if not np.isnan(outcomes.input_tokens).all()
        else np.full(len(outcomes), np.nan)
    )
    n_input = np.where(np.isnan(n_input), [approx_tokens(prompt) for prompt in outcomes.prompts], n_input)
    cost = outcomes.cost_usd
    if np.isnan(cost).all():  # no tokens were published: what is planned with is charged
        shipped = load_router(SHIPPED, Path("/nonexistent"))
        x = embedded(outcomes.prompts, cache)
        cost = bench.costs(
            n_input, predict_in_parts(shipped, x, surface_matrix(outcomes.prompts), arms).output_tokens_p50
        )
    cost = np.where(np.isnan(cost), np.nanmean(cost, axis=0), cost)
    log = labelled(
        outcomes.score, embeddings=embedded(outcomes.prompts, cache), surface=surface_matrix(outcomes.prompts),
        arms=tuple(arm.name for arm in arms), input_tokens=n_input, output_tokens=outcomes.output_tokens, cost=cost,
        text_key=np.array([zlib.crc32(prompt.encode()) for prompt in outcomes.prompts]),
    )  # fmt: skip
    return log, bench


def hidden(log, chosen, chance, asked):
    """Return the log with only the drawn arms' cells, and all cells of the prompts that were audited."""
    rows = np.arange(len(log))

    def only(values):
        out = np.full(values.shape, np.nan)
        out[rows, chosen] = values[rows, chosen]
        out[asked] = values[asked]
        return out

    reward = only(log.judged)
    return Labelled(
        **{
            name: getattr(log, name)
            for name in ("arms", "ids", "position", "embeddings", "surface", "first_label", "last_label",
                         "input_tokens", "feasible", "text_key")
        },
        reward=reward, judged=reward, weight=np.where(np.isnan(reward), 0.0, 1.0), chance=chance, chosen=chosen,
        propensity=np.where(asked, np.nan, chance[rows, chosen]), output_tokens=only(log.output_tokens), cost_usd=only(log.cost_usd),
    )  # fmt: skip


def look_of(result):
    v = result.verdict
    return Look(v.information, v.alpha, v.spent, result.terms)


def live(truth, bench, shipped, *, epsilon, full, seed, refits=True, week=200, audits=0.0):
    """Live through the log week by week; return each prompt's utility and the verdicts.

    `epsilon` is the chance that another arm than the best is drawn (with `explore = 0.1` and two arms, scrimp's is 0.05).
    `audits` is the share of prompts on which the arms that were not drawn are asked as well (their cost is not counted).
    """
    rng = np.random.default_rng(seed)
    n, m = truth.judged.shape
    current, watermark = shipped, 0
    past: list[Look] = []
    chosen, chance = np.zeros(n, np.intp), np.zeros((n, m))
    asked = rng.random(n) < audits
    verdicts = []
    for start in range(0, n, week):
        rows = np.arange(start, min(start + week, n))
        part = truth.take(rows)
        seen = predict_in_parts(current, part.embeddings, part.surface, bench.arms)
        best = bench.decide(seen, part.input_tokens, part.feasible)
        pi = np.full((len(rows), m), epsilon / (m - 1))
        pi[np.arange(len(rows)), best] = 1.0 - epsilon
        chosen[rows] = (pi.cumsum(axis=1) > rng.random((len(rows), 1))).argmax(axis=1)
        chance[rows] = pi + (1.0 - pi) * audits
        if not refits or rows[-1] + 1 >= n:
            continue
        so_far = truth.take(np.arange(rows[-1] + 1))
        if not full:
            so_far = hidden(so_far, chosen[: len(so_far)], chance[: len(so_far)], asked[: len(so_far)])
        result = refit(so_far, shipped, current, bench, version=f"r{start // week + 1:04d}", past=past,
                       watermark=watermark, seed=seed)  # fmt: skip
        verdicts.append(result.verdict.word)
        if result.verdict.tested:
            past.append(look_of(result))
        if result.promoted:
            current, watermark, past = result.fitted.router, result.last_label, []
    rows = np.arange(n)
    return bench.wtp_usd * truth.judged[rows, chosen] - truth.cost_usd[rows, chosen], verdicts


NAMES = ("shipped", "weekly refits", "and 5% audited", "full information", "best single", "oracle")


def one_seed(truth, bench, order, seed, args):
    """Return the order of the rows, each router's utility on them, and how often which verdict was given."""
    shipped = load_router(SHIPPED, Path("/nonexistent"))
    rows = np.arange(len(truth)) if order == "file" else np.random.default_rng(seed).permutation(len(truth))
    log = truth.take(rows)
    log = labelled(log.judged, embeddings=log.embeddings, surface=log.surface, arms=log.arms, cost=log.cost_usd,
                   input_tokens=log.input_tokens, output_tokens=log.output_tokens, text_key=log.text_key)  # fmt: skip
    utility = bench.wtp_usd * log.judged - log.cost_usd
    found = {
        "best single": utility[:, utility.mean(axis=0).argmax()],
        "oracle": utility.max(axis=1),
        "shipped": live(log, bench, shipped, epsilon=args.epsilon, full=False, seed=seed, refits=False)[0],
    }
    counts: Counter = Counter()
    for name, full, audits in (
        ("weekly refits", False, 0.0),
        ("and 5% audited", False, 0.05),
        ("full information", True, 0.0),
    ):
        if name not in args.lives:
            continue
        found[name], verdicts = live(
            log, bench, shipped, epsilon=args.epsilon, full=full, seed=seed, week=args.week, audits=audits
        )
        counts.update((name, verdict) for verdict in verdicts)
    return rows, found, counts


def replay(args):
    for setting in SETTINGS if args.only is None else [SETTINGS[args.only]]:
        truth, bench = world(setting, args.outcomes, args.cache)
        bench = replace(bench, wtp_usd=args.wtp or setting.wtp_usd)
        n = len(truth)
        drawn = {}
        for order in args.orders:
            curves: dict[str, list] = {name: [] for name in NAMES}  # in the order lived through, per cent of the worth
            by_prompt: dict[str, list] = {name: [] for name in NAMES}
            counts: Counter = Counter()
            with ProcessPoolExecutor(args.jobs) as jobs:
                lives = list(
                    jobs.map(
                        one_seed,
                        *zip(
                            *((truth, bench, order, seed, args) for seed in range(args.first, args.first + args.seeds)),
                            strict=True,
                        ),
                    )
                )
            for rows, found, words in lives:
                counts.update(words)
                for name, earned in found.items():
                    values = 100 * earned / bench.wtp_usd
                    curves[name].append(values)
                    back = np.empty(n)
                    back[rows] = values
                    by_prompt[name].append(back)
            single = bench.names[int((bench.wtp_usd * truth.judged - truth.cost_usd).mean(axis=0).argmax())]
            print(f"\n{setting.name}: {setting.file}, n = {n}, a right answer worth ${bench.wtp_usd:g}, {order} order, epsilon "
                  f"{args.epsilon:g}, {args.seeds} seeds; utility in % of what a right answer is worth; best single: {single}")  # fmt: skip
            drawn[order] = {name: np.mean(values, axis=0) - np.mean(curves["shipped"], axis=0)
                            for name, values in curves.items() if values and name != "shipped"}  # fmt: skip
            quarters = np.array_split(np.arange(n), 4)
            rng = np.random.default_rng(0)
            for name in NAMES:
                if not curves[name]:
                    continue
                values = np.array(curves[name])
                each = " ".join(f"{values[:, q].mean():5.1f}" for q in quarters)
                gain = np.mean(by_prompt[name], axis=0) - np.mean(by_prompt["shipped"], axis=0)
                low, high = bootstrap(gain, rng=rng)
                last = (values - np.array(curves["shipped"]))[:, quarters[3]].mean()
                words = {
                    word: round(counts[name, word] / args.seeds, 1)
                    for word in ("promoted", "refused", "no-change")
                    if counts[name, word]
                }
                print(f"  {name:17s} {values.mean():5.1f}  by quarter {each}  over shipped {gain.mean():+5.1f} "
                      f"[{low:+.1f}, {high:+.1f}], last quarter {last:+5.1f}  {words or ''}", flush=True)  # fmt: skip
                each = (values - np.array(curves["shipped"])).mean(axis=1)
                if name in NAMES[1:4]:
                    print(f"  {'':17s} by seed {' '.join(f'{gain:+.1f}' for gain in each)}"
                          + (f", mean {each.mean():+.1f} +- {each.std(ddof=1) / len(each)**0.5 * quantile_t(0.025, len(each)):.1f}" if len(each) > 1 else ""),
                          flush=True)  # fmt: skip

        if args.curve is not None:
            draw(drawn, n, args)


def draw(gains, n, args):
    """Draw the gain over the shipped router, so far, as the log is lived through."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scrimp"})
    figure = Figure(figsize=(10.0, 4.0), layout="constrained")
    at = np.arange(args.week, n + 1, args.week)
    panels = figure.subplots(1, len(gains), sharey=True, squeeze=False)[0]
    for axes, (order, lines) in zip(panels, gains.items(), strict=True):
        for name, gain in lines.items():
            weekly = name.startswith("weekly")
            axes.plot(at, gain.cumsum()[at - 1] / n, label=name, linewidth=2.2 if weekly else 1.1)
        axes.axhline(0.0, color="grey", linewidth=0.8)
        axes.set_title(f"{order} order, {args.seeds} seeds")
        axes.set_xlabel("prompts")
    panels[0].set_ylabel("utility gained over the shipped router,\n% of a right answer's worth on the whole log")
    panels[0].legend(fontsize=8)
    FigureCanvasSVG(figure)
    figure.savefig(args.curve, metadata={"Date": None})


def simulate(args):
    rng = np.random.default_rng(0)
    n, m, runs = 800, 3, 500
    weights = np.array([[1, 0.5, 0], [0.2, -1, 0.5], [-0.5, 0.3, 1]])

    def draw():
        x = rng.normal(size=(n, 3))
        q = 1 / (1 + np.exp(-(0.8 * x @ weights.T + np.array([0.2, 0.6, 0.9]))))
        pi = np.full((n, m), 0.1)
        pi[np.arange(n), (x @ weights.T).argmax(axis=1)] += 0.7
        chosen = (pi.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        reward = (rng.random(n) < q[np.arange(n), chosen]).astype(float)
        target = np.zeros((n, m))
        target[np.arange(n), (x @ np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 1]])).argmax(axis=1)] = 1
        return x, q, pi, chosen, reward, target

    truth = np.mean([(s[5] * s[1]).sum(axis=1).mean() for s in (draw() for _ in range(2000))])
    hits: Counter = Counter()
    again = np.random.default_rng(1)
    for _ in range(runs):
        x, _, pi, chosen, reward, target = draw()
        p = pi[np.arange(n), chosen]
        cells, seen = cells_of_log(reward, chosen, p, m)
        model = cross_fitted(x, cells, rng=rng)
        ips, dr = (mean_estimate(cell_scores(target, cells, seen, q)[0]) for q in (np.zeros((n, m)), model))
        for name, e in (("IPS", ips), ("SNIPS", self_normalised(target, cells, seen, rng=again)), ("DR", dr)):
            hits[name] += int(e.low <= truth <= e.high)
    print(f"coverage of 95% intervals over {runs} runs (n = {n}, exploration 30%):",
          {name: hits[name] / runs for name in hits}, flush=True)  # fmt: skip
    bench = pool()

    def share(runs=args.runs, **kw):
        words: Counter = Counter()
        for _ in range(runs):
            log, views = trial(rng, **kw)
            words[judge_gain(compare(log, views, bench, rng=rng, details=False)).word] += 1
        return f"promoted in {words['promoted'] / runs:.1%} of {runs} runs"

    for gain in (0.05, 0.0, -0.02):
        for changed in (0.1, 0.2, 0.3):
            print(
                f"every arm's outcome, 500 judged, gain {gain:+.0%} on {changed:.0%} changed:",
                share(gain=gain, changed=changed),
                flush=True,
            )
    for near_tie in (True, False):
        for epsilon in (0.02, 0.05, 0.2):
            for gain in (0.05, 0.0, -0.02):
                print(f"drawn arm's outcome, 2,000 judged, epsilon {epsilon:.0%} {'among near ties' if near_tie else 'everywhere'}, gain {gain:+.0%}:",
                      share(n=2000, gain=gain, changed=0.3, epsilon=epsilon, near_tie=near_tie), flush=True)  # fmt: skip
    for words, naive in (("error spent as here", False), ("5% each week", True)):
        lucky = sum(lucky_year(rng, bench, naive=naive) for _ in range(args.years))
        print(f"52 weekly refits of equal routers, 100 fresh outcomes each, {words}: promoted by luck in {lucky / args.years:.1%} "
              f"of {args.years} years", flush=True)  # fmt: skip


def lucky_year(rng, bench, *, naive):
    """Return whether a year of weekly looks at a growing log promotes a router that is no better."""
    year, seen = trial(rng, n=5200, gain=0.0, changed=0.4)
    past: list[Look] = []
    for week in range(1, 53):
        n = 100 * week
        part = Views(
            *(each[:n] for each in (seen.current, seen.new, seen.current_quality, seen.new_quality, seen.cost_usd))
        )
        verdict = judge_gain(
            compare(year.take(np.arange(n)), part, bench, rng=rng, details=False), past=[] if naive else past
        )
        if verdict.word == "promoted":
            return True
        if verdict.tested:
            past.append(Look(verdict.information, verdict.alpha, verdict.spent))
    return False


STRANGERS = ("small", "large")


def strangers(rng, n, *, gap=None, cost=np.nan):
    """Return a log of two arms that the router does not know, and `(n, 2)` how good they truly are.

    They are right 7 times in 10 and alike in price; with a gap of up to `gap` in favour of the one or the other, by
    where a prompt lies.
    """
    w = load_router(SHIPPED, Path("/nonexistent")).weights
    base = w.landmarks[rng.integers(0, len(w.landmarks), n)]
    x = base + 0.5 * rng.normal(size=base.shape) / base.shape[1] ** 0.5
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    tilt = np.zeros(n)
    if gap is not None:
        side = (x - w.centre) @ rng.normal(size=x.shape[1])
        tilt = gap / 2 * np.tanh(2 * (side - side.mean()) / side.std())
    q = np.column_stack([0.7 + tilt, 0.7 - tilt])
    log = labelled((rng.random((n, 2)) < q).astype(float), embeddings=x, surface=np.tile(w.surface_mean, (n, 1)),
                   arms=STRANGERS, cost=np.full((n, 2), cost), output_tokens=np.full((n, 2), 100.0))  # fmt: skip
    return log, q


def pool_of_strangers():
    arms = tuple(ArmInfo(name=name, model=f"x/{name}", tier=name, output_limit=1000) for name in STRANGERS)
    return Pool(arms, np.full(2, 1e-6), np.full(2, 1e-6), np.zeros(2), wtp_usd=0.1)


def whole(args):
    """Two arms that the router does not know, alike in price; each is the better one on one half of the prompts."""
    rng = np.random.default_rng(0)
    n = 2000
    shipped, bench = load_router(SHIPPED, Path("/nonexistent")), pool_of_strangers()
    later = np.arange(n * 3 // 4, n)
    for gap in (0.0, 0.3, 0.4):
        words: Counter = Counter()
        gains, changes = [], []
        for run in range(args.runs):
            log, q = strangers(rng, n, gap=gap)
            result = refit(log, shipped, shipped, bench, version="r1", seed=run)
            words[result.verdict.word] += 1
            part = log.take(later)
            old, new = (
                bench.decide(
                    predict_in_parts(router, part.embeddings, part.surface, bench.arms),
                    part.input_tokens,
                    part.feasible,
                )
                for router in (shipped, result.fitted.router)
            )
            gains.append((q[later, new] - q[later, old]).mean())
            changes.append((new != old).mean())
        print(f"whole refits of 2,000 prompts, arms apart by up to {gap:.0%}: true gain {np.mean(gains):+.1%} on "
              f"{np.mean(changes):.0%} changed; promoted in {words['promoted']} of {args.runs} runs", flush=True)  # fmt: skip


def years(args):
    """Two arms that the router does not know, alike in price and in quality everywhere; refits every week, whole ones."""
    shipped, bench = load_router(SHIPPED, Path("/nonexistent")), pool_of_strangers()
    for audits, epsilon in ((1.0, 0.05), (0.0, 0.4)):
        lucky, words = 0, Counter()
        for year in range(args.runs):
            log, _ = strangers(np.random.default_rng(year), 52 * args.week, cost=1e-4)
            _, verdicts = live(
                log, bench, shipped, epsilon=epsilon, full=False, seed=year, week=args.week, audits=audits
            )
            words.update(verdicts)
            lucky += "promoted" in verdicts
        print(f"whole refits, 52 a year, {args.week} prompts each, equal arms, "
              f"{'both outcomes known' if audits else f'the other arm drawn on {epsilon:.0%}'}: promoted by luck in {lucky} of "
              f"{args.runs} years ({dict(words)})", flush=True)  # fmt: skip


def scale(_args):
    rng = np.random.default_rng(0)
    n, m = 100_000, 10
    shipped = load_router(SHIPPED, Path("/nonexistent"))
    dim = len(shipped.weights.centre)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    surface = shipped.weights.surface_mean + shipped.weights.surface_sd * rng.normal(
        size=(n, len(shipped.weights.surface_mean))
    )
    arms = tuple(ArmInfo(name=f"a{a}", model=f"x/a{a}", tier=("small", "medium", "large")[a % 3]) for a in range(m))
    bench = Pool(arms, np.full(m, 1e-6), np.linspace(1e-6, 1e-5, m), np.zeros(m), wtp_usd=0.1)
    q = 1 / (1 + np.exp(-(3 * x[:, :1] + np.linspace(-1, 1, m) + 4 * x[:, 1:2] * np.linspace(1, -1, m))))
    log = labelled((rng.random((n, m)) < q).astype(float), embeddings=x, surface=surface, arms=tuple(a.name for a in arms),
                   output_tokens=np.full((n, m), 200.0), cost=np.full((n, m), np.nan))  # fmt: skip
    for name, part in (
        ("every arm's outcome (1,000,000 cells)", log),
        (
            "the drawn arm's outcome (100,000 cells)",
            hidden(log, rng.integers(0, m, n), np.full((n, m), 0.1), np.zeros(n, bool)),
        ),
    ):
        begun, cpu = time.perf_counter(), time.process_time()
        result = refit(part, shipped, shipped, bench, version="r0001")
        print(f"{name}: {time.perf_counter() - begun:.1f} s, {time.process_time() - cpu:.1f} s of CPU, peak "
              f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB; {result.verdict.word}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["replay", "simulate", "whole", "years", "scale"])
    parser.add_argument("outcomes", type=Path, nargs="?")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/scrimp-embeddings"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--lives",
        nargs="+",
        default=NAMES[1:4],
        choices=NAMES[1:4],
        help="what is lived through, beside the shipped router",
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds lived through at a time")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--week", type=int, default=200, help="prompts a week")
    parser.add_argument("--wtp", type=float, help="USD a right answer is worth, in place of the settings' own")
    parser.add_argument("--only", type=int, help="one setting, by its number")
    parser.add_argument("--orders", nargs="+", default=["file", "shuffled"])
    parser.add_argument(
        "--curve", type=Path, help="draw the gain over the shipped router to this .svg (needs matplotlib)"
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--years", type=int, default=400)
    args = parser.parse_args()
    print(json.dumps({"command": " ".join(sys.argv[1:]).replace(str(args.outcomes), "OUTCOMES_DIR")}))
    {"replay": replay, "simulate": simulate, "whole": whole, "years": years, "scale": scale}[args.part](args)


if __name__ == "__main__":
    main()
