"""What weights hold against an arm, what needs ask of its size and age, and sentences that stay true beside them."""

import random
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hand_made import decision, option, pick
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.schema import Arm, Policy, Price, Profile, Weights
from scrimp.routing.batch.planning.plan import options_of
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.policy import MEASURED, Barrier, burden, choose, utility
from scrimp.routing.deciding.price_share import price_share, shares
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.deciding.weights import Weighing, billions, month, unmet
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.router.arms import Predictions


def arm(name, **changes):
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    values = {"model": f"openai/{name}", "api_base": "http://elsewhere.example/v1", "price": price}
    return Arm(name=name, **{**values, **changes})


def weights(**usd):
    return Weights(**{name: Decimal(str(each)) for name, each in usd.items()})


ARMS = (
    arm("tiny", size="500M", release="2024-10", api_base="http://127.0.0.1:1/v1"),
    arm("big", size="70B", release="2025-07"),
    arm("silent"),
)
HERE = (True, False, False)


def test_terms_by_hand():
    found = Weighing.of(weights(size=0.001, recency=0.012, verbosity=0.5, security=0.02), ARMS, HERE)
    assert found.terms("tiny", 200) == pytest.approx(
        {"size": 0.0005, "recency": 0.009, "security": 0.0, "verbosity": 0.1}
    )
    assert found.terms("big", 10) == pytest.approx({"size": 0.07, "recency": 0.0, "security": 0.02, "verbosity": 0.005})


def test_silence_is_taken_for_the_worst_that_is_known_and_said():
    found = Weighing.of(weights(size=0.001, recency=0.012), ARMS, HERE)
    assert found.terms("silent", 10) == pytest.approx({"size": 0.07, "recency": 0.009})
    assert found.assumed == {"silent": ("size", "recency")}


def test_where_no_arm_says_it_there_is_no_term():
    found = Weighing.of(weights(size=0.001, recency=0.01), [arm("a"), arm("b")], (False, False))
    assert found.terms("a", 10) == {}
    assert found.assumed == {}


def test_no_weights_hold_nothing():
    found = Weighing.of(Weights(), ARMS, HERE)
    assert [found.terms(each.name, 1000) for each in ARMS] == [{}, {}, {}]


@given(st.lists(st.none() | st.integers(1, 900), min_size=1, max_size=6))
def test_an_arm_never_gains_by_saying_nothing(sizes):
    arms = [arm(f"a{n}", size=None if size is None else f"{size}B") for n, size in enumerate(sizes)]
    found = Weighing.of(weights(size=0.001), arms, [False] * len(arms))
    held = {each.name: found.terms(each.name, 0).get("size") for each in arms}
    silent = [held[each.name] for each in arms if each.size is None]
    known = [held[each.name] for each in arms if each.size is not None]
    assert all(mine is None for mine in silent) if not known else all(mine >= max(known) for mine in silent)


@pytest.mark.parametrize(
    ("need", "size", "release", "met"),
    [
        ("size<=8B", "8B", None, True),
        ("size <= 8B", "7.6B", None, True),
        ("size<=8B", "8.03B", None, False),
        ("size<=500M", "135M", None, True),
        ("size>=1B", "500M", None, False),
        ("release>=2025-01", None, "2025-01", True),
        ("release>=2025-01", None, "2024-12", False),
        ("release<=2025-01", None, "2024-12", True),
        ("size<=8B", None, "2025-01", False),
        ("release>=2025-01", "8B", None, False),
        ("size<=8", "1B", None, False),
        ("release>=2025", None, "2026-01", False),
        ("eu", None, None, True),
    ],
)
def test_needs_of_size_and_age(need, size, release, met):
    assert (unmet(need, arm("a", size=size, release=release)) is None) is met


@given(st.integers(1, 99_999), st.integers(0, 999), st.sampled_from("MB"))
def test_every_size_that_a_profile_may_say_is_read(whole, thousandths, unit):
    assert billions(f"{whole}.{thousandths:03d}{unit}") == pytest.approx(
        (whole + thousandths / 1000) / (1000 if unit == "M" else 1)
    )


def test_months_are_in_order():
    said = [f"20{year:02d}-{each:02d}" for year in (0, 25, 26, 99) for each in range(1, 13)]
    assert sorted(said, key=month) == said
    assert month("2026-01") - month("2025-12") == 1
    assert month("2026-13") is None


