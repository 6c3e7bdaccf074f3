"""Profiles from files: layers, errors with their places, the project's own file, and the choice when nobody chose."""

import os
import stat
import tomllib
from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from homes import cwd, home, load, write  # noqa: F401 - fixtures
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.profiles.choice import use_profile
from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.layers import read_toml
from scrimp.profiles.load import (
    BUILT_IN,
    init_profile,
    list_profiles,
    load_profile,
    override,
    profile_path,
    to_toml,
)
from scrimp.profiles.paths import paths
from scrimp.profiles.schema import (
    Alerts,
    Arm,
    ArmCaps,
    Caps,
    Check,
    Embedding,
    Guard,
    Log,
    Otel,
    Policy,
    Profile,
    Resident,
)
from scrimp.profiles.within import RULES


@pytest.fixture
def project(cwd):
    def do(text):
        file = cwd / ".scrimp.toml"
        file.write_text(text)
        return file

    return do


ARM = '[[arms]]\nname = "small"\nmodel = "openai/gpt-5-mini"\n'


# --- files and layers


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_profiles_load(load, name):
    loaded = load(name)
    assert loaded.profile.name == name
    assert loaded.chosen_by == "--profile"
    assert loaded.notes == ()
    assert loaded.profile.caps.per_day_usd is not None
    assert set(loaded.origin.values()) == {f"built-in {name}.toml", "default"}


def test_a_child_overrides_key_by_key(load, write):
    write(
        "work",
        'extends = "openai"\n[caps]\nper_day_usd = 2.5\n[[arms]]\nname = "small"\nmax_output_tokens = 7\n'
        '[[arms]]\nname = "own"\nmodel = "openai/gpt-5"\n',
    )
    loaded = load("work")
    made = loaded.profile
    assert made.name == "work"
    assert made.extends == "openai"
    assert made.default_arm == "large"
    assert [arm.name for arm in made.arms] == ["small", "medium", "large", "own"]
    assert made.arm("small").max_output_tokens == 7
    assert made.arm("small").model == load("openai").profile.arm("small").model
    assert made.arm("small").tags
    assert made.caps.per_day_usd == Decimal("2.5")
    assert made.caps.per_call_usd == load("openai").profile.caps.per_call_usd
    assert loaded.origin["caps.per_day_usd"] == "user file work.toml"
    assert loaded.origin["caps.per_call_usd"] == "built-in openai.toml"
    assert loaded.origin["caps.timezone"] == "default"
    assert loaded.origin["arms.small.max_output_tokens"] == "user file work.toml"
    assert loaded.origin["arms.small.model"] == "built-in openai.toml"
    assert loaded.origin["arms.own.name"] == "user file work.toml"
    assert loaded.origin["name"] == "user file work.toml"
    assert [file.name for file in loaded.files] == ["work.toml", "openai.toml"]


def test_inner_tables_merge_too(load, write):
    write("a", f"{ARM}params = {{ seed = 1, top_p = 0.5 }}\nlimits = {{ rpm = 5 }}\n[checks.x]\ncmd = ['a']\n")
    write(
        "b",
        'extends = "a"\n[[arms]]\nname = "small"\nparams = { seed = 2 }\nlimits = { tpm = 9 }\n[checks.y]\ncmd = ["b"]',
    )
    made = load("b").profile
    assert made.arm("small").params == {"seed": 2, "top_p": 0.5}
    assert (made.arm("small").limits.rpm, made.arm("small").limits.tpm) == (5, 9)
    assert set(made.checks) == {"x", "y"}


def test_prefer_and_wtp_replace_each_other_across_layers(load, write):
    write("a", f"{ARM}[policy]\nwtp_usd = 0.5\n")
    write("b", 'extends = "a"\n[policy]\nprefer = "cheap"')
    write("c", 'extends = "b"\n[policy]\nwtp_usd = 0.7')
    assert load("b").profile.policy.wtp == 0.01
    assert load("c").profile.policy.wtp == 0.7
    assert load("c", SCRIMP_PREFER="best").profile.policy.wtp == 1.0


def test_a_user_profile_hides_the_built_in_and_may_extend_it(load, write):
    write("openai", 'extends = "openai"\n[caps]\nper_day_usd = 1')
    loaded = load("openai")
    assert loaded.profile.caps.per_day_usd == 1
    assert len(loaded.profile.arms) == 3
    write("work", 'extends = "openai"')
    assert load("work").profile.caps.per_day_usd == 1


def test_another_model_does_not_inherit_what_described_the_old_one(load, write):
    """A price of 0 and the tag `local` must not pass to a model that is paid for and far away."""
    write("work", 'extends = "ollama"\n[[arms]]\nname = "small"\nmodel = "openai/gpt-5-mini"')
    arm = load("work").profile.arm("small")
    assert arm.price is None
    assert arm.tags == ()
    assert arm.api_base is None
    assert arm.context_window is None
    assert arm.max_output_tokens == 2048


def test_another_address_does_not_inherit_keys(load, write):
    write("a", f'{ARM}api_base = "https://one.example/v1"\nkey_env = "ONE_KEY"\ntags = ["private"]\n')
    write("b", 'extends = "a"\n[[arms]]\nname = "small"\napi_base = "https://two.example/v1"')
    arm = load("b").profile.arm("small")
    assert arm.api_base == "https://two.example/v1"
    assert arm.key_env is None
    assert arm.tags == ()
    write("c", 'extends = "a"\n[[arms]]\nname = "small"\nmodel = "openai/gpt-5"')
    arm = load("c").profile.arm("small")
    assert arm.api_base == "https://one.example/v1"
    assert arm.key_env == "ONE_KEY"
    write("d", 'extends = "a"\n[[arms]]\nname = "small"\nmodel = "anthropic/claude"')
    assert load("d").profile.arm("small").key_env is None


