"""Cascades on outcome files: what a plan says and costs is looked up, worked here by hand."""

import json

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.data.outcomes import read_outcomes
from scrimp.routing.learn.measuring.evaluate_cascade import evaluate_cascade
from scrimp.routing.learn.measuring.simulated_plans import answer_codes, plans_for, simulate
from scrimp.routing.plans.grammar import read_plan

MODELS = ["a", "b", "c"]
ANSWERS = [["1", "1", "2"], ["1", "2", "2"], ["1", "2", "3"], [None, None, "3"], ["4", "4", "5"]]
GOLD = ["1", "2", "3", "3", "5"]
SCORE = np.array([[float(x == gold) for x in row] for row, gold in zip(ANSWERS, GOLD, strict=True)])
COST = np.tile([1.0, 2.0, 10.0], (5, 1))
ACCURACY = np.array([0.5, 0.6, 0.8])


def codes():
    out = np.full((5, 3), -1)
    for i, row in enumerate(ANSWERS):
        seen = {}
        for j, answer in enumerate(row):
            if answer is not None:
                out[i, j] = seen.setdefault(answer, len(seen))
    return out


CASES = [
    ("a", [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]),
    ("a + b ? agree > c", [1, 1, 1, 1, 0], [3, 13, 13, 13, 3]),
    ("a + b + c vote", [1, 1, 1, 1, 0], [13] * 5),
    ("a + b ? agree > c ? most > a", [1, 1, 0, 0, 0], [3, 13, 14, 14, 3]),
    ("a + b + c ? most > c", [1, 1, 1, 1, 0], [13, 13, 23, 23, 13]),
    ("a + b + c ? agree > a", [1, 0, 0, 0, 0], [14] * 5),
]


@pytest.mark.parametrize(("text", "score", "cost"), CASES)
def test_plans_are_looked_up(text, score, cost):
    got, paid = simulate(read_plan(text, MODELS, []), MODELS, SCORE, COST, codes(), ACCURACY)
    assert got.tolist() == score
    assert paid.tolist() == cost


def test_no_answer_agrees_with_nothing():
    assert codes()[3].tolist() == [-1, -1, 0]


def write(path, n=240, models=4, *, answers=True, seed=0):
    """Outcomes of a world where cheap models agree when they are right, and the first word says how hard it is."""
    rng = np.random.default_rng(seed)
    skill = [0.75, 0.75, 0.75, 0.95][:models]
    lines = []
    for i in range(n):
        hard = rng.random() < 0.5
        cells = {}
        for j in range(models):
            right = rng.random() < (skill[j] - (0.3 if hard and j < 3 else 0.0))
            answer = "7" if right else str(100 + int(rng.integers(50)))
            cells[f"m{j}"] = {
                "score": float(right),
                "input_tokens": 10,
                "output_tokens": 10,
                "cost_usd": 0.02 if j == 3 else 0.0005,
            }
            if answers:
                cells[f"m{j}"]["answer"] = answer
        prompt = f"{'hard' if hard else 'easy'} question {i} about numbers"
        lines.append(json.dumps({"id": f"q{i}", "source": "s", "prompt": prompt, "gold": "7", "models": cells}))
    path.write_text("\n".join(lines))
    return read_outcomes([path])


def embed(prompts):
    rows = np.array([[1.0, 0.0] if prompt.startswith("hard") else [0.0, 1.0] for prompt in prompts], dtype=np.float32)
    return np.concatenate([rows, np.zeros((len(rows), 6), dtype=np.float32)], axis=1)


def test_agreement_saves_where_right_answers_agree(tmp_path):
    report = evaluate_cascade(write(tmp_path / "o.jsonl"), embed, n_bootstrap=60)
    rows = {row.router: row for row in report.rows}
    assert list(rows) == ["cascade", "fixed", "one-arm", "random"]
    assert report.best_single["model"] == "m3"
    cascade, one = rows["cascade"].metrics, rows["one-arm"].metrics
    assert cascade["cost_save_1pt"].value > 0.1
    assert cascade["cost_save_1pt"].value > one["cost_save_1pt"].value
    assert cascade["aiq"].value > one["aiq"].value > rows["random"].metrics["aiq"].value - 0.05
    assert cascade["aiq"].low <= cascade["aiq"].value <= cascade["aiq"].high
    data = report.to_json()
    assert data["schema_version"] == 1
    assert {"router", "n", "aiq", "aiq_low", "cost_save_1pt", "accuracy", "cost_usd_per_1k"} <= data["rows"][0].keys()
    json.dumps(data, allow_nan=False)


def test_the_same_seed_gives_the_same_report(tmp_path):
    outcomes = write(tmp_path / "o.jsonl", n=120)
    one, two = (evaluate_cascade(outcomes, embed, n_bootstrap=20, seed=3).to_json() for _ in range(2))
    assert one == two


def test_plans_may_be_learned_on_another_file(tmp_path):
    fit, test = write(tmp_path / "fit.jsonl", seed=1), write(tmp_path / "test.jsonl", n=100, seed=2)
    from dataclasses import replace

    test = replace(test, ids=tuple(f"t{identifier}" for identifier in test.ids))
    report = evaluate_cascade(test, embed, fit=fit, n_bootstrap=20)
    assert report.n == 100


def test_plans_may_be_learned_on_random_rows(tmp_path):
    outcomes = write(tmp_path / "o.jsonl")
    one, two = (evaluate_cascade(outcomes, embed, fit=180, seed=seed, n_bootstrap=20) for seed in (0, 1))
    assert (one.n, two.n) == (60, 60)
    assert one.to_json()["rows"] != two.to_json()["rows"]
    cascade = one.rows[0].metrics
    assert cascade["cost_per_success_usd"].value == pytest.approx(
        cascade["cost_usd_per_1k"].value / 1000 / cascade["accuracy"].value
    )
    for n in (3, 239):
        with pytest.raises(DataError, match="too few"):
            evaluate_cascade(outcomes, embed, fit=n)


def test_what_cannot_be_simulated_is_refused(tmp_path):
    with pytest.raises(DataError, match="no answers"):
        evaluate_cascade(write(tmp_path / "o.jsonl", answers=False), embed)
    with pytest.raises(DataError, match="fewer than three"):
        evaluate_cascade(write(tmp_path / "p.jsonl", models=2), embed)
    with pytest.raises(DataError, match="too few"):
        evaluate_cascade(write(tmp_path / "q.jsonl", n=20), embed)


def test_the_table_of_plans_holds_single_models_first(tmp_path):
    outcomes = write(tmp_path / "o.jsonl")
    plans = plans_for(outcomes.models, outcomes.score, outcomes.cost_usd)
    assert [plan.arms for plan in plans[:4]] == [("m0",), ("m1",), ("m2",), ("m3",)]
    assert {plan.kind for plan in plans} == {"one", "agree", "vote"}
    assert answer_codes(outcomes, ["m0", "m3"]).shape == (240, 2)
