"""What the router sees of a prompt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.routing.prompts.context import approx_tokens, contexts, stack
from scrimp.routing.prompts.surface import FEATURE_NAMES, SCANNED_CHARS, surface_features, surface_matrix


class FakeEmbedder:
    id = "fake"

    def embed(self, texts):
        out = np.zeros((len(texts), 4), dtype=np.float32)
        out[:, 0] = 1.0
        return out


def feature(text, name):
    return surface_features(text)[FEATURE_NAMES.index(name)]


def test_features_by_hand():
    text = "If Ann has 3 apples, how many are left?\nA. 3\nB. none"
    assert feature(text, "log_chars") == pytest.approx(np.log1p(len(text)))
    assert feature(text, "log_stem") == pytest.approx(np.log1p(9))
    assert feature(text, "log_commas") == pytest.approx(np.log1p(1))
    assert feature(text, "conditions") == pytest.approx(np.log1p(1))
    assert feature(text, "steps") == pytest.approx(np.log1p(1))
    assert feature(text, "n_options") == 2
    assert feature(text, "numeric_options") == 0.5
    assert feature(text, "how_many") == 1
    assert feature(text, "negation") == 0


def test_a_single_lettered_line_is_not_a_list_of_options():
    assert feature("A. Only one line", "n_options") == 0


def test_other_scripts_and_code_are_told():
    assert feature("日本の首都はどこですか", "other_script_share") == 1
    assert feature("What is the capital of Japan?", "other_script_share") == 0
    assert feature("def f(x):\n    return x == 1", "code_rate") > 1


@settings(max_examples=100)
@given(st.text(max_size=500))
def test_features_are_finite_and_repeatable(text):
    first = surface_features(text)
    assert first.shape == (len(FEATURE_NAMES),)
    assert np.isfinite(first).all()
    assert (first == surface_features(text)).all()


@pytest.mark.parametrize("unit", ["a", "\n ", "(", "A. x\n", "1", "x = {1}; \\frac $ ", "日"])
def test_ten_megabytes_are_scanned_in_part(unit, monkeypatch):
    seen = []
    import scrimp.routing.prompts.surface as module

    scanned = module._scanned

    def spy(text):
        part = scanned(text)
        seen.append(len(part))
        return part

    monkeypatch.setattr(module, "_scanned", spy)
    huge = unit * (10_000_000 // len(unit))
    assert np.isfinite(surface_features(huge)).all()
    assert max(seen) <= SCANNED_CHARS + 1
    assert feature(huge, "log_chars") == pytest.approx(np.log1p(len(huge)))


def test_contexts_keep_their_order():
    items = contexts(["one", "zwölf"], FakeEmbedder())
    assert [feature("one", "log_chars"), feature("zwölf", "log_chars")] == [
        item.surface[FEATURE_NAMES.index("log_chars")] for item in items
    ]
    embeddings, surface = stack(items)
    assert embeddings.shape == (2, 4)
    assert surface.shape == (2, len(FEATURE_NAMES))
    assert contexts([], FakeEmbedder()) == []
    assert surface_matrix([]).shape == (0, len(FEATURE_NAMES))


def test_lone_surrogates_and_nothing_are_fine():
    (item,) = contexts(["\ud800"], FakeEmbedder())
    assert np.isfinite(item.surface).all()
    assert approx_tokens("") == 0
    assert surface_features("").shape == (len(FEATURE_NAMES),)
