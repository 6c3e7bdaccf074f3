"""A long log: what is packed, sums that are kept, reports from parts, purges beside a writer, damage found in parts."""

import ast
import json
import math
import random
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from made_log import NOW, fill

from scrimp.profiles.errors import LedgerError
from scrimp.routing.asking.housekeeping import keep_sums
from scrimp.routing.ledger import digests, forget, store, upkeep
from scrimp.routing.ledger.audit import audit_balances, audit_some
from scrimp.routing.ledger.caps import window_keys
from scrimp.routing.ledger.corrections import correct
from scrimp.routing.ledger.documents import insert_request
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.migrations import MIGRATIONS
from scrimp.routing.ledger.packing import floats, pack, pack_floats, unpack
from scrimp.routing.ledger.requests import export, find, listing
from scrimp.routing.ledger.reservations import Reservation, settle
from scrimp.routing.ledger.spending import GROUPS, sums
from scrimp.routing.ledger.store import instant, new_id, open_ledger
from scrimp.routing.reports.lengths import length_report, tally_lengths
from scrimp.routing.reports.quality import quality_report, tally_requests
from scrimp.routing.reports.tally import Tally, quantile_of

EVERY = (0, 2**62)


def sum_up(ledger):
    """Set the sums that caps are checked by, of calls that were written without them."""
    found = {}
    for row in ledger.rows("SELECT * FROM reservations"):
        for key in window_keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]):
            found[key] = found.get(key, 0) + row["charged_nano"]
    with ledger.transaction() as conn:
        conn.executemany("INSERT OR REPLACE INTO balances VALUES (?, 0, ?)", found.items())


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


@pytest.fixture(scope="module")
def long_path(tmp_path_factory):
    """A ledger of two full blocks and some more."""
    path = tmp_path_factory.mktemp("long") / "scrimp.db"
    with open_ledger(path) as ledger:
        fill(ledger, n=2 * digests.BLOCK + 300)
        sum_up(ledger)
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def long(long_path, tmp_path):
    (tmp_path / "scrimp.db").write_bytes(long_path.read_bytes())
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


# ---- packed


@pytest.mark.parametrize(
    "text", ["", "null", '{"arms": []}', '{"a": "\\ud83d \ud800 é"}', json.dumps(list(range(9999)))]
)
def test_a_trace_is_read_as_it_was_written(text):
    assert unpack(pack(text)) == text
    assert unpack(text) == text, "what an older version wrote"


def test_a_trace_that_is_damaged_is_none_that_was_kept():
    packed = pack('{"a": 1}')
    assert unpack(b"\x07" + packed[1:]) is None
    assert unpack(b"\x01\xff\xff\xff") is None


@pytest.mark.parametrize("seed", range(20))
def test_an_embedding_keeps_its_direction(seed):
    vector = np.random.default_rng(seed).normal(size=384).astype("<f4")
    vector /= np.linalg.norm(vector)
    kept = pack_floats(vector.tobytes())
    again = np.frombuffer(floats(kept), "<f4")
    assert len(kept) < 0.26 * 4 * 384
    assert again @ vector / np.linalg.norm(again) > 0.9999
    assert floats(vector.tobytes()) == vector.tobytes(), "what an older version wrote"


@pytest.mark.parametrize("values", [[], [0.0] * 4, [1.0, 2.0, 3.0], [float("nan")] * 4, [float("inf"), 0, 0, 0]])
def test_an_odd_embedding_stays_what_it_was(values):
    vector = np.array(values, "<f4").tobytes()
    assert floats(pack_floats(vector)) == vector


def test_requests_of_both_shapes_are_read_alike(ledger):
    trace = '{"plan": {"stages": [1, 2]}, "arms": []}'
    row = {"created_at": instant(1.0), "command": "ask", "profile": "p", "status": "ok"}
    with ledger.transaction():
        insert_request(ledger, {**row, "id": "new", "decision": trace, "surface": "[1.0]"})
        ledger.insert("requests", {**row, "id": "old", "decision": trace, "surface": "[1.0]", "n_stages": 2})
    kept = {r["id"]: type(r["decision"]) for r in ledger.rows("SELECT id, decision FROM requests")}
    assert kept == {"new": bytes, "old": str}
    assert find(ledger, "new")["decision"] == find(ledger, "old")["decision"] == trace
    assert [each["decision"] for each in export(ledger)] == [json.loads(trace)] * 2
    assert [each["n_stages"] for each in ledger.rows("SELECT n_stages FROM requests")] == [2, 2]


