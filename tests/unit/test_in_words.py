"""Numbers of a router in words: levels of difficulty at their thresholds, and distances where trust changes."""

import pytest

from scrimp.routing.deciding.decide import GUARD_QUANTILE
from scrimp.routing.text.in_words import distance_in_words, level_in_words


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (1.0, "very easy, 1.0 of 5"), (1.49, "very easy, 1.5 of 5"), (1.5, "easy, 1.5 of 5"), (2.49, "easy, 2.5 of 5"),
        (2.5, "middling, 2.5 of 5"), (3.49, "middling, 3.5 of 5"), (3.5, "hard, 3.5 of 5"), (4.49, "hard, 4.5 of 5"),
        (4.5, "very hard, 4.5 of 5"), (5.0, "very hard, 5.0 of 5"),
    ],
)  # fmt: skip
def test_levels(level, words):
    assert level_in_words(level) == words


@pytest.mark.parametrize(
    ("quantile", "words"),
    [
        (0.0, "like its training prompts"), (0.89, "like its"), (0.9, "less usual than most"), (0.96, "less usual"),
        (0.97, "unlike most of its training prompts"), (0.998, "unlike most"), (1.0, "unlike all of its"),
    ],
)  # fmt: skip
def test_distances(quantile, words):
    said = distance_in_words(quantile)
    assert said.startswith(words)
    assert said.endswith(f"(distance quantile {quantile:.2f})")


def test_unlike_all_is_said_from_where_the_guard_stops_the_router():
    assert distance_in_words(GUARD_QUANTILE).startswith("unlike all")
    assert distance_in_words(GUARD_QUANTILE - 1e-6).startswith("unlike most")
