"""Batches that are killed, interrupted and starved: nothing is lost, and nothing is paid twice unasked."""

import collections
import json
import os
import random
import signal
import time

import pytest
from killed_batches import N_RUNS, begin, killed_twice, resume, rows_of, wait_until, write_profile

N_ROWS = 32


def asked_of(server, world):
    """Return how often each prompt of a test arrived."""
    return collections.Counter(text for text in server.prompts() if text.endswith(f" of {world.name}"))


def prompt(world, i):
    return f"prompt {i} of {world.name}"


@pytest.fixture
def world(tmp_path, slow_server):
    slow_server.forget()
    write_profile(tmp_path, slow_server)
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "prompt": prompt(tmp_path, i)}) + "\n" for i in range(N_ROWS))
    )
    return tmp_path


def audit(world):
    from scrimp.routing.ledger import reservations
    from scrimp.routing.ledger.store import open_ledger

    with open_ledger(world / "home" / "scrimp.db") as ledger:
        assert reservations.audit_balances(ledger) == {}
        statuses = ledger.rows("SELECT status, count(*) AS n FROM reservations GROUP BY status")
        return {row["status"]: row["n"] for row in statuses}


@pytest.mark.parametrize("seed", range(N_RUNS))
def test_killed_at_random_moments_and_resumed(worker, world, slow_server, seed):
    rng = random.Random(seed)
    code = killed_twice(worker, world, slow_server, rng, N_ROWS)
    output = world / "out.jsonl"
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(N_ROWS)], worker.out.read_text()
    unknown = {prompt(world, int(row["id"][1:])) for row in rows if row["status"] == "unknown"}
    assert {row["status"] for row in rows} <= {"ok", "unknown"}
    assert code == (6 if unknown else 0)
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1, "a row was answered twice without being asked for"
    assert {prompt(world, i) for i in range(N_ROWS)} - unknown <= set(asked)
    money = audit(world)
    assert money.get("unknown", 0) == len(unknown)
    assert "reserved" not in money
    if not unknown:
        return
    assert worker.wait(resume(worker, world, "--retry-unknown")) == 0, worker.out.read_text()
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(N_ROWS)]
    assert {row["status"] for row in rows} == {"ok"}
    asked = asked_of(slow_server, world)
    assert set(asked) == {prompt(world, i) for i in range(N_ROWS)}
    assert {text for text, n in asked.items() if n > 1} <= unknown
    assert max(asked.values()) <= 2
    assert sum(asked.values()) - N_ROWS <= money["unknown"]
    audit(world)


def test_the_first_ctrl_c_drains_and_the_run_goes_on_later(worker, world, slow_server):
    write_profile(world, slow_server, "@latency_ms=300")  # slowly enough to be met in the midst
    pid = begin(worker, world)
    wait_until(lambda: slow_server.log.stat().st_size > 0)
    os.kill(pid, signal.SIGINT)
    assert worker.wait(pid) == 130
    assert "--resume" in worker.out.read_text()
    assert not (world / "out.jsonl").exists()
    assert set(audit(world)) == {"settled"}, "every call in flight was waited for"
    n_before = sum(asked_of(slow_server, world).values())
    assert 0 < n_before < N_ROWS
    write_profile(world, slow_server)
    assert worker.wait(resume(worker, world)) == 0
    assert len(rows_of(world / "out.jsonl")) == N_ROWS
    assert set(asked_of(slow_server, world).values()) == {1}
    assert not (world / "out.jsonl.partial").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_told_to_end_drains_too(worker, world, slow_server, number, code):
    write_profile(world, slow_server, "@latency_ms=300")
    pid = begin(worker, world)
    wait_until(lambda: slow_server.log.stat().st_size > 0)
    os.kill(pid, number)
    assert worker.wait(pid) == code
    assert "--resume" in worker.out.read_text()
    assert set(audit(world)) == {"settled"}


