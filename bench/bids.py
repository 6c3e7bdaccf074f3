"""Bidding in a simulated world of known truth: what it saves against the dearest arm where jurors tell something, and
what it loses where they tell nothing.

    python bench/bids.py [--prompts 1500] [--labelled 0.3] [--knows 2] [--worth 0.4 1] [--seed 1]

A prompt has a difficulty d ~ N(0, 1); an arm of ability m answers it rightly with chance p = sigmoid(m - 1.2 d + k), with
k ~ N(0, K) what that arm knows of it: with --knows 0 the dearest arm is the best for every prompt, with 2 another often
is. The router sees d + N(0, 1.5), nothing of k, and predicts what follows from that. The strategy is the one that `--plan 'a + b + c bid'`
runs; what arms say is made up here, with these jurors:

none        nobody bids: the arm of the greatest predicted utility answers
informed    10 (p + N(0, 0.15)), each its own
noise       uniform between 0 and 10, each its own
constant    8 for every plan
blind       uniform, but all jurors say the same: consistent, and about nothing

A share of the answers is labelled, as ratings or checks do; trust in the jurors is learned from the log as it grows.
Tokens: prompt 300, plan 150, scores 25, answer 2,000. "kept" is the answers right with bidding less those right with
the dearest arm; intervals are 95%, from paired differences.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.strategies.bid import JUROR
from scrimp.routing.strategies.bid_memory import PastBid, trust_of
from scrimp.routing.strategies.brief import Brief, Card, Memory
from scrimp.routing.strategies.protocol import Got, Role
from scrimp.routing.strategies.stages import Staged

if TYPE_CHECKING:
    from collections.abc import Callable

ABILITY = {"small": 0.9, "medium": 1.7, "large": 2.4}
PRICES = {"small": (1.0, 4.0), "medium": (3.0, 12.0), "large": (10.0, 40.0)}
"""USD per million tokens, in and out."""

PROMPT, PLAN, SCORES, ANSWER = 300, 150, 25, 2_000
SLOPE, SEEN = 1.2, 1.5


def sigmoid(x: float) -> float:
    """Return the logistic function of x."""
    return 1.0 / (1.0 + math.exp(-x))


def usd(arm: str, n_in: float, n_out: float) -> float:
    """Return what a call costs, USD."""
    price_in, price_out = PRICES[arm]
    return (price_in * n_in + price_out * n_out) / 1e6


def predicted(arm: str, seen: float, knows: float) -> float:
    """Return P(right) given the difficulty as the router sees it: posterior N(k seen, v), logistic-normal mean."""
    k = 1.0 / (1.0 + SEEN**2)
    v = SLOPE**2 * SEEN**2 * k + knows**2
    return sigmoid((ABILITY[arm] - SLOPE * k * seen) / math.sqrt(1.0 + math.pi * v / 8.0))


class World:
    """One prompt: who would be right, and what each juror gives each plan, in [0, 10]."""

    def __init__(self, rng: random.Random, jury: str, knows: float) -> None:
        d = rng.gauss(0, 1)
        self.chance = {arm: sigmoid(m - SLOPE * d + rng.gauss(0, knows)) for arm, m in ABILITY.items()}
        self.right = {arm: rng.random() < p for arm, p in self.chance.items()}
        seen = d + rng.gauss(0, SEEN)
        self.quality = {arm: predicted(arm, seen, knows) for arm in ABILITY}
        blind = {arm: rng.random() for arm in ABILITY}
        tell: dict[str, Callable[[str], float]] = {
            "none": lambda _arm: 0.5,
            "informed": lambda arm: self.chance[arm] + rng.gauss(0, 0.15),
            "noise": lambda _arm: rng.random(),
            "constant": lambda _arm: 0.8,
            "blind": lambda arm: blind[arm],
        }
        self.given = {j: {arm: min(10.0, max(0.0, 10 * tell[jury](arm))) for arm in ABILITY} for j in ABILITY}


def played(
    world: World, number: int, trust: float, worth: float
) -> tuple[str, float, float, list[tuple[str, tuple[float, ...]]]]:
    """Bid for a prompt; return who answered, what all calls cost and what those before the answer did, and the scores."""
    cards = {
        arm: Card(q, round(usd(arm, PROMPT, ANSWER) * NANO), None, round(usd(arm, 0, ANSWER) * NANO))
        for arm, q in world.quality.items()
    }
    brief = Brief(Prompt(f"prompt {number}"), arms=cards, wtp_usd=worth, memory=Memory(trust))
    run = Staged(Plan((Stage(tuple(ABILITY), how="bid"),)), brief).run()
    seq, paid, winner, back = 0, 0.0, "", None
    while True:
        try:
            wanted = run.send(back)
        except StopIteration as stop:
            end = stop.value
            break
        seq += 1
        if wanted.role is Role.BID:
            text, cost = f"plan-{wanted.arm} " + "step " * 60, usd(wanted.arm, PROMPT + 60, PLAN)
        elif wanted.role is Role.JUDGE:
            asked = wanted.prompt.text
            order = sorted(ABILITY, key=lambda arm: asked.index(f"plan-{arm} "))
            given = world.given[wanted.arm]
            text = ", ".join(f"{letter}: {given[arm]:.1f}" for letter, arm in zip("ABC", order, strict=True))
            cost = usd(wanted.arm, PROMPT + 100 + len(ABILITY) * PLAN, SCORES)
        else:
            text, winner, cost = "answer", wanted.arm, usd(wanted.arm, PROMPT + PLAN, ANSWER)
            bids = paid
        paid += cost
        back = Got(seq, wanted.arm, text, "stop", round(cost * NANO))
    scores = [
        (arm, tuple(each.score for each in end.verdicts.get(at, ()) if each.check.startswith(JUROR)))
        for at, arm in enumerate(ABILITY, start=1)
    ]
    return winner, paid, bids, scores


def interval(values: list[float]) -> tuple[float, float]:
    """Return mean and half of a 95% interval."""
    mean = math.fsum(values) / len(values)
    return mean, 1.96 * math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def trial(jury: str, n: int, labelled: float, knows: float, worth: float, seed: int) -> dict[str, object]:
    """Play a jury for n prompts, learning as the log grows."""
    rng = random.Random(f"{jury} {seed} {knows}")
    past: list[PastBid] = []
    trust, trusts = trust_of(()), []
    right, cost, base_cost, lost, taken = [], [], [], [], dict.fromkeys(ABILITY, 0)
    for number in range(n):
        if number % 20 == 0:
            trust = trust_of(past[-600:])
        trusts.append(trust)
        world = World(rng, jury, knows)
        if jury == "none":
            price = {arm: usd(arm, PROMPT, ANSWER) for arm in ABILITY}
            winner = max(ABILITY, key=lambda arm: worth * world.quality[arm] - price[arm])
            paid, bids, scores = price[winner], 0.0, []
        else:
            winner, paid, bids, scores = played(world, number, trust, worth)
        told = rng.random() < labelled
        for arm, given in scores:
            bid = PastBid(world.quality[arm], given)
            past.append(replace(bid, reward=float(world.right[arm])) if told and arm == winner else bid)
        taken[winner] += 1
        large = usd("large", PROMPT, ANSWER)
        right.append(float(world.right[winner]) - float(world.right["large"]))
        cost.append(paid)
        base_cost.append(large)
        # Utility of the dearest arm, less that of bidding, less what the bids cost: above 0, more than that is lost.
        lost.append(worth * (world.right["large"] - world.right[winner]) - (large - paid) - bids)
    return {
        "jury": jury,
        "trust": trusts[-1],
        "kept": interval(right),
        "saved": 1.0 - math.fsum(cost) / math.fsum(base_cost),
        "beyond": interval(lost),
        "taken": taken,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--labelled", type=float, default=0.3)
    parser.add_argument("--knows", type=float, default=2.0)
    parser.add_argument("--worth", type=float, nargs="+", default=[0.4, 1.0], help="of a right answer, USD")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for worth in given.worth:
        print(
            f"{given.prompts} prompts, {given.labelled:.0%} of the answers labelled, K = {given.knows:g}, a right answer "
            f"worth ${worth:g}, seed {given.seed}; against always large"
        )
        print("jurors     trust   answers kept       saved   lost beyond the bids' price   small/medium/large")
        for jury in ("none", "informed", "noise", "constant", "blind"):
            found = trial(jury, given.prompts, given.labelled, given.knows, worth, given.seed)
            (kept, k), (beyond, b) = found["kept"], found["beyond"]
            trust = "     -" if jury == "none" else f"{found['trust']:6.2f}"
            print(
                f"{jury:9} {trust}   {kept:+.3f} +- {k:.3f}   {found['saved']:6.1%}   "
                f"${beyond:+.4f} +- {b:.4f}             {'/'.join(map(str, found['taken'].values()))}"
            )
        print()


if __name__ == "__main__":
    main()