def test_a_ledger_of_the_version_before_is_brought_up(tmp_path):
    path = tmp_path / "scrimp.db"
    conn = sqlite3.connect(path, isolation_level=None)
    for migration in MIGRATIONS[:6]:
        migration(conn)
    conn.execute("PRAGMA user_version = 6")
    conn.execute("INSERT INTO meta (key, value) VALUES ('zone', 'UTC')")
    vector = np.ones(4, "<f4").tobytes()
    for n, plan in enumerate(('{"stages": [1, 2, 3]}', "null")):
        conn.execute(
            "INSERT INTO requests (id, created_at, command, profile, status, prompt, decision, embedding) "
            "VALUES (?, 't', 'ask', 'p', 'ok', 'okapi', ?, ?)",
            (f"r{n}", f'{{"plan": {plan}}}', vector),
        )
        conn.execute(
            "INSERT INTO reservations (request_id, profile, arm, at, day, month, status, reserved_nano, charged_nano) "
            "VALUES (?, 'p', 'a', '2026-01-01T00:00:00Z', '2026-01-01', '2026-01', ?, 9, 9)",
            (f"r{n}", ("settled", "unverified")[n]),
        )
        conn.execute(
            "INSERT INTO attempts (id, request_id, seq, kind, arm, input_tokens) VALUES (?, ?, 1, 'first', 'a', 5)",
            (n + 1, f"r{n}"),
        )
    conn.close()
    with open_ledger(path) as ledger:
        assert [row["n_stages"] for row in ledger.rows("SELECT n_stages FROM requests")] == [3, None]
        (found,) = sums(ledger, "day")
        assert (found["n_calls"], found["charged_nano"], found["settled_nano"], found["unverified_nano"]) == (
            2,
            18,
            9,
            9,
        )
        assert (found["input_tokens"], found["output_tokens"]) == (10, None)
        sum_up(ledger)
        assert audit_balances(ledger) == {}
        assert len(listing(ledger, query="okapi")) == 2
        with ledger.transaction() as conn:
            conn.execute("UPDATE requests SET answer = 'quagga' WHERE id = 'r0'")
        assert [row["id"] for row in listing(ledger, query="quagga")] == ["r0"]


