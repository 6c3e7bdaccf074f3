"""What programs send in each shape, as it is read: what is kept, what is left out, what is refused."""

import json
import typing

import anthropic.types.beta.message_create_params as anthropic_beta
import anthropic.types.message_create_params as anthropic_params
import openai.types.chat.completion_create_params as chat_params
import openai.types.responses.response_create_params as response_params
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving.shape_clients import SHAPES, WEATHER, Endpoint, sent, texts, tool_calls

from scrimp.routing.prompts.chat import speech, text_of
from scrimp.routing.serving.shapes.shape import ShapeError

CHAT, RESPONSES, ANTHROPIC = SHAPES.values()
ASK = {"role": "user", "content": "?"}
PNG = "iVBORw0KGgo="
BODIES = {
    "openai-chat": {"model": "m", "messages": [ASK]},
    "openai-responses": {"model": "m", "input": [ASK]},
    "anthropic": {"model": "m", "max_tokens": 9, "messages": [ASK]},
}


def read(shape, headers=None, **fields):
    return shape.read({**BODIES[shape.name], **fields}, headers or {})


def refusal(shape, **fields):
    with pytest.raises(ShapeError) as caught:
        read(shape, **fields)
    assert caught.value.status == 400
    assert caught.value.param is None or caught.value.param in caught.value.message
    return caught.value


# --- whole conversations ---------------------------------------------------------------------------------------------

turns = st.lists(st.tuples(texts, texts, tool_calls, texts), min_size=1, max_size=3)
"""(the user's text, the model's, its tool calls, what each returns)."""


def with_ids(conversation):
    for n, (asked, said, calls, result) in enumerate(conversation):
        yield asked, said, [(f"c{n}_{k}", *call) for k, call in enumerate(calls)], result


def as_chat(conversation, last):
    for asked, said, calls, result in with_ids(conversation):
        made = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
        yield {"role": "user", "content": asked}
        yield {"role": "assistant", "content": said, **({"tool_calls": made} if made else {})}
        yield from ({"role": "tool", "tool_call_id": i, "content": result} for i, _, _ in calls)
    yield {"role": "user", "content": last}


def as_items(conversation, last):
    for asked, said, calls, result in with_ids(conversation):
        yield {"role": "user", "content": [{"type": "input_text", "text": asked}]}
        yield {"type": "reasoning", "id": "rs_1", "summary": []}
        yield {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]}
        yield from ({"type": "function_call", "call_id": i, "name": n, "arguments": a} for i, n, a in calls)
        yield from ({"type": "function_call_output", "call_id": i, "output": result} for i, _, _ in calls)
    yield {"role": "user", "content": last}


def as_blocks(conversation, last):
    content = []
    for asked, said, calls, result in with_ids(conversation):
        yield {"role": "user", "content": [*content, {"type": "text", "text": asked}]}
        thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
        made = [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in calls]
        yield {"role": "assistant", "content": [thought, {"type": "text", "text": said}, *made]}
        content = [{"type": "tool_result", "tool_use_id": i, "content": result} for i, _, _ in calls]
    yield {"role": "user", "content": [*content, {"type": "text", "text": last}]}


