"""Paid requests as OpenTelemetry sees them, by a collector that reads the protocol."""

import json
import socket
import sys

import pytest
from collector import Collector
from conftest import CANARY
from warm_worker import Worker

from scrimp.routing.ledger.store import open_ledger

SECRET = "what nobody else is to read"
ERROR, CLIENT, INTERNAL = 2, 3, 1


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def otel(collector, more=""):
    return f'[otel]\nendpoint = "{getattr(collector, "url", collector)}"\n{more}\n'


def waiting(home):
    with open_ledger(home / "scrimp.db") as ledger:
        return ledger.rows("SELECT count(*) AS n FROM unexported")[0]["n"]


def test_an_answer_is_a_request_and_a_call(scrimp, profile, collector, home):
    path = profile(small="ok@tokens=20", extra=otel(collector))
    done = scrimp("ask", "--json", "--tag", "t1", "-p", path, SECRET)
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    request, call = collector.spans
    assert (request.name, request.kind, request.parent) == ("scrimp ask", INTERNAL, "")
    assert (call.name, call.kind, call.parent) == ("chat ok@tokens=20", CLIENT, request.id)
    assert call.trace == request.trace
    assert request.start <= call.start < call.end <= request.end
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "ok@tokens=20",
        "gen_ai.response.model": answer["served_model"],
        "gen_ai.usage.input_tokens": answer["input_tokens"],
        "gen_ai.usage.output_tokens": answer["output_tokens"],
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.max_tokens": 200,
        "scrimp.cost_usd": pytest.approx(answer["cost_usd"]),
        "scrimp.cost_status": "settled",
        "scrimp.arm": "small",
        "scrimp.attempt.kind": "first",
        "scrimp.breach": False,
    }
    assert {key: call.attributes.get(key) for key in expected} == expected
    assert "error.type" not in call.attributes
    expected = {
        "scrimp.request.id": answer["id"],
        "scrimp.profile": "test",
        "scrimp.tag": "t1",
        "scrimp.cost_usd": pytest.approx(answer["cost_usd"]),
        "scrimp.decision.arm": "small",
        "scrimp.decision.quality": pytest.approx(answer["predicted_quality"]),
        "scrimp.status": "ok",
    }
    assert {key: request.attributes.get(key) for key in expected} == expected
    assert request.resource["service.name"] == "scrimp"
    assert waiting(home) == 0


def test_what_was_used_is_measured(scrimp, profile, collector):
    path = profile(small="ok@tokens=20", extra=otel(collector))
    answer = json.loads(scrimp("ask", "--json", "-p", path, "hello").out)
    points = collector.points["gen_ai.client.token.usage"]
    sums = {about["gen_ai.token.type"]: (total, n) for about, total, n, _ in points}
    assert sums == {"input": (answer["input_tokens"], 1), "output": (answer["output_tokens"], 1)}
    assert {temporality for *_, temporality in points} == {1}, "differences: processes add up"
    ((about, seconds, n, _),) = collector.points["gen_ai.client.operation.duration"]
    assert about["gen_ai.request.model"] == "ok@tokens=20"
    assert n == 1
    assert 0.0 < seconds < 60.0


def test_retries_are_calls_of_one_request(scrimp, profile, collector, server):
    path = profile(small="500-then-ok", extra=otel(collector))
    assert scrimp("ask", "-p", path, "hello").code == 0
    (request,) = collector.named("scrimp ask")
    calls = collector.named("chat ")
    assert len(calls) == len(server.chats) > 1
    assert {call.parent for call in calls} == {request.id}
    assert len({call.id for call in calls}) == len(calls)
    assert [call.status for call in calls] == [ERROR] * (len(calls) - 1) + [0]
    assert calls[0].attributes["error.type"]
    assert "gen_ai.usage.output_tokens" not in calls[0].attributes, "unknown is not 0"


