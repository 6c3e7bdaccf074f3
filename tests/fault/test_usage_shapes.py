"""What every shape of usage is charged: the same whether the answer is streamed, whole, or one of a batch."""

import asyncio
import json
from decimal import Decimal

import pytest

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call, Reply
from scrimp.routing.prices.charge import charge
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.usage import check_usage

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
]

PRICE = ArmPrice(Decimal(1_000), Decimal(10_000), surcharges=(("fast", Decimal(2)), ("priority", Decimal("1.7"))))
FREE = ArmPrice(Decimal(0), Decimal(0))
BOUND = 4_300_000
UNVERIFIED = None

U = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def sse(*events):
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def openai(*usages, whole=None, top=None, in_choice=False):
    """Return a reply of OpenAI's shape: each of the usages ends a chunk of the stream, the last one is the whole's."""
    top = top or {}
    place = (
        (lambda usage: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]})
        if in_choice
        else (lambda usage: {"choices": [], "usage": usage})
    )
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **top}
    text = {"index": 0, "delta": {"role": "assistant", "content": "Blue."}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [{**head, "choices": [text]}, {**head, "choices": [end]}, *({**head, **place(each)} for each in usages)]
    message = {"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}
    reply = {
        **head,
        "object": "chat.completion",
        "choices": [message],
        "usage": whole or (usages[-1] if usages else None),
    }
    path = "/chat/completions"
    return "openai/m", {path: reply}, {path: ("text/event-stream", sse(*chunks) + b"data: [DONE]\n\n")}


def anthropic(start, delta):
    """Return a reply of Anthropic's, with the usage of its first and of its last event."""
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
    told = {key: value for key, value in {**start, **delta}.items() if value is not None} | {
        key: start[key] for key, value in delta.items() if key in start and not value
    }
    reply = {**head, "content": [{"type": "text", "text": "Blue."}], "stop_reason": "end_turn", "usage": told}
    events = (
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Blue."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": delta},
        {"type": "message_stop"},
    )
    path = "/v1/messages"
    return "anthropic/claude-sonnet-4-5", {path: reply}, {path: ("text/event-stream", sse(*events))}


def gemini(*usages, whole=None):
    """Return a reply of Gemini's, with a usage in each of its chunks."""

    def part(text, usage, end):
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0} | end
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g", "responseId": "r"}

    texts = ["Blue.", *[""] * (len(usages) - 1)]
    last = len(usages) - 1
    parts = [part(texts[n], usage, {"finishReason": "STOP"} if n == last else {}) for n, usage in enumerate(usages)]
    path = "/models/gemini-2.5-flash:"
    return (
        "gemini/gemini-2.5-flash",
        {f"{path}generateContent": part("Blue.", whole or usages[-1], {"finishReason": "STOP"})},
        {f"{path}streamGenerateContent": ("text/event-stream", sse(*parts))},
    )


def ollama(end):
    """Return a reply of Ollama's."""
    last = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop", **end}
    text = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False}
    lines = [
        {**text, "message": {"role": "assistant", "content": "Blue."}},
        {**last, "message": {"role": "assistant", "content": ""}},
    ]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    whole = {**last, "message": {"role": "assistant", "content": "Blue."}}
    return "ollama_chat/m", {"/api/chat": whole}, {"/api/chat": ("application/x-ndjson", body)}


def details(**counts):
    return {"prompt_tokens_details": counts}


G = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
A = {"input_tokens": 20, "output_tokens": 1}
SHAPES = {
    "openai": (openai(U), 70_000),
    "no usage at all": (openai(), UNVERIFIED),
    "null, then usage": (openai(None, U), 70_000),
    "usage, then null": (openai(U, None, whole=U), 70_000),
    "usage, then zeros": (openai(U, ZEROS, whole=U), 70_000),
    "zeros alone": (openai(ZEROS), UNVERIFIED),
    "growing with each chunk": (openai(*({**U, "completion_tokens": n, "total_tokens": 20 + n} for n in (1, 3, 5))), 70_000),
    "the same twice": (openai(U, U), 70_000),
    "smaller at the end": (openai(U, {**U, "completion_tokens": 2, "total_tokens": 22}, whole=U), 70_000),
    "each count in another chunk": (openai({"prompt_tokens": 20}, {"completion_tokens": 5}, whole=U), 70_000),
    "reasoning, then none": (
        openai({**U, "completion_tokens_details": {"reasoning_tokens": 4}}, {**U, "completion_tokens_details": None}, whole=U),
        70_000,
    ),
    "whole floats": (openai({key: float(n) for key, n in U.items()}), 70_000),
    "texts": (openai({key: str(n) for key, n in U.items()}), UNVERIFIED),
    "negative": (openai({**U, "completion_tokens": -5}), UNVERIFIED),
    "impossible": (openai({**U, "completion_tokens": 10**12}), UNVERIFIED),
    "more cached than read": (openai({**U, **details(cached_tokens=21)}), UNVERIFIED),
    "in the choice": (openai(U, in_choice=True), 70_000),
    "in x_groq": (openai(top={"x_groq": {"id": "r", "usage": U}}, whole=U), 70_000),
    "a total with hidden reasoning": (openai({**U, "total_tokens": 125}), 1_070_000),
    "a total with what was cached": (openai({**U, "total_tokens": 1025, "cache_read_input_tokens": 1000}), 1_070_000),
    "a total below its parts": (openai({**U, "total_tokens": 3}), 70_000),
    "a cost above ours": (openai({**U, "cost": 0.0002}), 200_000),
    "a cost above the bound": (openai({**U, "cost": 0.0123}), 12_300_000),
    "a cost below ours": (openai({**U, "cost": 0.00001}), 70_000),
    "a cost of nothing": (openai({**U, "cost": 0}), 70_000),
    "a cost with the key of one's own": (
        openai({**U, "cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}),
        2_100_000,
    ),
    "a cost in parts": (openai({**U, "cost": {"input_tokens_cost": 0.1, "total_cost": 0.006}}), 6_000_000),
    "an estimated cost": (openai({**U, "estimated_cost": 0.0003}), 300_000),
    "a cost in ticks": (openai({**U, "cost_in_usd_ticks": 37_756_000}), 3_775_600),
    "a cost without tokens, above the bound": (openai({"cost": 0.0123}), 12_300_000),
    "a cost without tokens": (openai({"cost": 0.0001}), UNVERIFIED),
    "a cost, later 0": (openai({**U, "cost": 0.0002}, {**U, "cost": 0}, whole={**U, "cost": 0.0002}), 200_000),
    "a cost below nothing": (openai({**U, "cost": -1}), UNVERIFIED),
    "a cost that is no number": (openai({**U, "cost": "a lot"}), UNVERIFIED),
    "a cost that is true": (openai({**U, "cost": True}), UNVERIFIED),
    "a cost of NaN": (openai({**U, "cost": float("nan")}), UNVERIFIED),
    "a cost without an end": (openai({**U, "cost": float("inf")}), UNVERIFIED),
    "a cost of a state": (openai({**U, "cost": 1e12}), UNVERIFIED),
    "a cost of nonsense, and tokens above the bound": (openai({**U, "completion_tokens": 1_000, "cost": -1}), 10_020_000),
    "the default tier": (openai(U, top={"service_tier": "default"}), 70_000),
    "flex": (openai(U, top={"service_tier": "flex"}), 70_000),
    "priority": (openai(U, top={"service_tier": "priority"}), 119_000),
    "a tier that nobody knows": (openai(U, top={"service_tier": "platinum"}), UNVERIFIED),
    "such a tier, and a cost": (openai({**U, "cost": 0.0002}, top={"service_tier": "platinum"}), 200_000),
    "such a tier, near the bound": (openai({**U, "completion_tokens": 400, "total_tokens": 420}, top={"service_tier": "platinum"}), 24_120_000),
    "anthropic": (anthropic(A, {"output_tokens": 5}), 70_000),
    "anthropic, later 0 and null": (
        anthropic({**A, "cache_read_input_tokens": 100}, {"output_tokens": 5, "input_tokens": 0, "cache_read_input_tokens": None}),
        170_000,
    ),
    "anthropic, cumulative": (anthropic(A, {"input_tokens": 20, "output_tokens": 5}), 70_000),
    "anthropic, zeros first": (anthropic({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 20, "output_tokens": 5}), 70_000),
    "anthropic, cache": (
        anthropic({"input_tokens": 3, "output_tokens": 1, "cache_creation_input_tokens": 1000, "cache_read_input_tokens": 5000}, {"output_tokens": 5}),
        6_053_000,
    ),
    "anthropic, cache that is said last": (anthropic(A, {"output_tokens": 5, "cache_read_input_tokens": 100}), 170_000),
    "anthropic, priority": (anthropic({**A, "service_tier": "priority"}, {"output_tokens": 5}), 119_000),
    "anthropic, standard": (anthropic({**A, "service_tier": "standard", "inference_geo": "not_available"}, {"output_tokens": 5}), 70_000),
    "anthropic, fast": (anthropic({**A, "speed": "fast"}, {"output_tokens": 5}), 140_000),
    "anthropic, fast and priority": (anthropic({**A, "speed": "fast", "service_tier": "priority"}, {"output_tokens": 5}), 238_000),
    "gemini": (gemini(G), 70_000),
    "gemini, thoughts": (gemini({**G, "thoughtsTokenCount": 100, "totalTokenCount": 125}), 1_070_000),
    "gemini, thoughts only at first": (
        gemini({**G, "candidatesTokenCount": 0, "thoughtsTokenCount": 100}, {**G, "thoughtsTokenCount": 0}, whole={**G, "thoughtsTokenCount": 100}),
        1_070_000,
    ),
    "gemini, thoughts that are null at last": (
        gemini({**G, "thoughtsTokenCount": 100}, {**G, "thoughtsTokenCount": None}, whole={**G, "thoughtsTokenCount": 100}),
        1_070_000,
    ),
    "gemini, tools": (gemini({**G, "toolUsePromptTokenCount": 3000, "totalTokenCount": 3025}), 3_070_000),
    "gemini, cached": (gemini({**G, "cachedContentTokenCount": 10}), 70_000),
    "gemini, a total beyond its parts": (gemini({**G, "totalTokenCount": 125}), 1_070_000),
    "gemini, priority": (gemini({**G, "trafficType": "ON_DEMAND_PRIORITY"}), 119_000),
    "gemini, on demand": (gemini({**G, "trafficType": "ON_DEMAND"}), 70_000),
    "ollama": (ollama({"prompt_eval_count": 20, "eval_count": 5}), 70_000),
    "ollama, a prompt that was cached": (ollama({"eval_count": 5}), UNVERIFIED),
}  # fmt: skip
WAYS = ("whole", "streamed", "in a batch", "served")


def replies(server, shape):
    """Return what comes of a shape in each way."""
    model, wholes, streams = shape
    told = {}
    for way in WAYS:
        server.canned.clear()
        for path, reply in wholes.items():
            server.can(path, "application/json", json.dumps(reply).encode())
        for path, (content_type, body) in streams.items() if way in ("streamed", "served") else ():
            server.can(path, content_type, body)
        call = Call(
            model=model,
            messages=[{"role": "user", "content": "Which colour?"}],
            max_output_tokens=400,
            api_base=server.url,
            api_key="k",
            stream=way in ("streamed", "served"),
        )
        if way == "streamed":
            *_, told[way] = dispatch.stream(call)
        elif way == "whole":
            told[way] = dispatch.attempt(call)
        else:
            told[way] = asyncio.run(awaited(call, None if way == "in a batch" else lambda _: None))
    return told


async def awaited(call, on_delta):
    try:
        return await dispatch.aattempt(call, None, on_delta)
    finally:
        await dispatch.aclose()


def charged(reply, price=PRICE, bound=BOUND):
    """Return what a reply is charged; None for the whole reservation."""
    assert isinstance(reply, Reply)
    usage = reply.usage
    if usage is not None and check_usage(usage, input_bound=300, output_limit=400, window=None) != "reported":
        usage = None
    return charge(price, usage, reply.stated, bound_nano=bound)[0]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_costs_the_same_in_every_way(server, name):
    shape, expected = SHAPES[name]
    told = replies(server, shape)
    assert {way: reply.text for way, reply in told.items()} == dict.fromkeys(WAYS, "Blue.")
    assert {way: charged(reply) for way, reply in told.items()} == dict.fromkeys(WAYS, expected)


def test_what_is_free_stays_free_unless_its_provider_says_otherwise(server):
    cached = replies(server, ollama({"eval_count": 5}))
    assert {charged(reply, FREE, 0) for reply in cached.values()} == {0}
    billed = replies(server, openai({**U, "cost": 0.0002}))
    assert {charged(reply, FREE, 0) for reply in billed.values()} == {200_000}


@pytest.mark.parametrize(
    ("model", "api_base", "sent"),
    [
        ("openai/gpt-5-mini", None, True),
        ("gpt-4o", None, True),
        ("openai/o4-mini", "https://eu.api.openai.com/v1", True),
        ("openai/ft:gpt-4.1-mini:acme::1", None, True),
        ("openai/gpt-3.5-turbo-instruct", None, False),  # completions have no tiers
        ("openai/gpt-5-mini", "http://127.0.0.1:8000/v1", False),
        ("openai/gpt-5-mini", "https://api.openai.com.example.org/v1", False),
        ("openrouter/openai/gpt-5-mini", None, False),
        ("anthropic/claude-sonnet-4-5", None, False),
    ],
)
def test_openai_is_asked_for_its_ordinary_tier(model, api_base, sent):
    """What an account's project sets would hold otherwise."""
    call = Call(model=model, messages=[], max_output_tokens=5, api_base=api_base, api_key="k")
    arguments = dispatch._arguments(call, streams=False)
    assert arguments.get("service_tier") == ("default" if sent else None)
    if sent:
        import litellm

        name, provider, *_ = litellm.get_llm_provider(model)
        params = litellm.utils.get_optional_params(model=name, custom_llm_provider=provider, service_tier="default")
        assert params["service_tier"] == "default"
