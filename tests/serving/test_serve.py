"""The endpoint, by the official clients: answers, streams, tools, images, errors, money, and clients that go away."""

import base64
import json
import signal
import time
import urllib.error
import urllib.request

import anthropic
import openai
import pytest

PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
    )
).decode()
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
USER = [{"role": "user", "content": "Name a colour, with care."}]


def test_a_chat_is_answered_paid_and_logged(serve, server, openai_of):
    serving = serve(small="say@text=It_is_blue", large="ok")
    raw = openai_of(serving).chat.completions.with_raw_response.create(model="scrimp", messages=USER)
    reply = raw.parse()
    assert reply.choices[0].message.content == "It is blue"
    assert reply.choices[0].finish_reason == "stop"
    (chat,) = server.chats
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (chat.input_tokens, chat.output_tokens)
    assert raw.headers["x-scrimp-arm"] == reply.model == "small"
    assert float(raw.headers["x-scrimp-cost-usd"]) * 1e9 == pytest.approx(chat.cost_nano)
    (row,) = serving.rows("SELECT * FROM requests")
    assert (row.id, row.command, row.arm, row.status) == (raw.headers["x-scrimp-id"], "serve", "small", "ok")
    assert (row.prompt, row.answer) == ("Name a colour, with care.", "It is blue")
    assert row.embedding is not None
    (held,) = serving.rows("SELECT * FROM reservations")
    assert (held.status, held.charged_nano, held.source) == ("settled", server.cost_nano, "serve")


def test_a_chat_is_streamed_as_it_comes(serve, server, openai_of):
    serving = serve(small="drip@tokens=6,pause_s=0.2")
    began = time.monotonic()
    texts, times, usage = [], [], None
    stream = openai_of(serving).chat.completions.create(
        model="small", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            texts.append(chunk.choices[0].delta.content)
            times.append(time.monotonic() - began)
        usage = chunk.usage or usage
    assert len(texts) >= 3
    assert "".join(texts) == serving.rows("SELECT answer FROM requests")[0].answer
    assert times[-1] - times[0] > 0.3, "the pieces came together"
    (chat,) = server.chats
    assert (usage.prompt_tokens, usage.completion_tokens) == (chat.input_tokens, chat.output_tokens)
    assert serving.charged() == server.cost_nano


def test_a_stream_that_is_silent_says_that_it_is_there(serve, server, openai_of, monkeypatch):
    monkeypatch.setattr("scrimp.routing.serving.exchange.SILENCE_S", 0.2)
    serving = serve(small="ok@latency_ms=4000")
    request = urllib.request.Request(
        f"{serving.url}/v1/chat/completions",
        json.dumps({"model": "scrimp", "messages": USER, "stream": True}).encode(),
        {"x-api-key": serving.token},
    )
    began = time.monotonic()
    with urllib.request.urlopen(request) as reply:
        assert time.monotonic() - began < 3.5, "the head waits for the model"
        said = reply.read().decode()
    assert said.count(": ping") >= 3
    assert said.endswith("data: [DONE]\n\n")
    assert openai_of(serving).chat.completions.create(model="scrimp", messages=USER, stream=False).choices


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_go_there_and_back(serve, server, openai_of, streamed):
    serving = serve(small="tools@calls=2")
    client = openai_of(serving)
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    tools = [{"type": "function", "function": WEATHER}]

    def ask():
        if not streamed:
            return client.chat.completions.create(model="scrimp", messages=messages, tools=tools).choices[0].message
        with client.chat.completions.stream(model="scrimp", messages=messages, tools=tools) as stream:
            return stream.get_final_completion().choices[0].message

    said = ask()
    assert [call.function.name for call in said.tool_calls] == ["weather", "weather"]
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in said.tool_calls)
    messages.append(
        {"role": "assistant", "content": said.content, "tool_calls": [c.model_dump() for c in said.tool_calls]}
    )
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in said.tool_calls]
    last = ask()
    assert last.content
    assert not last.tool_calls
    assert server.chats[0].body["tools"] == tools
    assert [m["role"] for m in server.chats[1].body["messages"]] == ["user", "assistant", "tool", "tool"]
    assert serving.charged() == server.cost_nano
    first, second = serving.rows("SELECT * FROM requests ORDER BY n")
    assert first.conversation_id == second.conversation_id
    assert first.status == second.status == "ok"
    assert "weather" in first.answer


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_by_anthropics_interface(serve, server, anthropic_of, streamed):
    serving = serve(small="tools")
    client = anthropic_of(serving)
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    tools = [{"name": "weather", "description": "The weather.", "input_schema": WEATHER["parameters"]}]

    def ask():
        given = {"model": "scrimp", "max_tokens": 100, "messages": messages, "tools": tools, "system": "Be brief."}
        if not streamed:
            return client.messages.create(**given)
        with client.messages.stream(**given) as stream:
            return stream.get_final_message()

    said = ask()
    assert said.stop_reason == "tool_use"
    (use,) = [block for block in said.content if block.type == "tool_use"]
    assert use.name == "weather"
    assert "city" in use.input
    messages.append({"role": "assistant", "content": [block.model_dump() for block in said.content]})
    messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "Rain."}]})
    last = ask()
    assert last.stop_reason == "end_turn"
    assert last.content[0].text
    assert last.usage.input_tokens == server.chats[1].input_tokens
    assert [m["role"] for m in server.chats[1].body["messages"]] == ["system", "user", "assistant", "tool"]
    assert serving.charged() == server.cost_nano