def test_paths_to_files(load, cwd):
    (cwd / "mine.toml").write_text(ARM)
    (cwd / "sub").mkdir()
    (cwd / "sub" / "child.toml").write_text('name = "kid"\nextends = "../mine.toml"')
    assert load("mine.toml").profile.name == "mine"
    assert load("./mine.toml").origin["arms.small.model"] == "file ./mine.toml"
    assert load(str(cwd / "mine.toml")).profile.name == "mine"
    assert load("sub/child.toml").profile.name == "kid"
    assert [file.name for file in load("sub/child.toml").files] == ["child.toml", "mine.toml"]


def test_a_byte_order_mark_is_fine(load, write):
    write("work", b"\xef\xbb\xbf" + ARM.encode())
    assert load("work").profile.arms


# --- what can be wrong with files


def test_unknown_names(load, write):
    write("work", ARM)
    with pytest.raises(UsageError) as caught:
        load("wrok")
    assert caught.value.message == "there is no profile called 'wrok' (did you mean 'work'?)"
    assert "work, local, openai" in caught.value.hint
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="there is no file"):
        load("nowhere/x.toml")
    with pytest.raises(UsageError, match="SCRIMP_PROFILE: there is no profile called 'x'"):
        load(SCRIMP_PROFILE="x")
    for name in ("", "..", "a b", "-x"):
        with pytest.raises(UsageError):
            load(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name = \n", ":1: not TOML: "),
        (b"a = 1\nb = [1,\n", ":3: not TOML: "),
        (b"a = 1\na = 2\n", ":2: not TOML: Cannot overwrite a value"),
        (b"# fine\n\xff\n", ":2: not UTF-8: byte 0xff"),
        (b'name = "a\\ud800"', ":1: not TOML: "),
        (b'\n\nx = "a\0b"\n', ":3: there is a NUL byte"),
        (b"x = " + b"[" * 100_000, "nested too deep"),
        (b"#" * (1 << 20) + b"#", "too long: over 1 MB"),
        (b"x = 1e99999999999999999999", ":1: not TOML: "),
        (b"x = 1" + b"0" * 5000, ":1: not TOML: "),
        (b'arms = "x"', ":1: arms: expected a list of tables"),
        (b"arms = [1]", ":1: arms: expected a list of tables"),
        (b"[arms.small]\nmodel = 'x'", ":1: arms: expected a list of tables: write [[arms]]"),
        (b"[[arms]]\nmodel = 'x'", ":1: arms[0].name is missing"),
        (b"[[arms]]\nname = 'a b'\nmodel = 'x'", ":1: arms[0].name cannot be 'a b'"),
        (b"[[arms]]\nname = 5\nmodel = 'x'", ":1: arms[0].name cannot be 5"),
        (b"[[arms]]\nname = 'a'\nmodel = 'x'\n[[arms]]\nname = 'a'\n", "two arms are called 'a'"),
        (b"name = 'other'\n", ":1: name: expected 'work', as the file is called, got 'other'"),
        (b"name = 7\n", ":1: name: expected the name of a profile"),
        (b"extends = 7\n", ":1: extends: expected the name of a profile"),
        (b"\nextends = 'opneai'\n", ":2: extends: there is no profile called 'opneai' (did you mean 'openai'?)"),
        (b"extends = 'work'\n", "extend each other in a circle: work -> work"),
        (b"extends = './gone.toml'\n", ":1: extends: there is no file ./gone.toml"),
        (b"extends = './work.toml'\n", "extend each other in a circle"),
        (b"", "this profile has no arms"),
        (b"[[arms]]\nname = 'a'\n", ':1: arm "a": model is missing: expected a model as LiteLLM names it'),
        (b"[[arms]]\nname = 'a'\nmodel = 'm'\n\ntier = 'x'\n", ':5: arm "a": tier: expected small'),
        (b"[[arms]]\nname='a'\nmodel='m'\n[[arms]]\nname='b'\nmodel='m'\n[arms.cap]\nper_day = 1\n", ':8: arm "b": cap.per_day: no such cap'),
        (b"[caps]\nper_call_usd = 1\nper_day_usd = 'x'\n[[arms]]\nname='a'\nmodel='m'", ":3: caps.per_day_usd"),
        (b"caps.per_day_usd = 'x'\n[[arms]]\nname='a'\nmodel='m'", ":1: caps.per_day_usd"),
        (b"x = '''\n[caps]\n'''\n[[arms]]\nname='a'\nmodel='m'", ":1: x: unknown key"),
        (b"[[arms]]\nname='a'\nmodel='m'\nprice = { input_usd_per_mtok = -1, output_usd_per_mtok = 1 }", ':4: arm "a": price.input_usd_per_mtok'),
    ],
)  # fmt: skip
def test_bad_files(load, write, text, message):
    file = write("work", text)
    with pytest.raises(ConfigError) as caught:
        load("work")
    assert message in caught.value.message
    assert caught.value.message.startswith(str(file))
    assert caught.value.exit_code == 78


def test_circles_and_depth(load, write):
    write("a", 'extends = "b"')
    write("b", 'extends = "c"')
    write("c", 'extends = "a"')
    with pytest.raises(ConfigError, match="in a circle: a -> b -> c -> a"):
        load("a")
    for level in range(12):
        write(f"p{level}", f'extends = "p{level + 1}"')
    write("p12", ARM)
    with pytest.raises(ConfigError, match="more than 8 deep"):
        load("p0")
    assert load("p5").profile.arms


