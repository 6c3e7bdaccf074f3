"""The profiles that come with scrimp name models that are sold, at prices that are known."""

from datetime import date
from decimal import Decimal

import pytest

from scrimp.profiles.keys import Keys
from scrimp.profiles.load import BUILT_IN, load_profile
from scrimp.profiles.money import nano_from_usd
from scrimp.profiles.paths import paths
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage
from scrimp.routing.reports.profile_check import check_profile

CHECKED_ON = date(2026, 11, 22)
KEYS = {f"{name}_API_KEY": "k" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "OPENROUTER")}


@pytest.fixture(scope="module")
def table():
    return PriceTable.load()


@pytest.fixture
def load(tmp_path):
    def do(name):
        return load_profile(name, env={}, cwd=tmp_path, paths=paths({"SCRIMP_HOME": str(tmp_path)}))

    return do


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_arm_can_be_used(load, table, tmp_path, name):
    loaded = load(name)
    keys = Keys(KEYS, paths({"SCRIMP_HOME": str(tmp_path)}))
    findings = check_profile(loaded, table, keys, today=CHECKED_ON)
    assert [finding for finding in findings if finding.level != "note"] == []
    for arm in loaded.profile.arms:
        assert arm.tier is not None
        info = table.model_info(arm)
        if info.deprecation_date is not None:
            assert date.fromisoformat(info.deprecation_date) > CHECKED_ON


@pytest.mark.parametrize("name", ["openai", "anthropic", "google", "mixed"])
def test_prices_come_from_the_table(load, table, name):
    for arm in load(name).profile.arms:
        assert arm.price is None
        assert table.model_info(arm).known
        assert set(arm.tags) <= table.model_info(arm).capabilities


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_dearest_call_fits_under_the_cap(load, table, name):
    """A short prompt on any arm at its full output limit can be reserved."""
    profile = load(name).profile
    assert profile.caps.per_call_usd is not None
    assert profile.caps.per_day_usd is not None
    assert profile.caps.per_month_usd is not None
    cap = nano_from_usd(profile.caps.per_call_usd)
    for arm in profile.arms:
        price = table.price(arm)
        assert price is not None
        assert price.bound_nano(4000, table.output_limit(arm)) <= cap


@pytest.mark.parametrize("name", ["openai", "anthropic", "google", "openrouter"])
def test_dearer_tiers_cost_more(load, table, name):
    arms = load(name).profile.arms
    assert [arm.tier for arm in arms] == ["small", "medium", "large"]
    costs = [table.price(arm).expected_nano(1000, 1000) for arm in arms]
    assert costs == sorted(costs)
    assert load(name).profile.default.tier == "large"


@pytest.mark.parametrize("name", ["local", "ollama"])
def test_what_runs_here_is_free_and_says_so(load, table, name):
    for arm in load(name).profile.arms:
        price = table.price(arm)
        assert price is not None
        assert price.free
        assert price.source == "profile"
        assert {"local", "private"} <= set(arm.tags)
        assert arm.context_window is not None


def test_openrouter_states_the_makers_prices(load, table):
    makers = {"openai": "openai", "google": "gemini"}
    for arm in load("openrouter").profile.arms:
        _, maker, model = arm.model.split("/")
        assert table.entry(arm.model) is None, "the table has a price now: the profile need not state one"
        theirs = table.entry(f"{makers[maker]}/{model}")
        assert theirs is not None
        price = table.price(arm)
        assert price.input == theirs["input_cost_per_token"] * 10**9
        assert price.output == theirs["output_cost_per_token"] * 10**9
        assert price.cache_read == theirs["cache_read_input_token_cost"] * 10**9
        thresholds = [int(key.split("_above_")[1].split("k")[0]) * 1000 for key in theirs if key.startswith("input_cost_per_token_above_") and key.endswith("k_tokens")]  # fmt: skip
        assert arm.context_window is not None
        assert all(arm.context_window <= threshold for threshold in thresholds)
        assert price.cost_nano(Usage(1, 0)) <= Decimal(theirs["input_cost_per_token"]) * 10**9 + 1