@given(turns, texts)
def test_conversations_keep_their_texts_and_calls(conversation, last):
    expected = []
    for message in as_chat(conversation, last):
        made = [
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in message.get("tool_calls", ())
        ]
        expected.append((message["role"], message["content"], made, message.get("tool_call_id")))
    for wanted in (
        read(CHAT, messages=list(as_chat(conversation, last))),
        read(RESPONSES, input=list(as_items(conversation, last))),
        read(ANTHROPIC, messages=list(as_blocks(conversation, last))),
    ):
        got = []
        for message in wanted.chat.messages:
            made = [
                (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
                for c in message.get("tool_calls", ())
            ]
            got.append((message["role"], text_of(message["content"]), made, message.get("tool_call_id")))
        assert got == expected
        assert wanted.chat.asked == speech(last)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_an_answer_can_be_sent_back(shape):
    """Programs put what a client gave them into the next request as it is, nulls and all."""
    answer = sent("let me see", [("weather", '{"city": "Rome"}')])
    endpoint = Endpoint(answer)
    if shape is CHAT:
        told = endpoint.openai().chat.completions.create(model="m", messages=[ASK]).choices[0].message.model_dump()
        result = {"role": "tool", "tool_call_id": "call_0", "content": "sun"}
        wanted = read(shape, messages=[ASK, told, result])
    elif shape is RESPONSES:
        told = endpoint.openai().responses.create(model="m", input="?").output
        result = {"type": "function_call_output", "call_id": "call_0", "output": "sun"}
        wanted = read(shape, input=[ASK, *(item.model_dump() for item in told), result])
    else:
        told = endpoint.anthropic().messages.create(model="m", max_tokens=9, messages=[ASK]).content
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "sun"}]}
        wanted = read(shape, messages=[ASK, {"role": "assistant", "content": [b.model_dump() for b in told]}, result])
    _, said, last = wanted.chat.messages
    assert (text_of(said["content"]), said["tool_calls"]) == ("let me see", [answer.tool_calls[0].to_dict()])
    assert last == {"role": "tool", "tool_call_id": "call_0", "content": "sun"}
    assert wanted.chat.in_tool_loop


def test_an_empty_answer_in_the_history():
    for empty in ({"content": None}, {"content": []}, {}, {"content": None, "reasoning_content": "hm"}):
        wanted = read(CHAT, messages=[ASK, {"role": "assistant", **empty}, ASK])
        assert wanted.chat.messages[1] == {"role": "assistant", "content": ""}
    assert wanted.ignored == ("messages[].reasoning_content",)
    wanted = read(CHAT, messages=[ASK, {"role": "assistant", "content": None, "refusal": "no"}, ASK])
    assert wanted.chat.messages[1]["content"] == "no"
    wanted = read(ANTHROPIC, messages=[ASK, {"role": "assistant", "content": []}, ASK])
    assert wanted.chat.messages[1] == {"role": "assistant", "content": ""}


# --- what is wanted of the call --------------------------------------------------------------------------------------


