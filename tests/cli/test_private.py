"""What is private stays: 200 canaries of eight kinds in every place from which a prompt could take them out."""

import json
import random
import sqlite3
from contextlib import closing

import pytest
from canaries import NAMES, canaries, hidden

FOUND = canaries(200)
RNG = random.Random(11)
TEXTS = [hidden(each, RNG) for each in FOUND]
ALL = "\n".join(TEXTS)


def spelled(value):
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def leaked(text):
    return sorted(each.value for each in FOUND if any(form in text for form in spelled(each.value)))


def in_home(home):
    """Every text that was written down: all columns of all tables, and all files."""
    texts = []
    for path in home.rglob("*"):
        if path.is_file() and path.suffix != ".toml" and not path.name.endswith(".txt"):
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    for path in home.rglob("*"):
        if path.suffix not in (".db", ".sqlite"):
            continue
        with closing(sqlite3.connect(path)) as conn:
            for (table,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                texts += [str(row) for row in conn.execute(f'SELECT * FROM "{table}"')]
    return "\n".join(texts)


def sent(server):
    return "\n".join(json.dumps(each.body, ensure_ascii=False) for each in server.chats)


@pytest.fixture
def kept_in(home, server):
    def check():
        assert server.chats
        assert leaked(sent(server)) == []
        assert leaked(in_home(home)) == []

    return check


@pytest.fixture
def redacting(profile):
    def write(extra="", **behaviours):
        guard = f'\n[guard]\nprivate = "redact"\nnames = {json.dumps(list(NAMES))}\n'
        return profile(caps="per_day_usd = 50.0", extra=guard + extra, **behaviours)

    return write


def test_in_the_prompt_and_back_again(scrimp, redacting, server, kept_in):
    done = scrimp("ask", "-p", redacting(small="echo"), "--no-stream", stdin=ALL)
    assert done.code == 0, done.err
    assert done.out == ALL.strip("\n") + "\n"
    kept_in()
