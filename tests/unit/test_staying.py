"""The next turn of a conversation: what a lost cache costs, how hard it has been, and who goes on in a tool loop."""

import math
import random
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from scrimp.profiles.schema import Arm, Caps, Price, Profile
from scrimp.routing.asking.plan_choice import PlanChooser
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.checks.names import make_check
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.deciding.policy import NoDraw
from scrimp.routing.deciding.staying import Staying, moved, said_by
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.prompt import prompt_of_chat
from scrimp.routing.router.arms import Predictions

TURN = "Now tell me, in as many words as you like, why the parser reads its table twice when the file is empty"
LONG = "the table of the parser " * 4_000


class Fixed:
    version, embedder_id, note = "fixed", "none", None

    def __init__(self, quality, ood=0.5, level=3.0):
        self.quality, self.ood, self.level = quality, ood, level

    def predict(self, embeddings, surface, arms):
        quality = np.tile(np.array(self.quality, dtype=float), (len(surface), 1))
        return Predictions(
            quality=quality,
            quality_low=quality - 0.05,
            quality_high=quality + 0.05,
            basis=tuple("calibrated" for _ in arms),
            rests_on=tuple("outcomes" for _ in arms),
            output_tokens_p50=np.full_like(quality, 100.0),
            output_tokens_p90=np.full_like(quality, 300.0),
            ood=np.full(len(surface), self.ood),
            level=np.full(len(surface), self.level),
        )


class Embedder:
    id = "zeros"

    def embed(self, texts):
        return np.zeros((len(texts), 4), dtype=np.float32)


def arm(name, usd, **more):
    price = Price(
        input_usd_per_mtok=Decimal(usd),
        output_usd_per_mtok=Decimal(usd) * 4,
        **{k: Decimal(v) for k, v in more.items()},
    )
    return Arm(name=name, model=f"openai/{name}", price=price, max_output_tokens=1000, context_window=200_000)


CACHING = {"cache_read_usd_per_mtok": "0.1"}


def decide(arms, staying, *, quality=(0.80, 0.84), turn=TURN, wtp=0.1, **more):
    profile = Profile(name="p", arms=tuple(arms), default_arm=arms[-1].name, caps=Caps())
    decider = Decider(profile, PriceTable(b"{}", "test"), Fixed(quality, **more), Embedder())
    chat = Chat((
        {"role": "user", "content": LONG}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": turn},
    ))  # fmt: skip
    prompt = prompt_of_chat(chat)
    return decider.decide(
        prompt,
        decider.predict(decider.contexts([prompt.text])),
        Wishes(wtp_usd=wtp, explore=0.0, staying=staying),
        decision_id="d",
        rng=random.Random(0),
    )


def test_a_switch_must_gain_more_than_the_cache_that_is_lost():
    """24,000 tokens: the abler arm costs 0.024 more a dollar of price; what is read already is a tenth of that."""
    arms = [arm("cheap", "1"), arm("abler", "1.2", **CACHING)]
    assert decide(arms, None).arm == "cheap"
    stays = decide(arms, Staying("abler", n_cached=24_000))
    assert stays.arm == "abler"
    assert stays.choice.option("abler").cached_tokens == 24_000
    assert decide(arms, Staying("cheap", n_cached=24_000)).arm == "cheap", "a provider without a cached price has none"
    assert decide(arms, Staying("abler", n_cached=0)).arm == "cheap", "nor is there one that has lapsed"
    assert decide(arms, Staying("abler", n_cached=24_000), quality=(0.99, 0.70)).arm == "cheap", (
        "a gain that is worth it"
    )


def test_bounds_never_count_a_cache():
    arms = [arm("cheap", "1"), arm("abler", "1.2", **CACHING)]
    with_cache, without = decide(arms, Staying("abler", n_cached=24_000)), decide(arms, None)
    assert with_cache.choice.option("abler").bound_nano == without.choice.option("abler").bound_nano
    assert with_cache.choice.option("abler").cost_nano < without.choice.option("abler").cost_nano / 4


def test_what_is_new_is_written_to_an_explicit_cache_at_its_price():
    price = ArmPrice(Decimal(1000), Decimal(5000), cache_read=Decimal(100), cache_write=Decimal(1250))
    assert price.expected_nano(1_000, 10, 800) == 800 * 100 + 200 * 1250 + 50_000
    assert price.expected_nano(1_000, 10, 800) == price.cost_nano(
        Usage(1_000, 10, cached_tokens=800, cache_write_tokens=200)
    )
    assert price.expected_nano(1_000, 10) == 1_000 * 1000 + 50_000
    assert ArmPrice(Decimal(1000), Decimal(5000), cache_read=Decimal(100)).expected_nano(1_000, 10, 5_000) == 150_000


def test_in_a_tool_loop_the_arm_goes_on_whatever_else_is_better():
    arms = [arm("cheap", "1"), arm("dear", "9")]
    loop = Staying("dear", forced=True)
    assert decide(arms, None).arm == "cheap"
    found = decide(arms, loop)
    assert (found.arm, found.choice.propensity, found.choice.no_draw) == ("dear", None, NoDraw.STAYS)
    assert decide(arms, loop, ood=1.0).choice.guard is None, "strange or not"
    assert [option.arm for option in found.fallbacks()] == ["cheap"], "where it fails, another is asked"


def test_in_a_tool_loop_another_goes_on_where_the_arm_cannot():
    short = Arm(name="short", model="openai/short", price=Price(input_usd_per_mtok=1, output_usd_per_mtok=1),
                max_output_tokens=1000, context_window=8_000)  # fmt: skip
    found = decide([arm("cheap", "1"), short], Staying("short", forced=True))
    assert (found.arm, found.choice.no_draw) == ("cheap", None)


