"""Kinds of prompts that a person can name, from surface features alone."""

import numpy as np
import pytest

from scrimp.routing.prompts.kinds import Kind, kinds_of
from scrimp.routing.prompts.surface import FEATURE_NAMES, surface_matrix


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Which is a mammal?\nA. trout\nB. whale\nC. wasp", Kind.CHOICE),
        ("def f(x):\n    return x == 1", Kind.CODE),
        ("Show that $a^2 + b^2 \\ge 2ab$ for all real a, b", Kind.MATHS),
        ("A train goes 60 km in 2 hours. How many km does it go in 5?", Kind.MATHS),
        ("请写一封短信给我的房东", Kind.OTHER),
        ("Schreib mir bitte eine kurze Absage", Kind.OTHER),
        ("Sum up the text below. " + "The day was long and it rained on the hills. " * 60, Kind.LONG),
        ("Who wrote the first letter to the queen?", Kind.QUESTION),
        ("Write a short note to my landlord.", Kind.TASK),
    ],
)
def test_a_prompt_is_of_a_kind(text, kind):
    assert kinds_of(surface_matrix([text])) == [kind]


def test_every_prompt_is_of_one_kind():
    rng = np.random.default_rng(0)
    surface = rng.exponential(1.0, (200, len(FEATURE_NAMES)))
    found = kinds_of(surface)
    assert len(found) == 200
    assert set(found) <= set(Kind)
    assert kinds_of(surface[:0]) == []
