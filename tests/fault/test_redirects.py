"""No redirect is followed, whichever client carries the call: keys and prompts go to the profile's address alone."""

import asyncio
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from rehearsal import rehearse

from scrimp.profiles.errors import ExitCode
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.litellm_setup import prepared

KEY = "sk-canary-Zq7Tn5vX2bLw8Kd4"
MODELS = {
    "openai/x": "/v1", "anthropic/claude-sonnet-4-5": "", "gemini/gemini-2.5-flash": "", "ollama_chat/llama3": "",
    "mistral/x": "/v1", "cohere_chat/command-r": "/v2/chat", "azure/x": "",
}  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
]


class Post(ThreadingHTTPServer):
    """Counts requests, and answers each with a status and a place to go to."""

    daemon_threads = True

    def __init__(self):
        self.seen, self.status, self.to = [], 200, None
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self):
        return f"127.0.0.1:{self.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.command, self.path))
        self.send_response(self.server.status)
        if self.server.to:
            self.send_header("location", self.server.to)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def posts():
    dispatch.prepare()
    with Post() as first, Post() as second:
        yield first, second


async def awaited(call, on_delta, mode):
    try:
        if "lean" in mode:
            await rehearse(call, streams=on_delta is not None)
        return await dispatch.aattempt(call, None, on_delta)
    finally:
        await dispatch.aclose()


def fails(call, mode):
    try:
        hears = print if "stream" in mode else None
        asyncio.run(awaited(call, hears, mode)) if mode.startswith("a") else dispatch.attempt(call, hears)
    except CallError as error:
        return error
    raise AssertionError("it was answered")


@pytest.mark.parametrize("mode", ["stream", "whole", "async", "astream", "a-lean", "a-lean-stream"])
@pytest.mark.parametrize("model", MODELS)
def test_no_redirect_is_followed(posts, model, mode):
    first, second = posts
    elsewhere = (
        f"http://user:secret@{second.host}/v1?key={KEY}",
        f"https://{second.host}/",
        "/other",
        f"http://localhost:{second.server_port}/",
    )
    for n, status in enumerate((301, 302, 303, 307, 308)):
        first.seen.clear()
        first.status, first.to = status, elsewhere[n % len(elsewhere)]
        call = Call(
            model, [{"role": "user", "content": "hi"}], 2000, api_base=f"http://{first.host}{MODELS[model]}",
            api_key=KEY, params={"api_version": "2024-10-21"} if model.startswith("azure") else {}, timeout_s=10.0,
        )  # fmt: skip
        error = fails(call, mode)
        assert (error.kind, error.billable, error.lasting) == ("bad_request", "no", "address"), error.message
        assert error.status == status
        assert ("127.0.0.1" in error.message or "localhost" in error.message) == (first.to != "/other")
        assert "secret" not in error.message
        assert KEY not in error.message
        assert len(first.seen) == 1
    assert second.seen == []


def test_other_traffic_of_litellms_stays_too(posts):
    """Some clients follow redirects of requests that ask for no answer, with the same headers."""
    first, second = posts
    first.status, first.to = 302, f"http://{second.host}/"
    client = dispatch.prepare().module.module_level_client.client
    assert prepared() is not None
    assert (
        client.get(f"http://{first.host}/models", headers={"x-api-key": KEY}, follow_redirects=True).status_code == 302
    )
    assert second.seen == []


def test_what_to_do_about_it_is_said():
    class Arm:
        name, model, api_base, key_env = "a", "openai/x", "http://127.0.0.1/v1", None

    told = to_scrimp_error(CallError("bad_request", "307", lasting="address"), Arm())
    assert told.exit_code is ExitCode.PROVIDER
    assert "api_base" in told.hint
