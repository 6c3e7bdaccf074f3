"""`scrimp keys`: by a provider's name, never on the command line, never shown."""

import json
import os

import pytest

KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp5q"


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ("openai", "OPENAI_API_KEY"), ("OpenAI", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY"), ("claude", "ANTHROPIC_API_KEY"),
        ("groq", "GROQ_API_KEY"), ("gemini", "GEMINI_API_KEY"), ("google", "GEMINI_API_KEY"), ("Google", "GEMINI_API_KEY"),
        ("xai", "XAI_API_KEY"), ("grok", "XAI_API_KEY"), ("together", "TOGETHERAI_API_KEY"), ("bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
        ("azure", "AZURE_API_KEY"), ("cohere", "COHERE_API_KEY"), ("perplexity", "PERPLEXITYAI_API_KEY"),
        ("OPENAI_API_KEY", "OPENAI_API_KEY"), ("my_token", "my_token"),
    ],
)  # fmt: skip
def test_a_key_is_stored_under_the_variable_s_name(scrimp, home, given, variable):
    done = scrimp("keys", "set", given, stdin=f"{KEY}\n")
    assert done.code == 0
    assert f"stored {variable} in {home / 'keys.toml'}" in done.err
    assert KEY not in done.out + done.err
    assert f'{variable} = "{KEY}"' in (home / "keys.toml").read_text()
    assert variable in scrimp("keys").out
    assert scrimp("keys", "rm", given).code == 0
    assert KEY not in (home / "keys.toml").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("openia", "no provider or variable for a key is called 'openia' (did you mean 'openai'?)"),
        ("antropic", "(did you mean 'anthropic'?)"),
        ("nobody", "no provider or variable for a key is called 'nobody'"),
    ],
)
def test_a_name_that_is_none(scrimp, home, given, said):
    done = scrimp("keys", "set", given, stdin=f"{KEY}\n")
    assert done.code == 2
    assert said in done.err
    assert "such as openai or groq" in done.err
    assert not (home / "keys.toml").exists()


def test_a_variable_that_no_arm_reads_is_remarked_on(scrimp):
    done = scrimp("keys", "set", "OPENAI_KEY", stdin=f"{KEY}\n")
    assert done.code == 0
    assert "no provider's arms look for a key under OPENAI_KEY (did you mean 'OPENAI_API_KEY'?)" in done.err
    assert "an arm with that key_env does" in scrimp("keys", "set", "LAB_SECRET", stdin=f"{KEY}\n").err


@pytest.mark.parametrize(
    "words",
    [
        ("OPENAI_API_KEY", KEY), ("openai", KEY), (f"OPENAI_API_KEY={KEY}",), (f"openai={KEY}",), ("openai", "--value", KEY),
        ("openai", f"--value={KEY}"), ("openai", "--key", KEY), (KEY,), (KEY, "openai"), ("nobody", KEY),
        ("gsk_Ab3dEf6hIj9kLm2nOp5q",), ("AKIAIOSFODNN7EXAMPLE",), ("ghp_16C7e42F292c6912E7710c838347Ae178B4a",), ("xai-abcdefghijklmnopqrstuv",),
    ],
)  # fmt: skip
def test_a_key_on_the_command_line_is_refused_and_never_shown(scrimp, home, words):
    done = scrimp("keys", "set", *words, stdin="another-key-1234\n")
    assert done.code == 2
    assert not (home / "keys.toml").exists()
    for word in words:
        for part in word.split("="):
            if part not in {"openai", "OPENAI_API_KEY", "nobody", "--value", "--key"}:
                assert part not in done.out + done.err
    if len(words) > 1 or "=" in words[0]:
        assert "your shell's history may hold it" in done.err
    if words[0].partition("=")[0].lower().startswith("openai"):
        assert "scrimp keys set OPENAI_API_KEY\n" in done.err


def test_keys_are_not_shown(scrimp, home):
    scrimp("keys", "set", "openai", stdin=f"{KEY}\n")
    done = scrimp("keys", "get", "openai")
    assert done.code == 2
    assert "keys are never shown" in done.err
    assert KEY not in done.out + done.err
    assert scrimp("keys", "path").out == f"{home / 'keys.toml'}\n"


def test_a_stored_key_picks_the_profile(scrimp):
    scrimp("keys", "set", "groq", stdin=f"{KEY}\n")
    assert "using groq, because GROQ_API_KEY is set" in scrimp("route", "hello").err


def test_a_key_typed_at_a_terminal_is_asked_for_by_its_variable(scrimp, monkeypatch):
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or KEY)
    assert scrimp("keys", "set", "mistral", typed="").code == 0
    assert asked == ["MISTRAL_API_KEY: "]
    assert "MISTRAL_API_KEY" not in os.environ


def test_keys_that_are_set_are_listed_with_those_that_are_stored(scrimp, monkeypatch):
    done = scrimp("keys")
    assert done.out == ""
    assert "no key is stored, and none of a provider's is set; to store one: scrimp keys set openai" in done.err
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("MAPS_API_KEY", KEY)
    scrimp("keys", "set", "mistral", stdin=f"{KEY}\n")
    scrimp("keys", "set", "MAPS_API_KEY", stdin=f"{KEY}\n")
    done = scrimp("keys", "--json")
    assert json.loads(done.out)["keys"] == [
        {"name": "GROQ_API_KEY", "kept_in": None, "in_environment": True},
        {"name": "MAPS_API_KEY", "kept_in": "file", "in_environment": True},
        {"name": "MISTRAL_API_KEY", "kept_in": "file", "in_environment": False},
    ]
    shown = scrimp("keys").out
    assert "GROQ_API_KEY\t-\tset\n" in shown
    assert "MAPS_API_KEY\tfile\tset too, and wins\n" in shown
    assert KEY not in shown
