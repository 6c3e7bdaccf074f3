"""Prices: exact, found under the right name, and bounds that hold."""

import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.schema import Arm, Price
from scrimp.routing.prices.price import ArmPrice, Tier
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage

TABLE = {
    "sample_spec": {"mode": "one of: chat", "input_cost_per_token": 0.0},
    "fallback_generalizations": [{"name": "x"}],
    "gpt-5-mini": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2.5e-07,
        "output_cost_per_token": 2e-06,
        "cache_read_input_token_cost": 2.5e-08,
        "input_cost_per_token_batches": 1.25e-07,
        "input_cost_per_token_priority": 9e-07,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "max_input_tokens": 272000,
        "max_output_tokens": 128000,
        "supports_reasoning": True,
        "supports_vision": True,
        "supports_pdf_input": False,
        "supports_function_calling": True,
        "supports_response_schema": True,
    },
    "gpt-6-luna": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 5e-07,
        "cache_read_input_token_cost": 1e-08,
        "cache_creation_input_token_cost": 1.25e-07,
        "input_cost_per_token_above_272k_tokens": 2e-07,
        "output_cost_per_token_above_272k_tokens": 7.5e-07,
        "cache_read_input_token_cost_above_272k_tokens": 2e-08,
        "cache_creation_input_token_cost_above_272k_tokens": 2.5e-07,
        "input_cost_per_token_above_272k_tokens_priority": 4e-07,
    },
    "claude-sonnet-4-6": {
        "litellm_provider": "anthropic",
        "mode": "chat",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "cache_read_input_token_cost": 3e-07,
        "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
    },
    "claude-haiku-5-5": {
        "litellm_provider": "anthropic",
        "mode": "chat",
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 5e-07,
        "cache_creation_input_token_cost": 1.25e-07,
        "cache_creation_input_token_cost_above_1hr": 2e-07,
        "cache_creation_input_token_cost_above_1hr_above_100k_tokens": 1e-06,
        "input_cost_per_token_above_100k_tokens": 5e-07,
        "output_cost_per_token_above_100k_tokens": 2.5e-06,
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "gemini",
        "mode": "chat",
        "input_cost_per_token": 1.25e-06,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "output_cost_per_reasoning_token": 1.2e-05,
        "cache_read_input_token_cost": 1.25e-07,
        "max_output_tokens": 8192,
    },
    "gemini/gemini-exp-1206": {"litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0},
    "half/priced": {"litellm_provider": "half", "mode": "chat", "input_cost_per_token": 1e-07, "output_cost_per_token": 0.0},
    "unpriced/model": {"litellm_provider": "unpriced", "mode": "chat"},
    "deepseek/deepseek-chat": {
        "litellm_provider": "deepseek",
        "mode": "chat",
        "input_cost_per_token": 2.8e-07,
        "output_cost_per_token": 4.2e-07,
        "cache_read_input_token_cost": 2.8e-08,
        "cache_creation_input_token_cost": 0.0,
    },
    "dashscope/qwen-flash": {
        "litellm_provider": "dashscope",
        "mode": "chat",
        "tiered_pricing": [
            {"range": [256000.0, 1000000.0], "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06},
            {"range": [0, 256000.0], "input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07},
        ],
    },
    "dashscope/broken": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [{"range": [0, 1], "output_cost_per_token": 1}]},
    "xai/grok-4": {
        "litellm_provider": "xai",
        "mode": "chat",
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "input_cost_per_token_above_128k_tokens": 6e-06,
        "output_cost_per_token_above_128k_tokens": 3e-05,
    },
    "perplexity/sonar": {
        "litellm_provider": "perplexity",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 1e-06,
        "search_context_cost_per_query": {"search_context_size_low": 0.005, "search_context_size_high": 0.012},
    },
    "fee/model": {"litellm_provider": "fee", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "input_cost_per_request": 0.005},
    "vertex_ai/claude-sonnet-4-6": {"litellm_provider": "vertex_ai-anthropic_models", "mode": "chat", "input_cost_per_token": 3.3e-06, "output_cost_per_token": 1.65e-05},
    "gemini-2.5-flash": {"litellm_provider": "vertex_ai-language-models", "mode": "chat", "input_cost_per_token": 3e-07, "output_cost_per_token": 2.5e-06},
    "ollama/llama3": {"litellm_provider": "ollama", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "max_input_tokens": 8192},
    "text-embedding-3-small": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08, "output_cost_per_token": 0.0},
    "dated/model": {"litellm_provider": "dated", "mode": "chat", "input_cost_per_token": 2.4997000000000006e-07, "output_cost_per_token": 1e-06},
}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return PriceTable(json.dumps(TABLE).encode(), "1.2.3")