# -- in a decision --------------------------------------------------------------------------------------------------


class Fixed:
    version, embedder_id, note = "fixed", "none", None

    def __init__(self, *quality):
        self.quality = quality

    def predict(self, embeddings, surface, arms):
        quality = np.tile(np.array(self.quality), (len(surface), 1))
        return Predictions(
            quality=quality, quality_low=quality, quality_high=quality,
            basis=tuple(MEASURED for _ in arms), rests_on=tuple("" for _ in arms),
            output_tokens_p50=np.full_like(quality, 100.0), output_tokens_p90=np.full_like(quality, 300.0),
            ood=np.full(len(surface), 0.5), level=np.full(len(surface), np.nan),
        )  # fmt: skip


class Embedder:
    id = "zeros"

    def embed(self, texts):
        return np.zeros((len(texts), 4), dtype=np.float32)


def decide(arms, quality, prompt=None, **usd):
    profile = Profile(name="p", arms=tuple(arms), default_arm=arms[-1].name, policy=Policy(weights=weights(**usd)))
    decider = Decider(profile, PriceTable(b"{}", "test"), Fixed(*quality), Embedder())
    prompt = prompt or Prompt("hello")
    predictions = decider.predict(decider.contexts([prompt.text]))
    return decider.decide(prompt, predictions, Wishes(explore=0.0), decision_id="d", rng=random.Random(0))


def test_a_weight_turns_a_choice_and_the_trace_says_so():
    assert decide(ARMS, (0.6, 0.7, 0.5)).arm == "big"
    turned = decide(ARMS, (0.6, 0.7, 0.5), size=0.001)
    assert turned.arm == "tiny"
    big = next(each for each in turned.choice.weighed if each.option.arm == "big")
    assert big.option.terms == pytest.approx({"size": 0.07})
    assert big.why == "10% better, but larger, which weighs more"
    assert big.utility_usd == pytest.approx(0.1 * 0.7 - big.option.cost_nano / 1e9 - 0.07)
    assert turned.assumed == {"silent": ("size",)}
    again = Decision.from_dict(turned.to_dict())
    assert again.assumed == turned.assumed
    assert again.to_dict() == turned.to_dict()
    assert turned.shares["size"] == pytest.approx(0.0695 / (0.0695 + 0.01))


def test_security_keeps_a_prompt_here_where_that_is_worth_it():
    assert decide(ARMS, (0.6, 0.7, 0.5), security=0.005).arm == "big"
    turned = decide(ARMS, (0.6, 0.7, 0.5), security=0.02)
    assert turned.arm == "tiny"
    assert "off this machine" in next(each.why for each in turned.choice.weighed if each.option.arm == "big")


def test_needs_are_constraints():
    found = decide(ARMS, (0.6, 0.7, 0.9), Prompt("hello", needs=frozenset({"size<=8B"})))
    assert found.arm == "tiny"
    assert {each.option.arm: each.option.barrier for each in found.choice.weighed} == {
        "tiny": None, "big": Barrier.CAPABILITY, "silent": Barrier.CAPABILITY
    }  # fmt: skip
    assert found.choice.option("big").infeasible == "its size is 70B, and size<=8B is needed"
    assert "does not say its size" in found.choice.option("silent").infeasible
    assert (
        "write it as size<=8B"
        in decide(ARMS, (1, 1, 1), Prompt("x", needs=frozenset({"size<=8"}))).choice.option("tiny").infeasible
    )


def test_a_tag_says_a_region():
    arms = [arm("far"), arm("near", tags=("eu",))]
    found = decide(arms, (0.9, 0.5), Prompt("hello", needs=frozenset({"eu"})))
    assert found.arm == "near"
    assert "eu" in found.choice.option("far").infeasible


def test_a_batch_weighs_them_too_and_leaves_no_row_out_for_them():
    found = options_of([decide(ARMS, (0.6, 0.7, 0.5), size=0.01)], ["tiny", "big", "silent"])
    assert found.held[0] == pytest.approx([0.0, 6.95, 6.95])
    assert not options_of([decide(ARMS, (0.6, 0.7, 0.5))], ["tiny", "big", "silent"]).held.any()


# -- sentences, flips and shares beside terms -----------------------------------------------------------------------