@pytest.mark.parametrize("streamed", [False, True])
def test_openais_responses(serve, server, openai_of, streamed):
    serving = serve(small="say@text=It_is_blue")
    client = openai_of(serving)
    if streamed:
        with client.responses.stream(model="scrimp", input="A colour?", instructions="Be brief.") as stream:
            kinds = [event.type for event in stream]
            reply = stream.get_final_response()
        assert "response.output_text.delta" in kinds
    else:
        reply = client.responses.create(model="scrimp", input="A colour?", instructions="Be brief.")
    assert reply.output_text == "It is blue"
    assert reply.usage.output_tokens == server.chats[0].output_tokens
    assert [m["role"] for m in server.chats[0].body["messages"]] == ["system", "user"]


def test_images_go_to_arms_that_take_them(serve, server, openai_of, anthropic_of):
    serving = serve(small="ok")
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    openai_of(serving).chat.completions.create(model="scrimp", messages=[{"role": "user", "content": content}])
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    blocks = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    anthropic_of(serving).messages.create(model="scrimp", max_tokens=50, messages=[{"role": "user", "content": blocks}])
    for chat in server.chats:
        assert PNG in json.dumps(chat.body)
    assert all(PNG not in json.dumps(vars(row), default=str) for row in serving.rows("SELECT * FROM requests"))


def test_an_arm_that_cannot_is_not_asked(serve, server, openai_of):
    serving = serve(small="ok", tags=("json",))
    with pytest.raises(openai.BadRequestError, match="not known to take tools"):
        openai_of(serving).chat.completions.create(
            model="scrimp", messages=USER, tools=[{"type": "function", "function": WEATHER}]
        )
    assert not server.chats


def test_a_schema_is_passed_on(serve, server, openai_of):
    serving = serve(small='say@text={"colour":"blue"}')
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": {"type": "object"}, "strict": True}}
    openai_of(serving).chat.completions.create(model="scrimp", messages=USER, response_format=form)
    assert server.chats[0].body["response_format"] == form


