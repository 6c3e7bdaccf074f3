"""Tool calls over the wire: one table of what providers send, read alike whole and streamed, blocking and awaited."""

import asyncio
import itertools
import json
import threading
import time
from dataclasses import replace

import pytest
from parity.shapes import FAMILIES, TOKENS, chunk, completion, doc, event, lines, pieces, sse, text

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call, Reply, TextDelta, ToolCall, ToolDelta
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.reading import Reading
from scrimp.routing.calls.tool_calls import as_text, gathered
from scrimp.routing.prices.usage import Usage

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
]
MODES = ("stream", "whole", "async", "astream")
every_mode = pytest.mark.parametrize("mode", MODES)

BERN, ROME = '{"city": "Bern"}', '{"city": "Rome"}'
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": name, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "time")
)  # fmt: skip
ASKED = ({"role": "user", "content": "Bern and Rome?"},)


def make(base, model="openai/m", **changes):
    values = {
        "model": model,
        "messages": ASKED,
        "max_output_tokens": 40,
        "api_base": base,
        "api_key": "k",
        "tools": TOOLS,
        "timeout_s": 20.0,
        "deadline_s": 30.0,
    }
    return Call(**{**values, **changes})


async def _closing(call, on_delta):
    try:
        return await dispatch.aattempt(call, None, on_delta)
    finally:
        await dispatch.aclose()


def run(call, mode):
    """Return what came of a call, and the pieces that were heard."""
    heard = []
    hear = heard.append if "stream" in mode else None
    try:
        if mode.startswith("a"):
            return asyncio.run(_closing(call, hear)), heard
        return dispatch.attempt(call, hear), heard
    except CallError as error:
        return error, heard


# ---- one table


def function(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def call_pieces(index, ident, name, *parts):
    """Return deltas that call a tool: its head, then its arguments in parts."""
    yield {"tool_calls": [function(name, "", index=index, id=ident)]}
    for part in parts:
        yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def without(delta, *keys):
    return {"tool_calls": [{k: v for k, v in call.items() if k not in keys} for call in delta["tool_calls"]]}


TWO = [*call_pieces(0, "a", "weather", BERN[:5], BERN[5:]), *call_pieces(1, "b", "weather", ROME)]
WHOLE = {"content": None, "tool_calls": [function("weather", BERN, id="a"), function("weather", ROME, id="b")]}
HEAD = event("message_start", message={"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [],
                                       "stop_reason": None, "usage": {"input_tokens": 20, "output_tokens": 1}})  # fmt: skip
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}


def block(index, start, *deltas):
    return [
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def use(ident, name, value):
    return {"type": "tool_use", "id": ident, "name": name, "input": value}


def fills(part):
    return {"type": "input_json_delta", "partial_json": part}


ANTHROPIC = sse(
    HEAD,
    *block(0, THOUGHT | {"thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
    *block(1, text(""), {"type": "text_delta", "text": "Let me "}, {"type": "text_delta", "text": "look."}),
    *block(2, use("a", "weather", {}), fills(""), fills(BERN[:4]), fills(BERN[4:])),
    *block(3, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, fills('{"q": 1}')),
    *block(4, use("b", "time", {})),
    event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
    event("message_stop"),
    done=False,
)
ANTHROPIC_WHOLE = doc({
    "id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
    "content": [THOUGHT, text("Let me look."), use("a", "weather", {"city": "Bern"}),
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}, use("b", "time", {})],
    "usage": {"input_tokens": 20, "output_tokens": 5},
})  # fmt: skip


def candidate(*parts, **more):
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}], "usageMetadata": usage}


def gemini_call(city, **more):
    return {"functionCall": {"name": "weather", "args": {"city": city}}, **more}


SIGNED = gemini_call("Bern", thoughtSignature="c2ln")
LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 5}


def ollama_calls(*cities):
    return {"content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": c}}} for c in cities]}


COHERE_USED = {
    "tokens": {"input_tokens": 20, "output_tokens": 5},
    "billed_units": {"input_tokens": 20, "output_tokens": 5},
}


def cohere_start(index, ident, name):
    return event("tool-call-start", index=index, delta={"message": {"tool_calls": function(name, "", id=ident)}})