def test_folders_and_unreadable_files(load, home, write, tmp_path):
    (home.profiles / "folder.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"folder\.toml: not a file"):
        load("folder")
    os.mkfifo(home.profiles / "pipe.toml")
    with pytest.raises(ConfigError, match=r"pipe\.toml: not a file"):
        load("pipe")
    (home.profiles / "broken.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"broken\.toml: cannot be read"):
        load("broken")
    if os.geteuid() != 0:
        write("secret", ARM).chmod(0)
        with pytest.raises(ConfigError, match=r"secret\.toml: cannot be read: Permission denied"):
            load("secret")


def test_the_error_names_the_file_that_said_it(load, write):
    write("base", f"{ARM}\n[caps]\nper_day_usd = -1\n")
    write("work", 'extends = "base"\n')
    with pytest.raises(ConfigError, match=r"base\.toml:6: caps\.per_day_usd"):
        load("work")


# --- the environment and flags


def test_variables_override(load, write):
    write("work", f"{ARM}[policy]\nwtp_usd = 3\n")
    loaded = load("work", SCRIMP_PREFER="cheap", SCRIMP_MIN_QUALITY="0.25", SCRIMP_LOG="money")
    assert (loaded.profile.policy.wtp, loaded.profile.policy.min_quality, loaded.profile.log.keep) == (
        0.01,
        0.25,
        "money",
    )
    assert loaded.origin["policy.prefer"] == "SCRIMP_PREFER"
    assert loaded.origin["policy.min_quality"] == "SCRIMP_MIN_QUALITY"
    assert load("work", SCRIMP_WTP="0.30").profile.policy.wtp_usd == Decimal("0.30")
    assert load("work", SCRIMP_PREFER="").profile.policy.wtp == 3
    assert load(SCRIMP_PROFILE="work").chosen_by == "SCRIMP_PROFILE"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"SCRIMP_PREFER": "bset"},
            "SCRIMP_PREFER: policy.prefer: expected cheap, balanced or best, got 'bset' (did you mean",
        ),
        ({"SCRIMP_WTP": "much"}, "SCRIMP_WTP: policy.wtp_usd: expected an amount in USD, 0 or more, got 'much'"),
        ({"SCRIMP_WTP": "nan"}, "SCRIMP_WTP: policy.wtp_usd: expected"),
        ({"SCRIMP_MIN_QUALITY": "2"}, "SCRIMP_MIN_QUALITY: policy.min_quality: expected a number from 0 to 1, got 2"),
        ({"SCRIMP_LOG": "none"}, "SCRIMP_LOG: log.keep: expected all, features or money"),
        ({"SCRIMP_PREFER": "best", "SCRIMP_WTP": "1"}, "say the same thing twice"),
    ],
)
def test_bad_variables(load, env, message):
    with pytest.raises(ConfigError) as caught:
        load("local", **env)
    assert message in caught.value.message


def test_flags_lie_above_all(load):
    loaded = load("local", SCRIMP_PREFER="cheap")
    flagged = override(loaded, wtp_usd=0.3, min_quality=0.5, keep="features", explore=0)
    assert flagged.profile.policy.wtp_usd == Decimal("0.3")
    assert flagged.profile.policy.explore == 0
    assert flagged.profile.log.keep == "features"
    assert flagged.origin["policy.wtp_usd"] == "--wtp"
    assert flagged.origin["policy.min_quality"] == "--min-quality"
    assert loaded.profile.policy.wtp == 0.01
    assert override(flagged, prefer="best").profile.policy.wtp == 1.0
    assert override(loaded).profile == loaded.profile


@pytest.mark.parametrize(
    "flags",
    [
        {"prefer": "x"},
        {"wtp_usd": -1},
        {"wtp_usd": "x"},
        {"min_quality": 2},
        {"keep": "x"},
        {"prefer": "best", "wtp_usd": 1},
    ],
)
def test_bad_flags(load, flags):
    with pytest.raises(UsageError) as caught:
        override(load("local"), **flags)
    assert caught.value.message.startswith("--")


# --- the project's own file


def test_a_project_narrows(load, write, project):
    write(
        "work",
        'default_arm = "b"\n[caps]\nper_day_usd = 2\n'
        + "".join(f'[[arms]]\nname = "{name}"\nmodel = "m"\n' for name in "abc"),
    )
    write("default", 'extends = "work"')
    file = project(
        'profile = "work"\nuse = ["a", "c"]\ndefault_arm = "c"\n[caps]\nper_day_usd = 1\nper_call_usd = 0.1\n'
        '[policy]\nprefer = "cheap"\nmin_quality = 0.1\nexplore = 0.0\n[log]\nkeep = "money"\n'
    )
    loaded = load()
    made = loaded.profile
    assert loaded.chosen_by == ".scrimp.toml"
    assert loaded.project_file == file
    assert [arm.name for arm in made.arms] == ["a", "c"]
    assert made.default_arm == "c"
    assert (made.caps.per_day_usd, made.caps.per_call_usd) == (1, Decimal("0.1"))
    assert (made.policy.prefer, made.policy.min_quality, made.policy.explore) == ("cheap", 0.1, 0)
    assert made.log.keep == "money"
    assert loaded.origin["caps.per_day_usd"] == ".scrimp.toml"
    assert load(SCRIMP_PREFER="best").profile.policy.prefer == "best"


