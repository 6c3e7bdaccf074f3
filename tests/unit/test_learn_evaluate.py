"""Learning and judging on simulated outcomes with known truth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scrimp.profiles.errors import DataError, ScrimpError
from scrimp.routing.learn.data.judged import Judged
from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.data.outcomes import Outcomes
from scrimp.routing.learn.fitting.fit import CALIBRATED_FROM, fit
from scrimp.routing.learn.fitting.train import train
from scrimp.routing.learn.maths.heads import sigmoid
from scrimp.routing.learn.maths.metrics import ece
from scrimp.routing.learn.measuring.evaluate import evaluate
from scrimp.routing.learn.measuring.plot import plot
from scrimp.routing.prompts.surface import surface_matrix
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router, write_router
from scrimp.routing.router.learned import ArmLayer, LearnedRouter

DIM = 16


def vectors(prompts):
    """Embed a prompt by the number it ends with."""
    out = []
    for prompt in prompts:
        rng = np.random.default_rng(int(prompt.rsplit(" ", 1)[1]))
        v = rng.normal(size=DIM)
        out.append(v / np.linalg.norm(v))
    return np.array(out, dtype=np.float32)


def world(n=600, *, informative=3.0, start=0, seed=0, models=("dear", "middle", "cheap"), costs=(0.01, 0.002, 0.0004)):
    """Return outcomes of models whose success falls with a hidden difficulty, a direction of the embedding."""
    rng = np.random.default_rng(seed)
    prompts = tuple(f"question number {start + i:06d}" for i in range(n))
    difficulty = informative * vectors(prompts)[:, 0] * 2.0
    ability = np.array([2.0, 1.0, 0.0])[: len(models)]
    p = sigmoid(ability[None, :] - difficulty[:, None])
    score = (rng.random(p.shape) < p).astype(float)
    shape = score.shape
    return (
        Outcomes(
            ids=tuple(str(start + i) for i in range(n)),
            sources=tuple(("first", "second", "third")[i % 3] for i in range(n)),
            categories=(None,) * n,
            prompts=prompts,
            models=tuple(models),
            score=score,
            input_tokens=np.full(shape, 10.0),
            output_tokens=np.full(shape, 100.0),
            cost_usd=np.tile(np.array(costs[: len(models)]), (n, 1)),
        ),
        p,
    )


def judged(n=200, *, start=90_000):
    """Return prompts of the same world, of five kinds, judged by their hidden difficulty."""
    prompts = tuple(f"question number {start + i:06d}" for i in range(n))
    levels = np.clip(np.round(3.0 + 2.0 * 6.0 * vectors(prompts)[:, 0]), 1.0, 5.0)
    return Judged(prompts, tuple(f"kind {i % 5}" for i in range(n)), prompts, levels)


@pytest.fixture(scope="module")
def trained():
    return train(world(900)[0], vectors, "test-embedder", judged=judged(), version="t1", seed=1)


def test_a_trained_router_is_calibrated_on_fresh_rows(trained):
    fresh, p = world(1500, start=50_000, seed=5)
    arms = [ArmInfo(name=m, model=m) for m in fresh.models]
    predictions = trained.predict(vectors(fresh.prompts), surface_matrix(fresh.prompts), arms)
    assert predictions.basis == ("calibrated",) * 3
    near = predictions.ood < 0.9
    assert ece(predictions.quality[near].ravel(), fresh.score[near].ravel()) < 0.05
    assert np.corrcoef(predictions.quality[near].ravel(), p[near].ravel())[0, 1] > 0.8


def test_training_repeats_to_the_byte(trained, tmp_path):
    again = train(world(900)[0], vectors, "test-embedder", judged=judged(), version="t1", seed=1)
    for name, router in (("a", trained), ("b", again)):
        write_router(router, tmp_path / name)
    for file in ("card.json", "router.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert read_router(tmp_path / "a").models == ("dear", "middle", "cheap")


def test_levels_are_the_same_when_they_are_read_again(trained, tmp_path):
    """Centres are stored as float16, and were rounded to it before weights were fitted to them."""
    write_router(trained, tmp_path / "v")
    back = read_router(tmp_path / "v")
    fresh = world(400, start=60_000)[0].prompts
    levels = [each.levels(each.features(vectors(fresh), surface_matrix(fresh))) for each in (trained, back)]
    assert np.ptp(levels[0]) > 1.5
    np.testing.assert_allclose(levels[1], levels[0], atol=1e-2)


def test_two_sources_are_too_few_for_a_head(trained):
    outcomes = world(900)[0]
    two = replace(outcomes, sources=tuple(("first", "second")[i % 2] for i in range(900)))
    router = train(two, vectors, "test-embedder", judged=judged(), version="t2", seed=1)
    arms = [ArmInfo(name=m, model=m) for m in outcomes.models]
    assert [trained.own_head(arm) for arm in arms] == [0, 1, 2]
    assert [router.own_head(arm) for arm in arms] == [None] * 3
    predictions = router.predict(vectors(outcomes.prompts), surface_matrix(outcomes.prompts), arms)
    assert predictions.basis == ("prior",) * 3
    assert (np.diff(predictions.quality.mean(axis=0)) < 0).all()  # dear, middle, cheap: abilities are known yet


@pytest.mark.parametrize(
    ("how", "says"),
    [("few", "40 prompts"), ("one model", "one model"), ("constant", "same"), ("nothing in common", "compared")],
)
def test_nothing_to_train_on(how, says):
    outcomes, _ = world(40 if how == "few" else 100)
    if how == "one model":
        outcomes = outcomes.only(["dear"])
    if how == "constant":
        outcomes.score[:] = 1.0
    if how == "nothing in common":
        outcomes.score[np.arange(100)[:, None] % 3 != np.arange(3)] = np.nan
    with pytest.raises(DataError, match=says):
        train(outcomes, vectors, "e", judged=judged(), version="t")


def test_fitting_moves_from_the_prior_to_the_truth(trained):
    """An unseen model that is far better than its tier: a hundred outcomes say so."""
    outcomes, _ = world(1200, start=70_000, seed=7, models=("dear",), costs=(0.01,))
    arm = ArmInfo(name="new", model="acme/new", tier="small")
    e, s = vectors(outcomes.prompts), surface_matrix(outcomes.prompts)
    truth = outcomes.score[600:, 0].mean()
    errors, widths = [], []
    for n in (5, 100, 600):
        log = of_scores([arm.name], outcomes.score[:n], e[:n], s[:n])
        p = fit(trained, [arm], log, version="mine").router.predict(e[600:], s[600:], [arm])
        errors.append(abs(p.quality.mean() - truth))
        widths.append(float((p.quality_high - p.quality_low).mean()))
        assert p.basis == (("calibrated",) if n >= CALIBRATED_FROM else ("prior",))
    before = abs(trained.predict(e[600:], s[600:], [arm]).quality.mean() - truth)
    assert errors[2] < 0.05 < before
    assert errors[1] < before
    assert widths[2] < widths[0]


def test_a_router_that_knows_helps(trained):
    report = evaluate(world(1000, start=10_000, seed=2)[0], trained, vectors, fit=500, seed=3, n_bootstrap=100)
    rows = {row.router: row.metrics for row in report.rows}
    assert report.verdict == "helps"
    assert report.n_fit == 500
    assert report.n_test == 500
    assert rows["fitted"]["aiq"].value > rows["random"]["aiq"].value
    assert rows["oracle"]["aiq"].value >= rows["fitted"]["aiq"].value
    assert rows["fitted"]["aiq"].low <= rows["fitted"]["aiq"].value <= rows["fitted"]["aiq"].high
    assert 0 < rows["fitted"]["oracle_share"].value < 1
    assert set(rows) == {"shipped", "fitted", "knn", "cluster", "ridge", "length", "random", "oracle"}


def test_the_fitted_row_is_what_refit_would_ship(trained, monkeypatch):
    """The fit that `refit` puts into a version, on the same outcomes, has the row's own curve."""
    outcomes, seed = world(400, start=12_000, seed=2)[0], 3
    seen = {}

    def spy(self, e, s, arms, *, predict=LearnedRouter.predict):
        seen[self.version] = predict(self, e, s, arms)
        return seen[self.version]

    monkeypatch.setattr(LearnedRouter, "predict", spy)
    evaluate(outcomes, trained, vectors, fit=200, seed=seed, n_bootstrap=5)
    order = np.random.default_rng(seed).permutation(400)
    part, test = outcomes.take(order[:200]), outcomes.take(order[200:])
    arms = [ArmInfo(name=m, model=m) for m in outcomes.models]
    log = of_scores(outcomes.models, part.score, vectors(part.prompts), surface_matrix(part.prompts))
    mine = fit(trained, arms, log, version="r0001", seed=seed).router
    mine.predict(vectors(test.prompts), surface_matrix(test.prompts), arms)
    assert seen["fitted"].quality == pytest.approx(seen["r0001"].quality)
    assert seen["fitted"].basis == ("calibrated",) * 3