def cohere_more(index, part):
    return event("tool-call-delta", index=index, delta={"message": {"tool_calls": {"function": {"arguments": part}}}})


BOTH = [("a", "weather", BERN), ("b", "weather", ROME)]
UNNAMED = [(None, "weather", BERN), (None, "weather", ROME)]
CASES = {
    "several, in pieces": ("chat", sse(*pieces(*TWO, finish="tool_calls")), doc(completion(WHOLE, "tool_calls")), "", BOTH),
    "after a text": (
        "chat",
        sse(*pieces("Let me ", "look.", *TWO, finish="tool_calls")),
        doc(completion(WHOLE | {"content": "Let me look."}, "tool_calls")), "Let me look.", BOTH,
    ),
    "pieces of both at once": (
        "chat",
        sse(*pieces(*(without(each) for each in (TWO[0], TWO[3], TWO[1], TWO[4], TWO[2])), finish="tool_calls")),
        doc(completion(WHOLE, "tool_calls")), "", BOTH,
    ),
    "all numbered 0, told apart by their ids": (
        "chat",
        sse(*pieces({"tool_calls": [function("weather", BERN, index=0, id="a")]},
                    {"tool_calls": [function("weather", ROME, index=0, id="b")]}, finish="tool_calls")),
        doc(completion(WHOLE, "tool_calls")), "", BOTH,
    ),
    "neither numbers nor ids": (
        "chat",
        sse(*pieces(*(without(each, "index", "id") for each in TWO), finish="tool_calls")),
        doc(completion(WHOLE | {"tool_calls": [function("weather", BERN), function("weather", ROME)]}, "tool_calls")),
        "", UNNAMED,
    ),
    "name and id with each piece": (
        "chat",
        sse(*pieces(*({"tool_calls": [function("weather", part, index=i, id=ident)]}
                      for i, ident, city in ((0, "a", BERN), (1, "b", ROME)) for part in ("", city[:3], city[3:])),
                    finish="tool_calls")),
        doc(completion(WHOLE, "tool_calls")), "", BOTH,
    ),
    "said to have stopped": ("chat", sse(*pieces(*TWO)), doc(completion(WHOLE)), "", BOTH),
    "no word for the end": (
        "chat", sse(*map(chunk, TWO), {"choices": [], "usage": TOKENS}), doc(completion(WHOLE, None)), "", BOTH),
    "arguments as an object": (
        "chat",
        sse(*pieces({"tool_calls": [function("weather", {"city": "Bern"}, index=0, id="a")]}, finish="tool_calls")),
        doc(completion({"content": "", "tool_calls": [function("weather", {"city": "Bern"}, id="a")]}, "tool_calls")),
        "", BOTH[:1],
    ),
    "no arguments": (
        "chat", sse(*pieces(*call_pieces(0, "a", "time"), finish="tool_calls")),
        doc(completion({"tool_calls": [function("time", "", id="a")]}, "tool_calls")), "", [("a", "time", "{}")]),
    "whole, though a stream was asked for": ("chat", *[doc(completion(WHOLE, "tool_calls"))] * 2, "", BOTH),
    "a stream, though none was asked for": ("chat", *[sse(*pieces(*TWO, finish="tool_calls"))] * 2, "", BOTH),
    "blocks": ("anthropic", ANTHROPIC, ANTHROPIC_WHOLE, "Let me look.", [BOTH[0], ("b", "time", "{}")]),
    "parts": (
        "gemini",
        sse(candidate({"text": "So: "}), candidate(gemini_call("Bern"), gemini_call("Rome"), finishReason="STOP"), done=False),
        doc(candidate({"text": "So: "}, gemini_call("Bern"), gemini_call("Rome"), finishReason="STOP")), "So: ", UNNAMED,
    ),
    "parts, signed": (
        "gemini", sse(candidate(SIGNED), candidate(finishReason="STOP"), done=False),
        doc(candidate(SIGNED, finishReason="STOP")), "", UNNAMED[:1],
    ),
    "objects": (
        "ollama",
        lines({"message": ollama_calls("Bern"), "done": False}, {"message": ollama_calls("Rome"), "done": False},
              LAST | {"message": {"content": ""}}),
        doc(LAST | {"message": ollama_calls("Bern", "Rome")}), "", UNNAMED,
    ),
    "events": (
        "cohere",
        sse(event("message-start", id="c", delta={"message": {"role": "assistant"}}),
            event("tool-plan-delta", delta={"message": {"tool_plan": "hm"}}),
            cohere_start(0, "a", "weather"), cohere_more(0, BERN[:6]), cohere_more(0, BERN[6:]), event("tool-call-end", index=0),
            cohere_start(1, "b", "weather"), cohere_more(1, ROME), event("tool-call-end", index=1),
            event("message-end", delta={"finish_reason": "TOOL_CALL", "usage": COHERE_USED}), done=False),
        doc({"id": "c", "finish_reason": "TOOL_CALL", "usage": COHERE_USED,
             "message": {"role": "assistant", "tool_plan": "hm", "tool_calls": WHOLE["tool_calls"]}}), "", BOTH,
    ),
}  # fmt: skip


