"""Time in a decision: seconds of every option, what waiting costs, what is too slow, and what nobody knows."""

import json
import math
import random
from decimal import Decimal

import numpy as np
import pytest
from hand_made import option, pick

from scrimp.profiles.errors import ArmUnavailableError, ExitCode
from scrimp.profiles.schema import Arm, Caps, Policy, Price, Profile
from scrimp.routing.asking.compose import compose
from scrimp.routing.asking.experience import Experience
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.asking.prompt_tariff import PromptTariff, able_options
from scrimp.routing.asking.refusal import why_none
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.deciding.beside import beside
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.policy import Barrier, burden, utility
from scrimp.routing.deciding.price_share import price_share
from scrimp.routing.deciding.times import said
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.past_calls import PastCall
from scrimp.routing.plans.kinds.kind import Likely
from scrimp.routing.plans.plan import Plan, Stage
from scrimp.routing.plans.tariff import Flat
from scrimp.routing.plans.value import Planner
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.router.arms import Predictions


class Fixed:
    """A router whose predictions are given."""

    version, embedder_id, note = "fixed", "none", None

    def __init__(self, quality):
        self.quality = quality

    def predict(self, embeddings, surface, arms):
        quality = np.tile(np.array(self.quality, dtype=float), (len(surface), 1))
        return Predictions(
            quality=quality,
            quality_low=quality - 0.1,
            quality_high=quality + 0.1,
            basis=tuple("calibrated" for _ in arms),
            rests_on=tuple("outcomes" for _ in arms),
            output_tokens_p50=np.full_like(quality, 100.0),
            output_tokens_p90=np.full_like(quality, 300.0),
            ood=np.full(len(surface), 0.5),
            level=np.full(len(surface), np.nan),
        )


class Embedder:
    id = "zeros"

    def embed(self, texts):
        return np.zeros((len(texts), 4), dtype=np.float32)


def arm(name, **changes):
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(1))
    return Arm(name=name, model=f"openai/{name}", price=price, **changes)


def past(name, start_s, write_s, n=60, *, model=None, cut=False, noise=0.1, **more):
    """Calls of an arm that truly takes start_s and write_s for each token written."""
    rng = random.Random(name)
    made = []
    for _ in range(n):
        written = rng.randrange(50, 400)
        seconds = (start_s + write_s * written) * math.exp(rng.gauss(0.0, noise))
        values = {
            "arm": name, "model": model or f"openai/{name}", "answers": True, "input_tokens": 100, "cached_tokens": None,
            "output_tokens": written, "reasoning_tokens": None, "output_limit": 1_000, "expected_output": written,
            "expected_output_p90": 2 * written, "latency_s": seconds, "first_s": start_s * seconds / (start_s + write_s * written),
            "expected_s": None, "expected_s_p90": None, "cut": cut,
        }  # fmt: skip
        made.append(PastCall(**values | more))
    return made


QUICK, SLOW = past("quick", 0.2, 0.002), past("slow", 2.0, 0.05)


def decider(calls, arms=("quick", "slow"), *, quality=(0.7, 0.9), places=True, **policy):
    """A decider whose arms cost next to nothing apart, each at an address of its own."""
    made = tuple(
        arm(name, api_base=f"http://127.0.0.1:{n + 1 if places else 1}/v1", max_output_tokens=1_000)
        for n, name in enumerate(arms)
    )
    profile = Profile(name="p", arms=made, default_arm=arms[-1], caps=Caps(), policy=Policy(explore=0.0, **policy))
    found = Decider(profile, PriceTable(b"{}", "test"), Fixed(list(quality)), Embedder())
    return found.experienced(calls)


def decide(calls, *, wishes=None, **more):
    found = decider(calls, **more)
    return found.decide(
        Prompt("hello"),
        found.predict(found.contexts(["hello"])),
        wishes or Wishes(),
        decision_id="d",
        rng=random.Random(0),
    )


BOTH = {"quick": QUICK, "slow": SLOW}


def test_an_option_has_its_seconds_and_what_they_rest_on():
    decision = decide(BOTH)
    quick, slow = (decision.choice.option(name) for name in ("quick", "slow"))
    assert slow.seconds == pytest.approx(2.0 + 0.05 * 100, rel=0.2)
    assert slow.first_s == pytest.approx(2.0, rel=0.3)
    assert slow.first_s < slow.seconds < 2.0 + 0.05 * 300 < 1.3 * slow.seconds_p90, (
        "the answer may be three times as long"
    )
    assert quick.seconds < 1.0
    assert slow.timed_by == "its own 60 calls"
    assert decision.arm == "slow", "waiting costs nothing unless somebody says so"
    assert slow.terms == {}


def test_nothing_is_known_of_an_arm_that_nothing_stands_behind():
    decision = decide({"quick": QUICK})
    slow = decision.choice.option("slow")
    assert (slow.first_s, slow.seconds, slow.seconds_p90, slow.timed_by) == (None, None, None, "")
    assert decide({"quick": QUICK}, places=False).choice.option("slow").timed_by == "127.0.0.1:1's other arms"


