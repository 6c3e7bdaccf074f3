"""Arms that are told how to ask, that are like others, and that stand for several efforts."""

import os
import tomllib
from decimal import Decimal

import pytest
from homes import cwd, home, load, write  # noqa: F401 - fixtures

from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.load import init_profile, to_toml
from scrimp.profiles.schema import MAX_TEXT, ArmCaps
from scrimp.routing.ledger.caps import Cap

SMALL = '[[arms]]\nname = "small"\nmodel = "openai/gpt-5-mini"\n'
LADDER = '[[arms]]\nname = "sonnet"\nmodel = "anthropic/claude-sonnet-4-5"\nefforts = ["high", "low", "medium"]\n'


def refusal(load, name="work"):
    with pytest.raises(ConfigError) as caught:
        load(name)
    return caught.value.message


# --- what an arm is told


def test_texts_stand_in_the_profile_or_beside_it(load, write):
    write("careful.md", "Weigh both sides.\nThen answer.\n\n")
    write("work.toml", SMALL + 'system = "file:careful.md"\nprompt = "Think.\\n\\n{{input}}"\nabout = "law"\n')
    arm = load("work").profile.arm("small")
    assert (arm.system, arm.prompt, arm.about) == ("Weigh both sides.\nThen answer.", "Think.\n\n{{input}}", "law")


def test_a_text_is_read_beside_the_file_that_names_it(load, write, home, cwd):
    write("base.toml", SMALL + 'system = "file:texts/careful.md"\n')
    (home.profiles / "texts").mkdir()
    (home.profiles / "texts" / "careful.md").write_text("the base's")
    (cwd / "careful.md").write_text("the nearer one's")
    nearer = f'extends = "{home.profiles}/base.toml"\n'
    (cwd / "mine.toml").write_text(nearer)
    assert load("mine.toml").profile.arm("small").system == "the base's"
    (cwd / "mine.toml").write_text(nearer + '[[arms]]\nname = "small"\nsystem = "file:careful.md"\n')
    assert load("mine.toml").profile.arm("small").system == "the nearer one's"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no file"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"caf\xe9", r"careful.md:1: not UTF-8: byte 0xe9"),
        (b"a\0b", "there is a NUL byte"),
        (b"x" * (MAX_TEXT + 1), "200,000 are the most"),
        (b"x" * (4 * MAX_TEXT + 1), "cannot be read: it is over"),
        ("folder", "cannot be read: it is a folder"),
        ("pipe", "cannot be read: it is a named pipe"),
    ],
)
@pytest.mark.parametrize("key", ["system", "prompt", "about"])
def test_a_text_that_cannot_be_had(load, write, home, content, why, key):
    write("work.toml", f'{SMALL}{key} = "file:careful.md"\n')
    path = home.profiles / "careful.md"
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    message = refusal(load)
    assert message.startswith(f'{home.profiles / "work.toml"}:4: arm "small": {key}: ')
    assert str(path) in message
    with pytest.raises(ConfigError, match=why):
        load("work")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_text_that_may_not_be_read(load, write):
    write("careful.md", "secret").chmod(0)
    write("work.toml", SMALL + 'system = "file:careful.md"\n')
    assert "careful.md cannot be read: Permission denied" in refusal(load)


@pytest.mark.parametrize("name", ["file:", "file: ", "file:a\\u0000b", "file:~nobody-at-all/x"])
def test_a_name_that_can_be_no_files(load, write, name):
    write("work.toml", f'{SMALL}system = "{name}"\n')
    assert ':4: arm "small": system: ' in refusal(load)


@pytest.mark.parametrize("text", ["Answer in French.", "{{ input }}", "{input}", "{{prompt}}"])
def test_a_prompt_has_a_place_for_what_is_asked(load, write, text):
    write("work.toml", f'{SMALL}prompt = "{text}"\n')
    assert refusal(load).endswith(':4: arm "small": prompt: there is no {{input}} in it, so what is asked has no place')


