"""Weak labels from what a user does: asking again, in other words or of another arm; seen, optional, and never in the way."""

import json

import numpy as np
import pytest

from scrimp.routing.asking.signals import nearly_same
from scrimp.routing.asking.stock import embedder
from scrimp.routing.learn.data.labelled import JUDGES, SOURCES, WEAK
from scrimp.routing.learn.data.read import read_log
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.router.arms import ArmInfo

ONE = "How do I list the branches of a git repository?"
AGAIN = "how can I list all branches in a git repo"


def labels(scrimp):
    rows = [json.loads(line) for line in scrimp("log", "export").out.splitlines()]
    return [[(each["source"], each["reward"], each["weight"]) for each in row["labels"]] for row in rows]


def asked(scrimp, path, *texts, typed=""):
    for text in texts:
        assert scrimp("ask", "-q", "-p", path, text, typed=typed).code == 0


@pytest.mark.parametrize(
    ("signals", "texts", "typed", "marked"),
    [
        ("all", (ONE, AGAIN), "", True),
        ("redo", (ONE, AGAIN), "", False),
        ("off", (ONE, AGAIN), "", False),
        ("all", (ONE, ONE), "", False),
        ("all", (ONE, "Name a colour"), "", False),
        ("all", (ONE, AGAIN), None, False),
    ],
)
def test_nearly_the_same_at_once_is_a_weak_mark_where_it_is_wanted(scrimp, profile, signals, texts, typed, marked):
    path = profile(small="ok", large="ok", extra=f'[log]\nsignals = "{signals}"\n')
    asked(scrimp, path, *texts, typed=typed)
    assert labels(scrimp) == [[("asked-again", 0.25, 0.5)] if marked else [], []]
    if marked:
        first = json.loads(scrimp("log", "--json").out)["rows"][-1]["id"]
        assert "by asked-again, weak (nearly the same was asked" in scrimp("log", "show", first).out
        assert "labels: 1 asked-again" in scrimp("learn", "status", "-p", path).out


def test_what_was_long_ago_or_of_another_profile_is_no_mark(scrimp, profile, home):
    extra = '[log]\nsignals = "all"\n'
    path, other = (profile(name=name, small="ok", large="ok", extra=extra) for name in ("one", "two"))
    asked(scrimp, path, ONE)
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE requests SET created_at = '2020-01-01T00:00:00.000000Z'")
    # Younger than what the profile keeps, or it would be forgotten: a day ago is long ago.
    asked(scrimp, other, ONE)
    asked(scrimp, path, AGAIN)
    assert all(not each for each in labels(scrimp))


def test_redo_leaves_no_mark_where_none_is_wanted(scrimp, profile):
    path = profile(small="ok", large="ok", extra='[log]\nsignals = "off"\n')
    assert scrimp("ask", "-q", "-p", path, "-m", "small", ONE).code == 0
    assert scrimp("redo", "-p", path, "-m", "large").code == 0
    assert labels(scrimp) == [[], []]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (ONE, AGAIN, True),
        ("difference between tcp and udp", "explain the difference between udp and tcp", True),
        (ONE, f" {ONE} ", False),
        ("capital of France?", "capital of Germany?", False),
        ("Is 51 a prime number?", "Is 53 a prime number?", False),
        ("explain recursion", "explain iteration", False),
        ('What does "sic" mean in a quotation?', 'What does "viz" mean in a quotation?', False),
    ],
)
def test_what_is_nearly_the_same(before, after, same, tmp_path):
    vectors = embedder("builtin", tmp_path).embed([before, after])
    rows = [
        {"prompt": text, "embedding": np.asarray(v, "<f4").tobytes(), "embedder_id": "e", "sources": None}
        for text, v in zip((before, after), vectors, strict=True)
    ]
    assert nearly_same(*rows) == same
    assert not nearly_same(rows[0], {**rows[1], "prompt": None})
    assert not nearly_same(rows[0], {**rows[1], "sources": json.dumps([{"sha256": "0" * 64}])})


def test_a_weak_mark_counts_little_and_not_beside_a_label(tmp_path):
    assert not WEAK & JUDGES
    assert all(SOURCES[source] * 0.5 < 0.5 * SOURCES["rating"] + 1e-9 for source in WEAK)
    arms = [ArmInfo(name="small", model="openai/x"), ArmInfo(name="large", model="openai/y")]
    with open_ledger(tmp_path / "scrimp.db") as ledger, ledger.transaction():
        for n, sources in enumerate((("asked-again",), ("asked-again", "redo", "rating"), ("redo",))):
            key = f"x{n:025d}"
            ledger.insert(
                "requests",
                {"id": key, "created_at": "2026-01-01", "command": "ask", "profile": "test", "status": "ok",
                 "arm": "small", "prompt": f"question {n}", "embedder_id": "e",
                 "embedding": np.ones(4, "<f4").tobytes()},
            )  # fmt: skip
            for source in sources:
                reward, weight = (1.0, 1.0) if source == "rating" else (0.25, 0.5)
                add_label(ledger, request_id=key, arm="small", reward=reward, source=source, weight=weight, at="2026")
        log = read_log(ledger, "test", arms, embedder_id="e", dim=4)
    assert log.reward[:, 0].tolist() == [0.25, 1.0, 0.25]
    assert log.weight[:, 0].tolist() == [0.125, 0.5, 0.25]
    assert np.isnan(log.judged).all()
