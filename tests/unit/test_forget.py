"""What forgetting knows of the ledger's tables, and what it leaves in the file."""

import sqlite3
import time

import pytest

from scrimp.profiles.errors import TryAgainError
from scrimp.routing.ledger.forget import ABOUT, HOLDS, MONEY, purge, remove, retire
from scrimp.routing.ledger.store import instant, new_id, open_ledger

KEPT = {
    "attempts": {
        "id", "request_id", "seq", "kind", "arm", "requested_model", "served_model", "started_at", "input_bound",
        "output_limit", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
        "usage_status", "cost_nano", "latency_s", "ttft_s", "finish_reason", "error_kind", "reply_id", "trace_id",
        "instructions", "expected_output", "expected_output_p90", "prompt_output", "expected_s", "expected_s_p90",
        "lane",
    },
    "unexported": {"call", "request_id", "profile"},
    "batch_rows": {"run_id", "n", "status", "request_id", "arm", "cost_nano", "offset", "length"},
    "reservations": {
        "id", "request_id", "run_id", "profile", "arm", "source", "tag", "at", "day", "month", "status",
        "sent", "reserved_nano", "charged_nano", "price_id", "breach", "cap_override_nano", "pid", "process_started", "boot_id",
        "settled_at", "note", "host", "pid_namespace", "holder",
    },
}  # fmt: skip
"""Columns that stay when a request is forgotten. A new column is written here, or among what is emptied."""


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def columns(ledger):
    tables = [row["name"] for row in ledger.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: {row["name"] for row in ledger.rows(f"SELECT name FROM pragma_table_info('{name}')")} for name in tables
    }


def test_every_table_about_requests_is_emptied_or_known_to_be_money(ledger):
    about = {
        name: {each for each in names if each == "request_id" or each.endswith("_request")}
        for name, names in columns(ledger).items()
    }
    assert {name for name, found in about.items() if found} == HOLDS.keys() | MONEY
    assert {name: set(ABOUT.get(name, ("request_id",))) for name in HOLDS} == {name: about[name] for name in HOLDS}
    assert not HOLDS.keys() & MONEY


def test_every_column_that_stays_is_known_to_hold_no_text(ledger):
    found = columns(ledger)
    for table in MONEY | {name for name, names in HOLDS.items() if names is not None}:
        assert found[table] - set(HOLDS.get(table, ())) == KEPT[table]


def ask(ledger, text, *, at=0.0, profile="p", logged=True):
    """Write a request that holds its text everywhere; return its id."""
    request_id = new_id()
    with ledger.transaction():
        if logged:
            values = {"created_at": instant(at), "command": "ask", "profile": profile, "status": "ok"}
            ledger.insert("requests", {"id": request_id, "prompt": text, "answer": text, **values})
            step = {
                "seq": 1,
                "stage": 1,
                "kind": "ask",
                "arm": "a",
                "outcome": "answered",
                "charged_nano": 0,
                "at": "t",
            }
            ledger.insert("steps", {"request_id": request_id, "answer": text, **step})
            label = {"arm": "a", "reward": 1.0, "source": "rating", "at": "t"}
            ledger.insert("labels", {"request_id": request_id, "note": text, **label})
            ledger.insert("outcomes", {"request_id": request_id, "arm": "a", "model": text})
        attempt = {"seq": 1, "kind": "first", "arm": "a", "cost_nano": 7}
        ledger.insert("attempts", {"request_id": request_id, "error": text, "usage": text, **attempt})
        ledger.insert(
            "batch_rows", {"run_id": request_id, "n": 0, "status": "ok", "request_id": request_id, "same": text}
        )
    return request_id


def traces(ledger, *words):
    return {
        (path.name, word)
        for path in ledger.path.parent.iterdir()
        for word in words
        if word.encode() in path.read_bytes()
    }