def test_a_default_arm_that_is_not_used_makes_way(load, write, project):
    write("work", 'default_arm = "b"\n' + "".join(f'[[arms]]\nname = "{name}"\nmodel = "m"\n' for name in "ab"))
    write("default", 'extends = "work"')
    project('profile = "work"\nuse = ["a"]')
    assert load().profile.default_arm == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[arms]]\nname='x'\nmodel='m'", ":1: arms: a project's own file may not set this"),
        ("key_env = 'X'", ":1: key_env: a project's own file may not set this"),
        ("api_base = 'http://evil'", ":1: api_base: a project's own file may not set this"),
        ("[checks.x]\ncmd = ['rm']", ":1: checks: a project's own file may not set this"),
        ("extends = 'x'", ":1: extends: a project's own file may not set this"),
        ("[embedding]\nmodel = 'x'", ":1: embedding: a project's own file may not set this"),
        ("[policy]\nmode = 'cascade'", ":2: policy.mode: a project's own file may not set this"),
        ("[policy]\npace = 'off'", ":2: policy.pace: a project's own file may not set this"),
        ("[caps]\ntimezone = 'local'", ":2: caps.timezone: a project's own file may not set this"),
        ("[log]\nretention_days = 9", ":2: log.retention_days: a project's own file may not set this"),
        ("profil = 'local'", ":1: profil: a project's own file may not set this (did you mean 'profile'?)"),
        ("profile = './evil.toml'", ":1: profile: expected the name of a profile"),
        ("profile = 'evil.toml'", ":1: profile: expected the name of a profile"),
        ("profile = '../x'", ":1: profile: expected the name of a profile"),
        ("profile = 1", ":1: profile: expected the name of a profile"),
        ("use = 'smollm2'", ":1: use: expected a list of arms' names"),
        ("use = []", ":1: use: expected a list of arms' names"),
        ("use = ['smolm2']", ":1: use: no arm is called 'smolm2' (did you mean 'smollm2'?)"),
        ("default_arm = 'x'", ":1: default_arm: no arm is called 'x'"),
        ("[caps]\nper_day_usd = 5.01", ":2: caps.per_day_usd: a project's own file may only lower a cap: 5.01 is above 5.00 (built-in local.toml:"),
        ("[caps]\nper_day_usd = -1", ":2: caps.per_day_usd: expected an amount"),
        ("[caps]\nper_day_usd = nan", ":2: caps.per_day_usd: expected an amount"),
        ("caps = 1", ":1: caps: expected a table"),
        ("[policy]\nprefer = 'x'", ":2: policy.prefer: expected cheap"),
        ("[policy]\nprefer = 'best'\nwtp_usd = 1", "say the same thing twice"),
        ("[log]\nkeep = 'x'", ":2: log.keep: expected all"),
        ("= 1", ":1: not TOML"),
    ],
)  # fmt: skip
def test_what_a_project_may_not_do(load, project, text, message):
    file = project(text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert message in caught.value.message
    assert str(file) in caught.value.message


def leaves(kind, path=()):
    """Yield the path of every key of the schema; arms and checks by any name."""
    for key in msgspec.structs.fields(kind):
        here = (*path, key.name)
        parts = [key.type, *get_args(key.type)]
        inner = next((each for each in parts if isinstance(each, type) and issubclass(each, msgspec.Struct)), None)
        if inner in {Arm, Check}:
            yield from leaves(inner, (*here, "*"))
        elif inner in {Alerts, Caps, Policy, Log, Embedding, Guard, Otel, Resident, ArmCaps}:
            yield from leaves(inner, here)
        else:
            yield here


def test_every_key_of_the_schema_is_decided():
    """A new key fails here until it is said what a project's own file may do about it."""
    assert set(RULES) == set(leaves(Profile))
    assert {path for path, rule in RULES.items() if rule.how == "hosts"} == {
        ("arms", "*", "model"),
        ("arms", "*", "api_base"),
    }
    assert all(rule.how in {"least", "own"} for path, rule in RULES.items() if "cap" in path or "caps" in path)
    assert not any(rule.direct for path, rule in RULES.items() if path[0] in {"arms", "checks", "embedding", "extends"})


OWN = """
default_arm = "a"
[caps]
per_call_usd = 0.5
per_day_usd = 2
[policy]
pace = "month"
[log]
keep = "features"
retention_days = 30
[[arms]]
name = "a"
model = "openai/one"
api_base = "http://one.example:8000/v1"
cap = { per_day_usd = 1 }
[[arms]]
name = "b"
model = "anthropic/claude"
"""
BIG = """
default_arm = "far"
[caps]
per_call_usd = 100
per_run_usd = 100
per_day_usd = 100
[policy]
mode = "cascade"
wtp_usd = 5
[log]
keep = "all"
[[arms]]
name = "far"
model = "openai/two"
api_base = "http://one.example:8001/v1"
[[arms]]
name = "a"
model = "openai/two"
api_base = "http://ONE.example:8000/other"
cap = { per_day_usd = 50, per_call_usd = 0.1 }
[[arms]]
name = "same"
model = "openai/one"
api_base = "http://one.example:8000/v1"
[[arms]]
name = "bare"
model = "claude-x"
[[arms]]
name = "here"
model = "local/smollm2-135m-instruct"
[[arms]]
name = "gpt"
model = "openai/gpt-5"
"""


def test_a_profile_that_a_project_chooses_stays_within_the_users_own(load, write, project):
    """Caps and their windows, hosts, and what is kept: nothing that an empty folder would not allow."""
    write("default", OWN)
    write("big", BIG)
    file = project('profile = "big"')
    loaded = load()
    made = loaded.profile
    assert loaded.chosen_by == ".scrimp.toml"
    assert made.name == "default"  # so that it spends from the same day and month
    caps = made.caps
    assert (caps.per_call_usd, caps.per_run_usd, caps.per_day_usd, caps.per_month_usd) == (Decimal("0.5"), 100, 2, None)
    assert [arm.name for arm in made.arms] == ["a", "bare", "here"]  # "same" would get round the cap of "a"
    assert (made.arm("a").cap.per_day_usd, made.arm("a").cap.per_call_usd) == (1, Decimal("0.1"))
    assert (made.log.keep, made.log.retention_days) == ("features", 30)
    assert (made.policy.pace, made.policy.mode, made.policy.wtp) == ("month", "cascade", 5)
    assert made.default_arm != "far"
    (note,) = loaded.notes
    assert note == (
        f"{file}: profile big, within the caps and hosts of default, your own (-p big takes all of it); "
        "default sends nothing to where far, same, gpt would go: left out"
    )
    assert loaded.origin["caps.per_day_usd"] == "user file default.toml"
    assert load("big").profile.caps.per_day_usd == 100
    assert load(SCRIMP_PROFILE="big").profile.name == "big"


def test_a_profile_that_goes_elsewhere_is_not_used(load, write, project):
    write("default", 'extends = "anthropic"')
    file = project('profile = "openai"\nuse = ["small"]\n[caps]\nper_day_usd = 1')
    loaded = load()
    assert (loaded.profile.name, loaded.chosen_by) == ("default", "user file default.toml")
    assert {arm.provider for arm in loaded.profile.arms} == {"anthropic"}
    assert loaded.profile.caps.per_day_usd == 1
    assert len(loaded.notes) == 1
    assert loaded.notes[0].startswith(f"{file}: profile openai is not used: default, your own, sends nothing to where")


def test_the_choice_by_keys_is_the_users_own_profile_too(load, write, project):
    write("work", BIG)
    project('profile = "mixed"')
    loaded = load(OPENAI_API_KEY="k")
    assert loaded.profile.name == "openai"
    assert {arm.provider for arm in loaded.profile.arms} == {"openai"}
    project('profile = "work"')
    loaded = load(OPENAI_API_KEY="k")
    assert ([arm.name for arm in loaded.profile.arms], loaded.profile.caps.per_day_usd) == (["here", "gpt"], 5)
    project('profile = "openai"')
    assert load(OPENAI_API_KEY="k").notes == ()


def test_what_a_project_changes_is_said(load, write, project):
    write("default", OWN)
    file = project('use = ["b"]\n[policy]\nprefer = "best"\nmin_quality = 0.9\n[caps]\nper_day_usd = 1')
    assert load().notes == (f"{file}: uses only b; prefer = best; min_quality = 0.9",)


def test_a_project_file_of_somebody_else_is_ignored(load, write, project, cwd, tmp_path):
    write("default", OWN)
    file = project("[policy]\nprefer = 'best'")
    assert load().profile.policy.prefer == "best"

    def ignored(why):
        loaded = load()
        assert (loaded.profile.policy.prefer, loaded.project_file) == ("balanced", None)
        assert [note for note in loaded.notes if note.startswith(f"{file}: ignored, since") and why in note]

    file.chmod(0o646)
    ignored("everybody can write it")
    file.chmod(0o600)
    cwd.chmod(0o777)
    ignored("everybody can write its folder")
    cwd.chmod(0o1777)
    assert load().profile.policy.prefer == "best"
    cwd.chmod(0o755)
    elsewhere = tmp_path / "elsewhere.toml"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert load().profile.policy.prefer == "best"
    elsewhere.chmod(0o666)
    ignored("everybody can write it")
    if os.geteuid() == 0:
        elsewhere.chmod(0o644)
        os.chown(elsewhere, 4242, -1)
        ignored("it belongs to another user (uid 4242)")
        assert load(SUDO_UID="4242").profile.policy.prefer == "best"
        os.chown(elsewhere, 0, -1)
        os.chown(file, 4242, -1, follow_symlinks=False)
        ignored("it belongs to another user (uid 4242)")


def test_a_project_may_not_keep_more(load, write, project):
    write("work", f'{ARM}[log]\nkeep = "features"')
    project('profile = "work"\n[log]\nkeep = "all"')
    with pytest.raises(ConfigError, match='"all" keeps more than "features"'):
        load()


def test_a_project_may_not_choose_a_profile_that_is_not_there(load, project):
    project('profile = "worx"')
    with pytest.raises(UsageError, match=r"\.scrimp\.toml: there is no profile called 'worx'"):
        load()


def test_the_project_file_is_sought_upwards_to_the_repository(home, cwd, project, tmp_path):
    def found(folder, **env):
        return load_profile("local", env=env, cwd=folder, paths=home).project_file

    deep = cwd / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".scrimp.toml").write_text("")
    assert found(deep) is None
    assert found(tmp_path) == tmp_path / ".scrimp.toml"
    file = project("")
    assert found(deep) == file
    file.unlink()
    (cwd / ".git").rmdir()
    assert found(deep) == tmp_path / ".scrimp.toml"
    assert found(deep, HOME=str(cwd)) is None