def test_an_arm_asked_for_by_name_goes_before_the_conversations():
    arms = [arm("cheap", "1"), arm("dear", "9")]
    profile = Profile(name="p", arms=tuple(arms), default_arm="dear", caps=Caps())
    decider = Decider(profile, PriceTable(b"{}", "test"), Fixed((0.8, 0.9)), Embedder())
    prompt = prompt_of_chat(Chat(({"role": "user", "content": "x"},)))
    found = decider.decide(
        prompt, decider.predict(decider.contexts(["x"])), Wishes(arm="cheap", staying=Staying("dear", forced=True)),
        decision_id="d", rng=random.Random(0),
    )  # fmt: skip
    assert (found.arm, found.choice.no_draw) == ("cheap", NoDraw.ASKED_FOR)


def test_a_turn_that_says_little_is_as_hard_as_the_conversation_was():
    arms = [arm("cheap", "0.2"), arm("dear", "0.6")]
    hard = {"cheap": 0.3, "dear": 0.9}
    short = decide(arms, Staying("dear", running=hard, level=4.5), quality=(0.95, 0.96), turn="yes, go on", level=1.0)
    w = 3 / 23
    blended = w * math.log(0.95 / 0.05) + (1 - w) * math.log(0.3 / 0.7)
    assert short.choice.option("cheap").quality == pytest.approx(1 / (1 + math.exp(-blended)))
    assert short.arm == "dear"
    assert short.level == pytest.approx(w * 1.0 + (1 - w) * 4.5)
    option = short.choice.option("cheap")
    assert option.quality_low < option.quality < option.quality_high
    long = decide(arms, Staying("dear", running=hard), quality=(0.95, 0.96), turn=TURN * 10)
    assert long.choice.option("cheap").quality > 0.85
    assert long.arm == "cheap"
    assert decide(arms, None, quality=(0.95, 0.96), turn="yes, go on").arm == "cheap"


def test_while_tools_are_called_it_is_still_the_same_turn():
    found = decide(
        [arm("cheap", "1"), arm("dear", "9")], Staying("dear", forced=True, running={"cheap": 0.3, "dear": 0.7})
    )
    assert found.choice.option("cheap").quality == pytest.approx(0.3)
    assert found.turned["weight"] == 0.0


def test_a_new_arm_is_taken_by_the_turn_alone():
    found = decide([arm("cheap", "1"), arm("new", "9")], Staying("cheap", running={"cheap": 0.3}), turn="go on")
    assert found.choice.option("new").quality == pytest.approx(0.84)


def test_a_strange_turn_that_says_little_calls_no_guard():
    arms = [arm("cheap", "1"), arm("dear", "9")]
    going = Staying("cheap", running={"cheap": 0.8, "dear": 0.8})
    assert decide(arms, None, turn="ja", ood=1.0).choice.guard is not None
    assert decide(arms, going, turn="ja", ood=1.0).choice.guard is None
    assert decide(arms, going, turn=TURN, ood=1.0).choice.guard is not None


def test_the_decision_shows_it_and_reads_back():
    found = decide(
        [arm("cheap", "1"), arm("abler", "1.2", **CACHING)], Staying("abler", 24_000, running={"abler": 0.5})
    )
    told = found.to_dict()["conversation"]
    assert (told["arm"], told["n_cached"], told["in_tool_loop"]) == ("abler", 24_000, False)
    assert told["weight"] == pytest.approx(said_by(TURN))
    assert told["quality_of_turn"] == {"cheap": 0.80, "abler": 0.84}
    assert Decision.from_dict(found.to_dict()).to_dict() == found.to_dict()


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("tools", "loop", "spelled", "n_calls"),
    [
        ((), False, None, 2),
        ((TOOL,), False, None, 1),
        ((TOOL,), False, "cheap ? checks > dear", 2),
        ((), True, "cheap ? checks > dear", 1),
    ],
)
def test_no_plan_is_chosen_for_what_may_call_tools(tools, loop, spelled, n_calls):
    """A check cannot judge a call of tools, and the arm that made one reads what it gave; a plan spelled is begun."""
    arms = [msgspec.structs.replace(arm(name, usd), tags=("tools",)) for name, usd in (("cheap", "1"), ("dear", "90"))]
    profile = Profile(name="p", arms=tuple(arms), default_arm="dear", caps=Caps())
    decider = Decider(profile, PriceTable(b"{}", "test"), Fixed((0.6, 0.95)), Embedder())
    prompt = prompt_of_chat(Chat(({"role": "user", "content": "x"},), tools))
    wishes = Wishes(wtp_usd=0.05, explore=0.0, staying=Staying("cheap", forced=True) if loop else None)
    decision = decider.decide(
        prompt, decider.predict(decider.contexts(["x"])), wishes, decision_id="d", rng=random.Random(0)
    )
    chooser = PlanChooser(decider, Way((make_check("has:yes", {}),), cascade=True), None)
    plan = chooser.choose(Ask(prompt, wishes), decision, [], spelled=spelled)[1]
    assert len(plan.stages) == n_calls


@pytest.mark.parametrize("quality", [0.0, 1e-9, 0.5, 1.0])
def test_moving_a_quality_keeps_it_one(quality):
    assert moved(quality, 0.0) == quality
    assert all(0.0 <= moved(quality, shift) <= 1.0 for shift in (-50.0, -1.0, 1.0, 50.0))
