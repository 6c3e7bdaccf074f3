"""Whatever a conversation holds, no way of writing it for a model is more tokens than its bound."""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.prompt import prompt_of_chat
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import tokens as bench  # bench/ is no package

words = st.text(
    st.sampled_from('ab {}[]":\\\n\t,é日\u0301\ufdfa\U0001f600') | st.characters(exclude_categories=["Cs"]), max_size=40
)
names = st.text("abcdef_", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**6) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
arguments = st.dictionaries(names, values, max_size=3)
calls = st.lists(
    st.builds(
        lambda name, given, escaped: {
            "id": "call_0123456789abcdef",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(given, ensure_ascii=escaped)},
        },
        names,
        arguments,
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
contents = words | st.lists(st.builds(lambda text: {"type": "text", "text": text}, words), max_size=3)
messages = st.lists(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user"]), contents)
    | st.builds(lambda given, text: {"role": "assistant", "content": text, "tool_calls": given}, calls, words)
    | st.builds(lambda text: {"role": "tool", "tool_call_id": "call_0123456789abcdef", "content": text}, contents),
    min_size=1,
    max_size=6,
)
tools = st.lists(
    st.builds(
        lambda name, text, given: {
            "type": "function",
            "function": {"name": name, "description": text, "parameters": {"type": "object", "properties": given}},
        },
        names,
        words,
        arguments,
    ),
    max_size=3,
)

CLAUDE = "In this environment you have access to a set of tools you can use to answer the user's question. " * 12


def text_in(content):
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def as_llama(chat, indent, escaped):
    """As the template of Llama 3.1 writes it: results of tools as JSON, and the tools indented by four."""

    def write(value):
        return json.dumps(value, indent=indent, ensure_ascii=escaped)

    told = "<|begin|><|header|>system<|end|>\n\nEnvironment: ipython\nCutting Knowledge Date: December 2023\n\n"
    if chat.tools:
        told += "Given the following functions, please respond with a JSON for a function call. " * 4
        told += "\n\n".join(write(tool) for tool in chat.tools)
    for message in chat.messages:
        told += f"<|header|>{message['role']}<|end|>\n\n"
        text = text_in(message["content"] or "")
        told += write(text) if message["role"] == "tool" else text
        for call in message.get("tool_calls") or ():
            function = call["function"]
            told += f'{{"name": "{function["name"]}", "parameters": {write(json.loads(function["arguments"]))}}}'
        told += "<|eot|>"
    return told


def as_claude(chat):
    """As Anthropic says that it tells its models: a preamble, the tools as JSON, and calls as marked-up parameters."""
    told = CLAUDE + "".join(f"<function>{json.dumps(tool['function'])}</function>\n" for tool in chat.tools)
    for message in chat.messages:
        told += f"\n\n{message['role']}: {text_in(message['content'] or '')}"
        for call in message.get("tool_calls") or ():
            function = call["function"]
            told += f"<function_calls>\n<invoke name={quoteattr(function['name'])}>\n"
            for name, value in json.loads(function["arguments"]).items():
                written = value if isinstance(value, str) else json.dumps(value)
                told += f"<parameter name={quoteattr(name)}>{written}</parameter>\n"
            told += "</invoke>\n</function_calls>"
    return told


@pytest.fixture(scope="module")
def tokenisers():
    return bench.tokenisers()


@settings(max_examples=150)
@given(messages=messages, offered=tools)
def test_no_way_of_writing_a_chat_is_more_than_its_bound(tokenisers, messages, offered):
    chat = Chat(tuple(messages), tuple(offered))
    prompt = prompt_of_chat(chat)
    bound = bound_tokens(prompt, "openai/my-own", None)
    assert estimate_tokens(prompt) <= bound
    ways = [as_claude(chat), *(as_llama(chat, indent, escaped) for indent in (None, 4) for escaped in (True, False))]
    for name, count in tokenisers.items():
        assert max(count(ways)) <= bound, name


@settings(max_examples=60)
@given(messages=messages, offered=tools)
def test_what_is_added_to_a_chat_never_lowers_its_bound(messages, offered):
    whole = bound_tokens(prompt_of_chat(Chat(tuple(messages), tuple(offered))), "m", None)
    for at in range(len(messages)):
        assert bound_tokens(prompt_of_chat(Chat(tuple(messages[:at]), tuple(offered))), "m", None) < whole