def stage(server, family, streamed, whole):
    model, base, paths = FAMILIES[family]
    kind = "application/x-ndjson" if family == "ollama" else "text/event-stream"

    def reply(request):
        streams = request.body.get("stream", False) or "stream" in request.path
        return 200, {"content-type": kind if streams else "application/json"}, streamed if streams else whole

    for path in paths:
        server.can(path, "", reply)
    return make(server.url + base, model)


@every_mode
@pytest.mark.parametrize("name", CASES)
def test_every_shape_comes_to_the_same_calls(server, name, mode):
    family, streamed, whole, said, calls = CASES[name]
    reply, heard = run(stage(server, family, streamed, whole), mode)
    assert isinstance(reply, Reply), reply
    assert (reply.text, reply.finish_reason, reply.usage_status) == (said, "tool_calls", "reported")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (20, 5)
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        (name, json.loads(arguments)) for _, name, arguments in calls
    ]
    assert [call.id for call in reply.tool_calls if call.id in "ab"] == [each for each, _, _ in calls if each]
    assert len({call.id for call in reply.tool_calls if call.id}) == len(calls)
    if "stream" in mode:
        assert "".join(each.text for each in heard if isinstance(each, TextDelta)) == said
        assert gathered(each for each in heard if isinstance(each, ToolDelta)) == reply.tool_calls
        assert [each.index for each in heard if isinstance(each, ToolDelta) and each.name] == list(range(len(calls)))
    else:
        assert heard == []


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("name", CASES)
def test_every_shape_is_read_in_any_pieces(name, size):
    _, streamed, _, said, calls = CASES[name]
    reading, heard = Reading(), []
    for i in range(0, len(streamed), size):
        reading.feed(streamed[i : i + size])
        heard += reading.take()
    reading.end()
    heard += reading.last()
    assert reading.complete
    assert "".join(each.text for each in heard if isinstance(each, TextDelta)) == said == reading.text
    assert [(each.name, each.arguments) for each in reading.tool_calls] == [each[1:] for each in calls]
    assert gathered(each for each in heard if isinstance(each, ToolDelta)) == reading.tool_calls


def test_geminis_signature_goes_back_with_the_call(server):
    reply, _ = run(stage(server, *CASES["parts, signed"][:3]), "whole")
    (call,) = reply.tool_calls
    messages = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call.to_dict()]},
                {"role": "tool", "tool_call_id": call.id, "content": "rain"}]  # fmt: skip
    run(replace(stage(server, *CASES["parts"][:3]), messages=messages), "whole")
    parts = [part for content in server.requests[-1].body["contents"] for part in content["parts"]]
    (sent,) = [part for part in parts if "function_call" in part or "functionCall" in part]
    assert sent["thoughtSignature"] == "c2ln"


# ---- what breaks off


@every_mode
def test_a_cut_call_is_no_answer(server, mode):
    error, heard = run(make(server.base_url, "openai/cut-tools@calls=2"), mode)
    assert isinstance(error, CallError)
    assert (error.kind, error.billed, error.reply.usage) == ("cut", True, None)
    if "stream" in mode:
        assert gathered(each for each in heard if isinstance(each, ToolDelta)) == error.reply.tool_calls
        assert [call.name for call in error.reply.tool_calls] == ["weather", "time"]
        with pytest.raises(ValueError, match=r"Unterminated|delimiter|Expecting"):
            json.loads(error.reply.tool_calls[1].arguments)