def test_calls_of_a_model_that_the_arm_had_before_are_no_calls_of_it():
    other = past("slow", 0.1, 0.001, model="openai/former")
    assert decide({"quick": QUICK, "slow": other}).choice.option("slow").seconds is None


def test_calls_that_timed_out_tell_that_it_takes_longer():
    cut = past("slow", 2.0, 0.05, 8, cut=True, latency_s=5.0, first_s=None, output_tokens=0, expected_output=100)
    assert decide({"slow": cut}).choice.option("slow").seconds > 5.0


def test_what_a_minute_costs_turns_the_choice():
    """0.2 better is worth $0.02 at $0.1; the slow arm takes about 7 s more, 0.11 minutes: from $0.18 a minute on it loses."""
    assert decide(BOTH, minute_usd=Decimal("0.05")).arm == "slow"
    decision = decide(BOTH, minute_usd=Decimal("0.5"))
    assert decision.arm == "quick"
    slow = decision.choice.option("slow")
    assert slow.terms == {"time": pytest.approx(0.5 * slow.seconds / 60)}
    assert utility(slow, 0.1) == pytest.approx(0.1 * 0.9 - slow.cost_nano / 1e9 - slow.terms["time"])
    (why,) = (each.why for each in decision.choice.weighed if each.option.arm == "slow")
    assert why == "20% better, but slower, which weighs more"


def test_fast_is_a_minute_at_the_price_of_a_right_answer():
    decision = decide(BOTH, wishes=Wishes(fast=True))
    assert decision.minute_usd == decision.wtp_usd == 0.1
    assert decide(BOTH, wishes=Wishes(fast=True, wtp_usd=1.0)).minute_usd == 1.0
    assert decide(BOTH, wishes=Wishes(fast=True), quality=(0.85, 0.855)).arm == "quick"


def test_an_arm_of_unknown_time_gains_nothing_by_that():
    decision = decide({"quick": QUICK}, minute_usd=Decimal("0.5"))
    quick, slow = (decision.choice.option(name) for name in ("quick", "slow"))
    assert (slow.seconds, slow.terms["time"]) == (None, quick.terms["time"])
    assert decide({}, minute_usd=Decimal("0.5")).choice.option("slow").terms == {}, "where none is known"


def test_where_nobody_waits_time_is_no_matter():
    decision = decide(BOTH, wishes=Wishes(waits=False), minute_usd=Decimal(5), max_seconds=1.0)
    assert decision.arm == "slow"
    assert (decision.minute_usd, decision.max_seconds, decision.choice.option("slow").terms) == (0.0, None, {})
    assert decision.choice.option("slow").seconds > 1.0, "it is told all the same"


def test_what_is_too_slow_is_left_out_and_what_nobody_knows_is_not():
    decision = decide(BOTH, max_seconds=3.0)
    slow = decision.choice.option("slow")
    assert (decision.arm, slow.barrier) == ("quick", Barrier.TIME)
    assert slow.infeasible == f"takes up to {said(slow.seconds_p90)}, and 3 s are left for it"
    assert decide({"quick": QUICK}, max_seconds=3.0).arm == "slow"
    forced = decide(BOTH, max_seconds=3.0, wishes=Wishes(arm="slow"))
    assert forced.arm is None


def test_where_all_are_too_slow_it_is_said_which_is_the_fastest():
    decision = decide(BOTH, max_seconds=0.1)
    error = why_none(decision, None, {}, profile="p", what="this prompt")
    assert isinstance(error, ArmUnavailableError)
    assert error.exit_code == ExitCode.USAGE
    quick = decision.choice.option("quick")
    assert error.hint.startswith("quick is the fastest: --max-seconds ")
    lets = float(error.hint.split("--max-seconds ")[1].split()[0])
    assert quick.seconds_p90 <= lets <= quick.seconds_p90 + 1.0
    assert decide(BOTH, max_seconds=lets).arm == "quick", "the hint is true"


def test_the_trace_tells_all_of_it_and_reads_back():
    decision = decide(BOTH, max_seconds=3.0, minute_usd=Decimal("0.5"))
    trace = json.loads(json.dumps(decision.to_dict()))
    slow = next(each for each in trace["arms"] if each["name"] == "slow")
    assert (trace["minute_usd"], trace["max_seconds"], slow["barrier"], slow["feasible"]) == (0.5, 3.0, "time", False)
    assert slow["seconds"] > slow["first_s"] > 0.0
    again = Decision.from_dict(trace)
    assert again.to_dict() == decision.to_dict()
    assert again.choice.option("slow").timed_by == "its own 60 calls"
    del trace["minute_usd"], trace["max_seconds"]
    assert Decision.from_dict(trace).max_seconds is None, "an older trace says nothing of it"


