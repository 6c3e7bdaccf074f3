"""Refit: what is fitted moves as far as outcomes bear it out, and data that cannot teach is said to be so."""

import itertools
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from simulated_log import labelled

from scrimp.routing.deciding.policy import Option, choose
from scrimp.routing.learn.data.decisions import Pool, greedy
from scrimp.routing.learn.data.labelled import contradictions
from scrimp.routing.learn.fitting.fit import drift, fit, importance
from scrimp.routing.learn.judging.refit import history_of, made_by, refit
from scrimp.routing.learn.judging.timeline import disorder, timeline
from scrimp.routing.learn.maths.sequential import Look
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.in_force import SHIPPED, load_router


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
    base = w.landmarks[rng.integers(0, 1000, n)]
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
    from scrimp.routing.router import versions

    log = world(shipped, 100)
    router = fit(shipped, ARMS, log, version="r0001").router
    versions.write_version(tmp_path, router, {})
    again = versions.open_version(tmp_path, "r0001")
    assert again.layers["x/small"].version == "r0001"
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


def test_every_refit_is_judged_on_what_came_after_it(shipped):
    log = world(shipped, 1000)
    blocks = timeline(log, 0)
    assert [(len(block.to_fit), len(block.judged)) for block in blocks] == [
        (100, 56), (156, 88), (244, 137), (381, 215), (596, 404),
    ]  # fmt: skip
    for block, following in itertools.pairwise(blocks):
        assert block.to_fit.max() < block.judged.min()
        assert following.to_fit.tolist() == [*block.to_fit, *block.judged]
    grown = timeline(world(shipped, 1400), 0)
    for old, new in zip(blocks[:-1], grown, strict=False):
        assert old.judged.tolist() == new.judged.tolist(), "what was judged stays as it was judged"
    (half,) = timeline(log.take(np.arange(101)), 0)
    assert (len(half.to_fit), len(half.judged)) == (51, 50), "of few, the later half"
    many = timeline(world(shipped, 12_000), 0)
    assert len(many) <= 5, "each costs a fit"
    assert many[-1].judged.max() == 11_999


def test_what_was_there_when_the_router_in_force_was_made_does_not_judge(shipped):
    log = world(shipped, 400)
    (block,) = timeline(log, 360)
    assert (len(block.to_fit), len(block.judged)) == (360, 40)
    assert log.first_label[block.judged].min() > 360
    first, second = timeline(log, 250)
    assert (len(first.to_fit), len(second.to_fit)) == (250, 306), "learning goes on soon after a promotion"
    assert timeline(log, 400) == ()


def test_ratings_are_fitted_on_as_far_as_they_go_back_and_never_on_what_is_judged(shipped):
    log = world(shipped, 600)
    rated = np.arange(600) % 3 == 0
    judged = np.where(rated[:, None], np.nan, log.judged)
    log = replace(log, judged=judged, text_key=np.where(np.arange(600) == 30, 599, log.text_key))
    for block in timeline(log, 0):
        assert block.to_fit.max() < block.judged.min()
        assert rated[block.to_fit].sum() > 40
        assert not np.isin(log.text_key[block.to_fit], log.text_key[block.judged]).any()


def test_dates_that_contradict_the_order_of_the_log(shipped):
    log = world(shipped, 200)
    blocks = timeline(log, 0)
    assert len(blocks) == 2
    assert disorder(log, blocks) == 0.0, "without dates the order is all there is"
    for dates, share in (
        (np.arange(200.0), 0.0),
        (np.zeros(200), 0.0),  # an import: one date, the file's order
        (-np.arange(200.0), 1.0),
        (np.where(np.arange(200) == 50, 1e6, np.arange(200.0)), 0.02),  # the first of either block
    ):
        assert disorder(replace(log, asked_at=dates), blocks) == pytest.approx(share)
    assert disorder(replace(log, asked_at=-np.arange(200.0)), timeline(log, 160)) == 1.0
    assert disorder(log, ()) == 0.0