def test_an_empty_text_is_refused(load, write):
    for key in ("system", "prompt", "about"):
        write("work.toml", f'{SMALL}{key} = ""\n')
        assert f':4: arm "small": {key}: expected text of up to 200,000 characters' in refusal(load)
        write("work.toml", f'{SMALL}{key} = "  "\n')
        assert f':4: arm "small": {key}: ' in refusal(load)


# --- like


def test_an_arm_like_another_says_only_what_differs(load, write):
    write(
        "work.toml",
        SMALL + 'key_env = "MINE"\nmax_output_tokens = 900\nreasoning_effort = "low"\ntags = ["json"]\ntier = "small"\n'
        'system = "Be brief."\nabout = "anything"\nprice = { input_usd_per_mtok = 1, output_usd_per_mtok = 2 }\n'
        "cap = { per_day_usd = 1, per_call_usd = 0.1 }\nlimits = { rpm = 5 }\nparams = { temperature = 0.5 }\n"
        'timeout_s = 9\n[[arms]]\nname = "careful"\nlike = "small"\nprompt = "Think. {{input}}"\n'
        "cap = { per_day_usd = 3 }\nmax_output_tokens = 2000\n",
    )
    profile = load("work").profile
    small, careful = profile.arms
    for key in ("model", "key_env", "reasoning_effort", "tags", "tier", "price", "limits", "params", "timeout_s"):
        assert getattr(careful, key) == getattr(small, key), key
    assert careful.max_output_tokens == 2000
    assert careful.cap == ArmCaps(per_day_usd=Decimal(3), per_call_usd=Decimal("0.1"))
    assert (careful.system, careful.about, careful.like) == (None, None, "small")
    assert small.prompt is None


def test_likeness_holds_across_layers(load, write):
    write("base.toml", SMALL + 'key_env = "MINE"\n[[arms]]\nname = "careful"\nlike = "small"\nsystem = "Think."\n')
    write("work.toml", 'extends = "base"\n[[arms]]\nname = "small"\nmax_output_tokens = 77\n')
    assert load("work").profile.arm("careful").max_output_tokens == 77
    write("work.toml", 'extends = "base"\n[[arms]]\nname = "brief"\nlike = "careful"\nsystem = "Be brief."\n')
    assert load("work").profile.arm("brief").key_env == "MINE"
    assert load("work").origin["arms.brief.key_env"] == "user file base.toml, like small, like careful"
    assert load("work").origin["arms.brief.system"] == "user file work.toml"


def test_what_describes_a_model_does_not_pass_to_another(load, write):
    priced = 'price = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }\ntags = ["local"]\ncontext_window = 5\n'
    write(
        "work.toml",
        f'{SMALL}{priced}api_base = "http://localhost:1/v1"\nkey_env = "MINE"\n[[arms]]\nname = "other"\n'
        'like = "small"\nmodel = "openai/gpt-5"\n[[arms]]\nname = "far"\nlike = "small"\n'
        'model = "anthropic/claude-sonnet-4-5"\n[[arms]]\nname = "moved"\nlike = "small"\n'
        'api_base = "https://example.com/v1"\n[[arms]]\nname = "keyed"\nlike = "small"\nkey_cmd = ["pass"]\n',
    )
    profile = load("work").profile
    for name in ("other", "far", "moved"):
        arm = profile.arm(name)
        assert (arm.price, arm.tags, arm.context_window) == (None, (), None), name
    assert profile.arm("other").key_env == "MINE"
    assert profile.arm("far").key_env is profile.arm("far").api_base is profile.arm("moved").key_env is None
    assert (profile.arm("keyed").key_env, profile.arm("keyed").key_cmd) == (None, ("pass",))
    assert profile.arm("keyed").price is not None


