"""The Pareto front: hand-worked cases, and against brute force written from the definition."""

import json
import random
from dataclasses import replace

import pytest
from hand_made import decision, option
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.errors import UsageError
from scrimp.routing.asking.route import Guide
from scrimp.routing.deciding.front import Point, dominates, front, points_of
from scrimp.routing.learn.measuring.plot_front import plot_front

CHEAP = Point("cheap", 0.5, 10, 4.0)
FAST = Point("fast", 0.6, 200, 0.5)
BEST = Point("best", 0.9, 900, 20.0)
BETWEEN = Point("between", 0.7, 300, 6.0)
WORSE = Point("worse", 0.65, 400, 7.0)


def by_name(points):
    return {each.point.name: each for each in front(points)}


def test_by_hand():
    placed = by_name([CHEAP, FAST, BEST, BETWEEN, WORSE])
    assert {name: each.roles for name, each in placed.items()} == {
        "cheap": ("cheapest",), "fast": ("fastest",), "best": ("best",), "between": (), "worse": ()
    }  # fmt: skip
    assert placed["worse"].dominated_by == ("between",)
    assert [each.on_front for each in placed.values()] == [True, True, True, True, False]


def test_equal_ways_stand_beside_each_other():
    twin = replace(CHEAP, name="twin")
    placed = by_name([CHEAP, twin])
    assert placed["cheap"].roles == placed["twin"].roles == ("cheapest", "fastest", "best")


def test_a_way_of_unknown_time_is_compared_by_what_is_known_and_silence_does_not_speak_for_it():
    silent = Point("silent", 0.65, 350)
    placed = by_name([BETWEEN, silent, WORSE])
    assert placed["silent"].dominated_by == ("between",)
    better = Point("better", 0.8, 5)
    placed = by_name([CHEAP, better])
    assert placed["cheap"].on_front
    assert placed["better"].on_front
    assert placed["cheap"].roles == ("fastest",)
    assert placed["better"].roles == ("cheapest", "best")


def test_without_any_time_there_are_two_axes():
    placed = by_name([replace(each, seconds=None) for each in (CHEAP, FAST, BEST, BETWEEN, WORSE)])
    assert [name for name, each in placed.items() if not each.on_front] == ["worse"]
    assert all("fastest" not in each.roles for each in placed.values())


POINTS = st.lists(
    st.builds(
        Point,
        st.just("p"),
        st.sampled_from([0.0, 0.25, 0.5, 0.5000000001, 1.0]),
        st.integers(0, 4),
        st.none() | st.sampled_from([0.1, 0.2, 0.3]),
    ),
    max_size=9,
).map(lambda points: [replace(point, name=f"p{n}") for n, point in enumerate(points)])


def worse_in_all(one, other):
    """Say by the definition, axis by axis, whether `other` is dominated by `one`."""
    axes = [(one.quality, other.quality), (-one.cost_nano, -other.cost_nano)]
    if other.seconds is not None:
        if one.seconds is None:
            return False
        axes.append((-one.seconds, -other.seconds))
    return all(mine >= theirs for mine, theirs in axes) and any(mine > theirs for mine, theirs in axes)


@given(POINTS)
def test_against_brute_force(points):
    placed = front(points)
    assert [each.point for each in placed] == points
    ahead = {p.name for p in points if not any(worse_in_all(other, p) for other in points)}
    assert {each.point.name for each in placed if each.on_front} == ahead
    assert bool(ahead) == bool(points)
    for each in placed:
        assert set(each.dominated_by) == {p.name for p in points if p.name in ahead and worse_in_all(p, each.point)}
        assert bool(each.dominated_by) != each.on_front
        assert each.on_front or not each.roles


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points, rng):
    mixed = list(points)
    rng.shuffle(mixed)
    assert {each.point.name: (each.on_front, each.roles, frozenset(each.dominated_by)) for each in front(points)} == {
        each.point.name: (each.on_front, each.roles, frozenset(each.dominated_by)) for each in front(mixed)
    }


@given(POINTS)
def test_it_is_a_strict_partial_order(points):
    for a in points:
        assert not dominates(a, a)
        for b in points:
            assert not (dominates(a, b) and dominates(b, a))
            for c in points:
                assert not (dominates(a, b) and dominates(b, c)) or dominates(a, c)