def test_fields_of_chat():
    wanted = read(
        CHAT, max_tokens=50, max_completion_tokens=40.0, temperature=0.5, top_p=1, seed=3, stop=["a", "b"],
        presence_penalty=1, frequency_penalty=-1, parallel_tool_calls=False, reasoning_effort="high", user="u",
        response_format={"type": "json_object"}, stream=True, stream_options={"include_usage": True}, n=1,
        tools=[{"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}}],
        tool_choice={"type": "function", "function": {"name": "weather"}}, service_tier="auto", logit_bias={}, verbosity="low",
    )  # fmt: skip
    assert (wanted.model, wanted.limit, wanted.effort, wanted.session) == ("m", 40, "high", "u")
    assert wanted.params == {
        "temperature": 0.5, "top_p": 1, "seed": 3, "stop": ["a", "b"], "presence_penalty": 1, "frequency_penalty": -1,
        "parallel_tool_calls": False,
    }  # fmt: skip
    assert (wanted.response_format, wanted.needs) == ({"type": "json_object"}, {"json", "tools"})
    assert (wanted.stream, wanted.include_usage, wanted.ignored) == (True, True, ("verbosity",))
    assert wanted.chat.tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert wanted.chat.tools[0]["function"] == {"name": "weather", "parameters": WEATHER, "strict": True}


def test_fields_of_responses():
    schema = {"type": "json_schema", "name": "w", "schema": WEATHER, "strict": True}
    wanted = read(
        RESPONSES, instructions="be brief", max_output_tokens=40, temperature=0, top_p=0.5, stream=False, store=False,
        reasoning={"effort": "low", "summary": "auto"}, text={"format": schema, "verbosity": "low"}, truncation="auto",
        tools=[{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}], parallel_tool_calls=True,
        tool_choice={"type": "function", "name": "weather"}, prompt_cache_key="k", user="u",
        include=["reasoning.encrypted_content"],
    )  # fmt: skip
    assert wanted.chat.messages[0] == {"role": "system", "content": "be brief"}
    assert (wanted.limit, wanted.effort, wanted.session, wanted.stream) == (40, "low", "k", False)
    assert wanted.params == {"temperature": 0, "top_p": 0.5, "parallel_tool_calls": True}
    form = {"name": "w", "schema": WEATHER, "strict": True}
    assert wanted.response_format == {"type": "json_schema", "json_schema": form}
    assert wanted.needs == {"json", "tools"}
    assert wanted.chat.tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert wanted.chat.tools[0]["function"] == {"name": "weather", "parameters": WEATHER, "strict": False}
    assert set(wanted.ignored) == {"truncation", "include", "reasoning.summary", "text.verbosity"}
    told = RESPONSES.whole(wanted, sent("x"))
    assert (told["instructions"], told["max_output_tokens"], told["tools"][0]["name"]) == ("be brief", 40, "weather")


def test_fields_of_anthropic():
    wanted = read(
        ANTHROPIC, max_tokens=40, temperature=1, top_p=0.5, top_k=7, stop_sequences=["a"], stream=True,
        system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "u"}, thinking={"type": "enabled", "budget_tokens": 1024}, context_management={"edits": []},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": WEATHER}}, service_tier="auto",
        tools=[{"name": "weather", "input_schema": WEATHER, "cache_control": {"type": "ephemeral"}, "defer_loading": True}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True}, betas=["x"],
    )  # fmt: skip
    kept = {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}
    assert wanted.chat.messages[0] == {"role": "system", "content": [kept]}
    assert (wanted.limit, wanted.effort, wanted.session) == (40, "low", "u")
    assert wanted.params == {"temperature": 1, "top_p": 0.5, "top_k": 7, "stop": ["a"], "parallel_tool_calls": False}
    assert wanted.response_format["json_schema"]["schema"] == WEATHER
    assert wanted.needs == {"json", "tools"}
    assert wanted.chat.tool_choice == "required"
    assert wanted.chat.tools == (
        {
            "type": "function",
            "function": {"name": "weather", "parameters": WEATHER},
            "cache_control": {"type": "ephemeral"},
        },
    )
    assert set(wanted.ignored) == {"thinking", "context_management", "betas", "tools[].defer_loading"}


@pytest.mark.parametrize(
    ("choice", "read_as"),
    [({"type": "auto"}, "auto"), ({"type": "any"}, "required"), ({"type": "none"}, "none"),
     ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}})],
)  # fmt: skip
def test_tool_choices_of_anthropic(choice, read_as):
    wanted = read(ANTHROPIC, tools=[{"name": "f", "input_schema": {}}], tool_choice=choice)
    assert wanted.chat.tool_choice == read_as


def test_images_and_files():
    url, pdf = f"data:image/png;base64,{PNG}", "data:application/pdf;base64,JVBERi0="
    image, file = (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
    )
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
    ]
    items = [{"type": "input_image", "image_url": url}, {"type": "input_file", "filename": "a.pdf", "file_data": pdf}]
    for wanted in (
        read(CHAT, messages=[{"role": "user", "content": [image, file]}]),
        read(RESPONSES, input=[{"role": "user", "content": items}]),
        read(ANTHROPIC, messages=[{"role": "user", "content": blocks}]),
    ):
        assert wanted.chat.messages[0]["content"] == [image, file]
        assert wanted.needs == {"vision", "pdf"}
    far = read(
        ANTHROPIC,
        messages=[
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}]}
        ],
    )
    assert far.chat.messages[0]["content"] == [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]


def test_results_of_tools_in_blocks():
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1, None]}}]}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {
        "type": "tool_result",
        "tool_use_id": "1",
        "is_error": True,
        "content": [{"type": "text", "text": "a\0b"}, image],
    }
    wanted = read(
        ANTHROPIC, messages=[ASK, call, {"role": "user", "content": [result, {"type": "text", "text": "go on"}]}]
    )
    _, said, tool, user = wanted.chat.messages
    assert (said["content"], json.loads(said["tool_calls"][0]["function"]["arguments"])) == (None, {"a": [1, None]})
    assert [part.get("text") for part in tool["content"]] == ["The tool failed:", "a\ufffdb", None]
    assert user == {"role": "user", "content": "go on"}
    assert wanted.needs == {"vision", "tools"}


