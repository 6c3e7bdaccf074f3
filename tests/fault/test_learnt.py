"""Requests that are composed without litellm say what it would have said, for every provider that it knows."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from rehearsal import composes, rehearse

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.learnt import Learnt, kind_of

KEY = "sk-canary-Zq7Tn5vX2bLw8Kd4"
TEXTS = [
    "name three colours",
    'quoted "words" \\ and\nlines\t',
    "naïve – 😀 日本",
    "user",
    "\0" + "0\0",
    "  before and after  ",
]
LEAN = {
    "openai",
    "anthropic",
    "gemini",
    "openrouter",
    "mistral",
    "groq",
    "deepseek",
    "xai",
    "together_ai",
    "hosted_vllm",
}
LOGINS = {"chatgpt", "github_copilot", "gigachat", "watsonx_text"}  # these call their own servers first, and wait
MODELS = {"azure": "azure/gpt-4o", "bedrock": "bedrock/anthropic.claude-3-sonnet-20240229-v1:0"}

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def litellm(monkeypatch):
    prepared = dispatch.prepare()
    monkeypatch.setattr(prepared, "learnt", Learnt())
    return prepared


def make(base, *texts, **changes):
    roles = ("system", "user", "assistant", "user")[1 if len(texts) < 2 else 0 :]
    values = {
        "model": "openai/ok",
        "messages": [{"role": role, "content": text} for role, text in zip(roles, texts or TEXTS[:1], strict=False)],
        "max_output_tokens": 20,
        "api_base": base,
        "api_key": KEY,
        "timeout_s": 5.0,
        "deadline_s": 10.0,
    }
    return Call(**{**values, **changes})


async def ask(call, streams=False):
    try:
        return await dispatch.aattempt(call, None, (lambda _: None) if streams else None)
    except CallError as error:
        return error


def running(coroutine):
    async def go():
        try:
            return await coroutine
        finally:
            await dispatch.aclose()

    return asyncio.run(go())


def said(server):
    """What arrived; how it is spaced says nothing."""
    return [
        (
            request.path,
            {name.lower(): value for name, value in request.headers.items() if name.lower() != "content-length"},
            request.body,
        )
        for request in server.requests
        if request.body is not None
    ]


def both(server, litellm, call, streams):
    """What arrives of a call as litellm composes it, and as it is composed here."""
    litellm.learnt, proven = Learnt(), litellm.learnt
    server.reset()
    running(ask(call, streams))
    litellm.learnt = proven
    assert composes(call, streams=streams)
    running(ask(call, streams))
    return said(server)


@pytest.mark.parametrize("streams", [False, True])
def test_every_providers_request_is_what_litellm_sends(server, litellm, monkeypatch, streams):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_REGION_NAME", "us-east-1")
    lean = set()
    for provider in litellm.module.provider_list:
        name = getattr(provider, "value", provider)
        call = make(server.url, "be brief", "name three colours", model=MODELS.get(name, f"{name}/m"))
        if name in LOGINS:
            continue
        try:
            if not running(rehearse(call, streams=streams)):
                continue
        except (AssertionError, CallError):  # it sends nothing that could be stopped
            continue
        litellms, ours = both(server, litellm, call, streams)
        assert litellms == ours, name
        lean.add(name)
    assert lean >= LEAN, lean


@pytest.mark.parametrize("model", ["openai/ok", "anthropic/m", "gemini/m"])
@pytest.mark.parametrize("text", TEXTS)
def test_any_text_stands_where_litellm_puts_it(server, litellm, model, text):
    call = make(server.url, "be brief", text, "an answer", "and then?", model=model)
    assert running(rehearse(make(server.url, *"abcd", model=model), streams=False))
    litellms, ours = both(server, litellm, call, False)
    assert litellms == ours


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": "  "}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{"role": "user", "content": "a", "name": "b"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}]},
        {"messages": [{"role": "tool", "content": "a"}]},
        {"messages": []},
        {"caches": True},
        {"params": {"x": object()}},
    ],
)
def test_what_is_more_than_plain_text_is_litellms(changes):
    assert kind_of(make("http://127.0.0.1:9/v1", **changes), streams=False) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"max_output_tokens": 21},
        {"api_key": "another"},
        {"params": {"temperature": 0.5}},
        {"reasoning_effort": "low"},
        {"response_format": {"type": "json_object"}},
        {"model": "openai/other"},
        {"api_base": "http://127.0.0.1:10/v1"},
    ],
)
def test_calls_that_differ_in_more_than_texts_are_of_other_kinds(changes):
    call = make("http://127.0.0.1:9/v1")
    kinds = [kind_of(each, streams=False).digest for each in (call, make("http://127.0.0.1:9/v1", "x"))]
    assert kinds[0] == kinds[1]
    assert kind_of(replace(call, **changes), streams=False).digest != kinds[0]
    assert kind_of(call, streams=True).digest != kinds[0]


def test_the_limit_is_looked_at_each_time(server, litellm):
    """A pattern asks for what it was learnt with: were a call held to less, it would not leave."""
    call = make(server.base_url)
    assert running(rehearse(call, streams=False))
    (pattern,) = litellm.learnt._patterns.values()
    pattern.outline = {**pattern.outline, "max_tokens": 21}
    error = running(ask(call))
    assert (error.kind, error.billable, server.chats) == ("bad_request", "no", [])
    assert "21 tokens" in error.message


# ---- what is learnt of requests


def request(text, key=KEY, **headers):
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    headers = {"Authorization": f"Bearer {key}", "X-Stainless-Read-Timeout": "5.0", **headers}
    return httpx.Request("POST", "http://127.0.0.1:9/v1/chat/completions", headers=headers, json=body), body


def note(learnt, text, change=lambda body: body, *, streams=False, **headers):
    made, body = request(text, **headers)
    learnt.note(kind_of(make("http://127.0.0.1:9/v1", text), streams=False), made, change(body), streams=streams)


def proven(learnt):
    return learnt.compose(kind_of(make("http://127.0.0.1:9/v1", "x"), streams=False)) is not None


def test_it_takes_a_few_requests():
    learnt = Learnt()
    for i, text in enumerate(("a text", "b", "c", "d")):
        assert not proven(learnt), i
        note(learnt, text)
    assert proven(learnt)


def test_the_same_text_again_proves_nothing():
    learnt = Learnt()
    for _ in range(9):
        note(learnt, "a text")
    assert not proven(learnt)


def test_a_text_that_stands_elsewhere_by_chance_teaches_nothing_and_spoils_nothing():
    learnt = Learnt()
    for text in ("user", "m", "a text", "b", "c", "d"):
        assert not proven(learnt)
        note(learnt, text)
    assert proven(learnt)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: {**body, "seed": 4},
        lambda body: {**body, "max_tokens": 20.0},
        lambda body: {**body, "messages": [{"role": "user", "content": body["messages"][0]["content"].upper()}]},
        lambda body: {name: body[name] for name in ("model", "messages")},
    ],
)
def test_a_body_that_differs_leaves_the_kind_to_litellm(change):
    learnt = Learnt()
    for text in "abcd":
        note(learnt, f"text {text}")
    note(learnt, "text", change)
    for text in "abcd":
        note(learnt, text)
    assert not proven(learnt)


@pytest.mark.parametrize("headers", [{"X-Id": "1"}, {"key": "other"}, {"X-Stainless-Read-Timeout": "6.0"}])
def test_headers_that_differ_leave_the_kind_to_litellm(headers):
    learnt = Learnt()
    for text in "abcd":
        note(learnt, f"text {text}")
    assert proven(learnt)
    note(learnt, "text", **headers)
    assert not proven(learnt)


@pytest.mark.parametrize(
    "headers",
    [{"key": "a token that ends"}, {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, {"X-Amz-Security-Token": "x"}],
)
def test_other_proofs_than_the_key_are_good_once(headers):
    learnt = Learnt()
    for text in "abcdefg":
        note(learnt, f"text {text}", **headers)
    assert not proven(learnt)


def test_a_template_of_words_is_litellms():
    learnt = Learnt()
    for text in "abcdefg":
        note(learnt, text, lambda body: {**body, "messages": [], "prompt": f"[INST] {body['messages'][0]['content']}"})
    assert not proven(learnt)


def test_it_is_checked_again_now_and_then():
    learnt = Learnt()
    for text in "abcd":
        note(learnt, f"text {text}")
    assert sum(proven(learnt) for _ in range(1000)) == 500
    note(learnt, "a text")
    assert proven(learnt)


def test_it_knows_so_many_kinds():
    learnt = Learnt()
    for i in range(300):
        made, body = request("a text")
        learnt.note(
            kind_of(make("http://127.0.0.1:9/v1", "a text", max_output_tokens=i + 1), streams=False),
            made,
            body,
            streams=False,
        )
    assert len(learnt._patterns) == 256


def test_it_shows_no_key():
    learnt = Learnt()
    for text in "abcd":
        note(learnt, f"text {text}")
    kind = kind_of(make("http://127.0.0.1:9/v1", "x"), streams=False)
    assert KEY not in f"{learnt!r} {learnt._patterns!r} {kind!r} {learnt.compose(kind)!r}"
