"""From profile and prompt to a decision: filters, limits that fit a cap, guards, and a trace that reads back."""

import json
import random
from decimal import Decimal

import numpy as np
import pytest

from scrimp.profiles.schema import Arm, Caps, Price, Profile
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.deciding.policy import Barrier
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Attachment, Prompt
from scrimp.routing.router.arms import Predictions

PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))


class Fixed:
    """A router whose predictions are given."""

    version, embedder_id, note = "fixed", "none", None

    def __init__(self, quality, p50=100.0, p90=300.0, ood=0.5, level=np.nan):
        self.quality, self.p50, self.p90, self.ood, self.level = quality, p50, p90, ood, level

    def predict(self, embeddings, surface, arms):
        n = len(surface)
        quality = np.tile(np.array(self.quality, dtype=float), (n, 1))
        return Predictions(
            quality=quality,
            quality_low=quality - 0.1,
            quality_high=quality + 0.1,
            basis=tuple("prior" for _ in arms),
            rests_on=tuple("judged difficulty" for _ in arms),
            output_tokens_p50=np.full_like(quality, self.p50),
            output_tokens_p90=np.full_like(quality, self.p90),
            ood=np.full(n, self.ood),
            level=np.full(n, self.level),
        )


class Embedder:
    id = "zeros"

    def embed(self, texts):
        return np.zeros((len(texts), 4), dtype=np.float32)


def arm(name, **changes):
    values = {"model": f"openai/{name}", "api_base": "http://127.0.0.1:1/v1", "price": PRICE, "max_output_tokens": 1000}
    return Arm(name=name, **{**values, **changes})


def decide(arms, prompt="hello", *, router=None, wishes=None, left=None, default="", blocked=None):
    profile = Profile(name="p", arms=tuple(arms), default_arm=default or arms[-1].name, caps=Caps())
    decider = Decider(
        profile, PriceTable(b"{}", "test"), router or Fixed([0.5 + 0.1 * n for n in range(len(arms))]), Embedder()
    )
    prompt = Prompt(prompt) if isinstance(prompt, str) else prompt
    predictions = decider.predict(decider.contexts([prompt.text]))
    return decider.decide(
        prompt,
        predictions,
        wishes or Wishes(explore=0.0),
        decision_id="d",
        rng=random.Random(0),
        left_nano=left,
        blocked=blocked,
    )


def why(decision, name):
    return decision.choice.option(name).infeasible


def test_the_bound_is_bytes_in_and_the_limit_out():
    decision = decide([arm("a")], "x" * 100)
    taken = decision.choice.taken
    assert taken.input_bound == 100 + 16 + 256
    assert taken.output_limit == 1000
    assert taken.bound_nano == taken.input_bound * 1000 + 1000 * 4000
    assert taken.cost_nano < taken.bound_nano


def test_filters_say_why():
    image = Attachment("a.png", "image/png", b"\x89PNG\r\n\x1a\n")
    assert "vision" in why(decide([arm("a")], Prompt("?", attachments=(image,))), "a")
    assert why(decide([arm("a", tags=("vision",))], Prompt("?", attachments=(image,))), "a") is None
    assert "window" in why(decide([arm("a", context_window=1500)], "word " * 3000), "a")
    assert "no price" in why(decide([arm("a", price=None)]), "a")
    assert "this machine" in why(
        decide([arm("a", api_base="https://example.com/v1")], wishes=Wishes(on_this_machine=True)), "a"
    )
    assert why(decide([arm("a")], blocked={"a": "suspended"}), "a") == "suspended"
    pdf = Attachment("b.pdf", "application/pdf", b"%PDF-")
    assert "PDF" in why(decide([arm("a", tags=("pdf",))], Prompt("?", attachments=(pdf,))), "a")


def test_a_limit_is_lowered_to_fit_a_cap_where_it_still_covers_the_90th_percentile():
    full = decide([arm("a")]).choice.taken
    left = full.bound_nano - 4000 * 100
    lowered = decide([arm("a")], left={"a": left}).choice
    assert lowered.taken.output_limit == 900
    assert lowered.taken.bound_nano <= left
    assert lowered.propensity is None
    tight = decide([arm("a")], left={"a": full.bound_nano - 4000 * 750})
    assert tight.arm is None
    assert tight.choice.weighed[0].option.by_cap
    reasoning = decide([arm("a", reasoning_effort="low")], left={"a": left})
    assert reasoning.arm is None, "never on a reasoning arm: its thinking would be cut"


def test_max_cost_is_a_cap_on_this_call():
    assert decide([arm("a")], wishes=Wishes(max_cost_nano=1)).arm is None
    assert decide([arm("a")], wishes=Wishes(max_cost_nano=10**9)).arm == "a"


