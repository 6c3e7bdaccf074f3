"""Replies that are too large to be answers, some only once they are unpacked: bounded memory, and a clear error."""

import asyncio
import contextlib
import gzip
import json
import socket
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from rehearsal import rehearse

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import CallError

CHAT = "/v1/chat/completions"
ANSWER = {"choices": [{"index": 0, "message": {"content": "Paris"}, "finish_reason": "stop"}], "usage": {
    "prompt_tokens": 20, "completion_tokens": 5}}  # fmt: skip
EVENTS = b'data: {"choices": [{"delta": {"content": "Paris"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
MODES = ("stream", "whole", "async", "astream", "a-lean", "a-lean-stream")

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


def bomb(unpacked, begin=b"", filler=b" "):
    """Return gzip that unpacks to `begin` and about as many bytes of filler: a thousandth of it in length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(filler * (1 << 22)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (unpacked >> 22)


def ask(base, mode):
    call = Call(model="openai/m", messages=[{"role": "user", "content": "x"}], max_output_tokens=9, api_base=base,
                api_key="sk-canary-Zq7Tn5vX2bLw8Kd4", timeout_s=20, deadline_s=30)  # fmt: skip
    try:
        if mode.startswith("a"):
            return asyncio.run(_closing(call, mode))
        return dispatch.attempt(call, (lambda _: None) if mode == "stream" else None)
    except CallError as error:
        return error


async def _closing(call, mode):
    on_delta = (lambda _: None) if "stream" in mode else None
    try:
        if "lean" in mode:
            assert await rehearse(call, streams=on_delta is not None)
        return await dispatch.aattempt(call, None, on_delta)
    finally:
        await dispatch.aclose()


def replying(server, body, status=200, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    server.can(CHAT, "application/json", lambda _request: (status, headers, body))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("identity", bytes),
    ],
)
def test_a_compressed_reply_is_read_though_a_plain_one_was_asked_for(server, mode, encoding, pack):
    body = EVENTS if "stream" in mode else json.dumps(ANSWER).encode()
    replying(server, pack(body), content_encoding=encoding)
    assert ask(server.base_url, mode).text == "Paris"
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip"])
def test_one_that_cannot_be_read_is_named_and_not_bought_again(server, mode, encoding):
    replying(server, b"no such bytes", content_encoding=encoding)
    error = ask(server.base_url, mode)
    assert (error.kind, error.retryable, error.billed) == ("bad_reply", False, True)
    assert "compressed" in error.message


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("begin", [b"", b'{"choices": ["', b'data: {"choices": ["', EVENTS])
def test_a_bomb_is_broken_off(server, mode, begin):
    replying(server, bomb(1 << 28, begin), content_encoding="gzip")
    came = ask(server.base_url, mode)
    if begin is EVENTS:
        assert came.text == "Paris"  # nothing that follows [DONE] is read
    else:
        assert (came.kind, came.retryable, came.billed) == ("bad_reply", False, True)
        assert "longer than any answer" in came.message


@pytest.mark.parametrize("mode", MODES)
def test_the_beginning_of_an_error_is_enough(server, mode):
    replying(server, bomb(1 << 30, b'{"error": {"message": "no credit left"}, "x": "'), 402, content_encoding="gzip")
    error = ask(server.base_url, mode)
    assert (error.kind, error.billable) == ("auth", "no")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"choices": [{"message": {"content": "Paris"}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
        b'data: {"error": ' + b'{"error": ' * 900 + b"1" + b"}" * 901 + b"\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_nesting_is_survived(server, mode, body):
    replying(server, body)
    error = ask(server.base_url, mode)
    assert error.kind in {"bad_reply", "server"}


@pytest.mark.parametrize("path", ["sync", "async"])
def test_what_no_wire_watches_is_held_to_a_size_too(server, path):
    server.can("/other", "application/json", lambda _request: (200, {"content-encoding": "gzip"}, bomb(1 << 28)))
    module = dispatch.prepare().module

    async def go():
        try:
            await module.module_level_aclient.post(f"{server.url}/other", data="{}")
        finally:
            await dispatch.aclose()

    with pytest.raises(httpx.ReadError, match="too large"):
        asyncio.run(go()) if path == "async" else module.module_level_client.post(f"{server.url}/other", data="{}")


@contextlib.contextmanager
def endless(head, more):
    """Serve a reply that never ends: a head, and then the same again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(1 << 16)
                        connection.sendall(head)
                        while True:
                            connection.sendall(more)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


OK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
ENDLESS = {
    "header": (OK + b"x: ", b"y" * 65536),
    "headers": (OK, b"x: y\r\n" * 9000),
    "size": (OK + b"\r\n", b"1" * 65536),
    "line": (OK + b"\r\n", b"10000\r\n" + b"y" * 65536 + b"\r\n"),
    "value": (OK + b'\r\n9\r\ndata: {"a\r\n', b"10000\r\n" + b"y" * 65536 + b"\r\n"),
    "comments": (OK + b"\r\n", b"10000\r\n" + b": busy\n\n" * 8192 + b"\r\n"),
    "error": (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b"y" * 65536 + b"\r\n"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_broken_off(mode, name, monkeypatch):
    monkeypatch.setattr("scrimp.routing.calls.wire.MAX_REPLY_BYTES", 4 << 20)
    with endless(*ENDLESS[name]) as base:
        error = ask(base, mode)
    assert isinstance(error, CallError)
    assert error.kind == {"error": "server"}.get(name, error.kind)
    # aiohttp may go on reading a chunk's size that never ends: then the call's deadline breaks it off.
    by_deadline = {"timeout"} if name == "size" and mode.startswith("a") else set()
    assert error.kind in {"bad_reply", "connection", "cut", "server"} | by_deadline


MEASURED = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
from server import Server
from test_huge_replies import MODES, ask, bomb, replying
from scrimp.routing.calls import dispatch
body = bomb(5 << 30, b'data: {"choices": [{"delta": {"content": "')
with Server() as server:
    replying(server, b"{}")
    for mode in MODES:
        ask(server.base_url, mode)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replying(server, body, content_encoding="gzip")
    kinds = [ask(server.base_url, mode).kind for mode in MODES]
    replying(server, b'data: {"a": "' + b"y" * (70 << 20), content_type="text/event-stream")
    kinds += [ask(server.base_url, mode).kind for mode in MODES]
print(kinds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_five_gigabytes_take_little_memory():
    from pathlib import Path

    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, str(here), str(here.parent)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kinds, megabytes = done.stdout.rsplit(maxsplit=1)
    assert kinds == str(["bad_reply"] * 2 * len(MODES))
    assert int(megabytes) < 350, "the server, in the same process, holds 75 MB of it, twice"
