"""What stands in the way of a profile's arms, and the models that would take their place."""

import json
from datetime import date

import pytest

from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import Arm
from scrimp.routing.prices.successors import Candidate, successor
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.reports.profile_check import check_profile

TODAY = date(2026, 11, 22)


def priced(provider, cost, end=None, **more):
    entry = {
        "litellm_provider": provider,
        "mode": "chat",
        "input_cost_per_token": cost,
        "output_cost_per_token": cost,
        **more,
    }
    return entry if end is None else {**entry, "deprecation_date": end}


TABLE = PriceTable(
    json.dumps(
        {
            "gpt-5-mini": priced("openai", 1e-6),
            "gpt-5-mini-2025-08-07": priced("openai", 1e-6, "2026-12-11"),
            "gpt-5.4-mini": priced("openai", 2e-6, max_output_tokens=1000),
            "gpt-4": priced("openai", 3e-5, "2026-10-23"),
            "gpt-6-sol": priced("openai", 2e-5),
            "later-1": priced("openai", 2e-5, "2027-06-01"),
            "odd-1": priced("openai", 2e-5, "some day"),
            "free-1": {
                "litellm_provider": "openai",
                "mode": "chat",
                "input_cost_per_token": 0,
                "output_cost_per_token": 0,
            },
            "claude-sonnet-4-5": priced("anthropic", 3e-6, "2026-11-22"),
            "claude-sonnet-5-5": priced("anthropic", 2e-6),
        }
    ).encode(),
    "9",
)


@pytest.fixture
def check(tmp_path):
    home = paths({"SCRIMP_HOME": str(tmp_path)})

    def do(text, **env):
        (tmp_path / "work.toml").write_text(text)
        loaded = load_profile("./work.toml", env={}, cwd=tmp_path, paths=home)
        return check_profile(
            loaded, TABLE, Keys(env or {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, home), today=TODAY
        )

    return do


def arm(model, more=""):
    return f'[[arms]]\nname = "a"\nmodel = "{model}"\ntier = "small"\n{more}\n[caps]\nper_day_usd = 1\n'


def test_nothing_to_say(check):
    assert check(arm("openai/gpt-5-mini")) == ()


@pytest.mark.parametrize(
    ("model", "level", "message", "fix"),
    [
        ("openai/gpt-5-mini-2025-08-07", "warning", "will be withdrawn on 2026-12-11", "openai/gpt-5.4-mini"),
        ("openai/gpt-4", "error", "was withdrawn on 2026-10-23", "openai/gpt-6-sol"),
        ("anthropic/claude-sonnet-4-5", "error", "was withdrawn on 2026-11-22", "anthropic/claude-sonnet-5-5"),
        ("openai/later-1", "note", "is to be withdrawn on 2027-06-01", None),
        ("openai/gpt-5-mni", "error", "is not in the price table of litellm 9", "openai/gpt-5-mini"),
        ("openai/free-1", "error", "has no price in the table", "state a price (0 is allowed)"),
    ],
)
def test_models(check, model, level, message, fix):
    finding = check(arm(model))[0]
    assert finding.level == level
    assert finding.where == 'arm "a"'
    assert message in finding.message
    assert fix is None or fix in finding.fix


def test_a_date_that_is_none_is_passed_over(check):
    assert check(arm("openai/odd-1")) == ()


def test_an_unusable_default_arm(check):
    findings = check(arm("openai/gpt-4"))
    assert [finding.where for finding in findings] == ['arm "a"', "default_arm"]


def test_a_missing_key(check):
    findings = check(arm("openai/gpt-5-mini"), NOTHING="x")
    assert findings[0].message == "no key: OPENAI_API_KEY is not set"
    assert findings[0].fix == "scrimp keys set OPENAI_API_KEY"


def test_a_stated_price_settles_it(check):
    price = "price = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }"
    assert check(arm("openai/nothing-known", price)) == ()


@pytest.mark.parametrize(
    ("base", "warned"),
    [
        ("http://models.example/v1", True),
        ("https://models.example/v1", False),
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]:8000", False),
        ("http://127.evil.example", True),
        ("http://127.0.0.2", False),
    ],
)
def test_keys_in_the_open(check, base, warned):
    findings = check(arm("openai/gpt-5-mini", f'api_base = "{base}"\nkey_env = "K"'), K="k")
    assert any("unencrypted" in finding.message for finding in findings) == warned


def test_a_limit_the_model_cannot_reach(check):
    assert "produces 1000 at most" in check(arm("openai/gpt-5.4-mini", "max_output_tokens = 2000"))[0].message


def test_no_caps(check):
    findings = check('[[arms]]\nname = "a"\nmodel = "openai/gpt-5-mini"\n')
    assert findings[-1].where == "caps"


def test_nothing_is_worth_anything(check):
    assert check(arm("openai/gpt-5-mini", "[policy]\nwtp_usd = 0"))[0].where == "policy"


def candidates(*models):
    return [Candidate(model, leaving=False, cost=1.0) for model in models]


@pytest.mark.parametrize(
    ("model", "others", "expected"),
    [
        ("p/gpt-5-mini-2025-08-07", ["p/gpt-5-mini", "p/gpt-5.4-mini", "p/gpt-6"], "p/gpt-5.4-mini"),
        ("p/gpt-5.4-mini", ["p/gpt-5-mini"], "p/gpt-5-mini"),  # nothing newer: spelt almost alike
        ("p/claude-haiku-4-5-20251001", ["p/claude-haiku-5-5", "p/claude-opus-5-5"], "p/claude-haiku-5-5"),
        ("p/gemini-2.5-pro-preview", ["p/gemini-2.5-pro", "p/gemini-2.5-pro-2026-01-01"], "p/gemini-2.5-pro"),
        ("p/unlike-anything", ["p/gpt-6"], None),
        ("p/x", [], None),
    ],
)
def test_successors(model, others, expected):
    assert successor(model, None, candidates(*others)) == expected


def test_the_nearest_price_is_the_last_resort():
    others = [Candidate("p/a", leaving=False, cost=1.0), Candidate("p/b", leaving=False, cost=10.0)]
    assert successor("p/zzzzz", 8.0, others) == "p/b"
    assert successor("p/zzzzz", 1.5, others) == "p/a"
    assert successor("p/zzzzz", 0.0, others) is None


def test_a_model_that_leaves_is_no_successor():
    assert successor("p/gpt-5", 1.0, [Candidate("p/gpt-6", leaving=True, cost=1.0)]) is None


def test_the_installed_table_names_successors():
    table = PriceTable.load()
    for model in ("openai/gpt-4", "anthropic/claude-sonnet-4-5", "openai/gpt-5-mini-2025-08-07"):
        info = table.model_info(Arm(name="a", model=model))
        if info.known and info.deprecation_date:
            assert info.successor is not None
            after = table.model_info(Arm(name="a", model=info.successor))
            assert after.known
            assert after.deprecation_date is None
    assert table.model_info(Arm(name="a", model="local/smollm2")).successor is None
