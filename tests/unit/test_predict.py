"""Routers: loading versions, refusing bad ones, and what they predict."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.routing.deciding.decide import GUARD_QUANTILE
from scrimp.routing.prompts.embedding import BUILTIN_ID, Embedder
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_matrix
from scrimp.routing.router.arms import ArmInfo
from scrimp.routing.router.folder import read_router, write_router
from scrimp.routing.router.in_force import load_router, shipped_folder
from scrimp.routing.router.learned import ArmLayer, canonical_name
from scrimp.routing.router.placed import Placed
from scrimp.routing.router.tier_prior import TierPrior

LARGE = ArmInfo(name="large", model="acme/unheard-of-xl", tier="large")
SMALL = ArmInfo(name="small", model="acme/unheard-of-xs", tier="small")


@pytest.fixture(scope="module")
def shipped():
    return read_router(shipped_folder(), embedder_id=BUILTIN_ID)


def inputs(router, texts):
    """Landmarks stand for embeddings: they lie where the router was trained."""
    return router.weights.landmarks[: len(texts)], surface_matrix(texts)


def write_version(router, home, name="v1"):
    write_router(router, home / name)
    return home / name


def test_the_shipped_router_is_whole_and_small(shipped, tmp_path):
    assert load_router(None, tmp_path).version == shipped.version
    assert load_router(None, tmp_path).note is None
    assert sum(f.stat().st_size for f in shipped_folder().iterdir()) < 5_000_000
    assert {f.suffix for f in shipped_folder().iterdir()} <= {".json", ".npz", ".md"}
    card = shipped.card
    assert card["data"]
    assert all(entry["licence"] for entry in card["data"])
    assert card["held_out_rows"]["ece"] <= 0.05
    assert card["embedder_id"] == BUILTIN_ID


def test_shapes_and_ranges(shipped):
    p = shipped.predict(*inputs(shipped, ["What is 2 + 2?", "Prove it.", "x"]), [LARGE, SMALL])
    for name in ("quality", "quality_low", "quality_high", "output_tokens_p50", "output_tokens_p90"):
        assert getattr(p, name).shape == (3, 2)
        assert np.isfinite(getattr(p, name)).all()
    assert (p.quality_low <= p.quality).all()
    assert (p.quality <= p.quality_high).all()
    assert (p.quality_low >= 0).all()
    assert (p.quality_high <= 1).all()
    assert (p.output_tokens_p50 <= p.output_tokens_p90).all()
    assert ((p.ood >= 0) & (p.ood <= 1)).all()
    assert p.level.shape == p.ood.shape
    assert p.basis == ("prior", "prior")


def test_a_larger_tier_is_better_on_every_prompt(shipped):
    p = shipped.predict(*inputs(shipped, ["a question"] * 200), [LARGE, SMALL])
    assert (p.quality[:, 0] > p.quality[:, 1]).all()


def test_one_prompt_is_predicted_as_in_a_batch(shipped):
    e, s = inputs(shipped, ["one", "two words", "three words here"])
    whole = shipped.predict(e, s, [LARGE, SMALL])
    alone = shipped.predict(e[1:2], s[1:2], [LARGE, SMALL])
    np.testing.assert_allclose(alone.quality[0], whole.quality[1], atol=1e-6)


def test_known_models_are_calibrated_and_mixed_pools_share_one_view(shipped):
    known = [
        ArmInfo(name="a", model="openai/gpt-4o-2024-05-13"),
        ArmInfo(name="b", model="openai/gpt-4o-mini-2024-07-18"),
    ]
    e, s = inputs(shipped, ["What is 2 + 2?"])
    assert shipped.predict(e, s, known).basis == ("calibrated", "calibrated")
    assert shipped.predict(e, s, known).rests_on == ("outcomes", "outcomes")
    assert shipped.predict(e, s, [*known, SMALL]).basis == ("prior",) * 3


def test_a_model_known_from_few_sources_has_no_head_of_its_own(shipped):
    few = np.flatnonzero(~shipped.weights.head_sources.any(axis=1))
    assert len(few)
    assert not shipped.weights.head[few].any()
    arm = ArmInfo(name="a", model=shipped.models[few[0]])
    assert shipped.known(arm.model) == few[0]
    assert shipped.own_head(arm) is None
    head = next(j for j in range(len(shipped.models)) if shipped.weights.head_sources[j].any())
    other = ArmInfo(name="b", model=shipped.models[head])
    assert shipped.own_head(other) == head
    assert shipped.own_head(replace(other, reasoning=True)) is None  # it was known without thinking
    e, s = inputs(shipped, ["What is 2 + 2?"])
    assert shipped.predict(e, s, [arm]).basis == ("prior",)
    assert shipped.predict(e, s, [arm, other]).basis == ("prior", "prior")
    assert f"{arm.model} has none" in shipped.reasons([arm, other])[1]


def test_a_head_counts_near_its_sources_and_not_far_from_them(shipped):
    """With an arm that has no head beside them, arms are compared by the shared path: far away both are one."""
    pair = [ArmInfo(name=name, model=name) for name in ("gpt-4o-2024-05-13", "gpt-4o-mini-2024-07-18")]
    w = shipped.weights
    known = shipped.own_head(pair[0])
    at_home = w.head_sources[known][np.minimum(w.landmark_sources, w.head_sources.shape[1] - 1)] > 0
    at_home &= w.landmark_sources < w.head_sources.shape[1]
    near = w.landmarks[at_home][:40]
    surface = surface_matrix(["What is 2 + 2?"] * 40)
    own, shared = (shipped.predict(near, surface, arms).quality[:, :2] for arms in (pair, [*pair, SMALL]))
    assert np.abs(own - shared).max() > 0.05
    own, shared = (shipped.predict(-near, surface, arms).quality[:, :2] for arms in (pair, [*pair, SMALL]))
    np.testing.assert_allclose(own, shared, atol=1e-12)


def test_the_slope_of_a_layer_comes_back_and_counts(shipped, tmp_path):
    layer = ArmLayer(weights=shipped.weights.tokens * 0.0, n_outcomes=30, shift_sd=0.1, calibrated=False, slope=0.25)
    mine = shipped.with_layers({"small": layer}, "v1")
    back = read_router(write_version(mine, tmp_path))
    assert back.layers["small"].slope == 0.25
    e, s = inputs(shipped, ["What is 2 + 2?", "Prove it.", "Write a long story."])
    plain, quarter = (r.predict(e, s, [LARGE, SMALL]).quality for r in (shipped, back))
    np.testing.assert_allclose(quarter[:, 0], plain[:, 0], atol=1e-3)
    logit = np.log(plain / (1.0 - plain))[:, 1]
    np.testing.assert_allclose(quarter[:, 1], 1.0 / (1.0 + np.exp(-0.25 * logit)), atol=1e-3)


def test_a_long_log_with_a_question_is_judged_by_its_question(shipped):
    log = "\n".join(
        f"2026-01-02 03:{i // 60 % 60:02d}:{i % 60:02d},{i % 1000:03d} worker-{i % 9} INFO handled {i} of 300 rows"
        for i in range(1700)
    )
    assert len(log) > 100_000
    questions = (
        "How many workers are named in this log?",
        "Prove that this scheduler is free of starvation, and design a lock-free one with a proof of linearizability.",
    )
    embed = Embedder().embed
    found = {}
    for place in ("before", "after"):
        texts = [f"{q}\n\n{log}" if place == "before" else f"{log}\n\n{q}" for q in questions]
        p = shipped.predict(embed(texts), surface_matrix(texts), [LARGE, SMALL])
        assert (p.ood < GUARD_QUANTILE).all(), place
        found[place] = p.level
        assert p.level[0] < 3.0, place
        assert p.level[1] > p.level[0] + 0.75, place
    # A question in the middle of a page is embedded too, and not only what stands at its ends.
    half = log[:6000]
    middle = embed([f"{half}\n\n{q}\n\n{half}" for q in questions])
    assert (middle @ embed(questions).T).argmax(axis=1).tolist() == [0, 1]
    assert middle[0] @ middle[1] < 0.9
    alone = shipped.predict(embed(questions), surface_matrix(questions), [LARGE, SMALL]).level
    for level in found.values():
        np.testing.assert_allclose(level, alone, atol=1.25)


def test_names(shipped):
    assert canonical_name("openrouter/meta-llama/Meta-Llama-3.1-8B-Instruct") == "llama-3.1-8b-instruct"
    assert shipped.known("openai/gpt-4o-mini") == shipped.known("gpt-4o-mini-2024-07-18")
    assert shipped.known("openai/gpt-4o") is None  # two dated models share this name
    assert shipped.known("acme/unheard-of-xl") is None


def test_price_stands_in_for_a_tier(shipped):
    cheap = ArmInfo(name="a", model="x/a", output_usd_per_mtok=0.4)
    dear = ArmInfo(name="b", model="x/b", output_usd_per_mtok=40.0)
    ability = shipped.abilities([cheap, dear])
    assert ability[1] > ability[0]
    assert np.isfinite(shipped.abilities([ArmInfo(name="a", model="x")])).all()


def test_arms_that_cannot_be_told_apart_tie(shipped):
    """Two models that nobody has measured, at one price: a hundredth between them would be noise, and would decide."""
    arms = [ArmInfo(name=name, model=f"x/{name}", tier="small", output_usd_per_mtok=0.5) for name in ("b", "a")]
    p = shipped.predict(*inputs(shipped, ["What is 2 + 2?"]), arms)
    assert p.quality[0, 0] == p.quality[0, 1]


def test_an_ability_of_ones_own_goes_before_the_table(shipped):
    known = ArmInfo(name="a", model="gpt-5-mini")
    mine = replace(known, placed=Placed(-3.0, 0.1, "your own table"))
    p = shipped.predict(*inputs(shipped, ["What is 2 + 2?"]), [known, mine])
    assert p.quality[0, 1] < p.quality[0, 0] - 0.2


def test_the_local_model_is_no_small_model_of_its_time(shipped):
    local = ArmInfo(name="smollm2", model="local/smollm2-135m-instruct", tier="small")
    assert shipped.abilities([local])[0] < shipped.abilities([SMALL])[0] - 2
    p = shipped.predict(*inputs(shipped, ["What is 17 times 23?"]), [local, SMALL])
    assert p.quality[0, 0] < p.quality[0, 1] - 0.1
    assert p.basis == ("prior", "prior")


def test_strange_prompts_lose_confidence(shipped):
    far = np.zeros((1, 384), dtype=np.float32)
    far[0, 0] = -1.0
    surface = surface_matrix(["日本の首都はどこですか" * 20])
    p = shipped.predict(far, surface, [LARGE, SMALL])
    assert p.ood[0] == 1.0
    assert p.quality.max() < 0.85
    assert (p.quality_high - p.quality_low > 0.5).all()


def test_a_reasoning_arm_writes_more_and_no_more_than_its_limit(shipped):
    e, s = inputs(shipped, ["Prove that there are infinitely many primes."])
    plain = ArmInfo(name="a", model="x", tier="large", output_limit=100_000)
    thinks = ArmInfo(name="b", model="x", tier="large", reasoning=True, output_limit=100_000)
    short = ArmInfo(name="c", model="x", tier="large", output_limit=10)
    p = shipped.predict(e, s, [plain, thinks, short])
    assert p.output_tokens_p50[0, 1] > 3 * p.output_tokens_p50[0, 0]
    assert p.output_tokens_p90[0, 2] == 10


def test_a_version_comes_back_as_it_was_written(shipped, tmp_path):
    layer = ArmLayer(weights=shipped.weights.tokens * 0 + 0.25, n_outcomes=300, shift_sd=0.1, calibrated=True)
    mine = shipped.with_layers({"small": layer}, "v1")
    back = read_router(write_version(mine, tmp_path))
    e, s = inputs(shipped, ["What is 2 + 2?"])
    np.testing.assert_allclose(
        back.predict(e, s, [LARGE, SMALL]).quality, mine.predict(e, s, [LARGE, SMALL]).quality, atol=1e-3
    )
    assert back.predict(e, s, [LARGE, SMALL]).basis == ("prior", "calibrated")
    assert back.predict(e, s, [LARGE, SMALL]).rests_on[1] == "your outcomes"
    assert (tmp_path / "v1" / "router.npz").read_bytes() == (
        write_version(mine, tmp_path, "again") / "router.npz"
    ).read_bytes()


def truncate(folder):
    file = folder / "router.npz"
    file.write_bytes(file.read_bytes()[:1000])


def newer(folder):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"schema_version": 99}))


def other_embedder(folder):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"embedder_id": "another"}))


def with_pickle(folder):
    (folder / "heads.pkl").write_bytes(pickle.dumps([1]))


def pickled_array(folder):
    import hashlib

    np.savez(folder / "router.npz", centre=np.array([{}], dtype=object))
    card = json.loads((folder / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256((folder / "router.npz").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def no_card(folder):
    (folder / "card.json").unlink()


def broken_card(folder):
    (folder / "card.json").write_text("{")


def no_models(folder):
    card = json.loads((folder / "card.json").read_text())
    del card["models"]
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (truncate, "truncated"),
        (newer, "newer schema"),
        (other_embedder, "another embedder"),
        (with_pickle, "pickle"),
        (pickled_array, "not a plain array file"),
        (no_card, "no card.json"),
        (broken_card, "cannot be read"),
        (no_models, "garbles"),
    ],
)
def test_a_bad_version_is_refused_by_name_and_the_shipped_one_used(shipped, tmp_path, harm, says):
    harm(write_version(shipped.with_layers({}, "mine"), tmp_path, "mine"))
    (tmp_path / "current").write_text("mine\n")
    router = load_router(None, tmp_path, embedder_id=BUILTIN_ID)
    assert router.version == shipped.version
    assert router.note is not None
    assert "'mine' refused" in router.note
    assert says in router.note
    with pytest.raises(DataError, match=says):
        load_router("mine", tmp_path, embedder_id=BUILTIN_ID)


@pytest.mark.parametrize("name", ["../../etc", "a/b", ".hidden"])
def test_a_version_is_a_name_and_not_a_path(tmp_path, name):
    with pytest.raises(DataError, match="not the name of a version"):
        load_router(name, tmp_path)


def test_the_current_version_is_used(shipped, tmp_path):
    write_version(shipped.with_layers({}, "mine"), tmp_path, "mine")
    (tmp_path / "current").write_text("mine\n")
    assert load_router(None, tmp_path).version == "mine"
    assert load_router("shipped", tmp_path).version == shipped.version


def test_without_weights_there_is_a_guess(tmp_path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.router.in_force.shipped_folder", lambda: tmp_path / "nothing")
    router = load_router(None, tmp_path)
    assert isinstance(router, TierPrior)
    assert "guess" in router.note
    p = router.predict(np.zeros((1, 384), np.float32), surface_matrix(["What is 2 + 2?"]), [LARGE, SMALL])
    assert p.basis == ("uncalibrated", "uncalibrated")
    assert p.rests_on == ("tier and price", "tier and price")
    assert np.isnan(p.level).all()
    assert p.quality[0, 0] > p.quality[0, 1]


def test_prompts_trained_on_are_recognised(shipped):
    assert not shipped.seen(["a prompt that nobody has written before, 7341"]).any()
    assert shipped.weights.seen.dtype == np.uint32
    assert len(FEATURE_NAMES) == len(shipped.weights.surface_mean)


def test_predicting_imports_neither_sklearn_nor_scipy():
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from scrimp.routing.router.in_force import load_router;"
        "load_router(None, pathlib.Path('nowhere')); assert not {'sklearn', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
