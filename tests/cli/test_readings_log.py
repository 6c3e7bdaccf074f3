"""What the log keeps of files that go with a prompt, shows of them, and asks again with."""

import json

import pytest

from scrimp.profiles.paths import paths
from scrimp.routing.ledger.store import open_ledger

FILLER = "Nothing of note happened in this part of the year, and the board met as it always does on such a day. "
NEEDLE = "The net loss of Quagga Mining in the first quarter was 4,711 dollars after impairment of the okapi herd. "
TEXT = "\n\n".join([FILLER * 12] * 12 + [NEEDLE + FILLER * 8] + [FILLER * 12] * 12)
"""Some 12,000 tokens: more than the passages that may be sent."""

QUESTION = "What was the net loss of Quagga Mining in the first quarter?"


@pytest.fixture
def filing(home, tmp_path):
    path = tmp_path / "work" / "10k.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def path(profile):
    return profile(small="say@text=4711", large="say@text=4,711")


def sent(server):
    return [chat.body["messages"] for chat in server.chats]


def test_try(scrimp, server, path, filing):
    for argv in (
        ("ask", "-x", "-p", path, "-f", filing, "-m", "small/passages", QUESTION),
        ("log",), ("log", "show"), ("log", "show", "--passages"), ("redo",), ("log", "show", "--json"),
        ("ask", "-c", "-p", path, "and the second?"),
    ):
        done = scrimp(*argv)
        print("$", *argv[:4], done.code, "\n", done.out[:6000], "\n---\n", done.err[:6000])
    assert 0