def arm(model, **more):
    return Arm(name="a", model=model, **more)


def usd(nano):
    return Decimal(nano) / 10**9


def test_rates_are_exact(table):
    price = table.price(arm("openai/gpt-5-mini"))
    assert (price.input, price.output, price.cache_read) == (Decimal(250), Decimal(2000), Decimal(25))
    assert price.cache_write is None
    assert price.tiers == ()
    assert price.source == "litellm 1.2.3"
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (0.25, 2.0)


def test_openai_with_cached_and_reasoning_tokens(table):
    # 400 x 250 + 600 x 25 + 200 x 2000 (reasoning costs what output costs)
    price = table.price(arm("openai/gpt-5-mini"))
    assert price.cost_nano(Usage(1000, 200, cached_tokens=600, reasoning_tokens=150)) == 515_000


def test_anthropic_with_cache_reads_and_writes(table):
    # 1000 x 3000 + 6000 x 300 + 2000 x 3750 + 1000 x 6000 + 500 x 15000
    price = table.price(arm("anthropic/claude-sonnet-4-6"))
    usage = Usage(10_000, 500, cached_tokens=6000, cache_write_tokens=3000, cache_write_1h_tokens=1000)
    assert price.cost_nano(usage) == 25_800_000
    # with nothing said of the hour, all 3000 are written for five minutes: 1000 x 3000 + 6000 x 300 + 3000 x 3750 + ...
    assert price.cost_nano(Usage(10_000, 500, 6000, 3000)) == 23_550_000


def test_gemini_reasoning_and_tier(table):
    price = table.price(arm("gemini/gemini-2.5-pro"))
    # 200000 x 1250 + 60 x 10000 + 40 x 12000
    assert price.cost_nano(Usage(200_000, 100, reasoning_tokens=40)) == 251_080_000
    # above 200k all of it at the tier, cache reads doubled with the input, reasoning raised with the output:
    # 200000 x 2500 + 1 x 250 + 60 x 15000 + 40 x 18000
    assert price.cost_nano(Usage(200_001, 100, cached_tokens=1, reasoning_tokens=40)) == 501_620_250


def test_deepseek_cache_hits_and_writes_listed_as_zero(table):
    # 100 x 280 + 900 x 28 + 50 x 420; a write listed at 0 costs what input costs
    price = table.price(arm("deepseek/deepseek-chat"))
    assert price.cost_nano(Usage(1000, 50, cached_tokens=900)) == 74_200
    assert price.cache_write is None
    assert price.cost_nano(Usage(1000, 50, cached_tokens=900, cache_write_tokens=100)) == 74_200


def test_tiers_charge_the_whole_request(table):
    price = table.price(arm("openai/gpt-6-luna"))
    assert price.tiers == (Tier(272_000, Decimal(200), Decimal(750), Decimal(20), Decimal(250)),)
    assert price.expected_nano(272_000, 100) == 272_000 * 100 + 100 * 500
    assert price.expected_nano(272_001, 100) == 272_001 * 200 + 100 * 750
    assert price.bound_nano(272_000, 100) == 272_000 * 125 + 100 * 500
    assert price.bound_nano(272_001, 100) == 272_001 * 250 + 100 * 750


def test_an_hours_cache_write_has_its_own_tier(table):
    price = table.price(arm("anthropic/claude-haiku-5-5"))
    assert price.tiers[0].cache_write_1h == 1000
    assert price.tiers[0].cache_write == 625  # not listed: raised as the input is, from 100 to 500
    assert price.bound_nano(100_001, 10) == 100_001 * 1000 + 10 * 2500


def test_rungs(table):
    price = table.price(arm("dashscope/qwen-flash"))
    assert price.expected_nano(256_000, 10) == 256_000 * 50 + 10 * 400
    assert price.expected_nano(256_001, 10) == 256_001 * 250 + 10 * 2000
    assert table.price(arm("dashscope/broken")) is None


def test_a_tier_that_begins_at_its_threshold(table):
    price = table.price(arm("xai/grok-4"))
    assert price.expected_nano(127_999, 0) == 127_999 * 3000
    assert price.expected_nano(128_000, 0) == 128_000 * 6000


