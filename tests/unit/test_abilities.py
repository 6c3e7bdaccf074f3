"""Where models stand: the shipped table, and what places the models it does not know."""

import json
from collections import defaultdict
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.errors import DataError
from scrimp.profiles.load import BUILT_IN, load_profile
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import Arm, Effort
from scrimp.routing.deciding.options import know_arm
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.router.abilities import (
    AbilityTable,
    Known,
    check_table,
    effort_tokens,
    place_arm,
    shipped_table,
    version_year,
)
from scrimp.routing.router.in_force import shipped_folder
from scrimp.routing.router.model_names import parse_name

FILE = shipped_folder().parent / "abilities.json"


@pytest.fixture(scope="module")
def table():
    return shipped_table()


@pytest.fixture(scope="module")
def prices():
    return PriceTable.load()


@pytest.fixture
def arms(tmp_path, prices):
    def of(profile):
        loaded = load_profile(profile, env={}, cwd=tmp_path, paths=paths({"SCRIMP_HOME": str(tmp_path)}))
        return [know_arm(arm, prices).info for arm in loaded.profile.arms]

    return of


def test_the_shipped_table_is_whole(table):
    assert len(table) > 600
    assert FILE.stat().st_size < 60_000
    assert table.place("openai/gpt-4o-mini-2024-07-18").ability == 0.0
    for placed in dict(table.items()).values():
        assert -8.0 < placed.low < placed.ability < placed.high < 8.0
        assert placed.basis.endswith(("benchmark", "benchmarks"))
    abilities = [placed.ability for _, placed in table.items()]
    assert abilities == sorted(abilities, reverse=True)
    for source in table.sources:
        assert source["licence"]
        assert source["commit"]
        assert source["repository"] in (FILE.parents[2] / "NOTICE").read_text()


@pytest.mark.parametrize(
    "ascending",
    [
        ("gpt-3.5-turbo", "gpt-4o-mini", "gpt-4o", "o3-mini", "o3", "gpt-5"),
        ("claude-3-haiku-20240307", "claude-3-5-sonnet-20241022", "claude-sonnet-4-20250514", "claude-sonnet-4-5"),
        ("llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b"),
        ("gemini/gemini-1.5-flash", "gemini/gemini-2.0-flash", "gemini/gemini-2.5-flash", "gemini/gemini-2.5-pro"),
    ],
)
def test_what_everybody_knows_of_models(table, ascending):
    places = [table.place(model) for model in ascending]
    assert all("benchmark" in placed.basis for placed in places)
    assert all(a.ability < b.ability for a, b in pairwise(places))


@pytest.mark.parametrize("name", BUILT_IN)
def test_of_one_maker_the_dearer_tier_is_the_abler(table, arms, name):
    by_maker = defaultdict(list)
    for arm in arms(name):
        by_maker[parse_name(arm.model).maker].append(
            (("small", "medium", "large").index(arm.tier), place_arm(table, arm))
        )
    for places in by_maker.values():
        for (_, a), (_, b) in pairwise(sorted(places, key=lambda each: each[0])):
            assert a.ability < b.ability


def test_the_local_model_is_far_below_every_hosted_one(table, arms):
    (local,) = (place_arm(table, arm) for arm in arms("local"))
    hosted = [place_arm(table, arm) for name in ("openai", "anthropic", "google", "openrouter") for arm in arms(name)]
    assert local.high < min(placed.low for placed in hosted) - 2.0


@pytest.mark.parametrize(
    ("older", "newer", "price"),
    [
        ("anthropic/claude-haiku-4-5", "anthropic/claude-haiku-5-5", 0.5), ("claude-opus-4-5", "claude-opus-5", 25.0),
        ("claude-opus-5", "claude-opus-5-5", 20.0), ("gpt-5.4-nano", "gpt-6-luna", 0.5), ("gpt-5", "gpt-7", 10.0),
        ("gemini/gemini-3-flash-preview", "gemini/gemini-3.8-flash", 3.75), ("xai/grok-4", "xai/grok-4.7", 6.0),
        ("gemini/gemini-3-pro-preview", "gemini/gemini-4-argon", 10.0), ("qwen3-8b", "qwen4-8b", 0.2),
    ],
)  # fmt: skip
def test_a_newer_version_is_not_below_the_older_one(table, older, newer, price):
    before = table.place(older, output_usd_per_mtok=price)
    after = table.place(newer, output_usd_per_mtok=price)
    assert "benchmark" not in after.basis
    assert after.ability >= before.ability
    assert after.sd >= 0.3