def test_arms_named_for_another_profile_are_left_aside(load, write, project):
    write("work", ARM)
    file = project('profile = "work"\nuse = ["small"]\ndefault_arm = "small"\n[caps]\nper_day_usd = 1')
    loaded = load("local")
    assert [arm.name for arm in loaded.profile.arms] == ["smollm2"]
    assert loaded.profile.caps.per_day_usd == 1
    assert loaded.notes == (f"{file}: its use and default_arm are about another profile, and left aside",)
    project('use = ["small"]')
    assert len(load("local").notes) == 1
    assert load("work").notes == ()


def test_a_project_file_that_is_a_pipe_does_not_hang(load, cwd):
    os.mkfifo(cwd / ".scrimp.toml")
    with pytest.raises(ConfigError, match="not a file"):
        load()


# --- when nobody chose


@pytest.mark.parametrize(
    ("env", "name", "why"),
    [
        ({}, "local", "no key is set"),
        ({"OPENAI_API_KEY": "k"}, "openai", "OPENAI_API_KEY is set"),
        ({"OPENAI_API_KEY": ""}, "local", "no key is set"),
        ({"OPENAI_API_KEY": "  "}, "local", "no key is set"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic", "ANTHROPIC_API_KEY is set"),
        ({"GEMINI_API_KEY": "k"}, "google", "GEMINI_API_KEY is set"),
        ({"GOOGLE_API_KEY": "k"}, "google", "GOOGLE_API_KEY is set"),
        ({"OPENROUTER_API_KEY": "k"}, "openrouter", "OPENROUTER_API_KEY is set"),
        ({"OPENROUTER_API_KEY": "k", "OPENAI_API_KEY": "k"}, "openai", "OPENAI_API_KEY is set"),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "mixed", "OPENAI_API_KEY and ANTHROPIC_API_KEY are set"),
        ({"MISTRAL_API_KEY": "k"}, "mistral", "MISTRAL_API_KEY is set"),
        ({"DEEPSEEK_API_KEY": "k"}, "deepseek", "DEEPSEEK_API_KEY is set"),
        ({"GROQ_API_KEY": "k"}, "groq", "GROQ_API_KEY is set"),
        ({"XAI_API_KEY": "k"}, "xai", "XAI_API_KEY is set"),
        ({"CEREBRAS_API_KEY": "k"}, "cerebras", "CEREBRAS_API_KEY is set"),
        ({"TOGETHERAI_API_KEY": "k"}, "together", "TOGETHERAI_API_KEY is set"),
        ({"TOGETHER_API_KEY": "k"}, "together", "TOGETHER_API_KEY is set"),
        ({"AWS_BEARER_TOKEN_BEDROCK": "k"}, "bedrock", "AWS_BEARER_TOKEN_BEDROCK is set"),
        ({"GROQ_API_KEY": "k", "OPENAI_API_KEY": "k"}, "mixed", "OPENAI_API_KEY and GROQ_API_KEY are set"),
        (
            {"XAI_API_KEY": "k", "GROQ_API_KEY": "k", "DEEPSEEK_API_KEY": "k"},
            "mixed",
            "DEEPSEEK_API_KEY, XAI_API_KEY and GROQ_API_KEY are set",
        ),
        ({"GROQ_API_KEY": "k", "OPENROUTER_API_KEY": "k"}, "mixed", "GROQ_API_KEY and OPENROUTER_API_KEY are set"),
        ({"GROQ_API_KEY": "k", "COHERE_API_KEY": "k"}, "groq", "GROQ_API_KEY is set"),
        (
            {"AZURE_API_KEY": "k"},
            "local",
            "AZURE_API_KEY is set, but only you know its address, which `scrimp setup` asks for",
        ),
        (
            {"FIREWORKS_AI_API_KEY": "k"},
            "local",
            "FIREWORKS_AI_API_KEY is set, but no built-in profile is of fireworks_ai: `-m fireworks_ai/MODEL` asks it",
        ),
        (
            {"AWS_PROFILE": "work"},
            "local",
            "no key is set but AWS's, which are for more than models: `-p bedrock` uses them",
        ),
        ({"AWS_ACCESS_KEY_ID": "k"}, "local", "no key is set"),
        ({"NOBODYS_API_KEY": "k"}, "local", "no key of a provider that is known here is set"),
    ],
)
def test_the_choice_by_keys(load, env, name, why):
    loaded = load(**env)
    assert loaded.profile.name == name
    assert loaded.chosen_by == "keys"
    assert loaded.notes == (f"no profile chosen: using {name}, because {why} (-p NAME takes another)",)
    assert loaded.daily == loaded.notes[0]


