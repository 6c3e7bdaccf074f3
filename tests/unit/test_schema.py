"""The types of a profile, and the errors of one that is wrong."""

import tomllib
from decimal import Decimal

import pytest

from scrimp.profiles.building import build, build_profile, dotted
from scrimp.profiles.errors import ConfigError
from scrimp.profiles.schema import NAME_PATTERN, PARAMS, Arm, Caps, Policy, Price, did_you_mean


def at(path):
    return "work.toml:7"


def profile(text):
    table = tomllib.loads(text, parse_float=Decimal)
    table.setdefault("name", "work")
    table["arms"] = {arm.pop("name"): arm for arm in table.get("arms", [])}
    return build_profile(table, at)


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        profile(text)
    return caught.value


ARM = '[[arms]]\nname = "small"\nmodel = "openai/gpt-5-mini"\n'


def test_defaults_are_filled_in():
    made = profile(ARM)
    assert made.caps == Caps()
    assert made.policy.wtp == pytest.approx(0.1)
    assert made.policy.explore == 0.02
    assert made.log.keep == "all"
    assert made.log.retention_days == 365
    assert made.default_arm == "small"
    assert made.default is made.arms[0]
    assert made.embedding.model == "builtin"
    arm = made.arm("small")
    assert (arm.timeout_s, arm.params, arm.tags, arm.price, arm.provider) == (120.0, {}, (), None, "openai")


def test_the_whole_contract():
    made = profile(
        """
        name = "work"
        extends = "openai"
        default_arm = "strong"
        [caps]
        per_call_usd = 0.05
        per_run_usd = 1
        per_day_usd = 2.00
        per_month_usd = 20.00
        timezone = "Europe/Paris"
        [policy]
        mode = "route"
        wtp_usd = 0.25
        min_quality = 0.5
        explore = 0.0
        pace = "off"
        [log]
        keep = "features"
        retention_days = 30
        [embedding]
        model = "builtin"
        [[arms]]
        name = "small"
        model = "openai/gpt-5-mini"
        api_base = "http://127.0.0.1:8000/v1"
        key_env = "OPENAI_API_KEY"
        max_output_tokens = 1024
        reasoning_effort = "low"
        tier = "small"
        tags = ["json", "tools"]
        price = { input_usd_per_mtok = 0.25, output_usd_per_mtok = 2.00 }
        limits = { rpm = 500, tpm = 200000, concurrency = 16 }
        cap = { per_day_usd = 1.00 }
        params = { temperature = 0.0, stop = ["a"], thinking = { budget_tokens = 1024 } }
        timeout_s = 30
        context_window = 128000
        [[arms]]
        name = "strong"
        model = "gpt-5"
        key_cmd = ["pass", "show", "openai"]
        [checks.tests]
        cmd = ["pytest", "-q", "{file}"]
        """
    )
    small, strong = made.arms
    assert made.caps.per_call_usd == Decimal("0.05")
    assert made.caps.per_run_usd == Decimal(1)
    assert made.policy.wtp == 0.25
    assert made.default_arm == "strong"
    assert small.price == Price(input_usd_per_mtok=Decimal("0.25"), output_usd_per_mtok=Decimal("2.00"))
    assert small.limits.concurrency == 16
    assert small.cap is not None
    assert small.cap.per_day_usd == 1
    assert small.params == {"temperature": 0.0, "stop": ["a"], "thinking": {"budget_tokens": 1024}}
    assert all(not isinstance(value, Decimal) for value in small.params.values())
    assert strong.key_cmd == ("pass", "show", "openai")
    assert strong.provider == ""
    assert made.checks["tests"].cmd == ("pytest", "-q", "{file}")


@pytest.mark.parametrize(
    ("arm", "limit"),
    [
        ({}, 4096),
        ({"reasoning_effort": "low"}, 16_384),
        ({"reasoning_effort": "none"}, 4096),
        ({"reasoning_effort": "high", "max_output_tokens": 100}, 100),
    ],
)
def test_output_limit(arm, limit):
    assert Arm(name="a", model="m", **arm).output_limit == limit


