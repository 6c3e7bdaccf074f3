"""How long an arm's answers are, learnt from its own calls: simulations with known truth, and what does not count."""

import json
import random
from decimal import Decimal

import numpy as np
import pytest

from scrimp.profiles.schema import Arm, Caps, Price, Profile
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.own_lengths import OwnLengths, own_length
from scrimp.routing.deciding.policy import Barrier
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.ledger.past_calls import PastCall
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.reports.lengths import covered_by_arm
from scrimp.routing.router.arms import Predictions
from scrimp.routing.router.lengths import Observed, learn_length, survival_quantile

NO_LIMIT = 10**7


def answers(kind, n, rng):
    """Return what a middling model would write, what came, and the limit."""
    base = np.exp(rng.normal(5.6, 0.8, n))
    z = rng.normal(size=n)
    tokens, limit = {
        "as the router says": (base * np.exp(0.85 * z), NO_LIMIT),
        "hidden reasoning x10": (base * 10 * np.exp(0.8 * z), NO_LIMIT),
        "short whatever is asked": (np.exp(2.5 + 0.5 * z), NO_LIMIT),
        "heavy tails": (base * np.exp(0.6 * rng.standard_t(2, n)), NO_LIMIT),
        "thinks now and then": (
            np.where(rng.random(n) < 0.5, base * np.exp(0.3 * z), base * 12 * np.exp(0.5 * z)),
            NO_LIMIT,
        ),
        "one in ten is cut": (base * np.exp(0.8 * z), 800),
        "four in ten are cut": (base * 3 * np.exp(0.8 * z), 1200),
        "seven in ten are cut": (base * 8 * np.exp(0.8 * z), 1000),
    }[kind]
    return base, np.clip(np.round(tokens), 1, 10**12).astype(int), limit


KINDS = [
    "as the router says", "hidden reasoning x10", "short whatever is asked", "heavy tails", "thinks now and then",
    "one in ten is cut", "four in ten are cut", "seven in ten are cut",
]  # fmt: skip


def learnt(kind, n, rng):
    base, tokens, limit = answers(kind, n, rng)
    found = learn_length(Observed(min(int(t), limit), limit, float(b)) for b, t in zip(base, tokens, strict=True))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_after_100_calls_p90_covers_85_to_95_of_100(kind):
    """What would have come without a limit is held against it: of cut answers that is not seen, but simulated."""
    covered, below = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        found = learnt(kind, 100, rng)
        base, tokens, _ = answers(kind, 500, rng)
        told = np.array([found.of(float(b), float(b)) for b in base])
        covered.append((tokens <= told[:, 1]).mean())
        below.append((tokens <= told[:, 0]).mean())
    assert 0.85 <= np.mean(covered) <= 0.95
    assert 0.42 <= np.mean(below) <= 0.58
    assert np.mean([0.8 <= each <= 0.98 for each in covered]) >= 0.9


def test_without_them_the_router_misses_hidden_reasoning():
    base, tokens, _ = answers("hidden reasoning x10", 500, np.random.default_rng(0))
    assert (tokens <= base * np.exp(1.2816 * 0.85)).mean() < 0.2


def test_a_few_calls_count_a_little_less():
    one = learn_length([Observed(3000, None, 300.0)])
    assert one.weight < 0.7
    assert 300 < one.of(300.0, 300.0)[0] < 3000
    assert one.of(300.0, 300.0)[1] > 2 * one.of(300.0, 300.0)[0]
    assert one.text == "1 call of its own"
    assert learn_length([]) is None


def test_lengths_follow_the_prompt_as_far_as_they_do():
    rng = np.random.default_rng(2)
    short, follows = learnt("short whatever is asked", 200, rng), learnt("as the router says", 200, rng)
    assert short.of(2000.0, 2000.0)[0] < 2.5 * short.of(100.0, 100.0)[0]
    assert follows.of(2000.0, 2000.0)[0] > 8 * follows.of(100.0, 100.0)[0]


def test_a_provider_s_absurd_count_is_one_call_among_many():
    calls = [Observed(300, None, 300.0)] * 99 + [Observed(10**30, None, 300.0)]
    assert learn_length(calls).of(300.0, 300.0)[1] < 3000


