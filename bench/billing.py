"""A server that bills by itself, and workers in processes of their own: what every part of `caps.py` stands on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

SERVER = Path(__file__).parents[1] / "tests" / "server.py"
PRICE_IN, PRICE_OUT = "1", "4"
MEDIAN_TOKENS, LIMIT = 300, 1200


class BillingServer:
    """The server, in a process of its own; `bills` is its account, read when it has stopped."""

    def __init__(self, log: Path, seed: int) -> None:
        self.log = log
        arguments = ["--price-in", PRICE_IN, "--price-out", PRICE_OUT, "--median-tokens", str(MEDIAN_TOKENS)]
        arguments += ["--latency-ms", "40", "--seed", str(seed), "--log", str(log)]
        self.process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.base_url = self.process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()

    def bills(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [row for row in rows if row["path"].endswith("/chat/completions")]


def fork(work: Any, *arguments: Any) -> int:
    """Run `work(*arguments)` in a child, and return its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work(*arguments)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def wait_for(pids: list[int], deadline: float) -> int:
    """Wait for children; kill those that are late, and return how many those were."""
    late = 0
    left = set(pids)
    while left:
        for pid in list(left):
            if os.waitpid(pid, os.WNOHANG)[0]:
                left.discard(pid)
        if left and time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            late, left = len(left), set()
        time.sleep(0.02)
    return late
