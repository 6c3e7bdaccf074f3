"""Vectors that are remembered: the same bits, private, and nothing believed that is not a vector."""

from __future__ import annotations

import stat

import numpy as np
import pytest

from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.vector_cache import VectorCache

pytestmark = pytest.mark.usefixtures("paid_in_full")

TEXTS = ["What is the capital of France?", "", "naïve \ud800", "What is the capital of France?"]


class Counting(Embedder):
    """An embedder that counts what it was asked."""

    n = 0

    def embed(self, texts):
        self.n += len(texts)
        return super().embed(texts)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vectors"


def test_the_second_time_nothing_is_embedded(folder):
    first, second = Counting(), Counting()
    vectors = VectorCache(first, folder).embed(TEXTS)
    assert (vectors == Embedder().embed(TEXTS)).all()
    assert first.n == 3, "a text that stands twice is embedded once"
    assert (VectorCache(second, folder).embed([*TEXTS[::-1], "new"])[:4] == vectors[::-1]).all()
    assert second.n == 1
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("harm", ["cut", "noise", "folder"])
def test_a_damaged_memory_is_not_believed(folder, harm):
    vectors = VectorCache(Embedder(), folder).embed(TEXTS[:2])
    (file,) = folder.iterdir()
    content = file.read_bytes()
    if harm == "cut":
        file.write_bytes(content[:-5])
    elif harm == "noise":
        file.write_bytes(np.random.default_rng(0).bytes(len(content)))
    else:
        file.unlink()
        file.mkdir()
    again = Counting()
    assert (VectorCache(again, folder).embed(TEXTS[:2]) == vectors).all()
    assert again.n == 2