def test_the_second_ctrl_c_gives_up_what_is_in_flight(worker, world, slow_server):
    write_profile(world, slow_server, "@latency_ms=60000")
    n_before = slow_server.in_flight()
    pid = begin(worker, world)
    # Two: an arm that has not answered yet gets no more. Reserved is not enough: what never left costs nothing.
    wait_until(lambda: slow_server.in_flight() == n_before + 2)
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: "Ctrl-C again gives them up" in worker.out.read_text())
    started = time.monotonic()
    os.kill(pid, signal.SIGINT)
    assert worker.wait(pid) == 130
    assert time.monotonic() - started < 30, "it did not wait for answers"
    assert audit(world) == {"unverified": 2}
    write_profile(world, slow_server)
    assert worker.wait(resume(worker, world)) == 6
    states = collections.Counter(row["status"] for row in rows_of(world / "out.jsonl"))
    assert states == {"ok": N_ROWS - 2, "unknown": 2}
    assert worker.wait(resume(worker, world, "--retry-unknown")) == 0
    assert {row["status"] for row in rows_of(world / "out.jsonl")} == {"ok"}


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_a_prompt_that_is_interrupted_says_what_it_cost(worker, world, slow_server, number, code):
    write_profile(world, slow_server, "@latency_ms=60000")
    pid = worker.start("ask", "-p", world / "profile.toml", "hello", home=world / "home")
    wait_until(lambda: _n_reserved(world, "sent = 1") == 1)
    time.sleep(0.1)  # the mark comes just before the first byte
    os.kill(pid, number)
    assert worker.wait(pid) == code
    said = worker.out.read_text()
    assert "is charged for this prompt" in said
    assert "scrimp log show" in said
    assert "Traceback" not in said
    assert audit(world) == {"unverified": 1}


def _n_reserved(world, where="true"):
    from scrimp.routing.ledger.store import open_ledger

    path = world / "home" / "scrimp.db"
    if not path.exists():
        return 0
    with open_ledger(path) as ledger:
        return ledger.rows(f"SELECT count(*) AS n FROM reservations WHERE status = 'reserved' AND {where}")[0]["n"]


@pytest.mark.parametrize(
    ("id_length", "file_size", "named"), [(10, 500_000, "scrimp.db"), (300_000, 4_800_000, "out.jsonl.partial")]
)
def test_a_full_disk_stops_cleanly_and_the_run_goes_on_later(worker, world, slow_server, id_length, file_size, named):
    long = [{"id": f"r{i}" + "x" * id_length, "prompt": prompt(world, i)} for i in range(N_ROWS)]
    (world / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in long))
    code = worker.wait(begin(worker, world, file_size=file_size))
    said = worker.out.read_text()
    assert code == 78, said
    assert named in said
    assert not (world / "out.jsonl").exists()
    n_asked = sum(asked_of(slow_server, world).values())
    assert n_asked < N_ROWS
    code = worker.wait(resume(worker, world))
    rows = rows_of(world / "out.jsonl")
    assert len(rows) == N_ROWS
    unknown = sum(row["status"] == "unknown" for row in rows)
    assert unknown <= 4, "answers that could not be written are named"
    assert code == (6 if unknown else 0)
    assert set(asked_of(slow_server, world).values()) == {1}


def test_a_run_that_is_still_going_cannot_be_resumed(worker, world, slow_server):
    write_profile(world, slow_server, "@latency_ms=60000")
    pid = begin(worker, world)
    wait_until(lambda: _n_reserved(world) == 2)
    code, said = worker.run("batch", "--resume", "-o", world / "out.jsonl", home=world / "home")
    _, listed = worker.run("batch", "list", "--json", home=world / "home")
    os.kill(pid, signal.SIGKILL)
    worker.wait(pid)
    assert code == 75
    assert "still going" in said
    assert [run["status"] for run in json.loads(listed)["runs"]] == ["running"]
    _, said = worker.run("batch", "list", "--json", home=world / "home")
    assert [run["status"] for run in json.loads(said)["runs"]] == ["killed"]
