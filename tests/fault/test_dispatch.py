"""Calls to a server that misbehaves: what they bring, what they cost at most, and what they never tell."""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from rehearsal import rehearse
from server import BEHAVIOURS, Server

from scrimp.profiles.errors import (
    AuthError,
    ConfigError,
    ExitCode,
    ProviderError,
    RequestRefusedError,
    TryAgainError,
)
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.backoff import Backoff
from scrimp.routing.calls.call import Call, Reply, TextDelta
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.wire import RefusedError, Wire
from scrimp.routing.prices.usage import Usage

KEY = "sk-canary-Zq7Tn5vX2bLw8Kd4"
MESSAGES = [{"role": "user", "content": "name three colours"}]
MODES = ("stream", "whole", "async", "astream", "lean", "lean-stream")
"""`lean`: without blocking, composed like litellm's earlier requests."""
STREAMS = ("stream", "astream", "lean-stream")


@pytest.fixture(scope="module")
def running():
    dispatch.prepare()
    with Server() as server:
        # LiteLLM imports parts of itself in its first call; an interrupt that lands there would leave them half made.
        for _ in dispatch.stream(make(server, "ok")):
            pass
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def make(server, behaviour, **changes):
    values = {
        "model": f"openai/{behaviour}",
        "messages": MESSAGES,
        "max_output_tokens": 20,
        "api_base": server.base_url,
        "api_key": KEY,
        "timeout_s": 20.0,
        "deadline_s": 30.0,
    }
    return Call(**{**values, **changes})


async def _closing(call, mode):
    on_delta = (lambda _: None) if mode in STREAMS else None
    try:
        if mode.startswith("lean"):
            assert await rehearse(replace(call, deadline_s=30.0), streams=on_delta is not None)
        return await dispatch.aattempt(call, None, on_delta)
    finally:
        await dispatch.aclose()


def run(call, mode):
    if mode == "stream":
        return dispatch.attempt(call, lambda _: None)
    if mode == "whole":
        return dispatch.attempt(call)
    return asyncio.run(_closing(call, mode))


def fail(call, mode):
    with pytest.raises(CallError) as caught:
        run(call, mode)
    return caught.value


# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
]

every_mode = pytest.mark.parametrize("mode", MODES)
every_stream = pytest.mark.parametrize("mode", STREAMS)


# ---- answers


@every_mode
def test_an_answer(server, mode):
    reply = run(make(server, "ok@tokens=5"), mode)
    (request,) = server.chats
    assert len(reply.text.split()) == 5
    assert reply.usage == Usage(3, 5, None, None, None)
    assert (reply.usage_status, reply.finish_reason, reply.served_model) == ("reported", "stop", "ok@tokens=5")
    assert reply.request_id == f"req-{request.n}"
    assert reply.latency_s > 0
    assert (reply.ttft_s is not None) == (mode in STREAMS)
    assert request.authorization == f"Bearer {KEY}"


def test_a_stream_is_pieces_and_one_reply(server):
    *pieces, reply = dispatch.stream(make(server, "ok@tokens=5"))
    assert len(pieces) == 5
    assert all(isinstance(piece, TextDelta) for piece in pieces)
    assert isinstance(reply, Reply)
    assert reply.text == "".join(piece.text for piece in pieces)


def test_nothing_is_sent_before_the_first_next(server):
    sent = []
    attempt = dispatch.stream(make(server, "ok"), lambda: sent.append(1))
    attempt.close()
    assert sent == server.chats == []
    assert list(attempt) == []


@every_mode
@pytest.mark.parametrize(
    ("model", "usage"),
    [("cached", Usage(3, 4, 1)), ("reasoning@reasoning=7,tokens=4", Usage(3, 11, None, None, 7))],
)
def test_cached_and_reasoning_tokens(server, mode, model, usage):
    reply = run(make(server, model if "@" in model else f"{model}@tokens=4"), mode)
    assert reply.usage == usage


@every_mode
@pytest.mark.parametrize("model", ["no-usage", "zero-usage", "empty-usage"])
def test_missing_usage_is_missing_and_nothing_is_invented(server, mode, model):
    reply = run(make(server, model), mode)
    assert reply.text
    assert (reply.usage, reply.usage_status) == (None, "missing")


@every_mode
@pytest.mark.parametrize("model", ["negative-usage", "huge-usage", "cached-above-input"])
def test_impossible_usage_is_named(server, mode, model):
    assert run(make(server, model), mode).usage_status == "implausible"


