"""Measure the embedder: throughput against raw fastembed, independence from batch mates, and what truncation costs.

    python bench/embedding.py                                   # speed and determinism, on made-up prompts
    python bench/embedding.py --outcomes train/*.jsonl.gz       # the same on real prompts, and the quality of truncations

Figures are ratios taken in one run on one machine: absolute speeds say little elsewhere. docs/decisions/0002-embedding.md holds a run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from scrimp.routing.prompts import embedding as module
from scrimp.routing.prompts import minilm
from scrimp.routing.prompts.embedding import Embedder

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
    "or",
    "had",
    "an",
    "they",
    "which",
    "one",
    "model",
    "price",
    "token",
    "budget",
    "router",
    "prompt",
    "answer",
    "question",
    "prove",
    "integral",
    "matrix",
    "function",
    "return",
    "list",
    "number",
    "theorem",
    "city",
]


def made_up(n: int, seed: int) -> list[str]:
    """Prompts whose lengths spread like a batch file's: a median of 60 words, some of several hundred."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=max(3, int(rng.lognormvariate(4.1, 0.9))))) for _ in range(n)]


def read(files: list[Path]) -> list[dict[str, Any]]:
    rows = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            rows += [{**json.loads(line), "file": file.name} for line in lines]
    return rows


def raw(threads: int | None, limit: int | None = None) -> Any:
    """A bare fastembed model over the same weights, truncating at `limit` tokens (512 when None)."""
    minilm.quiet()
    import fastembed
    from fastembed.common.model_description import ModelSource, PoolingType

    folder, name = str(minilm.TOKENIZER_FOLDER), "bench/minilm"
    if not any(known["model"] == name for known in fastembed.TextEmbedding.list_supported_models()):
        fastembed.TextEmbedding.add_custom_model(
            model=name,
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf=name),
            dim=minilm.DIM,
            model_file=str(minilm.weights_file()),
        )
    model = fastembed.TextEmbedding(name, specific_model_path=folder, threads=threads, cuda=False)
    if limit is not None:
        model.model.tokenizer.enable_truncation(max_length=limit)
    return model


def rate(run: Any, n: int) -> float:
    start = time.perf_counter()
    run()
    return n / (time.perf_counter() - start)


def throughput(prompts: list[str], rounds: int) -> None:
    limit = module.HEAD_TOKENS + module.TAIL_TOKENS
    ours = Embedder()
    ours.warm()
    arms: dict[str, Any] = {"scrimp": lambda: ours.embed(prompts)}
    for threads in (1, 2, None):
        model = raw(threads, limit)
        for batch in (1, 8, 32):
            arms[f"raw, {limit} tokens, threads={threads}, batch={batch}"] = lambda m=model, b=batch: list(
                m.embed(prompts, batch_size=b)
            )
    full = raw(None)
    arms["raw, 512 tokens, threads=None, batch=1"] = lambda: list(full.embed(prompts, batch_size=1))
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):  # interleaved, so that a busy machine is busy for all
        for name, run in arms.items():
            rates[name].append(rate(run, len(prompts)))
    base = median(rates["scrimp"])
    for name, seen in rates.items():
        print(f"{median(seen):8.0f}/s   scrimp is {base / median(seen):5.2f}x   {name}")


def determinism(prompts: list[str]) -> None:
    one = Embedder(threads=1)
    alone = np.stack([one.embed([prompt])[0] for prompt in prompts])
    print("scrimp, alone against in a batch: bitwise equal:", bool((alone == Embedder(threads=2).embed(prompts)).all()))
    for batch in (8, 32):
        other = np.stack(list(raw(1, 192).embed(prompts, batch_size=batch)))
        single = np.stack(list(raw(1, 192).embed(prompts, batch_size=1)))
        gap = np.abs(other - single).max(axis=1)
        print(f"raw, batch={batch} against 1: equal rows {np.mean(gap == 0):.2f}, largest difference {gap.max():.1e}")
    two = np.stack(list(raw(2, 192).embed(prompts, batch_size=1)))
    print("raw, threads=2 against 1: equal rows", float(np.mean((two == single).all(axis=1))))


