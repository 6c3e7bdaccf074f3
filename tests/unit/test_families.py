"""Arms of one model: a ladder never falls, likeness starts from what is known, and changed instructions start anew."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.learn.data.labelled import of_scores
from scrimp.routing.learn.fitting.families import families_of, level_with, token_shifts
from scrimp.routing.learn.fitting.fit import fit
from scrimp.routing.router.abilities import effort_tokens
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router, write_router
from scrimp.routing.router.in_force import SHIPPED, load_router
from scrimp.routing.router.ladders import isotonic, ladders_of, rising
from scrimp.routing.router.learned import ArmLayer

EFFORTS = ("low", "medium", "high")
LADDER = tuple(
    ArmInfo(
        name=f"m:{effort}", model="x/model", tier="medium", reasoning=True, output_limit=16_384, effort=effort, ladder="m"
    )
    for effort in EFFORTS
)  # fmt: skip
PLAIN = ArmInfo(name="small", model="x/small", tier="small")
TOLD = ArmInfo(name="careful", model="x/small", tier="small", like="small", instructions="0123456789abcdef")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return load_router(SHIPPED, tmp_path_factory.mktemp("routers"))


def prompts(shipped, n, seed=0):
    rng = np.random.default_rng(seed)
    w = shipped.weights
    x = w.landmarks[rng.integers(0, 1_000, n)]
    x = x + 0.3 * rng.normal(size=x.shape).astype(np.float32) / x.shape[1] ** 0.5
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return x, np.tile(w.surface_mean, (n, 1)), rng


def log_of(shipped, arms, quality, n=300, *, tokens=None, seen=1.0, seed=0, **over):
    """Return outcomes of `(m,)` P(right) and output tokens."""
    x, surface, rng = prompts(shipped, n, seed)
    reward = (rng.random((n, len(arms))) < np.array(quality)).astype(float)
    reward[rng.random(reward.shape) >= seen] = np.nan
    counted = None if tokens is None else np.where(np.isnan(reward), np.nan, np.tile(tokens, (n, 1)))
    log = of_scores([arm.name for arm in arms], reward, x, surface, output_tokens=counted)
    return replace(log, **{key: value(log) for key, value in over.items()})


# --- ladders


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 100)), min_size=1, max_size=8),
)
def test_isotonic_values_rise_and_keep_the_mean(pairs):
    value, weight = (np.array(each) for each in zip(*pairs, strict=True))
    found = isotonic(value, weight)
    assert (np.diff(found) >= 0).all()
    assert float(found @ weight) == pytest.approx(float(value @ weight), abs=1e-6)
    if (np.diff(value) >= 0).all():
        assert found == pytest.approx(value)


def test_rungs_are_found_in_ascending_order_whatever_the_order():
    arms = (LADDER[2], PLAIN, LADDER[0], LADDER[1])
    assert ladders_of(arms) == [[2, 3, 0]]
    assert rising(np.array([[1.0, 0.5, 3.0, 2.0]]), ladders_of(arms)).tolist() == [[3.0, 0.5, 3.0, 3.0]]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_no_prediction_falls_with_effort(shipped, order):
    x, surface, rng = prompts(shipped, 50)
    layers = {
        arm.name: ArmLayer(
            0.3 * rng.normal(size=len(shipped.weights.tokens)), 100, 0.1, calibrated=True, token_shift=-k
        )
        for k, arm in enumerate(LADDER)
    }
    arms = [LADDER[k] for k in order]
    for router in (shipped, shipped.with_layers(layers, "v1")):
        found = router.predict(x, surface, arms)
        at = [arms.index(arm) for arm in LADDER]
        for values in (found.quality, found.output_tokens_p50, found.output_tokens_p90):
            assert (np.diff(values[:, at], axis=1) >= 0).all()
    assert (np.diff(shipped.predict(x, surface, LADDER).output_tokens_p50, axis=1) > 0).all()


@pytest.mark.parametrize("quality", [(0.5, 0.7, 0.9), (0.8, 0.8, 0.8), (0.9, 0.7, 0.5)])
def test_a_fitted_ladder_is_as_good_as_its_outcomes_and_never_falls(shipped, quality):
    fitted = fit(shipped, LADDER, log_of(shipped, LADDER, quality, n=500), version="v1").router
    x, surface, _ = prompts(shipped, 500, seed=9)
    found = fitted.predict(x, surface, LADDER).quality
    assert (np.diff(found, axis=1) >= -1e-9).all()
    heads = [fitted.layers[arm.name].weights[:-1] for arm in LADDER]
    assert np.allclose(heads[0], heads[1])
    assert np.allclose(heads[0], heads[2])
    wanted = np.array(quality) if quality[0] <= quality[-1] else np.full(3, np.mean(quality))
    assert found.mean(axis=0) == pytest.approx(wanted, abs=0.06)


def test_a_rung_that_was_hardly_tried_moves_with_the_others(shipped):
    log = log_of(shipped, LADDER, (0.35, 0.4, 0.5), n=400)
    few = log.reward.copy()
    few[8:, 2] = np.nan  # high: eight outcomes
    log = replace(log, reward=few, weight=np.where(np.isnan(few), 0.0, 1.0))
    x, surface, _ = prompts(shipped, 300, seed=9)
    before = shipped.predict(x, surface, LADDER).quality.mean(axis=0)
    after = fit(shipped, LADDER, log, version="v1").router.predict(x, surface, LADDER).quality.mean(axis=0)
    assert after[2] < before[2] - 0.1
    assert after[2] >= after[1]


def test_tokens_of_a_ladder_start_from_one_anothers(shipped):
    log = log_of(shipped, LADDER, (0.5, 0.5, 0.5), tokens=np.array([400.0, np.nan, np.nan]))
    x = shipped.features(log.embeddings, log.surface)
    low, medium, high = token_shifts(shipped, x, LADDER, log)
    assert medium - low == pytest.approx(np.log(effort_tokens("medium") / effort_tokens("low")), abs=0.06)
    assert high - low == pytest.approx(np.log(effort_tokens("high") / effort_tokens("low")), abs=0.06)
    log = log_of(shipped, LADDER, (0.5, 0.5, 0.5), tokens=np.array([400.0, 500.0, 600.0]))
    shifts = token_shifts(shipped, x, LADDER, log)
    assert np.exp(shifts[2] - shifts[0]) == pytest.approx(1.5, rel=0.1)  # the log's own
    log = log_of(shipped, LADDER, (0.5, 0.5, 0.5), tokens=np.array([400.0, 300.0, 200.0]))
    assert token_shifts(shipped, x, LADDER, log) == sorted(token_shifts(shipped, x, LADDER, log))
    assert token_shifts(shipped, x, LADDER, log_of(shipped, LADDER, (0.5, 0.5, 0.5))) == [None, None, None]


def test_a_model_that_was_learnt_before_it_had_efforts_has_them_apart(shipped):
    layer = ArmLayer(np.zeros(len(shipped.weights.tokens)), 300, 0.1, calibrated=True, ability=1.0)
    router = shipped.with_layers({"x/model": layer}, "v1")
    abilities = router.abilities(LADDER)
    assert abilities[0] < abilities[1] < abilities[2]


def test_levels_of_a_ladder_are_those_of_the_table_to_start_with(shipped):
    x, surface, _ = prompts(shipped, 100)
    features = shipped.features(x, surface)
    offset = shipped.view(features).logit(shipped.abilities((*LADDER, PLAIN)) - shipped.prior["ability_mean"])
    families = families_of((*LADDER, PLAIN), offset, 1.0)
    assert families.level[0] == families.level[3] == 0.0
    assert 0 < families.level[1] < families.level[2]
    assert families.groups == ((0, 1, 2),)
    level = level_with(offset, families)
    assert level[:, :3].mean(axis=0) == pytest.approx(offset[:, :3].mean(axis=0))
    assert np.ptp(level[:, 2] - level[:, 0]) == pytest.approx(0.0, abs=1e-12)


# --- instructions


def test_arms_of_one_model_told_differently_are_learnt_apart(shipped):
    arms = (PLAIN, TOLD)
    fitted = fit(shipped, arms, log_of(shipped, arms, (0.4, 0.9), n=400), version="v1")
    x, surface, _ = prompts(shipped, 300, seed=9)
    assert fitted.router.predict(x, surface, arms).quality.mean(axis=0) == pytest.approx([0.4, 0.9], abs=0.06)
    assert fitted.router.layers["careful"].instructions == TOLD.instructions
    assert fitted.router.layers["small"].instructions is None


def test_an_arm_told_otherwise_starts_from_its_models_outcomes(shipped):
    other = ArmInfo(name="large", model="x/large", tier="large")
    quality = (0.3, 0.5, 0.9)
    arms = (PLAIN, TOLD, other)
    log = log_of(shipped, arms, quality, n=400)
    reward = log.reward.copy()
    reward[:, 1] = np.nan  # never asked
    log = replace(log, reward=reward, weight=np.where(np.isnan(reward), 0.0, 1.0))
    x, surface, _ = prompts(shipped, 300, seed=9)
    found = fit(shipped, arms, log, version="v1").router.predict(x, surface, arms)
    assert found.quality[:, 1].mean() == pytest.approx(0.3, abs=0.12)
    assert found.basis[1] == "prior"


@pytest.mark.parametrize("asked", [TOLD, replace(TOLD, like=None)])
def test_a_layer_of_other_instructions_is_where_an_arm_starts_and_no_more(shipped, asked):
    layer = ArmLayer(np.append(np.zeros(len(shipped.weights.tokens) - 1), 2.0), 300, 0.1, calibrated=True)
    router = shipped.with_layers({"small" if asked.like else asked.model: layer}, "v1")
    x, surface, _ = prompts(shipped, 20)
    alone = router.predict(x, surface, [PLAIN])
    told = router.predict(x, surface, [asked])
    assert told.quality == pytest.approx(alone.quality)
    assert (alone.basis, told.basis) == (("calibrated",), ("prior",))
    assert (told.quality_low < alone.quality_low).all()
    assert "300 outcomes of your own at other instructions" in router.reasons([asked])[0]


def test_what_a_layer_was_told_is_kept_on_disk(shipped, tmp_path):
    layer = ArmLayer(np.zeros(len(shipped.weights.tokens)), 3, 0.1, calibrated=False, instructions="0123456789abcdef")
    write_router(
        shipped.with_layers({"careful": layer, "small": replace(layer, instructions=None)}, "v1"), tmp_path / "v1"
    )
    read = read_router(tmp_path / "v1").layers
    assert (read["careful"].instructions, read["small"].instructions) == ("0123456789abcdef", None)


def test_outcomes_at_other_instructions_count_less_and_not_as_its_own(shipped):
    arms = (PLAIN, ArmInfo(name="large", model="x/large", tier="large"))
    log = log_of(shipped, arms, (0.9, 0.5), n=200)
    fresh = fit(shipped, arms, log, version="v1")
    retold = np.column_stack([np.ones(200, bool), np.zeros(200, bool)])
    stale = replace(log, retold=retold, weight=np.where(retold, 0.25, 1.0))
    found = fit(shipped, arms, stale, version="v1")
    assert (fresh.n_outcomes["small"], found.n_outcomes["small"], found.n_outcomes["large"]) == (200, 0, 200)
    assert not found.router.layers["x/small"].calibrated
    assert found.router.layers["x/small"].shift_sd > fresh.router.layers["x/small"].shift_sd
