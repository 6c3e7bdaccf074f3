"""`scrimp profile use`: which profile is used where none is named; and making and editing one of your own."""

import json

import pytest


def test_a_default_is_used_and_undone(scrimp, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k-1234567")
    assert scrimp("profile", "init", "work", "--from", "local").out == f"{home / 'profiles' / 'work.toml'}\n"
    done = scrimp("profile", "use", "work")
    assert (done.code, done.out, done.err) == (0, "work\n", "")
    assert scrimp("profile", "use").out == "work\n"
    assert "work *" in scrimp("profile").out
    asked = scrimp("ask", "--json", "hello")
    assert json.loads(asked.out)["arm"] == "smollm2"
    assert "no profile chosen" not in asked.err
    for words in (("--auto",), ("none",)):
        scrimp("profile", "use", "work")
        done = scrimp("profile", "use", *words)
        assert done.out == "openai\n"
        assert "using openai, because OPENAI_API_KEY is set" in done.err


def test_money_is_counted_for_the_profile_itself(scrimp, profile, home):
    """A default by another name would have each cap twice."""
    folder = home / "profiles"
    folder.mkdir(parents=True)
    (folder / "test.toml").write_text(profile(small="ok").read_text())
    scrimp("profile", "use", "test")
    scrimp("ask", "hello")
    scrimp("ask", "-p", "test", "hello")
    assert {
        row["name"]: row["n_calls"] for row in json.loads(scrimp("spend", "--by", "profile", "--json").out)["rows"]
    } == {"test": 2}


@pytest.mark.parametrize(
    ("keys", "template"),
    [
        ("", "local"), ("GROQ", "groq"), ("GROQ MISTRAL", "mistral"), ("OPENAI GROQ", "openai"), ("OPENAI ANTHROPIC GEMINI", "mixed"),
    ],
)  # fmt: skip
def test_a_new_profile_extends_what_the_keys_are_for(scrimp, home, monkeypatch, keys, template):
    for name in keys.split():
        monkeypatch.setenv(f"{name}_API_KEY", "k-1234567")
    done = scrimp("profile", "init", "work")
    assert f"wrote it, over {template}; " in done.err
    assert f'extends = "{template}"' in (home / "profiles" / "work.toml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("use", "opnai"), "there is no profile called 'opnai' (did you mean 'openai'?)"),
        (("use", "a/b.toml"), "a default is a profile's name, not a file"),
        (("use", "openai", "--auto"), "a NAME and --auto say two things"),
        (("edit", "openai"), "scrimp profile init my-openai --from openai"),
        (("edit", "nobody"), "scrimp profile init nobody\n"),
        (("edit", "wrok"), "you have no profile 'wrok' (did you mean 'work'?)"),
    ],
)
def test_what_cannot_be(scrimp, home, words, said):
    scrimp("profile", "init", "work", "--from", "local")
    done = scrimp("profile", *words)
    assert done.code == 2
    assert said in done.err
    assert not (home / "profile").exists()


def test_where_something_else_chooses_that_is_said(scrimp, monkeypatch):
    monkeypatch.setenv("SCRIMP_PROFILE", "local")
    done = scrimp("profile", "use", "openai")
    assert done.out == "local\n"
    assert "SCRIMP_PROFILE chose it here" in done.err


def test_new_is_another_word_for_init(scrimp, home):
    assert scrimp("profile", "new", "work", "--from", "groq").code == 0
    assert 'extends = "groq"' in (home / "profiles" / "work.toml").read_text()


def test_the_list_says_which_can_be_used(scrimp, monkeypatch):
    scrimp("profile", "init", "work", "--from", "local")
    monkeypatch.setenv("GROQ_API_KEY", "k-1234567")
    rows = json.loads(scrimp("profile", "list", "--json").out)["profiles"]
    keys = {row["name"]: row["key"] for row in rows}
    told = ("work", "groq", "openai", "mixed", "bedrock", "azure", "local", "vllm")
    assert [keys[name] for name in told] == [
        None, "present", "missing", "missing", "not seen", "missing", "not needed", "not needed",
    ]  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", "k-1234567")
    monkeypatch.setenv("AWS_PROFILE", "work")
    rows = json.loads(scrimp("profile", "list", "--json").out)["profiles"]
    keys = {row["name"]: row["key"] for row in rows}
    assert (keys["openai"], keys["mixed"], keys["bedrock"]) == ("present", "present", "present")