@every_mode
def test_a_breach_is_reported_as_it_is(server, mode):
    reply = run(make(server, "breach"), mode)
    assert (reply.usage_status, reply.usage.output_tokens) == ("reported", 60)


@every_mode
def test_another_models_name_is_told(server, mode):
    assert run(make(server, "other-model"), mode).served_model == "gpt-4o-of-another-name"


@every_mode
@pytest.mark.parametrize(
    ("model", "finish", "empty"),
    [
        ("length", "length", False),
        ("length-empty", "length", True),
        ("content-filter", "content_filter", True),
        ("refusal", "refusal", False),
        ("no-finish", None, False),
    ],
)
def test_why_an_answer_ended(server, mode, model, finish, empty):
    model = f"{model}@tokens=4"
    reply = run(make(server, model), mode)
    if model.startswith("length@"):
        assert reply.finish_reason == "length"
    assert reply.finish_reason == finish
    assert (reply.text == "") == empty
    assert reply.usage_status == "reported"


@every_mode
def test_text_comes_as_it_is(server, mode):
    assert run(make(server, "escape"), mode).text.startswith("before\x1b]0;owned title\x07\x1b[2J")
    assert run(make(server, "surrogate"), mode).text == "lone � half"
    assert run(make(server, "split-events"), mode).text == "naïve – 😀 text"
    assert run(make(server, "special"), mode).text == "a <s> b </s> c <|im_end|> d"
    assert run(make(server, "repeat"), mode).text.count("ha") == 400
    assert len(run(make(server, "large@tokens=20000"), mode).text) == 100_000


@every_stream
def test_a_stream_that_ends_early_after_its_finish_reason_is_whole(server, mode):
    reply = run(make(server, "cut-after-finish"), mode)
    assert (reply.text, reply.finish_reason) == ("an answer that stops", "stop")
    assert (reply.usage, reply.usage_status) == (None, "missing")


@every_stream
def test_a_stream_closed_by_its_mark_is_whole(server, mode):
    reply = run(make(server, "cut-done"), mode)
    assert (reply.text, reply.finish_reason, reply.usage) == ("an answer that stops", None, None)


# ---- failures


FAULTS = {
    # behaviour: kind, retryable, billable
    "400": ("bad_request", False, "no"),
    "400-context": ("context_window", False, "no"),
    "400-roles": ("bad_request", False, "no"),
    "400-limit": ("bad_request", False, "no"),
    "401": ("auth", False, "no"),
    "402": ("auth", False, "no"),
    "403": ("auth", False, "no"),
    "404": ("not_found", False, "no"),
    "422": ("bad_request", False, "no"),
    "429": ("rate_limited", True, "no"),
    "429-date": ("rate_limited", True, "no"),
    "429-ms": ("rate_limited", True, "no"),
    "429-bare": ("rate_limited", True, "no"),
    "429-quota": ("auth", False, "no"),
    "500": ("server", True, "maybe"),
    "503": ("server", True, "maybe"),
    "html-502": ("server", True, "maybe"),
    "redirect": ("bad_request", False, "no"),
    "drop-headers": ("connection", True, "maybe"),
    "cut": ("cut", True, "maybe"),
    "cut-clean": ("cut", True, "maybe"),
    "cut-before-text": ("cut", True, "maybe"),
    "sse-error": ("server", True, "maybe"),
    "sse-overloaded": ("server", True, "maybe"),
    "error-200": ("server", True, "maybe"),
    "garbage": ("bad_reply", True, "maybe"),
    "html": ("bad_reply", True, "maybe"),
    "empty-body": ("bad_reply", True, "maybe"),
    "choices-empty": ("bad_reply", True, "maybe"),
    "choices-missing": ("bad_reply", True, "maybe"),
    "null-content": ("bad_reply", True, "maybe"),
    "empty-content": ("bad_reply", True, "maybe"),
    "tool-calls": ("bad_reply", False, "maybe"),
    "only-reasoning": ("bad_reply", True, "maybe"),
    "bad-utf8": ("bad_reply", True, "maybe"),
    "408": ("timeout", True, "maybe"),
    "409": ("bad_request", True, "no"),
    "425": ("rate_limited", True, "no"),
}