def test_a_document_of_text_keeps_its_title():
    source = {"type": "text", "media_type": "text/plain", "data": "the text"}
    block = {
        "type": "document",
        "title": "notes",
        "context": "from May",
        "source": source,
        "cache_control": {"type": "ephemeral"},
    }
    parts = read(ANTHROPIC, messages=[{"role": "user", "content": [block]}]).chat.messages[0]["content"]
    assert [part["text"] for part in parts] == ["notes", "from May", "the text"]
    assert [("cache_control" in part) for part in parts] == [False, False, True]


def test_marks_for_the_cache_are_kept():
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    part = {"type": "text", "text": "?", **mark}
    for wanted in (
        read(CHAT, messages=[{"role": "user", "content": [part]}]),
        read(CHAT, messages=[{"role": "user", "content": "?", **mark}]),
        read(ANTHROPIC, messages=[{"role": "user", "content": [part]}]),
        read(ANTHROPIC, **mark),
    ):
        assert wanted.chat.messages == ({"role": "user", "content": [part]},)


def test_calls_and_texts_of_one_turn_stand_in_one_message():
    calls = [{"type": "function_call", "call_id": f"{n}", "name": "f", "arguments": "{}"} for n in range(2)]
    outputs = [{"type": "function_call_output", "call_id": f"{n}", "output": "x"} for n in range(2)]
    said = {"role": "assistant", "content": "so"}
    for items in ([ASK, said, *calls, *outputs], [ASK, *calls, said, *outputs]):
        messages = read(RESPONSES, input=items).chat.messages
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
        assert (messages[1]["content"], len(messages[1]["tool_calls"])) == ("so", 2)


@pytest.mark.parametrize(
    ("headers", "fields", "session"),
    [({}, {}, None), ({}, {"user": "u"}, "u"), ({}, {"user": "u", "prompt_cache_key": "k"}, "k"),
     ({}, {"metadata": {"session_id": "s"}, "user": "u"}, "s"), ({"x-scrimp-session": "h"}, {"user": "u"}, "h"),
     ({"session_id": ""}, {"user": "u"}, "u")],
)  # fmt: skip
def test_sessions(headers, fields, session):
    assert read(CHAT, headers, **fields).session == session
    assert read(RESPONSES, headers, **fields).session == session


