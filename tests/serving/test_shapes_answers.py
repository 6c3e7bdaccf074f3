"""What is written in each shape, as the official clients take it: whole, streamed, broken off, refused."""

import functools
import json

import anthropic
import openai
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from hypothesis import given, settings
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from serving.shape_clients import SHAPES, USAGE, Endpoint, answers, sent

from scrimp.routing.calls.call import TextDelta, ToolDelta
from scrimp.routing.prices.usage import Usage
from scrimp.routing.serving.shapes.models import list_models, one_model
from scrimp.routing.serving.shapes.shape import STATUS

ASK = [{"role": "user", "content": "?"}]
CHAT, RESPONSES, ANTHROPIC = SHAPES.values()
BODIES = {
    "openai-chat": {"model": "scrimp", "messages": ASK},
    "openai-responses": {"model": "scrimp", "input": "?", "instructions": "be brief", "max_output_tokens": 9},
    "anthropic": {"model": "scrimp", "messages": ASK, "max_tokens": 9},
}


adapter = functools.cache(TypeAdapter)


def strict(kind, value):
    """Parse with nothing turned into another type."""
    return adapter(kind).validate_json(json.dumps(value), strict=True)


def whole(shape, answer):
    return shape.whole(shape.read(BODIES[shape.name], {}), answer)