@every_mode
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_kind(server, mode, name):
    error = fail(make(server, f"{name}@tokens=3"), mode)
    assert (error.kind, error.retryable, error.billable) == FAULTS[name]
    assert error.message.startswith(f"openai/{name}")
    assert "\n" not in error.message
    assert len(server.chats) == 1
    came = name == "sse-error" and mode in STREAMS  # a part of an answer, before the error
    assert error.billed == (came or error.kind in {"bad_reply", "cut"})


@every_mode
@pytest.mark.parametrize("name", ["hang-headers", "hang-stream"])
def test_silence_ends_in_a_time_out(server, mode, name):
    error = fail(make(server, name, timeout_s=0.6), mode)
    assert (error.kind, error.retryable, error.billable) == ("timeout", True, "maybe")
    assert error.reply.text == ("half an" if mode in STREAMS and name == "hang-stream" else "")
    assert error.reply.usage is None


@every_mode
def test_the_deadline_cuts_a_drip(server, mode):
    name = "drip@pause_s=0.05,tokens=4000" if mode in STREAMS else "ok@latency_ms=20000"
    error = fail(make(server, name, deadline_s=0.9, max_output_tokens=4000), mode)
    assert (error.kind, error.billable) == ("timeout", "maybe")
    assert "0.9 s" in error.message
    assert (mode in STREAMS) == bool(error.reply.text)


@every_stream
def test_the_deadline_holds_in_a_silence_that_is_allowed(server, mode):
    error = fail(make(server, "drip-hang@pause_s=0.01", timeout_s=20, deadline_s=1.0), mode)
    assert (error.kind, error.reply.text) == ("timeout", "one two three four")


@every_mode
def test_nobody_there(server, mode):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        error = fail(make(server, "ok", api_base=base), mode)
    assert (error.kind, error.retryable, error.billable) == ("connection", True, "no")


@every_mode
@pytest.mark.parametrize(
    ("name", "seconds"), [("429@retry_after=7", 7.0), ("429-ms@retry_after_ms=40", 0.04), ("429@retry_after=-3", None),
                          ("429@retry_after=soon", None), ("429@retry_after=nan", None), ("503@retry_after=2", 2.0)]
)  # fmt: skip
def test_retry_after(server, mode, name, seconds):
    assert fail(make(server, name), mode).retry_after_s == seconds


@every_mode
def test_retry_after_as_a_date(server, mode):
    assert 50 < fail(make(server, "429-date@retry_after=60"), mode).retry_after_s <= 60


@every_mode
@pytest.mark.parametrize("name", [name for name in BEHAVIOURS if not name.startswith(("hang", "drip-hang"))])
def test_one_attempt_is_one_request(server, mode, name):
    with contextlib.suppress(CallError):
        run(make(server, name), mode)
    assert len(server.chats) == 1


@every_stream
def test_a_partial_answer_is_kept(server, mode):
    error = fail(make(server, "cut"), mode)
    assert error.reply.text == "an answer that stops"
    assert error.reply.usage is None


def test_usage_of_a_bad_reply_is_kept(server):
    assert fail(make(server, "tool-calls"), "whole").reply.usage == Usage(3, 5)


# ---- what is bought again


def until_given_up(server, behaviour, mode):
    """Ask as long as the schedule says, without its waits; return what each attempt brought."""
    schedule = Backoff(1000.0, random.Random(1), lambda: 0.0)
    results = []
    while True:
        try:
            results.append(run(make(server, behaviour, deadline_s=20.0), mode))
        except CallError as error:
            results.append(error)
            if schedule.next_delay(error) is not None:
                continue
        return results


# What deterministic servers send with status 200, and is no answer; in some modes some of them are read.
UNUSABLE = ["only-reasoning", "empty-content", "null-content", "choices-empty", "choices-missing", "garbage", "html",
            "empty-body", "bad-utf8", "tool-calls", "parts", "json-instead", "sse-instead", "cut", "cut-clean"]  # fmt: skip


@every_mode
@pytest.mark.parametrize("name", UNUSABLE)
def test_a_billed_reply_that_cannot_be_used_is_bought_once_more_at_most(server, mode, name):
    results = until_given_up(server, f"{name}@tokens=3", mode)
    assert len(server.chats) == len(results) <= 2
    assert all(result.billed for result in results if isinstance(result, CallError))


