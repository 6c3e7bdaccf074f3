"""What programs send through the endpoint: nothing private goes on, and all of it is in the reply, whole and streamed."""

import json

import pytest
from canaries import FOUND, NAMES, TEXTS, in_home, leaked, sent

GUARD = f'\n[guard]\nprivate = "redact"\nnames = {json.dumps(list(NAMES))}\n'
ALL = "\n".join(TEXTS)
LOOK_UP = {
    "type": "function",
    "function": {"name": "look_up", "description": "Looks up.", "parameters": {"type": "object", "properties": {"who": {"type": "string"}}}},
}  # fmt: skip
KEY = "-----BEGIN PRIVATE KEY-----\nabc1\n-----END PRIVATE KEY-----"


@pytest.fixture
def serving(serve):
    return lambda **arms: serve(caps="per_day_usd = 50.0", extra=GUARD, **arms)


@pytest.fixture
def kept_in(home, server):
    def check():
        assert server.chats
        assert leaked(sent(server)) == []
        assert leaked(in_home(home)) == []

    return check


def test_a_chat_goes_out_with_placeholders_and_comes_back_whole(serving, openai_of, kept_in):
    client = openai_of(serving(small="echo"))
    reply = client.chat.completions.create(model="small", messages=[{"role": "user", "content": ALL}])
    assert reply.choices[0].message.content == ALL
    kept_in()


def test_a_stream_comes_back_whole(serving, openai_of, kept_in):
    client = openai_of(serving(small="echo"))
    stream = client.chat.completions.create(model="small", stream=True, messages=[{"role": "user", "content": ALL}])
    said = "".join(each.choices[0].delta.content or "" for each in stream if each.choices)
    assert said == ALL
    kept_in()


def test_the_same_chat_has_the_same_placeholders_again(serving, openai_of, server, kept_in):
    running = serving(small="echo")
    client = openai_of(running)
    messages = [{"role": "system", "content": TEXTS[3]}, {"role": "user", "content": "\n".join(TEXTS[:20])}]
    reply = client.chat.completions.create(model="small", messages=messages)
    messages += [
        {"role": "assistant", "content": reply.choices[0].message.content},
        {"role": "user", "content": "\n".join(TEXTS[20:30])},
    ]
    client.chat.completions.create(model="small", messages=messages)
    client.chat.completions.create(model="small", messages=messages)
    first, second, third = (each.body["messages"] for each in server.chats)
    assert second[: len(first)] == first, "what the provider has in its cache is sent again"
    assert second[2]["content"] == "\n".join(each["content"] for each in first), "the answer holds what was sent"
    assert third == second
    kept_in()
    rows = running.rows("SELECT conversation_id, messages FROM requests ORDER BY created_at, id")
    assert rows[1].conversation_id == rows[0].conversation_id, "and the conversation is known again"


@pytest.mark.parametrize("stream", [False, True])
def test_what_tools_are_called_with_is_spelled_as_json(serving, openai_of, kept_in, stream):
    client = openai_of(serving(small="tools@pieces=7"))
    who = f"{KEY} of ann12@example.com"
    reply = client.chat.completions.create(
        model="small", stream=stream, tools=[LOOK_UP], messages=[{"role": "user", "content": who}]
    )
    if stream:
        calls = [each for chunk in reply if chunk.choices for each in chunk.choices[0].delta.tool_calls or ()]
        arguments = "".join(each.function.arguments or "" for each in calls)
    else:
        arguments = reply.choices[0].message.tool_calls[0].function.arguments
    assert json.loads(arguments) == {"who": who}
    kept_in()


def test_tools_results_and_calls_in_the_chat(serving, openai_of, server, kept_in):
    client = openai_of(serving(small="echo"))
    messages = [
        {"role": "user", "content": "Who is it?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {
            "name": "look_up", "arguments": json.dumps({"who": KEY, "card": 4111111111111111, "ann12@example.com": [1, True]})}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": TEXTS[0]}, {"type": "text", "text": TEXTS[1]}]},
        {"role": "user", "name": "ann12@example.com", "content": [{"type": "text", "text": TEXTS[2]}]},
    ]  # fmt: skip
    client.chat.completions.create(model="small", tools=[LOOK_UP], messages=messages)
    kept_in()
    (call,) = server.chats[0].body["messages"][1]["tool_calls"]
    assert call["id"] == "c1"
    arguments = json.loads(call["function"]["arguments"])
    assert arguments == {"who": "<KEY_1>", "card": "<CARD_1>", "<EMAIL_1>": [1, True]}
    assert "ann12@example.com" not in sent(server)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_shape(serving, anthropic_of, kept_in, stream):
    client = anthropic_of(serving(small="echo"))
    asked = {
        "model": "small",
        "max_tokens": 200,
        "system": TEXTS[5],
        "messages": [{"role": "user", "content": TEXTS[6]}],
    }
    if stream:
        with client.messages.stream(**asked) as events:
            said = "".join(events.text_stream)
    else:
        said = client.messages.create(**asked).content[0].text
    assert said == f"{TEXTS[5]}\n{TEXTS[6]}"
    kept_in()


@pytest.mark.parametrize("stream", [False, True])
def test_the_shape_of_responses(serving, openai_of, kept_in, stream):
    client = openai_of(serving(small="echo"))
    reply = client.responses.create(model="small", input=ALL, stream=stream)
    said = (
        "".join(each.delta for each in reply if each.type == "response.output_text.delta")
        if stream
        else reply.output_text
    )
    assert said == ALL
    kept_in()


def test_what_is_refused_has_an_error_that_quotes_nothing(serve, openai_of, server):
    import openai

    client = openai_of(serve(extra='\n[guard]\nprivate = "refuse"\n', small="echo"))
    with pytest.raises(openai.BadRequestError) as why:
        client.chat.completions.create(model="small", messages=[{"role": "user", "content": FOUND[1].value}])
    assert "card number" in str(why.value)
    assert FOUND[1].value not in str(why.value)
    assert not server.chats
