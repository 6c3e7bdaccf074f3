"""Fit P(right | arm, reading, ...): python bench/train_readings.py OUTCOMES [--docs FOLDER] [-o FILE].

OUTCOMES is LaRA's: stored answers of 13 models to questions over long texts, read
whole and in passages. Only coefficients are written. What stands beside them in the fit, and is not kept: each model's
level, the kinds of texts and of questions, and the length's own effect (its questions are others).

The score of the best passage is of our own retrieval, for the texts that lie in --docs; of the others it is missing.
What a question asks is taken as heads take it that saw none of its file.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lara import N_SENT, Lara, read_lara
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scrimp.routing.router.abilities import place_arm, shipped_table
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.readings import COEFFICIENTS, Coefficients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BASE = 0.2
"""How many questions of a text it does not answer: supposed. In LaRA it is 39%, by design."""

BY_ITSELF = 0.3
SHORT = 0.1
"""A wrong answer to a question that the text answers is taken to say that it is silent where it is no longer than this
quantile of the same model's right answers to questions that it does not answer."""


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
    return Coefficients(
        strain=answers[0], strain_ability=answers[1], doubt=silent[0], doubt_ability=silent[1], miss=answers[2],
        miss_comparison=answers[3], miss_best=answers[4],
        silence=_level(lara, index[lara.silent[index]]) - _level(lara, index[~lara.silent[index]]),
        silent_best=silent_best, base=BASE, best_mean=mean,
        spread=_spread(lara, index, answers, silent), by_itself=BY_ITSELF,
    )  # fmt: skip


def _level(lara: Lara, index: NDArray[np.intp]) -> float:
    """Return the logit of the mean score from passages: where little is strained by length."""
    p = float(np.nanmean(lara.passages[index]))
    return math.log(p / (1.0 - p))


def fires(lara: Lara, quantile: float = SHORT) -> NDArray[np.bool_]:
    """Return `(n, m)` where the check `found` is taken to fail an answer from passages.

    The texts of answers are not stored. Where the text does not answer, a right answer says so, and a wrong one does
    not. Where it does, an answer is taken to say that the text is silent if its score is 0 and it is short (`SHORT`).
    """
    right, silent = lara.passages == 1.0, lara.silent[:, None]
    short = np.zeros(right.shape, bool)
    for k in range(len(lara.models)):
        n = lara.out_passages[:, k]
        short[:, k] = n <= np.nanquantile(n[lara.silent & right[:, k]], quantile)
    return np.where(silent, right, (lara.passages == 0.0) & short)


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
    lara = read_lara(args.outcomes, args.docs)
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
