"""Time the choice of a plan, and judge the planner in a world whose truth is known.

    python bench/plans.py

The world is that of tests/unit/test_cascade.py: three arms, three checks (one good, one weak, one without power) whose
errors lean on how hard a prompt truly is, twenty plans, 500 labelled outcomes to learn from, 4,000 prompts to judge on.
After it come sixteen worlds drawn at random (prices, abilities, hidden difficulty, the checks' errors).
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "unit"))

from scrimp.routing.plans.grammar import read_plan
from scrimp.routing.plans.picks import recruit
from scrimp.routing.plans.plan import plan_table
from scrimp.routing.plans.power import prior_power
from scrimp.routing.plans.skills import Tried, learn_skill
from scrimp.routing.plans.tariff import Flat
from scrimp.routing.plans.value import Gate, Planner


def choice_ms(n_arms: int = 8, n_rounds: int = 300) -> tuple[int, list[float], list[float]]:
    """Return the number of plans, and the milliseconds of time and of processor time that choices take when warm.

    All kinds are weighed: beside the table of plans those that are recruited for each prompt anew, of arms that labels
    speak for as mergers, planners, and judges, and ACAR's.
    """
    arms = [f"arm{i}" for i in range(n_arms)]
    kinds = ("cmd", "judge", "count")
    shown = learn_skill("merge", [Tried(0.9, 1.0)] * 40)
    roles = [(role, arm) for role in ("merge", "lead", "knockout") for arm in arms[-3:]]
    skills = dict.fromkeys([*roles, ("bid", "")], shown)
    planner = Planner(tuple(Gate(kind, prior_power(kind)) for kind in kinds), skills=skills)
    texts = ["@3 bid", "@3 vote", "arm0*3 ? most > @2 ? most > arm7"]
    for arm in arms[-3:]:
        texts += [f"@2 => {arm}", f"@3 => {arm}", f"{arm} => {arm}", f"{arm} leads @3", f"@4 knockout {arm}"]
    spelled = [read_plan(text, arms, kinds) for text in texts]
    rng = np.random.default_rng(0)
    took, busy = [], []
    for _ in range(n_rounds + 20):
        quality = np.clip(np.linspace(0.4, 0.9, n_arms) + rng.normal(0, 0.05, n_arms), 0.05, 0.95).tolist()
        costs = [round(1e5 * 3**i) for i in range(n_arms)]
        start, busy_start = time.perf_counter(), time.process_time()
        tariff = Flat(dict(zip(arms, costs, strict=True)), dict(zip(arms, costs, strict=True)))
        plans = plan_table(arms, costs, kinds)
        worth = {arm: 0.1 * q - cost / 1e9 for arm, q, cost in zip(arms, quality, costs, strict=True)}
        more = [recruit(plan, worth, tariff.bound_nano)[0] for plan in spelled]
        planner.choose(plans, arms, quality, tariff, wtp_usd=0.1, left=[(None, 10**11)], more=more)
        busy.append(1000 * (time.process_time() - busy_start))
        took.append(1000 * (time.perf_counter() - start))
    return len(plans) + len(more), took[20:], busy[20:]


def simulate() -> None:
    import test_cascade as truth

    print("wtp_usd\tseed\tplanner / best plan\tplanner / one arm\tprior only / best plan")
    for wtp in (0.01, 0.1, 1.0):
        for seed in range(5):
            blind = Planner(tuple(Gate(name, prior_power(truth.CHECKS[name][0])) for name in truth.CHECKS))
            rng = np.random.default_rng(seed)
            planner = truth.learned(rng)
            state = rng.bit_generator.state
            mine, one, best = truth.judged(rng, planner, wtp, n=4_000)
            rng.bit_generator.state = state  # the same prompts again
            prior, _, _ = truth.judged(rng, blind, wtp, n=4_000)
            print(f"{wtp:g}\t{seed}\t{mine / best:.4f}\t{mine / one:.4f}\t{prior / best:.4f}", flush=True)


def other_worlds(n_worlds: int = 16) -> None:
    import test_cascade as truth

    print("wtp_usd\tplanner / best plan: least, median\tplanner / one arm: least, median")
    ratios: dict[float, list[tuple[float, float]]] = {0.01: [], 0.1: [], 1.0: []}
    for seed in range(1000, 1000 + n_worlds):
        for name, value in truth.another_world(seed).items():
            setattr(truth, name, value)
        for wtp, found in ratios.items():
            rng = np.random.default_rng(seed)
            mine, one, best = truth.judged(rng, truth.learned(rng), wtp, n=1_000)
            found.append((mine / best, mine / one))
    for wtp, found in ratios.items():
        least, middle = np.min(found, axis=0), np.median(found, axis=0)
        print(f"{wtp:g}\t{least[0]:.4f}, {middle[0]:.4f}\t{least[1]:.4f}, {middle[1]:.4f}")


if __name__ == "__main__":
    count, took, busy = choice_ms()
    for what, times in (("by the clock", took), ("of processor time", busy)):
        print(
            f"{count} plans, 8 arms, 3 checks: {statistics.median(times):.2f} ms a choice {what} "
            f"(p95 {np.quantile(times, 0.95):.2f} ms)"
        )
    simulate()
    other_worlds()
