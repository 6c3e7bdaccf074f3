"""Batches whose rows are asked by processes beside the run: killed and interrupted, against the server's own bill."""

import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest
from killed_batches import begin, killed_twice, resume, rows_of, wait_until, write_profile

LATENCY_MS = 100
N_ROWS = 60
N_KILLED = int(os.environ.get("SCRIMP_TEST_KILLED_RUNS", "1"))
"""Starting two workers takes seconds: fewer runs are killed than elsewhere, unless more are asked for."""


@pytest.fixture
def world(tmp_path, slow_server):
    slow_server.forget()
    write_profile(tmp_path, slow_server, "@tokens=5", 200)
    rows = [{"id": f"r{i}", "prompt": f"r{i} of {tmp_path.name}"} for i in range(N_ROWS)]
    write_rows(tmp_path, rows)
    return tmp_path


def write_rows(world, rows):
    (world / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def begin_beside(worker, world, *more):
    return begin(worker, world, "--workers", "2", *more)


def workers_of(world):
    """Return the processes that work for runs of a world, whoever their parents are by now."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_bytes().split(b"\0")
            if b"scrimp.routing.batch.workers.local" in words and bytes(world) in (each / "environ").read_bytes():
                found.append(int(each.name))
    return found


def asked_of(server, world):
    return collections.Counter(text.split()[0] for text in server.prompts() if world.name in text)


def by_id(world):
    rows = rows_of(world / "out.jsonl")
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row for row in rows}


def money(world):
    """Return (status, charged, reserved) of the ledger's calls, once its sums are seen to agree."""
    from scrimp.routing.ledger.reservations import audit_balances
    from scrimp.routing.ledger.store import open_ledger

    path = world / "home" / "scrimp.db"
    with open_ledger(path) as ledger:
        assert audit_balances(ledger) == {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        return list(db.execute("SELECT status, charged_nano, reserved_nano FROM reservations"))


def billed(server, world):
    """Return what the server bills for a world, nano-USD, at the prices of its profile: 1 and 4 dollars a million."""
    server.prompts()
    rows = [json.loads(line) for line in server.log.read_text().splitlines()]
    mine = [row for row in rows if world.name in row["body"]["messages"][-1]["content"]]
    return sum(1_000 * row["input_tokens"] + 4_000 * row["output_tokens"] for row in mine)


def test_one_of_two_is_killed(worker, world, slow_server):
    pid = begin_beside(worker, world)
    wait_until(lambda: asked_of(slow_server, world).total() >= 12)
    victims = workers_of(world)
    assert len(victims) == 2
    os.kill(min(victims), signal.SIGKILL)
    code = worker.wait(pid)
    said = worker.out.read_text()
    assert "is lost: the others go on" in said
    rows = by_id(world)
    assert len(rows) == N_ROWS
    unknown = {name for name, row in rows.items() if row["status"] == "unknown"}
    assert {row["status"] for row in rows.values()} == {"ok", "unknown"}, said
    assert (code, len(unknown) <= 4) == (6, True), "what it had in flight is unknown, and nothing else is"
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1
    assert set(asked) >= set(rows) - unknown
    calls = money(world)
    left = [(charged, bound) for status, charged, bound in calls if status != "settled"]
    assert len(left) == len(unknown)
    assert all(charged == bound for charged, bound in left), "what may be billed stays charged in full"
    assert sum(charged for _, charged, _ in calls) >= billed(slow_server, world)
    assert worker.wait(resume(worker, world, "--retry-unknown")) == 0
    assert {row["status"] for row in by_id(world).values()} == {"ok"}
    assert {name for name, n in asked_of(slow_server, world).items() if n > 1} <= unknown


def test_an_interrupt_waits_for_what_is_in_flight(worker, world, slow_server):
    pid = begin_beside(worker, world)
    wait_until(lambda: asked_of(slow_server, world).total() >= 8)
    os.kill(pid, signal.SIGINT)
    assert worker.wait(pid) == 130, worker.out.read_text()
    n_asked = asked_of(slow_server, world).total()
    assert n_asked < N_ROWS
    assert {status for status, *_ in money(world)} == {"settled"}
    assert worker.wait(resume(worker, world)) == 0
    assert asked_of(slow_server, world) == {f"r{i}": 1 for i in range(N_ROWS)}
    assert len(by_id(world)) == N_ROWS


@pytest.mark.parametrize("seed", range(N_KILLED))
def test_the_run_itself_is_killed(worker, world, slow_server, seed):
    code = killed_twice(worker, world, slow_server, random.Random(seed), N_ROWS, "--workers", "2")
    rows = by_id(world)
    unknown = {name for name, row in rows.items() if row["status"] == "unknown"}
    assert len(rows) == N_ROWS, worker.out.read_text()
    assert {row["status"] for row in rows.values()} <= {"ok", "unknown"}
    assert code == (6 if unknown else 0)
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1, "a row was answered twice without being asked for"
    assert set(asked) >= set(rows) - unknown
    wait_until(lambda: slow_server.in_flight() == 0)
    wait_until(lambda: not workers_of(world))