@pytest.mark.parametrize(
    ("more", "flags", "sent"), [("", (), False), ("content = true", (), True), ("content = true", ("--no-log",), False)]
)
def test_texts_are_sent_only_where_that_is_asked_for_and_kept(
    scrimp, profile, collector, more, flags, sent, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    path = profile(small="echo", extra=otel(collector, more))
    assert scrimp("ask", *flags, "-p", path, SECRET).code == 0
    assert len(collector.spans) == 2
    assert any(SECRET.encode() in body for body in collector.bodies) is sent
    assert not any(CANARY.encode() in body for body in collector.bodies)
    if sent:
        (request,) = collector.named("scrimp ask")
        (message,) = json.loads(request.attributes["gen_ai.output.messages"])
        assert message == {"role": "assistant", "parts": [{"type": "text", "content": SECRET}]}


def test_a_collector_that_is_down_fails_nothing_and_gets_it_later(scrimp, profile, collector, home, monkeypatch):
    monkeypatch.setattr("scrimp.routing.asking.outbox._said", set())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = profile(small="echo", extra=otel(f"http://127.0.0.1:{port}", "timeout_s = 0.5"))
    done = scrimp("ask", "-p", path, "hello")
    assert (done.code, done.out) == (0, "hello\n")
    assert done.err.count("the collector of [otel] takes no spans") == 1
    assert "Traceback" not in done.err
    assert "retrying" not in done.err
    done = scrimp("ask", "-p", path, "hello again")
    assert (done.code, waiting(home)) == (0, 2)
    path = profile(small="echo", extra=otel(collector))
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE meta SET value = '0' WHERE key LIKE 'export:%'")  # half a minute later
    collector.status = 503
    scrimp("ask", "-p", path, "hello")
    assert waiting(home) == 3
    collector.status = 200
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE meta SET value = '0' WHERE key LIKE 'export:%'")
    scrimp("ask", "-p", path, "hello")
    assert waiting(home) == 0
    assert len(collector.named("chat ")) == 4
    assert len({span.id for span in collector.spans}) == 8, "each once"


def test_a_batch_and_a_plan_come_whole(scrimp, profile, collector, tmp_path):
    path = profile(small="echo", large="ok", extra=otel(collector))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"row {i}"}) + "\n" for i in range(6)))
    assert scrimp("batch", rows, "-o", tmp_path / "out.jsonl", "-p", path, "-m", "small").code == 0
    assert len(collector.named("scrimp batch")) == len(collector.named("chat ")) == 6
    assert len({span.attributes["scrimp.run.id"] for span in collector.named("scrimp batch")}) == 1
    collector.spans.clear()
    scrimp("ask", "-p", path, "--plan", "small ? checks > large", "--check", "re:no such answer", "hello")
    (request,) = collector.named("scrimp ask")
    assert len(collector.named("chat ")) == 2
    costs = [span.attributes["scrimp.charged_usd"] for span in collector.named("chat ")]
    assert request.attributes["scrimp.cost_usd"] == pytest.approx(sum(costs))


def test_what_a_killed_process_left_is_sent_by_the_next(profile, collector, tmp_path, home):
    path = profile(small="echo", extra=otel(collector))
    worker = Worker(tmp_path)
    try:
        worker.run("ask", "-q", "-p", path, "first", home=home, kill="settled:1")
        worker.run("ask", "-q", "-p", path, "second", home=home, kill="settling:2")
        assert collector.spans == []
        assert worker.run("ask", "-q", "-p", path, "third", home=home)[0] == 0
    finally:
        worker.close()
    assert sorted(span.attributes["scrimp.cost_status"] for span in collector.named("chat ")) == [
        "settled", "settled", "unknown",
    ]  # fmt: skip
    assert len({span.id for span in collector.spans}) == len(collector.spans) == 6


def test_nothing_waits_where_no_profile_asks_for_it(scrimp, profile, collector, home):
    scrimp("ask", "-p", profile(small="echo"), "hello")
    assert waiting(home) == 0
    path = profile(small="echo", extra=otel(collector))
    scrimp("ask", "-p", path, "hello")
    assert len(collector.spans) == 2, "and what was before is not sent"
    collector.status = 400
    scrimp("ask", "-p", path, "hello")
    assert waiting(home) == 1
    scrimp("ask", "-p", profile(small="echo"), "hello")
    assert waiting(home) == 0


def test_opentelemetry_is_imported_only_where_it_is_asked_for(scrimp, profile, unimported):
    unimported("opentelemetry.sdk", "scrimp.routing.signals.telemetry")
    scrimp("ask", "-p", profile(small="echo"), "hello")
    assert "scrimp.routing.signals.telemetry" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]


def test_a_missing_extra_is_named(scrimp, profile, collector, monkeypatch):
    monkeypatch.setattr("scrimp.routing.asking.outbox._said", set())
    monkeypatch.setattr("scrimp.routing.signals.telemetry.is_installed", lambda: False)
    path = profile(small="echo", extra=otel(collector))
    done = scrimp("ask", "-p", path, "hello")
    assert (done.code, done.out) == (0, "hello\n")
    assert "[otel] needs OpenTelemetry" in done.err
    findings = json.loads(scrimp("doctor", "--json", "-p", path).out)["findings"]
    assert [each["state"] for each in findings if each["what"] == "otel"] == ["problem"]
