"""The room that reasoning takes of an output limit, beside what LiteLLM makes of an effort; prompts read in part."""

import pytest

from scrimp.routing.calls.admission import why_unbounded
from scrimp.routing.calls.dispatch import prepare
from scrimp.routing.calls.reasoning import (
    Room,
    no_room,
    reasoning_arguments,
    reasoning_room,
    refuses_thought,
    shortened,
)
from scrimp.routing.calls.whole_prompt import cut_prompt, least_tokens, window_arguments

EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
MODELS = [
    "anthropic/claude-3-7-sonnet-20250219", "anthropic/claude-sonnet-4-20250514", "anthropic/claude-sonnet-4-5",
    "anthropic/claude-opus-4-1", "anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-5", "anthropic/claude-opus-4-6",
    "anthropic/claude-sonnet-4-6", "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/converse/anthropic.claude-3-7-sonnet-20250219-v1:0", "bedrock/us.anthropic.claude-opus-4-6-v1",
    "vertex_ai/claude-sonnet-4-5@20250929", "azure_ai/claude-sonnet-4-5", "gemini/gemini-2.5-flash",
    "gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash-lite", "vertex_ai/gemini-2.5-flash", "gemini/gemini-3-pro-preview",
    "openai/gpt-5-mini",
]  # fmt: skip


@pytest.fixture(scope="module")
def litellm():
    return prepare().module


def mapped(litellm, model, limit, **arguments):
    """Return the budget of reasoning that LiteLLM would send; None where it sends none."""
    name, provider, _, _ = litellm.get_llm_provider(model)
    found = litellm.utils.get_optional_params(model=name, custom_llm_provider=provider, max_tokens=limit, **arguments)
    thinking = found.get("thinking") or found.get("thinkingConfig") or {}
    return thinking.get("budget_tokens", thinking.get("thinkingBudget"))


@pytest.mark.parametrize("model", MODELS)
def test_no_budget_reaches_its_limit(litellm, model):
    for effort in EFFORTS:
        if effort == "xhigh" and "gemini" in model:
            continue  # refused by LiteLLM itself
        if effort == "xhigh" and "gpt" in model:
            continue
        room = reasoning_room(model, effort, {})
        for limit in (100, 400, 1024, 1025, 1500, 2048, 2049, 4096, 5000, 9000, 20_000):
            if no_room(room, limit):
                continue
            budget = mapped(litellm, model, limit, **reasoning_arguments(model, effort, {}, limit))
            assert (budget is None) == (room is None)
            if room is not None:
                assert room.least <= budget < limit
                assert budget == (shortened(room, limit) or room.wanted)


def test_every_claude_that_is_known_is_told_apart_by_its_name(litellm):
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig

    told = {"anthropic": "", "bedrock": "bedrock/", "bedrock_converse": "bedrock/"}
    for name, facts in litellm.model_cost.items():
        provider = facts.get("litellm_provider")
        if "mythos-preview" in name:
            continue  # its name has no version: LiteLLM tells it one way or the other by the provider
        if "claude" in name and facts.get("supports_reasoning") and provider in told:
            model = name if "/" in name else f"{told[provider]}{name}"
            adaptive = AnthropicConfig._is_adaptive_thinking_model(name, provider)
            assert (reasoning_room(model, "low", {}) is None) == adaptive, name


@pytest.mark.parametrize(
    ("params", "limit", "wanted"),
    [({"thinking": {"type": "enabled", "budget_tokens": 3000}}, 2000, 1024),
     ({"thinking": {"type": "enabled", "budget_tokens": 500}}, 2000, 1024),
     ({"thinking": {"type": "enabled", "budget_tokens": 1500}}, 2000, 1500)],
)  # fmt: skip
def test_an_own_budget_goes_before_the_effort(params, limit, wanted):
    found = reasoning_arguments("anthropic/claude-sonnet-4-5", "high", params, limit)
    assert found == {"thinking": {"type": "enabled", "budget_tokens": wanted}}


@pytest.mark.parametrize(
    ("model", "effort", "params", "room"),
    [("anthropic/claude-sonnet-4-5", None, {}, None), ("anthropic/claude-sonnet-4-5", "none", {}, None),
     ("anthropic/claude-sonnet-4-5", "low", {"thinking": {"type": "disabled"}}, None),
     ("openrouter/anthropic/claude-sonnet-4.5", "high", {}, Room(1024, 1024, ours=False)),
     ("openrouter/anthropic/claude-opus-4.6", "high", {}, None), ("openai/claude-sonnet-4-5", "high", {}, None)],
)  # fmt: skip
def test_who_is_told_by_a_number(model, effort, params, room):
    assert reasoning_room(model, effort, params) == room


# ---- whole prompts


@pytest.mark.parametrize(
    ("model", "params", "stated", "window", "need", "found"),
    [("ollama_chat/x", {}, 32_768, 32_768, 500, {"num_ctx": 32_768}), ("ollama/x", {}, None, 8192, 500, {"num_ctx": 4096}),
     ("ollama/x", {}, None, 131_072, 9000, {"num_ctx": 16_384}), ("ollama/x", {}, None, 6000, 9000, {"num_ctx": 6000}),
     ("ollama/x", {"num_ctx": 5}, 32_768, None, 500, {}), ("ollama/x", {}, None, None, 9000, {}),
     ("openai/x", {}, 32_768, 32_768, 500, {})],
)  # fmt: skip
def test_the_window_that_ollama_is_told(model, params, stated, window, need, found):
    assert window_arguments(model, params, stated, window, need) == found


