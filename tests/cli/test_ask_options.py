"""Options of a call: they reach the provider, bound what is reserved, are logged, and asked again by `redo`."""

import json
import sqlite3

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.routing.asking.call_options import read_options
from scrimp.routing.asking.compose import read_schema
from scrimp.routing.prompts.schema_words import schema_of_words

FENCED = "Sure:\n\n```python\nprint(1)\n```\n\nAnd another:\n\n```\nx\n```\n"


def bound(home):
    with sqlite3.connect(home / "scrimp.db") as conn:
        return conn.execute("SELECT reserved_nano FROM reservations ORDER BY id DESC").fetchone()[0]


def test_options_reach_the_provider(scrimp, profile, server):
    path = profile(small="echo")
    argv = ("-o", "temperature", "0", "--option", "top_p", "0.5", "-o", "stop", "END", "-o", "seed", "7")
    done = scrimp("ask", "-q", "-p", path, *argv, "--max-tokens", "50", "hello", "there")
    assert (done.code, done.out) == (0, "hello there\n"), done.err
    body = server.chats[-1].body
    assert {key: body[key] for key in ("temperature", "top_p", "stop", "seed", "max_tokens")} == {
        "temperature": 0, "top_p": 0.5, "stop": "END", "seed": 7, "max_tokens": 50
    }  # fmt: skip
    scrimp("ask", "-q", "-p", path, "--temperature", "1.5", "-o", "max_tokens", "9", "hello")
    body = server.chats[-1].body
    assert (body["temperature"], body["max_tokens"]) == (1.5, 9)


def test_what_is_reserved_is_bounded_by_it_and_an_arms_own_limit_stays(scrimp, profile, server, home):
    path = profile(small="echo")
    scrimp("ask", "-q", "-p", path, "hello")
    all_of_it = bound(home)
    scrimp("ask", "-q", "-p", path, "--max-tokens", "10", "hello")
    assert bound(home) == all_of_it - 190 * 4_000  # nano-USD: 4 USD per million tokens, 200 are the arm's limit
    scrimp("ask", "-q", "-p", path, "--max-tokens", "5000", "hello")
    assert bound(home) == all_of_it
    assert server.chats[-1].output_limit == 200


def test_an_answer_that_is_cut_names_the_flag(scrimp, profile, server):
    done = scrimp("ask", "-p", profile(small="fill"), "--max-tokens", "7", "hello")
    assert "cut at its limit of 7 tokens (--max-tokens)" in done.err


def test_redo_repeats_them_and_those_typed_win(scrimp, profile, server):
    path = profile(small="ok", large="ok")
    scrimp("ask", "-q", "-p", path, "-m", "small", "-o", "temperature", "0.25", "-o", "top_p", "0.5", "--max-tokens",
           "20", "hello")  # fmt: skip
    shown = scrimp("log", "show", "last")
    assert "asked with: temperature 0.25, top_p 0.5, max_tokens 20" in shown.out
    assert json.loads(scrimp("log", "show", "last", "--json").out)["decision"]["options"] == {
        "temperature": 0.25, "top_p": 0.5, "max_tokens": 20
    }  # fmt: skip
    assert scrimp("redo", "-p", path, "-m", "large").code == 0
    body = server.chats[-1].body
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.25, 0.5, 20)
    first = json.loads(scrimp("log", "--json", "-n", "2").out)["rows"]
    which = next(each["id"] for each in first if each["command"] == "ask")
    assert scrimp("redo", which, "-p", path, "-m", "large", "--temperature", "1", "--max-tokens", "30").code == 0
    body = server.chats[-1].body
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1.0, 0.5, 30)


def test_no_log_keeps_none_of_them(scrimp, profile, home):
    scrimp("ask", "-q", "-p", profile(small="ok"), "--no-log", "-o", "user", "canary-7141", "hello")
    assert b"canary-7141" not in (home / "scrimp.db").read_bytes()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("-o", "temperatur", "0"), "-o temperatur: not an option that is passed on (did you mean 'temperature'?)"),
        (("-o", "n", "3"), "-o n: not an option that is passed on"),
        (("-o", "reasoning_effort", "low"), "-m MODEL:low"),
        (("-o", "temperature=0", "hello"), "-o temperature=0: it takes two words: -o temperature 0"),
        (("-o", "temperature", "warm"), '-o temperature: expected a number, not "warm"'),
        (("-o", "temperature", "NaN"), '-o temperature: expected a number, not "NaN"'),
        (("-o", "max_tokens", "0"), "-o max_tokens: expected a whole number above 0, not 0"),
        (("-o", "max_tokens", "many"), '-o max_tokens: expected a whole number above 0, not "many"'),
        (("-o", "logit_bias", "3"), "-o logit_bias: expected a table, not 3"),
        (("--max-tokens", "0"), "--max-tokens"),
        (("--temperature", "nan"), "--temperature"),
    ],
)
def test_options_that_cannot_be(scrimp, profile, server, argv, says):
    done = scrimp("ask", "-p", profile(small="ok"), *argv, "hello")
    assert done.code == 2
    assert says in done.err
    assert not server.chats


