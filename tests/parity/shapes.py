"""Raw replies, streamed and whole, in the shapes of the wire that providers send, and what each has to come to."""

import json
from dataclasses import dataclass

__all__ = ["BOUND", "FAMILIES", "SHAPES", "Shape"]

USED = (20, 5)
BOUND = None
"""Charged at what was reserved, for the reply does not say what it used."""

FAMILIES = {
    "chat": ("openai/m", "/v1", ("/v1/chat/completions",)),
    "anthropic": ("anthropic/m", "", ("/v1/messages",)),
    "gemini": ("gemini/m", "", ("/models/m:generateContent", "/models/m:streamGenerateContent")),
    "ollama": ("ollama_chat/m", "", ("/api/chat",)),
    "cohere": ("cohere_chat/m", "/v2/chat", ("/v2/chat",)),
}
"""Each family's model, the path of its base, and the paths that it is asked at."""


@dataclass(frozen=True)
class Shape:
    """A reply, and what has to come of it in every way.

    Attributes
    ----------
    name, family
        What is odd about it, and whose shape it is.
    streamed, whole
        Its bytes to who asks for a stream, and to who does not.
    text
        What is shown and kept: the answer, or what came of it.
    status, finish
        Of the request and of its last attempt, in the log.
    n
        How often it is bought.
    used
        Tokens in and out that each is charged; BOUND where the whole reservation is.
    code
        The exit code of `ask`; an answer that is empty is none.
    kinds
        The content types of both.
    """

    name: str
    family: str
    streamed: bytes
    whole: bytes
    text: str = "Paris it is"
    status: str = "ok"
    finish: str | None = "stop"
    n: int = 1
    used: tuple[int, int] | None = USED
    code: int = 0
    kinds: tuple[str, str] = ("text/event-stream", "application/json")


# -- how values are carried


def sse(*values, end="\n\n", field="data: ", done=True):
    texts = [value if isinstance(value, str) else field + json.dumps(value) for value in values]
    return "".join(text + end for text in (*texts, *(["data: [DONE]"] if done else []))).encode()


def doc(value, **how):
    return json.dumps(value, **how).encode()


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values).encode()


# -- OpenAI's chat completions

TOKENS = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def chunk(delta, finish=None, **more):
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def completion(content, finish="stop", usage=TOKENS, **more):
    message = content if isinstance(content, dict) else {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    return {"id": "c", "model": "m", "choices": [choice], **({} if usage is None else {"usage": usage})}


def pieces(*deltas, finish="stop", usage=TOKENS):
    deltas = [delta if isinstance(delta, dict) else {"content": delta} for delta in deltas]
    last = [] if usage is None else [{"id": "c", "model": "m", "choices": [], "usage": usage}]
    return [*map(chunk, deltas), chunk({}, finish), *last]


def chat(name, *deltas, message=None, word="stop", usage=TOKENS, **more):
    """Return a completion in pieces and whole; `word` is how it ends, and what that means unless told."""
    told = "".join(delta for delta in deltas if isinstance(delta, str)) if message is None else message
    streamed, whole = pieces(*deltas, finish=word, usage=usage), completion(told, word, usage)
    return Shape(name, "chat", sse(*streamed), doc(whole), **{"finish": word} | more)


TWO = ("Paris", " it is")
PLAIN = doc(completion("Paris it is"))
STREAM = sse(*pieces(*TWO))
BROKEN = {"status": "failed", "code": 5}
HALF = BROKEN | {"text": "Paris it"}
EMPTY = {"text": "", "code": 5}
NOTHING = BROKEN | {"text": "", "n": 2}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "a capital"}]}
UPSTREAM = {"code": 502, "message": "the provider behind went away"}


def text(words):
    return {"type": "text", "text": words}


def either(name, body, **more):
    """Return a shape that is sent whatever was asked for."""
    return Shape(name, "chat", body, body, **more)


def pair(*contents):
    return [
        {"index": i, "message": {"content": content}, "finish_reason": "stop"} for i, content in enumerate(contents)
    ]