def test_half_characters_are_mended():
    wanted = read(CHAT, messages=[{"role": "user", "content": "a\ud83d"}], user="\ud83d", stop="\ud83d")
    assert (wanted.chat.asked, wanted.session, wanted.params["stop"]) == ("a\ufffd", "\ufffd", "\ufffd")
    tool = {"name": "f", "input_schema": {"properties": {"\ud83d": {"enum": ["\ud83d"]}}}}
    assert read(ANTHROPIC, tools=[tool]).chat.tools[0]["function"]["parameters"] == {
        "properties": {"\ufffd": {"enum": ["\ufffd"]}}
    }


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED = [
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"n": True}, "n"),
    (CHAT, {"logprobs": True}, "logprobs"),
    (CHAT, {"top_logprobs": 3}, "top_logprobs"),
    (CHAT, {"modalities": ["text", "audio"]}, "modalities"),
    (CHAT, {"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
    (CHAT, {"prediction": {"type": "content", "content": "x"}}, "prediction"),
    (CHAT, {"service_tier": "flex"}, "service_tier"),
    (CHAT, {"web_search_options": {}}, "web_search_options"),
    (CHAT, {"functions": [{"name": "f"}]}, "functions"),
    (CHAT, {"function_call": "auto"}, "function_call"),
    (CHAT, {"logit_bias": {"1": 5}}, "logit_bias"),
    (CHAT, {"moderation": {"model": "x"}}, "moderation"),
    (CHAT, {"messages": [{**ASK, "prefix": True}]}, "messages[0].prefix"),
    (CHAT, {"messages": [ASK, {"role": "assistant", "audio": {"id": "a"}}]}, "messages[1].audio"),
    (CHAT, {"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
    (CHAT, {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
    (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id"),
    (RESPONSES, {"conversation": "conv_1"}, "conversation"),
    (RESPONSES, {"store": True}, "store"),
    (RESPONSES, {"background": True}, "background"),
    (RESPONSES, {"prompt": {"id": "p"}}, "prompt"),
    (RESPONSES, {"service_tier": "priority"}, "service_tier"),
    (RESPONSES, {"top_logprobs": 1}, "top_logprobs"),
    (RESPONSES, {"moderation": {"model": "x"}}, "moderation"),
    (RESPONSES, {"include": ["message.output_text.logprobs"]}, "include[0]"),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (RESPONSES, {"input": [ASK, {"type": "item_reference", "id": "msg_1"}]}, "input[1].type"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
    (ANTHROPIC, {"service_tier": "priority"}, "service_tier"),
    (ANTHROPIC, {"speed": "fast"}, "speed"),
    (ANTHROPIC, {"inference_geo": "us"}, "inference_geo"),
    (ANTHROPIC, {"container": "c"}, "container"),
    (ANTHROPIC, {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, "mcp_servers"),
    (ANTHROPIC, {"thread": {"type": "x"}}, "thread"),
    (ANTHROPIC, {"max_tokens": None}, "max_tokens"),
    (ANTHROPIC, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    (ANTHROPIC, {"messages": [ASK, {"role": "assistant", "content": "{"}]}, "messages"),
    (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "messages[0].content[0].type"),
    (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "document", "citations": {"enabled": True}, "source": {"type": "text", "data": "x"}}]}]}, "messages[0].content[0].citations.enabled"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "fields", "param"), REFUSED, ids=lambda item: getattr(item, "name", None))
def test_what_changes_price_or_meaning_is_refused(shape, fields, param):
    error = refusal(shape, **fields)
    assert error.param == param


WRONG = [
    (CHAT, {"messages": None}, "messages"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "system", "content": "x"}]}, "messages"),
    (CHAT, {"messages": ["x"]}, "messages[0]"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0].type"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}, "messages[0].content[0].image_url.url"),
    (CHAT, {"messages": [ASK, {"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages[1].tool_call_id"),
    (CHAT, {"messages": [ASK, {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}]}]}, "messages[1].tool_calls[0].function.arguments"),
    (CHAT, {"messages": [{**ASK, "tool_calls": [{}]}]}, "messages[0].tool_calls"),
    (CHAT, {"model": None}, "model"),
    (CHAT, {"model": ""}, "model"),
    (CHAT, {"max_tokens": 0}, "max_tokens"),
    (CHAT, {"max_tokens": "9"}, "max_tokens"),
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"temperature": 3}, "temperature"),
    (CHAT, {"temperature": float("nan")}, "temperature"),
    (CHAT, {"seed": 1.5}, "seed"),
    (CHAT, {"stop": [1]}, "stop[0]"),
    (CHAT, {"stream": "yes"}, "stream"),
    (CHAT, {"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    (CHAT, {"metadata": []}, "metadata"),
    (CHAT, {"tools": {}}, "tools"),
    (CHAT, {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (CHAT, {"tool_choice": "required"}, "tool_choice"),
    (CHAT, {"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function.name"),
    (CHAT, {"response_format": {"type": "xml"}}, "response_format.type"),
    (CHAT, {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (RESPONSES, {"input": None}, "input"),
    (RESPONSES, {"input": []}, "input"),
    (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input[0].call_id"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "input[0].content[0].type"),
    (RESPONSES, {"instructions": ["x"]}, "instructions"),
    (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    (RESPONSES, {"reasoning": "low"}, "reasoning"),
    (ANTHROPIC, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    (ANTHROPIC, {"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]}, "messages[0].content[0].tool_use_id"),
    (ANTHROPIC, {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "x"}}]}]}, "messages[0].content[0].source.media_type"),
    (ANTHROPIC, {"system": 5}, "system"),
    (ANTHROPIC, {"max_tokens": -1}, "max_tokens"),
    (ANTHROPIC, {"stop_sequences": [None]}, "stop_sequences[0]"),
    (ANTHROPIC, {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    (ANTHROPIC, {"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name"),
    (ANTHROPIC, {"metadata": "u"}, "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "fields", "param"), WRONG, ids=lambda item: getattr(item, "name", None))
def test_what_is_wrong_is_named(shape, fields, param):
    assert refusal(shape, **fields).param == param


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_a_body_that_is_no_object(shape, body):
    with pytest.raises(ShapeError, match="expected an object"):
        shape.read(body, {})


def test_a_schema_without_end():
    schema = {}
    for _ in range(5000):
        schema = {"items": schema}
    assert refusal(ANTHROPIC, tools=[{"name": "f", "input_schema": schema}]).param == "tools[0].input_schema"


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
@given(st.data())
def test_whatever_is_sent_is_read_or_refused(shape, data):
    known = sorted({key for case in [*REFUSED, *WRONG] if case[0] is shape for key in case[1]})
    fields = data.draw(st.dictionaries(st.sampled_from(known), json_values, max_size=4))
    try:
        wanted = read(shape, **fields)
    except ShapeError as error:
        json.dumps(shape.error(error.kind, error.message, param=error.param), ensure_ascii=False).encode()
    else:
        json.dumps(
            [list(wanted.chat.messages), wanted.params, wanted.response_format], allow_nan=False, ensure_ascii=False
        ).encode()


# --- nothing is overlooked -------------------------------------------------------------------------------------------

IGNORED = {
    "openai-chat": {
        "verbosity",  # a wish, for one provider's models
        "prompt_cache_options", "prompt_cache_retention",  # where a provider keeps its cache
    },
    "openai-responses": {
        "context_management", "truncation",  # what to do with a conversation that is too long: it is refused instead
        "include", "max_tool_calls",  # of tools that a provider runs
        "prompt_cache_options", "prompt_cache_retention",
    },
    "anthropic": {
        "thinking",  # an arm has an effort of its own
        "context_management", "compaction",  # what to leave out of a long conversation: all is sent
        "diagnostics", "billing_policy", "fallback_credit_token", "user_profile_id", "workspace_id", "betas",  # the account's
        "fallbacks",  # the profile has its own
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        (CHAT, [chat_params.CompletionCreateParamsStreaming]),
        (RESPONSES, [response_params.ResponseCreateParamsStreaming]),
        (ANTHROPIC, [anthropic_params.MessageCreateParamsStreaming, anthropic_beta.MessageCreateParamsStreaming]),
    ],
    ids=["chat", "responses", "anthropic"],
)
def test_every_field_of_the_interface_is_read_refused_or_ignored_on_purpose(shape, kinds):
    for field in {name for kind in kinds for name in typing.get_type_hints(kind)}:
        assert fate(shape, field) in ("refused", *(["ignored"] if field in IGNORED[shape.name] else ["kept"])), field
        assert fate(shape, field) != "kept" or field in KEPT[shape.name], field


def fate(shape, field):
    """What becomes of a field that says something odd."""
    try:
        wanted = read(shape, **{field: {"x": "y"}})
    except ShapeError as error:
        return "refused" if error.param.startswith(field) else error.message
    return "ignored" if field in wanted.ignored else "kept"


KEPT = {
    "openai-chat": {"metadata", "stream_options", "store", "user", "prompt_cache_key", "safety_identifier"},
    "openai-responses": {
        "metadata",
        "stream_options",
        "reasoning",
        "text",
        "user",
        "prompt_cache_key",
        "safety_identifier",
    },
    "anthropic": {"metadata", "cache_control", "output_config"},
}
"""Where any object, or any value at all, is taken."""