@every_mode
@pytest.mark.parametrize("name", ["429-bare", "500", "408", "409", "425", "drop-headers", "error-200"])
def test_what_can_pass_is_tried_to_the_end(server, mode, name):
    results = until_given_up(server, name, mode)
    assert len(server.chats) == len(results) == 5
    assert not any(result.billed for result in results)


def test_a_billed_reply_counts_whatever_came_between(server):
    server.script(["500", "only-reasoning", "429-bare", "only-reasoning", "ok"])
    results = until_given_up(server, "ok", "whole")
    assert [result.kind for result in results] == ["server", "bad_reply", "rate_limited", "bad_reply"]


# ---- interruption


def test_an_interrupt_in_mid_stream(server):
    sent = []
    attempt = dispatch.stream(make(server, "hang-stream"), lambda: sent.append(1))

    def interrupt():
        while attempt.text_so_far != "half an":
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # it comes while the stream is read
        threading.Thread(target=interrupt, daemon=True).start()
        for _ in attempt:
            pass
    assert attempt.text_so_far == "half an"
    assert sent == [1]


def test_an_interrupt_by_the_reader_closes_the_connection(server):
    def stop(_text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatch.attempt(make(server, "drip@tokens=4000,pause_s=0.01", max_output_tokens=4000), stop)
    (request,) = server.chats
    for _ in range(500):
        if request.finished:
            break
        threading.Event().wait(0.01)
    assert request.disconnected
    assert request.output_tokens < 4000


def test_a_cancelled_task_stops(server):
    async def go():
        task = asyncio.create_task(dispatch.aattempt(make(server, "hang-headers")))
        while not server.chats:  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await dispatch.aclose()

    asyncio.run(go())


# ---- what is sent


@every_mode
@pytest.mark.parametrize("model", ["gpt-5-mini", "o3-mini", "gpt-4o", "some-own-model"])
def test_the_limit_arrives_under_a_name_that_is_enforced(server, mode, model):
    run(make(server, model, max_output_tokens=7), mode)
    (request,) = server.chats
    assert request.output_limit == 7
    assert request.output_tokens <= 7


@every_mode
@pytest.mark.parametrize("params", [{"n": 2}, {"max_completion_tokens": 5000}, {"extra_body": {"max_tokens": 9999}}])
def test_what_could_cost_more_than_was_reserved_is_not_sent(server, mode, params):
    error = fail(make(server, "ok", params=params), mode)
    assert (error.kind, error.retryable, error.billable) == ("bad_request", False, "no")
    assert server.chats == []


@every_mode
def test_parameters_pass(server, mode):
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
    call = make(server, "json", params={"temperature": 0.0, "seed": 7}, reasoning_effort="low", response_format=schema)
    assert run(call, mode).text == '{"answer": 42}'
    (request,) = server.chats
    assert request.body["temperature"] == 0.0
    assert request.body["seed"] == 7
    assert request.body["reasoning_effort"] == "low"
    assert request.body["response_format"] == schema
    assert request.body["messages"] == MESSAGES


@every_mode
@pytest.mark.parametrize("key", [None, ""])
def test_a_key_of_the_environment_never_goes_to_a_server_of_ones_own(server, mode, key, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_KEY", "LITELLM_API_KEY"):
        monkeypatch.setenv(name, KEY)
    run(make(server, "ok", api_key=key), mode)
    (request,) = server.chats
    assert KEY not in json.dumps(request.headers)
    assert request.authorization == "Bearer none"


def test_the_callers_messages_are_left_alone(server):
    messages = [{"role": "user", "content": [{"type": "text", "text": "look"}]}]
    before = json.dumps(messages)
    run(make(server, "ok", messages=messages), "whole")
    assert json.dumps(messages) == before


@every_mode
def test_text_that_is_not_unicode_is_refused_before_it_leaves(server, mode):
    error = fail(make(server, "ok", messages=[{"role": "user", "content": "\ud800"}]), mode)
    assert (error.kind, error.billable) == ("bad_request", "no")
    assert server.chats == []


def test_a_model_without_a_provider_is_refused(server):
    error = fail(make(server, "ok", model="some-model-nobody-knows"), "whole")
    assert (error.kind, error.billable) == ("bad_request", "no")


def test_attempts_at_once_do_not_mix(server):
    names = ["ok@tokens=3", "401", "cut", "no-usage", "429", "ok@tokens=9"] * 5

    async def go():
        calls = [dispatch.aattempt(make(server, name)) for name in names]
        try:
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await dispatch.aclose()

    def one(name):
        try:
            return dispatch.attempt(make(server, name), lambda _: None)
        except CallError as error:
            return error

    def told(result):
        return result.kind if isinstance(result, CallError) else (result.usage and result.usage.output_tokens)

    with ThreadPoolExecutor(8) as pool:
        threaded = [told(result) for result in pool.map(one, names)]
    wanted = [3, "auth", "cut", None, "rate_limited", 9] * 5
    assert [told(result) for result in asyncio.run(go())] == wanted
    assert threaded == wanted


# ---- other providers' shapes, through litellm

ANTHROPIC = b"".join(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    for event in (
        {
            "type": "message_start",
            "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-served",
                "stop_reason": None,
                "usage": {"input_tokens": 10, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Blue."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )
)  # fmt: skip
GEMINI = b"".join(
    f"data: {json.dumps(event)}\n\n".encode()
    for event in (
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Bl"}]}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 20, "totalTokenCount": 20}, "modelVersion": "gemini-served",
        },
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "ue."}]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {
                "promptTokenCount": 20, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 25,
                "cachedContentTokenCount": 6,
            },
            "modelVersion": "gemini-served",
        },
    )
)  # fmt: skip
OLLAMA = b"".join(
    json.dumps(event).encode() + b"\n"
    for event in (
        {"model": "served", "message": {"role": "assistant", "content": "Blue"}, "done": False},
        {"model": "served", "message": {"role": "assistant", "content": "."}, "done": False},
        {"model": "served", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
         "prompt_eval_count": 20, "eval_count": 5},
    )
)  # fmt: skip
OTHERS = {
    "anthropic/claude-sonnet-4-5": (
        "/v1/messages", "text/event-stream", ANTHROPIC, Usage(20, 5, 6, 4), "claude-served", b"event: message_delta"),
    "gemini/gemini-2.5-flash": (
        "/models/gemini-2.5-flash:streamGenerateContent", "text/event-stream", GEMINI, Usage(20, 5, 6, None, 2),
        "gemini-served", b'data: {"candidates": [{"content": {"role": "model", "parts": [{"text": "ue."'),
    "ollama_chat/llama3": (
        "/api/chat", "application/x-ndjson", OLLAMA, Usage(20, 5), "served",
        b'{"model": "served", "message": {"role": "assistant", "content": ""}'),
}  # fmt: skip


@every_stream
@pytest.mark.parametrize("model", OTHERS)
def test_another_providers_stream(server, model, mode):
    path, content_type, body, usage, served, _ = OTHERS[model]
    server.can(path, content_type, body)
    reply = run(make(server, "", model=model, api_base=server.url), mode)
    assert (reply.text, reply.finish_reason, reply.served_model) == ("Blue.", "stop", served)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)
    assert (reply.usage.cached_tokens or 0, reply.usage.cache_write_tokens or 0) == (
        usage.cached_tokens or 0, usage.cache_write_tokens or 0)  # fmt: skip
    assert (reply.usage.reasoning_tokens or 0) == (usage.reasoning_tokens or 0)
    assert reply.usage_status == "reported"