FORGETS = {
    "remove": lambda ledger, request_id: remove(ledger, [request_id]),
    "purge": lambda ledger, _: purge(ledger, before=instant(86_400.0)),
    "retire": lambda ledger, _: retire(ledger, profile="p", before=instant(2 * 86_400.0)),
}


@pytest.mark.parametrize("forget", FORGETS.values(), ids=FORGETS)
def test_each_way_leaves_no_trace_of_one_and_all_of_the_other(ledger, forget):
    old = ask(ledger, "okapi", at=5.0)
    new = ask(ledger, "quagga", at=3 * 86_400.0)
    for duel, left, right in (("a", old, new), ("b", new, old), ("c", new, new)):
        text = "quagga" if old not in (left, right) else "okapi"
        with ledger.transaction():
            ledger.insert(
                "duels",
                {"id": duel, "at": "t", "profile": "p", "left_request": left, "right_request": right, "left_arm": "a",
                 "right_arm": "b", "verdict": "left", "why": text, "prompt_key": text},
            )  # fmt: skip
    assert traces(ledger, "okapi")
    assert forget(ledger, old) == 1
    assert traces(ledger, "okapi") == set()
    for table in ("labels", "outcomes", "steps"):
        assert [row["request_id"] for row in ledger.rows(f"SELECT request_id FROM {table}")] == [new]
    assert {row["id"] for row in ledger.rows("SELECT id FROM duels")} == {"c"}
    kept = ledger.rows("SELECT request_id, error, usage, cost_nano FROM attempts ORDER BY id")
    assert kept == [
        {"request_id": old, "error": None, "usage": None, "cost_nano": 7},
        {"request_id": new, "error": "quagga", "usage": "quagga", "cost_nano": 7},
    ]
    assert {row["request_id"]: row["same"] for row in ledger.rows("SELECT * FROM batch_rows")} == {
        old: None,
        new: "quagga",
    }
    assert ledger.rows("SELECT 1 FROM requests_fts WHERE requests_fts MATCH 'quagga'")


def test_a_profile_retires_its_own_requests_by_whole_days(ledger):
    ask(ledger, "a", at=86_400.0 - 1)
    today = ask(ledger, "b", at=86_400.0 + 1)
    others = ask(ledger, "c", profile="q")
    told = []
    found = retire(ledger, profile="p", before=instant(86_400.0 + 2), tell=lambda *how: told.append(how))
    assert (found, told) == (1, [(1, True)])
    assert {row["id"] for row in ledger.rows("SELECT id FROM requests")} == {today, others}


def test_a_purge_takes_what_belongs_to_no_request(ledger):
    """An error's text that was written of a request whose text was not to be kept."""
    ask(ledger, "okapi", logged=False)
    assert purge(ledger, before=instant(0.0)) == 0
    assert traces(ledger, "okapi") == set()


def test_a_large_index_is_merged_to_its_end(ledger, monkeypatch):
    """In many pieces: one piece alone leaves the words of the deleted request in the index."""
    monkeypatch.setattr("scrimp.routing.ledger.forget._MERGE_PAGES", 8)
    old = ask(ledger, "okapi")
    with ledger.transaction():
        for n in range(300):
            text = " ".join(f"w{n * 7919 + k}" for k in range(300))
            values = {"created_at": instant(9.0), "command": "ask", "profile": "p", "status": "ok"}
            ledger.insert("requests", {"id": new_id(), "prompt": text, **values})
    remove(ledger, [old])
    assert traces(ledger, "okapi") == set()


def test_a_reader_in_the_way_of_a_purge_is_said(ledger):
    ask(ledger, "okapi")
    reader = sqlite3.connect(ledger.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM requests").fetchone()
    started = time.monotonic()
    with pytest.raises(TryAgainError, match="another process reads"):
        purge(ledger)
    assert time.monotonic() - started < 20
    assert remove(ledger, [ask(ledger, "quagga")]) == 1, "a reader stops no other way of forgetting"
    reader.close()
    assert purge(ledger) == 0
    assert traces(ledger, "okapi", "quagga") == set()
