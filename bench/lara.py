"""LaRA's stored outcomes, and what our own code sees of its questions; for `train_readings.py` and `reading.py`."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import GroupKFold
from train_asks import fit_heads, sentences, taken

from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.sources import Source
from scrimp.routing.retrieval.passages import Search
from scrimp.routing.retrieval.passages_kept import Kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["N_SENT", "Lara", "read_lara"]

LENGTHS = {"32k": 32_000, "128k": 128_000}

N_SENT = 3_300
"""Tokens of the passages that LaRA's models were sent."""

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Lara:
    """n questions, m models.

    Attributes
    ----------
    whole, passages, out_whole, out_passages
        `(n, m)` scores and output tokens; NaN where there is none.
    embeddings
        `(n, dim)`.
    wants_whole, comparison
        `(n,)` as the heads take a question that were fitted without its file.
    best, flat
        `(n,)` of our own retrieval; 0 where the text is not there.
    fold
        `(n,)` from 0 to 4, by file.
    """

    rows: list[dict[str, Any]]
    models: tuple[str, ...]
    whole: Floats
    passages: Floats
    out_whole: Floats
    out_passages: Floats
    embeddings: NDArray[np.float32]
    wants_whole: Floats
    comparison: Floats
    best: Floats
    flat: Floats
    fold: NDArray[np.intp]

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which questions the text does not answer."""
        return np.array([row["task"] == "hallu" for row in self.rows])

    @property
    def n_tokens(self) -> NDArray[np.intp]:
        """Tokens of each text."""
        return np.array([LENGTHS[row["length"]] for row in self.rows])


def read_lara(outcomes: Path, docs: Path | None) -> Lara:
    """Read the outcomes, and find for each question what our own code sees of it.

    Parameters
    ----------
    docs
        Where texts lie, as FOLDER/LENGTH/FILE.gz; None: nowhere.
    """
    with gzip.open(outcomes, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    models = tuple(sorted({name for row in rows for name in row["models"]}))

    def cells(reading: str, key: str) -> Floats:
        return np.array([[row["models"].get(m, {}).get(reading, {}).get(key, np.nan) for m in models] for row in rows])

    embedder = Embedder()
    vectors = embedder.embed([row["question"] for row in rows])
    fold = np.zeros(len(rows), np.intp)
    for k, (_, held) in enumerate(GroupKFold(FOLDS).split(vectors, groups=[row["file"] for row in rows])):
        fold[held] = k
    asked = _asked(outcomes, rows, fold)
    best = _best(docs, rows)
    return Lara(
        rows, models, cells("whole", "score"), cells("passages", "score"), cells("whole", "output_tokens"),
        cells("passages", "output_tokens"), vectors, asked[0], asked[1], best[:, 0], best[:, 1], fold,
    )  # fmt: skip


def _asked(outcomes: Path, rows: list[dict[str, Any]], fold: NDArray[np.intp]) -> Floats:
    """Return `(2, n)`: P(of the whole) and P(comparison), by heads that saw no question of the same file."""
    fitted_on = sentences(outcomes)
    x = fitted_on.features()
    place = np.arange(len(fitted_on.texts) - len(rows), len(fitted_on.texts))  # LaRA's stand last, in order
    found = np.zeros((2, len(rows)))
    for k in range(FOLDS):
        kept = np.setdiff1d(np.arange(len(x)), place[fold == k])
        heads = fit_heads(x[kept], [fitted_on.kinds[i] for i in kept], fitted_on.weight[kept], ("whole", "comparison"))
        for each, head in zip(found, heads, strict=True):
            each[fold == k] = taken(x[place[fold == k]], head)
    return found


def _best(docs: Path | None, rows: list[dict[str, Any]]) -> Floats:
    """Return `(n, 2)`: the best passage's score by words and how flat the others lie; ranked without embeddings."""
    best = np.zeros((len(rows), 2))
    kept = Kept(Path(tempfile.mkdtemp()))
    sources: dict[Path, Source] = {}
    for at, row in enumerate(rows):
        text = None if docs is None else docs / row["length"] / f"{row['file']}.gz"
        if text is None or not text.exists():
            continue
        if text not in sources:
            sources = {text: Source(row["file"], gzip.decompress(text.read_bytes()).decode("utf-8", "replace"))}
        search = Search([sources[text]], row["question"], kept)
        found = search.picked(search.by_words(), N_SENT)
        best[at] = found.best, found.flat
    return best
