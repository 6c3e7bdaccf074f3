"""The profiles that come with scrimp name models that are sold, at prices that are known."""

from datetime import date
from decimal import Decimal

import pytest

from scrimp.profiles.keys import Keys
from scrimp.profiles.load import BUILT_IN, load_profile
from scrimp.profiles.money import nano_from_usd
from scrimp.profiles.paths import paths
from scrimp.profiles.providers import KEYS_OF, OTHERS, variable_of
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage
from scrimp.routing.reports.profile_check import check_profile

CHECKED_ON = date(2026, 11, 30)
KEYS = {names[0]: "k" for names in (*KEYS_OF.values(), ("AZURE_API_KEY",))}
SERVERS = {
    "lmstudio": ("lm_studio", "http://127.0.0.1:1234/v1"),
    "llamacpp": ("openai", "http://127.0.0.1:8080/v1"),
    "vllm": ("hosted_vllm", "http://127.0.0.1:8000/v1"),
}
PLACELESS = {
    "azure": "azure has no address of its own: the arm needs an api_base (and a key_env, if it takes a key)"
} | {
    name: f"no server on this machine answers at {address}/models: start it, or name the model"
    for name, (_, address) in SERVERS.items()
}
"""What only the user can add: an address, or a server that runs."""


@pytest.fixture(scope="module")
def table():
    return PriceTable.load()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a built-in profile where no server runs, whatever this machine runs."""
    monkeypatch.setattr("scrimp.profiles.served.ask_server", lambda *_: ())

    def do(name):
        return load_profile(name, env={}, cwd=tmp_path, paths=paths({"SCRIMP_HOME": str(tmp_path)}))

    return do


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_arm_can_be_used(load, table, tmp_path, name):
    loaded = load(name)
    keys = Keys(KEYS, paths({"SCRIMP_HOME": str(tmp_path)}))
    findings = check_profile(loaded, table, keys, today=CHECKED_ON)
    wrong = [finding.message for finding in findings if finding.level != "note" and finding.where != "default_arm"]
    assert wrong == [PLACELESS[name] for _ in loaded.profile.arms if name in PLACELESS]
    for arm in loaded.profile.arms:
        assert arm.tier is not None
        info = table.model_info(arm)
        if info.deprecation_date is not None:
            assert date.fromisoformat(info.deprecation_date) > CHECKED_ON


PRICED = [*(name for name in KEYS_OF if name != "openrouter"), "azure", "mixed"]


@pytest.mark.parametrize("name", PRICED)
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


@pytest.mark.parametrize("name", [*KEYS_OF, "azure"])
def test_dearer_tiers_cost_more(load, table, name):
    arms = load(name).profile.arms
    tiers = [arm.tier for arm in arms]
    assert tiers == sorted(set(tiers), key=("small", "medium", "large").index)
    assert len(tiers) >= 2
    assert [arm.name for arm in arms] == tiers
    costs = [table.price(arm).expected_nano(1000, 1000) for arm in arms]
    assert costs == sorted(costs)
    assert load(name).profile.default.tier == "large"


@pytest.mark.parametrize("name", ["local", "ollama", *SERVERS])
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


@pytest.mark.parametrize("name", SERVERS)
def test_servers_of_this_machine_stand_at_their_own_addresses(load, name):
    (arm,) = load(name).profile.arms
    assert (arm.provider, arm.api_base) == SERVERS[name]
    assert arm.model.endswith("/*")


def test_every_profile_is_told_of_once():
    """What a key picks, what needs more than a key, what runs here, and `mixed`."""
    assert set(BUILT_IN) == {*KEYS_OF, "azure", "local", "ollama", *SERVERS, "mixed"}
    assert len(set(BUILT_IN)) == len(BUILT_IN)


def test_other_providers_have_models_with_a_price(table):
    for variable, provider in OTHERS.items():
        assert variable_of(provider) in {name for name, each in OTHERS.items() if each == provider}
        assert any(table.entry(model) for model in _some_models(table, provider)), (variable, provider)


def _some_models(table, provider):
    import json

    return [
        name
        for name, entry in json.loads(table._data).items()
        if isinstance(entry, dict)
        and str(entry.get("litellm_provider", "")).startswith(provider)
        and entry.get("output_cost_per_token")
    ]
