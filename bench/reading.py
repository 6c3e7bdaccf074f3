"""How much is read, measured: python bench/reading.py --data FOLDER prints the tables of docs/readings.md.

FOLDER holds lara/outcomes.jsonl.gz and lara/docs (LaRA's stored outcomes and filings) and prices_2024-12.json. Choices
are made by the product's own `Decider`; coefficients, and the heads that tell what a question asks, are fitted anew for
each of five folds by file, and judged on that fold. The questions of retrieval and of conversations are measured by
`retrieval.py` and `memory.py`, which are run after it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lara import FOLDS, N_SENT, Lara, read_lara
from train_readings import fires, fit

from scrimp.profiles.schema import Arm, Policy, Price, Profile
from scrimp.routing.asking.read import AUTO, WHOLE_FROM
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.context import Context
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.sources import Evidence, Read, Readings, Source
from scrimp.routing.prompts.surface import surface_features
from scrimp.routing.router.in_force import load_router
from scrimp.routing.router.readings import ReadingModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PRICED = {
    "claude-3-5-haiku-20241022": "claude-3-5-haiku-20241022",
    "claude-3-5-sonnet-20241022": "claude-3-5-sonnet-20241022",
    "gemini-1.5-pro": "gemini-1.5-pro",
    "gpt-4o": "gpt-4o-2024-05-13",
    "gpt-4o-0806": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "mistral-nemo": "Mistral-Nemo-Instruct-2407",
}
"""LaRA's models whose own maker's price stands in the table of prices, and what they are called there."""

WTP_USD = 0.10


@lru_cache(maxsize=1)
def lara_of(data: Path) -> Lara:
    """Return LaRA, read once."""
    return read_lara(data / "lara/outcomes.jsonl.gz", data / "lara/docs")


def prices_of(data: Path) -> dict[str, tuple[float, float]]:
    """Return USD per token of input and output of each priced model."""
    table = json.loads((data / "prices_2024-12.json").read_text("utf-8"))
    return {name: (table[key]["input_per_token"], table[key]["output_per_token"]) for name, key in PRICED.items()}


def choices(lara: Lara, prices: dict[str, tuple[float, float]]) -> dict[str, NDArray[np.bool_]]:
    """Return for each priced model which questions it is to read the whole for, as the product decides."""
    router = load_router("shipped", Path(tempfile.gettempdir()))
    read_whole = {name: np.zeros(len(lara.rows), bool) for name in prices}
    filler = {int(n): "abcd" * int(n) for n in {N_SENT, *lara.n_tokens.tolist()}}
    for k in range(FOLDS):
        model = ReadingModel(fit(lara, np.flatnonzero(lara.fold != k)))
        for name, (input_usd, output_usd) in prices.items():
            price = Price(
                input_usd_per_mtok=Decimal(repr(round(input_usd * 1e6, 6))),
                output_usd_per_mtok=Decimal(repr(round(output_usd * 1e6, 6))),
            )
            arm = Arm(name="one", model=name, price=price, context_window=1_000_000, max_output_tokens=1024)
            profile = Profile(name="lara", arms=(arm,), default_arm="one", policy=Policy(wtp_usd=WTP_USD, explore=0.0))
            decider = Decider(profile, PriceTable.load(), router, Embedder()).reading_by(model)
            rows = np.flatnonzero(lara.fold == k)
            contexts = [Context(lara.embeddings[i], surface_features(lara.rows[i]["question"])) for i in rows]
            predictions = decider.predict(contexts)
            for row, i in enumerate(rows):
                text, n = lara.rows[i]["question"], int(lara.n_tokens[i])
                wants = float(lara.wants_whole[i])
                evidence = Evidence(
                    n,
                    N_SENT,
                    float(lara.best[i]),
                    float(lara.flat[i]),
                    wants,
                    {"comparison": float(lara.comparison[i])},
                )
                reads = {"whole": Read("whole", filler[n], n), "passages": Read("passages", filler[N_SENT], N_SENT)}
                readings = Readings(reads, AUTO if wants < WHOLE_FROM else ("whole",), evidence)
                prompt = Prompt(text, sources=(Source("text", filler[n]),), readings=readings)
                decision = decider.decide(prompt, predictions, Wishes(), decision_id="d", rng=random.Random(0), row=row)
                read_whole[name][i] = decision.arm == "one/whole"
    return read_whole


@lru_cache(maxsize=1)
def _chosen(data: Path) -> dict[str, NDArray[np.bool_]]:
    return choices(lara_of(data), prices_of(data))


def _sums(lara: Lara, name: str, price: tuple[float, float], whole: NDArray[np.bool_]) -> tuple[float, float]:
    """Return accuracy and USD a question where some questions are read whole and the others in passages."""
    k = lara.models.index(name)
    there = ~np.isnan(lara.whole[:, k]) & ~np.isnan(lara.passages[:, k])
    right = np.where(whole, lara.whole[:, k], lara.passages[:, k])
    out = np.where(whole, lara.out_whole[:, k], lara.out_passages[:, k])
    cost = np.where(whole, lara.n_tokens, N_SENT) * price[0] + np.nan_to_num(out) * price[1]
    return float(right[there].mean()), float(cost[there].mean())


def choosing(data: Path) -> None:
    """Print, a model, what choosing a reading for each question is worth beside one reading for all."""
    lara, prices, chosen = lara_of(data), prices_of(data), _chosen(data)
    print(f"LaRA, a right answer worth ${WTP_USD:.2f}, 5 folds by file; utility in % of a right answer's worth")
    print(f"{'':28}{'whole':>18}{'passages':>18}{'chosen':>18}{'read whole':>12}{'against better':>16}")
    worst = np.inf
    for name, price in prices.items():
        everything = np.ones(len(lara.rows), bool)
        found = [_sums(lara, name, price, each) for each in (everything, ~everything, chosen[name])]
        worth = [100.0 * (right - cost / WTP_USD) for right, cost in found]
        gain = worth[2] - max(worth[:2])
        worst = min(worst, gain)
        cells = "".join(f"{right:9.3f} ${cost:.4f}".rjust(18) for right, cost in found)
        print(f"{name:28}{cells}{chosen[name].mean():12.1%}{gain:+15.2f}%")
    print(f"worst against the better of always whole and always passages: {worst:+.2f}% (target: -0.5% or better)")


def small(data: Path) -> None:
    """Print accuracy and cost of gpt-4o-mini."""
    lara, price, name = lara_of(data), prices_of(data)["gpt-4o-mini"], "gpt-4o-mini"
    everything = np.ones(len(lara.rows), bool)
    whole = _sums(lara, name, price, everything)
    print("gpt-4o-mini on LaRA (target: .68 or better at 15% of the whole's cost or less)")
    for what, mask in (("whole", everything), ("passages", ~everything), ("chosen", _chosen(data)[name])):
        right, cost = _sums(lara, name, price, mask)
        print(f"  {what:10}{right:.3f} at {cost / whole[1]:6.1%}")


def escalating(data: Path) -> None:
    """Print what `passages ? found > whole` brings over passages, and what questions without an answer make of it."""
    lara = lara_of(data)
    print("passages ? found > whole, against passages alone: points gained, and tokens as a share of the whole's")
    print(
        "`found` is simulated: `train_readings.fires` says how. The share of wrong answers that say the text is silent"
    )
    print("is not known; where it is x, at random among the wrong ones, the gain is x times that of `all wrong ones`.")
    print(
        f"{'':28}{'answerable':>18}{'all wrong ones':>18}{'x for +1.5..14%':>18}{'2% false alarms':>18}{'39% silent':>18}"
    )
    silent = lara.silent
    guess = fires(lara)
    for name in PRICED:
        k = lara.models.index(name)
        there = ~np.isnan(lara.whole[:, k]) & ~np.isnan(lara.passages[:, k])
        right = lara.passages[:, k]

        def gain(fired: Floats, rows: NDArray[np.bool_], *, k: int = k, right: Floats = right) -> tuple[float, float]:
            after = right + fired * (lara.whole[:, k] - right)
            tokens = N_SENT + fired * lara.n_tokens
            return 100.0 * float((after - right)[rows].mean()), float(tokens[rows].sum() / lara.n_tokens[rows].sum())

        answers = there & ~silent
        fired = guess[:, k].astype(float)
        main, most = gain(fired, answers), gain((right == 0.0).astype(float), answers)
        alarms = gain(np.maximum(fired, 0.02 * (right == 1.0)), answers)
        mixed = gain(fired, there)
        least = 1.5 / most[0]
        highest = (0.14 - _only_passages(lara, answers)) / (most[1] - _only_passages(lara, answers))
        cells = [f"{g:+.1f} at {t:.1%}".rjust(18) for g, t in (main, most)]
        cells += [f"{least:.2f}..{highest:.2f}".rjust(18)]
        cells += [f"{g:+.1f} at {t:.1%}".rjust(18) for g, t in (alarms, mixed)]
        print(f"{name:28}{''.join(cells)}")
    print(
        "(39% silent: LaRA's own mix. A right answer that says so is asked again over the whole, which may invent one.)"
    )


def _only_passages(lara: Lara, rows: NDArray[np.bool_]) -> float:
    return float(N_SENT * rows.sum() / lara.n_tokens[rows].sum())


def other(script: str, folder: str | None = None) -> Callable[[Path], None]:
    """Return what runs another bench that measures a part of it, where there is one.

    Parameters
    ----------
    folder
        What of the data it is told as its own --data; None: it takes none.
    """

    def run(data: Path) -> None:
        path = Path(__file__).with_name(script)
        if path.exists():
            sys.stdout.flush()
            told = [] if folder is None else ["--data", str(data / folder)]
            subprocess.run([sys.executable, str(path), *told], check=False)

    return run


SECTIONS: tuple[Callable[[Path], None], ...] = (
    choosing,
    small,
    escalating,
    other("retrieval.py", "lara"),
    other("memory.py"),
)


def main() -> None:
    """Print every section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    for section in SECTIONS:
        section(args.data)
        print()


if __name__ == "__main__":
    main()
