"""An endpoint over the loopback provider, and the official clients."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
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
            model = {json.dumps("openai/" + behaviour)}
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


class Served:
    """What tests ask of an endpoint, wherever it runs: its address, and the ledger behind it."""

    def __init__(self, home, url, token):
        self.home = home
        self.url = url
        self.token = token

    def rows(self, sql, *parameters):
        with contextlib.closing(sqlite3.connect(self.home / "scrimp.db")) as conn:
            conn.row_factory = sqlite3.Row
            return [SimpleNamespace(**dict(row)) for row in conn.execute(sql, parameters)]

    def charged(self):
        return self.rows("SELECT coalesce(sum(charged_nano), 0) AS nano FROM reservations")[0].nano

    def wait_for(self, sql, *parameters, seconds=20):
        """Return the rows of a query once there are any."""
        deadline = time.monotonic() + seconds
        while not (found := self.rows(sql, *parameters)):
            assert time.monotonic() < deadline, f"no row: {sql}\n{self.said()}"
            time.sleep(0.02)
        return found


class _Hasty:
    """asyncio, for uvicorn: it looks ten times a second whether it is to stop, and here a hundred times."""

    def __getattr__(self, name):
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds):
        await asyncio.sleep(min(seconds, 0.01))


class Inside(Served):
    """An endpoint of a profile that was loaded, in a thread of this process."""

    def __init__(self, home, loaded, *, token="scrimp-of-the-tests", **settings):
        import uvicorn.server

        from scrimp.cli.serving import make_endpoint
        from scrimp.routing.serving.listen import bind, url_of

        uvicorn.server.asyncio = _Hasty()
        sock = bind("127.0.0.1", 0)
        self.lines = []
        try:
            self.endpoint = make_endpoint(loaded, sock, token=token, told=self.lines.append, **settings)
        except BaseException:
            sock.close()
            raise
        super().__init__(home, url_of(sock), token)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._go()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    async def _go(self):
        self._loop = asyncio.get_running_loop()
        running = await self.endpoint.start()
        self._ready.set()
        await running

    def said(self):
        return "\n".join(self.lines)

    def stop(self, *, now=True):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: self.endpoint.stop(now=now))
        self._thread.join(30)
        assert not self._thread.is_alive(), "the endpoint did not stop"


class Process(Served):
    """`scrimp serve` as a process."""

    def __init__(self, folder, profile, *flags):
        self.port_file, self.token_file = folder / "port", folder / "token"
        self.errors = folder / "stderr.txt"
        argv = [sys.executable, "-m", "scrimp.cli", "serve", "-p", profile, "--port-file", self.port_file]
        argv += ["--token-file", self.token_file, *flags]
        with self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                [str(word) for word in argv],
                env=environment(folder / "home"),
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
            )
        deadline = time.monotonic() + 60
        while not self.port_file.exists():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        url = f"http://127.0.0.1:{int(self.port_file.read_text())}"
        super().__init__(folder / "home", url, self.token_file.read_text().strip())

    def said(self):
        return self.errors.read_text()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def serve(home, tmp_path, server):
    """Start an endpoint: `serve(small="ok", caps=..., settings={...})`."""
    from scrimp.cli import session

    started = []

    def start(*, settings=None, **profile):
        path = write_profile(tmp_path / f"served-{len(started)}.toml", server, **profile)
        started.append(Inside(home, session.load(str(path)), **(settings or {})))
        return started[-1]

    session.keys.cache_clear()
    yield start
    for each in started:
        each.stop()
    session.close()


@pytest.fixture
def serve_process(tmp_path, server):
    """Start `scrimp serve` as a process: `serve_process(flag, ..., small="ok")`."""
    started = []

    def start(*flags, **profile):
        folder = tmp_path / f"process-{len(started)}"
        folder.mkdir()
        started.append(Process(folder, write_profile(folder / "served.toml", server, **profile), *flags))
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
