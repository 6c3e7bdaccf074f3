import contextlib
import http.client
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from server import BEHAVIOURS, Server


def post(server, model, *, stream=False, **body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    asked = {"model": model, "messages": [{"role": "user", "content": "one two three"}], "stream": stream, **body}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Authorization": "Bearer k"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def running():
    with Server(price_in="2", price_out="6") as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def test_answers_and_bills_what_it_used(server):
    status, body = post(server, "ok@tokens=5")
    answer = json.loads(body)
    assert status == 200
    assert len(answer["choices"][0]["message"]["content"].split()) == 5
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    (request,) = server.chats
    assert request.cost_nano == 3 * 2000 + 5 * 6000
    assert server.cost_nano == request.cost_nano
    assert request.authorization == "Bearer k"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_enforces_the_limit_under_both_names(server, name):
    _, body = post(server, "ok@tokens=50", **{name: 4})
    answer = json.loads(body)
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["choices"][0]["finish_reason"] == "length"


def test_lengths_vary_and_depend_on_the_seed_only(server):
    def lengths(seed):
        with Server(seed=seed) as other:
            return [json.loads(post(other, "random")[1])["usage"]["completion_tokens"] for _ in range(8)]

    assert lengths(1) == lengths(1) != lengths(2)
    assert len(set(lengths(1))) > 2


def test_streams_events_and_reports_usage_when_asked(server):
    status, body = post(server, "ok@tokens=3", stream=True, stream_options={"include_usage": True})
    events = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    assert status == 200
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["usage"]["completion_tokens"] == 3
    assert b"usage" not in post(server, "ok@tokens=3", stream=True)[1]


def test_what_a_dead_client_sent_does_not_arrive_after_a_reset(server):
    body = json.dumps({"model": "ok", "messages": []}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(head + body)
        server.reset()
        assert post(server, "echo")[0] == 200
        assert [request.model for request in server.chats] == ["echo"]


def test_scripts_and_counts_win_over_the_name(server):
    server.script(["500", "429@retry_after=7"])
    assert [post(server, "ok")[0] for _ in range(3)] == [500, 429, 200]
    assert [post(server, "503-then-ok")[0] for _ in range(3)] == [503, 200, 200]
    assert [post(server, "500-2-then-ok")[0] for _ in range(4)] == [500, 500, 200, 200]
    assert [post(server, "400-context-then-ok")[0] for _ in range(2)] == [400, 200]


def send(server, model):
    """Send a call and do not wait for its answer; return the connection."""
    n_before = len(server.chats)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    asked = {"model": model, "messages": [{"role": "user", "content": "one"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(asked))
    while len(server.chats) == n_before:
        time.sleep(0.005)
    return connection


def test_refuses_above_its_capacity():
    with Server(max_in_flight=1) as server:
        assert post(server, "ok")[0] == 200
        with contextlib.closing(send(server, "hang-headers")):
            assert post(server, "ok")[0] == 429


def test_a_reset_ends_what_hangs_and_lengths_repeat(server):
    def lengths():
        return [json.loads(post(server, "random")[1])["usage"]["completion_tokens"] for _ in range(8)]

    first = lengths()
    with contextlib.closing(send(server, "hang-headers")) as connection:
        server.reset()
        with pytest.raises(ConnectionError):
            connection.getresponse()
    assert (server.chats, server.in_flight, server.peak_in_flight) == ([], 0, 0)
    assert lengths() == first


def test_keeps_a_log_on_disk(tmp_path):
    log = tmp_path / "requests.jsonl"
    with Server(log=log) as server:
        for model in ("ok", "401", "cut"):
            with contextlib.suppress(http.client.IncompleteRead):
                post(server, model)
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["behaviour"] for row in rows] == ["ok", "401", "cut"]
    assert rows[0]["cost_nano"] > 0 == rows[1]["cost_nano"]
    assert rows[0]["body"]["messages"][0]["content"] == "one two three"


def test_lists_models_and_tells_its_log(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    post(server, "ok")
    connection.request("GET", "/v1/models")
    assert json.loads(connection.getresponse().read())["object"] == "list"
    connection.request("GET", "/requests")
    assert len(json.loads(connection.getresponse().read())) == 1
    connection.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [name for name in BEHAVIOURS if not name.startswith(("hang", "drip-hang"))])
def test_every_behaviour_ends(server, name, stream):
    """No behaviour may hang or break the server, whatever it does to its client."""
    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        post(server, name, stream=stream, max_tokens=8)
    (request,) = server.chats
    assert request.behaviour == name


def test_sustains_many_calls_at_once(server):
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda _: post(server, "ok@latency_ms=5")[0], range(400)))
    assert statuses == [200] * 400
    assert len(server.chats) == 400


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "days"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}


def told(server, messages, model="tools", *, stream=False, **body):
    """Return the assistant's message, a stream's put together, and the word for its end."""
    body = {"stream_options": {"include_usage": True}, **body} if stream else body
    status, raw = post(server, model, stream=stream, messages=messages, tools=[WEATHER, TIME], **body)
    assert status == 200
    if not stream:
        choice = json.loads(raw)["choices"][0]
        return choice["message"], choice["finish_reason"]
    events = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in event["choices"]]
    message = {"content": None, "tool_calls": []}
    for delta in (choice["delta"] for choice in choices):
        if delta.get("content"):
            message["content"] = (message["content"] or "") + delta["content"]
        for part in delta.get("tool_calls", []):
            if part["index"] == len(message["tool_calls"]):
                message["tool_calls"].append({"id": part["id"], "type": part["type"], "function": part["function"]})
            else:
                message["tool_calls"][part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return message, choices[-1]["finish_reason"]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_are_read(server, stream):
    asked = {"role": "user", "content": "Zürich"}
    message, word = told(server, [asked], "tools@calls=2,pieces=5,text=Let_me_look", stream=stream)
    assert word == "tool_calls"
    assert message["content"] == "Let me look"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather", "time"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Zürich", "days": 1}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message["tool_calls"]]
    (request,) = server.chats
    assert request.output_tokens > 2

    answer, word = told(server, [asked, {"role": "assistant", **message}, *results], stream=stream)
    assert (answer["content"], answer.get("tool_calls") or [], word) == ("rain\nrain", [], "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_tools_take_their_arguments_from_the_text_and_the_choice_from_the_caller(server, stream):
    asked = [{"role": "user", "content": 'call it with {"zone": "CET"}, please'}]
    choice = {"type": "function", "function": {"name": "time"}}
    message, _ = told(server, asked, stream=stream, tool_choice=choice)
    assert message["tool_calls"][0]["function"] == {"name": "time", "arguments": '{"zone": "CET"}'}
    message, word = told(server, asked, stream=stream, tool_choice="none")
    assert (message["content"], word) == ("nothing to call", "stop")
    message, _ = told(server, asked, "tools@calls=3", stream=stream, parallel_tool_calls=False)
    assert len(message["tool_calls"]) == 1


def test_a_cut_stream_of_tools_breaks_within_the_arguments(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    messages = [{"role": "user", "content": "one two three"}]
    asked = {"model": "cut-tools", "messages": messages, "tools": [WEATHER], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(asked))
    with pytest.raises(http.client.IncompleteRead) as broken:
        connection.getresponse().read()
    connection.close()
    assert b'"arguments"' in broken.value.partial
    assert b"[DONE]" not in broken.value.partial
