"""Fit what tells questions of a whole text from questions of a place in it: python bench/train_asks.py OUTCOMES [-o FILE].

The sentences are our own (`readings/asks.txt`; the blanks in them are filled from `readings/slots.txt`), in six
languages. OUTCOMES is LaRA's: its questions all ask of a place, some compare two;
only coefficients are kept of them. Every fifth sentence with all its fillings, and the questions of every fifth file,
are held out; what ships is fitted on all. Printed: the area under the curve of those held out, and which are taken
wrongly.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scrimp.routing.asking.read import WHOLE_FROM
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.router.text_questions import BUCKETS, DIM, HEADS, WEIGHTS, pieces_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HERE = Path(__file__).parent / "readings"
FILLINGS = 4
PENALTY = {"whole": 30.0, "comparison": 10.0}
EMBEDDING = 1.5
"""How much longer the embedding is than the words' part, which is of unit length too."""

LARA_WEIGHT = 0.5
"""How much a question of LaRA counts beside a sentence of ours. All three were chosen on held-out sentences."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """What the heads are fitted on.

    Attributes
    ----------
    kinds
        w (of the whole), f (of a place) or c (compares places), one a text.
    groups
        What is held out together: lines of the file of sentences, files of LaRA.
    weight
        `(n,)`.
    """

    texts: list[str]
    kinds: list[str]
    groups: NDArray[np.str_]
    weight: Floats

    def features(self) -> Floats:
        """Return `(n, DIM + BUCKETS)`: embeddings, made longer, and pieces of words."""
        words = np.zeros((len(self.texts), BUCKETS))
        for row, text in zip(words, self.texts, strict=True):
            for bucket, value in pieces_of(text).items():
                row[bucket] = value
        return np.hstack([EMBEDDING * Embedder().embed(self.texts), words])


def sentences(outcomes: Path, seed: int = 0) -> Sentences:
    """Return our own sentences and LaRA's questions."""
    slots = dict(line.split("\t") for line in (HERE / "slots.txt").read_text("utf-8").splitlines())
    rng = random.Random(seed)
    texts, kinds, groups, weight = [], [], [], []
    for number, line in enumerate((HERE / "asks.txt").read_text("utf-8").splitlines()):
        if line.startswith("#"):
            continue
        kind, form = line.split("\t")
        made = {
            re.sub(r"\{(\w+)\}", lambda blank: rng.choice(slots[blank[1]].split("|")), form) for _ in range(FILLINGS)
        }
        for text in sorted(made):
            texts.append(text)
            kinds.append(kind)
            groups.append(f"line {number}")
            weight.append(1.0 / len(made))  # a line counts once, however many fillings it has
    with gzip.open(outcomes, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            texts.append(row["question"])
            kinds.append("c" if row["task"] == "comp" else "f")
            groups.append(row["file"])
            weight.append(LARA_WEIGHT)
    return Sentences(texts, kinds, np.array(groups), np.array(weight))


def fit_heads(x: Floats, kinds: Sequence[str], weight: Floats, heads: Sequence[str] = HEADS) -> Floats:
    """Return `(n_heads, DIM + BUCKETS + 1)` weights."""
    rows = []
    for name in heads:
        used = x.copy()
        if name.endswith("words"):
            used[:, :DIM] = 0.0
        y = np.array([kind == name[0] for kind in kinds])
        model = LogisticRegression(C=PENALTY[name.split()[0]], max_iter=2000)
        model.fit(csr_matrix(used), y, sample_weight=weight)
        coefficients = model.coef_[0].copy()
        coefficients[:DIM] *= EMBEDDING
        rows.append([*coefficients, *model.intercept_])
    return np.array(rows)


def taken(x: Floats, head: Floats) -> Floats:
    """Return `(n,)` P by one head."""
    scaled = head[:-1].copy()
    scaled[:DIM] /= EMBEDDING
    found: Floats = 1.0 / (1.0 + np.exp(-(x @ scaled + head[-1])))
    return found


def main() -> None:
    """Fit, print what the held-out ones say, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    all_of = sentences(args.outcomes)
    x = all_of.features()
    order = {group: k for k, group in enumerate(dict.fromkeys(all_of.groups.tolist()))}
    held = np.array([order[group] % 5 == 0 for group in all_of.groups.tolist()])
    ours = np.array([group.startswith("line ") for group in all_of.groups.tolist()])
    kept = np.flatnonzero(~held)
    heads = fit_heads(x[kept], [all_of.kinds[i] for i in kept], all_of.weight[kept])
    for name, head in zip(HEADS, heads, strict=True):
        y = np.array([kind == name[0] for kind in all_of.kinds])
        p = taken(x, head)
        limit = WHOLE_FROM if name.startswith("whole") else 0.5
        wrong = held & ((p >= limit) != y)
        print(
            f"{name}: held out {(held & ours).sum()} of ours, AUC {roc_auc_score(y[held & ours], p[held & ours]):.3f}, "
            f"{(wrong & ours & y).sum()} missed and {(wrong & ours & ~y).sum()} too many at {limit:g}; "
            f"of LaRA's {(held & ~ours).sum()}: {(wrong & ~ours & y).sum()} missed and {(wrong & ~ours & ~y).sum()} too many"
        )
        for i in np.flatnonzero(wrong & ours):
            print(f"    {p[i]:.2f}  {all_of.texts[i]}")
    np.save(args.output, fit_heads(x, all_of.kinds, all_of.weight).astype(np.float16))


if __name__ == "__main__":
    main()
