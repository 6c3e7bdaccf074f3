"""An endpoint as a process of its own, over the loopback provider, and the official clients."""

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest
from conftest import environment

ARMS = {"small": (1, 4, 0.5), "large": (10, 40, 1)}
"""USD per million tokens: input, output, cached input."""


def write_profile(path, server, *, caps="per_day_usd = 1.0", extra="", tags=("json", "vision", "tools"), **behaviours):
    text = f'name = "served"\n[caps]\n{caps}\n[policy]\nexplore = 0.0\n'
    for arm, behaviour in (behaviours or {"small": "ok"}).items():
        price_in, price_out, price_cached = ARMS[arm]
        text += textwrap.dedent(f"""
            [[arms]]
            name = "{arm}"
            model = "openai/{behaviour}"
            api_base = "{server.base_url}"
            tier = "{arm}"
            max_output_tokens = 200
            tags = {json.dumps(list(tags))}
            context_window = 100000
            timeout_s = 20
            price = {{ input_usd_per_mtok = {price_in}, output_usd_per_mtok = {price_out}, cache_read_usd_per_mtok = {price_cached} }}
        """)
    path.write_text(text + extra)
    return path


class Serving:
    """`scrimp serve` as a process."""

    def __init__(self, folder, profile, *flags, home=None):
        self.home = home or folder / "home"
        self.port_file, self.token_file = folder / "port", folder / "token"
        self.errors = folder / "stderr.txt"
        argv = [sys.executable, "-m", "scrimp.cli", "serve", "-p", profile, "--port-file", self.port_file]
        argv += [*(() if "--no-token" in flags else ("--token-file", self.token_file)), *flags]
        with self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                [str(word) for word in argv],
                env=environment(self.home),
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
            )
        deadline = time.monotonic() + 60
        while not self.port_file.exists():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{int(self.port_file.read_text())}"
        self.token = self.token_file.read_text().strip() if "--no-token" not in flags else "none"

    def said(self):
        return self.errors.read_text()

    def rows(self, sql, *parameters):
        with sqlite3.connect(self.home / "scrimp.db") as conn:
            conn.row_factory = sqlite3.Row
            return [SimpleNamespace(**dict(row)) for row in conn.execute(sql, parameters)]

    def charged(self):
        return self.rows("SELECT coalesce(sum(charged_nano), 0) AS nano FROM reservations")[0].nano

    def wait_for(self, sql, *parameters, seconds=10):
        """Return the rows of a query once there are any."""
        deadline = time.monotonic() + seconds
        while not (found := self.rows(sql, *parameters)):
            assert time.monotonic() < deadline, f"no row: {sql}\n{self.said()}"
            time.sleep(0.02)
        return found

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def serve(tmp_path, server):
    """Start an endpoint: `serve(small="ok", flags=[...], caps=...)`."""
    started = []

    def start(*flags, **profile):
        folder = tmp_path / f"served-{len(started)}"
        folder.mkdir()
        started.append(Serving(folder, write_profile(folder / "served.toml", server, **profile), *flags))
        return started[-1]

    yield start
    for each in started:
        each.stop(signal.SIGKILL)


@pytest.fixture
def openai_of():
    """Return an official client of OpenAI's: `openai_of(serving)`."""
    made = []

    def make(serving, **settings):
        import openai

        made.append(
            openai.OpenAI(base_url=f"{serving.url}/v1", api_key=settings.pop("api_key", serving.token), **settings)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def anthropic_of():
    """Return an official client of Anthropic's."""
    made = []

    def make(serving, **settings):
        import anthropic

        made.append(
            anthropic.Anthropic(base_url=serving.url, api_key=settings.pop("api_key", serving.token), **settings)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()