@every_stream
@pytest.mark.parametrize("model", OTHERS)
def test_another_providers_stream_cut(server, model, mode):
    path, content_type, body, _, _, end = OTHERS[model]
    server.can(path, content_type, body[: body.index(end)])
    error = fail(make(server, "", model=model, api_base=server.url), mode)
    assert (error.kind, error.billable) == ("cut", "maybe")
    assert error.reply.text in {"Blue.", "Bl"}
    assert error.reply.usage is None


# ---- secrets


def _everything(error):
    """Return all text that an error, its causes, its arguments and its tracebacks' locals hold."""
    seen, texts, queue = set(), [], [error]
    while queue:
        each = queue.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        texts += traceback.format_exception(each)
        texts += traceback.TracebackException.from_exception(each, capture_locals=True).format()
        queue += [each.__cause__, each.__context__]
    return "\n".join(texts)


@every_mode
@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_key_is_nowhere(server, mode, name, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    call = make(server, name, timeout_s=0.2, deadline_s=0.5 if "hang" in name else 20)
    told = repr(call)
    try:
        told += repr(run(call, mode))
    except CallError as error:
        told += _everything(error) + _everything(to_scrimp_error(error, ARM))
    out, err = capfd.readouterr()
    told += out + err + caplog.text
    assert out == ""
    assert err == ""
    for part in (KEY, KEY[:8], KEY[-8:], KEY.lower()):
        assert part not in told


def test_litellm_is_quiet_and_reads_no_env_file(tmp_path):
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={KEY}\nSCRIMP_CANARY=1\n")
    code = (
        "import os, sys; from scrimp.routing.calls import dispatch; assert 'litellm' not in sys.modules; "
        "dispatch.warm(['openai/m']).join(); import litellm; "
        "assert 'SCRIMP_CANARY' not in os.environ and 'OPENAI_API_KEY' not in os.environ; "
        "c = dispatch.Call(model='nobody/knows', messages=[], max_output_tokens=1)\n"
        "try: dispatch.attempt(c)\nexcept dispatch.CallError as e: assert e.kind == 'bad_request', e.kind"
    )
    env = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_that_warmed_up_for_nothing_ends(server):
    """A thread frozen in an import at exit would hold a lock that litellm's finalisers wait for."""
    code = "from scrimp.routing.calls import dispatch; dispatch.warm(['openai/m']); print('end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# ---- errors for users

ARM = SimpleNamespace(name="small", model="openai/gpt-5-mini", api_base=None, key_env="MY_KEY")


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        ("auth", AuthError, ExitCode.AUTH),
        ("rate_limited", TryAgainError, ExitCode.TRY_AGAIN),
        ("not_found", ProviderError, ExitCode.PROVIDER),
        ("bad_request", RequestRefusedError, ExitCode.PROVIDER),
        ("context_window", RequestRefusedError, ExitCode.PROVIDER),
        ("server", ProviderError, ExitCode.PROVIDER),
        ("timeout", ProviderError, ExitCode.PROVIDER),
        ("connection", ProviderError, ExitCode.PROVIDER),
        ("bad_reply", ProviderError, ExitCode.PROVIDER),
        ("cut", ProviderError, ExitCode.PROVIDER),
        ("not_sent", ConfigError, ExitCode.CONFIG),
    ],
)
def test_what_the_user_is_told(kind, error, code):
    told = to_scrimp_error(CallError(kind, "what happened"), ARM)
    assert type(told) is error
    assert told.exit_code is code
    assert "small" in told.message
    assert "what happened" in told.message
    assert told.hint