def test_a_quantile_where_some_are_only_known_to_be_more():
    values, cut = np.array([1.0, 2.0, 2.0, 4.0, 5.0]), np.array([False, True, False, False, True])
    # Of 5 one is 1; of 4 left one is 2; of 2 left (the cut one has gone) one is 4.
    assert survival_quantile(values, cut, 0.2) == 1.0
    assert survival_quantile(values, cut, 0.4) == 2.0
    assert survival_quantile(values, cut, 0.7) == 4.0
    assert survival_quantile(values, cut, 0.71) is None


# -- what counts --------------------------------------------------------------------------------------------------------


def call(tokens=3000, **changes):
    values = {
        "arm": "a", "model": "openai/a", "answers": True, "input_tokens": 10, "cached_tokens": None,
        "output_tokens": tokens, "reasoning_tokens": None, "output_limit": 100_000, "expected_output": 100,
        "expected_output_p90": 300, "latency_s": 1.0, "first_s": None, "expected_s": None, "expected_s_p90": None,
        "prompt_output": 100.0,
    }  # fmt: skip
    return PastCall(**{**values, **changes})


@pytest.mark.parametrize(
    "changes", [{"model": "openai/older"}, {"answers": False}, {"prompt_output": None}, {"instructions": "others"}]
)
def test_calls_of_another_model_or_another_kind_do_not_count(changes):
    assert own_length([call(**changes)] * 50, arm("a")) is None
    assert own_length([call(**changes)] * 50 + [call()], arm("a")).n == 1


def test_what_was_expected_then_does_not_count():
    """A correction is not corrected again, nor what a refit says of the arm."""
    plain = own_length([call()] * 50, arm("a"))
    assert own_length([call(expected_output=3000, expected_output_p90=9000)] * 50, arm("a")) == plain


def test_one_reading_of_the_log_serves_many_requests(monkeypatch):
    lengths, calls, one = OwnLengths(), [call()] * 20, arm("a")
    first = lengths.of({"a": calls}, [one])
    monkeypatch.setattr("scrimp.routing.deciding.own_lengths.own_length", lambda *_: pytest.fail("learnt again"))
    assert lengths.of({"a": calls}, [one]) == first
    assert lengths.of({}, []) == {}


# -- in a decision ------------------------------------------------------------------------------------------------------


class Says:
    """A router whose predictions are given; `prompt` is what a middling model would write, None: it does not say."""

    version, embedder_id, note = "says", "none", None

    def __init__(self, prompt=100.0):
        self.prompt = prompt

    def predict(self, embeddings, surface, arms):
        n, shape = len(surface), (len(surface), len(arms))
        quality = np.tile(np.array([0.8, 0.7]), (n, 1))
        return Predictions(
            quality=quality, quality_low=quality - 0.1, quality_high=quality + 0.1,
            basis=("prior",) * len(arms), rests_on=("judged difficulty",) * len(arms),
            output_tokens_p50=np.full(shape, 100.0), output_tokens_p90=np.full(shape, 300.0),
            ood=np.full(n, 0.5), level=np.full(n, np.nan),
            prompt_tokens=None if self.prompt is None else np.full(n, self.prompt),
        )  # fmt: skip


class Embedder:
    id = "zeros"

    def embed(self, texts):
        return np.zeros((len(texts), 4), dtype=np.float32)


def arm(name, **changes):
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    values = {"model": f"openai/{name}", "api_base": "http://127.0.0.1:1/v1", "price": price, "max_output_tokens": 1000}
    return Arm(name=name, **{**values, **changes})


def decided(past, *, limit=100_000, left=None, told=True, router=None, **changes):
    one, other = arm("a", max_output_tokens=limit, **changes), arm("b", max_output_tokens=limit)
    profile = Profile(name="p", arms=(one, other), default_arm="b", caps=Caps())
    decider = Decider(profile, PriceTable(b"{}", "none"), router or Says(), Embedder()).experienced(past)
    predictions = decider.predict(decider.contexts(["hello"]))
    return decider.decide(
        Prompt("hello"), predictions, Wishes(), decision_id="d", rng=random.Random(0),
        left_nano=None if left is None else {"a": left, "b": left}, told=told,
    )  # fmt: skip


def test_lengths_cost_and_reservation_limits_go_by_an_arm_s_own_calls():
    before, after = (decided(past).choice.option("a") for past in ({}, {"a": [call()] * 100}))
    assert (before.output_tokens_p50, before.output_tokens_p90, before.length_by) == (100, 300, "")
    assert 2500 < after.output_tokens_p50 < 3200
    assert after.output_tokens_p90 > after.output_tokens_p50
    assert after.cost_nano > 20 * before.cost_nano
    assert after.length_by == "100 calls of its own"
    assert after.prompt_output == 100.0
    assert after.bound_nano == before.bound_nano, "what is reserved is of the limit, whatever is expected"
    other = decided({"a": [call()] * 100}).choice.option("b")
    assert (other.output_tokens_p50, other.length_by) == (100, "")