def test_a_better_router_is_promoted_and_its_labels_are_used_up(shipped):
    log = world(shipped, 1600)
    result = refit(log, shipped, shipped, POOL, version="r0001")
    assert result.verdict.word == "promoted", result.verdict
    assert result.verdict.low > 0
    data = result.to_dict(version="r0001", candidate="r0001")
    assert data["gain_utility"]["low"] > 0
    assert set(data["judgement"]["values"]) == {"current", "new", "best single", "random mix"}
    again = refit(log, shipped, result.fitted.router, POOL, version="r0002", watermark=result.last_label)
    assert again.verdict.word in ("refused", "no-change")
    assert "fresh" in again.verdict.reasons[0] or "alike" in again.verdict.reasons[0]


def test_a_refit_refused_goes_on_with_the_same_outcomes_and_says_what_it_is_part_of(shipped):
    log = world(shipped, 900)
    refused = refit(log.take(np.arange(150)), shipped, shipped, POOL, version="r0001")
    assert refused.verdict.word == "refused", refused.verdict
    result = refit(log, shipped, shipped, POOL, version="r0002")
    data = result.to_dict(version="r0002", candidate="r0002")
    assert sum(block["n_judged"] for block in data["blocks"]) == data["n_judged"] == 800
    assert data["blocks"][-1]["n_fit"] == data["n_fit"]
    assert 0 < data["spent"] < 0.05
    assert data["information"] == pytest.approx(result.judgement.ess_changed)
    late = [Look(data["information"], data["alpha"], data["spent"], data["terms"])]
    again = refit(log, shipped, shipped, POOL, version="r0003", past=late)
    assert not again.verdict.tested
    assert "too little is new" in again.verdict.reasons[0]
    worth = replace(POOL, wtp_usd=10.0)
    assert refit(log, shipped, shipped, worth, version="r0003").terms != result.terms


def test_tests_count_against_the_router_they_were_made_against():
    def row(**values):
        return {
            "tested": 0,
            "last_label": None,
            "verdict": "refused",
            "alpha": 0.0,
            "data": None,
            "version": None,
        } | values

    def noted(**values):
        return json.dumps(values)

    rows = [
        row(tested=1, alpha=0.02, last_label=10, version="r0001"),
        row(),
        row(tested=1, alpha=0.012, last_label=30, data=noted(information=80.0, spent=0.031, terms="t")),
    ]
    looks = (Look(None, 0.02, 0.02), Look(80.0, 0.012, 0.031, "t"))
    assert history_of(rows, "shipped") == (looks, 0), "refusals use no labels up"
    made = row(tested=1, alpha=0.005, last_label=40, verdict="promoted", version="r0004", data=noted(spent=0.04))
    assert history_of([*rows, made], "r0004") == ((), 40), "a new router, a new count"
    rolled_back = history_of([*rows, made], "shipped")
    assert rolled_back == ((*looks, Look(None, 0.005, 0.04)), 0), "all outcomes may judge again, the error stays spent"
    assert history_of([*rows, made], "r0001") == ((), 10), "by hand: what it was fitted on, and what judged it"
    forced = row(last_label=35, verdict="promoted", version="r0005")
    later = row(tested=1, alpha=0.01, data=noted(spent=0.01, against="r0005", information=25.0))
    assert history_of([*rows, forced, later], "r0005") == ((Look(25.0, 0.01, 0.01),), 35)


def test_another_profiles_refit_does_not_count_as_ones_own(shipped):
    log = world(shipped, 300)
    mine = fit(shipped, ARMS, log, version="r0001").router
    other = replace(POOL, arms=(ArmInfo(name="a", model="x/a"), ArmInfo(name="b", model="x/b")))
    theirs = fit(shipped, other.arms, log, version="r0002", keep=mine.layers).router
    assert made_by(shipped, POOL) == "shipped"
    assert (made_by(mine, POOL), made_by(mine, other)) == ("r0001", "shipped")
    assert (made_by(theirs, POOL), made_by(theirs, other)) == ("r0001", "r0002")


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