@pytest.mark.parametrize(("prefer", "wtp"), [("cheap", 0.01), ("balanced", 0.1), ("best", 1.0)])
def test_presets(prefer, wtp):
    assert Policy(prefer=prefer).wtp == wtp


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[caps]\nper_day_usd = -1", "caps.per_day_usd: expected an amount in USD, 0 or more, got -1"),
        ("[caps]\nper_day_usd = '2'", "caps.per_day_usd: expected an amount in USD, 0 or more, got '2'"),
        ("[caps]\nper_day_usd = true", "caps.per_day_usd: expected an amount in USD, 0 or more, got true"),
        ("[caps]\nper_day_usd = nan", "caps.per_day_usd: expected an amount in USD, 0 or more, got NaN"),
        ("[caps]\nper_day_usd = inf", "caps.per_day_usd: expected an amount in USD, 0 or more, got Infinity"),
        ("[caps]\nper_day_usd = 1e300", "caps.per_day_usd: expected an amount in USD, 0 or more, got 1E+300"),
        ("[caps]\nper_week_usd = 1", "caps.per_week_usd: no such cap"),
        ("[caps]\nper_dya_usd = 1", "caps.per_dya_usd: no such cap (did you mean 'per_day_usd'?)"),
        ("[caps]\ntimezone = 'Mars/Olympus'", 'caps.timezone: expected "local" or a zone such as'),
        ("[caps]\ntimezone = '../../etc/passwd'", "caps.timezone: expected"),
        ("caps = 5", "caps: expected a table, got 5"),
        (
            "[policy]\nprefer = 'chaep'",
            "policy.prefer: expected cheap, balanced or best, got 'chaep' (did you mean 'cheap'?)",
        ),
        ("[policy]\nprefer = 'best'\nwtp_usd = 1", "policy.wtp_usd and policy.prefer say the same thing twice"),
        ("[policy]\nmin_quality = 1.5", "policy.min_quality: expected a number from 0 to 1, got 1.5"),
        ("[policy]\nmin_quality = nan", "policy.min_quality: expected a number from 0 to 1"),
        ("[policy]\nexplore = 0.6", "policy.explore: expected a number from 0 to 0.5, got 0.6"),
        ("[policy]\npace = 'week'", "policy.pace: expected off or month, got 'week'"),
        ("[policy]\npase = 'off'", "policy.pase: unknown key (did you mean 'pace'?)"),
        ("[log]\nkeep = 'some'", "log.keep: expected all, features or money, got 'some'"),
        ("[log]\nretention_days = 0", "log.retention_days: expected a number of days, 1 or more, got 0"),
        ("default_arm = 'smal'", "default_arm: no arm is called 'smal' (did you mean 'small'?)"),
        ("defualt_arm = 'small'", "defualt_arm: unknown key (did you mean 'default_arm'?)"),
        ("[checks.x]\ncmd = 'pytest'", "checks.x.cmd: expected a list of words"),
        ("[checks.x]\ncmd = []", "checks.x.cmd: expected a list of words"),
        ("[checks.x]\n", "checks.x: give cmd or spec, one of the two"),
        ("[checks.'a b']\ncmd = ['x']", "checks.a b: expected a name"),
        ("[checks]\nx = 1", "checks.x: expected a table, got 1"),
    ],
)
def test_what_is_wrong_with_a_profile(text, message):
    error = refusal(f"{text}\n{ARM}")
    assert error.message.startswith("work.toml:7: ")
    assert message in error.message
    assert error.exit_code == 78


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_output_tokens = 0", 'arm "small": max_output_tokens: expected a whole number, 1 or more, got 0'),
        ("max_output_tokens = 1.5", 'arm "small": max_output_tokens: expected a whole number, 1 or more, got 1.5'),
        ("max_output_tokens = true", 'arm "small": max_output_tokens: expected a whole number, 1 or more, got true'),
        ("max_ouput_tokens = 5", "max_ouput_tokens: unknown key (did you mean 'max_output_tokens'?)"),
        ("max_tokens = 5", "max_tokens: unknown key"),
        ("tier = 'huge'", "tier: expected small, medium or large, got 'huge'"),
        ("reasoning_effort = 'hi'", "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max"),
        ("tags = 'json'", "tags: expected a list of lower-case words"),
        ("tags = ['a', 'a']", "tags: a tag stands there twice"),
        ("tags = ['No Good']", "tags: expected a list of lower-case words"),
        ("key_env = 'A'\nkey_cmd = ['b']", "key_cmd: an arm takes key_env or key_cmd, not both"),
        ("price = { input_usd_per_mtok = 1 }", "price.output_usd_per_mtok is missing: expected an amount in USD"),
        ("price = 1", "price: expected a table, got 1"),
        ("cap = { per_run_usd = 1 }", "cap.per_run_usd: no such cap"),
        ("cap = { timezone = 'local' }", "cap.timezone: no such cap"),
        ("limits = { rmp = 1 }", "limits.rmp: unknown key (did you mean 'rpm'?)"),
        ("timeout_s = 0", "timeout_s: expected a number of seconds above 0, got 0"),
        (
            "params = { temprature = 1 }",
            "params.temprature: not a parameter a profile may pass on (did you mean 'temperature'?)",
        ),
        ("params = { temperature = 'hot' }", "params.temperature: expected a number, got 'hot'"),
        ("params = { temperature = true }", "params.temperature: expected a number, got true"),
        ("params = { temperature = nan }", "params.temperature: expected a number, got NaN"),
        ("params = { stop = [1] }", "params.stop: expected text or a list of texts"),
        ("params = { user = 1 }", "params.user: expected text, got 1"),
        ("params = { thinking = 1 }", "params.thinking: expected a table, got 1"),
        ("params = []", "params: expected a table, got a list"),
    ],
)
def test_what_is_wrong_with_an_arm(line, message):
    assert message in refusal(ARM + line).message


