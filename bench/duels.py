"""What duels find out: simulated arms of known strength, a voter who ties and leans to one side, the chooser as shipped.

    uv run python bench/duels.py [--runs 600] [--duels 200] [--seed 1]

Prints, for several spacings of six arms, how often the order found is the true one, how often a pair is in its order,
how often 95% intervals hold the true strength, and what is found of the side bias; beside it the same with pairs drawn
all alike. The arms' costs lie between $0.0001 and $0.03 an answer, in an order that has nothing to do with strength.
"""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from scrimp.routing.learn.collecting.pairs import EPSILON, draw, weigh
from scrimp.routing.learn.maths.bradley_terry import BradleyTerry, outcome_chances

ARMS = tuple("abcdef")
COSTS = dict(zip(ARMS, (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), strict=True))
SIDE = 0.3
NU = 0.5


@dataclass(frozen=True)
class World:
    """What is simulated.

    `spacing` is the gap between neighbours in logits; None draws strengths from a standard normal each run.
    """

    name: str
    spacing: float | None
    epsilon: float
    duels: int


@dataclass(frozen=True)
class Outcome:
    """What one run found."""

    ordered: bool
    pairs: float
    covered: float
    side: float
    side_covered: bool
    cost_usd: float


def simulate(world: World, seed: int) -> Outcome:
    """Play a session of duels, refitting after each as `scrimp duel` does."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    m = len(ARMS)
    truth = numbers.normal(size=m) if world.spacing is None else world.spacing * (np.arange(m) - (m - 1) / 2)
    numbers.shuffle(truth)
    places = {name: i for i, name in enumerate(ARMS)}
    left: list[int] = []
    right: list[int] = []
    outcomes: list[int] = []
    cost = 0.0
    fit = BradleyTerry().fit(m, left, right, outcomes)
    for _ in range(world.duels):
        drawn = draw(weigh(fit, places, COSTS, epsilon=world.epsilon), rng)
        i, j = places[drawn.left], places[drawn.right]
        (chances,) = outcome_chances(np.array([truth[i] - truth[j] + SIDE]), NU)
        left.append(i)
        right.append(j)
        outcomes.append(int(numbers.choice(3, p=chances)))
        cost += COSTS[drawn.left] + COSTS[drawn.right]
        if world.epsilon < 1.0:  # what is drawn all alike does not look at the fit
            fit = BradleyTerry().fit(m, left, right, outcomes)
    fit = BradleyTerry().fit(m, left, right, outcomes)
    found = fit.intervals()
    centred = truth - truth.mean()
    side, low, high = fit.side_interval()
    agree = [(found[i, 0] - found[j, 0]) * (truth[i] - truth[j]) > 0 for i in range(m) for j in range(i)]
    return Outcome(
        ordered=all(agree),
        pairs=float(np.mean(agree)),
        covered=float(((found[:, 1] <= centred) & (centred <= found[:, 2])).mean()),
        side=side,
        side_covered=low <= SIDE <= high,
        cost_usd=cost,
    )


def main() -> None:
    """Run all worlds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--duels", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    flags = parser.parse_args()
    worlds = [
        World(f"{name}, {how}", spacing, epsilon, flags.duels)
        for name, spacing in (("normal", None), ("gap 0.6", 0.6), ("gap 0.8", 0.8), ("gap 0.4", 0.4))
        for how, epsilon in (("chooser", EPSILON), ("uniform", 1.0))
    ]
    print(f"{flags.runs} runs of {flags.duels} duels among {len(ARMS)} arms; side bias {SIDE}, nu {NU} (20% ties)")
    print(f"{'world':20} {'order':>7} {'pairs':>7} {'95% holds':>10} {'side':>13} {'side 95%':>9} {'USD':>6}")
    with ProcessPoolExecutor(flags.jobs) as pool:
        for world in worlds:
            seeds = [flags.seed * 1_000_003 + n for n in range(flags.runs)]
            got = list(pool.map(simulate, [world] * len(seeds), seeds, chunksize=10))
            sides = [each.side for each in got]
            print(
                f"{world.name:20} {np.mean([each.ordered for each in got]):7.1%} "
                f"{np.mean([each.pairs for each in got]):7.1%} {np.mean([each.covered for each in got]):10.1%} "
                f"{np.mean(sides):6.3f} ±{np.std(sides):5.3f} {np.mean([each.side_covered for each in got]):9.1%} "
                f"{np.mean([each.cost_usd for each in got]):6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