def test_a_limit_is_not_lowered_below_what_is_expected():
    left = 4_000 * 1000
    assert decided({}, left=left).choice.option("a").limit_lowered
    barred = decided({"a": [call()] * 100}, left=left).choice.option("a")
    assert barred.barrier is Barrier.CAP
    assert decided({"a": [call(30)] * 100}, left=left).choice.option("a").limit_lowered


def test_a_judge_s_length_is_no_answer_s():
    assert decided({"a": [call()] * 100}, told=False).choice.option("a").output_tokens_p50 == 100


def test_a_router_that_does_not_say_what_is_the_prompt_s_share_is_left_alone():
    assert decided({"a": [call()] * 100}, router=Says(None)).choice.option("a").output_tokens_p50 == 100


def test_the_trace_says_what_lengths_rest_on_and_reads_back():
    decision = decided({"a": [call()] * 3 + [call(100_000)]})
    trace = json.loads(json.dumps(decision.to_dict()))
    rests = {each["name"]: each["length_rests_on"] for each in trace["arms"]}
    assert rests == {"a": "4 calls of its own, 1 of them cut at the limit", "b": "the router"}
    assert Decision.from_dict(trace).choice.option("a") == decision.choice.option("a")
    for each in trace["arms"]:
        del each["length_rests_on"], each["prompt_output_tokens"]
    older = Decision.from_dict(trace).choice.option("a")
    assert (older.length_by, older.prompt_output) == ("", None)


def test_coverage_leaves_out_where_the_limit_is_the_forecast():
    rows = [("a", 50, 60, 100)] * 9 + [("a", 100, 60, 100)] + [("a", 100, 100, 100)] * 5 + [("b", 100, 100, 100)]
    one, other = covered_by_arm(rows)
    assert (one.n, one.n_covered, one.n_bounded, one.share) == (10, 9, 5, 0.9)
    low, high = one.to_dict()["interval"]
    assert low < 0.9 < high
    assert (other.n, other.share, other.to_dict()["interval"]) == (0, None, None)


def test_an_arm_is_called_by_its_name_alone():
    rung = Arm(name="a:low", model="openai/a", efforts=("low", "high"), reasoning_effort="low",
               price=Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4)))  # fmt: skip
    assert OwnLengths().of({"a:high": [call()]}, [rung]) == {}
    assert OwnLengths().of({"a:low": [call()]}, [rung])["a:low"].n == 1


def test_what_a_refit_says_of_an_arm_is_not_learnt_once_more(tmp_path):
    """An arm that writes ten times as much: learnt from calls before a refit found that, it is told no more after it."""
    from dataclasses import replace

    from scrimp.routing.prompts.surface import surface_matrix
    from scrimp.routing.router.arms import ArmInfo
    from scrimp.routing.router.in_force import SHIPPED, load_router
    from scrimp.routing.router.learned import ArmLayer

    shipped = load_router(SHIPPED, tmp_path)
    info = ArmInfo(name="a", model="nobody/knows", output_limit=10**6)
    layer = ArmLayer(
        slope=1.0, weights=np.zeros(shipped.weights.tokens.shape), calibrated=True, n_outcomes=50, shift_sd=0.1,
        token_shift=float(np.log(10.0)),
    )  # fmt: skip
    refitted = replace(shipped, layers={**shipped.layers, info.model: layer}, version="r0001")
    prompt = surface_matrix(["Explain tides to a child"]), np.zeros((1, len(shipped.weights.centre)), np.float32)
    before, after = (router.predict(prompt[1], prompt[0], [info]) for router in (shipped, refitted))
    base = float(before.prompt_tokens[0])
    assert after.prompt_tokens[0] == base, "nothing that is known of an arm is in it"
    assert after.output_tokens_p50[0, 0] == pytest.approx(10 * base, rel=0.01)
    found = learn_length([Observed(round(10 * base), None, base)] * 100)
    for router in (before, after):
        assert found.of(base, float(router.output_tokens_p50[0, 0]))[0] == pytest.approx(10 * base, rel=0.05)
