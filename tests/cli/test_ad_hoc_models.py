"""`-m`: an arm, an alias, or any model with a known price, which is asked as an arm under the profile's caps."""

import json
import sqlite3

import pytest

HERE = "local/smollm2-135m-instruct"


def rows(home, query):
    with sqlite3.connect(home / "scrimp.db") as conn:
        return conn.execute(query).fetchall()


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-000000000000")


def test_a_model_that_is_no_arm_is_asked_as_one_and_logged_as_one(scrimp, profile, server, home):
    path = profile(small="ok")
    done = scrimp("ask", "-p", path, "--model", HERE, "--max-tokens", "4", "Name a colour.")
    assert done.code == 0, done.err
    assert done.out.strip()
    assert "[smollm2-135m-instruct · $0 ·" in done.err
    assert not server.chats
    assert rows(home, "SELECT profile, arm, status FROM requests") == [("test", "smollm2-135m-instruct", "ok")]
    assert rows(home, "SELECT requested_model, output_limit FROM attempts") == [(HERE, 4)]
    assert rows(home, "SELECT arm, status FROM reservations") == [("smollm2-135m-instruct", "settled")]


@pytest.mark.parametrize(
    ("typed", "arm", "model"),
    [
        ("gpt-5-mini", "gpt-5-mini", "openai/gpt-5-mini"),
        ("openai/gpt-5-mini", "gpt-5-mini", "openai/gpt-5-mini"),
        ("claude-haiku-4-5", "claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("gemini-2.5-flash", "gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("gpt-5-mini:low", "gpt-5-mini:low", "openai/gpt-5-mini"),
        ("vertex_ai/gemini-2.5-flash", "vertex_ai_gemini-2.5-flash", "vertex_ai/gemini-2.5-flash"),
        ("ollama/llama3.2", "llama3.2", "ollama_chat/llama3.2"),
    ],
)
def test_names_that_mean_a_model(scrimp, profile, typed, arm, model):
    done = scrimp("route", "-p", profile(small="ok"), "-m", typed, "--json", "hello")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["arm"] == arm
    taken = next(each for each in told["arms"] if each["name"] == arm)
    assert taken["model"] == model
    assert taken["bound_usd"] > 0 or model.startswith("ollama")


def test_of_several_providers_the_one_with_a_key_is_meant(scrimp, profile, monkeypatch):
    path = profile(small="ok")
    done = scrimp("route", "-p", path, "-m", "gpt-oss-120b", "hello")
    assert done.code == 2
    assert "providers sell a model of that name" in done.err
    assert "Name one such as: " in done.err
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-000000000000")
    done = scrimp("route", "-p", path, "-m", "gpt-oss-120b", "--json", "hello")
    assert json.loads(done.out)["arm"] == "cerebras_gpt-oss-120b"


def test_the_arms_of_the_profile_come_first_by_name_and_by_model(scrimp, profile, server):
    path = profile(small="ok", **{"gpt-5-mini": "echo"})
    for typed, asked in (("gpt-5-mini", "echo"), ("openai/ok", "ok"), ("openai/echo", "echo")):
        assert scrimp("ask", "-q", "-p", path, "-m", typed, "hi").code == 0
        assert server.chats[-1].model == asked
    done = scrimp("route", "-p", path, "-m", "openai/gpt-5-mini", "--json", "hi")
    assert json.loads(done.out)["arm"] == "openai_gpt-5-mini"  # another model than the arm of that name


def test_a_model_does_not_get_round_the_cap_of_its_arm(scrimp, profile):
    own = '[[arms]]\nname = "{}"\nmodel = "openai/gpt-5-mini"\nsystem = "S"\ncap = {{ per_day_usd = 0.01 }}\n'
    done = scrimp("route", "-p", profile(small="ok", extra=own.format("tax")), "-m", "gpt-5-mini", "hi")
    assert done.code == 2
    assert "profile test asks openai/gpt-5-mini by arms of its own" in done.err
    assert "Name one with -m: tax" in done.err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("gpt-5-minni", "no arm 'gpt-5-minni', and no alias or priced model is called that (did you mean 'gpt-5-mini'"),
        ("smal", "(did you mean 'small'"),
        ("openai/gpt-99", "no price is known for openai/gpt-99, so it is not asked"),
        ("somebody/model", "no price is known for somebody/model, so it is not asked"),
        ("text-embedding-3-small", "no price is known for text-embedding-3-small"),
        ("azure/gpt-5-mini", "azure has no address of its own"),
        ("", "no arm ''"),
        ("a b", "no arm 'a b'"),
    ],
)
def test_what_is_nothing_is_refused_in_a_line_with_the_next_step(scrimp, profile, server, typed, says):
    path = profile(small="ok")
    for command in (("ask",), ("route",)):
        done = scrimp(*command, "-p", path, "-m", typed, "hi")
        assert done.code == 2
        assert says in done.err
        assert len(done.err.strip().splitlines()) == 2
    assert not server.chats


def test_caps_keys_and_limits_hold_for_it(scrimp, profile, home, keyed, monkeypatch):
    path = profile(small="ok", caps="per_call_usd = 0.0000001")
    done = scrimp("ask", "-p", path, "-m", "gpt-5-mini", "hi")
    assert done.code == 3
    assert "gpt-5-mini" in done.err
    monkeypatch.delenv("OPENAI_API_KEY")
    done = scrimp("ask", "-p", profile(small="ok"), "-m", "gpt-5-mini", "hi")
    assert done.code == 4
    assert "OPENAI_API_KEY is not set" in done.err
    assert rows(home, "SELECT count(*) FROM reservations WHERE status != 'released'") == [(0,)]