def test_an_option_that_litellm_does_not_know_for_the_model_costs_nothing(scrimp, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-000000000000")
    done = scrimp("ask", "-m", "openai/o3", "-o", "top_p", "0.5", "hello")
    assert done.code == 5
    assert "openai does not support parameters: ['top_p'], for model=o3" in done.err
    assert "litellm" not in done.err
    assert "Check the options given (-o)" in done.err
    with sqlite3.connect(home / "scrimp.db") as conn:
        assert conn.execute("SELECT sum(charged_nano) FROM reservations").fetchone() == (0,)


def test_a_plans_calls_have_them_too(scrimp, profile, server):
    path = profile(small="ok", large="ok")
    argv = (
        "--plan",
        "small ? checks > large",
        "--check",
        "re:^never$",
        "-o",
        "temperature",
        "0.5",
        "--max-tokens",
        "12",
    )
    scrimp("ask", "-q", "-p", path, *argv, "hello")
    assert [(each.body["temperature"], each.output_limit) for each in server.chats] == [(0.5, 12)] * 2


def test_batch_passes_them_to_each_row_and_a_rows_own_go_first(scrimp, profile, server, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"prompt": "a"}\n{"messages": [{"role": "user", "content": "b"}], "temperature": 1, "max_tokens": 5}\n'
    )
    argv = (
        "-o",
        tmp_path / "o.jsonl",
        "-p",
        profile(small="echo"),
        "-q",
        "-y",
        "--temperature",
        "0",
        "--max-tokens",
        "9",
    )
    assert scrimp("batch", tmp_path / "in.jsonl", *argv).code == 0
    sent = {each.prompt: (each.body["temperature"], each.output_limit) for each in server.chats}
    assert sent == {"a": (0, 9), "b": (1, 5)}


# -- --extract


@pytest.fixture
def answered(server):
    def answer(text):
        server.script([f"say@text={text.replace(' ', '_')}"], model="ok")

    return answer


@pytest.mark.parametrize(
    ("answer", "printed"), [(FENCED, "print(1)\n"), ("only words", "only words\n"), ("```\nopen", "open\n")]
)
def test_extract_prints_the_first_block_or_all(scrimp, profile, answered, answer, printed):
    path = profile(small="ok")
    answered(answer)
    done = scrimp("ask", "-q", "-p", path, "--extract", "code, please")
    assert (done.code, done.out) == (0, printed)
    assert scrimp("log", "show", "last", "--extract").out == printed
    answered(answer)
    told = json.loads(scrimp("ask", "-q", "-p", path, "--extract", "--json", "code, please").out)
    assert (
        told["extracted"] + ("" if printed.endswith(told["extracted"]) and told["extracted"].endswith("\n") else "\n")
        == printed
    )
    assert told["answer"] == answer


def test_on_a_terminal_too_and_x_says_so(on_terminal, profile, answered):
    path = profile(small="ok")
    answered(FENCED)
    code, out, err = on_terminal("ask", "-q", "-p", path, "--extract", "code, please")
    assert (code, out.replace("\r", ""), err) == (0, "print(1)\n", "")
    answered(FENCED)
    _, out, err = on_terminal("ask", "-x", "-p", path, "code, please")
    assert "Sure:" in out
    assert "--extract prints only the code" in err


# -- schemas in words


def test_a_schema_in_words_is_asked_for_and_checked(scrimp, profile, server):
    path = profile(small="json")
    scrimp("ask", "-q", "-p", path, "--schema", "name, age int: in years", "Somebody")
    sent = server.chats[-1].body["response_format"]["json_schema"]["schema"]
    assert sent["properties"] == {"name": {"type": "string"}, "age": {"type": "integer", "description": "in years"}}
    assert sent["required"] == ["name", "age"]
    scrimp("ask", "-q", "-p", path, "--schema-multi", "name\nage float", "Two people")
    sent = server.chats[-1].body["response_format"]["json_schema"]["schema"]
    assert sent["properties"]["items"]["items"]["properties"]["age"] == {"type": "number"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("name, age integer", "--schema: age: no type 'integer' (did you mean 'int'?)"),
        ("name, name int", "two fields called name"),
        ("name", "cannot read schema name: No such file or directory"),
        ("city.json", "cannot read schema city.json"),
        ("{bad", "not JSON"),
    ],
)
def test_schemas_that_cannot_be(scrimp, profile, given, says):
    done = scrimp("ask", "-p", profile(small="ok"), "--schema", given, "hi")
    assert done.code in (2, 78)
    assert says in done.err


def test_a_file_of_that_name_is_the_file(home, tmp_path):
    (tmp_path / "work" / "name, age").write_text('{"type": "array"}')
    assert read_schema("name, age") == {"type": "array"}
    assert schema_of_words("a: one, b bool")["required"] == ["a", "b"]
    with pytest.raises(UsageError, match="is no field"):
        schema_of_words("a b c")


def test_limits_by_any_name():
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        assert read_options({name: 5}).output_limit == 5
