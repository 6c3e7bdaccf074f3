"""Refit: what is fitted moves as far as outcomes bear it out, and data that cannot teach is said to be so."""

import random
from dataclasses import replace

import numpy as np
import pytest
from simulated_log import labelled

from scrimp.routing.learn.decisions import Pool, greedy
from scrimp.routing.learn.fit import drift, fit, importance
from scrimp.routing.learn.labelled import contradictions
from scrimp.routing.learn.refit import disorder, history_of, refit, split
from scrimp.routing.policy import Option, choose
from scrimp.routing.predict import SHIPPED, ArmInfo, load_router


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return load_router(SHIPPED, tmp_path_factory.mktemp("routers"))


ARMS = (
    ArmInfo(name="small", model="x/small", tier="small", output_limit=1000),
    ArmInfo(name="large", model="x/large", tier="large", output_limit=1000),
)
POOL = Pool(ARMS, np.array([1e-7, 1e-5]), np.array([1e-7, 1e-5]), np.zeros(2), wtp_usd=0.02)


def world(shipped, n, *, seed=0, **over):
    """Return prompts on which the cheap arm is as good as the dear one, but on one kind of prompt."""
    rng = np.random.default_rng(seed)
    w = shipped.weights
    base = w.landmarks[rng.integers(0, len(w.landmarks), n)]
    x = base + 0.3 * rng.normal(size=base.shape).astype(np.float32) / base.shape[1] ** 0.5
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    surface = np.tile(w.surface_mean, (n, 1))
    hard = (x @ w.landmarks[0]) > np.median(x @ w.landmarks[0])
    q = np.column_stack([np.where(hard, 0.35, 0.92), np.full(n, 0.9)])
    judged = (rng.random((n, 2)) < q).astype(float)
    return labelled(
        judged, embeddings=x, surface=surface, arms=("small", "large"), cost=np.full((n, 2), np.nan), **over
    )


def test_the_array_policy_is_the_policy():
    rng = np.random.default_rng(0)
    for case in range(200):
        m = int(rng.integers(1, 5))
        quality, cost = rng.random(m).round(1), (rng.integers(0, 5, m) / 100).astype(float)
        feasible = rng.random(m) < 0.8
        bar = 0.6 if case % 3 == 0 else 0.0
        guard = case % 7 == 0
        options = [
            Option(
                arm=f"a{j}", model="x", quality=quality[j], quality_low=0, quality_high=1, basis="prior", input_tokens=1,
                output_tokens_p50=1, output_tokens_p90=1, input_bound=1, output_limit=1,
                cost_nano=round(cost[j] * 1e9), cost_p90_nano=0, bound_nano=0,
                infeasible=None if feasible[j] else "no",
            )
            for j in range(m)
        ]  # fmt: skip
        choice = choose(
            options,
            wtp_usd=0.1,
            min_quality=bar,
            default_arm="a0",
            guard="strange" if guard else None,
            rng=random.Random(0),
        )
        (mine,) = greedy(
            quality[None],
            cost[None],
            feasible[None],
            wtp_usd=0.1,
            min_quality=bar,
            default=0,
            guarded=np.array([guard]),
        )
        assert (None if mine < 0 else f"a{mine}") == choice.arm


def test_the_fit_learns_which_prompts_need_the_dear_arm_and_beats_the_shipped_heads(shipped):
    log = world(shipped, 1200)
    fitted = fit(shipped, ARMS, log, version="r0001")
    assert fitted.log_loss < fitted.log_loss_shipped - 0.02
    fresh = world(shipped, 400, seed=1)
    quality = fitted.router.predict(fresh.embeddings, fresh.surface, ARMS)
    assert quality.basis == ("calibrated", "calibrated")
    hard = fresh.judged[:, 0] == 0.0
    assert quality.quality[hard, 0].mean() < quality.quality[~hard, 0].mean() - 0.1
    assert abs(quality.quality[:, 1].mean() - 0.9) < 0.05, "calibrated on average"
    assert fitted.n_outcomes == {"small": 1200, "large": 1200}


def test_few_outcomes_leave_the_heads_near_the_shipped_ones(shipped):
    log = world(shipped, 30)
    fitted = fit(shipped, ARMS, log, version="r0001")
    before = shipped.predict(log.embeddings, log.surface, ARMS).quality
    after = fitted.router.predict(log.embeddings, log.surface, ARMS).quality
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.5
    assert fitted.router.layers["x/small"].calibrated is False


def test_a_fitted_router_reads_back_as_it_was(shipped, tmp_path):
    from scrimp.routing import versions

    log = world(shipped, 100)
    router = fit(shipped, ARMS, log, version="r0001").router
    versions.write_version(tmp_path, router, {})
    again = versions.open_version(tmp_path, "r0001")
    first, second = (each.predict(log.embeddings, log.surface, ARMS).quality for each in (router, again))
    assert first == pytest.approx(second, abs=2e-3)


