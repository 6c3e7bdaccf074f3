"""What a level means, where the truth is known: simulated models on sources that differ; and measures of transfer."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from scrimp.routing.learn.fitting.curves import _falling, implied_levels, level_curves, stretch
from scrimp.routing.learn.fitting.transfer import _pair_gaps, rank_correlation, within_kinds
from scrimp.routing.learn.maths.heads import sigmoid

ABILITY = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
LEVELS = np.arange(1.0, 6.0)


def world(step=1.2, intercepts=(1.5, 0.0, -1.5), n=900, seed=0):
    """Return levels, scores with a fifth of the cells missing, and each row's source: P = sigmoid(step * (3 - level) + ability + source)."""
    rng = np.random.default_rng(seed)
    level = rng.integers(1, 6, n).astype(float)
    which = np.arange(n) % len(intercepts)
    logit = step * (3.0 - level)[:, None] + ABILITY[None, :] + np.array(intercepts)[which][:, None]
    score = (rng.random(logit.shape) < sigmoid(logit)).astype(float)
    score[rng.random(score.shape) < 0.2] = np.nan
    return level, score, [f"s{k}" for k in which]


@pytest.fixture(scope="module")
def curves():
    return level_curves(*world(), ABILITY, 0.0)


def test_a_harder_level_is_harder_for_everyone_and_an_abler_model_better_everywhere(curves):
    assert (np.diff(curves.ease) <= -0.3 + 1e-9).all()
    assert ((curves.spread >= 0.3) & (curves.spread <= 2.0)).all()
    p = sigmoid(curves.logit(np.linspace(1.0, 5.0, 41), ABILITY))
    assert (np.diff(p, axis=0) < 0).all()
    assert (np.diff(p, axis=1) > 0).all()


def test_a_level_means_what_the_scale_says_whatever_the_sources_intercepts(curves):
    p = sigmoid(curves.logit(np.array([1.0, 5.0]), np.array([-1.4, 2.4])))
    assert p[0].min() > 0.9  # nearly always, even a model that fits a phone
    assert p[1, 1] < 0.6
    other = level_curves(*world(intercepts=(3.0, 1.5, 0.0)), ABILITY, 0.0)
    np.testing.assert_allclose(other.ease, curves.ease, atol=0.25)


def test_the_step_and_the_ability_that_count_are_found(curves):
    assert -np.polyfit(LEVELS, curves.ease, 1)[0] == pytest.approx(1.2, abs=0.45)
    assert curves.spread.mean() == pytest.approx(1.0, abs=0.2)
    flat, steep = (level_curves(*world(step=step), ABILITY, 0.0).ease for step in (0.6, 2.0))
    assert flat[0] - flat[-1] < steep[0] - steep[-1]


def test_what_does_not_fall_is_made_to_fall_by_the_least_step():
    assert _falling(np.array([4.0, 2.0, 1.0, 0.0, -3.0]), 0.3) == pytest.approx([4.0, 2.0, 1.0, 0.0, -3.0])
    mended = _falling(np.array([4.0, 1.0, 2.0, 0.0, 0.0]), 0.3)
    assert (np.diff(mended) <= -0.3 + 1e-9).all()
    assert mended[0] == pytest.approx(4.0)
    assert mended[1:3].mean() == pytest.approx(1.5)
    # Outcomes of a world where level 3 is easier than 2.
    level, score, sources = world(n=4000)
    swapped = np.where(level == 2, 3, np.where(level == 3, 2, level)).astype(float)
    assert (np.diff(level_curves(swapped, score, sources, ABILITY, 0.0).ease) <= -0.3 + 1e-9).all()


def test_how_much_sources_differ_is_measured():
    found = [level_curves(*world(intercepts=k), ABILITY, 0.0).source_sd for k in ((0, 0, 0), (1.5, 0, -1.5))]
    assert found[0] < 0.3
    assert 0.9 < found[1] < 1.6


def test_without_outcomes_the_scale_speaks_alone():
    none = level_curves(np.zeros(0), np.zeros((0, 2)), [], np.array([0.0, 1.0]), 0.0)
    assert (np.diff(none.ease) < 0).all()
    assert np.isnan(none.source_sd)


