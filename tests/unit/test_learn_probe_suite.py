"""The built-in probes: enough, spread, and each with checks that can be made and told apart."""

from __future__ import annotations

from collections import Counter

import pytest

from scrimp.routing.checks.names import make_check
from scrimp.routing.learn.collecting.probe_suite import SUITE


def test_the_suite_is_spread():
    assert len(SUITE) == 60
    assert len({item.id for item in SUITE}) == 60
    assert len({item.prompt for item in SUITE}) == 60
    assert min(Counter(item.kind for item in SUITE).values()) >= 7
    assert sum(item.difficulty > 0 for item in SUITE) >= 15
    assert sum(item.difficulty < -1 for item in SUITE) >= 15
    assert max(len(item.prompt) for item in SUITE) < 250


@pytest.mark.parametrize("item", SUITE, ids=lambda item: item.id)
def test_checks_pass_a_right_answer_and_fail_a_wrong_one(item):
    checks = [make_check(spec, {}) for spec in item.checks]
    right = RIGHT.get(item.id) or item.checks[0].partition(":")[2]
    for check in checks:
        assert check.test(right).outcome == "pass", (check.name, right)
    assert any(check.test("I do not know, sorry").outcome == "fail" for check in checks)


RIGHT = {
    "probe-26-extraction": '{"name": "Eva Holm", "age": 41, "city": "Oslo"}',
    "probe-27-format": "hello",
    "probe-28-format": "red\ngreen\nblue",
    "probe-29-format": "The sea is wide. It moves without end.",
    "probe-30-format": "Tall trees stand close together and their leaves keep the light green while small birds call and the "
    "ground smells of rain and moss.",
    "probe-31-format": "Winter brings snow and long nights while the whole town sleeps quietly",
    "probe-32-format": "- cat\n- dog\n- cow\n- hen\n- pig",
    "probe-33-format": "THE RAIN FALLS ON THE ROOF.",
    "probe-42-knowledge": "Vilnia",
    "probe-53-logic": "A 7",
    "probe-54-language": "el perro",
}