def test_likeness_that_leads_nowhere(load, write, home):
    where = home.profiles / "work.toml"
    write("work.toml", SMALL + 'like = "smal"\n')
    assert refusal(load) == f"{where}:4: arm \"small\": like: no arm is called 'smal' (did you mean 'small'?)"
    write("work.toml", SMALL + 'like = "small"\n')
    assert refusal(load) == f'{where}:4: arm "small": like: arms are like each other in a circle: small -> small'
    parts = "".join(f'[[arms]]\nname = "{a}"\nlike = "{b}"\n' for a, b in ("ab", "bc", "ca"))
    write("work.toml", parts)
    assert refusal(load).endswith(':9: arm "c": like: arms are like each other in a circle: a -> b -> c -> a')
    write("work.toml", SMALL + 'like = "small:low"\n' + LADDER)
    assert "circle" in refusal(load)
    write("work.toml", LADDER + '[[arms]]\nname = "x"\nlike = "sonnet:max"\n')
    assert refusal(load).endswith("like: sonnet has no effort 'max'")
    write("work.toml", SMALL + "like = 5\n")
    assert "like: expected the name of an arm" in refusal(load)


# --- efforts


def test_efforts_are_arms_in_ascending_order(load, write):
    write("work.toml", LADDER + "cap = { per_day_usd = 1 }\n")
    profile = load("work").profile
    assert [arm.name for arm in profile.arms] == ["sonnet:low", "sonnet:medium", "sonnet:high"]
    assert [arm.reasoning_effort for arm in profile.arms] == ["low", "medium", "high"]
    assert {arm.base for arm in profile.arms} == {"sonnet"}
    assert profile.rungs("sonnet") == profile.arms
    assert profile.default_arm == "sonnet:high"


@pytest.mark.parametrize(
    ("stated", "default"), [("", "sonnet:high"), ("sonnet", "sonnet:high"), ("sonnet:low", "sonnet:low")]
)
def test_the_default_arm_of_a_ladder(load, write, stated, default):
    write("work.toml", (f'default_arm = "{stated}"\n' if stated else "") + LADDER)
    assert load("work").profile.default_arm == default


def test_a_default_arm_that_is_no_rung(load, write):
    write("work.toml", 'default_arm = "sonnet:max"\n' + LADDER)
    assert "default_arm: no arm is called 'sonnet:max'" in refusal(load)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('efforts = ["low", "low"]', "efforts: an effort stands there twice"),
        ('efforts = ["low"]\nreasoning_effort = "low"', "an arm takes efforts or reasoning_effort, not both"),
        ('efforts = ["lo"]', "efforts: expected"),
        ("efforts = 3", "efforts: expected"),
    ],
)
def test_efforts_that_make_no_ladder(load, write, more, why):
    write("work.toml", f"{SMALL}{more}\n")
    assert why in refusal(load)


def test_one_layer_says_efforts_in_place_of_anothers_effort(load, write):
    write("base.toml", SMALL + 'reasoning_effort = "low"\n')
    write("work.toml", 'extends = "base"\n[[arms]]\nname = "small"\nefforts = ["low", "high"]\n')
    assert [arm.name for arm in load("work").profile.arms] == ["small:low", "small:high"]
    write("last.toml", 'extends = "work"\n[[arms]]\nname = "small"\nreasoning_effort = "high"\n')
    assert [(arm.name, arm.reasoning_effort) for arm in load("last").profile.arms] == [("small", "high")]


def test_like_a_ladder_or_a_rung_of_it(load, write):
    write(
        "work.toml",
        LADDER + '[[arms]]\nname = "one"\nlike = "sonnet"\n[[arms]]\nname = "low"\nlike = "sonnet:low"\n'
        '[[arms]]\nname = "two"\nlike = "low"\nefforts = ["low", "high"]\n',
    )
    profile = load("work").profile
    assert profile.arm("one").reasoning_effort is None  # the model's own
    assert profile.arm("low").reasoning_effort == "low"
    assert [arm.reasoning_effort for arm in profile.rungs("two")] == ["low", "high"]


def test_an_arm_asked_for_by_a_ladders_name_is_told_its_rungs(load, write):
    write("work.toml", SMALL + LADDER)
    profile = load("work").profile
    assert profile.known_arms("sonnet") == "sonnet has efforts: take one of sonnet:low, sonnet:medium, sonnet:high."
    assert profile.known_arms("x") == "It has: small, sonnet:low, sonnet:medium, sonnet:high."


