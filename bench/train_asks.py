"""Fit what tells questions of a whole text from questions of a place in it: python bench/train_asks.py [-o FILE].

The sentences are our own (`readings/asks.txt`; the blanks in them are filled from `readings/slots.txt`). Every fifth
sentence with all its fillings is held out, the penalty is chosen on those that are left, and what ships is fitted on
all of them. Printed: the area under the curve of the held-out ones and which are taken wrongly.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from scrimp.routing.asking.read import WHOLE_FROM
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.router.text_questions import BUCKETS, DIM, HEADS, WEIGHTS, pieces_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HERE = Path(__file__).parent / "readings"
FILLINGS = 4
PENALTIES = (1.0, 3.0, 10.0, 30.0)
EMBEDDING = 1.5
"""How much longer the embedding is than the words' part, which is of unit length too: chosen on held-out sentences."""


def sentences(seed: int = 0) -> tuple[list[str], list[str], NDArray[np.intp]]:
    """Return texts, their kinds (w, f or c), and by which line of the file each was made."""
    slots = dict(line.split("\t") for line in (HERE / "slots.txt").read_text("utf-8").splitlines())
    rng = random.Random(seed)
    texts, kinds, lines = [], [], []
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
            lines.append(number)
    return texts, kinds, np.array(lines)


def features(texts: list[str]) -> Floats:
    """Return `(n, DIM + BUCKETS)`: embeddings, made longer, and pieces of words."""
    words = np.zeros((len(texts), BUCKETS))
    for row, text in zip(words, texts, strict=True):
        for bucket, value in pieces_of(text).items():
            row[bucket] = value
    return np.hstack([EMBEDDING * Embedder().embed(texts), words])


def main() -> None:
    """Fit, print what the held-out sentences say, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS)
    texts, kinds, lines = sentences()
    x = features(texts)
    held = lines % 5 == 0
    each = 1.0 / np.bincount(lines)[lines]  # a line counts once, however many fillings it has
    rows = []
    for name in HEADS:  # each fitted by itself
        y = np.array([kind == name[0] for kind in kinds])
        used = x.copy()
        if name.endswith("words"):
            used[:, :DIM] = 0.0
        best = max(PENALTIES, key=lambda c: -_loss(used[~held], y[~held], lines[~held], each[~held], c))
        model = _head(best).fit(used[~held], y[~held], sample_weight=each[~held])
        p = model.predict_proba(used[held])[:, 1]
        limit = WHOLE_FROM if name.startswith("whole") else 0.5
        wrong = [(texts[i], round(float(q), 2)) for i, q in zip(np.flatnonzero(held), p, strict=True)]
        wrong = [(text, q) for (text, q), true in zip(wrong, y[held], strict=True) if (q >= limit) != true]
        found = roc_auc_score(y[held], p)
        print(f"{name}: C {best:g}, held out {held.sum()}: AUC {found:.3f}, wrong {len(wrong)} at {limit:g}")
        for text, q in wrong:
            print(f"    {q:.2f}  {text}")
        model = _head(best).fit(used, y, sample_weight=each)
        coefficients = model.coef_[0].copy()
        coefficients[:DIM] *= EMBEDDING
        rows.append([*coefficients, *model.intercept_])
    np.save(parser.parse_args().output, np.array(rows, np.float16))


def _head(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=3000)


def _loss(x: Floats, y: NDArray[np.bool_], lines: NDArray[np.intp], each: Floats, c: float) -> float:
    p = cross_val_predict(_head(c), x, y, groups=lines, cv=GroupKFold(5), method="predict_proba")[:, 1]
    p = np.clip(np.where(y, p, 1.0 - p), 1e-6, 1.0)
    return float(-(each * np.log(p)).sum())


if __name__ == "__main__":
    main()
