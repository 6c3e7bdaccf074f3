"""Measure `? most` against unanimity: three cheap arms, then a strong one, on stored answers.

    python bench/acar.py --data FOLDER [--rows N]

FOLDER holds answers/zeroeval.jsonl.gz and answers/mmlu_pro.jsonl.gz (docs/results-cascades.md says where they are
from). Nothing is modelled: each plan is read as it is spelled and run by the strategy that answers requests
(`strategies/stages.py`), which compares the stored answers as it would compare fresh ones; what a call cost is what it
cost then. The last plan asks two arms first, and a third only where they differ: where most of three agree it comes to
the same answers for less.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.plans.grammar import read_plan
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.strategies.brief import Brief, Card
from scrimp.routing.strategies.protocol import Got
from scrimp.routing.strategies.stages import Staged

SETS = (
    ("zeroeval", ("gpt-4o-mini-2024-07-18", "deepseek-v2.5-0908", "gemini-1.5-flash"), "claude-3-5-sonnet-20241022"),
    (
        "zeroeval",
        ("gpt-4o-mini-2024-07-18", "deepseek-v2.5-0908", "Meta-Llama-3.1-70B-Instruct"),
        "claude-3-5-sonnet-20241022",
    ),
    (
        "mmlu_pro",
        ("gemini-1.5-flash-002", "DeepSeek-Coder-V2", "Meta-Llama-3.1-70B-Instruct"),
        "gemini-1.5-pro-002",
    ),
)
PLANS = (
    ("strong alone", "d"),
    ("unanimous", "a + b + c ? agree > d"),
    ("majority", "a + b + c ? most > d"),
    ("two, then a third", "a + b ? agree > c ? most > d"),
)


def run(plan, answers, quality):
    """Return the calls that a plan makes of stored answers, and whose answer it takes."""
    strategy = Staged(plan, Brief(Prompt("?"), arms={arm: Card(q) for arm, q in quality.items()})).run()
    calls, back = [], None
    while True:
        try:
            wish = strategy.send(back)
        except StopIteration as stop:
            taken = stop.value.taken
            return calls, None if taken is None else calls[taken - 1]
        calls.append(wish.arm)
        back = Got(len(calls), wish.arm, answers.get(wish.arm), "stop")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=None, help="Only that many rows of each set.")
    given = parser.parse_args()
    for name, cheap, strong in SETS:
        file = given.data / "answers" / f"{name}.jsonl.gz"
        if not file.exists():
            print(f"skipped: {file} is not here", file=sys.stderr)
            continue
        every = read_outcomes([file])
        models = [*cheap, strong]
        columns = [every.models.index(model) for model in models]
        there = ~(np.isnan(every.score[:, columns]) | np.isnan(every.cost_usd[:, columns]))
        kept = every.take(np.flatnonzero(there.all(axis=1))[: given.rows])
        score, cost = kept.score[:, columns], kept.cost_usd[:, columns]
        letters = dict(zip("abcd", range(4), strict=True))
        quality = {letter: float(score[:, j].mean()) for letter, j in letters.items()}
        print(f"{name}, {len(kept)} rows: a, b, c = {', '.join(cheap)}; d = {strong}")
        found = {}
        for title, text in PLANS:
            plan = read_plan(text, list(letters), [])
            got, paid, asked = np.zeros(len(kept)), np.zeros(len(kept)), np.zeros(len(kept))
            for i, said in enumerate(kept.answers):
                answers = {letter: said.get(models[j]) for letter, j in letters.items()}
                calls, taken = run(plan, answers, quality)
                got[i] = 0.0 if taken is None else score[i, letters[taken]]
                paid[i] = sum(cost[i, letters[arm]] for arm in calls)
                asked[i] = calls[-1] == "d"
            found[title] = got, paid
            print(f"  {title:18} {text:32} {got.mean():.4f}  ${1000 * paid.mean():.3f}/1k  to d: {asked.mean():.0%}")
        for title in ("majority", "two, then a third"):
            mine, price = found[title]
            for other in ("unanimous", "strong alone"):
                theirs, their_price = found[other]
                gap = mine - theirs
                error = 1.96 * gap.std() / len(gap) ** 0.5
                print(
                    f"  {title} - {other}: {100 * gap.mean():+.2f} points (95% {100 * (gap.mean() - error):+.2f} to "
                    f"{100 * (gap.mean() + error):+.2f}) at {price.mean() / their_price.mean():.1%} of its cost"
                )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
