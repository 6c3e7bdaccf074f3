"""Hints in worlds of known truth, and how near a line about a kind is to its prompts: python bench/hints.py PART.

PART is one of
  near     everyday prompts and one line about each kind: how often the nearest line is that of the prompt's own kind
  right    one hint helps by 10 points, one harms by 10: where the coin stands after n labels of each
  wrong    hints that change nothing: how many users are ever told that one helps or harms
  turn     a hint that helps from some similarity on, and harms below: where the threshold comes to lie
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated_hints import weekly

from scrimp.routing.asking.hinting import START
from scrimp.routing.asking.stock import embedder

ROOT = Path(__file__).parent.parent

ABOUT = {
    "business": "business e-mails, meetings and plans",
    "classification": "sort a text into one of given classes, such as spam or sentiment",
    "code": "write a program or function",
    "data": "statistics and analysis of data and spreadsheets",
    "debugging": "find and fix what is wrong in a piece of code",
    "extraction": "take names, dates and other facts out of a text",
    "finance": "money, interest, loans and investments",
    "history": "events and people of history",
    "law": "questions of law, courts and contracts",
    "logs": "say what an error message or a line of a log means",
    "mathematics": "solve equations and prove theorems",
    "rewriting": "rewrite a text: spelling, tone, politeness",
    "science": "questions of physics, chemistry and biology",
    "shell": "shell and git commands on the command line",
    "summaries": "summarise a text in a sentence or headline",
    "sums": "sums and unit conversions",
    "systems": "networks, servers and operating systems",
    "translation": "translate a sentence into another language",
    "writing": "write a poem, a story or a slogan",
    "medicine": "questions of health, medicine and the body",
    "planning": "plan a schedule, dates and days",
    "sql": "write an SQL query",
}
"""A line about most kinds of everyday prompts; of the others (chat, facts, formats ...) nobody wrote a hint."""


def near() -> None:
    """Print, by cosine, how many prompts have a hint that near, and how often it is the right one."""
    files = [*(ROOT / "routing/weights/everyday").glob("*.jsonl"), *(ROOT / "bench/everyday").glob("*.jsonl")]
    rows = [json.loads(line) for file in sorted(files) for line in file.open()][::4]
    embed = embedder("builtin", Path()).embed
    cosine = embed([row["prompt"] for row in rows]) @ embed(list(ABOUT.values())).T
    names = np.array(list(ABOUT))
    top, mine = cosine.max(axis=1), np.array([row["kind"] for row in rows])
    right, known = names[cosine.argmax(axis=1)] == mine, np.isin(mine, names)
    print(f"{len(rows)} prompts, {known.sum()} of them of the {len(ABOUT)} kinds with a line")
    for least in (-1.0, 0.2, 0.3, 0.35, START, 0.45):
        over = top >= least
        print(
            f"cosine {max(least, 0):.2f}: {over.mean():4.0%} of prompts, {right[over].mean():4.0%} of these by the right line; "
            f"of the {(~known).sum()} without a line {over[~known].mean():4.0%}"
        )


def right(n: int) -> None:
    """Print after how many labels of each hint how often the gate has shown what it does, and where the coin stands."""
    rng = np.random.default_rng(0)
    shown, chance = [], []
    for _ in range(n):
        said = weekly(rng, {"good@1": 0.1, "bad@1": -0.1}, n_weeks=16, each_week=500)
        kinds = [(found["kinds"]["good@1"], found["kinds"]["bad@1"]) for found in said]
        shown.append([(good["verdict"] == "helps", bad["verdict"] == "harms") for good, bad in kinds])
        chance.append([(good["chance"], 1.0 - bad["chance"]) for good, bad in kinds])
    for week, (told, stands) in enumerate(zip(np.mean(shown, (0, 2)), np.mean(chance, (0, 2)), strict=True), 1):
        if week in (1, 2, 4, 6, 8, 12, 16):
            print(f"{250 * week:5,} labels of each: shown {told:4.0%}, right side of the coin {stands:.2f} on average")


def wrong(n: int) -> None:
    """Print how many users are told of an effect that is none, with three hints and a refit after every 60 labels."""
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(n):
        said = weekly(rng, {"a@1": 0.0, "b@1": 0.0, "c@1": 0.0}, n_weeks=25, each_week=60)
        tests = [each for found in said for each in (found["overall"], *found["kinds"].values())]
        told += any(each["verdict"] != "open" for each in tests)
    print(f"told of an effect that is none: {told} of {n} users ({told / n:.1%}), 1,500 labels and 25 refits each")


def turn(n: int) -> None:
    """Print where the threshold comes to lie for hints that help beyond some cosine and harm below it."""
    rng = np.random.default_rng(2)
    for at in (0.3, START, 0.5, 0.6):

        def effect(cosine: float, at: float = at) -> float:
            return float(np.clip(0.8 * (cosine - at), -0.3, 0.3))

        found = [
            weekly(rng, {"a@1": effect}, n_weeks=20, each_week=150, similarity=(0.2, 0.9))[-1]["threshold"]["value"]
            for _ in range(n)
        ]
        low, middle, high = np.quantile(found, [0.1, 0.5, 0.9])
        print(f"helps from {at:.2f} on: threshold {middle:.2f} (80% of users {low:.2f} to {high:.2f})")


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("near", "right", "wrong", "turn"))
    parser.add_argument("-n", type=int, default=100, help="users that are made up")
    args = parser.parse_args()
    if args.part == "near":
        near()
    else:
        {"right": right, "wrong": wrong, "turn": turn}[args.part](args.n)


if __name__ == "__main__":
    main()
