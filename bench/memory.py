"""How much of a conversation has to be sent: whether what a question is about is among it, and what that costs.

    python bench/memory.py              # evidence recall by tier and budget; tokens and cost of a long conversation
    python bench/memory.py tune         # recall on the tuning half for weights of words, meaning and neighbours

The conversations (bench/conversations) are of our own making. The six are put together to one of some 23,500 tokens, a
few turns of each in turn as one that goes on for months has them, and all 120 questions are asked at its end. Weights
were chosen by the questions on three of the six; those on the other three are reported beside them.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.asking.memory import BUDGETS, budget_of, chosen, history_of, size_of, worth_of_all
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.retrieval import turns as ranking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FOLDER = Path(__file__).with_name("conversations")
TUNED = ("move", "trip", "running")
SESSION = 7
"""Turns of one conversation before the next one takes over."""

WTP_USD = 0.1
LENGTH = 50
SMALL, LARGE = (ArmPrice(Decimal(nano), Decimal(4 * nano), cache_read=Decimal(nano) / 10) for nano in (250, 2_500))
"""$0.25 and $2.50 a million tokens of input, a tenth of that from the cache."""


@dataclass(frozen=True)
class Question:
    """A question, the conversation that it is about, and the turns of the whole that answer it."""

    text: str
    about: str
    evidence: frozenset[int]


def read_all() -> tuple[list[tuple[str, str]], list[Question]]:
    """Return the six conversations as one, and the questions on it."""
    closers = (FOLDER / "closers.txt").read_text().splitlines()
    queues: dict[str, list[tuple[str, str, str]]] = {}
    asked: list[tuple[str, str, list[str]]] = []
    for file in sorted(FOLDER.glob("*.txt")):
        if file.stem == "closers":
            continue
        said = queues[file.stem] = []
        for line in file.read_text().splitlines():
            head, _, text = line.partition(": ")
            if head.startswith("U"):
                said.append((head.partition("@")[2], text, ""))
            elif head == "A":
                ends = [closers[(len(said) * 7 + more * 11) % len(closers)] for more in range(1 + (len(said) % 3 == 0))]
                said[-1] = (*said[-1][:2], " ".join([text, *ends]))
            elif head.startswith("Q "):
                asked.append((file.stem, text, head[2:].split(",")))
    turns: list[tuple[str, str]] = []
    places: dict[tuple[str, str], int] = {}
    while any(queues.values()):
        for name, queue in queues.items():
            for label, user, answer in queue[:SESSION]:
                if label:
                    places[name, label] = len(turns)
                turns.append((user, answer))
            del queue[:SESSION]
    questions = [Question(text, name, frozenset(places[name, each] for each in names)) for name, text, names in asked]
    return turns, questions


def share(kept: Sequence[int], evidence: frozenset[int]) -> float:
    """Return which part of the evidence is sent."""
    return len(evidence.intersection(kept)) / len(evidence)


class Bench:
    """The one long conversation, embedded as the log has it."""

    def __init__(self) -> None:
        self.turns, self.questions = read_all()
        self.embedder = Embedder()
        self.vectors = [
            each.astype("<f4").tobytes() for each in self.embedder.embed([asked for asked, _ in self.turns])
        ]
        self.of_questions = self.embedder.embed([each.text for each in self.questions])
        self.sizes = [size_of(*turn) for turn in self.turns]

    def recall(self, tier: str, budget: int, names: Sequence[str] | None = None) -> tuple[float, float]:
        """Return evidence recall, and the mean of the tokens sent, for the questions on some conversations."""
        found, sent = [], []
        for question, vector in zip(self.questions, self.of_questions, strict=True):
            if names is None or question.about in names:
                kept = chosen(
                    tier,
                    self.turns,
                    self.sizes,
                    budget,
                    lambda q=question, v=vector: ranking.turn_scores(self.turns, q.text, v, self.vectors),
                )
                found.append(share(kept, question.evidence))
                history = history_of(self.turns, kept)
                sent.append(sum(approx_tokens(turn.prompt) + approx_tokens(turn.answer or "") + 8 for turn in history))
        return float(np.mean(found)), float(np.mean(sent))

    def report(self) -> None:
        """Print recall and cost."""
        others = sorted({each.about for each in self.questions} - {*TUNED})
        print(
            f"{len(self.turns)} turns, {sum(self.sizes):,} tokens, {len(self.questions)} questions; "
            f"tuned on {', '.join(TUNED)}; other half: {', '.join(others)}"
        )
        print(f"{'tier':10}{'budget':>8}{'all':>8}{'tuned':>8}{'other':>8}{'tokens':>10}")
        for tier in ("last", "relevant"):
            for budget in BUDGETS:
                whole, sent = self.recall(tier, budget)
                halves = (self.recall(tier, budget, names)[0] for names in (TUNED, others))
                print(f"{tier:10}{budget:>8,}{whole:>8.3f}" + "".join(f"{h:>8.3f}" for h in halves) + f"{sent:>10,.0f}")
        began = time.perf_counter()
        ranking.turn_scores(self.turns, self.questions[0].text, self.of_questions[0], self.vectors)
        print(f"to score {len(self.turns)} turns: {1000 * (time.perf_counter() - began):.1f} ms")
        self.cost()

    def cost(self) -> None:
        """Print what the history of each turn of a long conversation costs, all together."""
        turns = [
            ("\n".join(self.turns[at][0] for at in part), "\n".join(self.turns[at][1] for at in part))
            for part in np.array_split(np.arange(len(self.turns)), LENGTH)
        ]
        print(f"\nhistory sent over {LENGTH} turns of {sum(size_of(*t) for t in turns) / len(turns):,.0f} tokens each")
        print(
            f"{'tier':18}{'tokens':>10}{'first half':>12}{'second/first':>14}{'of all':>8}{'at $0.25':>10}{'at $2.50':>10}"
        )
        ways = {
            "all": sum,
            "last": lambda past: self._sent("last", turns, past, budget_of(SMALL, WTP_USD)),
            "relevant": lambda past: self._sent("relevant", turns, past, budget_of(SMALL, WTP_USD)),
            "auto at $0.25": lambda past: self._auto(turns, past, SMALL),
            "auto at $2.50": lambda past: self._auto(turns, past, LARGE),
        }
        sizes = [size_of(*turn) for turn in turns]
        vectors = self.embedder.embed([asked for asked, _ in turns])
        self._vectors = vectors
        total = None
        for name, way in ways.items():
            each = [way(sizes[:at]) for at in range(len(turns))]
            first, second = sum(each[: LENGTH // 2]), sum(each[LENGTH // 2 :])
            total = total or first + second
            usd = [float(price.input) * (first + second) / 1e9 for price in (SMALL, LARGE)]
            print(
                f"{name:18}{first + second:>10,}{first:>12,}{second / first:>14.2f}{(first + second) / total:>8.1%}"
                + "".join(f"{each:>10.4f}" for each in usd)
            )
        for name, price in (("$0.25", SMALL), ("$2.50", LARGE)):
            print(f"with a cache that holds, at {name}: " + self._cached(sizes, price))

    def _sent(self, tier: str, turns: list[tuple[str, str]], past: list[int], budget: int) -> int:
        at = len(past)
        vectors = [each.astype("<f4").tobytes() for each in self._vectors[:at]]

        def scores() -> NDArray[np.float64]:
            return ranking.turn_scores(turns[:at], turns[at][0], self._vectors[at], vectors)

        return sum(past[each] for each in chosen(tier, turns[:at], past, budget, scores))

    def _auto(self, turns: list[tuple[str, str]], past: list[int], price: ArmPrice) -> int:
        budget = budget_of(price, WTP_USD)
        return self._sent("all" if worth_of_all(sum(past), 0, budget, price) else "relevant", turns, past, budget)

    def _cached(self, sizes: list[int], price: ArmPrice) -> str:
        """Return in words when auto goes on with all, and what that costs, where each call reads the last one from it."""
        budget, spent, until = budget_of(price, WTP_USD), 0.0, 0
        for at in range(1, len(sizes)):
            n_all, cached = sum(sizes[:at]), sum(sizes[: at - 1])
            if worth_of_all(n_all, cached, budget, price):
                until = at
                spent += float((n_all - cached) * price.input + cached * (price.cache_read or price.input))
            else:
                spent += budget * float(price.input)
        return f"all until turn {until} of {len(sizes)}, ${spent / 1e9:.4f} for the history"

    def tune(self) -> None:
        """Print recall on the tuning half by weights."""
        for words in (0.2, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0):
            for beside in (0.0, 0.1, 0.25, 0.4):
                ranking.WORDS, ranking.BESIDE = words, beside
                found = [self.recall("relevant", budget, TUNED)[0] for budget in BUDGETS]
                print(f"words {words:.2f} beside {beside:.2f}: " + " ".join(f"{each:.3f}" for each in found))


if __name__ == "__main__":
    bench = Bench()
    bench.tune() if re.fullmatch("tune", " ".join(sys.argv[1:])) else bench.report()
