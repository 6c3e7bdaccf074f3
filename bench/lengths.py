"""How often the 90th percentile of output tokens covers what came, before and after an arm's own calls.

    uv run python bench/lengths.py [--data OUTCOMES] [--runs 40] [--calls 100]

Simulated arms of known truth first: what a middling model would write for a prompt is log-normal, and an arm writes as
that says, ten times as much (hidden reasoning), something short whatever is asked, with heavy tails, with thinking now
and then, or is cut at its limit. Of cut answers it is held against the forecast what would have come.

With `--data` (a folder with `train/*.jsonl.gz` in the form of docs/learning.md) also each model of medagents, zeroeval
and mmlu_pro whose tokens are known, as an arm that the router knows nothing of: of 400 prompts 100 teach, the others are
held against the forecast, in 20 orders. What a middling model would write is the shipped router's, which was trained on prompts
of these files; the arm's own share is not in it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scrimp.routing.router.lengths import SD, Observed, learn_length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEXT = 300
SPLITS = 20
FILES = ("medagents", "zeroeval", "mmlu_pro")
TARGET = "85 to 95%"
NO_LIMIT = 10**7
Z90 = 1.2815515655446004


def simulated(kind: str, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, int]:
    """Return what a middling model would write, what the arm writes without a limit, and its limit."""
    base = np.exp(rng.normal(5.6, 0.8, n))
    z = rng.normal(size=n)
    tokens, limit = {
        "as the router says": (base * np.exp(SD * z), NO_LIMIT),
        "hidden reasoning x10": (base * 10 * np.exp(0.8 * z), NO_LIMIT),
        "short whatever is asked": (np.exp(2.5 + 0.5 * z), NO_LIMIT),
        "heavy tails": (base * np.exp(0.6 * rng.standard_t(2, n)), NO_LIMIT),
        "thinks now and then": (
            np.where(rng.random(n) < 0.5, base * np.exp(0.3 * z), base * 12 * np.exp(0.5 * z)),
            NO_LIMIT,
        ),
        "one in ten cut": (base * np.exp(0.8 * z), 800),
        "four in ten cut": (base * 3 * np.exp(0.8 * z), 1200),
        "seven in ten cut": (base * 8 * np.exp(0.8 * z), 1000),
    }[kind]
    return base, np.clip(np.round(tokens), 1, 1e12), limit


KINDS = (
    "as the router says", "hidden reasoning x10", "short whatever is asked", "heavy tails", "thinks now and then",
    "one in ten cut", "four in ten cut", "seven in ten cut",
)  # fmt: skip


def covered(base: Floats, tokens: Floats, *, calls: int, limit: int = NO_LIMIT) -> float:
    """Return the share of the later answers that p90 covers, the first `calls` having been seen."""
    seen = [Observed(int(min(t, limit)), limit, float(b)) for b, t in zip(base[:calls], tokens[:calls], strict=True)]
    found = learn_length(seen)
    told = [b * math.exp(Z90 * SD) if found is None else found.of(float(b), float(b))[1] for b in base[calls:]]
    return float((tokens[calls:] <= np.array(told)).mean())


def simulations(runs: int, calls: int) -> Iterator[tuple[str, float, float]]:
    """Yield of each simulated arm its mean coverage without calls and with them."""
    for kind in KINDS:
        shares = []
        for seed in range(runs):
            base, tokens, limit = simulated(kind, calls + NEXT, np.random.default_rng(seed))
            before = covered(base[calls:], tokens[calls:], calls=0)
            shares.append((before, covered(base, tokens, calls=calls, limit=limit)))
        yield kind, *np.mean(shares, axis=0).tolist()


def public(data: Path, calls: int) -> Iterator[tuple[str, list[float], list[list[float]]]]:
    """Yield of each file the coverage of every model in it, without calls and with them."""
    from scrimp.routing.asking.stock import embedder
    from scrimp.routing.prompts.context import contexts, stack
    from scrimp.routing.router.in_force import SHIPPED, load_router

    with tempfile.TemporaryDirectory() as folder:
        router, embeds = load_router(SHIPPED, Path(folder)), embedder("builtin", Path(folder))
        for name in FILES:
            path = data / "train" / f"{name}.jsonl.gz"
            if not path.exists():
                continue
            with gzip.open(path, "rt", encoding="utf-8") as file:
                rows: list[dict[str, Any]] = [json.loads(line) for line in file]
            order = np.random.default_rng(0).permutation(len(rows))[: calls + NEXT]
            rows = [rows[at] for at in order.tolist()]
            base = router.predict(*stack(contexts([row["prompt"] for row in rows], embeds)), ()).prompt_tokens
            assert base is not None
            before: list[float] = []
            after: list[list[float]] = []
            for model in sorted({model for row in rows for model in row["models"]}):
                counts = [float((row["models"].get(model) or {}).get("output_tokens") or 0) for row in rows]
                known = [at for at, count in enumerate(counts) if count]
                if len(known) < 0.9 * len(rows):
                    continue
                tokens, mine = np.array([counts[at] for at in known]), base[known]
                orders = [np.random.default_rng(seed).permutation(len(known)) for seed in range(SPLITS)]
                before.append(covered(mine, tokens, calls=0))
                after.append([covered(mine[order], tokens[order], calls=calls) for order in orders])
            yield name, before, after


def rows(data: Path | None, *, runs: int = 40, calls: int = 100) -> list[tuple[str, str, str]]:
    """Return what was measured, the target, and what came of it."""
    found = [
        (
            f"p90 of output tokens covers after {calls} calls: {kind}",
            TARGET,
            f"{after:.1%} (without calls {before:.1%})",
        )
        for kind, before, after in simulations(runs, calls)
    ]
    for name, before, after in () if data is None else public(data, calls):
        each, means = np.array(after), np.mean(after, axis=1)
        within = int(((means >= 0.85) & (means <= 0.95)).sum())
        single = float(((each >= 0.85) & (each <= 0.95)).mean())
        got = (
            f"mean {means.mean():.1%}, by model {means.min():.0%} to {means.max():.0%}, {within} of {len(means)} within; "
            f"of single runs {single:.0%} (without calls mean {np.mean(before):.1%}, {min(before):.0%} to "
            f"{max(before):.0%})"
        )
        found.append((f"the same, {name}: {len(means)} models", TARGET, got))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--calls", type=int, default=100)
    given = parser.parse_args()
    for what, target, got in rows(given.data, runs=given.runs, calls=given.calls):
        print(f"{what:72} target {target}: {got}")


if __name__ == "__main__":
    main()