CHAT = (
    chat("plain", *TWO),
    chat("a list of parts", {"content": [text("Paris"), text(" it is")]}, message=[text("Paris"), text(" it is")]),
    chat("parts, thoughts among them", {"content": [THOUGHT]}, {"content": [text("Paris")]}, " it is",
         message=[THOUGHT, text("Paris it is")]),
    chat("reasoning beside the answer", {"content": None, "reasoning_content": "hm"}, *TWO,
         message={"content": "Paris it is", "reasoning_content": "hm"}),
    chat("only reasoning", {"reasoning_content": "a cap"}, {"reasoning": "ital"},
         message={"content": "", "reasoning_content": "a capital"}, **NOTHING),
    chat("only thoughts in tags", "<think>a cap", "ital</think>\n", **NOTHING),
    chat("thoughts in tags", "<th", "ink>\na capital\n</thi", "nk>\n\nPa", "ris it is",
         message="<think>\na capital\n</think>\n\nParis it is"),
    chat("thoughts twice", "<think>a</think>\n<thi", "nk>b</think>\nParis it is"),
    chat("thoughts cut at the limit", "<think>a cap", "ital", word="length", **EMPTY),
    chat("tags in the midst are text", "Paris <think>", "it is</think>", text="Paris <think>it is</think>"),
    chat("cut at the limit", *TWO, word="length"),
    chat("cut at the model's length", *TWO, word="model_length", finish="length"),
    chat("ended by a mark", *TWO, word="eos", finish="stop"),
    chat("filtered", "Paris it", word="content_filter", text="Paris it"),
    chat("called sensitive", "Paris it", word="sensitive", text="Paris it", finish="content_filter"),
    chat("ended by an error", "Paris it", word="error", **HALF),
    chat("ended for want of resources", "Paris it", word="insufficient_system_resource", **HALF),
    chat("ended for a reason nobody knows, with nothing", {"content": ""}, message="", word="abort", **NOTHING),
    Shape("an error in the choice", "chat",
          sse(chunk({"content": "Paris it"}), {"choices": [{"index": 0, "delta": {}, "error": UPSTREAM}], "usage": TOKENS}),
          doc(completion("Paris it", None, error=UPSTREAM)), **HALF | {"finish": None}),
    either("an error after a part, in a stream", sse(chunk({"content": "Paris it"}), {"error": UPSTREAM}, done=False),
           **HALF | {"finish": None, "used": BOUND}),
    chat("a tool is called", {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]},
         message={"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
         word="tool_calls", **NOTHING | {"n": 1}),
    chat("a form is filled in", {"tool_calls": [{"index": 0, "function": {"name": "json_tool_call", "arguments": ""}}]},
         {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
         message={"tool_calls": [{"index": 0, "function": {"name": "json_tool_call", "arguments": '{"a":1}'}}]},
         text='{"a":1}'),
    chat("a refusal apart", {"content": None, "refusal": "I cannot."}, message={"content": None, "refusal": "I cannot."},
         text="I cannot.", finish="refusal"),
    chat("no usage", *TWO, usage=None, used=BOUND),
    # how it is carried
    either("whole, though a stream was asked for", PLAIN),
    either("whole, as plain text", PLAIN, kinds=("text/plain", "text/plain")),
    either("whole, called a stream", PLAIN, kinds=("text/event-stream", "text/event-stream")),
    either("whole, over many lines", b"\n  \n" + doc(completion("Paris it is"), indent=2)),
    either("whole, after a mark of order", b"\xef\xbb\xbf" + PLAIN),
    either("a stream, though none was asked for", STREAM),
    either("a stream, called JSON", STREAM, kinds=("application/json", "application/json")),
    either("events by one newline", sse(*pieces(*TWO), end="\n")),
    either("events by CR LF, comments between", sse(": busy", *pieces(*TWO), end="\r\n\r\n")),
    either("events without a blank", sse(*pieces(*TWO), field="data:")),
    either("events with names and numbers", sse("id: 7\nevent: message\nretry: 9", *pieces(*TWO))),
    either("an event over many lines",
           "".join("data: " + line + "\n" for line in json.dumps(completion("Paris it is"), indent=1).split("\n")).encode()),
    either("one event with all of it", sse(completion("Paris it is"))),
    either("words for the end that say nothing",
           sse(chunk({"content": "Paris"}, ""), chunk({"content": " it is"}, "null"), chunk({}, "stop", usage=TOKENS))),
    either("choices without a delta", sse({"choices": [], "prompt_filter_results": []}, chunk({"content": "Paris"}),
           {"choices": [{"index": 0, "finish_reason": None}]}, chunk(None), *pieces(" it is"))),
    either("the answer so far beside each piece",
           sse({"choices": [{"delta": {"content": "Paris"}, "message": {"content": "Paris"}}]},
               {"choices": [{"delta": {"content": " it is"}, "message": {"content": "Paris it is"}}]},
               {"choices": [{"delta": {}, "message": {"content": "Paris it is"}, "finish_reason": "stop"}], "usage": TOKENS})),
    either("the stop string told apart",
           sse(chunk({"content": "Paris it is"}), {"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": "</s>"}], "usage": TOKENS})),
    Shape("a second choice", "chat", sse(chunk({"content": "Paris it is"}),
          {"choices": [{"index": 1, "delta": {"content": "Lyon"}, "finish_reason": "length"}]}, *pieces()),
          doc({"choices": pair("Paris it is", "Lyon"), "usage": TOKENS})),
    either("no choice", doc({"choices": [], "usage": TOKENS}), **NOTHING | {"finish": None}),
    either("no choice, in a stream", sse({"choices": [], "usage": TOKENS}), **NOTHING | {"finish": None}),
    either("a stream that ends early", sse(chunk({"content": "Paris it"}), done=False),
           **HALF | {"finish": None, "used": BOUND}),
    either("a piece that is no JSON", sse(chunk({"content": "Paris it"}), 'data: {"choices": [{"del', *pieces()), **HALF),
    either("an older completion", doc({"choices": [{"text": "Paris it is", "finish_reason": "stop"}], "usage": TOKENS})),
)  # fmt: skip

