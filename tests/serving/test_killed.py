"""An endpoint that is killed, whose ledger fails or is held, and whose router changes; and what is kept of its requests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from serving.conftest import Served, write_profile
from warm_worker import Worker

from scrimp.profiles.paths import paths
from scrimp.routing.router.in_force import SHIPPED, load_router
from scrimp.routing.router.versions import promote, write_version

SECRET, ANSWER = "okapiprompt", "quaggaanswer"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def ask(serving, *messages, model="scrimp", **more):
    """Return the status and the reply of a request; each message is the user's, or a dictionary."""
    said = [each if isinstance(each, dict) else {"role": "user", "content": each} for each in messages]
    headers = {"content-type": "application/json", "x-api-key": serving.token}
    body = json.dumps({"model": model, "messages": said, **more}).encode()
    request = urllib.request.Request(f"{serving.url}/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            raw = reply.read()
            return reply.status, raw if more.get("stream") else json.loads(raw)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


# -- killed, or without a disk: processes


class Forked(Served):
    """`scrimp serve` as a fork of the warm process."""

    def __init__(self, worker, folder, profile, **how):
        self.worker, self.folder = worker, folder
        port, token = folder / "port", folder / "token"
        argv = ("serve", "-p", profile, "--port-file", port, "--token-file", token)
        self.pid = worker.start(*argv, home=folder / "home", **how)
        self.out = worker.out
        deadline = time.monotonic() + 60
        while not port.exists():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        super().__init__(folder / "home", f"http://127.0.0.1:{int(port.read_text())}", token.read_text().strip())

    def said(self):
        return self.out.read_text()

    def end(self, number=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.worker.wait(self.pid)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    started = Worker(tmp_path_factory.mktemp("worker"))
    yield started
    started.close()


@pytest.fixture
def forked(worker, tmp_path, server):
    """Start an endpoint in a process of its own: `forked(file_size=..., small="ok")`."""

    def start(*, file_size=None, **profile):
        return Forked(worker, tmp_path, write_profile(tmp_path / "served.toml", server, **profile), file_size=file_size)

    return start


def look_after(worker, serving):
    """Run a command that pays, short of paying."""
    code, said = worker.run("ask", "--dry-run", "-p", serving.folder / "served.toml", "hello", home=serving.home)
    assert code == 0, said
    return said


@pytest.mark.parametrize("streamed", [False, True])
def test_killed_while_a_call_is_out(forked, worker, server, streamed):
    serving = forked(small="drip@tokens=500,pause_s=0.2" if streamed else "hang-headers")
    out = threading.Event()
    server.on_chat = lambda _n: out.set()
    failed = []

    def client():
        try:
            ask(serving, "hello", stream=streamed)
        except OSError as error:
            failed.append(error)

    asking = threading.Thread(target=client)
    asking.start()
    assert out.wait(30)
    assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    asking.join(30)
    assert failed, "the client was answered"
    (held,) = serving.rows("SELECT * FROM reservations")
    assert held.status == "reserved"
    look_after(worker, serving)
    (held,) = serving.rows("SELECT * FROM reservations")
    assert (held.status, held.charged_nano, held.source) == ("unknown", held.reserved_nano, "serve")
    assert held.charged_nano >= server.cost_nano
    (row,) = serving.rows("SELECT * FROM requests")
    assert (row.status, row.command, row.prompt) == ("unknown", "serve", "hello")
    code, said = worker.run("log", "show", row.id, home=serving.home)
    assert code == 0
    assert "unknown" in said


def test_a_full_disk_is_said_and_nothing_is_sent(forked, server):
    serving = forked(small="ok", file_size=1_500_000)
    n, status, reply = 0, 200, {}
    while status == 200 and n < 100:  # the prompts fill it
        status, reply = ask(serving, f"{n} " + "word " * 20_000)
        n += 1
    assert status == 500, (n, status)
    assert "cannot be written" in reply["error"]["message"]
    before = len(server.chats)
    assert ask(serving, "word " * 20_000)[0] == 500
    assert len(server.chats) == before, "what cannot be logged is not sent"
    assert serving.charged() >= server.cost_nano
    assert serving.end() == 0
    assert "Traceback" not in serving.said()


# -- a ledger that is held


@contextlib.contextmanager
def held(ledger):
    """Have another process hold the ledger for as long as the block goes on."""
    script = (
        "import sqlite3, sys; conn = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "conn.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(ledger)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield
        finally:
            process.stdin.close()
            process.wait(30)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for the ledger no longer than half a second."""
    monkeypatch.setattr("scrimp.routing.ledger.store.BUSY_TIMEOUT_S", 0.5)


@pytest.mark.parametrize("streamed", [False, True])
def test_while_the_ledger_is_held_nothing_is_sent(impatient, serve, server, streamed):
    serving = serve(small="ok")
    assert ask(serving, "hello")[0] == 200
    with held(serving.home / "scrimp.db"):
        status, reply = ask(serving, "hello again", stream=streamed)
        assert status == 500
        assert "was held by another program" in reply["error"]["message"]
    assert len(server.chats) == 1
    assert ask(serving, "hello again", stream=streamed)[0] == 200
    assert serving.charged() == server.cost_nano
    assert {row.status for row in serving.rows("SELECT status FROM reservations")} == {"settled"}


def test_an_answer_that_cannot_be_logged_is_given_all_the_same(impatient, serve, server, scrimp, tmp_path):
    serving = serve(small="say@text=It_is_blue")
    with contextlib.ExitStack() as stack:
        server.on_chat = lambda _n: stack.enter_context(held(serving.home / "scrimp.db"))
        status, reply = ask(serving, "hello")
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "It is blue")
    assert "could not be logged, and stays charged at its upper bound" in serving.said()
    (row,) = serving.rows("SELECT * FROM reservations")
    assert row.status == "reserved"
    spent = json.loads(scrimp("spend", "--json", "-p", tmp_path / "served-0.toml").out)
    day = next(cap for cap in spent["caps"] if cap["scope"].startswith("day"))
    assert float(day["reserved_usd"]) * 1e9 == pytest.approx(row.reserved_nano)


# -- what changes while it serves


def test_a_router_that_is_promoted_is_taken_up(serve, server, monkeypatch):
    monkeypatch.setattr("scrimp.routing.serving.service._LOOK_EVERY_S", 0.0)
    serving = serve(small="ok", large="ok")
    assert ask(serving, "hello")[0] == 200
    routers = paths().routers
    routers.mkdir(parents=True, exist_ok=True)
    write_version(routers, load_router(SHIPPED, routers).with_layers({}, "r0001"), {"verdict": "promoted"})
    promote(routers, "r0001", at="2026-01-01T00:00:00Z")
    assert ask(serving, "hello")[0] == 200
    versions = [row.router_version for row in serving.rows("SELECT router_version FROM requests ORDER BY n")]
    assert versions[0].startswith(SHIPPED)
    assert versions[1:] == ["r0001"]
    assert "read anew" in serving.said()


# -- what is kept


@pytest.mark.parametrize("keep", ["features", "money"])
@pytest.mark.parametrize("streamed", [False, True])
def test_no_text_is_anywhere(serve, server, keep, streamed):
    serving = serve(small="ok", extra=f'[log]\nkeep = "{keep}"\n')
    say = f"say@text={ANSWER}"
    tools = [{**TOOL, "function": {**TOOL["function"], "description": SECRET}}]
    turns = [{"role": "system", "content": SECRET}, SECRET]
    server.script([say, "tools", say, say, "400-quote", "cut"])
    assert ask(serving, *turns, stream=streamed)[0] == 200
    turns += [{"role": "assistant", "content": ANSWER}, f"And {SECRET}?"]
    assert ask(serving, *turns, tools=tools, stream=streamed)[0] == 200
    assert ask(serving, *turns, model="small ? has:x > small", stream=streamed)[0] == 200
    assert ask(serving, SECRET, stream=streamed)[0] == 400
    assert ask(serving, SECRET, stream=streamed)[0] == (200 if streamed else 500)
    serving.stop()
    assert serving.charged() >= server.cost_nano > 0
    words = (SECRET.encode(), ANSWER.encode(), b"answer that stops", b"weather")
    files = [path for path in serving.home.rglob("*") if path.is_file()]
    assert serving.home / "scrimp.db" in files
    assert not [(path.name, word) for path in files for word in words if word in path.read_bytes()]
    rows = serving.rows("SELECT * FROM requests")
    assert len(rows) == (0 if keep == "money" else 5)
    assert all(row.embedding is not None for row in rows)


def test_a_conversation_goes_on_at_the_command_line(serve, server, scrimp, tmp_path):
    serving = serve(small="say@text=It_is_blue", large="say@text=It_is_green")
    turns = ["A colour?"]
    for more in ("Another?", "And one more?"):
        turns += [{"role": "assistant", "content": ask(serving, *turns)[1]["choices"][0]["message"]["content"]}, more]
    reply = ask(serving, *turns)[1]
    rows = serving.rows("SELECT id, conversation_id, prompt FROM requests ORDER BY n")
    assert [row.prompt for row in rows] == ["A colour?", "Another?", "And one more?"]
    assert {row.conversation_id for row in rows} == {rows[0].id}
    newest = reply["scrimp"]["id"]
    assert newest == rows[-1].id
    path = tmp_path / "served-0.toml"
    shown = scrimp("log", "show", newest).out
    assert "And one more?" in shown
    assert "It is blue" in shown
    assert scrimp("rate", newest, "bad", "--note", "dull").code == 0
    assert [(row.arm, row.reward) for row in serving.rows("SELECT arm, reward FROM labels")] == [("small", 0.0)]
    done = scrimp("redo", newest, "-m", "large", "-p", path)
    assert (done.code, done.out.strip()) == (0, "It is green"), done.err
    asked = [(each["role"], each["content"]) for each in server.chats[-1].body["messages"]]
    assert asked == [(each["role"], each["content"]) for each in server.chats[-2].body["messages"]]
    assert [text for role, text in asked if role == "user"] == ["A colour?", "Another?", "And one more?"]
    assert scrimp("log", "show", newest).out.count("label: 0") >= 1
