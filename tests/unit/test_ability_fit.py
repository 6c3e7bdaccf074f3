"""Fitting abilities where the truth is known: a made world of models and benchmarks."""

import csv
import gzip
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.fitting.ability_places import Facts, fit_places, prior_mean, regress
from scrimp.routing.learn.fitting.ability_scale import Cell, fit_scale, guess_rate, read_cells, usable
from scrimp.routing.router.abilities import Known

N_MODELS, N_BENCHMARKS = 80, 24
EFFORT = {"": 0.0, "low": 0.15, "high": 0.6}


def world(seed=0, outliers=0.03):
    """Cells of models `m-0` ... of known ability on benchmarks of four sources; every fourth model has two cells only."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.0, 1.0, N_MODELS)
    slope = rng.uniform(0.6, 1.5, N_BENCHMARKS)
    difficulty = rng.normal(0.0, 1.0, N_BENCHMARKS)
    own = rng.normal(0.0, 0.2, (N_MODELS, 4))
    cells = []
    for m in range(N_MODELS):
        tried = rng.permutation(N_BENCHMARKS)[: 2 if m % 4 == 0 else 14]
        for b in tried:
            for effort, more in EFFORT.items() if m % 5 == 1 else (("", 0.0),):
                logit = slope[b] * (theta[m] + more + own[m, b % 4] - difficulty[b]) + rng.normal(0.0, 0.2)
                score = 1.0 / (1.0 + np.exp(-logit))
                if rng.random() < outliers:
                    score = rng.random()
                cells.append(Cell(f"m-{m}", effort, f"b-{b}", float(score), f"source {b % 4}", "MIT", None, ""))
    return cells, theta


def test_a_known_truth_is_found_again():
    cells, theta = world()
    scale = fit_scale(usable(cells))
    truth = np.array([theta[int(model.removeprefix("m-"))] for model in scale.models])
    many = np.array([int(model.removeprefix("m-")) % 4 != 0 for model in scale.models])
    assert spearmanr(scale.theta[many], truth[many])[0] > 0.96
    assert spearmanr(scale.theta, truth)[0] > 0.93
    slope, level = np.polyfit(scale.theta[many], truth[many], 1)
    error = truth - level - slope * scale.theta
    inside = np.abs(error) < 1.2816 * slope * scale.sd
    assert 0.65 < inside.mean() < 0.95


def test_few_cells_have_a_wide_interval():
    cells, _ = world()
    scale = fit_scale(usable(cells))
    few = np.array([int(model.removeprefix("m-")) % 4 == 0 for model in scale.models])
    assert scale.n_benchmarks[few].max() == 2
    assert scale.sd[few].min() > scale.sd[~few].max()


def test_ten_cells_of_one_source_are_not_ten_sources():
    cells, _ = world()
    one = [cell for cell in cells if cell.model != "m-1" or cell.source == "source 0"]
    apart, together = fit_scale(usable(cells)), fit_scale(usable(one))
    assert together.sd[together.models.index("m-1")] > 1.2 * apart.sd[apart.models.index("m-1")]


def test_efforts_are_shared_and_ascend():
    cells, _ = world()
    scale = fit_scale(usable(cells))
    offsets = [scale.offset[effort] for effort in ("none", "low", "medium", "high", "xhigh")]
    assert offsets == sorted(offsets)
    assert 0.2 < scale.offset["high"] - scale.offset["low"] < 0.7


def test_one_wrong_cell_moves_little():
    cells, _ = world(outliers=0.0)
    at = next(k for k, cell in enumerate(cells) if cell.model == "m-2")
    wrong = [*cells]
    wrong[at] = replace(cells[at], score=0.999 if cells[at].score < 0.5 else 0.001)
    before, after = fit_scale(usable(cells)), fit_scale(usable(wrong))
    j = before.models.index("m-2")
    assert abs(after.theta[j] - before.theta[j]) < before.sd[j]


def test_the_score_of_a_cell_is_predicted():
    cells, _ = world(outliers=0.0)
    kept = usable(cells)
    scale = fit_scale(kept)
    error = [
        scale.predict(cell.model, cell.effort, cell.benchmark) - cell.score for cell in kept if int(cell.model[2:]) % 4
    ]
    assert np.sqrt(np.mean(np.square(error))) < 0.08


def test_what_else_is_known_helps_where_cells_are_few():
    cells, theta = world(seed=3)
    kept = usable(cells)
    facts = {f"m-{m}": Facts(2025.0, float(10 ** (theta[m] / 2)), thinks=False) for m in range(N_MODELS)}
    plain, helped = fit_scale(kept), fit_scale(kept, prior_mean(facts))
    few = [j for j, model in enumerate(plain.models) if int(model[2:]) % 4 == 0]
    truth = np.array([theta[int(plain.models[j][2:])] for j in few])

    def error(scale):
        return np.std(truth - np.polyval(np.polyfit(scale.theta[few], truth, 1), scale.theta[few]))

    assert error(helped) < error(plain)


def rows(seed=0):
    """Models of two makers over three years: each better with the years, with price and with its maker's luck."""
    rng = np.random.default_rng(seed)
    found = {}
    for maker, luck in (("gpt", 0.3), ("claude", -0.2)):
        for k, version in enumerate(np.arange(1, 13)):
            for word, price in (("mini", 0.5), ("large", 12.0)):
                year = 2023.0 + k * 0.25
                ability = (year - 2024.5) * 0.8 + 0.5 * np.log10(price) + luck + rng.normal(0.0, 0.1)
                found[f"{maker}-{version}-{word}"] = Known(float(ability), 0.1, year, 9, price)
    return found