# -- Anthropic's messages


def event(kind, **value):
    return f"event: {kind}\ndata: " + json.dumps({"type": kind, **value})


def anthropic(name, *blocks, stop="end_turn", **more):
    read, wrote = {"input_tokens": 20, "output_tokens": 1}, {"output_tokens": 5}
    whole = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": list(blocks),
             "stop_reason": stop, "usage": read | wrote}  # fmt: skip
    events = [
        event("message_start", message=whole | {"content": [], "stop_reason": None, "usage": read}),
        event("ping"),
    ]
    for i, block in enumerate(blocks):
        kind, (key, value) = block["type"], list(block.items())[-1]
        told = json.dumps(value) if kind == "tool_use" else value
        delta = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking"),
                 "tool_use": ("input_json_delta", "partial_json")}[kind]  # fmt: skip
        events.append(
            event("content_block_start", index=i, content_block=block | {key: {} if kind == "tool_use" else ""})
        )
        parts = ({"type": delta[0], delta[1]: part} for part in (told[:4], told[4:]))
        events += [event("content_block_delta", index=i, delta=part) for part in parts]
        events.append(event("content_block_stop", index=i))
    events += [event("message_delta", delta={"stop_reason": stop}, usage=wrote), event("message_stop")]
    return Shape(name, "anthropic", sse(*events, done=False), doc(whole), **more)


THINKING = {"type": "thinking", "thinking": "a capital"}
ANTHROPIC = (
    anthropic("plain", text("Paris it is")),
    anthropic("after thoughts", THINKING, text("Paris it is")),
    anthropic("only thoughts", THINKING, **NOTHING),
    anthropic("only thoughts, to the limit", THINKING, stop="max_tokens", finish="length", **EMPTY),
    anthropic("cut at the window", text("Paris it is"), stop="model_context_window_exceeded", finish="length"),
    anthropic("a stop sequence", text("Paris it is"), stop="stop_sequence"),
    anthropic("declined in the midst", text("Paris it"), stop="refusal", text="Paris it", finish="content_filter"),
    anthropic("paused", text("Paris it"), stop="pause_turn", **HALF | {"finish": "pause_turn"}),
    anthropic("a form is filled in", {"type": "tool_use", "name": "json_tool_call", "input": {"a": 1}}, stop="tool_use",
              text='{"a": 1}'),
)  # fmt: skip

# -- Gemini's candidates


def candidate(parts, finish=None, **more):
    content = {"role": "model"} if parts is None else {"role": "model", "parts": parts}
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
    ends = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{"content": content, **ends}], "usageMetadata": usage, "modelVersion": "m", **more}


def gemini(name, *parts, finish="STOP", **more):
    values = [candidate([part]) for part in parts[:-1]] + [candidate(list(parts[-1:]) or None, finish)]
    streamed = sse(*values, end="\r\n\r\n", done=False)
    return Shape(name, "gemini", streamed, doc(candidate(list(parts) or None, finish)), **more)