def test_it_says_what_it_rests_on(table):
    assert table.place("claude-haiku-4-5").basis == "21 benchmarks"
    assert table.place("claude-haiku-5-5").basis == "follows claude-haiku-4.5"
    assert table.place("acme-8b-instruct").basis == "its size, 8B"
    assert table.place("acme-350m").basis == "its size, 350M"
    assert table.place("acme-chat", output_usd_per_mtok=3.0, tier="medium").basis == "its price and tier"
    assert table.place("acme-chat", tier="medium").basis == "its tier"
    assert table.place("acme-chat").basis == "its name"
    assert table.place("o3-mini", effort="high").basis.endswith("effort high")


def test_the_less_is_known_the_wider_the_interval(table):
    known = table.place("gpt-4o")
    follows = table.place("claude-haiku-5-5")
    priced = table.place("acme-chat", output_usd_per_mtok=3.0)
    nothing = table.place("acme-chat")
    assert known.sd < follows.sd < priced.sd < nothing.sd
    assert known.high - known.low == pytest.approx(2 * 1.2816 * known.sd)


def test_more_parameters_a_higher_price_and_tier_say_more(table):
    sizes = [table.place(f"acme-{size}").ability for size in ("135m", "1b", "8b", "32b", "70b", "400b")]
    assert sizes == sorted(sizes)
    assert sizes[-1] - sizes[0] > 2.0
    for of in (
        [table.place("acme-chat", output_usd_per_mtok=usd).ability for usd in (0.1, 1.0, 10.0, 100.0)],
        [table.place("acme-chat", tier=tier).ability for tier in ("small", "medium", "large")],
    ):
        assert of == sorted(set(of))


@pytest.mark.parametrize(
    "model", ["o3", "gpt-5.1", "claude-sonnet-4-5", "claude-haiku-5-5", "gemini/gemini-2.5-pro", "x"]
)
def test_more_effort_is_more_able_and_writes_more(table, model):
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    abilities = [table.place(model, effort=effort, reasoning=True).ability for effort in efforts]
    assert abilities == sorted(abilities)
    assert abilities[0] < abilities[2] < abilities[3] < abilities[4]
    tokens = [effort_tokens(effort) for effort in efforts]
    assert tokens == sorted(tokens)
    assert [effort_tokens(effort) for effort in (None, "none", "low", "medium", "high")] == [1, 1, 2, 6, 12]


def test_every_effort_of_a_profile_has_its_tokens_and_place(table):
    for effort in get_args(Effort):
        assert effort_tokens(effort) >= 1.0
        table.place("gpt-5", effort=effort)


def test_an_effort_in_the_name_counts(table):
    assert table.place("o3-mini-high").ability > table.place("o3-mini").ability > table.place("o3-mini-low").ability


def test_a_date_is_guessed_from_the_version():
    released = {"acme-gpt": 2020.0, "gpt-4": 2023.2, "gpt-5": 2025.6, "gpt-5-mini": 2025.7, "claude-opus-9": 2030.0}
    assert version_year(parse_name("gpt-5-nano"), released) == 2025.6
    assert version_year(parse_name("gpt-4.5"), released) == pytest.approx((2023.2 + 2025.6) / 2)
    assert version_year(parse_name("gpt-6"), released) > 2025.6
    assert version_year(parse_name("gpt-3"), released) < 2023.2
    assert version_year(parse_name("gpt"), released) is None


