"""Learning to read levels: on simulated prompts of known level, and what comes back from disk."""

from dataclasses import replace

import numpy as np
import pytest

from scrimp.routing.learn.fitting.level import (
    LevelProblem,
    Within,
    feature_scale,
    fit_lexicon,
    judged_folds,
    word_matrix,
)
from scrimp.routing.learn.fitting.recipe import Recipe
from scrimp.routing.prompts.surface import FEATURE_NAMES
from scrimp.routing.prompts.words import BUCKETS, word_ids
from scrimp.routing.router.learned import features_of, level_inputs

DIM = 12
RECIPE = Recipe(level_centres=150)
ALONE = replace(RECIPE, level_within=0.0)  # as if there were no outcomes
N_FEATURES = len(FEATURE_NAMES)


def simulated(n, seed):
    """Return features and levels of prompts whose level rises along one direction of the embedding, and one feature."""
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(n, DIM))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    surface = rng.normal(size=(n, N_FEATURES))
    x = features_of(e.astype(np.float32), surface, np.zeros(DIM, np.float32), np.zeros(N_FEATURES), np.ones(N_FEATURES))
    level = np.clip(3.0 + 5.0 * e[:, 0] + 0.3 * surface[:, 3] + rng.normal(0.0, 0.2, n), 1.0, 5.0)
    return x, level


def error(head, x, level, words=0.0):
    return float(np.mean((head.levels(x, np.broadcast_to(words, len(x))) - level) ** 2))


@pytest.fixture(scope="module")
def judged():
    return simulated(400, 0)


@pytest.fixture(scope="module")
def public():
    """Two sources: levels implied by outcomes, the second's lower by a level than the judgements would have it."""
    x, level = simulated(400, 1)
    level[200:] -= 1.0
    return Within(x, level, {"a": np.arange(200), "b": np.arange(200, 400)})


def problem(judged, within, recipe=RECIPE):
    return LevelProblem(*judged, within, recipe, np.random.default_rng(5))


def test_levels_of_other_prompts_are_told_better_than_by_the_mean(judged, public):
    x, level = simulated(500, 2)
    for recipe in (ALONE, RECIPE):
        head = problem(judged, public, recipe).head(np.zeros(400), np.zeros(400))
        assert error(head, x, level) < 0.3 * level.var()


def test_outcomes_help_where_judgements_are_few(judged, public):
    x, level = simulated(500, 2)
    few = judged[0][:40], judged[1][:40]
    alone = problem(few, public, ALONE).head(np.zeros(40), np.zeros(400))
    both = problem(few, public).head(np.zeros(40), np.zeros(400))
    assert error(both, x, level) < 0.9 * error(alone, x, level)


def test_a_source_left_out_has_no_influence(judged, public):
    moved = public.level.copy()
    moved[public.groups["b"]] = 6.0 - moved[public.groups["b"]]
    heads = {}
    for name, within in (("true", public), ("moved", replace(public, level=moved))):
        made = problem(judged, within)
        heads[name] = [made.head(np.zeros(400), np.zeros(400), without=out) for out in (("b",), ())]
    np.testing.assert_array_equal(heads["true"][0].weights, heads["moved"][0].weights)
    assert np.abs(heads["true"][1].weights - heads["moved"][1].weights).max() > 1e-3


def test_judgements_left_out_have_no_influence(judged, public):
    rest = np.arange(400) % 4 != 0
    moved = np.where(rest, judged[1], 6.0 - judged[1])
    heads = [problem((judged[0], each), public) for each in (judged[1], moved)]
    kept, other = (each.head(np.zeros(400), np.zeros(400), judged=rest).weights for each in heads)
    np.testing.assert_array_equal(kept, other)
    all_of_them = [each.head(np.zeros(400), np.zeros(400)).weights for each in heads]
    assert np.abs(all_of_them[0] - all_of_them[1]).max() > 1e-3


def test_of_the_difference_between_sources_only_a_share_is_learnt(judged, public):
    """Without pooling a source's own level says nothing; wholly pooled, it does."""
    shifted = replace(public, level=public.level + 3.0)
    weights = {
        pooling: [
            problem(judged, within, replace(RECIPE, level_pooling=pooling)).head(np.zeros(400), np.zeros(400)).weights
            for within in (public, shifted)
        ]
        for pooling in (0.0, 1.0)
    }
    np.testing.assert_allclose(weights[0.0][0], weights[0.0][1], atol=1e-6)
    assert np.abs(weights[1.0][0] - weights[1.0][1]).max() > 0.01


def test_what_the_words_say_is_not_learnt_again(judged, public):
    x, level = judged
    made = problem(judged, public, ALONE)
    words = level - 2.0
    head = made.head(words, np.zeros(400))
    assert error(head, x, level, words) < 1e-3
    assert np.ptp(head.levels(x, np.zeros(len(x)))) < 0.1


def test_centres_are_such_as_can_be_stored(judged, public):
    head = problem(judged, public).head(np.zeros(400), np.zeros(400))
    np.testing.assert_array_equal(head.centres, head.centres.astype(np.float16).astype(np.float32))
    assert head.centres.shape == (300, DIM + N_FEATURES)
    assert head.weights.shape == (301,)


def test_the_words_level_does_not_count_among_the_features():
    scale = feature_scale(RECIPE)
    assert scale[FEATURE_NAMES.index("word_level")] == 0.0
    assert set(np.delete(scale, FEATURE_NAMES.index("word_level")).tolist()) == {RECIPE.level_surface}


def test_rows_of_words_are_of_unit_length():
    words = word_matrix(["Prove it now", "hello", ""]).toarray()
    assert words.shape == (3, BUCKETS)
    np.testing.assert_allclose((words**2).sum(axis=1), [1.0, 1.0, 0.0])
    assert np.flatnonzero(words[0]).tolist() == word_ids("Prove it now")


def test_a_lexicon_learns_the_words_that_go_with_levels(judged):
    x, _ = judged
    rng = np.random.default_rng(4)
    hard = rng.random(400) < 0.5
    prompts = [f"{'prove' if h else 'say'} something about {rng.choice(['cats', 'dogs', 'rain'])}" for h in hard]
    inputs = level_inputs(x, feature_scale(RECIPE))
    lexicon = fit_lexicon(inputs, word_matrix(prompts), np.where(hard, 4.5, 1.5), RECIPE)
    gap, nothing = (
        lexicon[[*set(word_ids(a)) - set(word_ids(b))]].sum() - lexicon[[*set(word_ids(b)) - set(word_ids(a))]].sum()
        for a, b in (("prove it", "say it"), ("a cats", "a dogs"))
    )
    assert gap > 1.0 > 5 * abs(nothing)


def test_a_kind_is_never_split():
    kinds = [f"kind {i % 9}" for i in range(90)]
    fold = judged_folds(kinds, 4)
    assert set(fold.tolist()) == {0, 1, 2, 3}
    assert all(len({f for f, k in zip(fold.tolist(), kinds, strict=True) if k == kind}) == 1 for kind in set(kinds))