@every_mode
def test_an_error_in_the_midst_of_a_call_is_no_answer(server, mode):
    broken = {"error": {"code": 502, "message": "the provider behind went away"}}
    body = sse(*map(chunk, TWO[:2]), broken, done=False)
    error, _ = run(stage(server, "chat", body, body), mode)
    assert isinstance(error, CallError)
    assert (error.kind, error.billed) == ("server", True)
    assert error.reply.tool_calls == (ToolCall("a", "weather", BERN[:5]),)


@every_mode
@pytest.mark.parametrize("model", ["error-200", "429", "empty-body"])
def test_an_error_is_one_with_tools_too(server, mode, model):
    error, heard = run(make(server.base_url, f"openai/{model}"), mode)
    assert isinstance(error, CallError)
    assert heard == []


@every_mode
def test_a_call_without_usage_is_an_answer_without_usage(server, mode):
    reply, _ = run(make(server.base_url, "openai/tools@usage=none"), mode)
    assert [call.name for call in reply.tool_calls] == ["weather"]
    assert (reply.usage, reply.usage_status) == (None, "missing")


@every_mode
def test_a_call_that_nobody_offered_is_no_answer(server, mode):
    error, _ = run(make(server.base_url, "openai/tool-calls", tools=()), mode)
    assert isinstance(error, CallError)
    assert (error.kind, error.retryable, error.reply.usage.output_tokens) == ("bad_reply", False, 5)


@every_mode
def test_an_end_that_promises_calls_without_one_is_no_answer(server, mode):
    body = sse(*pieces({"content": ""}, finish="tool_calls"))
    error, _ = run(stage(server, "chat", body, body), mode)
    assert isinstance(error, CallError)
    assert (error.kind, error.retryable, error.billed) == ("bad_reply", True, True)


# ---- the way of a loop


@every_mode
def test_a_loop_of_tools(server, mode):
    call = make(server.base_url, "openai/tools@calls=2,text=Let_me_look", params={"parallel_tool_calls": True})
    reply, heard = run(call, mode)
    assert [each.name for each in reply.tool_calls] == ["weather", "time"]
    assert reply.text == "Let me look"
    (request,) = server.chats
    assert request.body["tools"] == list(TOOLS)
    assert "parallel_tool_calls" not in request.body
    assert reply.usage == Usage(3, request.output_tokens)
    if "stream" in mode:
        first = next(i for i, each in enumerate(heard) if isinstance(each, ToolDelta))
        assert all(isinstance(each, TextDelta) for each in heard[:first])
        assert all(isinstance(each, ToolDelta) for each in heard[first:])
        assert len(heard) - first > 4
    called = [each.to_dict() for each in reply.tool_calls]
    results = [{"role": "tool", "tool_call_id": each.id, "content": f"{each.name}: rain"} for each in reply.tool_calls]
    messages = (*ASKED, {"role": "assistant", "content": reply.text, "tool_calls": called}, *results)
    answer, _ = run(replace(call, messages=messages), mode)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("weather: rain\ntime: rain", (), "stop")
    assert server.chats[1].body["messages"] == list(messages)


@every_mode
def test_the_choice_goes_along(server, mode):
    choice = {"type": "function", "function": {"name": "time"}}
    reply, _ = run(make(server.base_url, "openai/tools", tool_choice=choice), mode)
    assert [each.name for each in reply.tool_calls] == ["time"]
    assert server.chats[0].body["tool_choice"] == choice
    reply, _ = run(make(server.base_url, "openai/tools", tool_choice="none"), mode)
    assert (reply.text, reply.tool_calls) == ("nothing to call", ())
    params = {"parallel_tool_calls": False}
    reply, _ = run(make(server.base_url, "openai/tools@calls=3", tool_choice="auto", params=params), mode)
    assert len(reply.tool_calls) == 1
    assert "tool_choice" not in server.chats[-1].body


def test_nothing_that_is_handed_in_is_changed(server):
    tools, messages = ({**TOOLS[0], "cache_control": {"type": "ephemeral"}},), [dict(ASKED[0])]
    before = json.dumps([tools, messages])
    run(make(server.base_url, "openai/tools", tools=tools, messages=messages), "whole")
    assert json.dumps([tools, messages]) == before
    assert "cache_control" not in json.dumps(server.chats[0].body)