def test_a_version_of_ones_own_is_no_head_start(trained):
    """`--router r0001 --fit N` fits from the router below its layers, as `refit` does."""
    outcomes = world(400, start=12_000, seed=2)[0]
    layer = ArmLayer(np.ones_like(trained.weights.tokens), 10, 0.1, calibrated=True)
    mine = trained.with_layers({"dear": layer}, "r0001")
    rows = [
        {row.router: row for row in evaluate(outcomes, router, vectors, fit=200, n_bootstrap=5).rows}
        for router in (trained, mine)
    ]
    assert rows[0]["fitted"] == rows[1]["fitted"]


def test_nothing_to_learn_from_is_said(trained):
    outcomes, other = world(100, start=12_000)[0], world(100, start=13_000)[0]
    other.score[:] = np.nan
    with pytest.raises(DataError, match="no outcomes of these models"):
        evaluate(outcomes, trained, vectors, fit=other, n_bootstrap=5)


def test_where_prompts_tell_nothing_routing_does_not_help(trained):
    report = evaluate(
        world(1000, informative=0.0, start=20_000, seed=4)[0], trained, vectors, fit=500, seed=3, n_bootstrap=200
    )
    assert report.verdict == "does not help"
    assert "Routing does not help here" in report.why


def test_a_pair_without_costs(trained):
    outcomes, _ = world(800, start=30_000, seed=6)
    outcomes.cost_usd[:] = np.nan
    report = evaluate(outcomes, trained, vectors, fit=400, strong="dear", weak="cheap", n_bootstrap=100)
    rows = {row.router: row.metrics for row in report.rows}
    assert rows["fitted"]["apgr"].value > 0.55
    assert rows["random"]["apgr"].value == pytest.approx(0.5, abs=0.15)
    assert "aiq" not in rows["fitted"]
    assert rows["fitted"]["cpt50"].value < 50
    assert report.strong == "dear"