def test_rows_of_ones_own_win(table):
    own = {"anthropic/claude-haiku-5-5": Known(1.5, 0.1, None, 0, None), "gpt-4o": Known(-1.0, 0.2, None, 0, None)}
    mine = table.with_own(own, "mine")
    assert mine.place("claude-haiku-5-5") == mine.place("openrouter/anthropic/claude-haiku-5.5")
    assert mine.place("claude-haiku-5-5").ability == 1.5
    assert mine.place("gpt-4o").basis == "your own table"
    assert mine.place("gpt-4o-mini") == table.place("gpt-4o-mini")
    listed = dict(mine.items())
    assert listed["gpt-4o"].ability == -1.0
    assert len(listed) == len(table) + 1


@given(
    st.text(max_size=60) | st.text("claudegptgeminix0123456789.-:@/bm", max_size=200),
    st.none() | st.floats(),
    st.sampled_from([None, "small", "medium", "large"]),
    st.none() | st.sampled_from(["none", "low", "xhigh", "odd"]),
    st.booleans(),
)
def test_any_name_has_a_place(model, price, tier, effort, reasoning):
    placed = shipped_table().place(model, output_usd_per_mtok=price, tier=tier, effort=effort, reasoning=reasoning)
    assert -10.0 < placed.low < placed.ability < placed.high < 10.0
    assert placed.basis


def broken(change):
    data = json.loads(FILE.read_bytes())
    change(data)
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "t.json: not JSON"),
        (b"[]", "schema_version"),
        (broken(lambda d: d.update(schema_version=2)), "schema_version 1"),
        (broken(lambda d: d.pop("place")), "t.json: place: expected an object"),
        (broken(lambda d: d["models"]["openai"].update(x=[1, 2])), "t.json: models.openai.x: expected a list"),
        (broken(lambda d: d["models"]["openai"].update(x=["1", 2, 3, 4, 5, 0])), "models.openai.x: ability: expected a number"),
        (broken(lambda d: d["models"]["openai"].update(x=[1, 0, 3, 4, 5, 0])), "models.openai.x: sd: expected more than 0"),
        (broken(lambda d: d["place"]["sd"].pop("near")), "place.sd: no near"),
        (broken(lambda d: d["place"]["coefficients"].update(year=None)), "place.coefficients: year: expected a number, got null"),
        (broken(lambda d: d["place"].update(newest=True)), "place: newest"),
    ],
)  # fmt: skip
def test_a_damaged_table_says_where(data, said):
    with pytest.raises(DataError) as caught:
        check_table(data, "t.json")
    assert said in caught.value.message


def test_a_file_in_the_shipped_form_is_read(tmp_path, table):
    path = tmp_path / "t.json"
    path.write_bytes(FILE.read_bytes())
    assert dict(AbilityTable.of_file(path).items()) == dict(table.items())


def test_a_name_without_a_date_is_the_newest_dated_model(table):
    assert table.place("mistral/mistral-large-latest") == table.place("mistral-large-2411")
    assert table.place("gpt-3.5-turbo") == table.place("gpt-3.5-turbo-0125")
    assert table.place("mixtral-8x22b-instruct") == table.place("mixtral-8x22b-instruct-v0.1")


def test_what_does_not_reason_is_below_what_does(table):
    assert table.place("xai/grok-4.20-non-reasoning").ability < table.place("xai/grok-4.20-reasoning").ability


def test_todays_dearest_have_a_sensible_place(table, prices):
    """Dear models newer than any score: able, and not far above the ablest known."""
    ablest = max(placed.ability for _, placed in table.items())
    for model in (
        "gpt-6-astra",
        "claude-mythos-5",
        "gpt-5.5-pro",
        "gemini/gemini-4-argon",
        "xai/grok-4.7",
        "dashscope/qwen3-max",
    ):
        placed = place_arm(table, know_arm(Arm(name="x", model=model), prices).info)
        assert 1.0 < placed.ability < ablest + 1.0
    assert "benchmark" in table.place("databricks/databricks-claude-haiku-4-5").basis