# ---- streaming in an event loop


def eventually(true):
    for _ in range(500):
        if true():
            return True
        threading.Event().wait(0.01)
    return False


def test_the_first_piece_is_heard_as_soon_as_it_comes(server):
    """Long before the end, and with the event loop free meanwhile."""
    came, turns = [], []

    async def go():
        async def turn():
            while True:
                turns.append(time.monotonic())
                await asyncio.sleep(0.005)

        beside = asyncio.create_task(turn())
        call = make(server.base_url, "openai/tools@pause_s=0.1,pieces=6,text=Look")
        reply = await dispatch.aattempt(call, None, lambda _: came.append(time.monotonic()))
        beside.cancel()
        await dispatch.aclose()
        return reply, time.monotonic()

    reply, ended = asyncio.run(go())
    assert reply.tool_calls
    assert ended - came[0] > 0.5
    assert len(came) >= 8
    gaps = [later - sooner for sooner, later in itertools.pairwise(turns) if sooner > came[0]]
    assert sorted(gaps)[len(gaps) // 2] < 0.05


def test_a_stream_that_is_cancelled_is_closed_at_once(server):
    heard = []

    async def go():
        first = asyncio.Event()

        def hear(delta):
            heard.append(delta)
            first.set()

        call = make(server.base_url, "openai/drip@tokens=4000,pause_s=0.01", max_output_tokens=4000)
        task = asyncio.create_task(dispatch.aattempt(call, None, hear))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closed = await asyncio.to_thread(eventually, lambda: server.chats[0].finished)
        n_heard = len(heard)
        await asyncio.sleep(0.05)
        assert len(heard) == n_heard
        await dispatch.aclose()
        return closed

    assert asyncio.run(go())
    assert server.chats[0].disconnected
    assert server.chats[0].output_tokens < 4000


def test_what_the_listener_raises_is_raised_and_closes_the_stream(server):
    def hear(_delta):
        raise BrokenPipeError("nobody listens")

    async def go():
        call = make(server.base_url, "openai/drip@tokens=4000,pause_s=0.01", max_output_tokens=4000)
        with pytest.raises(BrokenPipeError, match="nobody listens") as caught:
            await dispatch.aattempt(call, None, hear)
        assert "api_key" not in repr([frame.frame.f_locals.get("arguments") for frame in caught.traceback])
        closed = await asyncio.to_thread(eventually, lambda: server.chats[0].finished)
        await dispatch.aclose()
        return closed

    assert asyncio.run(go())
    assert server.chats[0].disconnected


def test_streams_end_at_their_deadline_with_what_had_come(server):
    heard = []

    async def go():
        call = make(server.base_url, "openai/drip@tokens=4000,pause_s=0.02", max_output_tokens=4000, deadline_s=0.6)
        with pytest.raises(CallError) as caught:
            await dispatch.aattempt(call, None, heard.append)
        await dispatch.aclose()
        return caught.value

    error = asyncio.run(go())
    assert error.kind == "timeout"
    assert error.reply.text == "".join(each.text for each in heard) != ""
    assert eventually(lambda: server.chats[0].disconnected)


def test_streams_one_after_another_use_one_connection(server):
    async def go():
        for _ in range(8):
            await dispatch.aattempt(make(server.base_url, "openai/tools"), None, lambda _: None)
        await dispatch.aclose()

    before = server.n_connections
    asyncio.run(go())
    assert server.n_connections - before <= 2


def test_many_streams_at_once_keep_apart(server):
    async def one(i):
        heard = []
        reply = await dispatch.aattempt(make(server.base_url, f"openai/say@text=word_{i}_it_is"), None, heard.append)
        return reply.text, "".join(each.text for each in heard)

    async def go():
        told = await asyncio.gather(*(one(i) for i in range(60)))
        await dispatch.aclose()
        return told

    assert asyncio.run(go()) == [(f"word {i} it is",) * 2 for i in range(60)]


# ---- as the log keeps it


def test_calls_as_text():
    assert as_text(()) == ""
    assert json.loads(as_text((ToolCall("a", "f", '{"x": "é"}'),))) == [function("f", '{"x": "é"}', id="a")]