def test_stored_keys_count(load, home):
    home.config.mkdir(parents=True)
    home.keys.write_text('ANTHROPIC_API_KEY = "k"\n')
    home.keys.chmod(0o600)
    assert load().profile.name == "anthropic"


def test_mixed_keeps_the_arms_whose_keys_are_there(load):
    loaded = load(OPENAI_API_KEY="k", GOOGLE_API_KEY="k")
    assert {arm.provider for arm in loaded.profile.arms} == {"openai", "gemini"}
    assert loaded.profile.default.tier == "large"
    assert {arm.provider for arm in load("mixed").profile.arms} == {"openai", "anthropic", "gemini"}


@pytest.mark.parametrize(
    ("keys", "arms", "default"),
    [
        ("OPENAI ANTHROPIC", "luna haiku sol opus", "opus"),
        ("OPENAI GROQ", "luna sol groq-small groq-large", "sol"),
        ("GROQ OPENAI", "luna sol groq-small groq-large", "sol"),
        ("GEMINI XAI", "flash argon xai-medium xai-large", "argon"),
        ("ANTHROPIC MISTRAL DEEPSEEK",
         "haiku opus deepseek-small deepseek-large mistral-small mistral-large", "opus"),
        ("GROQ CEREBRAS", "groq-small groq-large cerebras-medium cerebras-large", "groq-large"),
        ("GROQ OPENROUTER", "groq-small groq-large openrouter-small openrouter-large", "openrouter-large"),
        ("OPENAI ANTHROPIC OPENROUTER", "luna haiku sol opus", "opus"),
    ],
)  # fmt: skip
def test_mixed_is_made_of_the_arms_whose_keys_are_there(load, keys, arms, default):
    loaded = load(**{f"{name}_API_KEY": "k" for name in keys.split()})
    assert [arm.name for arm in loaded.profile.arms] == arms.split()
    assert loaded.profile.default_arm == default
    assert loaded.profile.caps.per_day_usd == 5


