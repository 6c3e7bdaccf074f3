"""Marks for caches: where they are put, whose are kept, and what truly is sent to each provider."""

import contextlib
import json

import pytest

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.prompt_cache import cached_prompt, marked_block, priced_marks

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
]

MARK = {"type": "ephemeral"}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]
FIRST = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
LOOP = [
    *FIRST,
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "a", "content": "rain"},
]  # fmt: skip
CLAUDES = [
    "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5", "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "vertex_ai/claude-sonnet-4-5@20250929", "azure_ai/claude-sonnet-4-5", "openrouter/anthropic/claude-sonnet-4.5",
    "databricks/databricks-claude-sonnet-4",
]  # fmt: skip
OTHERS = [
    "openai/gpt-5-mini",
    "gemini/gemini-2.5-flash",
    "vertex_ai/gemini-2.5-flash",
    "mistral/m",
    "bedrock/amazon.nova",
]


def marked(values):
    return [i for i, value in enumerate(values) if "cache_control" in json.dumps(value)]


@pytest.mark.parametrize("model", CLAUDES)
def test_a_chat_that_goes_on_is_marked_at_its_three_ends(model):
    messages, tools = cached_prompt(model, LOOP, TOOLS, marks=True)
    assert (marked(messages), marked(tools)) == ([0, 3], [1])
    assert (messages[0]["cache_control"], messages[3]["cache_control"], tools[1]["cache_control"]) == (MARK,) * 3
    assert "cache_control" not in json.dumps([LOOP, TOOLS])


@pytest.mark.parametrize(
    ("model", "messages", "marks"),
    [(CLAUDES[0], FIRST, True), (CLAUDES[0], LOOP, False), *((model, LOOP, True) for model in OTHERS)],
)
def test_nothing_is_marked(model, messages, marks):
    assert cached_prompt(model, messages, TOOLS, marks=marks) == (messages, TOOLS)


def test_what_the_caller_marked_stands_alone():
    own = [{"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": MARK}]}, *LOOP[1:]]
    messages, tools = cached_prompt(CLAUDES[0], own, TOOLS, marks=True)
    assert (marked(messages), marked(tools)) == ([0], [])
    own_tools = [{**TOOLS[0], "cache_control": MARK}, TOOLS[1]]
    messages, tools = cached_prompt(CLAUDES[0], LOOP, own_tools, marks=True)
    assert (marked(messages), marked(tools)) == ([], [0])


@pytest.mark.parametrize("model", OTHERS)
def test_no_mark_reaches_who_does_not_know_it(model):
    own = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": MARK}]},
        {"role": "user", "content": "hello", "cache_control": MARK},
    ]
    tools = [
        {**TOOLS[0], "cache_control": MARK},
        {"type": "function", "function": {"name": "g", "cache_control": MARK}},
    ]
    sent = cached_prompt(model, own, tools, marks=True)
    assert "cache_control" not in json.dumps(sent)
    assert json.dumps([own, tools]).count("cache_control") == 4


def test_a_list_is_marked_on_its_last_part_and_nothing_empty_is():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    chat = [*LOOP, {"role": "assistant", "content": "so"}, {"role": "user", "content": parts}]
    messages, _ = cached_prompt(CLAUDES[0], chat, (), marks=True)
    assert messages[-1] == {"role": "user", "content": [parts[0], parts[1] | {"cache_control": MARK}]}
    for empty in ("", [], [{"type": "text", "text": ""}]):
        messages, _ = cached_prompt(CLAUDES[0], [*LOOP[1:-1], {**LOOP[-1], "content": empty}], (), marks=True)
        assert marked(messages) == []


def test_what_has_no_price_is_not_asked_for():
    hour = {"type": "ephemeral", "ttl": "1h"}
    own = ({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": hour}]}, *LOOP)
    assert priced_marks(own, writes=True, hours=True) == own
    assert marked(priced_marks(own, writes=False, hours=False)) == []
    (part,) = priced_marks(own, writes=True, hours=False)[0]["content"]
    assert part["cache_control"] == MARK
    assert own[0]["content"][0]["cache_control"] == hour


@pytest.mark.parametrize(("model", "n"), [
    ("anthropic/claude-sonnet-4-5", 3), ("openrouter/anthropic/claude-sonnet-4.5", 3), ("openai/m", 0), ("mistral/m", 0),
    ("gemini/gemini-2.5-flash", 0), ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
])  # fmt: skip
def test_what_is_sent_says_so(server, monkeypatch, model, n):
    """One request, with the marks in the provider's own form: cache_control, or Bedrock's cachePoint."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    call = Call(model, LOOP, 2000, api_base=server.url, api_key="k", tools=TOOLS, caches=True, stream=False)
    with contextlib.suppress(CallError):  # where the server has no such path: it keeps what was asked
        dispatch.attempt(call)
    (request,) = server.requests
    body = json.dumps(request.body)
    assert body.count("cache_control") + body.count("cachePoint") == n
    assert "rain" in body


BLOCK = "===== FILE a.txt\nlong\n===== END"


@pytest.mark.parametrize("model", CLAUDES)
def test_a_block_of_files_is_a_part_of_its_own(model):
    messages = [FIRST[0], {"role": "user", "content": f"{BLOCK}\n\nWhy?"}]
    sent = marked_block(model, messages, BLOCK)
    assert sent[0] == FIRST[0]
    assert sent[1]["content"] == [
        {"type": "text", "text": BLOCK, "cache_control": MARK},
        {"type": "text", "text": "\n\nWhy?"},
    ]
    assert cached_prompt(model, sent, (), marks=False)[0] == list(sent)
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    parts = [{"type": "text", "text": f"{BLOCK}\n\nWhy?"}, image]
    assert marked_block(model, [{"role": "user", "content": parts}], BLOCK)[0]["content"] == [
        *sent[1]["content"],
        image,
    ]


@pytest.mark.parametrize(
    ("model", "text", "block"),
    [
        *((model, f"{BLOCK}\n\nWhy?", BLOCK) for model in OTHERS),
        (CLAUDES[0], "Why?", BLOCK),
        (CLAUDES[0], f"{BLOCK}\n\nWhy?", ""),
        (CLAUDES[0], BLOCK, BLOCK),  # an empty part is refused
    ],
)
def test_other_messages_stay_as_they_are(model, text, block):
    messages = [{"role": "user", "content": text}]
    assert marked_block(model, messages, block) == tuple(messages)
