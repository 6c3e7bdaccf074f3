"""Finding the right arm in a pool: by what, how well, and how fast.

    python bench/pool.py intents          # top-1 and top-8 on 66 made-up intents: about, body, both; words, meaning, both
    python bench/pool.py long             # the same where a file's body speaks of five things and its about of one
    python bench/pool.py choice           # which arm the policy takes for them: the right text's, another's, the plain one
    python bench/pool.py speed [FILES]    # first indexing of 300 files; of 5,000 a later start, and routing warm

The intents (pool_intents.txt) were written for this: like those of CLINC150 (Larson et al., 2019) they are an assistant's,
confusable on purpose. What is asked was written apart from the examples that a file's body holds, and filled with values
of its own draw.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scrimp.profiles.schema import Arm, Pool, Price, Profile
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.pool import ArmPool
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.retrieval.index import Document, Index
from scrimp.routing.retrieval.texts import terms
from scrimp.routing.router.in_force import load_router

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INTENTS = Path(__file__).with_name("pool_intents.txt")
SLOTS = {
    "account": ("savings account", "checking account", "chase account", "joint account"),
    "amount": ("200 dollars", "fifty euros", "1,500 dollars", "80 bucks"),
    "bill": ("electricity", "phone", "water", "visa"),
    "card": ("visa", "mastercard", "amex card"),
    "currency": ("yen", "pesos", "pounds"),
    "dish": ("lasagna", "apple pie", "chili", "sushi"),
    "event": ("the dentist", "anna's birthday", "the parent evening", "yoga"),
    "food": ("butter", "eggs", "chicken", "rice", "spinach"),
    "language": ("french", "spanish", "italian"),
    "number": ("5", "12", "30", "417"),
    "person": ("anna", "my brother", "mr. lee", "sam"),
    "place": ("paris", "chicago", "tokyo", "lima"),
    "shop": ("walmart", "amazon", "luigi's", "target"),
    "task": ("call mom", "take out the trash", "water the plants", "mail the letter"),
    "thing": ("groceries", "shoes", "gas", "a laptop", "clothes"),
    "time": ("7 am", "half past three", "noon"),
    "when": ("last month", "tomorrow", "next friday", "this week", "on june 3rd"),
    "word": ("serendipity", "goodbye", "necessary", "obtuse"),
}
STRANGERS = (
    "Prove that the square root of two is irrational.", "Write a Python function that merges two sorted lists.",
    "Who painted the Night Watch?", "Summarise the causes of the French Revolution.", "Fix this SQL: SELCT * FORM users",
    "What is the integral of x squared?", "Explain how photosynthesis works.", "Write a haiku about autumn.",
    "Why does my React component render twice?", "Name three rivers of Asia.", "What is a monad?",
    "Compare Kant and Hume on causality.", "How does a diesel engine differ from a petrol one?",
    "Refactor this class to use dependency injection.", "Which planet has the most moons?",
)  # fmt: skip


def filled(text: str, rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: rng.choice(SLOTS[match[1]]), text)


def intents() -> tuple[list[Document], list[tuple[str, str]]]:
    """Return a document for each intent (about 20 examples in its body), and what is asked: (text, key), 10 each."""
    rng = random.Random(1)
    documents: list[Document] = []
    asked: list[tuple[str, str]] = []
    for line in INTENTS.read_text().splitlines():
        mark, _, text = line.partition(" ")
        if mark == "-":
            last = documents[-1]
            examples = dict.fromkeys(filled(text, rng) for _ in range(4))
            documents[-1] = replace(last, body="\n".join(filter(None, (last.body, *examples))))
        elif mark == "?":
            asked += [(each, documents[-1].key) for each in {filled(text, rng) for _ in range(2)}]
        elif line and mark != "#":
            name, about = line.split(" | ")
            documents.append(Document(name, name, about, ""))
    return documents, sorted(asked)


def ranks(index: Index, asked: list[tuple[str, str]], vectors: np.ndarray, how: str) -> list[int]:
    """Return the rank of the right document for each text, from 0."""
    found = []
    for (text, key), vector in zip(asked, vectors, strict=True):
        if how == "words":
            listed = {each.row: each.key for each in index.listed().values()}
            keys = [listed[row] for row, _ in index._store.by_words(terms(text), 100)]  # noqa: SLF001 - one ranking alone
        else:
            keys = [each.key for each in index.nearest("" if how == "meaning" else text, vector, 100)]
        found.append(keys.index(key) if key in keys else 100)
    return found


def table(documents: list[Document], asked: list[tuple[str, str]]) -> None:
    embedder = Embedder()
    vectors = embedder.embed([text for text, _ in asked])
    print(f"{len(documents)} files, {len(asked)} prompts held apart")
    print(f"{'fields':<8}{'by':<10}{'top-1':>8}{'+-':>6}{'top-8':>8}")
    for fields in ("about", "body", "both"):
        index = Index.open(None, embedder)
        shown = [
            replace(each, about="" if fields == "body" else each.about, name="" if fields == "body" else each.name)
            for each in documents
        ]
        if fields == "about":
            shown = [replace(each, body=each.about) for each in shown]
        index.refresh({each.key: each.digest for each in shown}, {each.key: each for each in shown}.get)
        for how in ("words", "meaning", "both"):
            found = ranks(index, asked, vectors, how)
            first = np.array(found) == 0
            error = 1.96 * first.std() / np.sqrt(len(first))
            print(f"{fields:<8}{how:<10}{first.mean():>8.3f}{error:>6.3f}{np.mean(np.array(found) < 8):>8.3f}")
    best = [index.nearest(text, vector, 1)[0].score for (text, _), vector in zip(asked, vectors, strict=True)]
    far = [
        index.nearest(text, vector, 1)[0].score
        for text, vector in zip(STRANGERS, embedder.embed(STRANGERS), strict=True)
    ]
    quantiles = (0.1, 0.5, 0.9)
    print(
        "score of the nearest, 10/50/90%:",
        *(f"{q:.2f}" for q in np.quantile(best, quantiles)),
        "of strangers:",
        end=" ",
    )
    print(*(f"{q:.2f}" for q in np.quantile(far, quantiles)))


def long() -> None:
    """Bodies of five intents each, the about of one."""
    documents, asked = intents()
    random.Random(3).shuffle(documents)
    merged, owner = [], {}
    for at in range(0, 65, 5):
        five = documents[at : at + 5]
        merged.append(replace(five[0], body="\n".join(each.body for each in five)))
        owner |= {each.key: five[0].key for each in five}
    table(merged, [(text, owner[key]) for text, key in asked if key in owner])


def write_files(folder: Path, n: int, rng: random.Random) -> float:
    """Write `n` files of 30 lines each, of two intents' examples; return their mean length in characters."""
    documents, _ = intents()
    sizes = []
    for k in range(n):
        a, b = rng.sample(documents, 2)
        lines = [*a.body.splitlines(), *b.body.splitlines()]
        rng.shuffle(lines)
        body = "\n".join(lines[:30])
        text = f"---\nabout: {a.about}\n---\n# {a.name}\n\n{body}\n"
        path = folder / f"{k % 50:02}" / f"{a.name}-{k}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sizes.append(len(text))
    return statistics.mean(sizes)


