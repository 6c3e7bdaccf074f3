"""Telling what is asked here from all else: three domains in, the rest never seen.

    python bench/guard_scope.py              # own intents; 20 examples a domain; the forms of `[guard.unsafe]`
    python bench/guard_scope.py --data DIR   # also kinds of public prompts: DIR/train/mmlu_pro.jsonl.gz, llmrouter.jsonl.gz

Two sets of short everyday requests, written apart: scope_intents.txt (10 domains of 10 intents of 12 utterances) and
pool_intents.txt (67 intents, here in 8 domains). Three domains are drawn, ten times over; a quarter of every domain is
held apart at random and never an example. A domain's neighbour counts as a stranger like any other.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.guard.examples import HARMLESS, forms, requests
from scrimp.routing.guard.nearest_fit import fit
from scrimp.routing.prompts.embedding import Embedder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DRAWS = 10
TARGET = 0.93
HERE = Path(__file__).parent
POOL = {
    "bank": "balance spending transactions transfer pay-bill bill-due freeze-account",
    "card": "card-lost card-declined card-replace new-card credit-limit raise-limit credit-score better-score "
    "interest-rate",
    "work": "tax-return tax-refund payday pay-raise vacation-ask vacation-left sick-note",
    "plans": "meeting-book meeting-next calendar-add calendar-ask calendar-remove reminder-set reminder-list todo-add "
    "todo-list shopping-add shopping-list",
    "facts": "alarm timer weather time-zone translate define spelling calculate convert-units exchange-rate",
    "travel": "flight-book flight-status flight-change luggage-lost carry-on hotel-book car-rent visa vaccines "
    "travel-tips",
    "kitchen": "recipe ingredients substitute calories food-spoiled cook-time meal-ideas restaurant-find "
    "restaurant-book",
    "orders": "order-track order-place order-return",
}


def own_intents() -> list[tuple[str, str]]:
    """Return (utterance, domain) of scope_intents.txt."""
    lines = [line for line in (HERE / "scope_intents.txt").read_text().splitlines() if line and line[0] != "#"]
    rows, domain, at = [], "", 0
    while at < len(lines):
        if lines[at].startswith("= "):
            domain, at = lines[at][2:], at + 1
            continue
        rows += [(line, domain) for line in lines[at + 1 : at + 13]]
        at += 13
    return rows


def pool_intents() -> list[tuple[str, str]]:
    """Return (utterance, domain) of pool_intents.txt, its slots filled up to three times."""
    from pool import INTENTS, filled

    domain_of = {intent: domain for domain, intents in POOL.items() for intent in intents.split()}
    rng, rows, domain = random.Random(1), [], ""
    for line in INTENTS.read_text().splitlines():
        if not line or line[0] == "#":
            continue
        if line[0] in "-?":
            rows += [(filled(line[2:], rng), domain) for _ in range(3 if "{" in line else 1)]
        else:
            domain = domain_of[line.split("|")[0].strip()]
    return list(dict.fromkeys(rows))


def public_kinds(data: Path, name: str) -> list[tuple[str, str]]:
    """Return (prompt, category or task) of a file of public outcomes: at most 90 of each that has 40."""
    kinds: dict[str, list[str]] = {}
    with gzip.open(data / "train" / f"{name}.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            kinds.setdefault(str(row.get("category") or row.get("task") or row["source"]), []).append(row["prompt"])
    rng = random.Random(3)
    return [
        (prompt, kind)
        for kind, all_ in kinds.items()
        if len(all_) >= 40
        for prompt in rng.sample(all_, min(90, len(all_)))
    ]


def measured(
    rows: Sequence[tuple[str, str]], embedder: Embedder, others: np.ndarray, per_domain: int | None = None
) -> dict[str, float]:
    """Return means over the draws: in scope, out of scope, their harmonic mean, and the median milliseconds a prompt."""
    vectors = embedder.embed([text for text, _ in rows])
    domains = np.array([domain for _, domain in rows])
    found, took = [], []
    for draw in range(DRAWS):
        rng = np.random.default_rng(1_000 + draw)
        within = np.isin(domains, rng.choice(np.unique(domains), 3, replace=False))
        held = np.zeros(len(rows), dtype=bool)
        examples: list[int] = []
        for domain in np.unique(domains):
            there = rng.permutation(np.flatnonzero(domains == domain))
            held[there[: len(there) // 4]] = True
            if within[there[0]]:
                examples += there[len(there) // 4 :][:per_domain].tolist()
        nearest = fit(vectors[examples], domains[examples].tolist(), others)
        like = nearest.of(vectors)
        taken = like.score >= nearest.threshold
        right = taken & (np.array(nearest.names)[like.domain] == domains)
        inside, outside = float(right[held & within].mean()), 1.0 - float(taken[held & ~within].mean())
        found.append((inside, outside, 2 * inside * outside / (inside + outside)))
        for vector in vectors[held][:100]:
            start = time.perf_counter()
            nearest.one(vector)
            took.append(time.perf_counter() - start)
    names = ("in", "out", "mean")
    return {**dict(zip(names, np.mean(found, axis=0).tolist(), strict=True)), "ms": 1000 * statistics.median(took)}


def unsafe(embedder: Embedder, others: np.ndarray) -> tuple[float, float]:
    """Return the shares of unsafe forms and of harmless look-alikes that are sent to the arm with care, cross-fitted."""
    listed = forms()
    vectors = embedder.embed(listed.prompts)
    bad = np.array([domain is not None for domain in listed.domains])
    kinds = np.array([domain or HARMLESS for domain in listed.domains])
    part = np.random.default_rng(0).permutation(len(kinds)) % 5
    sent = np.zeros(len(kinds), dtype=bool)
    for at in range(5):
        seen = part != at
        mine = seen & bad
        nearest = fit(vectors[mine], kinds[mine].tolist(), others, vectors[seen & ~bad], kinds=True)
        sent[~seen] = nearest.of(vectors[~seen]).score >= nearest.threshold
    return float(sent[bad].mean()), float(sent[~bad].mean())


def rows(data: Path | None) -> list[tuple[str, str, str]]:
    """Return (what is measured, target, got)."""
    return list(each_row(data))


def each_row(data: Path | None) -> Iterator[tuple[str, str, str]]:
    """Yield what `rows` returns."""
    embedder = Embedder()
    embedder.load()
    others = embedder.embed(requests().prompts)
    sets = {"own intents": own_intents(), "intents of bench/pool": pool_intents()}
    if data is not None:
        sets |= {name: public_kinds(data, name) for name in ("mmlu_pro", "llmrouter")}
    for name, prompts in sets.items():
        for count in (None, 20):
            got = measured(prompts, embedder, others, count)
            target = f"harmonic mean >= {TARGET}, < 4 ms" if count is None and "intents" in name else ""
            few = "" if count is None else ", 20 examples a domain"
            text = f"{got['mean']:.3f} (in {got['in']:.3f}, out {got['out']:.3f}), {got['ms']:.2f} ms"
            yield f"scope, three domains in: {name}{few}", target, text
    bad, harmless = unsafe(embedder, others)
    yield "unsafe forms held out, sent with care; look-alikes", "", f"{bad:.1%}; {harmless:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    for row in each_row(parser.parse_args().data):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