def bare(value):
    """A client's own object as plain data, without what its parsing adds, and what is null."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    added = ("scrimp", "parsed", "parsed_arguments", "parsed_output")
    return {key: bare(item) for key, item in value.items() if key not in added and item is not None}


@settings(max_examples=50)
@given(answers())
def test_chat_streams_what_it_says_whole(case):
    answer, pieces = case
    endpoint = Endpoint(answer, pieces)
    client = endpoint.openai()
    once = client.chat.completions.create(model="scrimp", messages=ASK)
    assert once.choices[0].message.content == (answer.text or (None if answer.tool_calls else ""))
    with client.chat.completions.stream(model="scrimp", messages=ASK, stream_options={"include_usage": True}) as stream:
        list(stream)
        told = stream.current_completion_snapshot  # the final one is refused by the client where a limit was reached
    said, streamed = once.choices[0], told.choices[0]
    assert (streamed.message.content or "") == (said.message.content or "")
    assert {(c.id, c.function.name, c.function.arguments) for c in streamed.message.tool_calls or ()} == {
        (c.id, c.function.name, c.function.arguments) for c in said.message.tool_calls or ()
    }
    assert (streamed.finish_reason, told.usage) == (said.finish_reason, once.usage)
    assert (told.id, told.model, told.created) == (once.id, once.model, once.created)
    strict(ChatCompletion, whole(CHAT, answer))
    for each in endpoint.events():
        strict(ChatCompletionChunk, each)


@settings(max_examples=50)
@given(answers())
def test_responses_stream_what_they_say_whole(case):
    answer, pieces = case
    endpoint = Endpoint(answer, pieces)
    client = endpoint.openai()
    once = client.responses.create(**BODIES["openai-responses"])
    assert once.output_text == answer.text
    with client.responses.stream(**BODIES["openai-responses"]) as stream:
        last = list(stream)[-1]
    assert last.type == ("response.completed" if once.status == "completed" else "response.incomplete")
    if sequential(answer, pieces):
        assert bare(last.response.to_dict()) == bare(once.to_dict())
    else:
        assert last.response.output_text == once.output_text
        assert {item.call_id for item in last.response.output if item.type == "function_call"} == {
            call.id for call in answer.tool_calls
        }
    strict(Response, whole(RESPONSES, answer))
    events = [strict(ResponseStreamEvent, each) for each in endpoint.events()]
    assert [each.sequence_number for each in events] == list(range(len(events)))
    opened = [each.item.id for each in events if each.type == "response.output_item.added"]
    assert opened == [each.item.id for each in events if each.type == "response.output_item.done"]
    assert opened == [item.id for item in last.response.output]


@settings(max_examples=50)
@given(answers())
def test_anthropic_streams_what_it_says_whole(case):
    answer, pieces = case
    endpoint = Endpoint(answer, pieces)
    client = endpoint.anthropic()
    once = client.messages.create(**BODIES["anthropic"])
    with client.messages.stream(**BODIES["anthropic"]) as stream:
        told = stream.get_final_message()
    assert [block.input for block in once.content if block.type == "tool_use"] == [
        json.loads(call.arguments) for call in answer.tool_calls
    ]
    assert "".join(block.text for block in told.content if block.type == "text") == answer.text
    if sequential(answer, pieces):
        assert bare(told.to_dict()) == bare(once.to_dict())
    strict(Message, whole(ANTHROPIC, answer))
    open_block = None
    for each in endpoint.events():
        told = strict(RawMessageStreamEvent, each) if each["type"] != "ping" else None
        if told is None:
            continue
        if told.type == "content_block_start":
            assert open_block is None
            open_block = told.index
        elif told.type == "content_block_delta":
            assert open_block == told.index
        elif told.type == "content_block_stop":
            assert open_block == told.index
            open_block = None
    assert open_block is None


def sequential(answer, pieces):
    """Whether pieces began with the first tool call, when all text had come: else the order of blocks is another."""
    tools = [piece for piece in pieces if isinstance(piece, ToolDelta)]
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    return not tools or (tools[0].index == 0 and text == answer.text)


@pytest.mark.parametrize(
    ("finish", "calls", "chat", "response", "message"),
    [
        ("stop", (), "stop", "completed", "end_turn"),
        ("length", (), "length", "incomplete", "max_tokens"),
        ("content_filter", (), "content_filter", "incomplete", "refusal"),
        ("refusal", (), "content_filter", "incomplete", "refusal"),
        ("tool_calls", (("f", "{}"),), "tool_calls", "completed", "tool_use"),
        ("stop", (("f", "{}"),), "tool_calls", "completed", "tool_use"),
        (None, (), "stop", "completed", "end_turn"),
    ],
)
def test_why_it_ended(finish, calls, chat, response, message):
    answer = sent("so", calls, finish)
    assert whole(CHAT, answer)["choices"][0]["finish_reason"] == chat
    assert whole(RESPONSES, answer)["status"] == response
    assert whole(ANTHROPIC, answer)["stop_reason"] == message


def test_usage_as_each_counts_it():
    answer = sent("so", usage=Usage(120, 30, cached_tokens=100, cache_write_tokens=5, reasoning_tokens=7))
    assert whole(CHAT, answer)["usage"] == {
        "prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens_details": {"reasoning_tokens": 7},
        "cost": 0.0,
    }  # fmt: skip
    assert whole(RESPONSES, answer)["usage"]["input_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 5}
    assert whole(ANTHROPIC, answer)["usage"] == {
        "input_tokens": 15, "output_tokens": 30, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 7},
    }  # fmt: skip


def test_usage_that_is_not_known():
    answer = sent("so", usage=None)
    assert "usage" not in whole(CHAT, answer)
    assert whole(RESPONSES, answer)["usage"] is None
    assert whole(ANTHROPIC, answer)["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_chat_tells_usage_in_a_stream_only_where_it_is_asked_for():
    endpoint = Endpoint(sent("so"))
    plain = endpoint.openai().chat.completions.create(model="m", messages=ASK, stream=True)
    assert [chunk.usage for chunk in plain if chunk.usage] == []
    assert all("usage" not in each for each in endpoint.events())
    told = endpoint.openai().chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    assert [(chunk.choices, chunk.usage.prompt_tokens) for chunk in told if chunk.usage] == [([], USAGE.input_tokens)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_the_request_and_its_cost_are_told(shape):
    ours = {"id": "r1", "arm": "small", "cost_usd": "0.0012"}
    answer = sent("so")
    assert whole(shape, answer)["scrimp"] == ours
    wanted = shape.read(BODIES[shape.name], {})
    out = shape.stream(wanted, id="r1", model="small", created=1).end(answer)
    assert json.dumps(ours, separators=(",", ":")).encode() in out


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_half_a_character_can_be_sent(shape):
    answer = sent("a \ud83d b", [("f", '{"a": "\ud83d"}')])
    json.dumps(whole(shape, answer), ensure_ascii=False).encode()
    out = shape.stream(shape.read(BODIES[shape.name], {}), id="r", model="m", created=1)
    assert (out.begin() + out.delta(TextDelta("\ud83d")) + out.end(answer)).isascii()


def test_arguments_that_are_no_json():
    calls = [("f", ""), ("f", '{"a": 1, "b": [2'), ("f", "no"), ("f", "[1]"), ("f", '{"a": NaN}'), ("f", '{"a":' * 99)]
    given = [block["input"] for block in whole(ANTHROPIC, sent("", calls))["content"]]
    assert given[:4] == [{}, {"a": 1, "b": [2]}, {"invalid_json": "no"}, {"invalid_json": "[1]"}]
    assert [list(each) for each in given[4:]] == [["invalid_json"], ["invalid_json"]]


def test_a_stream_that_breaks_off():
    endpoint = Endpoint(sent("so it goes"), [TextDelta("so")], broken="api")
    with pytest.raises(openai.APIError, match="it broke off") as caught:
        list(endpoint.openai().chat.completions.create(model="m", messages=ASK, stream=True))
    assert caught.value.code == "server_error"
    with (
        pytest.raises(anthropic.APIStatusError, match="it broke off") as caught,
        endpoint.anthropic().messages.stream(**BODIES["anthropic"]) as stream,
    ):
        stream.get_final_message()
    assert caught.value.body["error"] == {"type": "api_error", "message": "it broke off"}
    told = list(endpoint.openai().responses.create(**BODIES["openai-responses"], stream=True))
    assert [each.type for each in told[-2:]] == ["error", "response.failed"]
    assert told[-1].response.error.message == "it broke off"
    for each in endpoint.events():
        strict(ResponseStreamEvent, each)


def test_errors_are_those_of_the_clients():
    client, other = Endpoint(broken="budget").openai(), Endpoint(broken="budget").anthropic()
    for ask in (
        lambda: client.chat.completions.create(model="m", messages=ASK),
        lambda: client.responses.create(**BODIES["openai-responses"]),
    ):
        with pytest.raises(openai.APIStatusError, match="a cap leaves too little") as caught:
            ask()
        assert (caught.value.status_code, caught.value.code) == (402, "insufficient_quota")
    with pytest.raises(anthropic.APIStatusError, match="a cap leaves too little") as caught:
        other.messages.create(**BODIES["anthropic"])
    assert caught.value.status_code == 402
    assert caught.value.body == {
        "type": "error", "request_id": "r1",
        "error": {"type": "billing_error", "message": "a cap leaves too little"},
    }  # fmt: skip
    with pytest.raises(openai.BadRequestError) as caught:
        Endpoint(sent("so")).openai().chat.completions.create(model="m", messages=ASK, n=2)
    assert (caught.value.param, caught.value.type) == ("n", "invalid_request_error")


@pytest.mark.parametrize("kind", STATUS)
def test_every_kind_of_error_has_its_class_in_the_clients(kind):
    with pytest.raises(openai.APIStatusError, match="a cap") as caught:
        Endpoint(broken=kind).openai().chat.completions.create(model="m", messages=ASK)
    assert caught.value.status_code == STATUS[kind]
    assert caught.value.type
    with pytest.raises(anthropic.APIStatusError, match="a cap") as caught:
        Endpoint(broken=kind).anthropic().messages.create(**BODIES["anthropic"])
    if kind != "too_large":  # documented, and missing from the client's own types
        strict(ErrorResponse, caught.value.body)


def test_tokens_are_counted_without_a_limit():
    wanted = ANTHROPIC.read_count({"model": "m", "messages": ASK}, {})
    assert (wanted.limit, wanted.chat.asked) == (None, "?")
    assert strict(MessageTokensCount, ANTHROPIC.count(7)).input_tokens == 7


def test_models_are_listed():
    names = ["scrimp", "small"]
    ours = list_models(names, {}, created=1_790_000_000)
    assert [strict(Model, each).id for each in ours["data"]] == names
    assert {each["owned_by"] for each in ours["data"]} == {"scrimp"}
    theirs = list_models(names, {"anthropic-version": "2023-06-01"}, created=1_790_000_000)
    assert [strict(ModelInfo, each).created_at.year for each in theirs["data"]] == [2026, 2026]
    assert (theirs["first_id"], theirs["last_id"], theirs["has_more"]) == ("scrimp", "small", False)
    assert list_models([], {"anthropic-version": "x"}, created=1)["first_id"] is None
    assert one_model("small", {}, created=1)["object"] == "model"