def test_the_hint_of_a_refused_key_names_it():
    assert "scrimp keys set MY_KEY" in to_scrimp_error(CallError("auth", "no"), ARM).hint
    bare = SimpleNamespace(name="a", model="anthropic/claude", api_base=None, key_env=None)
    assert "scrimp keys set ANTHROPIC_API_KEY" in to_scrimp_error(CallError("auth", "no"), bare).hint
    for model, hint in (
        ("together_ai/x/y", "scrimp keys set TOGETHERAI_API_KEY"),
        ("bedrock/x", "Give credentials: `scrimp keys set AWS_BEARER_TOKEN_BEDROCK`, or what the AWS tools use"),
        ("vertex_ai/x", "Give credentials: `gcloud auth application-default login`"),
    ):
        bare.model = model
        assert hint in to_scrimp_error(CallError("auth", "no"), bare).hint


# ---- waiting


def backoff(deadline_s=100.0, **options):
    now = [1000.0]
    return Backoff(deadline_s, random.Random(7), lambda: now[0], **options), now


BUSY = CallError("server", "busy", retryable=True)


def test_waits_grow_and_are_drawn_from_nought_to_their_bound():
    ceilings = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    draws = []
    for seed in range(300):
        schedule = Backoff(1e6, random.Random(seed), lambda: 0.0, max_attempts=9)
        draws.append([schedule.next_delay(BUSY) for _ in ceilings])
        assert schedule.next_delay(BUSY) is None
    for waits, ceiling in zip(zip(*draws, strict=True), ceilings, strict=True):
        assert 0 <= min(waits) < 0.05 * ceiling
        assert 0.95 * ceiling < max(waits) <= ceiling
        assert abs(sum(waits) / len(waits) - ceiling / 2) < 0.1 * ceiling


def test_the_providers_word_is_kept_exactly_or_given_up_at_once():
    schedule, now = backoff(10.0)
    assert schedule.next_delay(CallError("rate_limited", "", retryable=True, retry_after_s=7.0)) == 7.0
    now[0] += 7.0
    assert schedule.left_s == 3.0
    assert schedule.next_delay(CallError("rate_limited", "", retryable=True, retry_after_s=3.5)) is None
    schedule, _ = backoff(10.0)
    assert schedule.next_delay(CallError("rate_limited", "", retryable=True, retry_after_s=60.0)) is None