def test_the_report_is_plain_json(trained):
    report = evaluate(world(200, start=40_000)[0], trained, vectors, n_bootstrap=20)
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["schema_version"] == 1
    assert plain["best_single"]["chosen_on"] == "test"
    row = plain["rows"][0]
    assert row["router"] == "shipped"
    assert {"aiq", "aiq_low", "aiq_high", "perf_gain", "cost_save", "cost_save_1pt", "ece", "brier", "accuracy"} <= set(
        row
    )


def test_the_same_seed_gives_the_same_report(trained):
    outcomes = world(300, start=45_000)[0]
    first, second = (evaluate(outcomes, trained, vectors, fit=150, seed=9, n_bootstrap=20).to_json() for _ in range(2))
    assert first == second


def test_prompts_trained_on_are_said_so(trained):
    report = evaluate(world(300)[0], trained, vectors, fit=150, n_bootstrap=5)
    notes = {row.router: row.note for row in report.rows}
    assert "trained on" in notes["shipped"]
    assert "from zero" in notes["fitted"]


def test_ten_rows_conclude_nothing(trained):
    report = evaluate(world(10, start=60_000)[0], trained, vectors, n_bootstrap=20)
    assert report.verdict == "inconclusive"
    assert "too few" in report.why


def test_missing_cells_are_skipped(trained):
    outcomes, _ = world(400, start=61_000)
    outcomes.score[::3, 0] = np.nan
    outcomes.cost_usd[::3, 0] = np.nan
    outcomes.score[0] = np.nan
    report = evaluate(outcomes, trained, vectors, fit=200, n_bootstrap=20)
    assert report.n_test >= 199


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"strong": "dear"}, "needs both"),
        ({"strong": "dear", "weak": "dear"}, "both"),
        ({"strong": "dear", "weak": "none"}, "no outcomes of a model"),
        ({"fit": 400}, "nothing to test on"),
        ({"fit": 0}, "nothing to fit on"),
    ],
)
def test_what_cannot_be_asked(trained, change, says):
    with pytest.raises(ScrimpError, match=says):
        evaluate(world(100, start=62_000)[0], trained, vectors, n_bootstrap=5, **change)


def test_nothing_to_judge_by(trained):
    outcomes, _ = world(100, start=63_000)
    with pytest.raises(DataError, match="one model only"):
        evaluate(outcomes.only(["dear"]), trained, vectors)
    other, _ = world(100, start=64_000, models=("x", "y", "z"))
    with pytest.raises(DataError, match="in common"):
        evaluate(outcomes, trained, vectors, fit=other)
    outcomes.score[:] = 0.0
    with pytest.raises(DataError, match="every score is 0"):
        evaluate(outcomes, trained, vectors)


def test_equal_costs_and_equal_models_behave(trained):
    outcomes, _ = world(200, start=65_000, costs=(0.001, 0.001, 0.001))
    outcomes.score[:, 1] = outcomes.score[:, 0]
    report = evaluate(outcomes, trained, vectors, fit=100, n_bootstrap=20)
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.parametrize("priced", [True, False])
def test_a_picture(trained, tmp_path, priced):
    outcomes = world(120, start=66_000)[0].only(["dear", "cheap"])
    if not priced:
        outcomes.cost_usd[:] = np.nan
    report = evaluate(outcomes, trained, vectors, strong="dear", weak="cheap", n_bootstrap=5)
    (row,) = [row for row in report.rows if row.router == "shipped"]
    assert row.calls[0] == (0.0, pytest.approx(outcomes.score[:, 1].mean()))
    assert row.calls[-1] == (1.0, pytest.approx(outcomes.score[:, 0].mean()))
    plot(report, tmp_path / "a.png")
    plot(report, tmp_path / "a.svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.startswith("<?xml")
    assert "</svg>" in drawn
    for wrong in ("a.pdf", "none/a.png"):
        with pytest.raises(ScrimpError, match="--plot"):
            plot(report, tmp_path / wrong)