def test_a_prompt_unlike_any_goes_to_the_default_arm_and_says_so():
    arms = [arm("small"), arm("large", price=Price(input_usd_per_mtok=Decimal(100), output_usd_per_mtok=Decimal(400)))]
    known = decide(arms, router=Fixed([0.9, 0.9], ood=0.9), default="large")
    assert (known.arm, known.choice.guard) == ("small", None)
    strange = decide(arms, router=Fixed([0.9, 0.9], ood=1.0), default="large")
    assert strange.arm == "large"
    assert "unlike" in strange.choice.guard
    assert strange.choice.propensity is None


def test_fallbacks_are_the_other_feasible_arms_best_first():
    arms = [arm("a"), arm("b"), arm("c"), arm("d", price=None)]
    decision = decide(arms)
    assert decision.arm == "c"
    assert [option.arm for option in decision.fallbacks()] == ["b", "a"]
    assert decide(arms, wishes=Wishes(arm="c")).fallbacks() == []


def test_a_trace_reads_back_as_it_was():
    router = Fixed([0.31, 0.62, 0.93], level=2.25)
    decision = decide([arm("a"), arm("b", price=None), arm("c", context_window=10)], router=router)
    data = decision.to_dict()
    assert Decision.from_dict(data) == decision
    assert (data["level"], data["arms"][0]["rests_on"]) == (2.25, "judged difficulty")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    older = decision.to_dict()
    del older["level"], older["against"], older["price_share"]
    for each in older["arms"]:
        del each["barrier"], each["rests_on"]
    read = Decision.from_dict(older)
    assert read.choice.option("b").barrier is None
    assert (read.level, read.choice.option("b").rests_on) == (None, "")


def test_a_router_without_levels_gives_none():
    decision = decide([arm("a"), arm("b")], router=Fixed([0.5, 0.9]))
    assert decision.level is None
    assert decision.to_dict()["level"] is None


def test_the_arm_taken_is_compared_with_the_next_best_that_can_take_the_prompt():
    arms = [arm("a"), arm("b", context_window=10), arm("c"), arm("d")]
    decision = decide(arms, router=Fixed([0.5, 0.9, 0.7, 0.6]))
    assert (decision.arm, decision.against.arm, decision.price_share) == ("c", "d", 0.0)
    named = decide(arms, router=Fixed([0.5, 0.9, 0.7, 0.6]), wishes=Wishes(arm="a"))
    assert (named.arm, named.against.arm) == ("a", "c")
    assert named.to_dict()["against"] == "c"
    alone = decide([arm("a"), arm("b", context_window=10)], router=Fixed([0.5, 0.9]))
    assert (alone.arm, alone.against, alone.price_share) == ("a", None, None)
    nobody = decide([arm("b", context_window=10)], router=Fixed([0.9]))
    assert (nobody.arm, nobody.to_dict()["against"], nobody.to_dict()["price_share"]) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "barrier"),
    [
        ({}, Barrier.CAPABILITY),
        ({"tags": ("pdf",)}, Barrier.UNBOUNDED),
        ({"tags": ("pdf",), "context_window": 1100}, Barrier.WINDOW),
        ({"tags": ("pdf",), "context_window": 100_000, "price": None}, Barrier.NO_PRICE),
        ({"tags": ("pdf",), "context_window": 100_000}, Barrier.CAP),
    ],
)
def test_what_kind_of_reason_it_is(changes, barrier):
    pdf = Prompt("?", attachments=(Attachment("b.pdf", "application/pdf", b"%PDF-"),))
    option = decide([arm("a", **changes)], pdf, left={"a": 1}).choice.option("a")
    assert (option.barrier, option.by_cap) == (barrier, barrier is Barrier.CAP)


def test_that_a_prompt_is_to_stay_here_is_on_record_whatever_else_stands_against_an_arm():
    away = arm("away", api_base="https://example.com/v1")
    decision = decide([away, arm("here")], wishes=Wishes(on_this_machine=True), blocked={"away": "suspended"})
    assert decision.choice.option("away").barrier is Barrier.NOT_HERE
    assert decide([arm("a")], blocked={"a": "suspended"}).choice.option("a").barrier is Barrier.BLOCKED


@pytest.mark.parametrize(
    ("changes", "here"),
    [
        ({"api_base": "http://127.0.0.1:8000/v1"}, True),
        ({"api_base": "http://localhost:8000"}, True),
        ({"api_base": "http://[::1]:8000"}, True),
        ({"api_base": "http://127.0.0.1.example.com/v1"}, False),
        ({"api_base": None, "model": "local/x"}, True),
        ({"api_base": None}, False),
        ({"api_base": "https://example.com/v1", "tags": ("local",)}, False),
    ],
)
def test_what_runs_on_this_machine(changes, here):
    assert runs_here(arm("a", **changes)) is here