def test_fees(table):
    assert table.price(arm("fee/model")).bound_nano(1, 1) == 5_000_000 + 2000
    assert table.price(arm("perplexity/sonar")).cost_nano(Usage(10, 10)) == 12_000_000 + 20_000


@pytest.mark.parametrize(
    ("api_base", "input_nano"),
    [
        (None, 3300),
        ("https://europe-west1-aiplatform.googleapis.com", 3300),
        ("https://aiplatform.googleapis.com/v1", 3000),
    ],
)
def test_vertex_counts_as_dear_as_its_places_but_the_global_one(api_base, input_nano):
    entry = {"litellm_provider": "vertex_ai", "mode": "chat", "input_cost_per_token": 3e-06}
    entry |= {"output_cost_per_token": 1.5e-05, "regional_endpoint_uplift_multiplier": 1.1}
    table = PriceTable(json.dumps({"vertex_ai/m": entry}).encode(), "of the test")
    assert table.price(Arm(name="a", model="vertex_ai/m", api_base=api_base)).input == input_nano


def test_a_regional_address_is_dearer(table):
    plain = table.price(arm("openai/gpt-5-mini", api_base="https://api.openai.com/v1"))
    assert plain.input == 250
    assert table.price(arm("openai/gpt-5-mini", api_base="https://eu.api.openai.com/v1")).input == 275


@pytest.mark.parametrize(
    "model",
    [
        "gemini/gemini-exp-1206",  # zeros in the table mean that nobody filled them in
        "half/priced",
        "unpriced/model",
        "ollama/llama3",
        "openai/text-embedding-3-small",
        "openai/no-such-model",
        "azure/gpt-5-mini",  # listed, but not at this provider
        "openrouter/openai/gpt-5-mini",
        "openrouter/gpt-5-mini",
        "anthropic/gpt-5-mini",
        "openai/openai/gpt-5-mini",
        "sample_spec",
        "fallback_generalizations",
        "",
        "/",
        "openai/",
    ],
)
def test_what_has_no_price(table, model):
    assert table.price(arm(model)) is None


@pytest.mark.parametrize(
    ("model", "nano"),
    [
        ("gpt-5-mini", 250),
        ("vertex_ai/claude-sonnet-4-6", 3300),
        ("vertex_ai/gemini-2.5-flash", 300),
        ("anthropic/claude-sonnet-4-6", 3000),
    ],
)
def test_names_under_which_a_price_is_found(table, model, nano):
    assert table.price(arm(model)).input == nano


def test_noise_in_the_table_is_kept_and_rounded_up_at_the_end(table):
    price = table.price(arm("dated/model"))
    assert price.input == Decimal("249.97000000000006")
    assert price.cost_nano(Usage(100, 1)) == 24_997 + 1000 + 1


def test_a_stated_price_wins(table):
    stated = Price(input_usd_per_mtok=Decimal("0.10"), output_usd_per_mtok=Decimal(1), per_request_usd=Decimal("0.001"))
    price = table.price(arm("openai/gpt-5-mini", price=stated))
    assert price.source == "profile"
    assert price.cost_nano(Usage(1000, 100)) == 100_000 + 100_000 + 1_000_000
    assert not price.free


def test_free_is_free_when_stated(table):
    stated = Price(input_usd_per_mtok=Decimal(0), output_usd_per_mtok=Decimal(0))
    price = table.price(arm("ollama/llama3", price=stated))
    assert price.free
    assert price.bound_nano(10**6, 10**6) == price.cost_nano(Usage(10**6, 10**6)) == 0


def test_sub_nano_amounts_round_up():
    price = ArmPrice(input=Decimal("0.1"), output=Decimal("0.01"))
    assert price.cost_nano(Usage(1, 1)) == 1
    assert price.cost_nano(Usage(10, 0)) == 1
    assert price.cost_nano(Usage(11, 0)) == 2


def test_parts_larger_than_their_whole_are_cut():
    price = ArmPrice(input=Decimal(10), output=Decimal(20), cache_read=Decimal(1), cache_write=Decimal(12))
    assert price.cost_nano(Usage(100, 10, cached_tokens=10**12)) == 100 * 1 + 10 * 20
    assert price.cost_nano(Usage(100, 10, cached_tokens=-5)) == 100 * 10 + 10 * 20
    assert price.cost_nano(Usage(100, 10, cached_tokens=60, cache_write_tokens=60)) == 60 * 1 + 40 * 12 + 200


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1)])
def test_negative_counts_are_refused(counts):
    price = ArmPrice(input=Decimal(1), output=Decimal(1))
    for charge in (price.bound_nano, price.expected_nano, lambda *both: price.cost_nano(Usage(*both))):
        with pytest.raises(ValueError, match="cannot be negative"):
            charge(*counts)