def test_models_are_those_of_the_profile(serve, openai_of, anthropic_of, server):
    serving = serve(small="ok", large="ok")
    names = [model.id for model in openai_of(serving).models.list()]
    assert names == ["scrimp", "scrimp/cheap", "scrimp/balanced", "scrimp/best", "small", "large"]
    assert [model.id for model in anthropic_of(serving).models.list()] == names
    assert openai_of(serving).models.retrieve("scrimp/best").id == "scrimp/best"
    with pytest.raises(openai.NotFoundError, match="Did you mean large"):
        openai_of(serving).chat.completions.create(model="larg", messages=USER)
    assert openai_of(serving).chat.completions.create(model="large", messages=USER).model == "large"
    assert openai_of(serving).chat.completions.create(model="small + large ? agree > large", messages=USER).model in (
        "small",
        "large",
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_a_gateway_in_front_is_told_what_is_charged(serve, server, openai_of, streamed):
    serving = serve(small="ok")
    chat = openai_of(serving).chat.completions
    if streamed:
        *_, last = chat.create(model="scrimp", messages=USER, stream=True, stream_options={"include_usage": True})
        costs = [last.usage.cost]
    else:
        raw = chat.with_raw_response.create(model="scrimp", messages=USER)
        costs = [raw.parse().usage.cost, float(raw.headers["x-litellm-response-cost"])]
    assert costs == pytest.approx([server.cost_nano / 1e9] * len(costs))
    assert serving.charged() == server.cost_nano


def test_a_header_names_the_tag_of_a_request(serve, openai_of):
    serving = serve(small="ok", settings={"tag": "all", "tag_header": "X-Team"})
    chat = openai_of(serving).chat.completions
    for team in ("red", "", "a\x1bb" + "c" * 200):
        chat.create(model="scrimp", messages=USER, extra_headers={"x-team": team})
    tags = [row.tag for row in serving.rows("SELECT tag FROM reservations ORDER BY id")]
    assert tags[:2] == ["red", "all"]
    assert len(tags[2]) == 100
    assert "\x1b" not in tags[2]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cap_refuses_with_402_and_no_second_try(serve, server, openai_of, anthropic_of, streamed):
    serving = serve(small="ok", caps="per_day_usd = 0.0001")
    with pytest.raises(openai.APIStatusError, match="cap") as raised:
        openai_of(serving).chat.completions.create(model="scrimp", messages=USER, stream=streamed)
    assert raised.value.status_code == 402
    with pytest.raises(anthropic.APIStatusError, match="cap") as other:
        anthropic_of(serving).messages.create(model="scrimp", max_tokens=100, messages=USER, stream=streamed)
    assert other.value.status_code == 402
    assert not server.chats
    assert serving.charged() == 0


@pytest.mark.parametrize(
    ("behaviour", "raised", "n_calls"),
    [
        ("401", openai.PermissionDeniedError, 1),
        ("400", openai.BadRequestError, 1),
        ("html", openai.InternalServerError, 2),
    ],
)
def test_what_the_provider_refuses_is_told_once(serve, server, openai_of, behaviour, raised, n_calls):
    serving = serve(small=behaviour)
    with pytest.raises(raised):
        openai_of(serving).chat.completions.create(model="scrimp", messages=USER)
    assert len(server.chats) == n_calls


def test_a_stream_that_breaks_off_says_so(serve, server, openai_of):
    serving = serve(small="cut")
    with pytest.raises(openai.APIError):
        for _ in openai_of(serving).chat.completions.create(model="scrimp", messages=USER, stream=True):
            pass
    assert len(server.chats) == 1, "what was shown is not bought again"
    assert serving.charged() >= server.cost_nano


@pytest.mark.parametrize("streamed", [False, True])
def test_another_arm_answers_for_one_that_fails(serve, server, openai_of, streamed):
    serving = serve(small="429-quota", large="say@text=It_is_blue")
    raw = openai_of(serving).chat.completions.with_raw_response.create(
        model="scrimp/cheap", messages=USER, stream=streamed
    )
    reply = raw.parse()
    chunks = list(reply) if streamed else [reply]
    assert [chat.behaviour for chat in server.chats] == ["429-quota", "say"]
    assert raw.headers["x-scrimp-arm"] == "large"
    assert {chunk.model for chunk in chunks} == {"large"}


def test_no_other_arm_goes_on_with_an_answer_that_broke_off(serve, server, openai_of):
    serving = serve(small="cut", large="say@text=It_is_blue")
    heard = []
    with pytest.raises(openai.APIError):  # noqa: PT012 - the pieces before it count
        for chunk in openai_of(serving).chat.completions.create(model="scrimp/cheap", messages=USER, stream=True):
            heard += [choice.delta.content or "" for choice in chunk.choices]
    assert "".join(heard)
    assert "It is blue" not in "".join(heard)
    assert len(server.chats) == 1
    assert openai_of(serving).chat.completions.create(model="scrimp/cheap", messages=USER).model == "large"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_goes_away_is_billed_as_interrupted(serve, server, openai_of, streamed):
    serving = serve(small="drip@tokens=100,pause_s=0.2" if streamed else "ok@latency_ms=20000")
    if streamed:
        stream = openai_of(serving).chat.completions.create(model="small", messages=USER, stream=True)
        next(iter(stream))
        stream.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            openai_of(serving, timeout=3.0, max_retries=0).chat.completions.create(model="small", messages=USER)
    (row,) = serving.wait_for("SELECT * FROM requests WHERE status = 'interrupted'")
    (held,) = serving.rows("SELECT * FROM reservations")
    assert held.charged_nano == held.reserved_nano >= server.cost_nano
    deadline = time.monotonic() + 20
    while not any("is charged for this prompt" in line for line in serving.lines) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any("is charged for this prompt" in line for line in serving.lines), serving.lines
    assert serving.endpoint.service.totals.charged_nano == held.charged_nano, "the summary counts it too"
    while streamed and not server.chats[0].disconnected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.chats[0].disconnected or not streamed, "the provider's connection is closed too"
    assert streamed is (row.answer is not None)


def post(serving, path, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{serving.url}{path}", data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_no_token_no_answer(serve, server):
    serving = serve(small="ok")
    body = {"model": "scrimp", "messages": USER}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"Authorization": serving.token}):
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"):
            status, reply = post(serving, path, body, **headers)
            assert (status, "error" in reply) == (401, True)
    assert not server.chats
    assert post(serving, "/v1/chat/completions", body, Authorization=f"Bearer {serving.token}")[0] == 200
    assert post(serving, "/chat/completions", body, **{"x-api-key": serving.token})[0] == 200


