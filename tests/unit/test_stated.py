"""What a reply says of money, and what is made of it."""

import json
from decimal import Decimal

import pytest

from scrimp.profiles.schema import Arm, Price
from scrimp.routing.prices.charge import charge
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.stated import Stated, gather, gather_tier, stated_in
from scrimp.routing.prices.surcharges import surcharges
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage, usage_from_litellm

PRICE = ArmPrice(Decimal(1_000), Decimal(10_000), surcharges=(("priority", Decimal("1.7")),))
USAGE = Usage(20, 5)


def gathered(*values):
    usage = None
    for value in values:
        usage = gather(usage, value)
    return usage


@pytest.mark.parametrize(
    ("values", "usage"),
    [
        ([{"choices": []}], None),
        ([{"usage": None}, {"usage": {}}], None),
        ([{"usage": {"a": 3}}, {"usage": {"a": 2, "b": 1}}, {"usage": {"a": None, "b": 0}}], {"a": 3, "b": 1}),
        ([{"usage": {"a": {"b": 3, "c": None}}}, {"usage": {"a": {"b": 0, "c": 1}}}], {"a": {"b": 3, "c": 1}}),
        ([{"usage": {"a": {"b": 3}}}, {"usage": {"a": None}}], {"a": {"b": 3}}),
        ([{"usage": {"a": 3}}, {"usage": {"a": "9"}}, {"usage": {"a": True}}], {"a": 3}),
        ([{"usage": {"a": "9"}}, {"usage": {"a": 3}}], {"a": 3}),
        ([{"usage": {"a": 3}}, {"usage": {"a": 10**400}}], {"a": 10**400}),
        ([{"usage": {"a": 3}}, {"usage": {"a": float("nan")}}], {"a": 3}),
        ([{"usage": {"speed": "fast"}}, {"usage": {"speed": "standard"}}], {"speed": "fast"}),
        ([{"usage": {"speed": "standard"}}, {"usage": {"speed": "fast"}}], {"speed": "fast"}),
        ([{"message": {"usage": {"a": 1}}}, {"delta": {"usage": {"a": 2}}}], {"a": 2}),
        ([{"response": {"usage": {"a": 1}}}, {"x_groq": {"usage": {"b": 1}}}], {"a": 1, "b": 1}),
        ([{"result": {"usage": {"a": 1}}}, {"choices": [{"usage": {"b": 1}}, 7, None]}], {"a": 1, "b": 1}),
        ([{"usageMetadata": {"a": 1}, "candidates": "none"}], {"a": 1}),
        ([{"prompt_eval_count": 7, "eval_count": 1, "done": True}], {"prompt_eval_count": 7, "eval_count": 1}),
        ([{"eval_count": 1, "done": True}], None),
        ([{"meta": {"billed_units": {"input_tokens": 1}}}], {"billed_units": {"input_tokens": 1}}),
    ],
)
def test_the_largest_of_each_count_stands(values, usage):
    assert gathered(*values) == usage


def test_usage_that_is_nested_without_end_is_no_fault():
    deep = {"a": 1}
    for _ in range(500):
        deep = {"message": deep, "usage": {"x": deep}}
    assert gathered(deep, deep) is not None


def test_the_dearest_tier_stands():
    tier = None
    for value in ({"service_tier": "default"}, {"response": {"service_tier": "priority"}}, {"service_tier": "auto"}):
        tier = gather_tier(tier, value)
    assert tier == "priority"
    assert gather_tier(None, {"serviceTier": {"type": "priority"}}) == "priority"
    assert gather_tier(None, {"service_tier": 7}) is None


def test_cohere_is_charged_what_it_bills():
    tokens = {"input_tokens": 520, "output_tokens": 6}
    usage = {"billed_units": {"input_tokens": 20, "output_tokens": 5}, "tokens": tokens}
    assert usage_from_litellm(gathered({"delta": {"usage": usage}})) == Usage(20, 5)