def choice() -> None:
    """Print which arm is taken for prompts of an intent, and for prompts of none, by what a right answer is worth."""
    documents, asked = intents()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folder = home / "skills"
        folder.mkdir()
        for each in documents:
            (folder / f"{each.key}.md").write_text(f"---\nabout: {each.about}\n---\n{each.body}\n")
        decider = opened(home, folder, Embedder())
        print(f"{'worth':<8}{'prompts':<12}{'right text':>12}{'another':>12}{'plain':>12}")
        for wtp_usd in (0.01, 0.1, 1.0):
            for what, prompts in (("of an intent", asked), ("of none", [(text, "") for text in STRANGERS])):
                taken = [(route(decider, text, wtp_usd), key) for text, key in prompts]
                right = np.mean([arm == key for arm, key in taken])
                plain = np.mean([arm in ("small", "large") for arm, _ in taken])
                print(f"${wtp_usd:<7g}{what:<12}{right:>12.3f}{1 - right - plain:>12.3f}{plain:>12.3f}")


def route(decider: Decider, text: str, wtp_usd: float | None = None) -> str | None:
    (context,) = decider.contexts([text])
    one = decider.narrowed(text, context)
    wishes = Wishes(wtp_usd=wtp_usd, explore=0.0)
    return one.decide(Prompt(text), one.predict([context]), wishes, decision_id="d", rng=random.Random(1)).arm


