"""Train the router that ships: python bench/train_shipped.py OUTCOMES_DIR [--embeddings CACHE_DIR] [-o FOLDER].

OUTCOMES_DIR holds train/*.jsonl.gz. Only files there are read: what measures the router is never trained on. The same files
and versions give the same bytes on the same kind of processor: the embedder's last bits are those of its instructions.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

# One thread, and the kernels of every x86-64 processor of the last ten years: sums are taken in one order everywhere.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"

from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.recipe import SHIPPED_RECIPE
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.folder import write_router
from scrimp.routing.router.in_force import shipped_folder
from scrimp.routing.router.learned import PLACED

FILES = ("zeroeval", "llmrouter", "mmlu_pro")
# By `scrimp probe smollm2`, with the router as it was before: the local model is no small model of its time, and says so.
PROBED = {"smollm2-135m-instruct": -2.62}
ABOUT = {
    "date": "2026-11-22",
    "data": [
        {"name": "zeroeval", "from": "WildEval/ZeroEval 8c1485ed", "licence": "Apache-2.0"},
        {"name": "llmrouter", "from": "ulab-uiuc/LLMRouter 4e7a7969", "licence": "MIT"},
        {"name": "mmlu_pro", "from": "TIGER-AI-Lab/MMLU-Pro f418b116", "licence": "Apache-2.0"},
    ],
    "notes": [
        "Models are of 2024: what carries over is how hard a prompt is, not a model's name.",
        "llmrouter's labels are noisy: 119 prompts stood twice in it with 50 differing score vectors.",
        "Left out: multiple choice by ChatQA models and MMLU by qwen2.5-7b, where answers were not extracted.",
    ],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=shipped_folder())
    args = parser.parse_args()
    embedder = Embedder()
    embed = VectorCache(embedder, args.embeddings).embed if args.embeddings else embedder.embed
    outcomes = read_outcomes([args.outcomes / "train" / f"{name}.jsonl.gz" for name in FILES])
    router = train(outcomes, embed, embedder.id, recipe=SHIPPED_RECIPE, version="shipped-2026.11", seed=0, about=ABOUT)
    placed = {PLACED + model: ability for model, ability in PROBED.items()}
    router = replace(router, prior={**router.prior, **placed})
    write_router(router, args.out)
    print({key: router.card[key] for key in ("n_prompts", "n_outcomes", "held_out_rows")}, router.prior)
    print(router.card["held_out_sources"]["rank_correlation"])


if __name__ == "__main__":
    main()
