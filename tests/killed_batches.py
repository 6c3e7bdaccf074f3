"""Batches in processes of their own, killed somewhere, against a server whose log is what truly arrived."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
N_RUNS = int(os.environ.get("SCRIMP_TEST_KILLED_RUNS", "10"))
"""How often a test kills a run somewhere, each time twice: as it begins, and as it is resumed."""


class LoggingServer:
    """The test server as a process of its own."""

    def __init__(self, folder, latency_ms=25):
        self.log = folder / "server.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), "--latency-ms", str(latency_ms), "--log", str(self.log)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.base_url = self.process.stdout.readline().strip()

    @property
    def n_seen(self):
        return len(self.log.read_text().splitlines())

    def prompts(self):
        """Return the prompts that arrived, what earlier tests left hanging among them."""
        time.sleep(0.15)  # a request whose client is dead is logged when its answer would have left
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [row["body"]["messages"][-1]["content"] for row in rows]

    def in_flight(self):
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/stats", timeout=60) as reply:
            return json.load(reply)["in_flight"]

    def forget(self):
        os.truncate(self.log, 0)

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


def write_profile(world, server, behaviour="", max_output_tokens=2000):
    (world / "profile.toml").write_text(f"""
name = "kill"
[caps]
per_day_usd = 10
[[arms]]
name = "only"
model = "openai/ok{behaviour}"
api_base = "{server.base_url}"
max_output_tokens = {max_output_tokens}
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
""")


def begin(worker, world, *more, **how):
    return worker.start(
        "batch", world / "in.jsonl", "-o", world / "out.jsonl", "-p", world / "profile.toml", "-j", "4", *more,
        home=world / "home", **how,
    )  # fmt: skip


def resume(worker, world, *more):
    return worker.start("batch", "--resume", "-o", world / "out.jsonl", *more, home=world / "home")


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def has_begun(world):
    from scrimp.routing.ledger import batches
    from scrimp.routing.ledger.store import open_ledger

    path = world / "home" / "scrimp.db"
    if not path.exists():
        return False
    with open_ledger(path) as ledger:
        return batches.latest(ledger) is not None


def killed_twice(worker, world, server, rng, n_rows, *more):
    """Begin a run, kill it, resume it, kill it, and let it end; return its exit code."""
    _kill_somewhere(worker, world, server, begin(worker, world, *more), rng, n_rows)
    if (world / "out.jsonl").exists() or has_begun(world):
        _kill_somewhere(worker, world, server, resume(worker, world), rng, n_rows)
    again = (world / "out.jsonl").exists() or has_begun(world)
    return worker.wait(resume(worker, world) if again else begin(worker, world, *more))


def _kill_somewhere(worker, world, server, pid, rng, n_rows):
    """Kill a run when the server has seen a random number of its calls: before the first, in the midst, at the end."""
    seen = server.n_seen
    goal = rng.randint(seen, n_rows)
    deadline = time.monotonic() + 60
    while server.n_seen < goal and not (world / "out.jsonl").exists():
        assert time.monotonic() < deadline, worker.out.read_text()
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.5 if goal == seen else 0.05))
    os.kill(pid, signal.SIGKILL)
    worker.wait(pid)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