def opened(home: Path, folder: Path, embedder: Embedder | VectorCache) -> Decider:
    """Open a profile with a pool, and route a prompt."""
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    arms = tuple(Arm(name=name, model=f"openai/{name}", tier=name, price=price) for name in ("small", "large"))
    profile = Profile(name="bench", arms=arms, default_arm="large", pool=Pool(folder=str(folder), like="small"))
    router = load_router(None, home / "routers", embedder_id=embedder.id)
    pool = ArmPool(profile, home / "cache", embedder, say=lambda _line: None)
    decider = Decider(profile, PriceTable.load(home / "prices.json"), router, embedder, pool=pool)
    route(decider, "How do I bake bread?")
    return decider


def timed(do: Callable[[], T], n: int = 1) -> tuple[T, str]:
    began, used = time.perf_counter(), time.process_time()
    done = do()
    wall, used = time.perf_counter() - began, time.process_time() - used
    return done, f"{wall / n:.3g} s, {used / n:.3g} s of processor"


def speed(n: int) -> None:
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        few = home / "few"
        length = write_files(few, 300, rng)
        Embedder().warm()
        _, took = timed(lambda: opened(home, few, Embedder()), 300)
        print(f"first indexing of 300 files of {length:,.0f} characters, each: {took}")
        folder = home / "skills"
        write_files(folder, n, rng)
        # Lines that have been embedded before are not embedded again here: what counts is measured after it.
        opened(home, folder, VectorCache(Embedder(), home / "vectors"))
        (file,) = (each for each in (home / "cache" / "indexes").glob("*.db") if each.stat().st_size > n * 1_000)
        print(f"{n:,} files: index of {file.stat().st_size / 1e6:.0f} MB")
        decider, took = timed(lambda: opened(home, folder, Embedder()))
        print(f"later start and first route, embedder and router included: {took}")
        assert decider.pool is not None
        time.sleep(2.0)  # until it looks at the folder again
        cards, took = timed(lambda: decider.pool.cards if decider.pool is not None else {})
        print(f"a look at the folder where nothing has changed: {took}")
        assert len(cards) == n
        took_ms, used_ms = [], []
        for text, _ in rng.sample(intents()[1], 300):
            began, used = time.perf_counter(), time.process_time()
            route(decider, text)
            took_ms.append(1e3 * (time.perf_counter() - began))
            used_ms.append(1e3 * (time.process_time() - used))
        print(f"route, warm, in process, embedding included, {len(took_ms)} prompts:")
        for what, ms in (("wall", took_ms), ("processor", used_ms)):
            p50, p95 = np.quantile(ms, (0.5, 0.95))
            print(f"  {what}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


def main(what: str = "intents", n: str = "5000") -> None:
    if what == "intents":
        table(*intents())
    elif what == "long":
        long()
    elif what == "choice":
        choice()
    else:
        speed(int(n))


if __name__ == "__main__":
    main(*sys.argv[1:])