def test_without_a_token_only_by_this_machines_names(serve, server):
    serving = serve(settings={"token": None}, small="ok")
    body = {"model": "scrimp", "messages": USER}
    assert post(serving, "/v1/chat/completions", body)[0] == 200
    status, reply = post(serving, "/v1/chat/completions", body, Host="evil.example")
    assert (status, len(server.chats)) == (403, 1)
    assert "name" in reply["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/v1/chat/completions", b"{", 400, "JSON"),
        ("/v1/chat/completions", [], 400, "object"),
        ("/v1/chat/completions", {"model": "scrimp"}, 400, "messages"),
        ("/v1/chat/completions", {"model": "scrimp", "messages": USER, "n": 2}, 400, "n"),
        ("/v1/embeddings", {"model": "scrimp", "input": "x"}, 404, "embeddings"),
        ("/v1/audio", {}, 404, "/v1/responses"),
    ],
)
def test_what_cannot_be_kept_to_is_said(serve, server, path, body, status, word):
    serving = serve(small="ok")
    got, reply = post(serving, path, body, Authorization=f"Bearer {serving.token}")
    assert got == status
    assert word in reply["error"]["message"]
    assert not server.chats


def test_tokens_are_counted(serve, anthropic_of):
    serving = serve(small="ok")
    client = anthropic_of(serving)
    few = client.messages.count_tokens(model="scrimp", messages=USER).input_tokens
    many = client.messages.count_tokens(
        model="scrimp", messages=[{"role": "user", "content": "word " * 500}]
    ).input_tokens
    assert 3 < few < 30
    assert 450 < many < 700


def test_one_cap_over_a_session(serve, server):
    serving = serve(settings={"one_run": True}, small="ok@tokens=20", caps="per_run_usd = 0.002")
    codes = []
    while len(codes) < 100 and codes.count(402) == 0:
        status, _ = post(
            serving, "/v1/chat/completions", {"model": "scrimp", "messages": USER}, **{"x-api-key": serving.token}
        )
        codes.append(status)
    assert codes[-1] == 402
    assert len(server.chats) > 3
    assert server.cost_nano <= 2_000_000
    assert serving.charged() == server.cost_nano


def test_the_command_ends_in_good_order(serve_process, server, openai_of):
    serving = serve_process(small="ok")
    assert oct(serving.token_file.stat().st_mode)[-3:] == "600"
    openai_of(serving).chat.completions.create(model="scrimp", messages=USER)
    assert serving.stop(signal.SIGTERM) == 0
    assert "1 answer (small 1)" in serving.said()
    assert not serving.port_file.exists()
    assert serving.token not in serving.said()


def test_a_plan_brings_its_checks(serve, server, openai_of):
    serving = serve(small="say@text=no_idea", large='say@text={"colour":"blue"}')
    raw = openai_of(serving).chat.completions.with_raw_response.create(model="small ? json > large", messages=USER)
    reply = raw.parse()
    assert reply.choices[0].message.content == '{"colour":"blue"}'
    assert raw.headers["x-scrimp-arm"] == reply.model == "large", "the arm that answered, not the first"
    steps = serving.rows("SELECT arm, verdicts, taken FROM steps ORDER BY seq")
    verdicts = [(step.arm, [each["outcome"] for each in json.loads(step.verdicts)], step.taken) for step in steps]
    assert verdicts == [("small", ["fail"], 0), ("large", ["pass"], 1)]
    charged = {
        row.arm: row.nano for row in serving.rows("SELECT arm, sum(charged_nano) AS nano FROM reservations GROUP BY 1")
    }
    assert charged["small"] == server.chats[0].cost_nano
    assert len(server.chats) == 2


@pytest.mark.parametrize(
    "gate", ["cmd:touch ran", "sh:touch ran", "tests:made.py", "python", "schema:made.json", "re:a+"]
)
def test_a_program_names_no_check_that_runs_or_reads_anything(serve, server, openai_of, tmp_path, gate):
    serving = serve(small="ok", large="ok")
    with pytest.raises(openai.BadRequestError, match="no check that a program may name"):
        openai_of(serving).chat.completions.create(model=f"small ? {gate} > large", messages=USER)
    assert not server.chats
    assert not list(tmp_path.rglob("ran"))


def test_a_check_of_the_profile_may_run_a_command(serve, server, openai_of):
    extra = '[checks.mine]\ncmd = ["grep", "-q", "blue"]\n'
    serving = serve(small="say@text=no_idea", large="say@text=blue", extra=extra)
    reply = openai_of(serving).chat.completions.create(model="small ? mine > large", messages=USER)
    assert (reply.model, reply.choices[0].message.content, len(server.chats)) == ("large", "blue", 2)
