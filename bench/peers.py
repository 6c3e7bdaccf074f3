"""Other tools in the place of the ledger: the same workers, the same server, the same cap.

`LiteLLM's BudgetManager` counts after the fact. `governer` and `inferrail` are gateways that reserve before they send; each is
installed for the time of the run, from PyPI, into a virtual environment of its own, and configured as its manual says. Their
second round kills the gateway with -9 twice while calls are on their way, and starts it again on the same files, as a
supervisor would: the bill of the whole round counts.
"""

from __future__ import annotations

import abc
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from billing import LIMIT, PRICE_IN, PRICE_OUT, BillingServer, fork, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE_S = 100.0
KILLS_S = (1.5, 1.5)
"""Seconds before each kill, counted from when the gateway answers."""


@dataclass(frozen=True)
class Round:
    """One peer in one setting: how many workers ask how often, under which cap, against which server."""

    workers: int
    calls: int
    cap_nano: int
    base_url: str
    folder: Path

    @property
    def cap_usd(self) -> float:
        return self.cap_nano / 1e9


def measure(workers: int, calls: int, cap_nano: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Put each peer through the stress test, and hold the server's bill against the cap."""
    settings: list[tuple[str, Callable[[Round], None]]] = [
        ("LiteLLM's BudgetManager, as documented", lambda each: budget_manager(each, reload=False)),
        ("LiteLLM's BudgetManager, its file read before each call", lambda each: budget_manager(each, reload=True)),
    ]
    for gateway in (Governer, Inferrail):
        settings += [
            (gateway.package, lambda each, gateway=gateway: through(gateway, each, kills=())),
            (f"{gateway.package}, killed twice", lambda each, gateway=gateway: through(gateway, each, kills=KILLS_S)),
        ]
    return [
        _one(name, run, workers, calls, cap_nano, seed, folder / f"peer-{n}") for n, (name, run) in enumerate(settings)
    ]


def _one(
    name: str, run: Callable[[Round], None], workers: int, calls: int, cap_nano: int, seed: int, folder: Path
) -> dict[str, Any]:
    folder.mkdir()
    missing = None
    began = time.monotonic()
    with BillingServer(folder / "server.jsonl", seed) as server:
        try:
            run(Round(workers, calls, cap_nano, server.base_url, folder))
        except MissingError as error:
            missing = str(error)
        seconds = time.monotonic() - began
        time.sleep(0.3)  # what dead clients asked for is billed all the same
    bills = server.bills()
    total = sum(bill["cost_nano"] for bill in bills)
    return {
        "part": f"peer, {name}",
        "ok": missing is not None or bool(bills),
        "missing": missing,
        "billed_usd": total / 1e9,
        "cap_usd": cap_nano / 1e9,
        "overshoot": total / cap_nano - 1,
        "n_paid": len(bills),
        "seconds": round(seconds, 1),
    }


class MissingError(Exception):
    """A peer cannot be measured here: why."""


# ---- LiteLLM's BudgetManager


def budget_manager(each: Round, *, reload: bool) -> None:
    """Run it in an interpreter of its own, untouched by scrimp's settings of LiteLLM."""
    values = [each.base_url, str(each.workers), str(each.calls), str(each.cap_nano), str(int(reload))]
    process = subprocess.Popen(
        [sys.executable, __file__, *values],
        cwd=each.folder,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(DEADLINE_S + 40)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and its workers
        process.wait()
    if process.returncode != 0:
        raise MissingError("stopped for lack of time")


def as_budget_manager(base_url: str, workers: str, calls: str, cap_nano: str, reload: str) -> None:
    import litellm
    from litellm import BudgetManager

    litellm.suppress_debug_info = True
    rates = {"input_cost_per_token": float(PRICE_IN) / 1e6, "output_cost_per_token": float(PRICE_OUT) / 1e6}
    litellm.register_model({"openai/ok": {**rates, "litellm_provider": "openai", "mode": "chat"}})
    litellm.register_model({"ok": {**rates, "litellm_provider": "openai", "mode": "chat"}})
    first = BudgetManager(project_name="stress")
    first.create_budget(total_budget=int(cap_nano) / 1e9, user="u")
    first.save_data()

    def work(worker: int) -> None:
        manager = BudgetManager(project_name="stress")
        for n in range(int(calls)):
            if int(reload):
                for _ in range(50):
                    try:
                        manager.load_data()
                        break
                    except ValueError:  # another process is in the middle of writing it
                        time.sleep(0.005)
            if manager.get_current_cost("u") > manager.get_total_budget("u"):
                continue
            response = litellm.completion(
                model="openai/ok",
                messages=[{"role": "user", "content": _prompt(worker, n)}],
                max_tokens=LIMIT,
                api_base=base_url,
                api_key="k",
                max_retries=0,
            )
            manager.update_cost(completion_obj=response, user="u")

    began = time.monotonic()
    late = wait_for([fork(work, n) for n in range(int(workers))], began + DEADLINE_S)
    os._exit(1 if late else 0)


def _prompt(worker: int, n: int) -> str:
    return f"worker {worker} call {n}: name some colours"


# ---- gateways


class Gateway(abc.ABC):
    """A gateway that keeps a cap, started on a free port; `url` is where clients send what they would send the provider."""

    package: str
    version: str
    headers: tuple[tuple[str, str], ...]

    def __init__(self, each: Round) -> None:
        self.each = each
        self.bin = _installed(self.package, self.version, each.folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log = (each.folder / "gateway.log").open("ab")
        self.process = self.start()

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Return the command line that serves on the port, in the folder of the round."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it takes connections."""
        process = subprocess.Popen(
            self.command(),
            cwd=self.each.folder,
            env={**os.environ, "HOME": str(self.each.folder), "PEER_KEY": "k", "DO_NOT_TRACK": "1"},
            stdout=self.log,
            stderr=self.log,
        )
        patience = time.monotonic() + 30
        while time.monotonic() < patience and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return process
            time.sleep(0.05)
        process.kill()
        raise MissingError(f"it does not start: {(self.each.folder / 'gateway.log').read_text()[-300:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Governer(Gateway):
    package, version = "governer", "1.0.2"
    headers = ()

    def command(self) -> list[str]:
        prices = ["--default-in", PRICE_IN, "--default-out", PRICE_OUT]
        where = ["--upstream", self.each.base_url, "--port", str(self.port), "--ledger", "spend.jsonl"]
        return [str(self.bin / "governer"), "proxy", "--limit", str(self.each.cap_usd), *prices, *where]


class Inferrail(Gateway):
    package, version = "inferrail", "0.4.16"
    headers = (("X-Inferrail-Attribute-Work-Id", "stress"),)

    def command(self) -> list[str]:
        price = {"input_usd_per_million": PRICE_IN, "output_usd_per_million": PRICE_OUT, "source": "bench"}
        config = {
            "providers": {
                "up": {"type": "openai_compatible", "api_key_env": "PEER_KEY", "base_url": self.each.base_url}
            },
            "default_provider": "up",
            "telemetry": {"sink": "none"},
            "receipts": {"sink": "sqlite", "path": "receipts.db"},
            "budgets": {"enabled": True, "path": "budgets.db", "per_work_default_usd": str(self.each.cap_usd)},
            "usage_ping": {"enabled": False},
            "pricing": {"up": {"ok": {**price, "verified_date": "2026-01-01"}}},
        }
        path = self.each.folder / "inferrail.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        return [str(self.bin / "inferrail"), "serve", "--config", str(path), "--port", str(self.port), "--no-telemetry"]


def _installed(package: str, version: str, folder: Path) -> Path:
    """Install a package into a virtual environment beside `folder`, once, and return its folder of commands.

    Raises
    ------
    MissingError
        If it cannot be had.
    """
    place = folder.parent / f"venv-{package}"
    uv = shutil.which("uv")
    if uv is None:
        raise MissingError("uv is not here to install it")
    if not place.exists():
        for command in (
            [uv, "venv", "-q", "--python", sys.executable, str(place)],
            [uv, "pip", "install", "-q", "--python", str(place / "bin" / "python"), f"{package}=={version}"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                shutil.rmtree(place, ignore_errors=True)
                raise MissingError(f"{package} {version} cannot be installed: {done.stderr.strip()[-200:]}")
    return place / "bin"


def through(kind: type[Gateway], each: Round, *, kills: tuple[float, ...]) -> None:
    """Let all workers spend through a gateway; kill it and start it again after each of `kills` seconds."""
    gateway = kind(each)
    try:
        began = time.monotonic()
        pids = [fork(ask_away, gateway.url, gateway.headers, n, each.calls) for n in range(each.workers)]
        for seconds in kills:
            time.sleep(seconds)
            gateway.kill()
            gateway.process = gateway.start()
        if wait_for(pids, began + DEADLINE_S):
            raise MissingError("stopped for lack of time")
    finally:
        gateway.kill()
        gateway.log.close()


def ask_away(url: str, headers: tuple[tuple[str, str], ...], worker: int, calls: int) -> None:
    """Ask `calls` prompts, one after the other, until one is refused for good; go on after any other failure."""
    import httpx

    with httpx.Client(timeout=60.0, trust_env=False) as client:
        for n in range(calls):
            body = {"model": "ok", "max_tokens": LIMIT, "messages": [{"role": "user", "content": _prompt(worker, n)}]}
            for _ in range(100):
                with contextlib.suppress(httpx.TransportError):
                    client.post(
                        f"{url}/chat/completions", json=body, headers={"Authorization": "Bearer k", **dict(headers)}
                    )
                    break
                time.sleep(0.1)  # the gateway is away: the same prompt again, as a client's retries would


if __name__ == "__main__":
    as_budget_manager(*sys.argv[1:])
