"""No number that cannot be gets into the ledger; what a user puts right is shown, kept, and can be taken back."""

import json
import math
import os
import sqlite3
from dataclasses import replace

import pytest

from scrimp.profiles.errors import DataError, LedgerError, UsageError
from scrimp.routing.asking.books import Settlement
from scrimp.routing.asking.usage_export import match, read_export
from scrimp.routing.batch.files.output import Journal, Result
from scrimp.routing.batch.state.recovery import entry, recover
from scrimp.routing.ledger import batches, corrections, reservations, suspensions
from scrimp.routing.ledger.batches import Run
from scrimp.routing.ledger.caps import Cap, RefusedError, check_caps
from scrimp.routing.ledger.migrations import MIGRATIONS
from scrimp.routing.ledger.process import this_process
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.spending import open_calls
from scrimp.routing.ledger.store import instant, open_ledger

NOON = 1_781_524_800.0
DAY = "2026-06-15"
BOUND = 1000


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger
        assert reservations.audit_balances(ledger) == {}


def reserve(ledger, *, bound=BOUND, arm="a", run=None, holder=None, at=NOON):
    """Take a reservation, by this process or in the name of another."""
    held = reservations.reserve(
        ledger,
        Charge("r1", "p", arm, bound, run_id=run),
        (),
        now=at,
        attempt={"request_id": "r1", "seq": 1, "kind": "first", "arm": arm},
    )
    reservations.mark_sent(ledger, held.id)
    if holder is not None:
        with ledger.transaction():
            columns = dict(zip(("pid", "process_started", "boot_id", "host", "pid_namespace"), holder, strict=True))
            ledger.update("reservations", ("id", held.id), columns)
    return held


DEAD = (1, "never", this_process().boot_id, this_process().host, this_process().namespace)
OTHER_HOST = (1, "never", "another boot", "farm-7/0123", "pid:[1]")
OTHER_CONTAINER = (os.getpid(), this_process().started, this_process().boot_id, this_process().host, "pid:[1]")


def unknown(ledger, **how):
    held = reserve(ledger, holder=DEAD, **how)
    assert reservations.reap(ledger, now=NOON) == 1
    return held.id


def row_of(ledger, call):
    return ledger.rows("SELECT status, charged_nano, breach, note FROM reservations WHERE id = ?", (call,))[0]


# ---- numbers that cannot be

NEVER = [-1, -(10**18), 10**15 + 1, 10**30, 0.5, math.nan, math.inf, "5", True]


@pytest.mark.parametrize("cost", NEVER, ids=repr)
def test_a_cost_that_cannot_be_charges_the_bound(ledger, cost):
    held = reserve(ledger)
    assert reservations.settle(ledger, held, cost_nano=cost, now=NOON, attempt={"cost_nano": cost}) == (
        "unverified",
        False,
    )
    row = row_of(ledger, held.id)
    assert (row["charged_nano"], row["breach"]) == (BOUND, 0)
    assert "cannot be" in row["note"]
    assert ledger.rows("SELECT cost_nano FROM attempts") == [{"cost_nano": None}]
    settlement = Settlement(held, cost, released=False, attempt={}, note="n")
    assert (settlement.charged_nano, settlement.cost_nano) == (BOUND, None)
    assert settlement.note.startswith("n; a cost of")


@pytest.mark.parametrize("nano", [-1, 0.5, 10**18 + 1], ids=repr)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reservations SET charged_nano = ?",
        "UPDATE reservations SET reserved_nano = ?",
        "UPDATE attempts SET cost_nano = ?",
        "INSERT INTO shared_caps (scope, limit_nano, set_at) VALUES ('shared:day', ?, 'now')",
        "INSERT OR REPLACE INTO batch_rows (run_id, n, status, cost_nano) VALUES ('x', 1, 'ok', ?)",
        "INSERT INTO outcomes (request_id, arm, model, cost_nano) VALUES ('r', 'a', 'm', ?)",
    ],
)
def test_no_statement_puts_such_a_number_there(ledger, statement, nano):
    held = reserve(ledger)
    with pytest.raises(LedgerError, match="does not take this"), ledger.transaction() as conn:
        conn.execute(statement, (nano,))
    assert row_of(ledger, held.id)["charged_nano"] == BOUND


# ---- a journal that was edited

