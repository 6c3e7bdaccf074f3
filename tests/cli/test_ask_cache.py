"""`ask --cache`: the very same question's answer again, for nothing; off unless asked for, and shared with `batch --cache`."""

import contextlib
import json
import sqlite3

import pytest

ASK = "What is a tide?"


def ask(scrimp, path, *argv, code=0):
    done = scrimp("ask", "--json", "-p", path, *argv)
    assert done.code == code, done.err
    return json.loads(done.out) if code in (0, 7) else done


def test_a_hit_costs_nothing_says_so_and_is_the_last_request(scrimp, profile, server):
    path = profile(small="ok")
    first = ask(scrimp, path, "--cache", "1h", ASK)
    done = scrimp("ask", "-p", path, "--cache", "1h", ASK)
    assert done.out.strip() == first["answer"]
    assert f"from the cache: the answer to {first['id']}" in done.err
    assert "[small · $0 · " in done.err
    again = ask(scrimp, path, "--cache", "1h", ASK)
    assert (again["cost_usd"], again["cost_status"]) == (0, "settled")
    assert f"from the cache: the answer to {first['id']}" in again["notes"]
    assert len(server.chats) == 1
    assert scrimp("ask", "-q", "-p", path, "--cache", "1h", ASK).err == ""
    assert json.loads(scrimp("spend", "--json", "-p", path).out)["rows"][0]["n_calls"] == 1
    assert (
        f"({scrimp('rate', 'good').err.split()[2]})" in f"({json.loads(scrimp('log', '--json').out)['rows'][0]['id']})"
    )
    follow = ask(scrimp, path, "-c", "And a spring tide?")
    assert [each["content"] for each in server.chats[-1].body["messages"]][:2] == [ASK, first["answer"]]
    assert follow["notes"] == []


@pytest.mark.parametrize(
    "other",
    [
        (ASK + "?",),
        ("-m", "large", ASK),
        ("-s", "Be brief", ASK),
        ("-o", "temperature", "0", ASK),
        ("--max-tokens", "20", ASK),
        ("--brief", ASK),
    ],
)
def test_what_is_not_the_very_same_is_asked(scrimp, profile, server, other):
    path = profile(small="ok", large="echo")
    ask(scrimp, path, "-m", "small", "--cache", "1h", ASK)
    ask(scrimp, path, *(() if "-m" in other else ("-m", "small")), "--cache", "1h", *other)
    assert len(server.chats) == 2


def test_it_is_off_unless_asked_for_and_goes_by_age(scrimp, profile, server, home):
    path = profile(small="ok")
    ask(scrimp, path, ASK)
    ask(scrimp, path, "--cache", "1h", ASK)
    assert len(server.chats) == 2  # what was asked without it is not kept
    ask(scrimp, path, ASK)
    assert len(server.chats) == 3
    with contextlib.closing(sqlite3.connect(home / "cache" / "responses.db")) as conn, conn:
        conn.execute("UPDATE answers SET at = at - 7200")
    ask(scrimp, path, "--cache", "1d", ASK)
    assert len(server.chats) == 3
    ask(scrimp, path, "--cache", "1h", ASK)
    assert len(server.chats) == 4
    for age in ("soon", "0h", "1"):
        assert ask(scrimp, path, "--cache", age, ASK, code=2).err.startswith(f"scrimp: --cache {age}")


def test_what_is_not_to_be_kept_is_not(scrimp, profile, server, home):
    path = profile(small="echo")
    assert "keeps no text" in ask(scrimp, path, "--cache", "1h", "--no-log", ASK, code=2).err
    for _ in range(2):
        ask(scrimp, path, "--cache", "1h", "--private", "redact", "write to ann@example.org")
    assert len(server.chats) == 2  # its placeholders stand for what the cache is not to hold
    assert not any(b"ann@example.org" in each.read_bytes() for each in home.rglob("*") if each.is_file())


@pytest.mark.parametrize("command", [("log", "rm", "last", "--yes"), ("log", "purge", "--yes")])
def test_what_is_forgotten_is_forgotten_there_too(scrimp, profile, server, command):
    path = profile(small="ok")
    ask(scrimp, path, "--cache", "1h", ASK)
    done = scrimp(*command)
    assert done.code == 0
    assert "forgot 1 cached answer" in done.err
    ask(scrimp, path, "--cache", "1h", ASK)
    assert len(server.chats) == 2


def test_an_answer_that_failed_its_check_is_not_kept_and_one_is_checked_again(scrimp, profile, server):
    path = profile(small="say@text=plain")
    ask(scrimp, path, "--cache", "1h", "--check", "has:fancy", ASK, code=7)
    ask(scrimp, path, "--cache", "1h", "--check", "has:plain", ASK)
    ask(scrimp, path, "--cache", "1h", "--check", "has:plain", ASK)
    assert len(server.chats) == 2
    ask(scrimp, path, "--cache", "1h", "--check", "has:fancy", ASK, code=7)
    assert len(server.chats) == 3


def test_batch_and_ask_share_it(scrimp, profile, server, tmp_path):
    path = profile(small="ok")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": ASK}) + "\n")
    assert scrimp("batch", rows, "-o", tmp_path / "out.jsonl", "-p", path, "--cache", "1h").code == 0
    ask(scrimp, path, "--cache", "1h", ASK)
    assert len(server.chats) == 1
    ask(scrimp, path, "--cache", "1h", "Another")
    rows.write_text(json.dumps({"prompt": "Another"}) + "\n")
    assert scrimp("batch", rows, "-o", tmp_path / "out2.jsonl", "-p", path, "--cache", "1h").code == 0
    assert len(server.chats) == 2