RATE = st.decimals(min_value=0, max_value=10**6, places=6)
MAYBE = st.none() | RATE
TIER = st.builds(Tier, st.integers(1, 10**6), RATE, RATE, MAYBE, MAYBE, MAYBE, MAYBE)
PRICE = st.builds(
    ArmPrice,
    RATE,
    RATE,
    MAYBE,
    MAYBE,
    MAYBE,
    MAYBE,
    st.lists(TIER, max_size=3).map(tuple),
    st.decimals(0, 10**9, places=3),
)
PART = st.none() | st.integers(0, 2 * 10**6)


@given(PRICE, st.integers(0, 2 * 10**6), st.integers(0, 10**5), st.data())
def test_no_usage_within_the_limits_costs_more_than_the_bound(price, input_tokens, output_tokens, data):
    usage = Usage(
        data.draw(st.integers(0, input_tokens)), data.draw(st.integers(0, output_tokens)),
        data.draw(PART), data.draw(PART), data.draw(PART), data.draw(PART),
    )  # fmt: skip
    assert price.cost_nano(usage) <= price.bound_nano(input_tokens, output_tokens)
    assert price.expected_nano(input_tokens, output_tokens) <= price.bound_nano(input_tokens, output_tokens)


@given(PRICE, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5))
def test_the_bound_rises_with_the_limits(price, less, more, output_tokens):
    less, more = sorted((less, more))
    assert price.bound_nano(less, output_tokens) <= price.bound_nano(more, output_tokens)
    assert price.bound_nano(less, output_tokens) <= price.bound_nano(less, output_tokens + 1)


@given(PRICE)
def test_json_round_trip(price):
    assert ArmPrice.from_json(price.to_json()) == price


def test_json_is_plain(table):
    text = table.price(arm("openai/gpt-6-luna")).to_json()
    assert '"input":"100"' in text
    assert "E+" not in text


def test_model_info(table):
    info = table.model_info(arm("openai/gpt-5-mini"))
    assert info.known
    assert (info.max_input_tokens, info.max_output_tokens) == (272_000, 128_000)
    assert info.capabilities == {"vision", "tools", "json", "reasoning"}
    assert info.deprecation_date is None
    unknown = table.model_info(arm("openai/nothing-like-it"))
    assert not unknown.known
    assert unknown.max_input_tokens is None
    assert table.model_info(arm("ollama_chat/llama3")).max_input_tokens == 8192


@pytest.mark.parametrize(
    ("made", "limit"),
    [
        (arm("openai/gpt-5-mini"), 16_384),
        (arm("openai/gpt-5-mini", reasoning_effort="none"), 4096),
        (arm("openai/gpt-5-mini", reasoning_effort="low"), 16_384),
        (arm("openai/gpt-5-mini", max_output_tokens=77), 77),
        (arm("openai/gpt-6-luna"), 4096),
        (arm("gemini/gemini-2.5-pro", reasoning_effort="high"), 8192),
        (arm("local/x"), 4096),
    ],
)
def test_output_limit(table, made, limit):
    assert table.output_limit(made) == limit


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"a": }'])
def test_a_broken_table(data):
    with pytest.raises(ConfigError, match="price table"):
        PriceTable(data, "0")


def test_nonsense_in_an_entry_is_no_price():
    odd = {"mode": "chat", "litellm_provider": "p", "output_cost_per_token": 1e-6}
    table = PriceTable(
        json.dumps({f"p/{n}": {**odd, "input_cost_per_token": value} for n, value in enumerate(["free", None, -1, True, [1]])}).encode(), "0"
    )  # fmt: skip
    assert all(table.price(arm(f"p/{n}")) is None for n in range(5))


def test_the_installed_table_is_read_without_importing_litellm():
    before = "litellm" in sys.modules
    table = PriceTable.load()
    assert ("litellm" in sys.modules) == before
    assert table.version[0].isdigit()
    assert len(table.sha256) == 64
    assert table.price(arm("openai/gpt-5-mini")) is not None


def test_no_litellm_no_table(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="missing"):
        PriceTable.load()
