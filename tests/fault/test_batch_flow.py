"""Rows that take other rows' answers, killed at any moment: none is lost, none is paid twice."""

import collections
import json
import random
from pathlib import Path

import pytest
from killed_batches import N_RUNS, killed_twice, resume, rows_of, write_profile

HERE = Path(__file__).parent
WIDTH, LEVELS = 8, 4


def graph(world, rng):
    """Return rows in any order: each but the first level's takes the answers of one to three of the level above."""
    rows = []
    for level in range(LEVELS):
        for i in range(WIDTH):
            name = f"r{level}.{i}"
            above = rng.sample(range(WIDTH), rng.randint(1, 3)) if level else []
            refs = " ".join(f"{{{{@r{level - 1}.{j}}}}}" for j in above)
            rows.append({"id": name, "prompt": f"{name} of {world.name} {refs}", "priority": rng.randint(0, 2)})
    rng.shuffle(rows)
    return rows


@pytest.fixture
def world(tmp_path, slow_server, request):
    slow_server.forget()
    write_profile(tmp_path, slow_server, "@tokens=5", 200)
    rows = graph(tmp_path, random.Random(request.node.name))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def by_id(world):
    return {row["id"]: row for row in rows_of(world / "out.jsonl")}


def asked_of(server, world):
    """Return how often each row's prompt arrived, by its first word."""
    return collections.Counter(text.split()[0] for text in server.prompts() if world.name in text)


@pytest.mark.parametrize("seed", range(N_RUNS))
def test_a_graph_that_is_killed_goes_on(worker, world, slow_server, seed):
    rng = random.Random(seed)
    code = killed_twice(worker, world, slow_server, rng, WIDTH * LEVELS)
    rows = by_id(world)
    every = {f"r{level}.{i}" for level in range(LEVELS) for i in range(WIDTH)}
    assert set(rows) == every, worker.out.read_text()
    unknown = {name for name, row in rows.items() if row["status"] == "unknown"}
    skipped = {name for name, row in rows.items() if row["status"] == "skipped"}
    assert {row["status"] for row in rows.values()} <= {"ok", "unknown", "skipped"}
    assert code == (6 if unknown else 0), "what is skipped waits for what is unknown"
    assert bool(skipped) <= bool(unknown)
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1, "a row was answered twice without being asked for"
    assert every - unknown - skipped <= set(asked)
    assert not skipped & set(asked)
    if not unknown:
        return
    # Nobody says that what was skipped is to be asked too: it was, for what is asked now.
    assert worker.wait(resume(worker, world, "--retry-unknown")) == 0, worker.out.read_text()
    assert {row["status"] for row in by_id(world).values()} == {"ok"}
    asked = asked_of(slow_server, world)
    assert set(asked) == every
    assert {name for name, n in asked.items() if n > 1} <= unknown
    assert max(asked.values()) <= 2