def statements():
    """Every text of the ledger's modules that reads requests, with what stands in braces left out."""
    for path in sorted(Path(store.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )
            if path.name != "migrations.py" and re.search(r"SELECT .*\b(FROM|JOIN) requests\b", text):
                yield path.name, text


def test_what_is_packed_is_read_in_one_way():
    found = list(statements())
    assert len(found) > 20
    for name, text in found:
        for hit in re.finditer(r"(\S*\(|AS )?(?:\b[a-z]\.)?\b(decision|surface|embedding)\b(?! IS)", text):
            assert hit[1] in ("AS ", "unpacked(", "floats(") or (hit[1] or "").endswith(("(unpacked(", "(floats(")), (
                name,
                text,
            )


# ---- sums


@pytest.mark.parametrize("by", GROUPS)
def test_sums_are_those_of_the_calls(long, by):
    column = {
        "day": "r.day", "week": "strftime('%Y-W%W', r.day)", "month": "r.month", "arm": "r.profile || '/' || r.arm",
        "profile": "r.profile", "source": "coalesce(r.source, '-')", "tag": "coalesce(r.tag, '-')",
    }[by]  # fmt: skip
    expected = long.rows(
        f"SELECT {column} AS name, count(*) AS n_calls, sum(charged_nano) AS charged_nano, sum(input_tokens) AS "
        "input_tokens, sum(output_tokens) AS output_tokens FROM reservations r LEFT JOIN attempts a ON a.id = r.id "
        "GROUP BY 1 ORDER BY 1"
    )
    found = sorted(sums(long, by), key=lambda row: row["name"])
    assert [{name: row[name] for name in expected[0]} for row in found] == expected


def test_a_sum_that_is_wrong_is_found(long):
    assert audit_balances(long) == {}
    wrong, until = audit_some(long, seconds=60.0)
    assert (wrong, until) == ({}, max(row["name"] for row in sums(long, "day")))
    with long.transaction() as conn:
        (day,) = conn.execute("SELECT min(day) FROM spent").fetchone()
        conn.execute("UPDATE spent SET input_tokens = input_tokens + 1 WHERE day = ? AND arm = 'small'", (day,))
        conn.execute("UPDATE balances SET fixed_nano = fixed_nano + 1 WHERE key = ?", (f"day:{day}",))
    for found in (audit_balances(long), audit_some(long, seconds=60.0)[0]):
        assert sorted(key.partition(":")[0] for key in found) == ["day", "spent"]


def test_an_audit_goes_on_where_it_stopped(long):
    days = [row["name"] for row in sums(long, "day")]
    assert [audit_some(long, seconds=0.0)[1] for _ in range(len(days) + 2)] == [*days, *days[:2]]


# ---- reports from parts


def direct(ledger, since=None):
    """What a report counts when it reads all of the log."""
    whole = Tally()
    for part in tally_requests(ledger, EVERY, None if since is None else instant(since)).values():
        whole.add(part)
    lengths = tally_lengths(ledger, EVERY, None if since is None else instant(since))
    return whole, {arm: counts for part in lengths.values() for arm, counts in part.items()}


def same(ledger, since=None):
    whole, lengths = direct(ledger, since)
    found = quality_report(ledger, since=since)
    assert (found.n, found.n_known, found.n_right, found.charged_nano) == (
        whole.n, whole.n_known, whole.n_right, whole.charged_nano,
    )  # fmt: skip
    assert (found.n_plans, found.n_escalated) == (whole.n_plans, whole.n_escalated)
    assert {arm.arm: (arm.n, arm.n_known, arm.n_right) for arm in found.arms} == {
        arm: tuple(counts[:3]) for arm, counts in whole.arms.items()
    }
    assert {each.check: [each.n_pass, each.n_fail, each.n_abstain, each.n_labelled] for each in found.checks} == {
        check: counts[:4] for check, counts in whole.checks.items()
    }
    assert found.latency_p50_s == pytest.approx(quantile_of(whole.latencies, 0.5))
    assert {
        each.arm: [each.n, each.n_covered, each.n_bounded] for each in length_report(ledger, since=since)
    } == lengths
    return found


def blocks(ledger, kind="requests"):
    return [row["block"] for row in ledger.rows("SELECT block FROM digests WHERE kind = ?", (kind,))]


def test_a_report_is_the_sum_of_its_parts(long):
    found = same(long)
    assert found.n == 2 * digests.BLOCK + 300
    assert found.n_plans
    assert found.n_known
    assert found.checks
    assert blocks(long) == [0, 1]
    assert same(long) == found, "now from what is kept"


def test_summing_up_tells_how_far_it_is(long):
    with long.transaction() as conn:
        conn.execute("DELETE FROM digests")
    told = []
    quality_report(long, tell=lambda done, total: told.append((done, total)))
    assert told == [(n * digests.BLOCK, 2 * digests.BLOCK) for n in range(3)]
    quality_report(long, tell=lambda *_: pytest.fail("there is nothing left to sum up"))
    for since in (0.0, NOW - 44 * 86_400, NOW - 20 * 86_400, NOW - 600.0, NOW + 1):
        same(long, since)


def test_after_a_batch_the_sums_are_there_before_anybody_asks(long):
    keep_sums(long)
    assert (blocks(long), blocks(long, "calls")) == ([0, 1], [0, 1])
    same(long)


CHANGES = {
    "a label": lambda ledger, of: add_label(ledger, request_id=of, arm="small", reward=0.0, source="audit", at="t"),
    "a correction": lambda ledger, of: correct(
        ledger, {ledger.rows("SELECT id FROM reservations WHERE request_id = ?", (of,))[0]["id"]: 1}, now=NOW, sure=True
    ),
    "forgotten": lambda ledger, of: forget.remove(ledger, [of]),
    "another end": lambda ledger, of: ledger.rows(
        "UPDATE requests SET status = 'failed' WHERE id = ? RETURNING id", (of,)
    ),
    "later tokens": lambda ledger, of: ledger.rows(
        "UPDATE attempts SET output_tokens = 7000, latency_s = 99 WHERE request_id = ? RETURNING id", (of,)
    ),
    "a step": lambda ledger, of: ledger.rows("UPDATE steps SET stage = 2 WHERE request_id = ? RETURNING id", (of,)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_later_is_counted_once(long, change):
    before = same(long)
    (row,) = long.rows("SELECT id FROM requests WHERE n = 6")
    change(long, row["id"])
    assert blocks(long) == [1]
    after = same(long)
    assert blocks(long) == [0, 1]
    if change is not CHANGES["a step"]:
        assert after != before


def test_a_call_in_flight_keeps_its_block_open(long):
    """It may end long after 2,000 others were asked: until then its block is read each time."""
    for sql in (
        "UPDATE reservations SET status = 'reserved' WHERE id = 5 RETURNING id",
        "UPDATE attempts SET latency_s = NULL, output_tokens = NULL, input_tokens = NULL WHERE id = 5 RETURNING id",
    ):
        assert long.rows(sql)
    before = same(long)
    assert (blocks(long), blocks(long, "calls")) == ([1], [1])
    held = Reservation(5, 10**12, "work", "small")
    settle(long, held, cost_nano=12345, now=NOW, attempt={"latency_s": 9.0, "output_tokens": 9, "input_tokens": 1})
    assert same(long) != before
    assert (blocks(long), blocks(long, "calls")) == ([0, 1], [0, 1])


def test_a_purge_of_whole_blocks_leaves_a_true_report(long):
    same(long)
    (row,) = long.rows("SELECT created_at FROM requests WHERE n = ?", (digests.BLOCK + 500,))
    assert forget.purge(long, before=row["created_at"]) == digests.BLOCK + 499
    assert same(long).n == digests.BLOCK - 499 + 300
    assert sum(each["n_calls"] for each in sums(long, "month")) > 2 * digests.BLOCK, "the money stays"
    assert audit_balances(long) == {}


def test_quantiles_are_within_a_step(long):
    values = sorted(row["s"] for row in long.rows("SELECT sum(latency_s) AS s FROM attempts GROUP BY request_id"))
    found = quality_report(long)
    for q, is_ in ((0.5, found.latency_p50_s), (0.95, found.latency_p95_s)):
        assert math.isclose(is_, values[int(q * len(values))], rel_tol=0.011)


def test_a_search_is_answered_from_the_newest_on(long):
    found = listing(long, query="question", limit=5)
    assert found == listing(long, limit=5)
    assert listing(long, query="question 17", limit=5)[0]["prompt"] == "question 17"
    assert listing(long, query="question", limit=5, arm="coder:low")[0]["arm"] == "coder:low"
    assert listing(long, query="no such word") == []


# ---- forgetting beside a writer


def writes(path, until, waits):
    """Write a request every few milliseconds, as a batch does, and note how long each had to wait."""
    with open_ledger(path) as ledger:
        while not until.is_set():
            began = time.monotonic()
            with ledger.transaction():
                row = {"created_at": instant(NOW + 10), "command": "batch", "profile": "w", "status": "ok"}
                insert_request(ledger, {**row, "id": new_id(), "prompt": "a row of the batch"})
            waits.append(time.monotonic() - began)
            time.sleep(0.003)


def test_a_batch_writes_on_while_the_log_is_purged(long, monkeypatch):
    monkeypatch.setattr(forget, "SMALL_BYTES", 0)
    waits, over = [], threading.Event()
    writer = threading.Thread(target=writes, args=(long.path, over, waits))
    writer.start()
    told = []
    try:
        while not waits:
            time.sleep(0.01)
        assert (
            forget.purge(long, before=instant(NOW + 1), tell=lambda n, over: told.append((n, over)))
            == 2 * digests.BLOCK + 300
        )
    finally:
        over.set()
        writer.join()
    assert len(told) > 3, "it is done in pieces"
    assert told == sorted(told)
    assert [over for _, over in told] == [False] * (len(told) - 1) + [True]
    assert len(waits) > 10
    assert max(waits) < 3.0
    assert len(listing(long, query="batch", limit=10_000)) == len(waits)
    assert long.rows("SELECT count(*) AS n FROM steps") == [{"n": 0}]
    assert long.rows("PRAGMA freelist_count") == [{"freelist_count": 0}], "given back in pieces"


PURGE = """
import sys
from pathlib import Path
from scrimp.routing.ledger import forget
from scrimp.routing.ledger.store import open_ledger
with open_ledger(Path(sys.argv[1])) as ledger:
    print(forget.purge(ledger, tell=lambda n, over: print(n, flush=True)))
"""


def test_a_purge_that_is_killed_goes_on(long):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PURGE), str(long.path)], stdout=subprocess.PIPE, text=True
    )
    first = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    (left,) = long.rows("SELECT count(*) AS n FROM requests")
    assert 0 < left["n"] <= 2 * digests.BLOCK + 300 - first
    assert long.rows("SELECT 1 FROM steps WHERE request_id NOT IN (SELECT id FROM requests)") == []
    assert forget.purge(long) == left["n"]
    for word in ("question", "answer 4"):
        assert word.encode() not in long.path.read_bytes()


# ---- damage


def test_a_large_ledger_is_looked_over_in_parts(long, monkeypatch):
    monkeypatch.setattr(upkeep, "WHOLE_BYTES", 0)
    monkeypatch.setattr(upkeep, "_FEW", 500)
    monkeypatch.setattr(upkeep, "_SLICE", 1000)
    with long.transaction() as conn:
        (page,) = conn.execute(
            "SELECT pageno FROM dbstat WHERE name = 'requests' AND pagetype = 'leaf' ORDER BY pageno DESC "
            "LIMIT 1 OFFSET 40"
        ).fetchone()
    long.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    with long.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x00" * 64)
    with open_ledger(long.path) as again:
        upkeep.make_sure(again)
        with pytest.raises(LedgerError, match="cannot be read"):
            list(map(upkeep.look_over, [again] * 6))
        assert upkeep.look_over(again, whole=True)[0]


def test_random_vectors_rank_alike():
    """The nearest of many prompts stays the nearest."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 384)).astype("<f4")
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    kept = np.stack([np.frombuffer(floats(pack_floats(row.tobytes())), "<f4") for row in base])
    for i in random.Random(0).sample(range(200), 20):
        near, again = base @ base[i], kept @ kept[i]
        assert np.abs(near - again).max() < 0.005