def test_what_cannot_help_is_not_tried_again():
    schedule, now = backoff()
    assert schedule.next_delay(CallError("auth", "")) is None
    schedule, now = backoff(5.0)
    now[0] += 6.0
    assert schedule.next_delay(BUSY) is None
    schedule, _ = backoff(max_attempts=1)
    assert schedule.next_delay(BUSY) is None


def test_replies_billed_before_count():
    unusable = CallError("bad_reply", "", retryable=True, billed=True)
    schedule, _ = backoff()
    assert schedule.next_delay(unusable) is not None
    assert schedule.next_delay(BUSY) is not None
    assert schedule.next_delay(unusable) is None
    assert schedule.next_delay(BUSY) is None
    schedule, _ = backoff(n_billed=1)
    assert schedule.next_delay(unusable) is None


# ---- the wire


def wired(body, *, content_type="text/event-stream", streams=True, size=9):
    import httpx

    wire = Wire(output_limit=10, timeout_s=1, deadline_s=1000)
    wire.watched = True
    wire.streams = streams
    wire.begin(200, httpx.Headers({"content-type": content_type}))
    for i in range(0, len(body), size):
        wire.feed(body[i : i + size])
    wire.end()
    return wire


BLUE = [TextDelta("Blue.")]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_wire_reads_every_shape_in_any_pieces(size):
    reading = wired(ANTHROPIC, size=size).reading
    assert (reading.take(), reading.complete, reading.word, reading.model) == (
        BLUE, True, "end_turn", "claude-served")  # fmt: skip
    assert reading.usage["output_tokens"] == 5
    assert reading.usage["input_tokens"] == 10
    reading = wired(GEMINI, size=size).reading
    assert (reading.take(), reading.word, reading.usage["candidatesTokenCount"]) == (BLUE, "STOP", 3)
    reading = wired(OLLAMA, content_type="application/x-ndjson", size=size).reading
    assert (reading.take(), reading.complete, reading.word) == (BLUE, True, "stop")
    assert reading.usage == {"prompt_eval_count": 20, "eval_count": 5}


@pytest.mark.parametrize("junk", [b"data: [[[[[", b"data: 5\n\ndata: null\n\ndata: [1]\n", b'data: {"choices": 3}\n', b'data: {"choices": [null, 1]}\n', b"\xff\xfe\n", b"{" * 5000 + b"\n"])  # fmt: skip
def test_the_wire_survives_junk(junk):
    wired(junk)


def test_the_wire_has_a_longest_reply(monkeypatch):
    import httpx

    monkeypatch.setattr("scrimp.routing.calls.wire.MAX_REPLY_BYTES", 100)
    with pytest.raises(httpx.ReadError):
        wired(b"data: {}\n" * 50)


def request(body, **extra):
    import httpx

    return httpx.Request("POST", "http://127.0.0.1/v1/chat/completions", json=body, **extra)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [], "max_tokens": 11},
        {"messages": [], "max_tokens": 5, "max_completion_tokens": 50},
        {"messages": [], "max_tokens": "5"},
        {"messages": [], "max_tokens": -1},
        {"messages": [], "max_tokens": 0},
        {"messages": [], "max_tokens": 5, "n": 2},
        {"contents": [], "generationConfig": {"maxOutputTokens": 5, "candidateCount": 3}},
        {"contents": [], "generationConfig": {"max_output_tokens": 500}},
        {"prompt": "x", "options": {"num_predict": 11}},
    ],
)
def test_the_wire_refuses_what_is_not_bounded(body):
    wire = Wire(output_limit=10, timeout_s=1, deadline_s=1)
    with pytest.raises(RefusedError):
        wire.admit(request(body))
    assert not wire.sent


def test_the_wire_lets_one_paid_request_through_and_any_other_traffic():
    wire = Wire(output_limit=10, timeout_s=1, deadline_s=1)
    assert not wire.admit(request({"grant_type": "x"}))
    assert wire.admit(request({"messages": [], "max_tokens": 10}))
    assert not wire.admit(request({"name": "llama3"}))
    with pytest.raises(RefusedError):
        wire.admit(request({"messages": [], "max_tokens": 10}))