@pytest.mark.parametrize(
    "parameter",
    ["api_key", "api_base", "base_url", "extra_headers", "extra_body", "model", "max_tokens", "n", "service_tier",
     "num_retries", "fallbacks", "web_search_options", "tools", "mock_response", "custom_llm_provider"],
)  # fmt: skip
def test_parameters_that_change_price_or_destination_are_refused(parameter):
    assert parameter not in PARAMS
    error = refusal(f"{ARM}params = {{ {parameter} = 1 }}")
    assert "not a parameter a profile may pass on" in error.message
    assert error.hint is not None
    assert "what a call costs or where it goes" in error.hint


@pytest.mark.parametrize(
    "base",
    [
        "ftp://x",
        "https://user:pw@host/v1",
        "http://host?key=1",
        "//host",
        "http://",
        "http://h\nx",
        "https://host/v1\n",
    ],
)
def test_addresses_that_are_refused(base):
    with pytest.raises(ConfigError, match="expected an http:// or https:// address"):
        build(Arm, {"name": "a", "model": "m", "api_base": base}, at)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8000/v1", "https://[::1]:8000", "https://host/v1/"])
def test_addresses_that_are_taken(base):
    assert build(Arm, {"name": "a", "model": "m", "api_base": base}, at).api_base == base


@pytest.mark.parametrize("field", ["key_env", "key_cmd", "api_base", "api_key"])
def test_a_key_pasted_into_a_profile_is_never_repeated(field):
    error = refusal(f'{ARM}{field} = "sk-proj-canary-123"')
    assert "canary" not in error.message + str(error.hint)
    assert field in error.message


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a:b", "a b", "ä", "a" * 65, "a\n", "../x"])
def test_names_that_are_refused(name):
    assert not NAME_PATTERN.fullmatch(name)
    with pytest.raises(ConfigError, match="expected a name"):
        build(Arm, {"name": name, "model": "m"}, at)


def test_no_arms():
    error = refusal("")
    assert "this profile has no arms" in error.message


def test_the_default_arm_is_the_most_capable():
    tiers = profile(
        f'{ARM}tier = "small"\n[[arms]]\nname = "l"\nmodel = "m"\ntier = "large"\n[[arms]]\nname = "x"\nmodel = "m"'
    )
    assert tiers.default_arm == "l"
    prices = profile(
        f"{ARM}price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 1 }}\n"
        '[[arms]]\nname = "dear"\nmodel = "m"\nprice = { input_usd_per_mtok = 1, output_usd_per_mtok = 9 }'
    )
    assert prices.default_arm == "dear"


def test_not_a_table():
    with pytest.raises(ConfigError, match=r'arm "x": expected a table, got 3'):
        build_profile({"name": "work", "arms": {"x": 3}}, at)


def test_an_unknown_arm():
    with pytest.raises(KeyError):
        profile(ARM).arm("large")


def test_did_you_mean():
    assert did_you_mean("smal", ["small", "large"]) == " (did you mean 'small'?)"
    assert did_you_mean("zzz", ["small"]) == ""


def test_dotted():
    assert dotted(("arms", "small")) == 'arm "small"'
    assert dotted(("arms",)) == "arms"
    assert dotted(()) == ""


def test_long_values_are_cut():
    message = refusal(f'{ARM}tier = "{"x" * 500}"').message
    assert len(message) < 200