def test_the_first_address_of_an_azure_arm_keeps_its_key_and_tags(load, write):
    base = "https://mine.openai.azure.com"
    write("mine", f'extends = "azure"\n[[arms]]\nname = "small"\napi_base = "{base}"\n[[arms]]\nname = "large"\n')
    small, large = load("mine").profile.arm("small"), load("mine").profile.arm("large")
    assert (small.api_base, small.key_env, small.tags) == (base, "AZURE_API_KEY", large.tags)
    write("theirs", 'extends = "mine"\n[[arms]]\nname = "small"\napi_base = "https://theirs.openai.azure.com"\n')
    moved = load("theirs").profile.arm("small")
    assert (moved.key_env, moved.tags) == (None, ())
    write("alike", f'extends = "azure"\n[[arms]]\nname = "own"\nlike = "small"\napi_base = "{base}"\n')
    assert load("alike").profile.arm("own").key_env == "AZURE_API_KEY"


def test_an_arm_that_joined_says_where_it_is_from(load):
    loaded = load(OPENAI_API_KEY="k", GROQ_API_KEY="k")
    assert loaded.origin["arms.luna.model"] == "built-in mixed.toml"
    assert loaded.origin["arms.groq-large.model"] == "built-in groq.toml"


def test_a_key_that_is_stored_counts_beside_one_that_is_set(load, home):
    home.config.mkdir(parents=True)
    home.keys.write_text('GROQ_API_KEY = "k"\n')
    home.keys.chmod(0o600)
    assert load().profile.name == "groq"
    assert load(MISTRAL_API_KEY="k").profile.name == "mixed"


def test_a_profile_that_was_made_the_default(load, write, home):
    write("work", ARM)
    write("default", ARM)
    assert use_profile("work", home)
    assert not use_profile("work", home)
    loaded = load(OPENAI_API_KEY="k")
    assert (loaded.profile.name, loaded.chosen_by, loaded.notes) == ("work", "scrimp profile use", ())
    assert load("local").profile.name == "local"
    assert load(SCRIMP_PROFILE="openai").profile.name == "openai"
    assert stat.S_IMODE(home.in_use.stat().st_mode) == 0o600
    assert use_profile(None, home)
    assert not use_profile(None, home)
    assert load(OPENAI_API_KEY="k").profile.name == "default"


def test_a_project_stays_within_the_profile_that_was_made_the_default(load, write, home, project):
    write("work", ARM + "[caps]\nper_day_usd = 0.25\n")
    use_profile("work", home)
    project('profile = "openai"')
    loaded = load()
    assert "profile openai, within the caps and hosts of work, your own" in loaded.notes[0]
    assert [arm.name for arm in loaded.profile.arms] == ["small", "medium", "large"]
    assert loaded.profile.caps.per_day_usd == Decimal("0.25")


def test_a_default_that_is_gone_says_who_chose_it(load, write, home):
    file = write("work", ARM)
    use_profile("work", home)
    file.unlink()
    with pytest.raises(UsageError, match=r"scrimp profile use: there is no profile called 'work'"):
        load()
    with pytest.raises(UsageError, match="no profile called 'nobody'"):
        use_profile("nobody", home)
    for text in (b"", b"../x\n", b"\xff"):
        home.in_use.write_bytes(text)
        with pytest.raises(ConfigError, match="expected the name of a profile"):
            load()


def test_a_profile_called_default_wins(load, write):
    write("default", ARM)
    loaded = load(OPENAI_API_KEY="k")
    assert loaded.profile.name == "default"
    assert loaded.chosen_by == "user file default.toml"
    assert loaded.notes == ()


def test_a_key_file_others_can_read_is_remarked_on(load, home):
    home.config.mkdir(parents=True)
    home.keys.write_text("")
    home.keys.chmod(0o644)
    assert any("can be read by others" in note for note in load("local").notes)


# --- listing, starting, writing


def test_listing(write, home):
    assert [listed.name for listed in list_profiles(home)] == list(BUILT_IN)
    write("work", ARM)
    write("openai", ARM)
    write(".hidden.toml", ARM)
    write("a.toml.toml", ARM)
    listed = {each.name: each for each in list_profiles(home)}
    assert (listed["work"].origin, listed["work"].shadows) == ("user", False)
    assert (listed["openai"].origin, listed["openai"].shadows) == ("user", True)
    assert listed["local"].origin == "built-in"
    assert set(listed) == {*BUILT_IN, "work"}
    assert profile_path("work", home) == home.profiles / "work.toml"
    with pytest.raises(UsageError, match="no profile called"):
        profile_path("x", home)


@pytest.mark.parametrize("template", BUILT_IN)
def test_a_starter_profile(load, home, template):
    file = init_profile("mine", template, home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.profiles.stat().st_mode) == 0o700
    assert load("mine").profile.arms == load(template).profile.arms


def test_everything_in_a_starters_comments_can_be_set(load, home):
    file = init_profile("mine", "openai", home)
    text = file.read_text()
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if line.startswith("# ") and (bare.startswith("[[") or bare.partition(" =")[0].isidentifier()):
            text = text.replace(line + "\n", bare + "\n", 1)
    file.write_text(text)
    made = load("mine").profile
    assert made.caps.per_run_usd == 1
    assert made.arm("small").price is not None
    assert made.arm("small").key_env == "MY_API_KEY"
    assert made.policy.weights.size == Decimal("0.0001")
    assert made.guard.private == "redact"
    assert made.guard.scope is not None
    assert [rule.when.has for rule in made.rules] == ["code"]