def test_token_shifts_follow_what_was_counted(shipped):
    log = world(shipped, 300, output_tokens=np.tile([50.0, 800.0], (300, 1)))
    seen = fit(shipped, ARMS, log, version="r0001").router.predict(log.embeddings, log.surface, ARMS)
    assert np.median(seen.output_tokens_p50[:, 1]) / np.median(seen.output_tokens_p50[:, 0]) == pytest.approx(
        16, rel=0.2
    )


def test_predicted_tokens_add_up_to_those_counted(shipped):
    """Lengths are lopsided: planned by their median, an arm looked cheaper than it was."""
    counted = np.exp(np.random.default_rng(3).normal(5.0, 1.0, (600, 2)))
    log = world(shipped, 600, output_tokens=counted)
    seen = fit(shipped, ARMS, log, version="r0001").router.predict(log.embeddings, log.surface, ARMS)
    assert np.minimum(seen.output_tokens_p50, 1000).sum(axis=0) == pytest.approx(counted.sum(axis=0), rel=0.1)


def test_recalibration_keeps_able_and_weak_arms_apart(shipped):
    """One line through the logits of all arms drew their means together, and the able arm looked too weak."""
    arms = tuple(ArmInfo(name=model, model=model, output_limit=1000) for model in shipped.models[:3])
    rng = np.random.default_rng(0)
    log = world(shipped, 1500)
    judged = (rng.random((1500, 3)) < [0.25, 0.6, 0.92]).astype(float)
    log = labelled(judged, embeddings=log.embeddings, surface=log.surface, arms=tuple(arm.name for arm in arms))
    fitted = fit(shipped, arms, log, version="r0001")
    quality = fitted.router.predict(log.embeddings, log.surface, arms).quality
    assert quality.mean(axis=0) == pytest.approx(judged.mean(axis=0), abs=0.02)


def test_an_arm_hardly_tried_is_not_pulled_down_by_another_that_disappoints(shipped):
    log = world(shipped, 800)
    rng = np.random.default_rng(1)
    judged = np.column_stack([np.full(800, np.nan), (rng.random(800) < 0.35).astype(float)])
    judged[::200] = [[1.0, np.nan], [0.0, np.nan], [1.0, np.nan], [0.0, np.nan]]
    log = labelled(judged, embeddings=log.embeddings, surface=log.surface, arms=("small", "large"))
    before = shipped.predict(log.embeddings, log.surface, ARMS).quality.mean(axis=0)
    after = fit(shipped, ARMS, log, version="r0001").router.predict(log.embeddings, log.surface, ARMS).quality
    assert before[1] > before[0] + 0.1
    assert after[:, 1].mean() == pytest.approx(0.35, abs=0.03)
    assert after[:, 0].mean() > 0.3, "four outcomes, half of them good"


def test_prompts_like_those_fitted_on_are_not_strange(shipped):
    """A user whose prompts lie far from the public ones: after the fit only a few of them may look strange."""
    rng = np.random.default_rng(0)
    far = np.abs(rng.normal(size=(900, shipped.weights.landmarks.shape[1])))
    far = (far / np.linalg.norm(far, axis=1, keepdims=True)).astype(np.float32)
    surface = np.tile(shipped.weights.surface_mean, (900, 1))
    judged = (rng.random((900, 2)) < [0.5, 0.9]).astype(float)
    log = labelled(judged, embeddings=far, surface=surface, arms=("small", "large"))
    assert (shipped.predict(far, surface, ARMS).ood > 0.97).mean() > 0.9
    router = fit(shipped, ARMS, log.take(np.arange(600)), version="r0001").router
    assert (router.predict(far[600:], surface[600:], ARMS).ood > 0.97).mean() < 0.1


def test_weights_undo_selection_within_bounds():
    chance = np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.001, 0.999]])
    log = labelled(np.full((4, 2), np.nan), chance=chance, chosen=np.array([0, 1, 0, 0]))
    weight = importance(log)
    assert weight[0, 0] == pytest.approx(0.75 / 0.9)
    assert weight[1, 1] == pytest.approx(0.25 / 0.1)
    assert weight[3, 0] == 5.0, "clipped"
    assert weight[0, 1] == 1.0


def test_drift_is_seen():
    rng = np.random.default_rng(0)

    def unit(x):
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    old = unit(np.ones(20) + 0.5 * rng.normal(size=(300, 20)))
    assert not drift(old, unit(np.ones(20) + 0.5 * rng.normal(size=(100, 20)))).drifted
    assert drift(old, unit(-np.ones(20) + 0.5 * rng.normal(size=(100, 20)))).drifted


def test_judging_labels_are_fresh_and_later(shipped):
    log = world(shipped, 400)
    to_fit, judged = split(log, 0)
    assert len(judged) == 100
    assert to_fit.max() < judged.min()
    to_fit, judged = split(log, 350)
    assert log.first_label[judged].min() > 350
    assert len(judged) == 50
    assert len(to_fit) == 350
    assert len(split(log, 400)[1]) == 0