def test_later_models_are_predicted_from_earlier_ones():
    made = rows()
    coefficients = regress(made)
    assert coefficients["year"] == pytest.approx(0.8, abs=0.15)
    places = fit_places(made)
    assert places.newest == 2023.0 + 11 * 0.25
    assert 0.05 < places.sd["follows"] < 0.6  # drawn up to what is believed before
    assert places.sd["alone"] > places.sd["follows"]
    assert 0.0 <= places.weight["follows"] <= 1.0


def test_which_cells_count():
    cells, _ = world()
    odd = [
        replace(cells[0], benchmark="bullshitbench-v2"), replace(cells[0], benchmark="tau2/retail"),
        replace(cells[0], benchmark="llm-stats/tau-bench-airline"), replace(cells[0], benchmark="vectara-hhem"),
        replace(cells[0], model="modernbert-large"), replace(cells[0], benchmark="tried by one"),
    ]  # fmt: skip
    twice = replace(cells[0], score=1.0 - cells[0].score)
    assert len(usable([*cells, *odd])) == len(usable(cells))
    (mean,) = (cell for cell in usable([*cells, twice]) if cell == replace(cells[0], score=cell.score))
    assert mean.score == pytest.approx(0.5)


def test_guessing():
    assert guess_rate("llm-stats/mmlu-pro") == 0.1
    assert guess_rate("epoch/mmlu") == 0.25
    assert guess_rate("euroeval-en/knowledge") == 0.0  # its measure is 0 for guessing
    assert guess_rate("epoch/gsm8k") == 0.0


HEADER = ["model", "model_key", "effort", "release_date", "benchmark", "domain", "score", "source", "licence", "note"]


def write(path, *lines, header=HEADER):
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def test_cells_are_read(tmp_path):
    path = write(
        tmp_path / "c.csv.gz",
        ["gpt-4-turbo", "gpt-4", "", "2023-11-06", "epoch/mmlu", "knowledge", "0.8", "epoch@1", "MIT", ""],
        [
            "o4-mini-high",
            "o4-mini-high",
            "",
            "",
            "epoch/aider-polyglot",
            "code",
            "0.7",
            "epoch@1",
            "MIT",
            "self-reported",
        ],
        ["x-7b", "x-7b", "base", "", "epoch/mmlu", "knowledge", "0.8", "epoch@1", "MIT", ""],
    )
    turbo, o4 = read_cells(path)
    assert (turbo.model, turbo.effort, round(turbo.released, 2)) == ("gpt-4-turbo", "", 2023.85)
    assert (o4.model, o4.effort, o4.benchmark) == ("o4-mini", "high", "aider-polyglot")


@pytest.mark.parametrize("score", ["", "x", "1.5", "nan", "-0.1"])
def test_a_score_that_is_none_says_where(tmp_path, score):
    path = write(tmp_path / "c.csv.gz", ["a", "a", "", "", "b", "d", score, "s", "MIT", ""])
    with pytest.raises(DataError, match=r"c\.csv\.gz: line 2: score"):
        read_cells(path)
    with pytest.raises(DataError, match="no column score"):
        read_cells(write(path, header=[name for name in HEADER if name != "score"]))