def test_a_starter_never_overwrites(home, write, tmp_path):
    write("mine", "precious")
    with pytest.raises(UsageError, match="there is a profile called mine already"):
        init_profile("mine", "local", home)
    assert (home.profiles / "mine.toml").read_text() == "precious"
    (home.profiles / "link.toml").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match="already"):
        init_profile("link", "local", home)
    assert not (tmp_path / "target").exists()
    for name in ("../x", "a/b", "", "x.toml"):
        with pytest.raises(UsageError, match="not a name for a profile"):
            init_profile(name, "local", home)
    with pytest.raises(UsageError, match="no profile called 'nope'"):
        init_profile("other", "nope", home)


def test_a_folder_that_cannot_be_written(home):
    home.config.parent.mkdir(parents=True, exist_ok=True)
    home.config.write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot be written"):
        init_profile("mine", "local", home)


GUARDED = """
[policy]
minute_usd = 0.05
max_seconds = 20
[policy.weights]
size = 0.0001
security = 0.002
[guard]
private = "redact"
names = ["Ada"]
risky = "warn"
[guard.scope]
examples = "scope.jsonl"
outside = "default"
[guard.unsafe]
use = "arm:large"
[[rules]]
when = { has = "code", match = "re:^x" }
use = ["small"]
[[rules]]
when = { language = "de" }
never = ["small"]
[[arms]]
name = "small"
size = "8B"
release = "2026-03"
"""


@pytest.mark.parametrize("text", [GUARDED, "[guard.unsafe]\nuse = 'arm:large'\n", "[policy.weights]\nrecency = 0.01\n"])
def test_guards_rules_and_weights_are_written_out_too(load, write, cwd, text):
    write("work", f'extends = "openai"\n{text}')
    (cwd / "scope.jsonl").write_text('{"prompt": "How do I prune a vine?"}\n')
    loaded = load("work")
    (cwd / "out.toml").write_text(to_toml(loaded.profile, loaded.origin))
    again = load("out.toml").profile
    assert (again.guard, again.policy, again.arms) == (loaded.profile.guard, loaded.profile.policy, loaded.profile.arms)
    assert [(rule.when, rule.use, rule.never) for rule in again.rules] == [
        (rule.when, rule.use, rule.never) for rule in loaded.profile.rules
    ]
    assert to_toml(again) == to_toml(loaded.profile)


@pytest.mark.parametrize("wrong", ["size = -1", 'size = "8B"', "readability = 0.1"])
def test_weights_are_amounts_by_known_names(load, write, wrong):
    file = write("work", f'extends = "openai"\n[policy.weights]\n{wrong}\n')
    with pytest.raises(ConfigError) as caught:
        load("work")
    assert f"{file}:3: policy.weights.{wrong.partition(' ')[0]}" in caught.value.message


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_profile_written_out_says_the_same(load, cwd, name):
    loaded = override(load(name), wtp_usd="0.25") if name == "mixed" else load(name)
    (cwd / "out.toml").write_text(to_toml(loaded.profile, loaded.origin))
    assert load("out.toml").profile == loaded.profile
    assert to_toml(loaded.profile) == to_toml(load("out.toml").profile)


def test_origins_stand_behind_the_keys(load):
    text = to_toml(load("openai").profile, load("openai").origin)
    assert "per_day_usd = 5.00  # built-in openai.toml\n" in text
    assert 'timezone = "local"  # default\n' in text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TOML = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False, places=5)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=8,
)


@given(TOML)
def test_any_value_survives_being_written(value):
    from scrimp.profiles.render import toml_value

    assert tomllib.loads(f"x = {toml_value(value)}", parse_float=Decimal)["x"] == value


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_file_crashes_the_reader(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    try:
        load_profile(str(file), env={}, cwd=file.parent, paths=paths({"SCRIMP_HOME": str(file.parent)}))
    except ConfigError as error:
        assert str(file) in error.message  # noqa: PT017 - a file may also be fine


KEYS = st.sampled_from(
    ["name", "extends", "caps", "policy", "arms", "checks", "per_day_usd", "prefer", "model", "params"]
)
WILD = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.sampled_from(["small", "openai", "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(KEYS, WILD, max_size=5))
def test_no_table_crashes_the_schema(tmp_path_factory, table):
    from scrimp.profiles.render import toml_value

    file = tmp_path_factory.getbasetemp() / "wild.toml"
    file.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in table.items()))
    try:
        load_profile(str(file), env={}, cwd=file.parent, paths=paths({"SCRIMP_HOME": str(file.parent)}))
    except ConfigError as error:
        assert str(file) in error.message  # noqa: PT017 - a table may also be fine


def test_lines(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(
        '# first\nname = "x"\n[caps]\n per_day_usd = 1\n[[arms]]\nmodel = "m"\nname = "one"\n[arms.cap]\nper_day_usd = 2\n'
        '[[arms]]\nname = \'two\'\nparams.seed = 1\ncap = { per_day_usd = 1 }\n"quoted" = 1\n[checks."a.b"]\ncmd = []\n'
    )
    _, source = read_toml(file, "x", "x")
    lines = {
        ("name",): 2,
        ("caps",): 3,
        ("caps", "per_day_usd"): 4,
        ("arms", "one"): 5,
        ("arms", "one", "model"): 6,
        ("arms", "one", "cap"): 8,
        ("arms", "one", "cap", "per_day_usd"): 9,
        ("arms", "two"): 10,
        ("arms", "two", "params", "seed"): 12,
        ("arms", "two", "cap", "per_day_usd"): 13,  # an inline table: its own line
        ("arms", "two", "quoted"): 14,
        ("checks", "a.b", "cmd"): 16,
        ("nowhere",): None,
    }
    for path, line in lines.items():
        assert source.at(path) == ("x" if line is None else f"x:{line}"), path