def start_up(rounds: int) -> None:
    """Cold processes: embed one prompt by the shortest fastembed script there is, and through `Embedder`."""
    folder, weights = minilm.TOKENIZER_FOLDER, minilm.weights_file()
    bare = (
        "from fastembed import TextEmbedding as T\n"
        "from fastembed.common.model_description import ModelSource as S, PoolingType as P\n"
        f"T.add_custom_model(model='a/b', pooling=P.MEAN, normalization=True, sources=S(hf='a/b'), dim=384, model_file={str(weights)!r})\n"
        f"list(T('a/b', specific_model_path={str(folder)!r}, cache_dir={str(folder)!r}).embed(['What is the capital of France?']))"
    )
    ours = "from scrimp.routing.prompts.embedding import Embedder; Embedder().embed(['What is the capital of France?'])"
    quiet = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'\n"
    codes = {
        "bare": bare,
        "bare, without onnxruntime's telemetry": quiet + bare,
        "scrimp": ours,
        "import fastembed, without telemetry": quiet + "import fastembed",
    }
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - start)
    for name, seen in times.items():
        print(f"{median(seen):6.2f} s   {median(seen) / median(times['bare']):5.2f}x bare   {name}")


def truncations(rows: list[dict[str, Any]]) -> None:
    """How well logistic heads tell right from wrong answers (mean AUC over files and models, 5-fold), by truncation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import KFold, cross_val_predict

    prompts = [row["prompt"] for row in rows]
    tokenizer = raw(1, 512).model.tokenizer
    long = np.array([len(tokenizer.encode(prompt)) > 192 for prompt in prompts])
    print(f"{len(rows)} prompts, {long.mean():.0%} above 192 tokens")
    variants: dict[str, Any] = {f"first {n}": (n, None) for n in (64, 128, 192, 256)}
    variants |= {
        "head 64 + tail 64": (None, (64, 64)),
        "head 128 + tail 64": (None, (128, 64)),
        "head 192 + tail 64": (None, (192, 64)),
    }
    for name, (limit, ends) in variants.items():
        start = time.perf_counter()
        if limit:
            vectors = np.stack(list(raw(1, limit).embed(prompts, batch_size=1)))
        else:
            module.HEAD_TOKENS, module.TAIL_TOKENS = ends
            vectors = Embedder(threads=1).embed(prompts)
        seconds = time.perf_counter() - start
        everywhere, long_only = [], []
        for file in sorted({row["file"] for row in rows}):
            where = np.array([row["file"] == file for row in rows])
            models = sorted({model for row in rows if row["file"] == file for model in row["models"]})
            for model in models:
                pick = np.array([i for i in np.flatnonzero(where) if model in rows[i]["models"]])
                right = np.array([rows[i]["models"][model]["score"] >= 0.5 for i in pick])
                if len(pick) < 200 or min(right.mean(), 1 - right.mean()) < 0.05:
                    continue
                guess = cross_val_predict(
                    LogisticRegression(C=0.1, max_iter=300),
                    vectors[pick],
                    right,
                    cv=KFold(5, shuffle=True, random_state=0),
                    method="predict_proba",
                )[:, 1]
                everywhere.append(roc_auc_score(right, guess))
                if 20 < right[long[pick]].sum() < long[pick].sum() - 20:
                    long_only.append(roc_auc_score(right[long[pick]], guess[long[pick]]))
        print(
            f"{name:20} AUC {np.mean(everywhere):.4f}   long prompts {np.mean(long_only) if long_only else float('nan'):.4f}   {len(prompts) / seconds:.0f}/s on one core",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--outcomes",
        nargs="*",
        type=Path,
        default=[],
        help="outcome files: real prompts, and scores for the truncations",
    )
    parser.add_argument("--sample", type=int, default=3000, help="outcomes used for the truncations")
    parser.add_argument("--prompts", type=int, default=200, help="prompts used for throughput")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["speed", "start", "determinism", "truncation"])
    options = parser.parse_args()
    rows = read(options.outcomes)
    random.Random(0).shuffle(rows)
    prompts = [row["prompt"] for row in rows[: options.prompts]] or made_up(options.prompts, 0)
    if options.only in (None, "start"):
        print("\n# Start-up, one prompt in a fresh process")
        start_up(options.rounds)
    if options.only in (None, "speed"):
        print("\n# Throughput")
        throughput(prompts, options.rounds)
        print("\n# Throughput, short prompts")
        throughput([prompt[:120] for prompt in prompts], options.rounds)
    if options.only in (None, "determinism"):
        print("\n# Determinism")
        determinism(prompts[:100])
    if rows and options.only in (None, "truncation"):
        print("\n# Truncation")
        truncations(rows[: options.sample])


if __name__ == "__main__":
    main()