TERMS = st.dictionaries(st.sampled_from(["time", "size", "security"]), st.floats(0.0, 0.05), max_size=3)
OPTIONS = st.lists(
    st.builds(
        lambda quality, cost, terms, basis: option("a", quality, cost, terms=terms, basis=basis),
        st.sampled_from([0.2, 0.5, 0.51, 0.8]),
        st.sampled_from([0.0, 0.001, 0.01, 0.04]),
        TERMS,
        st.sampled_from([MEASURED, "prior"]),
    ),
    min_size=1,
    max_size=5,
).map(lambda options: [replace(each, arm=f"a{n}") for n, each in enumerate(options)])


def bare(each, wtp):
    return wtp * each.quality - each.cost_nano / 1e9


@given(OPTIONS, st.sampled_from([0.0, 0.4]), st.none() | st.just("a0"))
def test_what_is_said_of_an_arm_is_true(options, min_quality, forced):
    choice = pick(options, min_quality=min_quality, forced=forced)
    taken = choice.taken
    for each in choice.weighed:
        one, why = each.option, each.why
        if one is taken:
            assert why == "taken"
            continue
        if "cheaper," in why and "no cheaper" not in why:
            assert one.cost_nano < taken.cost_nano, why
        if "dearer" in why:
            assert one.cost_nano > taken.cost_nano, why
        if "no better" in why:
            assert one.quality <= taken.quality, why
        if "no cheaper" in why:
            assert one.cost_nano >= taken.cost_nano, why
        if "worse" in why:
            assert one.quality < taken.quality, why
        if re.search(r"(\d+%|under 1%) better", why):
            assert one.quality > taken.quality, why
        for name, word in (("time", "slower"), ("size", "larger"), ("security", "off this machine")):
            if word in why:
                assert one.terms.get(name, 0.0) > taken.terms.get(name, 0.0), why
        if "weighs more" in why and not min_quality:
            assert utility(one, 0.1) < utility(taken, 0.1), why
            assert bare(one, 0.1) >= bare(taken, 0.1) - 1e-12, why
        if "worth more" in why and not min_quality:
            assert utility(one, 0.1) > utility(taken, 0.1), why


@given(OPTIONS, st.sampled_from([-1e-6, 1e-6]))
def test_the_flip_is_where_the_choice_flips_beside_terms(options, side):
    choice = pick(options)
    for n, each in enumerate(choice.weighed):
        if each.flip_cost_usd is None or each.flip_cost_usd < 1e-5:
            continue
        moved = replace(each.option, cost_nano=round((each.flip_cost_usd + side) * 1e9))
        again = pick([*options[:n], moved, *options[n + 1 :]])
        mine = each.option.arm == choice.arm
        ties = any(abs(burden(moved) - burden(other)) < 1e-5 for other in options if other.arm != moved.arm)
        if not mine and side > 0:
            assert again.arm != moved.arm or ties
        if mine and side < 0:
            assert again.arm == moved.arm or ties


@given(OPTIONS)
def test_the_one_taken_is_never_beaten_by_more_than_what_is_not_paid_for(options):
    choice = pick(options)
    best = max(utility(each, 0.1) for each in options)
    assert utility(choice.taken, 0.1) >= best - 0.02 * 0.1 - 1e-12
    if all(each.basis == MEASURED for each in options):
        assert utility(choice.taken, 0.1) == pytest.approx(best)


@given(OPTIONS)
def test_shares_add_up(options):
    one, other = options[0], options[-1]
    found = shares(one, other, 0.1)
    if found is None:
        assert price_share(one, other, 0.1) is None
        return
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["price"] == price_share(other, one, 0.1)
    assert all(0.0 <= part <= 1.0 for part in found.values())


def test_with_a_quality_to_reach_the_least_burden_is_taken():
    slow = option("slow", 0.8, 0.001, terms={"time": 0.02})
    fast = option("fast", 0.8, 0.002)
    choice = choose([slow, fast], wtp_usd=0.1, min_quality=0.5, rng=random.Random(0))
    assert choice.arm == "fast"
    assert choice.weighed[0].why == "cheaper, but slower, which weighs more"


def test_free_arms_are_not_called_cheaper():
    choice = pick([option("a", 0.5, 0.0), option("b", 0.4, 0.0)])
    assert choice.weighed[1].why == "worse, and no cheaper"


def test_a_decision_without_terms_says_what_it_said():
    plain = decision([option("small", 0.8, 0.002), option("large", 0.87, 0.02)])
    assert plain.shares == pytest.approx({"price": 0.72, "quality": 0.28})
