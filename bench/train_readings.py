"""Fit P(right | arm, reading, ...): python bench/train_readings.py OUTCOMES [--docs FOLDER] [-o FILE].

OUTCOMES is LaRA's (`shared/data/lara/outcomes.jsonl.gz`): stored answers of 13 models to questions over long texts, read
whole and in passages. Only coefficients are written. What stands beside them in the fit, and is not kept: each model's
level, the kinds of texts and of questions, and the length's own effect (its questions are others).

The score of the best passage is of our own retrieval, for the texts that lie in --docs; of the others it is missing. It
is found once and kept beside the output of --best, since it takes minutes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.sources import Source
from scrimp.routing.retrieval.passages import passages
from scrimp.routing.router.abilities import place_arm, shipped_table
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.readings import COEFFICIENTS, Coefficients
from scrimp.routing.router.text_questions import asks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LENGTHS = {"32k": 32_000, "128k": 128_000}
N_SENT = 3_300
"""Tokens of the passages that LaRA's models were sent."""

BASE = 0.2
"""How many questions of a text it does not answer: supposed. In LaRA it is 39%, by design."""

BY_ITSELF = 0.3
SILENT_TOKENS = 40
"""On a question that the text answers, a wrong answer of at most so many tokens is taken to say that it is silent."""


@dataclass(frozen=True, slots=True)
class Lara:
    """LaRA's questions and outcomes.

    Attributes
    ----------
    whole, passages, out_whole, out_passages
        `(n, m)` scores and output tokens; NaN where there is none.
    comparison, best
        `(n,)`; best is 0 where it is missing.
    """

    rows: list[dict[str, Any]]
    models: tuple[str, ...]
    whole: Floats
    passages: Floats
    out_whole: Floats
    out_passages: Floats
    embeddings: NDArray[np.float32]
    comparison: Floats
    wants_whole: Floats
    best: Floats
    flat: Floats

    @property
    def files(self) -> NDArray[np.str_]:
        """The file that each question is about."""
        return np.array([row["file"] for row in self.rows])

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which questions the text does not answer."""
        return np.array([row["task"] == "hallu" for row in self.rows])

    @property
    def n_tokens(self) -> NDArray[np.intp]:
        """Tokens of each text."""
        return np.array([LENGTHS[row["length"]] for row in self.rows])


def read(path: Path, docs: Path | None) -> Lara:
    """Read the outcomes, and find for each question what our own code sees of it."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    models = tuple(sorted({name for row in rows for name in row["models"]}))

    def cells(reading: str, key: str) -> Floats:
        return np.array([[row["models"].get(m, {}).get(reading, {}).get(key, np.nan) for m in models] for row in rows])

    embedder = Embedder()
    vectors = embedder.embed([row["question"] for row in rows])
    asked = [asks_of(row["question"], vector) for row, vector in zip(rows, vectors, strict=True)]
    best = np.zeros((len(rows), 2))
    sources: dict[Path, Source] = {}
    for at, row in enumerate(rows):
        text = None if docs is None else docs / row["length"] / f"{row['file']}.gz"
        if text is None or not text.exists():
            continue
        if text not in sources:
            sources = {text: Source(row["file"], gzip.decompress(text.read_bytes()).decode("utf-8", "replace"))}
        found = passages([sources[text]], row["question"], vectors[at], embedder, budget=N_SENT)
        best[at] = found.best, found.flat
    return Lara(
        rows, models, cells("whole", "score"), cells("passages", "score"), cells("whole", "output_tokens"),
        cells("passages", "output_tokens"), vectors, np.array([each.comparison for each in asked]),
        np.array([each.whole for each in asked]), best[:, 0], best[:, 1],
    )  # fmt: skip


def abilities(models: Sequence[str]) -> Floats:
    """Return where models stand on the scale of abilities."""
    return np.array([place_arm(shipped_table(), ArmInfo(name=m, model=m)).ability for m in models])


def fit(lara: Lara, rows: NDArray[np.intp] | None = None) -> Coefficients:
    """Fit on some of the questions; None: on all."""
    index = np.arange(len(lara.rows)) if rows is None else rows
    known = index[lara.best[index] > 0.0]
    mean = float(lara.best[known].mean()) if len(known) else 0.5
    silent_best = 0.0
    if len(known) > 50 and 0 < lara.silent[known].sum() < len(known):
        of_best = LogisticRegression(C=10.0).fit((lara.best[known] - mean)[:, None], lara.silent[known])
        silent_best = max(0.0, -float(of_best.coef_[0, 0]))
    best = np.where(lara.best > 0.0, lara.best - mean, 0.0)
    answers = _fit_part(lara, index[~lara.silent[index]], best, miss=True)
    silent = _fit_part(lara, index[lara.silent[index]], best, miss=False)
    found = found_shares(lara, index)
    return Coefficients(
        strain=answers[0], strain_ability=answers[1], doubt=silent[0], doubt_ability=silent[1], miss=answers[2],
        miss_comparison=answers[3], miss_best=answers[4],
        silence=_level(lara, index[lara.silent[index]]) - _level(lara, index[~lara.silent[index]]),
        silent_best=silent_best, base=BASE, best_mean=mean,
        spread=_spread(lara, index, answers, silent), by_itself=BY_ITSELF, **found,
    )  # fmt: skip


def _level(lara: Lara, index: NDArray[np.intp]) -> float:
    """Return the logit of the mean score from passages: where little is strained by length."""
    p = float(np.nanmean(lara.passages[index]))
    return math.log(p / (1.0 - p))