@pytest.mark.parametrize("flag", ["--local-only", "--offline"])
def test_what_must_stay_here_stays_here(scrimp, profile, keyed, flag):
    done = scrimp("ask", "-p", profile(small="ok"), flag, "-m", "gpt-5-mini", "hi")
    assert done.code == 2
    assert "gpt-5-mini: does not run on this machine" in done.err


def test_a_guard_that_keeps_private_prompts_here_binds_it(scrimp, profile, keyed):
    path = profile(small="ok", extra='[guard]\nprivate = "local"\n')
    done = scrimp("ask", "-p", path, "-m", "gpt-5-mini", "My card is 4111 1111 1111 1111.")
    assert done.code != 0
    assert "does not run on this machine" in done.err


def test_a_rule_about_who_may_be_asked_warns_as_for_an_arm(scrimp, profile):
    path = profile(small="ok", large="ok", extra='[[rules]]\nwhen = { match = "invoice" }\nuse = ["small"]\n')
    for name in ("large", "gpt-5-mini"):
        done = scrimp("ask", "--dry-run", "-p", path, "-m", name, "Pay the invoice.")
        assert done.code == 0
        assert "rule 1" in done.err


def test_a_project_that_says_which_arms_there_are_is_followed(scrimp, profile, keyed, tmp_path, home):
    project = tmp_path / "work" / ".scrimp.toml"
    project.write_text('use = ["small"]\n')
    project.chmod(0o644)
    own = home / "profiles" / "default.toml"
    own.parent.mkdir(parents=True)
    own.write_text(profile(small="ok", large="ok", name="default").read_text())
    done = scrimp("route", "-m", "gpt-5-mini", "hi")
    assert done.code == 2
    assert ".scrimp.toml says which arms there are (small), and openai/gpt-5-mini is none of them" in done.err
    project.write_text("[policy]\nprefer = 'cheap'\n")
    assert scrimp("route", "-m", "gpt-5-mini", "hi").code == 0


def test_an_alias_is_an_arm_or_a_model(scrimp, profile, server, home):
    path = profile(small="ok", large="echo")
    assert scrimp("alias", "set", "best", "large").code == 0
    assert scrimp("alias", "set", "here", HERE).code == 0
    assert scrimp("ask", "-q", "-p", path, "-m", "best", "hi").code == 0
    assert server.chats[-1].model == "echo"
    assert scrimp("ask", "-q", "-p", path, "-m", "here", "--max-tokens", "2", "hi").code == 0
    assert rows(home, "SELECT arm FROM requests ORDER BY n") == [("large",), ("smollm2-135m-instruct",)]
    done = scrimp("ask", "-p", path, "-m", "bets", "hi")
    assert "did you mean 'best'" in done.err
    assert "aliases: best, here" in done.err


def test_a_broken_file_of_aliases_stops_only_who_needs_it(scrimp, profile, home):
    path = profile(small="ok")
    home.mkdir(exist_ok=True)
    (home / "aliases.toml").write_text("oops\n")
    assert scrimp("ask", "-q", "-p", path, "-m", "small", "hi").code == 0
    done = scrimp("ask", "-p", path, "-m", "other", "hi")
    assert done.code == 78
    assert f"{home / 'aliases.toml'}:1: not TOML" in done.err


def test_redo_asks_a_model_and_batch_does(scrimp, profile, server, home, tmp_path):
    path = profile(small="ok")
    assert scrimp("ask", "-q", "-p", path, "hi").code == 0
    done = scrimp("redo", "-p", path, "-m", HERE, "--max-tokens", "3")
    assert done.code == 0, done.err
    assert "asking smollm2-135m-instruct what small answered" in done.err
    (tmp_path / "in.txt").write_text("Name a colour.\nName a tree.\n")
    scrimp("alias", "set", "here", HERE)
    done = scrimp("batch", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl", "-p", path, "-m", "here", "-q", "-y",
                  "--max-tokens", "3")  # fmt: skip
    assert done.code == 6, done.err  # three tokens are too few: the rows are cut
    assert rows(home, "SELECT DISTINCT arm FROM requests WHERE command = 'batch'") == [("smollm2-135m-instruct",)]
    (options,) = rows(home, "SELECT options FROM batch_runs")[0]
    assert json.loads(options)["arm"] == HERE  # whatever becomes of the alias, the run goes on as it began
    assert rows(home, "SELECT DISTINCT output_limit FROM attempts WHERE arm LIKE 'smol%'") == [(3,)]


def test_python_takes_the_same(scrimp, profile, server, home):
    from scrimp import Scrimp
    from scrimp.profiles.errors import UsageError

    scrimp("alias", "set", "here", HERE)
    with Scrimp(str(profile(small="echo"))) as s:
        assert s.ask("hi", arm="here", max_tokens=3).arm == "smollm2-135m-instruct"
        assert s.route("hi", arm="gpt-5-mini").arm == "gpt-5-mini"
        assert s.ask("hi", arm="openai/echo").arm == "small"
        s.ask("hi", temperature=0.5, options={"top_p": 0.25, "max_tokens": 9})
        sent = server.chats[-1].body
        assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.5, 0.25, 9)
        with pytest.raises(UsageError, match="options: n: not an option that is passed on"):
            s.ask("hi", options={"n": 3})