def test_every_number_of_the_policy_counts_what_is_held_against_an_arm():
    small, large = option("small", 0.8, 0.001), option("large", 0.9, 0.005, terms={"time": 0.03})
    choice = pick([small, large])
    assert choice.arm == "small"
    assert burden(large) == pytest.approx(0.035)
    assert choice.weighed[1].flip_wtp_usd == pytest.approx((0.035 - 0.001) / 0.1)
    for side in (-1e-6, 1e-6):
        assert pick([small, large], wtp_usd=choice.weighed[1].flip_wtp_usd + side).arm == (
            "large" if side > 0 else "small"
        )
    taken = pick([option("a", 0.9, 0.001, terms={"time": 0.004}), option("b", 0.8, 0.002)]).weighed
    for side, arm_taken in ((-1e-6, "a"), (1e-6, "b")):
        dearer = option("a", 0.9, taken[0].flip_cost_usd + side, terms={"time": 0.004})
        assert pick([dearer, option("b", 0.8, 0.002)]).arm == arm_taken
    assert pick([small, large], min_quality=0.75).arm == "small"
    slow = option("slow", 0.8, 0.0005, terms={"time": 0.01})
    assert pick([small, slow], min_quality=0.75).arm == "small", "the cheapest is that of the least burden"
    assert price_share(small, large, 0.1) == pytest.approx(0.004 / (0.004 + 0.01 + 0.03))


def test_a_plan_takes_the_time_of_its_calls_one_after_another():
    found = decider(BOTH, minute_usd=Decimal(6))
    decision = decide(BOTH, minute_usd=Decimal(6))
    options = able_options(decision)
    tariff = PromptTariff(found, options, decision.minute_usd)
    quick, slow = options["quick"], options["slow"]
    assert tariff.likely_seconds(Likely("slow")) == pytest.approx(slow.seconds)
    assert tariff.likely_held_usd(Likely("slow")) == pytest.approx(6 * slow.seconds / 60)
    merging = Likely("slow", quotes=("quick",), output=10)
    assert tariff.likely_seconds(merging) < slow.seconds, "it writes ten tokens"
    both = Plan((Stage(("quick", "slow"), how="vote"),))
    chosen = Planner().choose([both], list(options), [0.7, 0.9], tariff, wtp_usd=0.1, asked_for=True)
    assert chosen.taken.seconds == pytest.approx(quick.seconds + slow.seconds)
    cost = (quick.cost_nano + slow.cost_nano) / 1e9
    assert chosen.taken.utility_usd == pytest.approx(
        0.1 * chosen.taken.quality - cost - 0.1 * (quick.seconds + slow.seconds)
    )
    late = Planner().choose([both], list(options), [0.7, 0.9], tariff, wtp_usd=0.1, asked_for=True, max_seconds=1.0)
    assert late.taken is None
    assert "and 1 s are left for them" in late.others[0].infeasible
    unknown = PromptTariff(decider({"quick": QUICK}), options)
    assert Planner().choose([both], list(options), [0.7, 0.9], unknown, wtp_usd=0.1).taken.seconds is None
    flat = Flat({"quick": 1, "slow": 1}, {"quick": 1, "slow": 1})
    assert Planner().choose([both], list(options), [0.7, 0.9], flat, wtp_usd=0.1).taken.seconds is None


def test_a_plan_that_is_asked_for_and_too_slow_is_refused():
    found = decider(BOTH, max_seconds=20.0)
    decision = decide(BOTH, max_seconds=20.0)
    way = Way(plan="slow + quick + slow + slow ? most > slow")
    prompt = compose("Is 91 prime?", system=None, attachments=(), schema=None, needs=(), sources=())
    with pytest.raises(ArmUnavailableError, match="20 s are left for them") as caught:
        PlanChooser(found, way, None).choose(Ask(prompt, Wishes()), decision, [])
    assert caught.value.exit_code == ExitCode.USAGE


def test_an_option_beside_others_takes_the_time_of_its_own_prompt():
    found, decision = decider(BOTH), decide(BOTH)
    like = decision.choice.option("slow")
    made = beside(found, "slow/none", Prompt("hello"), like, minute_usd=6.0)
    assert made.seconds == pytest.approx(like.seconds)
    assert made.terms == {"time": pytest.approx(6 * made.seconds / 60)}
    held = beside(found, "slow/none", Prompt("hello"), option("slow", 0.9, 0.001, terms={"time": 9.0, "size": 0.5}))
    assert held.terms == {"size": 0.5}, "what waiting costs is that of the new prompt"


def test_what_was_learned_is_kept_while_the_calls_are_the_same():
    found = decider(BOTH)
    assert found.experienced(dict(BOTH)).tempo("slow") is found.tempo("slow")
    assert found.experienced({"quick": QUICK}).tempo("slow") is None
    assert found.with_experience_of(found.experienced({})).tempo("quick") is None
    assert Experience().of(found, None, now=0.0).tempo("quick") is None
