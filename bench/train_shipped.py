"""Train the router that ships: python bench/train_shipped.py OUTCOMES_DIR [--embeddings CACHE_DIR] [-o FOLDER].

OUTCOMES_DIR holds train/*.jsonl.gz. Only files there are read, and the judged prompts of routing/weights/everyday: what measures the
router is never trained on. First the lexicon (routing/weights/words.npy), then the router. The same files and versions give the same
bytes on the same kind of processor: the embedder's last bits are those of its instructions.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# One thread, and the kernels of every x86-64 processor of the last ten years: sums are taken in one order everywhere.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import numpy as np

from scrimp.profiles.files import replacing
from scrimp.routing.learn.data.judged import Judged, everyday, weighted_kappa
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.fitting.lesson import new_lexicon
from scrimp.routing.learn.fitting.recipe import SHIPPED_RECIPE
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.prompts import words
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache
from scrimp.routing.router.folder import write_router
from scrimp.routing.router.in_force import shipped_folder

FILES = (
    "zeroeval", "llmrouter", "mmlu_pro", "reasoning_gym", "medagents", "m_ifeval", "livecodebench", "korbench", "lineage_bench",
    "misguided_attention",
)  # fmt: skip
JUDGED_OUTCOMES = Path(__file__).parent / "judged_outcomes.jsonl"
"""Levels of public prompts by their ids; the prompts are in the outcome files."""

ABOUT = {
    "date": "2026-11-28",
    "data": [
        {"name": "zeroeval", "from": "WildEval/ZeroEval 8c1485ed", "licence": "Apache-2.0"},
        {"name": "llmrouter", "from": "ulab-uiuc/LLMRouter 4e7a7969", "licence": "MIT"},
        {"name": "mmlu_pro", "from": "TIGER-AI-Lab/MMLU-Pro f418b116", "licence": "Apache-2.0"},
        {
            "name": "reasoning_gym, medagents, m_ifeval, korbench, lineage_bench, misguided_attention",
            "licence": "Apache-2.0, MIT or CC0",
        },
        {"name": "livecodebench", "licence": "pass rates CC BY-SA 4.0"},
        {"name": "everyday", "from": "routing/weights/everyday", "licence": "as scrimp"},
    ],
    "notes": [
        "Levels of difficulty are judgements, not outcomes: by two readings of a language model each (docs/model-card.md).",
        "Outcomes are of models of 2023 to 2025: what carries over is how hard a prompt is, not a model's name.",
        "llmrouter's labels are noisy: 119 prompts stood twice in it with 50 differing score vectors.",
        "Left out: multiple choice by ChatQA models and MMLU by qwen2.5-7b, where answers were not extracted.",
    ],
}


def judged_prompts(outcomes):
    """The everyday prompts and the judged public ones, whose texts are in the outcomes."""
    own = everyday()
    text = dict(zip(outcomes.ids, zip(outcomes.sources, outcomes.prompts, strict=True), strict=True))
    rows = [json.loads(line) for line in JUDGED_OUTCOMES.read_text().splitlines()]
    rows = [row for row in rows if row["id"] in text]
    return Judged(
        own.ids + tuple(row["id"] for row in rows),
        own.kinds + tuple("public/" + text[row["id"]][0] for row in rows),
        own.prompts + tuple(text[row["id"]][1] for row in rows),
        np.append(own.levels, [float(np.mean(row["levels"])) for row in rows]),
    ), weighted_kappa(*zip(*(row["levels"] for row in rows), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=shipped_folder())
    parser.add_argument("--lexicon", type=Path, default=words.LEXICON, help="where the lexicon is written")
    args = parser.parse_args()
    embedder = Embedder()
    embed = VectorCache(embedder, args.embeddings).embed if args.embeddings else embedder.embed
    outcomes = read_outcomes([args.outcomes / "train" / f"{name}.jsonl.gz" for name in FILES])
    judged, kappa = judged_prompts(outcomes)
    if not words.LEXICON.exists():
        np.save(words.LEXICON, np.zeros(words.BUCKETS, np.float16))
    lexicon = new_lexicon(outcomes, embed, judged, recipe=SHIPPED_RECIPE)
    with replacing(args.lexicon, mode=0o666) as file:
        np.save(file, lexicon)
    words.LEXICON = args.lexicon
    words.shipped_lexicon.cache_clear()
    about = {
        **ABOUT,
        "judged": {
            "n_public": sum(kind.startswith("public/") for kind in judged.kinds),
            "kappa_public": round(kappa, 3),
        },
    }
    router = train(
        outcomes,
        embed,
        embedder.id,
        judged=judged,
        recipe=SHIPPED_RECIPE,
        version="shipped-2026.11.2",
        seed=0,
        about=about,
    )
    write_router(router, args.out)
    print({key: router.card[key] for key in ("n_prompts", "n_outcomes", "n_judged", "held_out_rows")}, router.prior)
    print(json.dumps(router.card["level"], indent=1))
    print(router.card["held_out_sources"]["rank_correlation"], router.card["held_out_sources"]["ece"])


if __name__ == "__main__":
    main()