EDITS = {
    "a cost below zero": (("records", 0, "settled", "cost_nano"), -5, "Expected `int` >= 0"),
    "a cost that is no number": (("records", 0, "settled", "cost_nano"), math.nan, "Expected `int | null`"),
    "an absurd cost": (("records", 0, "settled", "cost_nano"), 10**17, "Expected `int` <= "),
    "a cost as text": (("records", 0, "settled", "cost_nano"), "5", "Expected `int | null`"),
    "a call of another run": (("records", 0, "settled", "reservation", "id"), 2, "call 2 is not of this run"),
    "a call that is not there": (("records", 0, "settled", "reservation", "id"), 99, "call 99 is not of this run"),
    "a huge number": (("records", 0, "settled", "reservation", "id"), 10**30, "reservation.id"),
    "a column": (("records", 0, "settled", "attempt"), {"id = 1, kind": 0}, "attempts have no 'id = 1, kind'"),
    "a row's cost": (("result", "cost_nano"), -1, "Expected `int` >= 0"),
    "a row's status": (("result", "status"), "fine", "Invalid enum value"),
    "a field too many": (("result", "more"), 1, "unexpected keyword argument"),
    "no record": (("records", 0), {}, "not enough values"),
    "a list": ((), [], "Expected `object`"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_journal_is_refused_by_line_and_changes_nothing(ledger, tmp_path, edit):
    path, value, why = EDITS[edit]
    run = Run("run1", instant(NOON), "running", "p", "in", "0", str(tmp_path / "o"), 2, {})
    batches.add(ledger, run)
    held, other = reserve(ledger, run="run1", holder=DEAD), reserve(ledger, run="run2")
    assert (held.id, other.id) == (1, 2)
    line = json.loads(entry(1, "r1", [Settlement(held, 7, released=False, attempt={})], Result(1, 1, "ok", "r1")))
    if path:
        at = line
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
    else:
        line = value
    run.partial.write_bytes(entry(0, None, (), None) + json.dumps(line).encode() + b"\n")
    journal = Journal.open(run.partial, new=False)
    try:
        with pytest.raises(DataError, match="line 2: this is not what the run wrote") as caught:
            recover(ledger, run, journal, now=NOON)
    finally:
        journal.close()
    assert why in caught.value.message
    assert "Nothing was sent" in caught.value.hint
    assert [row_of(ledger, each.id)["status"] for each in (held, other)] == ["reserved", "reserved"]


def test_a_line_amid_others_that_is_no_json_is_refused_and_nothing_is_cut(ledger, tmp_path):
    run = Run("run1", instant(NOON), "running", "p", "in", "0", str(tmp_path / "o"), 3, {})
    batches.add(ledger, run)
    whole = entry(0, None, (), None)
    run.partial.write_bytes(whole + b"{not json\n" + whole)
    size = run.partial.stat().st_size
    journal = Journal.open(run.partial, new=False)
    with pytest.raises(DataError, match="it is no JSON"):
        recover(ledger, run, journal, now=NOON)
    journal.close()
    assert run.partial.stat().st_size == size


# ---- holders that cannot be seen


@pytest.mark.parametrize("holder", [OTHER_HOST, OTHER_CONTAINER], ids=["another host", "another container"])
def test_a_call_held_elsewhere_stays_reserved_until_someone_knows(ledger, holder):
    call = reserve(ledger, holder=holder).id
    assert reservations.reap(ledger, now=NOON + 10**6) == 0
    assert row_of(ledger, call)["status"] == "reserved"
    (shown,) = open_calls(ledger)
    assert shown["held_by"] == holder[3].partition("/")[0]
    with pytest.raises(UsageError, match="is held by a process on") as caught:
        corrections.correct(ledger, {call: 5}, now=NOON)
    assert "--yes" in caught.value.hint
    corrections.correct(ledger, {call: 5}, now=NOON, sure=True)
    assert row_of(ledger, call)["charged_nano"] == 5
    corrections.undo(ledger, call, now=NOON)
    assert (row_of(ledger, call)["status"], row_of(ledger, call)["charged_nano"]) == ("unknown", BOUND)


def test_a_call_that_a_living_process_holds_is_never_reconciled(ledger):
    call = reserve(ledger).id
    assert open_calls(ledger)[0]["held_by"] is None
    for sure in (False, True):
        with pytest.raises(UsageError, match=f"still in flight \\(process {os.getpid()}\\)"):
            corrections.correct(ledger, {call: 5}, now=NOON, sure=sure)
    assert row_of(ledger, call)["status"] == "reserved"


def test_rows_of_older_ledgers_are_told_by_boot_and_number(ledger):
    me = this_process()
    reserve(ledger, holder=(me.pid, me.started, me.boot_id, None, None))
    reserve(ledger, holder=(me.pid, "12", me.boot_id, None, None))
    reserve(ledger, holder=(me.pid, me.started, "another boot", None, None))
    assert reservations.reap(ledger, now=NOON) == 2
    assert [row["status"] for row in open_calls(ledger)] == ["reserved", "unknown", "unknown"]


def test_calls_elsewhere_are_waited_for_an_hour_and_no_longer(ledger):
    cap = Cap("day", BOUND, f"day:{DAY}|p:p")
    reserve(ledger, holder=OTHER_HOST)
    for later, waits in ((60, True), (3599, True), (3601, False)):
        with pytest.raises(RefusedError) as caught:
            check_caps(ledger, [cap], 1, now=NOON + later)
        assert caught.value.only_live is waits
        assert "is held by 1 call of another machine or container" in caught.value.message
    ours = Cap("day", BOUND, f"day:{DAY}|p:p|a:b")
    reserve(ledger, arm="b")
    with pytest.raises(RefusedError) as caught:
        check_caps(ledger, [ours], 1, now=NOON + 10**6)
    assert caught.value.only_live, "one of our own lives as long as its process does"


def test_a_refusal_says_what_unknown_calls_hold_and_how_to_free_it(ledger):
    for _ in range(10):
        unknown(ledger)
    with pytest.raises(RefusedError) as caught:
        check_caps(ledger, [Cap("day", 10 * BOUND, f"day:{DAY}|p:p")], 1, now=NOON)
    assert "(" + "$0.000010 is held by 10 calls of unknown cost)" in caught.value.message
    assert "scrimp spend reconcile --all-unknown-as bound|0|FILE.csv" in caught.value.hint


# ---- putting right, and taking it back


def test_a_call_that_is_settled_needs_a_yes(ledger):
    held = reserve(ledger)
    reservations.settle(ledger, held, cost_nano=7, now=NOON)
    with pytest.raises(UsageError, match="call 1 is settled already, at"):
        corrections.correct(ledger, {held.id: 5}, now=NOON)
    assert row_of(ledger, held.id)["charged_nano"] == 7
    (done,) = corrections.correct(ledger, {held.id: 5}, now=NOON, sure=True)
    assert (done.row["charged_nano"], done.nano) == (7, 5)


def test_all_or_none(ledger):
    first, second = unknown(ledger), reserve(ledger).id
    with pytest.raises(UsageError):
        corrections.correct(ledger, {first: 5, second: 5}, now=NOON)
    assert row_of(ledger, first)["status"] == "unknown"


def test_an_arm_is_let_go_when_every_breach_is_gone_and_stopped_again_when_that_is_taken_back(ledger):
    held = [reserve(ledger), reserve(ledger)]
    for each in held:
        assert reservations.settle(ledger, each, cost_nano=2 * BOUND, now=NOON)[1]
    (done,) = corrections.correct(ledger, {held[0].id: BOUND}, now=NOON, sure=True)
    assert not done.resumed
    assert f"call {held[1].id} cost" in suspensions.suspensions(ledger, "p")["a"]
    (done,) = corrections.correct(ledger, {held[1].id: BOUND}, now=NOON, sure=True)
    assert done.resumed
    assert suspensions.suspensions(ledger, "p") == {}
    (done,) = corrections.undo(ledger, None, now=NOON)
    assert done.stopped
    assert set(suspensions.suspensions(ledger, "p")) == {"a"}
    assert row_of(ledger, held[1].id)["charged_nano"] == 2 * BOUND
    assert row_of(ledger, held[0].id)["charged_nano"] == BOUND, "only the last correction is taken back"


def test_nothing_is_taken_back_twice(ledger):
    call = unknown(ledger)
    before = row_of(ledger, call)
    corrections.correct(ledger, {call: 5}, now=NOON)
    corrections.undo(ledger, None, now=NOON)
    assert row_of(ledger, call) == before
    for which in (None, call):
        with pytest.raises(UsageError, match="there is no correction to take back"):
            corrections.undo(ledger, which, now=NOON)


# ---- exports of usage

EXPORTS = {
    "OpenRouter": "generation_id,created_at,cost_total,cost_cache,tokens_prompt\ngen-1,2026-06-15,0.0031,0,12\n",
    "LiteLLM": "request_id,call_type,api_key,spend,total_tokens\ngen-1,acompletion,sk-x,0.0031,12\n",
    "OpenAI": "\ufeffid,object,amount_value,amount_currency\ngen-1,bucket.result,0.0031,usd\n",
    "Anthropic": "Request ID;Model;Cost (USD)\nreq_9;claude;$0.0031\n",
    "tabs and quotes": '"responseId"\t"totalCost"\n"gen-1"\t"0.0031"\n',
    "our own numbers": "call,cost_usd\n1,0.0031\n",
    "our own ids": "request_id,cost\nr1,0.0031\n",
    "several lines": "id,cost_usd,token_type\ngen-1,0.0030,input\ngen-1,0.0001,output\ngen-1,0.0001,output\n",
    "lines without": "id,cost_usd\n,9\ngen-1,\ngen-1,0.0031\n",
}


def named(ledger, call, reply="gen-1", trace="req_9"):
    with ledger.transaction():
        ledger.update("attempts", ("id", call), {"reply_id": reply, "trace_id": trace})


@pytest.mark.parametrize("shape", EXPORTS)
def test_an_export_is_matched_by_the_ids_of_replies(ledger, tmp_path, shape):
    call = unknown(ledger)
    named(ledger, call)
    (tmp_path / "usage.csv").write_text(EXPORTS[shape], encoding="utf-8")
    found = match(read_export(tmp_path / "usage.csv"), corrections.known_calls(ledger))
    assert (found.costs, found.n_open, found.n_settled, found.n_strange) == ({call: 3_100_000}, 1, 0, 0)


def test_what_an_export_does_not_say_is_left_as_it_is(ledger, tmp_path):
    first, second, third = unknown(ledger), unknown(ledger), reserve(ledger)
    reservations.settle(ledger, third, cost_nano=7, now=NOON)
    for call, name in ((first, "one"), (second, "two"), (third.id, "three")):
        named(ledger, call, reply=name, trace=None)
    # r1 is the request of all three: it names none of the two that are open.
    (tmp_path / "usage.csv").write_text("id,cost\none,1\nthree,2\nfour,3\nr1,4\n")
    found = match(read_export(tmp_path / "usage.csv"), corrections.known_calls(ledger))
    assert (found.costs, found.n_open, found.n_settled, found.n_strange) == ({first: 10**9}, 2, 2, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has: no header"),
        ("date,model,cost_usd\n2026-06-15,m,1\n", "no column with the id of each reply"),
        ("id,tokens\na,1\n", "no column with the cost of each call in USD"),
        ("id,cost_usd\na,-1\n", "line 2, column cost_usd: '-1' is no amount: below zero"),
        ("id,cost_usd\nb,1\na,nan\n", "line 3, column cost_usd"),
        ("id,cost_usd\na,1e400\n", "more than"),
        ("id,cost_usd\na,1_000\n", "not a number"),
        ('id,cost_usd\na,"1,5"\n', "not a number"),
        ("id,cost,currency\na,1,EUR\n", "line 2: amounts are in EUR, not USD"),
        ('id,cost\n"a,1\n', "not CSV"),
    ],
)
def test_an_export_that_says_no_costs_is_refused_by_line(tmp_path, text, why):
    (tmp_path / "usage.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_export(tmp_path / "usage.csv")
    assert why in caught.value.message


def test_an_export_that_is_no_file_of_text_is_refused(tmp_path):
    (tmp_path / "usage.csv").write_bytes(b"id,cost\n\xff,1\n")
    for path in (tmp_path / "usage.csv", tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError):
            read_export(path)


# ---- the schema


def test_an_older_ledger_keeps_its_calls_and_knows_why_an_arm_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    path = tmp_path / "scrimp.db"
    conn = sqlite3.connect(path, isolation_level=None)
    for migration in MIGRATIONS[:2]:
        migration(conn)
    conn.execute("PRAGMA user_version = 2")
    conn.execute("INSERT INTO meta (key, value) VALUES ('zone', 'UTC')")
    me = this_process()
    conn.execute(
        "INSERT INTO reservations (request_id, profile, arm, at, day, month, status, reserved_nano, charged_nano, breach, "
        f"pid, process_started, boot_id) VALUES ('r', 'p', 'a', 't', '{DAY}', '2026-06', 'settled', 10, 20, 1, ?, ?, ?)",
        (me.pid, me.started, me.boot_id),
    )
    conn.executemany(
        "INSERT INTO balances (key, live_nano, fixed_nano) VALUES (?, 0, 20)",
        [(f"{window}{end}",) for window in (f"day:{DAY}", "month:2026-06") for end in ("", "|p:p", "|p:p|a:a")],
    )
    conn.execute("INSERT INTO suspensions (profile, arm, at, reason) VALUES ('p', 'a', 't', 'call 1 cost $2, above')")
    conn.close()
    with open_ledger(path) as ledger:
        (done,) = corrections.correct(ledger, {1: 5}, now=NOON, sure=True)
        assert done.resumed
        reserve(ledger)
        assert reservations.audit_balances(ledger) == {}


def test_a_settlement_keeps_what_else_it_says():
    held = reservations.Reservation(1, BOUND, "p", "a")
    fine = Settlement(held, 5, released=False, attempt={}, note=None)
    assert (fine.charged_nano, fine.note, replace(fine, cost_nano=-1).note) == (
        5,
        None,
        "a cost of -1 nano-USD cannot be",
    )
