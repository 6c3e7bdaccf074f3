"""Which arms meet: by what their duel tells for its money, with a chance that is known."""

import random
from collections import Counter

import pytest

from scrimp.routing.learn.collecting.pairs import EPSILON, draw, information, weigh
from scrimp.routing.learn.maths.bradley_terry import LEFT, BradleyTerry

PLACES = {"a": 0, "b": 1, "c": 2}
COSTS = {"a": 0.001, "b": 0.001, "c": 0.001}


def fitted(*duels):
    """Return a fit of duels that the first named won."""
    left, right = [PLACES[won] for won, _ in duels], [PLACES[lost] for _, lost in duels]
    return BradleyTerry().fit(3, left, right, [LEFT] * len(duels))


def test_chances_add_up_and_none_is_zero():
    for fit in (fitted(), fitted(*[("a", "b")] * 9, ("b", "c"))):
        pairs = weigh(fit, PLACES, COSTS)
        assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
        assert sum(pair.chance for pair in pairs) == pytest.approx(1.0)
        assert min(pair.chance for pair in pairs) >= EPSILON / 3 - 1e-12
    assert [pair.chance for pair in weigh(fitted(), PLACES, COSTS)] == pytest.approx([1 / 3] * 3)


def test_what_is_drawn_has_the_chance_that_is_logged():
    pairs = weigh(fitted(("a", "b"), ("a", "c")), PLACES, COSTS)
    rng = random.Random(1)
    seen = Counter()
    logged = {}
    arms = Counter()
    for _ in range(20_000):
        drawn = draw(pairs, rng)
        seen[drawn.left, drawn.right] += 1
        logged[drawn.left, drawn.right] = drawn.propensity
        arms.update((drawn.left, drawn.right))
        assert sum(drawn.chances.values()) == pytest.approx(2.0), "two arms are seen in each duel"
    assert sum(logged.values()) == pytest.approx(1.0), "every pair with its sides"
    for sides, n in seen.items():
        assert n / 20_000 == pytest.approx(logged[sides], abs=0.012)
    for arm, n in arms.items():
        assert n / 20_000 == pytest.approx(drawn.chances[arm], abs=0.012)


def test_an_order_that_is_plain_is_not_asked_again():
    fit = fitted(*[("a", "b")] * 30, *[("a", "c")] * 30)
    pairs = weigh(fit, PLACES, COSTS)
    assert max(pairs, key=lambda pair: pair.chance) == pairs[2], "b and c never met"
    assert information(fit, 1, 2) > 10 * information(fit, 0, 1)
    assert information(fit, 0, 1) == pytest.approx(information(fit, 1, 0))


def test_what_tells_as_much_is_had_for_less():
    pairs = weigh(fitted(), PLACES, {"a": 0.001, "b": 0.002, "c": 0.5})
    assert [pair.chance for pair in pairs] == pytest.approx([1 - EPSILON + EPSILON / 3, EPSILON / 3, EPSILON / 3])


def test_only_who_may_meet_meets():
    pairs = weigh(fitted(), PLACES, COSTS, allowed=lambda first, second: {first, second} == {"a", "c"})
    assert [(pair.first, pair.second, pair.chance) for pair in pairs] == [("a", "c", 1.0)]
    assert weigh(fitted(), PLACES, COSTS, allowed=lambda _first, _second: False) == []
    assert weigh(fitted(), PLACES, {"a": 0.001}) == []
