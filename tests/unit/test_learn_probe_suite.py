"""The built-in probes: enough of every level and kind, and each with checks that tell right from wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from scrimp.routing.checks.names import make_check
from scrimp.routing.learn.collecting.probe_suite import SUITE, in_order, knot


def test_the_suite_is_spread():
    assert 60 <= len(SUITE) <= 70
    assert len({item.id for item in SUITE}) == len(SUITE)
    assert len({item.prompt for item in SUITE}) == len(SUITE)
    assert min(Counter(item.kind for item in SUITE).values()) >= 7
    assert max(len(item.prompt) for item in SUITE) < 250


def test_every_level_is_well_filled():
    assert all(item.level in [1.0 + half / 2.0 for half in range(9)] for item in SUITE)
    counts = Counter(knot(item.level) for item in SUITE)
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert min(counts.values()) >= 12


def test_halves_count_upwards():
    assert [knot(level) for level in (1.0, 1.5, 2.4, 4.5, 5.0)] == [1, 2, 2, 5, 5]


def test_a_short_probe_tries_every_level():
    order = in_order()
    assert sorted(item.id for item in order) == sorted(item.id for item in SUITE)
    assert order == in_order()
    for n in (5, 10, 20, 40):
        counts = Counter(knot(item.level) for item in order[:n])
        assert min(counts[level] for level in range(1, 6)) >= n // 5 - 1
        assert len(counts) == 5
    assert len({item.kind for item in order[:20]}) >= 5


def passes(item, answer):
    return all(make_check(spec, {}).test(answer).outcome == "pass" for spec in item.checks)


def fails(item, answer):
    return any(make_check(spec, {}).test(answer).outcome == "fail" for spec in item.checks)


def rights(item):
    if item.prompt in RIGHT:
        return RIGHT[item.prompt][:1]
    kind, _, right = item.checks[0].partition(":")
    assert kind in ("is", "number"), f"{item.id} has no right answer here"
    return (right, f"**{right}**.", f"The answer is {right}." if kind == "number" else f" {right}")


def wrongs(item):
    if item.prompt in RIGHT:
        return RIGHT[item.prompt][1:]
    kind, _, right = item.checks[0].partition(":")
    return (f"{float(right) + 1:.1f}", f"{float(right) * 10:.1f}") if kind == "number" else (f"{right}x", "Lisbon")


@pytest.mark.parametrize("item", SUITE, ids=lambda item: item.id)
def test_checks_pass_a_right_answer_and_fail_a_wrong_one(item):
    assert all(passes(item, answer) for answer in rights(item))
    assert len(wrongs(item)) >= 1
    for answer in (*wrongs(item), "I do not know, sorry", item.prompt):
        assert fails(item, answer), answer


RIGHT = {
    'Text: "Eva Holm, 41, lives in Oslo." Answer with a JSON object that has the keys name, age and city, '
    "and nothing else.": (
        '{"name": "Eva Holm", "age": 41, "city": "Oslo"}',
        '{"name": "Eva Holm", "age": 14, "city": "Oslo"}',
        'name: Eva Holm, "age": 41',
    ),
    "Text: '10 bikes at first. Mon 3 in, 1 out; Tue 5 in, 4 out; Wed 2 in, 6 out; Thu 4 in, 0 out.' At the end of "
    "which day were there fewest? Answer with its name as written.": ("Wed", "Mon"),
    "Write the word HELLO in lower case and nothing else.": ("hello", "HELLO", "hello there"),
    "Name three colours of the rainbow, one on each line, and nothing else.": (
        "red\ngreen\nblue",
        "red, green, blue",
        "Here are three:\nred\ngreen\nblue",
    ),
    "Describe the sea in exactly two sentences.": (
        "The sea is wide. It moves without end.",
        "The sea is wide. It moves. It never ends.",
    ),
    "Describe a forest without using any comma, in 20 to 40 words.": (
        (
            "Tall trees stand close together and their leaves keep the light green while small birds call and the "
            "ground smells of rain and moss."
        ),
        (
            "Tall trees stand close together, and their leaves keep the light green while small birds call and the "
            "ground smells of rain and moss."
        ),
        "Tall trees stand close together.",
    ),
    "Write exactly twelve words about winter.": (
        "Winter brings snow and long nights while the whole town sleeps quietly",
        "Winter brings snow and long nights while the town sleeps quietly",
    ),
    "Describe a storm at sea in exactly three sentences and exactly 25 words altogether.": (
        (
            "Black waves rise higher than the mast. The wind tears at every rope and sail. Below deck the crew can "
            "only wait and hope together."
        ),
        (
            "Black waves rise higher than the mast. The wind tears at every rope. Below deck the crew can only wait "
            "and hope together."
        ),
        (
            "Black waves rise higher than the mast. The wind tears at every rope and sail, and below deck the crew can "
            "only wait and hope together."
        ),
    ),
    "Describe a cat in one sentence of 15 to 20 words without using the letter e anywhere.": (
        "A small furry animal naps on a warm mat, stalks birds at dawn, and purrs for food.",
        "The small furry animal naps on a warm mat, stalks birds at dawn, and purrs for food.",
        "A small furry animal naps on a warm mat.",
    ),
    "Write one sentence of seven words whose lengths are 1, 2, 3, 4, 5, 6 and 7 letters, in this order, and nothing "
    "else.": (
        "I am the last brave little soldier.",
        "I am the last brave soldier.",
        "I am the very last little soldier.",
    ),
    "Write a text about rain that is exactly 100 characters long, spaces and punctuation counted, and nothing else.": (
        "Rain drums on the tin roof all night long, and by morning the garden shines, fresh, green and alive.",
        "Rain drums on the tin roof all night long, and by morning the garden shines, fresh, green and alive",
    ),
    "Which river flows through Vilnius and gives it its name? Answer with one word.": ("Vilnia", "Neris"),
    "Translate into Spanish: the dog. Give the translation only.": ("el perro", "el gato"),
}