def says(words, **more):
    return {"text": words, **more}


BLOCKED = {
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {"promptTokenCount": 20, "totalTokenCount": 20},
}
GEMINI = (
    gemini("plain", says("Paris"), says(" it is")),
    gemini("after thoughts", says("hm", thought=True), says("Paris it is", thoughtSignature="s")),
    Shape("no parts, cut at the limit", "gemini", sse(candidate(None, "MAX_TOKENS"), done=False),
          doc(candidate(None, "MAX_TOKENS")), finish="length", **EMPTY),
    Shape("no parts", "gemini", sse(candidate(None, "STOP"), done=False), doc(candidate(None, "STOP")), **NOTHING),
    Shape("recited", "gemini", sse(candidate([says("Paris it")], "RECITATION"), done=False),
          doc(candidate([says("Paris it")], "RECITATION")), text="Paris it", finish="content_filter"),
    Shape("ended for another reason", "gemini", sse(candidate([says("Paris it")], "OTHER"), done=False),
          doc(candidate([says("Paris it")], "OTHER")), **HALF | {"finish": "OTHER"}),
    Shape("the prompt is blocked", "gemini", sse(BLOCKED, done=False), doc(BLOCKED), finish="content_filter", **EMPTY,
          used=(20, 0)),
    Shape("an array of pieces", "gemini",
          b"[" + doc(candidate([says("Paris")])) + b"\n,\r\n" + doc(candidate([says(" it is")], "STOP")) + b"\n]",
          doc(candidate([says("Paris it is")], "STOP")), kinds=("application/json", "application/json")),
)  # fmt: skip

# -- Ollama's chat


def ollama(name, *texts, reason="stop", thinking=None, counts=True, **more):
    thought = {} if thinking is None else {"thinking": thinking}
    base = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
    last = base | {"done": True, "done_reason": reason} | ({"prompt_eval_count": 20, "eval_count": 5} if counts else {})
    values = [base | {"message": {"content": words, **thought}, "done": False} for words in texts]
    whole = last | {"message": {"content": "".join(texts), **thought}}
    kinds = ("application/x-ndjson", "application/json")
    return Shape(name, "ollama", lines(*values, last | {"message": {"content": ""}}), doc(whole), kinds=kinds, **more)


OLLAMA = (
    ollama("plain", *TWO),
    ollama("after thoughts", *TWO, thinking="hm"),
    ollama("thoughts in tags", "<think>\nhm", "\n</think>\n\n", "Paris it is"),
    ollama("cut at the limit", "Paris it", reason="length", text="Paris it", finish="length"),
    ollama("only loaded", reason="load", counts=False, **NOTHING | {"used": BOUND}),
    ollama("not counted", *TWO, counts=False, used=BOUND),
    Shape("an end that never comes", "ollama", lines({"message": {"content": "Paris it"}, "done": False}),
          doc({"message": {"content": "Paris it"}, "done": False}), **HALF | {"finish": None, "used": BOUND},
          kinds=("application/x-ndjson", "application/json")),
)  # fmt: skip

# -- Cohere's chat


def cohere(name, *texts, word="COMPLETE", **more):
    usage = {
        "billed_units": {"input_tokens": 20, "output_tokens": 5},
        "tokens": {"input_tokens": 20, "output_tokens": 5},
    }
    content = {"type": "text", "text": ""}
    events = [
        event("message-start", id="c", delta={"message": {"role": "assistant", "content": []}}),
        event("content-start", index=0, delta={"message": {"content": content}}),
        *(event("content-delta", index=0, delta={"message": {"content": {"text": words}}}) for words in texts),
        event("content-end", index=0),
        event("message-end", delta={"finish_reason": word, "usage": usage}),
    ]
    whole = {"id": "c", "message": {"content": [text("".join(texts))]}, "finish_reason": word, "usage": usage}
    return Shape(name, "cohere", sse(*events, done=False), doc(whole), **more)


COHERE = (
    cohere("plain", *TWO),
    cohere("cut at the limit", "Paris it", word="MAX_TOKENS", text="Paris it", finish="length"),
    cohere("ended by an error", "Paris it", word="ERROR", **HALF | {"finish": "ERROR"}),
)

SHAPES = (*CHAT, *ANTHROPIC, *GEMINI, *OLLAMA, *COHERE)
