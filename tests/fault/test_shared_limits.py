"""Batches and questions in processes of their own keep an arm's limits together, by what the server saw."""

import json
import os
import signal
import time

import pytest
from killed_batches import wait_until
from server import Server

from scrimp.routing.ledger.leases import Rate
from scrimp.routing.ledger.store import open_ledger


@pytest.fixture(scope="module")
def server():
    with Server(latency_ms=150) as server:
        yield server


@pytest.fixture
def world(tmp_path, server):
    server.reset()
    (tmp_path / "home").mkdir()
    return tmp_path


def profile(world, server, name, limits):
    path = world / f"{name}.toml"
    path.write_text(f"""
name = "{name}"
[[arms]]
name = "{name}"
model = "openai/ok"
api_base = "{server.base_url}"
max_output_tokens = 100
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
limits = {{ {limits} }}
""")
    return path


def batch(worker, world, profile, tag, n_rows):
    rows = world / f"{tag}.jsonl"
    rows.write_text("".join(json.dumps({"id": f"{tag}{i}", "prompt": f"{tag} {i}"}) + "\n" for i in range(n_rows)))
    out = world / f"{tag}.out.jsonl"
    return worker.start("batch", rows, "-o", out, "-p", profile, home=world / "home"), out


def ask(worker, world, profile, text):
    return worker.start("ask", "-q", text, "-p", profile, home=world / "home")


def seen(server, tag=""):
    return sorted(request.time for request in list(server.requests) if request.prompt.startswith(tag))


def n_ok(out):
    return sum(json.loads(line)["status"] == "ok" for line in out.read_text().splitlines())


def held(world):
    with open_ledger(world / "home" / "scrimp.db") as ledger:
        return ledger.rows("SELECT held FROM places")


def test_two_batches_and_questions_keep_the_calls_in_flight_together(worker, world, server):
    """Of two profiles that name the same account; each batch gets its share, and a question never waits long."""
    one, two = (profile(world, server, name, "concurrency = 5") for name in ("one", "two"))
    first, first_out = batch(worker, world, one, "first", 220)
    second, second_out = batch(worker, world, two, "second", 220)
    wait_until(lambda: min(len(seen(server, "first")), len(seen(server, "second"))) >= 8)
    assert server.peak_in_flight <= 4, "one place is left to questions"
    asks = [ask(worker, world, two, f"question {i}") for i in range(3)]
    assert [worker.wait(pid) for pid in asks] == [0, 0, 0]
    assert [worker.wait(pid) for pid in (first, second)] == [0, 0]
    assert (n_ok(first_out), n_ok(second_out)) == (220, 220)
    assert server.peak_in_flight == 5
    tags = ("first", "second")
    begun = max(seen(server, tag)[0] for tag in tags) + 1.5
    end = min(seen(server, tag)[-1] for tag in tags)
    both = [sum(begun <= second <= end for second in seen(server, tag)) for tag in tags]
    assert min(both) >= 0.35 * sum(both) > 0, "each has its share"
    assert seen(server, "question")[-1] < max(seen(server, tag)[-1] for tag in tags), "questions went meanwhile"
    assert held(world) == []


def test_the_places_of_a_killed_batch_are_free(worker, world, server):
    path = profile(world, server, "one", "concurrency = 3")
    killed, _ = batch(worker, world, path, "killed", 200)
    wait_until(lambda: len(seen(server, "killed")) >= 4)
    os.kill(killed, signal.SIGKILL)
    worker.wait(killed)
    assert sum(row["held"] for row in held(world)) == 2
    other, out = batch(worker, world, path, "other", 12)
    assert worker.wait(other) == 0
    assert n_ok(out) == 12
    assert server.peak_in_flight <= 4, "two of the dead may still be under way at the server"
    assert held(world) == []


def test_a_batch_that_is_stopped_while_it_waits_ends_at_once(worker, world, server):
    path = profile(world, server, "one", "rpm = 2")
    waits, _ = batch(worker, world, path, "waits", 5)
    wait_until(lambda: seen(server, "waits"))
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(waits, signal.SIGINT)
    assert worker.wait(waits) == 130
    assert time.monotonic() - began < 20, "and not when its minute is over"
    assert len(seen(server, "waits")) == 1


def test_two_batches_and_a_question_keep_the_rate_together(worker, world, server):
    rpm = 240
    path = profile(world, server, "one", f"rpm = {rpm}")
    pids = [batch(worker, world, path, tag, 28)[0] for tag in ("first", "second")]
    wait_until(lambda: seen(server, "first") and seen(server, "second"))
    assert worker.wait(ask(worker, world, path, "question")) == 0
    assert [worker.wait(pid) for pid in pids] == [0, 0]
    times, rate = seen(server), Rate(rpm)
    assert len(times) == 57
    for start in times:
        for span in (2.0, 5.0):
            most = (
                rate.burst + (span + 1.0) / rate.interval + 2
            )  # a call may be a second late; the question is one more
            assert sum(start <= other < start + span for other in times) <= most
    assert len([1 for other in times if other < times[0] + 60]) <= rpm
    both = [seen(server, tag) for tag in ("first", "second")]
    middle = (max(each[0] for each in both), min(each[-1] for each in both))
    counts = [sum(middle[0] <= second <= middle[1] for second in each) for each in both]
    assert min(counts) >= 0.25 * sum(counts), "they take turns"


def test_a_question_that_cannot_wait_says_why(worker, world, server):
    path = profile(world, server, "one", "rpm = 1")
    assert worker.run("ask", "-q", "first question", "-p", path, home=world / "home")[0] == 0
    code, said = worker.run("ask", "-q", "second question", "-p", path, home=world / "home")
    assert (code, len(seen(server))) == (75, 1)
    assert "one: its limits.rpm of 1 is used up by other calls" in said
    with open_ledger(world / "home" / "scrimp.db") as ledger:
        assert [row["status"] for row in ledger.rows("SELECT status FROM reservations")] == ["settled"]


def test_few_writes_are_made_for_it(worker, world, server):
    """Counted by the ledger itself: what a thousand calls write beside their own rows."""
    path = profile(world, server, "one", "rpm = 100000, tpm = 100000000, concurrency = 64")
    server.latency_ms, before = 20, server.latency_ms
    try:
        pid, out = batch(worker, world, path, "many", 400)
        assert worker.wait(pid) == 0
    finally:
        server.latency_ms = before
    assert n_ok(out) == 400
    with open_ledger(world / "home" / "scrimp.db") as ledger:
        (taken,) = ledger.rows("SELECT count(*) AS n, sum(requests) AS requests FROM takes")
        (leases,) = ledger.rows("SELECT coalesce(max(seq), 0) AS n FROM sqlite_sequence WHERE name = 'places'")
    assert taken["n"] <= 20
    assert taken["requests"] >= 400
    assert leases["n"] == 1


def test_arms_without_limits_leave_no_trace(worker, world, server):
    path = profile(world, server, "one", "")
    pid, _ = batch(worker, world, path, "free", 5)
    assert worker.wait(pid) == 0
    assert worker.wait(ask(worker, world, path, "question")) == 0
    with open_ledger(world / "home" / "scrimp.db") as ledger:
        assert ledger.rows("SELECT 1 FROM takes UNION ALL SELECT 1 FROM places") == []
        assert ledger.rows("SELECT 1 FROM sqlite_sequence WHERE name = 'places'") == []