def test_dates_that_contradict_the_order_of_the_log(shipped):
    log = world(shipped, 400)
    to_fit, judged = split(log, 0)
    assert disorder(log, to_fit, judged) == 0.0, "without dates the order is all there is"
    for dates, share in (
        (np.arange(400.0), 0.0),
        (np.zeros(400), 0.0),  # an import: one date, the file's order
        (-np.arange(400.0), 1.0),
        (np.where(np.arange(400) == 50, 1e6, np.arange(400.0)), 0.01),
    ):
        assert disorder(replace(log, asked_at=dates), to_fit, judged) == pytest.approx(share)


def test_a_better_router_is_promoted_and_its_labels_are_used_up(shipped):
    log = world(shipped, 1600)
    result = refit(log, shipped, shipped, POOL, version="r0001")
    assert result.verdict.word == "promoted", result.verdict
    assert result.verdict.low > 0
    data = result.to_dict(version="r0001", candidate="r0001")
    assert data["gain_utility"]["low"] > 0
    assert set(data["judgement"]["values"]) == {"current", "new", "best single", "random mix"}
    again = refit(log, shipped, result.fitted.router, POOL, version="r0002", n_tests=0, watermark=result.last_label)
    assert again.verdict.word in ("refused", "no-change")
    assert "fresh" in again.verdict.reasons[0] or "alike" in again.verdict.reasons[0]


def test_the_count_of_tests_starts_again_at_a_promotion():
    def row(**values):
        return {"tested": 0, "forced": 0, "last_label": None, "verdict": "refused", **values}

    rows = [row(tested=1, last_label=10), row(), row(tested=1, last_label=30)]
    assert history_of(rows) == (2, 30)
    assert history_of([*rows, row(tested=1, last_label=40, verdict="promoted")]) == (0, 40)
    assert history_of([*rows, row(forced=1, last_label=35, verdict="promoted")]) == (0, 35)


@pytest.mark.parametrize(
    ("case", "word", "message"),
    [
        ("empty", "refused", "no labels"),
        ("one label", "refused", "1 labelled prompt is too few"),
        ("all good", "refused", "all 200 labels are good"),
        ("all bad", "refused", "all 200 labels are bad"),
        ("one arm labelled", "refused", "are of arm small"),
        ("ratings only", "refused", "ratings or redos"),
        ("nothing fresh", "refused", "no outcomes are fresh"),
    ],
)
def test_data_that_cannot_teach(shipped, case, word, message):
    log = world(shipped, 100)
    watermark = 0
    nan = np.full((100, 2), np.nan)
    if case == "empty":
        log = log.take([])
    elif case == "one label":
        log = labelled(np.array([[1.0, np.nan]]), embeddings=log.embeddings[:1], surface=log.surface[:1])
    elif case in ("all good", "all bad"):
        log = labelled(
            np.full((100, 2), float(case == "all good")),
            embeddings=log.embeddings,
            surface=log.surface,
            arms=("small", "large"),
        )
    elif case == "one arm labelled":
        one = np.column_stack([log.judged[:, 0], nan[:, 0]])
        log = labelled(one, embeddings=log.embeddings, surface=log.surface, arms=("small", "large"))
    elif case == "ratings only":
        log = labelled(nan, reward=log.judged, embeddings=log.embeddings, surface=log.surface, arms=("small", "large"))
    elif case == "nothing fresh":
        watermark = 10_000
    result = refit(log, shipped, shipped, POOL, version="r0001", watermark=watermark)
    assert result.verdict.word == word
    assert message in " ".join(result.verdict.reasons)
    assert not result.verdict.tested
    assert result.fitted is None or case == "nothing fresh"


def test_one_arm_is_nothing_to_choose_between(shipped):
    log = world(shipped, 50)
    one = Pool(ARMS[:1], np.zeros(1), np.zeros(1), np.zeros(1), wtp_usd=0.1)
    result = refit(log, shipped, shipped, one, version="r0001")
    assert result.verdict.word == "no-change"
    assert "one arm" in result.verdict.reasons[0]


def test_labels_that_contradict_are_told(shipped):
    log = world(shipped, 120)
    twice = log.take(np.concatenate([np.arange(60), np.arange(60)]))
    judged = np.concatenate([np.ones((60, 2)), np.zeros((60, 2))])
    log = labelled(
        judged, embeddings=twice.embeddings, surface=twice.surface, text_key=twice.text_key, arms=("small", "large")
    )
    assert contradictions(log) == (60, 60)
    result = refit(log, shipped, shipped, POOL, version="r0001")
    assert not result.promoted
    assert "contradict" in " ".join(result.notes)


def test_force_promotes_and_says_so(shipped):
    log = world(shipped, 60)
    result = refit(log, shipped, shipped, POOL, version="r0001", force=True)
    assert result.verdict.word == "promoted"
    assert result.forced
    assert "--force" in result.verdict.reasons[0]
