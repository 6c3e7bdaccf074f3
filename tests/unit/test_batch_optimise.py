"""The optimiser: hand-worked cases, exhaustive search on small ones, bounds on large ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.routing.batch.planning.optimise import (
    SKIP,
    Rule,
    cheapest_at_quality,
    frontier,
    most_quality,
    most_quality_within_bounds,
)


def table(n, k, seed, *, gaps=False):
    rng = np.random.default_rng(seed)
    quality = np.sort(rng.uniform(0, 1, (n, k)), axis=1)
    cost = np.sort(rng.lognormal(-7, 2, (n, k)), axis=1)
    feasible = rng.uniform(size=(n, k)) > 0.2 if gaps else np.ones((n, k), dtype=bool)
    return quality, cost, feasible


def test_a_case_worked_by_hand():
    # Two rows; the dear arm brings 0.4 more on the first for $1, and 0.1 more on the second for $1.
    quality = np.array([[0.5, 0.9], [0.8, 0.9]])
    cost = np.array([[0.0, 1.0], [0.0, 1.0]])
    yes = np.ones((2, 2), dtype=bool)
    assert most_quality(quality, cost, yes, 0.0).choice.tolist() == [0, 0]
    assert most_quality(quality, cost, yes, 1.0).choice.tolist() == [1, 0]
    solution = most_quality(quality, cost, yes, 2.0)
    assert solution.choice.tolist() == [1, 1]
    assert solution.value == solution.dual == pytest.approx(1.8)


@given(seed=st.integers(0, 10_000), budget=st.floats(0.0, 6.0))
@settings(max_examples=60)
def test_no_plan_is_above_the_dual_bound_nor_the_budget(seed, budget):
    rng = np.random.default_rng(seed)
    n, k = 5, 3
    quality, cost = rng.uniform(0, 1, (n, k)), rng.uniform(0, 2, (n, k))
    feasible = rng.uniform(size=(n, k)) > 0.2
    solution = most_quality(quality, cost, feasible, budget)
    best = 0.0
    for plan in itertools.product(range(-1, k), repeat=n):
        if all(j < 0 or feasible[i, j] for i, j in enumerate(plan)):
            spent = sum(cost[i, j] for i, j in enumerate(plan) if j >= 0)
            if spent <= budget:
                best = max(best, sum(quality[i, j] for i, j in enumerate(plan) if j >= 0))
    assert solution.cost <= budget + 1e-9
    assert solution.value <= best + 1e-6 <= solution.dual + 2e-6
    assert solution.value >= best - quality.max()  # at most one step is lost


@pytest.mark.parametrize("budget", [0.05, 0.3, 1.0, 5.0, 20.0])
def test_within_one_percent_of_the_dual_bound(budget):
    quality, cost, feasible = table(1000, 8, 1, gaps=True)
    solution = most_quality(quality, cost, feasible, budget)
    assert solution.cost <= budget
    assert solution.value >= 0.99 * solution.dual


def test_more_money_never_buys_less():
    quality, cost, feasible = table(300, 5, 2)
    values = [most_quality(quality, cost, feasible, budget).value for budget in np.geomspace(0.01, 50, 20)]
    assert values == sorted(values)


def test_equal_rows_share_what_there_is():
    quality, cost = np.tile([[0.5, 0.9]], (1000, 1)), np.tile([[0.1, 1.0]], (1000, 1))
    yes = np.ones((1000, 2), dtype=bool)
    solution = most_quality(quality, cost, yes, 400.0)
    assert np.bincount(solution.choice).tolist() == [667, 333]
    chosen, carry = solution.rule.choose(quality[:500], cost[:500], yes[:500])
    more, _ = solution.rule.choose(quality[500:], cost[500:], yes[500:], start=carry)
    assert (chosen == 1).sum() + (more == 1).sum() in (332, 333)


def test_rows_that_nothing_can_take_are_skipped_and_no_others():
    quality, cost, feasible = table(50, 3, 3)
    feasible[7] = False
    assert np.flatnonzero(most_quality(quality, cost, feasible, 1e9).choice == SKIP).tolist() == [7]
    assert np.flatnonzero(cheapest_at_quality(quality, cost, feasible, 0.2).choice == SKIP).tolist() == [7]


def test_one_arm_ties_and_free_arms():
    quality, cost, yes = np.full((4, 1), 0.5), np.ones((4, 1)), np.ones((4, 1), dtype=bool)
    assert (most_quality(quality, cost, yes, 2.5).choice == 0).sum() == 2
    same = np.full((4, 2), 0.5)
    dear_first = np.tile([[2.0, 1.0]], (4, 1))
    assert most_quality(same, dear_first, np.ones((4, 2), dtype=bool), 100.0).choice.tolist() == [1] * 4
    assert most_quality(same, np.zeros((4, 2)), np.ones((4, 2), dtype=bool), 0.0).choice.tolist() == [0] * 4


def test_the_room_for_reservations_is_left():
    quality, cost, feasible = table(400, 4, 4)
    bound = cost * 6
    for budget in (0.1, 1.0, 10.0):
        solution = most_quality_within_bounds(quality, cost, bound, feasible, budget)
        rows = np.flatnonzero(solution.choice != SKIP)
        room = (bound - cost)[rows, solution.choice[rows]].max()
        assert solution.cost + room <= budget + 1e-9
        assert (bound[rows, solution.choice[rows]] <= budget).all()
        assert solution.value <= solution.dual


def test_a_bound_above_the_budget_is_never_chosen():
    quality, cost = np.array([[0.5, 0.9]]), np.array([[0.01, 0.02]])
    bound = np.array([[0.02, 5.0]])
    solution = most_quality_within_bounds(quality, cost, bound, np.ones((1, 2), dtype=bool), 1.0)
    assert solution.choice.tolist() == [0]


@pytest.mark.parametrize("target", [0.3, 0.5, 0.7, 0.85])
def test_the_least_cost_for_a_quality(target):
    quality, cost, feasible = table(1000, 6, 5)
    solution = cheapest_at_quality(quality, cost, feasible, target)
    assert solution.reached
    assert solution.value / 1000 >= target
    assert solution.dual <= solution.cost <= 1.01 * solution.dual


def test_a_quality_out_of_reach_is_said():
    quality, cost, feasible = table(100, 3, 6)
    solution = cheapest_at_quality(quality, cost, feasible, 1.0)
    assert not solution.reached
    assert solution.value == pytest.approx(quality.max(axis=1).sum())


def test_the_frontier_rises():
    points = frontier(*table(500, 5, 7))
    assert points == sorted(points)
    assert [quality for _, quality in points] == sorted(quality for _, quality in points)
    assert len(points) >= 5
    one = frontier(np.full((3, 1), 0.5), np.ones((3, 1)), np.ones((3, 1), dtype=bool))
    assert one == [(3.0, 0.5)]
    assert frontier(np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1), dtype=bool)) == []


def test_a_rule_without_a_share_follows_its_higher_price():
    quality, cost = np.array([[0.5, 0.9]] * 3), np.array([[0.0, 1.0]] * 3)
    chosen, _ = Rule(high=1.0, low=0.1, share=0.0).choose(quality, cost, np.ones((3, 2), dtype=bool))
    assert chosen.tolist() == [0, 0, 0]


@pytest.mark.parametrize("budget", [0.02, 0.1, 0.5, 2.0, 10.0])
def test_a_rule_spends_on_the_very_rows_it_was_made_of_what_its_plan_does(budget):
    quality, cost, feasible = table(1500, 6, 8, gaps=True)
    bound = cost * np.random.default_rng(9).uniform(2, 20, cost.shape)
    solution = most_quality_within_bounds(quality, cost, bound, feasible, budget)
    chosen, _ = solution.rule.choose(quality, cost, feasible, bound=bound)
    rows = np.flatnonzero(chosen != SKIP)
    assert cost[rows, chosen[rows]].sum() == pytest.approx(solution.cost, rel=0.05)
    assert quality[rows, chosen[rows]].sum() == pytest.approx(solution.value, rel=0.02)


def test_the_room_of_an_arms_last_rows_is_not_shut_out():
    """Rooms differ a little from row to row; no quantile of all rooms need fall between one arm and the next."""
    n = 200
    cost = np.column_stack([np.linspace(0.9, 1.1, n), np.full(n, 4.0), np.full(n, 9.0)])
    bound = cost * np.array([8.0, 40.0, 90.0])
    value = np.tile([0.7, 0.75, 0.8], (n, 1))
    plan = most_quality_within_bounds(value, cost, bound, np.ones((n, 3), bool), cost[:, 0].sum() + 8.0)
    assert (plan.choice == 0).all()