def user(text):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    "text", ["word " * 5000, "-" * 100_000, " " * 100_000, "水" * 3000, "x = 1\n" * 3000, "a" * 9, ""]
)
def test_the_least_count_is_below_every_tokeniser_that_is_at_hand(text):
    import os
    from importlib.util import find_spec
    from pathlib import Path

    tables = Path(find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(tables))
    import tiktoken

    for name in ("cl100k_base", "o200k_base"):
        assert least_tokens(user(text)) <= len(tiktoken.get_encoding(name).encode(text)) + 1


def test_a_count_far_too_low_is_said_and_others_are_not():
    long = user("word " * 4000)
    assert "at least 4,000" in cut_prompt(long, 1999, "openai/x", "a")
    assert cut_prompt(long, 2000, "openai/x", "a") is None
    assert cut_prompt(long, None, "openai/x", "a") is None
    assert cut_prompt(user("word " * 200), 1, "openai/x", "a") is None, "too short to tell"
    parts = [{"role": "user", "content": [{"type": "text", "text": "word " * 4000}, {"type": "image_url"}]}]
    assert cut_prompt(parts, 100, "ollama/x", "a").endswith("set context_window of arm a (num_ctx)")


def test_a_budget_that_would_be_refused_does_not_leave():
    """The last guard, whatever made the request: the budget has to be below the limit."""
    asked = {"messages": [], "max_tokens": 400, "thinking": {"type": "enabled", "budget_tokens": 400}}
    assert "reason" in why_unbounded(asked, 400)
    assert why_unbounded({**asked, "thinking": {"type": "enabled", "budget_tokens": 399}}, 400) is None
    inner = {"messages": [], "inferenceConfig": {"maxTokens": 400}, "additionalModelRequestFields": asked}
    assert "reason" in why_unbounded({**inner, "additionalModelRequestFields": {"thinking": asked["thinking"]}}, 400)


USER = {"role": "user", "content": "Bern?"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "rain"}
EXPLAINED = CALLED | {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}


@pytest.mark.parametrize(
    ("model", "effort", "params", "messages", "choice", "refused"),
    [
        ("anthropic/claude-sonnet-4-5", "low", {}, [USER, CALLED, RESULT], None, True),
        ("anthropic/claude-sonnet-4-5", None, {"thinking": {"budget_tokens": 2000}}, [USER, CALLED, RESULT], None, True),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "low", {}, [USER, CALLED, RESULT, USER], None, True),
        ("anthropic/claude-sonnet-4-5", "low", {}, [USER], "required", True),
        ("anthropic/claude-sonnet-4-5", "low", {}, [USER], {"type": "function", "function": {"name": "f"}}, True),
        ("anthropic/claude-sonnet-4-5", "low", {}, [USER], "auto", False),
        ("anthropic/claude-sonnet-4-5", "low", {}, [USER, EXPLAINED, RESULT], None, False),
        ("anthropic/claude-sonnet-4-5", "low", {},
         [USER, CALLED, RESULT, {"role": "assistant", "content": "Rain."}, USER], None, False),
        ("anthropic/claude-sonnet-4-5", None, {}, [USER, CALLED, RESULT], None, False),
        ("anthropic/claude-opus-4-6", "low", {}, [USER, CALLED, RESULT], None, False),
        ("gemini/gemini-2.5-flash", "low", {}, [USER, CALLED, RESULT], None, False),
        ("openai/gpt-5-mini", "low", {}, [USER, CALLED, RESULT], "required", False),
    ],
)  # fmt: skip
def test_who_refuses_to_reason(model, effort, params, messages, choice, refused):
    assert refuses_thought(model, effort, params, messages, choice) is refused


@pytest.mark.parametrize(
    ("tool", "what"),
    [
        ({"type": "function", "function": {"name": "f"}}, None),
        ({"name": "f", "input_schema": {}}, None),
        ({"type": "custom", "name": "f"}, None),
        ({"type": "bash_20250124", "name": "bash"}, None),
        ({"functionDeclarations": []}, None),
        ({"function_declarations": []}, None),
        ({"type": "web_search_20250305", "name": "web_search"}, "web_search_20250305"),
        ({"type": "code_interpreter"}, "code_interpreter"),
        ({"type": "mcp", "server_url": "x"}, "mcp"),
        ({"googleSearch": {}}, "googleSearch"),
        ({"code_execution": {}}, "code_execution"),
    ],
)
def test_what_the_provider_would_run_has_no_bound(tool, what):
    why = why_unbounded({"messages": [], "max_tokens": 20, "tools": [tool]}, 20)
    assert why is None if what is None else f"would run {what} itself" in why
    assert "more than one answer" in why_unbounded({"messages": [], "max_tokens": 20, "tools": [tool], "n": 2}, 20)
