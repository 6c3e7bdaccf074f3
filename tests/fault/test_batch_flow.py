"""Rows that take other rows' answers, killed at any moment: none is lost, none is paid twice."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warm_worker import Worker

HERE = Path(__file__).parent
N_RUNS = int(os.environ.get("SCRIMP_TEST_KILLED_RUNS", "10"))
"""Each is killed twice: as it begins, and as it is resumed."""
WIDTH, LEVELS = 8, 4


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


class LoggingServer:
    """The test server as a process of its own: its log is what truly arrived."""

    def __init__(self, folder):
        self.log = folder / "server.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE.parent / "server.py"), "--latency-ms", "25", "--log", str(self.log)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.base_url = self.process.stdout.readline().strip()

    @property
    def n_seen(self):
        return len(self.log.read_text().splitlines())

    def asked(self, world):
        """Return how often each row's prompt arrived, by its first word."""
        time.sleep(0.15)  # a request whose client is dead is logged when its answer would have left
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        texts = [row["body"]["messages"][-1]["content"] for row in rows]
        return collections.Counter(text.split()[0] for text in texts if world.name in text)

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory):
    server = LoggingServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


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
    os.truncate(slow_server.log, 0)
    (tmp_path / "profile.toml").write_text(f"""
name = "kill"
[caps]
per_day_usd = 10
[[arms]]
name = "only"
model = "openai/ok@tokens=5"
api_base = "{slow_server.base_url}"
max_output_tokens = 200
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
""")
    rows = graph(tmp_path, random.Random(request.node.name))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def begin(worker, world):
    return worker.start(
        "batch", world / "in.jsonl", "-o", world / "out.jsonl", "-p", world / "profile.toml", "-j", "4",
        home=world / "home",
    )  # fmt: skip


def resume(worker, world, *more):
    return worker.start("batch", "--resume", "-o", world / "out.jsonl", *more, home=world / "home")


def rows_of(world):
    return {row["id"]: row for row in map(json.loads, (world / "out.jsonl").read_text().splitlines())}


def has_begun(world):
    from scrimp.routing.ledger import batches
    from scrimp.routing.ledger.store import open_ledger

    path = world / "home" / "scrimp.db"
    if not path.exists():
        return False
    with open_ledger(path) as ledger:
        return batches.latest(ledger) is not None


def kill_somewhere(worker, world, slow_server, pid, rng):
    seen = slow_server.n_seen
    goal = rng.randint(seen, WIDTH * LEVELS)
    deadline = time.monotonic() + 60
    while slow_server.n_seen < goal and not (world / "out.jsonl").exists():
        assert time.monotonic() < deadline, worker.out.read_text()
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.5 if goal == seen else 0.05))
    os.kill(pid, signal.SIGKILL)
    worker.wait(pid)


@pytest.mark.parametrize("seed", range(N_RUNS))
def test_a_graph_that_is_killed_goes_on(worker, world, slow_server, seed):
    rng = random.Random(seed)
    kill_somewhere(worker, world, slow_server, begin(worker, world), rng)
    if (world / "out.jsonl").exists() or has_begun(world):
        kill_somewhere(worker, world, slow_server, resume(worker, world), rng)
    again = (world / "out.jsonl").exists() or has_begun(world)
    code = worker.wait(resume(worker, world) if again else begin(worker, world))
    rows = rows_of(world)
    every = {f"r{level}.{i}" for level in range(LEVELS) for i in range(WIDTH)}
    assert set(rows) == every, worker.out.read_text()
    unknown = {name for name, row in rows.items() if row["status"] == "unknown"}
    skipped = {name for name, row in rows.items() if row["status"] == "skipped"}
    assert {row["status"] for row in rows.values()} <= {"ok", "unknown", "skipped"}
    assert code == (6 if unknown else 0), "what is skipped waits for what is unknown"
    assert bool(skipped) <= bool(unknown)
    asked = slow_server.asked(world)
    assert max(asked.values()) == 1, "a row was answered twice without being asked for"
    assert every - unknown - skipped <= set(asked)
    assert not skipped & set(asked)
    if not unknown:
        return
    # Nobody says that what was skipped is to be asked too: it was, for what is asked now.
    assert worker.wait(resume(worker, world, "--retry-unknown")) == 0, worker.out.read_text()
    assert {row["status"] for row in rows_of(world).values()} == {"ok"}
    asked = slow_server.asked(world)
    assert set(asked) == every
    assert {name for name, n in asked.items() if n > 1} <= unknown
    assert max(asked.values()) <= 2
