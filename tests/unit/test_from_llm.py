"""Taking over what is in llm's folder: the files are as llm 0.36 writes them."""

import json
import sys

import pytest
from conftest import CANARY

from scrimp.profiles.aliases import read_aliases, set_alias
from scrimp.profiles.from_llm import found, spelled, take_over
from scrimp.profiles.keys import list_keys, set_key
from scrimp.profiles.paths import paths
from scrimp.profiles.templates import list_templates, read_template
from scrimp.routing.asking.compose import in_template

SUM = """\
model: gpt-4o
prompt: 'Summarise: $input for $$5 in ${lang}'
defaults:
    lang: Danish
options:
    temperature: 0.3
"""
DOG = """\
schema_object:
    type: object
    properties:
        name:
            type: string
    required:
    - name
extract: true
"""


@pytest.fixture
def llm(tmp_path):
    folder = tmp_path / "llm"
    (folder / "templates").mkdir(parents=True)
    return folder


@pytest.fixture
def take(home, llm):
    def call(known=None, **env):
        env = {"LLM_USER_PATH": str(llm), **env}
        there = found(env)
        assert there is not None
        return "\n".join(take_over(there, paths(), env, known=known))

    return call


def keys(llm, **named):
    (llm / "keys.json").write_text(json.dumps({"// Note": "This file stores secret API credentials.", **named}))


def template(llm, text, name="it"):
    (llm / "templates" / f"{name}.yaml").write_text(text)


def test_keys_are_kept_under_their_variables_and_never_shown(llm, take):
    keys(llm, openai=CANARY, claude=f"{CANARY}-2", weird=f"{CANARY}-3", **{f"{CANARY}-4": f"{CANARY}-5"})
    said = take()
    assert list_keys(paths()) == {"OPENAI_API_KEY": "file", "ANTHROPIC_API_KEY": "file"}
    assert CANARY in paths().keys.read_text()
    assert CANARY not in said
    assert CANARY not in repr(found({"LLM_USER_PATH": str(llm)}))
    assert "llm's key weird is not taken" in said
    assert len(said.splitlines()) == 4


def test_nothing_of_the_users_is_replaced(home, llm, take):
    keys(llm, openai=CANARY, groq=CANARY)
    (llm / "aliases.json").write_text('{"mini": "gpt-5-mini"}')
    template(llm, "prompt: new", "it")
    set_key("OPENAI_API_KEY", "sk-mine-0123456789", paths())
    set_alias("mini", "openai/gpt-5-nano", paths())
    paths().templates.mkdir(parents=True)
    (paths().templates / "it.txt").write_text("mine")
    said = take(GROQ_API_KEY="gsk-of-the-environment")
    assert "sk-mine-0123456789" in paths().keys.read_text()
    assert list_keys(paths()).keys() == {"OPENAI_API_KEY"}
    assert read_aliases(paths()) == {"mini": "openai/gpt-5-nano"}
    assert read_template("it", paths()).prompt == "mine"
    assert said.count("stays as it is") == 4


def test_twice_is_once(llm, take):
    keys(llm, openai=CANARY)
    (llm / "aliases.json").write_text('{"mini": "gpt-5-mini"}')
    template(llm, SUM)
    take()
    before = {path: path.read_bytes() for path in paths().config.rglob("*") if path.is_file() and path.name != ".lock"}
    take()
    assert before == {path: path.read_bytes() for path in before}
    assert len(before) == 3


def test_a_template_asks_what_it_asked(llm, take):
    template(llm, SUM)
    assert take() == "took template it"
    taken = read_template("it", paths())
    assert (taken.model, taken.options, taken.defaults) == ("gpt-4o", {"temperature": 0.3}, {"lang": "Danish"})
    assert in_template(taken, "it", "a text", (), ()).text == "Summarise: a text for $5 in Danish"
    assert in_template(taken, "it", "a text", (), ("lang=Thai",)).text == "Summarise: a text for $5 in Thai"


def test_a_template_with_a_system_prompt_alone_asks_what_is_typed(llm, take):
    template(llm, "system: Speak like a pirate, $tone")
    take()
    filled = in_template(read_template("it", paths()), "it", "Why?", (), ("tone=softly",))
    assert (filled.text, filled.system) == ("Why?", "Speak like a pirate, softly")


def test_a_schema_and_an_extract_come_along(llm, take):
    template(llm, DOG)
    take()
    taken = read_template("it", paths())
    assert (json.loads(taken.schema)["required"], taken.extract, taken.prompt) == (["name"], True, "")


def test_a_template_that_is_a_text_alone(llm, take):
    template(llm, "Say hello to $input")
    take()
    assert read_template("it", paths()).prompt.strip() == "Say hello to {{input}}"