def test_only_what_was_open_is_a_point():
    options = [
        option("small", 0.6, 0.001, seconds=2.0, first_s=0.3),
        option("large", 0.9, 0.02),
        option("shut", 0.95, 0.0001, infeasible="no key"),
        option("unpriced", 0.99, None),
    ]
    plans = (
        {"name": "twice", "plan": "small ? checks > large", "quality": 0.92, "cost_usd": 0.004, "seconds": 5.5,
         "why": None, "feasible": True},
        {"name": "dear", "plan": "large > large", "quality": 0.93, "cost_usd": 0.04, "why": "too dear", "feasible": False},
    )  # fmt: skip
    points = points_of(decision(options, plans=plans))
    assert points == [
        Point("small", 0.6, 1_000_000, 2.0, 0.3),
        Point("large", 0.9, 20_000_000),
        Point("twice", 0.92, 4_000_000, 5.5, None, "plan"),
    ]
    placed = {each.point.name: each for each in front(points)}
    assert placed["large"].dominated_by == ("twice",)
    assert placed["twice"].to_dict() == {
        "name": "twice", "kind": "plan", "quality": 0.92, "cost_usd": 0.004, "first_s": None, "seconds": 5.5,
        "on_front": True, "roles": ["best"], "dominated_by": [],
    }  # fmt: skip


def test_a_plan_that_was_asked_for_is_a_point():
    plan = {
        "name": None,
        "text": "a > b",
        "expected": {"plan": "a > b", "quality": 0.7, "cost_usd": 0.002, "seconds": None},
    }
    assert Point("a > b", 0.7, 2_000_000, None, None, "plan") in points_of(
        decision([option("a", 0.6, 0.001)], plan=plan)
    )


# -- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [(0.0, 0.0001, 0.02), (0.001, 0.002, 0.003), (0.0001, 0.001, 0.1), (0.0, 0.0, 0.0)])
def test_a_picture_of_any_costs_names_every_way(tmp_path, costs):
    options = [option(f"arm-{n}", 0.5 + n / 10, usd, seconds=1.0 + n) for n, usd in enumerate(costs)]
    placed = Guide.front(decision(options))
    for name in ("front.svg", "front.png"):
        plot_front(placed, tmp_path / name, taken="arm-1")
        assert (tmp_path / name).stat().st_size > 5_000
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_picture_is_the_same_file(tmp_path):
    placed = Guide.front(decision([option("a", 0.5, 0.001, seconds=1.0), option("b", 0.9, 0.05)]))
    for name in ("one.svg", "two.svg"):
        plot_front(placed, tmp_path / name, taken="a")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_names_do_not_stand_on_one_another(tmp_path, monkeypatch):
    """Twelve ways close together: the boxes of their names are apart, and inside the frame."""
    from scrimp.routing.learn.measuring import plot_front as module

    seen = {}

    def watching(axes, placed, renderer):
        named(axes, placed, renderer)
        seen["boxes"] = [text.get_window_extent(renderer) for text in axes.texts]
        seen["frame"] = axes.get_window_extent(renderer)

    named = module._name
    monkeypatch.setattr(module, "_name", watching)
    rng = random.Random(3)
    options = [option(f"arm-{n}", 0.6 + rng.random() / 4, 0.001 * (1 + rng.random()), seconds=1.0) for n in range(12)]
    plot_front(Guide.front(decision(options)), tmp_path / "front.png", taken="arm-0")
    boxes = seen["boxes"]
    assert len(boxes) == 12
    overlapping = [(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1 :] if a.overlaps(b)]
    assert len(overlapping) <= 1
    assert all(seen["frame"].x0 <= box.x0 and box.x1 <= seen["frame"].x1 for box in boxes)


@pytest.mark.parametrize("name", ["front.pdf", "missing/front.png"])
def test_a_picture_that_cannot_be_drawn_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="--plot"):
        plot_front((), tmp_path / name, taken=None)


def test_its_json_is_plain():
    placed = Guide.front(decision([option("a", 0.5, 0.001, seconds=1.0), option("b", 0.9, 0.05)]))
    assert json.loads(json.dumps([each.to_dict() for each in placed]))[0]["name"] == "a"