def test_implied_levels_follow_who_is_right(curves):
    level, score, sources = world(n=1800, seed=1)
    groups = {name: np.flatnonzero(np.array(sources) == name) for name in dict.fromkeys(sources)}
    implied = implied_levels(curves, score, ABILITY, groups)
    assert ((implied >= 1.0) & (implied <= 5.0)).all()
    for rows in groups.values():
        assert spearmanr(implied[rows], level[rows])[0] > 0.5
    assert implied[groups["s0"]].mean() < implied[groups["s1"]].mean() < implied[groups["s2"]].mean()


def test_one_more_that_is_right_makes_a_prompt_no_harder(curves):
    score = np.array([[float(j >= 6 - k) for j in range(6)] for k in range(7)] + [[np.nan] * 6])
    implied = implied_levels(curves, score, ABILITY, {"s": np.arange(8)})
    assert (np.diff(implied[:7]) < 0).all()
    assert implied[6] < implied[7] < implied[0]  # of what nobody tried only the source's level is known


def test_a_stretch_undoes_a_known_shrinkage():
    rng = np.random.default_rng(0)
    judged = rng.integers(1, 6, 4000).astype(float)
    predicted = 2.8 + 0.65 * (judged - 3.0) + rng.normal(0.0, 0.4, 4000)
    slope, shift = stretch(judged, predicted)
    assert slope == pytest.approx(1 / 0.65, rel=0.03)
    for level in LEVELS:
        assert (slope * predicted + shift)[judged == level].mean() == pytest.approx(level, abs=0.1)


def test_a_stretch_never_shrinks_has_a_limit_and_needs_rows():
    judged = np.tile(LEVELS, 20)
    assert stretch(judged, 3.0 + 2.0 * (judged - 3.0)) == pytest.approx((1.0, 0.0))
    assert stretch(judged, 3.0 + 0.1 * (judged - 3.0)) == pytest.approx((1.8, -2.4))
    assert stretch(judged[:19], 0.5 * judged[:19]) == (1.0, 0.0)
    assert stretch(np.full(50, 2.3), np.linspace(1, 5, 50)) == (1.0, 0.0)


def test_a_model_with_one_missing_cell_still_makes_a_pair():
    able, weak = np.array([1.0] * 16 + [0.0] * 4), np.array([1.0] * 12 + [0.0] * 8)
    whole = np.column_stack([able, weak])
    assert _pair_gaps(whole)[:, 0].tolist() == (able - weak).tolist()
    weak[13] = np.nan
    gaps = _pair_gaps(np.column_stack([able, weak]))
    assert gaps.shape == (20, 1)
    assert gaps[13, 0] == 0.0
    assert gaps[12, 0] == 1.0
    weak[:3] = np.nan  # four of twenty are too many
    assert _pair_gaps(np.column_stack([able, weak])).shape == (20, 0)
    assert _pair_gaps(np.full((3, 2), np.nan)).shape == (3, 0)
    assert _pair_gaps(np.zeros((0, 2))).shape == (0, 0)


def test_ranks_with_ties_are_as_scipy_has_them():
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = rng.integers(0, 4, 60).astype(float), rng.integers(0, 3, 60).astype(float)
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0])
    for one in (1.0, 0.7):  # the standard deviation of fifty times 0.7 is not quite 0
        assert rank_correlation(np.full(50, one), np.arange(50.0)) == 0.0
    assert rank_correlation(np.ones(1), np.ones(1)) == 0.0


def test_kinds_are_ranked_each_by_itself():
    judged = np.tile(LEVELS, 12)
    kinds = ["up"] * 20 + ["down"] * 20 + ["few"] * 19 + ["one"]
    # Within a kind the order is perfect, or the wrong way round; across them the kinds' means would hide it.
    predicted = np.concatenate([judged[:20], 10.0 - judged[20:40], judged[40:]])
    assert within_kinds(kinds, judged, predicted) == {"down": -1.0, "up": 1.0}
