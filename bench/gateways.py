"""Processes that answer chats, for `serve.py` and `agents.py`: started on free ports, and stopped with all that they started."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from billing import LIMIT, PRICE_IN, PRICE_OUT
from installed import commands_of, locked_version

SCRIMP = str(Path(sys.executable).with_name("scrimp"))
CHAT = "/v1/chat/completions"
START_S = 120.0


class Gateway(ABC):
    """A process with an address; a context manager that stops it."""

    model = "ok"
    ending = signal.SIGTERM
    process: subprocess.Popen[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.token = ""
        self.errors = folder / f"{type(self).__name__}.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start the process, and wait until it answers."""

    def spawn(self, argv: list[str], env: dict[str, str] | None = None, **kwargs: Any) -> None:
        """Start the process in a group of its own: a Ctrl-C at the terminal goes to the bench alone, which stops it in order."""
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                argv,
                env=os.environ | (env or {}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                start_new_session=True,
                **kwargs,
            )

    def stop(self) -> None:
        process = getattr(self, "process", None)
        if process is None:
            return
        for each, patience in ((self.ending, 20), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)

    def wait_until(self, ready: Any) -> None:
        """Wait until `ready()` is true.

        Raises
        ------
        SystemExit
            If the process ends first, or takes longer than two minutes; with the end of its log.
        """
        patience = time.monotonic() + START_S
        while time.monotonic() < patience and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(0.05)
        raise SystemExit(f"{type(self).__name__} does not start:\n{self.errors.read_text()[-2000:]}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> dict[str, Any]:
        """What `load.py` is told of it."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {"port": self.port, "path": CHAT, "headers": headers, "model": self.model}

    def cpu_s(self) -> float:
        """Return the processor's time of the process and its children so far, in seconds."""
        ticks = 0
        for pid in tree(self.process.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return the resident memory of the process and its children, in MB."""
        pages = 0
        for pid in tree(self.process.pid):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def tree(pid: int) -> list[int]:
    """Return a process and all that it started and that still run."""
    found = [pid]
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += tree(int(child))
    return found


class Upstream(Gateway):
    """`upstream.py`."""

    def start(self) -> None:
        self.spawn([sys.executable, str(Path(__file__).with_name("upstream.py"))], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2].partition("/")[0])

    def stats(self) -> dict[str, dict[str, int]]:
        """Return the calls and nano-dollars so far of each model's name."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            stats: dict[str, dict[str, int]] = json.load(answer)
        return stats


class Serve(Gateway):
    """`scrimp serve` on a home of its own."""

    model = "scrimp"

    def __init__(self, folder: Path, profile: str, *, under: str = "") -> None:
        super().__init__(folder)
        self.profile = profile
        self.under = shlex.split(under)
        if self.under:
            self.ending = signal.SIGINT  # at which profilers write what they have
        self.home = folder / "home"
        self.env = {"SCRIMP_HOME": str(self.home), "SCRIMP_RESIDENT": "0"}

    def start(self) -> None:
        files = [self.folder / "serve.port", self.folder / "serve.token"]
        for each in files:
            each.unlink(missing_ok=True)
        where = ["--port", "0", "--port-file", str(files[0]), "--token-file", str(files[1])]
        self.spawn(
            [*self.under, SCRIMP, "serve", "-q", "-p", self.profile, *where], self.env, stdout=subprocess.DEVNULL
        )
        self.wait_until(lambda: all(each.read_text().strip() for each in files))
        self.port, self.token = (each.read_text().strip() for each in files)  # type: ignore[assignment]  # until int
        self.port = int(self.port)
        self.wait_until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None)


class LiteLLMProxy(Gateway):
    """LiteLLM's proxy as its manual says for production, without a database: one worker, a master key, no logging.

    Raises
    ------
    MissingError
        If it cannot be installed.
    """

    def __init__(self, folder: Path, base_url: str) -> None:
        super().__init__(folder)
        self.base_url = base_url
        self.bin = commands_of(f"litellm[proxy]=={locked_version('litellm')}")
        self.token = "sk-bench"

    def config(self) -> dict[str, Any]:
        """Return what its file says."""
        arm = {"model": "openai/litellm", "api_base": self.base_url, "api_key": "none"}
        return {
            "model_list": [{"model_name": self.model, "litellm_params": arm}],
            "litellm_settings": {"set_verbose": False, "telemetry": False, "num_retries": 0, "request_timeout": 600},
            "general_settings": {"master_key": self.token, "disable_spend_logs": True, "disable_error_logs": True},
        }

    def start(self) -> None:
        path = self.folder / "litellm.yaml"
        path.write_text(json.dumps(self.config()))  # JSON is YAML
        quiet = {"version": 1, "disable_existing_loggers": False, "loggers": {"uvicorn.access": {"level": "ERROR"}}}
        (self.folder / "log.json").write_text(json.dumps(quiet))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1", "--telemetry", "False"]
        self.spawn(
            [str(self.bin / "litellm"), "--config", str(path), *where, "--log_config", str(self.folder / "log.json")],
            {
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOG": "ERROR",
                "HOME": str(self.folder),
                "PATH": f"{self.bin}:{os.environ['PATH']}",
            },
            stdout=subprocess.DEVNULL,
        )
        self.wait_until(lambda: urllib.request.urlopen(f"{self.url}/health/liveliness", timeout=1).status == 200)


def two_arms(folder: Path, base_url: str, *, model: str = "", cap_usd: str = "1000") -> Path:
    """Write a profile of two arms at one address, told apart by the names of their models unless one is given; return its path."""
    arms = [
        f"""
[[arms]]
name = "{name}"
model = "openai/{model or name}"
api_base = "{base_url}"
tier = "{name}"
tags = ["json", "tools"]
context_window = 100_000
max_output_tokens = {LIMIT}
price = {{ input_usd_per_mtok = {PRICE_IN}, output_usd_per_mtok = {PRICE_OUT} }}
"""
        for name in ("small", "large")
    ]
    path = folder / "bench.toml"
    path.write_text(f'name = "bench"\ndefault_arm = "small"\n[caps]\nper_day_usd = {cap_usd}\n{"".join(arms)}')
    return path