@pytest.mark.parametrize(
    ("usage", "headers", "stated"),
    [
        (None, {}, Stated()),
        ({"prompt_tokens": 3}, {}, Stated()),
        ({"cost": 0.0123}, {}, Stated(12_300_000)),
        ({"cost": "0.0123"}, {}, Stated(12_300_000)),
        ({"cost": 1e-12}, {}, Stated(1)),
        ({"cost": {"total_cost": 0.5}}, {}, Stated(500_000_000)),
        ({"cost": {"request_cost": 0.5}}, {}, Stated()),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, {}, Stated(200_000_000)),
        ({"cost": 0.01, "cost_details": {"upstream_inference_cost": 0.2}}, {}, Stated(210_000_000)),
        ({"cost": 0.2, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.1}}, {}, Stated(200_000_000)),
        ({"cost": 0.2, "cost_details": {"upstream_inference_cost": "x"}}, {}, Stated(None, (), "x")),
        ({"estimated_cost": 0.001, "cost": 0.002}, {}, Stated(2_000_000)),
        ({"cost_in_usd_ticks": 1}, {}, Stated(1)),
        (None, {"x-litellm-response-cost": "0.0003"}, Stated(300_000)),
        (None, {"x-litellm-response-cost": ""}, Stated()),
        (None, {"x-litellm-response-cost": "None"}, Stated(None, (), "None")),
        ({"cost": 1_000.5}, {}, Stated(None, (), "1000.5")),
        ({"cost": [1]}, {}, Stated(None, (), "[1]")),
        ({"cost": 10**5000}, {}, Stated(None, (), "a number of thousands of digits")),
        ({"cost_in_usd_ticks": 10**400}, {}, Stated(None, (), "1.000000000000000000000000000E+390")),
        ({"cost": "\x1b[2Ja"}, {}, Stated(None, (), "\u241b[2Ja")),
        ({"speed": "fast", "inference_geo": "US", "service_tier": "standard"}, {}, Stated(None, ("fast", "us"))),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, {"x-gemini-service-tier": "priority"}, Stated(None, ("priority",))),
    ],
)
def test_what_is_stated(usage, headers, stated):
    assert stated_in(usage, None, headers) == stated


@pytest.mark.parametrize(
    ("usage", "stated", "cost", "remark"),
    [
        (USAGE, Stated(), 70_000, None),
        (None, Stated(), None, None),
        (USAGE, Stated(70_001), 70_001, None),  # a rounding
        (USAGE, Stated(200_000), 200_000, "the provider says that it cost $0.00020, more than the $0.000070"),
        (USAGE, Stated(10), 70_000, None),
        (None, Stated(500_000), None, None),
        (None, Stated(2_000_000), 2_000_000, "more than the $0.0010 by the arm's price"),
        (USAGE, Stated(None, ("priority",)), 119_000, "served on dearer terms (priority): 1.7 times the price"),
        (None, Stated(None, ("priority",)), 1_700_000, "1.7 times"),
        (USAGE, Stated(None, ("gold",)), None, "served on terms whose price is not known (gold): at most 6 times"),
        (Usage(20, 90), Stated(None, ("gold",)), 5_520_000, "at most 6 times"),
        (USAGE, Stated(80_000, ("gold",)), 80_000, "more than the"),
        (USAGE, Stated(None, (), "-1"), None, "the provider states a cost that cannot be (-1)"),
        (Usage(20, 200), Stated(None, (), "-1"), 2_020_000, "cannot be"),
    ],
)
def test_what_is_charged(usage, stated, cost, remark):
    found, remarks = charge(PRICE, usage, stated, bound_nano=1_000_000)
    assert found == cost
    assert (remark in "; ".join(remarks)) if remark else not remarks


def test_every_surcharge_of_litellms_table_is_known_and_no_dearer_than_the_guess_for_others():
    table = PriceTable.load()
    raw = json.loads(table._data, parse_float=Decimal)
    found = {model: surcharges(entry) for model, entry in raw.items() if entry.get("mode") in ("chat", "responses")}
    times = {factor for terms in found.values() for _, factor in terms}
    assert Decimal(2) in times
    assert 1 <= min(times) <= max(times) == 6
    assert dict(table.price(Arm(name="a", model="openai/gpt-5")).surcharges) == {"priority": 2}
    assert dict(table.price(Arm(name="a", model="openai/gpt-4o")).surcharges) == {"priority": Decimal("1.7")}


def test_a_price_of_the_profiles_own_rises_as_the_tables_does():
    own = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))
    price = PriceTable.load().price(Arm(name="a", model="openai/gpt-5", price=own))
    assert (price.input, price.times("priority"), price.times("gold")) == (1_000, 2, None)
    assert ArmPrice.from_json(price.to_json()) == price


def test_prices_that_were_logged_without_surcharges_are_still_read():
    old = json.loads(PRICE.to_json())
    del old["surcharges"]
    assert ArmPrice.from_json(json.dumps(old)).surcharges == ()
