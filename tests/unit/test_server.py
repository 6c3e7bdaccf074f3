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
