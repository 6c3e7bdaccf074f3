"""Finding the passages of long files that hold the answer, without a model.

    python bench/retrieval.py --data FOLDER [--budget N]     # FOLDER: lara, with docs/LENGTH/FILE.gz and outcomes.jsonl.gz

Questions of LaRA (Li et al., 2025) on financial filings whose reference answer has figures. One is found when all its
figures (years left out) stand in what is sent, in at most so many tokens, titles included. Reported of those whose
figures stand in the filing as it is: of the others (rounded, added up, of another unit) no passage can hold them; and of
all. What was tried was tried on every second file; the other half is told apart.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.stats import binomtest

from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.sources import Source, Span, block_of
from scrimp.routing.retrieval.passages import Search, passages
from scrimp.routing.retrieval.passages_kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FIGURE = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True)
class Question:
    """A question, the filing that it is about, and the figures of its answer."""

    length: str
    file: str
    text: str
    figures: frozenset[str]


def figures_of(text: str) -> frozenset[str]:
    """Return the figures of a text, without commas; years left out."""
    return frozenset(found.replace(",", "") for found in FIGURE.findall(text) if not YEAR.fullmatch(found))


def read(data: Path) -> tuple[dict[tuple[str, str], Source], list[Question]]:
    """Return the filings by length and name, and the questions on them whose answers have figures."""
    sources = {}
    for path in sorted(data.glob("docs/*/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            sources[path.parent.name, path.stem] = Source(path.stem, lines.read())
    questions = []
    with gzip.open(data / "outcomes.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            figures = figures_of(row["gold"])
            if row["task"] != "hallu" and (row["length"], row["file"]) in sources and figures:
                questions.append(Question(row["length"], row["file"], row["question"], figures))
    return sources, questions


def share(found: Iterable[bool]) -> str:
    """Return a share with its 95% interval (Wilson)."""
    values = [*found]
    low, high = binomtest(sum(values), len(values)).proportion_ci(method="wilson")
    return f"{sum(values) / len(values):.3f} [{low:.3f}, {high:.3f}] n={len(values)}"


def recalls(sources: dict[tuple[str, str], Source], questions: list[Question], budget: int, cache: Path) -> None:
    """Print how often all figures stand in what is sent, by each way of looking."""
    embedder = Embedder()
    embedder.load()
    kept = Kept(cache)
    whole = {key: figures_of(source.text) for key, source in sources.items()}
    tried = {*sorted(sources)[::2]}
    found: dict[str, dict[tuple[str, str], list[bool]]] = {}
    n_sent: dict[str, list[int]] = defaultdict(list)
    ways: dict[str, Callable[[Search, Question], dict[int, float]]] = {
        "words": lambda search, _: search.by_words(),
        "+ meaning": lambda search, question: search.by_meaning(
            search.by_words(), kept.vectors([question.text], embedder)[0], embedder
        ),
        "words + second hop": lambda search, _: search.second_hop(search.by_words()),
    }
    for name, way in ways.items():
        rows = found[name] = defaultdict(list)
        for question in questions:
            key = question.length, question.file
            search = Search([sources[key]], question.text, kept)
            spans = search.picked(way(search, question), budget).spans
            note(rows, n_sent[name], question, sources[key], spans, whole[key], key in tried)
    name = "as shipped"
    rows = found[name] = defaultdict(list)
    for question in questions:
        key = question.length, question.file
        embedding = kept.vectors([question.text], embedder)[0]
        got = passages([sources[key]], question.text, embedding, embedder, budget=budget, cache=cache)
        note(rows, n_sent[name], question, sources[key], got.spans, whole[key], key in tried)
    for length in ("32k", "128k"):
        print(f"{length}, {budget:,} tokens")
        for name, rows in found.items():
            for part in ("", "tried", "kept aside", "all questions"):
                print(f"  {name:<20} {part or 'answer in the text':<20} {share(rows[length, part])}")
    for name, sent in n_sent.items():
        print(f"{name}: {sum(sent) / len(sent):,.0f} tokens on average, {max(sent):,} at most")


def note(
    rows: dict[tuple[str, str], list[bool]],
    sent: list[int],
    question: Question,
    source: Source,
    spans: Sequence[Span],
    whole: frozenset[str],
    tried: bool,
) -> None:
    """Write down whether a question's figures are among what is sent."""
    text = block_of([source], spans, question.text)
    sent.append(approx_tokens(text))
    has = question.figures <= figures_of("\n".join(source.text[span.start : span.end] for span in spans))
    rows[question.length, "all questions"].append(has)
    if question.figures <= whole:
        rows[question.length, ""].append(has)
        rows[question.length, "tried" if tried else "kept aside"].append(has)


def timings(sources: dict[tuple[str, str], Source], questions: list[Question], budget: int) -> None:
    """Print how long the filing nearest to 137,000 tokens takes, cold and warm; wall and processor time."""
    embedder = Embedder()
    key = min(sources, key=lambda each: abs(sources[each].n_tokens - 137_000))
    first, second = [question.text for question in questions if (question.length, question.file) == key][:2]
    embeddings = embedder.embed([first, second])
    with tempfile.TemporaryDirectory() as folder:
        for what, text, embedding in (
            ("cold", first, embeddings[0]),
            ("the same question again", first, embeddings[0]),
            ("another question", second, embeddings[1]),
        ):
            source = Source(key[1], sources[key].text)
            wall, cpu = time.perf_counter(), time.process_time()
            passages([source], text, embedding, embedder, budget=budget, cache=Path(folder))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"{source.n_tokens:,} tokens, {what}: {wall:.2f} s, of the processor {cpu:.2f} s")
        wall, cpu = time.perf_counter(), time.process_time()
        Search([Source(key[1], sources[key].text)], first, Kept(None)).by_words()
        print(f"words alone, cold: {time.perf_counter() - wall:.2f} s, {time.process_time() - cpu:.2f} s")


def main() -> None:
    """Print it all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    options.add_argument("--budget", type=int, default=1_600, metavar="N")
    given = options.parse_args()
    sources, questions = read(given.data)
    with tempfile.TemporaryDirectory() as folder:
        recalls(sources, questions, given.budget, Path(folder))
    timings(sources, questions, given.budget)


if __name__ == "__main__":
    main()
