"""Words hashed, and the shipped lexicon of what they add to a level."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from scrimp.profiles.errors import ConfigError
from scrimp.routing.learn.data.judged import read_judged
from scrimp.routing.prompts import words
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_features
from scrimp.routing.prompts.words import BUCKETS, shipped_lexicon, word_ids, word_level


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_has_distinct_ids_in_order_below_the_number_of_buckets(text):
    ids = word_ids(text)
    assert ids == sorted(set(ids))
    assert all(0 <= each < BUCKETS for each in ids)
    assert np.isfinite(word_level(text))


def test_case_and_the_digits_of_a_number_do_not_count_but_their_number_does():
    assert word_ids("Add 12 and 345") == word_ids("aDD 98 AND 100")
    assert word_ids("Add 12 and 345") != word_ids("Add 12 and 3456")
    assert word_ids("1234567") == word_ids("123456")  # six digits or more are one


def test_how_often_and_where_a_word_stands_does_not_count_but_for_the_head_of_a_sentence():
    assert word_ids("go red red blue") == word_ids("go red blue blue")
    assert word_ids("prove it") != word_ids("it prove")
    assert set(word_ids("Tell me. Prove it.")) > set(word_ids("Prove it."))


@pytest.mark.parametrize("text", ["", "   \n", "___"])
def test_without_words_nothing_is_added(text):
    assert word_ids(text) == []
    assert word_level(text) == 0.0


def test_the_level_is_the_sum_over_the_root_of_the_count():
    ids = word_ids("Prove that the sum converges")
    assert len(ids) > 4
    expected = shipped_lexicon()[ids].astype(float).sum() / len(ids) ** 0.5
    assert word_level("Prove that the sum converges") == pytest.approx(expected)
    assert surface_features("Prove that the sum converges")[FEATURE_NAMES.index("word_level")] == pytest.approx(
        expected
    )


def test_the_shipped_lexicon_knows_levels_of_kinds_it_was_not_fitted_to():
    judged = read_judged(sorted((Path(__file__).parents[2] / "bench" / "everyday").glob("*.jsonl")))
    assert shipped_lexicon().dtype == np.float16
    assert spearmanr([word_level(prompt) for prompt in judged.prompts], judged.levels)[0] > 0.4


def harmed(path, how):
    whole = words.LEXICON.read_bytes()
    weights = np.load(words.LEXICON)
    if how == "cut short":
        path.write_bytes(whole[:5000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "not an array":
        path.write_bytes(b"not an array at all")
    elif how == "of another size":
        np.save(path, weights[:-1])
    elif how == "not finite":
        weights[7] = np.nan
        np.save(path, weights)
    elif how == "a pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize(
    "how", ["missing", "cut short", "empty", "not an array", "of another size", "not finite", "a pickle"]
)
def test_a_damaged_lexicon_is_named(tmp_path, monkeypatch, how):
    path = harmed(tmp_path / "words.npy", how)
    monkeypatch.setattr(words, "LEXICON", path)
    shipped_lexicon.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"lexicon") as caught:
            word_level("Prove it")
    finally:
        shipped_lexicon.cache_clear()
    assert str(path) in str(caught.value)
    assert "install scrimp again" in caught.value.hint