def test_a_ladders_cap_is_about_its_rungs():
    cap = Cap("arm:sonnet:day", 1, "day:2026-01-01|p:work|a:sonnet")
    assert cap.about("sonnet:low")
    assert cap.about("sonnet")
    assert not cap.about("sonnet2:low")
    assert not cap.about(None)
    assert Cap("day", 1, "day:2026-01-01|p:work").about("sonnet:low")


# --- what else reads arms


def test_a_profile_written_out_says_the_same(load, write, cwd):
    write("careful.md", 'Say "yes"\tor \\ no.\n')
    write(
        "work.toml",
        'default_arm = "sonnet:medium"\n'
        + LADDER
        + 'cap = { per_day_usd = 1 }\nabout = "all"\n'
        + SMALL
        + 'tags = ["json"]\nsystem = "file:careful.md"\n[[arms]]\nname = "bare"\nlike = "small"\ntags = []\n'
        '[[arms]]\nname = "deep"\nlike = "sonnet:high"\nprompt = "{{input}}!"\n'
        '[plans]\nfirst = "small ? json > bare"\n[pool]\nfolder = "skills/"\nlike = "sonnet:low"\n',
    )
    loaded = load("work")
    text = to_toml(loaded.profile, loaded.origin)
    assert "efforts = [" in text
    assert "reasoning_effort" not in text.partition('name = "small"')[0]
    assert tomllib.loads(text)["arms"][0]["name"] == "sonnet"
    (cwd / "out.toml").write_text(text)
    assert load("out.toml").profile == loaded.profile
    assert loaded.origin["arms.sonnet:low.reasoning_effort"] == "user file work.toml"


def test_a_projects_file_takes_a_ladder_or_some_of_its_rungs(load, write, cwd):
    write("default.toml", SMALL + LADDER + '[[arms]]\nname = "careful"\nlike = "small"\n')
    (cwd / ".scrimp.toml").write_text('use = ["sonnet"]\n')
    assert [arm.name for arm in load().profile.arms] == ["sonnet:low", "sonnet:medium", "sonnet:high"]
    (cwd / ".scrimp.toml").write_text('use = ["sonnet:low", "careful"]\ndefault_arm = "sonnet"\n')
    loaded = load()
    assert [arm.name for arm in loaded.profile.arms] == ["sonnet:low", "careful"]
    assert loaded.profile.default_arm == "sonnet:low"
    assert loaded.profile.arm("careful").model == "openai/gpt-5-mini"  # what it is like is left out, and still holds
    assert 'like = "small"' not in to_toml(loaded.profile)
    (cwd / ".scrimp.toml").write_text('use = ["sonnet:max"]\n')
    with pytest.raises(ConfigError, match="use: no arm is called 'sonnet:max'"):
        load()


def test_a_projects_profile_gets_round_no_ladders_cap(load, write, cwd):
    write("default.toml", LADDER + "cap = { per_day_usd = 1 }\n")
    write("theirs.toml", LADDER + "cap = { per_day_usd = 9 }\n[[arms]]\n" + 'name = "twin"\nlike = "sonnet:low"\n')
    (cwd / ".scrimp.toml").write_text('profile = "theirs"\n')
    profile = load().profile
    assert [arm.name for arm in profile.arms] == ["sonnet:low", "sonnet:medium", "sonnet:high"]
    assert {arm.cap.per_day_usd for arm in profile.arms} == {1}


def test_a_starter_names_ladders_whole(load, write, home):
    write("base.toml", LADDER + SMALL)
    text = init_profile("mine", "base", home).read_text()
    assert "with its arms: sonnet, small" in text
    assert load("mine").profile.arms == load("base").profile.arms


def test_a_judge_may_be_one_effort_of_several():
    from scrimp.routing.checks.names import make_check

    judge = make_check("judge:sonnet:low:It is polite.", {}, calls=True)
    assert (judge.arm, judge.rubric) == ("sonnet:low", "It is polite.")
    assert make_check("judge:sonnet:low", {}, calls=True).arm == "sonnet:low"
    assert make_check("judge:small:It is low.", {}, calls=True).rubric == "It is low."
    with pytest.raises(UsageError):
        make_check("judge:", {}, calls=True)
