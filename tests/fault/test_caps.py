"""Caps under fire: many processes at once, kill -9, and servers that lie about what they used."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from killed_batches import wait_until
from pauses import no_pause

from scrimp.routing.ledger.store import open_ledger

BENCH = Path(__file__).parents[2] / "bench" / "caps.py"
SCRIMP = [sys.executable, "-m", "scrimp.cli"]


@pytest.mark.slow
def test_many_processes_do_not_pass_a_cap_even_when_some_are_killed():
    """The small form of bench/caps.py; the large one is 50 processes of 20 calls."""
    done = subprocess.run(
        [
            sys.executable,
            str(BENCH),
            "--json",
            "--parts",
            "hold,kill",
            "--workers",
            "8",
            "--calls",
            "10",
            "--cap",
            "0.08",
        ],
        capture_output=True,
        text=True,
        timeout=400,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout, done.stderr
    hold, kill = json.loads(done.stdout)
    for result in (hold, kill):
        assert all(result["checks"].values()), result
        assert result["billed_usd"] <= result["cap_usd"]
    assert hold["n_settled"] == hold["n_paid"]
    assert kill["n_killed"] > 0


@pytest.fixture
def killed(home, profile, server):
    """A call that was killed while the server had it."""
    path = profile(small="hang-headers", other="ok", caps="per_day_usd = 0.0020")
    process = subprocess.Popen(
        [*SCRIMP, "ask", "-p", str(path), "-m", "small", "are you there?"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: server.chats)
        with open_ledger(home / "scrimp.db") as ledger:
            (row,) = ledger.rows("SELECT status, reserved_nano, charged_nano FROM reservations")
            assert row["status"] == "reserved"
            assert row["charged_nano"] == row["reserved_nano"] > 0
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    return path, row["reserved_nano"]


def test_a_killed_call_is_unknown_listed_and_charged_until_reconciled(scrimp, killed):
    path, bound = killed
    (call,) = json.loads(scrimp("spend", "--open", "--json", "-p", path).out)["open"]
    assert call["status"] == "unknown"
    assert call["charged_nano"] == bound
    assert "died before it was settled" in scrimp("spend", "--open", "-p", path).out
    caps = json.loads(scrimp("spend", "--json", "-p", path).out)["caps"]
    (day,) = [cap for cap in caps if cap["scope"] == "day"]
    assert day["unknown_usd"] == bound / 1e9
    findings = json.loads(scrimp("doctor", "--json", "-p", path).out)["findings"]
    (finding,) = [each for each in findings if each["what"] == f"call {call['id']}"]
    assert finding["fix"] == f"scrimp spend reconcile {call['id']} USD"
    (finding,) = [each for each in findings if each["what"] == "calls of unknown cost"]
    assert finding["fix"].startswith("scrimp spend reconcile --all-unknown-as")
    assert json.loads(scrimp("log", "show", "last", "--json").out)["status"] == "unknown"
    # Nothing but its owner's word frees it: not time, not another call.
    n_left = day["left_usd"]
    done = scrimp("ask", "-p", path, "-m", "other", "hello " * 300)
    assert done.code == 3, done.err
    assert "is left" in done.err
    assert "rolls over at" in done.err
    done = scrimp("spend", "reconcile", call["id"], "0.0001", "--json")
    data = json.loads(done.out)
    assert [data[name] for name in ("schema_version", "call", "cost_usd", "was")] == [1, call["id"], 0.0001, "unknown"]
    caps = json.loads(scrimp("spend", "--json", "-p", path).out)["caps"]
    (day,) = [cap for cap in caps if cap["scope"] == "day"]
    assert day["unknown_usd"] == 0
    assert day["left_usd"] > n_left


LIES = {
    "other-model": ("settled", "reported", "served by gpt-4o-of-another-name, not openai/other-model"),
    "no-usage": ("unverified", "missing", "usage missing"),
    "zero-usage": ("unverified", "missing", "usage missing"),
    "empty-usage": ("unverified", "missing", "usage missing"),
    "negative-usage": ("unverified", "implausible", "usage implausible"),
    "huge-usage": ("unverified", "implausible", "usage implausible"),
    "cached-above-input": ("unverified", "implausible", "usage implausible"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_lowers_no_charge_and_is_named_in_the_log(scrimp, profile, server, home, lie):
    status, usage_status, note = LIES[lie]
    path = profile(small=lie)
    answer = json.loads(scrimp("ask", "-p", path, "--json", "name three colours").out)
    with open_ledger(home / "scrimp.db") as ledger:
        (row,) = ledger.rows(
            "SELECT r.*, a.usage_status, a.served_model, a.usage, a.cost_nano FROM reservations r JOIN attempts a USING (id)"
        )
    true = server.cost_nano
    assert true > 0
    assert row["status"] == answer["cost_status"] == status
    assert row["charged_nano"] >= true
    assert row["charged_nano"] == (true if status == "settled" else row["reserved_nano"])
    assert (row["cost_nano"] is None) == (status == "unverified")
    assert row["usage_status"] == usage_status
    assert row["note"] == note
    assert any(word in " ".join(answer["notes"]) for word in ("served by", "whole reservation is charged"))
    shown = json.loads(scrimp("log", "show", "last", "--json").out)["attempts"][0]
    assert shown["usage_status"] == usage_status
    if usage_status == "implausible":
        claimed = json.loads(row["usage"])
        assert claimed["input_tokens"] in (-5, 10**12, 2)
        assert answer["input_tokens"] is None
    assert answer["breach"] is False


def test_a_breach_is_charged_at_the_servers_own_bill(scrimp, profile, server, home):
    path = profile(small="breach")
    answer = json.loads(scrimp("ask", "-p", path, "--json", "hello").out)
    assert answer["breach"]
    assert answer["cost_usd"] == server.cost_nano / 1e9
    with open_ledger(home / "scrimp.db") as ledger:
        (row,) = ledger.rows("SELECT breach, charged_nano, reserved_nano FROM reservations")
    assert row["breach"] == 1
    assert row["charged_nano"] == server.cost_nano > row["reserved_nano"]


def test_a_run_cap_holds_over_retries_and_fallbacks(scrimp, profile, server, monkeypatch):
    no_pause(monkeypatch)
    path = profile(small="garbage", large="garbage", caps="per_run_usd = 0.0012")
    done = scrimp("ask", "-p", path, "--prefer", "cheap", "hello")
    assert done.code in (3, 5)
    row = json.loads(scrimp("spend", "--json", "-p", path).out)["rows"][0]
    assert 0 < row["charged_usd"] <= 0.0012


def test_an_override_needs_a_yes_is_logged_and_still_charged(scrimp, profile, server, home):
    path = profile(small="ok", caps="per_day_usd = 0.00001")
    assert scrimp("ask", "-p", path, "hello").code == 3
    done = scrimp("ask", "-p", path, "--cap-override", "0.01", "hello")
    assert done.code == 2
    assert "--yes" in done.err
    assert server.chats == []
    done = scrimp("ask", "-p", path, "--cap-override", "0.01", "--yes", "--json", "hello")
    assert done.code == 0, done.err
    shown = json.loads(scrimp("log", "show", "last", "--json").out)["attempts"][0]
    assert shown["cap_override_nano"] == 10_000_000
    (day,) = json.loads(scrimp("spend", "--json", "-p", path).out)["caps"]
    assert day["settled_usd"] == server.cost_nano / 1e9
    assert scrimp("ask", "-p", path, "hello").code == 3
    done = scrimp("ask", "-p", path, "--cap-override", "0.0000001", "--yes", "hello")
    assert done.code == 3
    assert "--cap-override" in done.err


def test_alerts_are_said_once(scrimp, profile, server):
    path = profile(small="fill", caps="per_day_usd = 0.0025")
    first = scrimp("ask", "-p", path, "hello")
    assert "of the day cap of $0.0025 is used" not in first.err
    second = scrimp("ask", "-p", path, "hello")
    assert "50% passed" in second.err
    assert "passed" not in scrimp("spend", "-p", path).err


def test_an_answer_that_cannot_be_logged_is_shown_and_stays_charged(scrimp, profile, server, home, monkeypatch):
    from scrimp.profiles.errors import LedgerError

    def full(*_args, **_kwargs):
        raise LedgerError("the disk is full")

    path = profile(small="echo")
    monkeypatch.setattr("scrimp.routing.asking.books.settle", full)
    done = scrimp("ask", "-p", path, "hello there")
    assert done.code == 0
    assert done.out == "hello there\n"
    assert "could not be logged" in done.err
    with open_ledger(home / "scrimp.db") as ledger:
        (row,) = ledger.rows("SELECT status, charged_nano, reserved_nano FROM reservations")
    assert row["status"] == "reserved"
    assert row["charged_nano"] == row["reserved_nano"] > 0


@pytest.fixture
def in_flight(scrimp, profile, home):
    """Another call holds nearly the whole day's cap; it is alive, in this very process."""
    from datetime import UTC, datetime

    from scrimp.routing.ledger import reservations

    path = profile(small="ok", caps="per_day_usd = 0.0016")
    assert scrimp("ask", "-p", path, "hello").code == 0
    ledger = open_ledger(home / "scrimp.db")
    held = reservations.reserve(
        ledger, reservations.Charge("r", "test", "small", 1_000_000), (), now=datetime.now(UTC).timestamp()
    )
    yield path, ledger, held
    ledger.close()


def test_an_ask_waits_for_calls_in_flight(scrimp, in_flight, monkeypatch):
    from scrimp.routing.ledger import reservations

    path, ledger, held = in_flight
    looked = []

    def reap(_ledger, *, now):
        """Stand in for a look at the dead: the second one is made while waiting, and the other call ends."""
        looked.append(now)
        if len(looked) == 2:
            reservations.settle(ledger, held, cost_nano=0, released=True, now=now)
        return 0

    monkeypatch.setattr("scrimp.routing.asking.workspace.reap", reap)
    done = scrimp("ask", "-p", path, "hello " * 30)
    assert done.code == 0, done.err
    assert len(looked) == 2


def test_an_ask_does_not_wait_for_ever(scrimp, in_flight, monkeypatch):
    path, _ledger, _held = in_flight
    monkeypatch.setattr("scrimp.routing.asking.workspace.LIVE_WAIT_S", 0.0)
    done = scrimp("ask", "-p", path, "hello " * 300)
    assert done.code == 3
    assert "is left" in done.err