def test_places_of_files_come_along_and_names_do_not(llm, take, tmp_path):
    (tmp_path / "there.txt").write_text("x")
    template(
        llm,
        f"prompt: hi\nattachments: [https://example.com/a.png]\nattachment_types: [{{type: image/png, value: b.png}}]\n"
        f"fragments: [https://example.com/x, {tmp_path}/there.txt, {tmp_path}/gone.txt, name]\n",
    )
    said = take()
    taken = read_template("it", paths())
    assert taken.attachment == ("https://example.com/a.png", "b.png")
    assert taken.file == ("https://example.com/x", f"{tmp_path}/there.txt")
    assert "without fragments by name" in said


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prompt: hi\ntools: [llm_time]\n", "without tools"),
        ("prompt: hi\nfunctions: |\n  def f(): pass\n", "without functions"),
        ("prompt: hi\nsystem_fragments: [x]\n", "without system_fragments"),
        ("prompt: hi\nextract_last: true\n", "without extract_last"),
    ],
)
def test_what_of_a_template_is_left_out_is_said(llm, take, text, word):
    template(llm, text)
    said = take()
    assert said.startswith("took template it, ")
    assert word in said
    assert read_template("it", paths()).prompt.strip() == "hi"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prompt: [1", "YAML"),
        ("- a\n- b\n", "no table"),
        ("prompt: '{{x}} $y'", "{{"),
        ("prompt: hi\nmood: glad\n", "mood"),
        ("prompt: [a, b]", "no text"),
        ("prompt: hi\noptions: [1]", "no table"),
        ("prompt: hi\nfragments: one", "no list"),
        ("prompt: !!python/object/apply:os.system ['touch pwned']", "YAML"),
        ("\x00", "YAML"),
    ],
)
def test_a_template_that_cannot_be_taken_is_said_in_a_line(llm, take, text, word):
    template(llm, text)
    said = take()
    assert said.startswith("template it is not taken: ")
    assert word in said
    assert len(said.splitlines()) == 1
    assert list_templates(paths()) == {}


def test_aliases_of_models_that_cannot_be_asked_are_left_out(llm, take):
    (llm / "aliases.json").write_text(
        json.dumps({"mini": "gpt-5-mini", "emb": "text-embedding-3-small", "a/b": "gpt-5"})
    )
    said = take(known=lambda model: model.startswith("gpt-"))
    assert read_aliases(paths()) == {"mini": "gpt-5-mini"}
    assert "alias emb is not taken: no model text-embedding-3-small with a price" in said
    assert "alias a/b is not taken: not a name for an alias" in said


@pytest.mark.parametrize(
    ("model", "known", "wanted"),
    [
        ("gpt-5-mini", None, "gpt-5-mini"),
        ("4o", None, "gpt-4o"),
        ("gemini-2.5-pro", None, "gemini/gemini-2.5-pro"),
        ("gemini-2.5-pro", {"gemini-2.5-pro"}, "gemini-2.5-pro"),
        ("grok-4", {"xai/grok-4"}, "xai/grok-4"),
        ("grok-4", set(), "grok-4"),
    ],
)
def test_models_as_litellm_calls_them(model, known, wanted):
    assert spelled(model, None if known is None else known.__contains__) == wanted


def test_the_rest_is_said(llm, take):
    (llm / "default_model.txt").write_text("gpt-5-nano\n")
    for name in ("logs.db", "model_options.json", "extra-openai-models.yaml", "embeddings.db"):
        (llm / name).write_text("{}")
    said = take().splitlines()
    assert "`-m gpt-5-nano`" in said[0]
    assert [
        word for word in ("model_options", "extra-openai", "embeddings") if not any(word in line for line in said)
    ] == []
    assert said[-1].endswith(f"scrimp learn import {llm}/logs.db")


def test_files_that_are_broken_are_said_without_what_they_hold(llm, take):
    (llm / "keys.json").write_text(f'{{"openai": "{CANARY}"')
    (llm / "aliases.json").write_text("[1]")
    said = take()
    assert CANARY not in said
    assert [line.endswith("left out") for line in said.splitlines()] == [True, True]


def test_where_llm_was_never_used_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found({}) is None
    assert found({"LLM_USER_PATH": str(tmp_path / "none")}) is None
    (tmp_path / "empty").mkdir()
    assert found({"LLM_USER_PATH": str(tmp_path / "empty")}) is None


@pytest.mark.parametrize(
    ("system", "env", "place"),
    [
        ("linux", {}, ".config/io.datasette.llm"),
        ("linux", {"XDG_CONFIG_HOME": "{home}/xdg"}, "xdg/io.datasette.llm"),
        ("darwin", {}, "Library/Application Support/io.datasette.llm"),
        ("win32", {"APPDATA": "{home}/AppData/Roaming"}, "AppData/Roaming/io.datasette.llm"),
    ],
)
def test_its_folder_is_where_llm_has_it(tmp_path, monkeypatch, system, env, place):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "default_model.txt").write_text("gpt-5")
    there = found({name: value.format(home=tmp_path) for name, value in env.items()})
    assert (there.folder, there.in_words()) == (tmp_path / place, "nothing to take over")


def test_what_there_is_in_words(llm):
    keys(llm, openai=CANARY)
    (llm / "aliases.json").write_text('{"a": "x", "b": "y"}')
    (llm / "logs.db").touch()
    assert found({"LLM_USER_PATH": str(llm)}).in_words() == "1 key, 2 aliases, a log"