def found_shares(lara: Lara, index: NDArray[np.intp], n: int = SILENT_TOKENS) -> dict[str, float]:
    """Return how often `found` passes an answer from passages: of those that are right, wrong, and wrong of a silent text.

    The texts of answers are not stored. On a question that the text answers, one is taken to say that the text is silent
    where its score is 0 and it is short (`n` tokens); a right one never is. Of a silent text a right one says so, always.
    """
    rest = index[~lara.silent[index]]
    wrong = lara.passages[rest] == 0.0
    short = wrong & (lara.out_passages[rest] <= n)
    return {"found_right": 0.99, "found_wrong": float(1.0 - short.sum() / max(1, wrong.sum())), "found_silent": 1.0}


def _terms(params: Floats, lara: Lara, index: NDArray[np.intp], best: Floats, *, miss: bool) -> tuple[Floats, Floats]:
    """Return `(n, m)` what whole and passages lose, in logits."""
    ability = abilities(lara.models).clip(-2.0, 2.0)
    slope = np.logaddexp(0.0, params[0] - params[1] * ability)[None, :]
    long = np.log2(1.0 + lara.n_tokens[index] / 32_000.0)[:, None]
    short = math.log2(1.0 + N_SENT / 32_000.0)
    lost = np.zeros(len(index))
    if miss:
        lost = np.logaddexp(0.0, params[2] + params[3] * lara.comparison[index] - params[4] * best[index])
        lost *= 1.0 - N_SENT / lara.n_tokens[index]
    return slope * long, slope * short + lost[:, None]


def _fit_part(lara: Lara, index: NDArray[np.intp], best: Floats, *, miss: bool) -> list[float]:
    """Return strain, its ability, and of what passages miss: miss, comparison, best."""
    n_own = 5 if miss else 2
    beside = np.array(
        [
            [row["length"] == "128k", *(row["kind"] == k for k in ("book", "paper")), row["task"] == "comp",
             row["task"] == "reasoning"]
            for row in (lara.rows[i] for i in index)
        ],
        float,
    )  # fmt: skip
    m = len(lara.models)
    scores = (lara.whole[index], lara.passages[index])

    def loss(params: Floats) -> float:
        base = params[n_own : n_own + m][None, :] + (beside @ params[n_own + m :])[:, None]
        total = 0.0
        for y, lost in zip(scores, _terms(params, lara, index, best, miss=miss), strict=True):
            x = base - lost
            total += float(np.nansum(np.logaddexp(0.0, x) - y * x))
        ridge = 0.5 * float((params[n_own:] ** 2).sum()) + 2.0 * float((params[:n_own] ** 2).sum())
        return total + ridge

    start = np.concatenate([np.full(n_own, 0.1), np.ones(m), np.zeros(beside.shape[1])])
    start[:1] = -1.0
    bounds = [(-4.0, 3.0), (0.0, 3.0), (-4.0, 3.0), (0.0, 4.0), (0.0, 6.0)][:n_own] + [(-6.0, 6.0)] * (
        m + beside.shape[1]
    )
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return [float(each) for each in found.x[:n_own]]


def _spread(lara: Lara, index: NDArray[np.intp], answers: list[float], silent: list[float]) -> float:
    """Return how far models stand from the lines at 128k beyond chance: sd of what passages win over the whole, logits."""
    best = np.where(lara.best > 0.0, lara.best - lara.best[lara.best > 0.0].mean(), 0.0)
    over: list[float] = []
    for is_silent, params in ((False, answers), (True, silent)):
        part = index[(lara.silent[index] == is_silent) & (lara.n_tokens[index] > 100_000)]
        whole, some = _terms(np.array(params), lara, part, best, miss=not is_silent)
        for k in range(len(lara.models)):
            a, b = np.nanmean(lara.passages[part, k]), np.nanmean(lara.whole[part, k])
            n = len(part)
            seen = math.log(a / (1 - a)) - math.log(b / (1 - b))
            chance = 1.0 / (n * a * (1 - a)) + 1.0 / (n * b * (1 - b))
            over.append((seen - float((whole - some)[:, k].mean())) ** 2 - chance)
    return math.sqrt(max(0.01, float(np.mean(over))))


def main() -> None:
    """Fit on all, print what was found, and write the coefficients."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--docs", type=Path, help="filings for our own retrieval: FOLDER/LENGTH/FILE.gz")
    parser.add_argument("-o", "--output", type=Path, default=COEFFICIENTS)
    args = parser.parse_args()
    lara = read(args.outcomes, args.docs)
    at = fit(lara)
    known = lara.best > 0.0
    print(f"{len(lara.rows):,} questions, {len(lara.models)} models; the best passage is known of {known.sum():,}")
    if known.any():
        print(f"AUC of -best for silence: {roc_auc_score(lara.silent[known], -lara.best[known]):.3f}")
    task = np.array([row["task"] for row in lara.rows])
    print(f"AUC of P(comparison) for LaRA's own: {roc_auc_score(task == 'comp', lara.comparison):.3f}")
    for name, value in asdict(at).items():
        print(f"  {name:16} {value:8.4f}")
    card = {
        "fitted_on": "LaRA (Alibaba-NLP/LaRA, MIT): 1,000 questions, 13 models of 2024, whole and passages",
        "by": "bench/train_readings.py",
        "coefficients": {name: round(value, 4) for name, value in asdict(at).items()},
    }
    args.output.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
