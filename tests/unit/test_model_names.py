"""What a model's name says: one spelling for many, maker, line, size, version, parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.router.model_names import parse_name, plain_name, spellings

ONE_MODEL = [
    ("claude-sonnet-3.5", "anthropic/claude-3-5-sonnet-20241022"),
    ("claude-sonnet-3.5", "bedrock/us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
    ("claude-sonnet-3.5", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
    ("claude-sonnet-3.5", "vertex_ai/claude-3-5-sonnet-v2@20241022"),
    ("claude-opus-4", "vertex_ai/claude-opus-4@20250514"),
    ("claude-haiku-4.5", "openrouter/anthropic/claude-haiku-4.5"),
    ("claude-haiku-4.5", "claude-haiku-4-5-20251001"),
    ("claude-sonnet-3.7", "claude-3-7-sonnet-latest"),
    ("gpt-4o-mini", "azure/gpt-4o-mini-2024-07-18"),
    ("gemini-3-flash", "gemini/gemini-3-flash-preview"),
    ("gemini-2.5-flash", "gemini/gemini-2.5-flash-preview-09-2025"),
    ("gemini-2.5-flash", "vertex_ai/gemini-2.5-flash-preview-05-20"),
    ("llama-3.1-8b", "fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct"),
    ("llama-3.1-8b", "openrouter/meta-llama/llama-3.1-8b-instruct:free"),
    ("llama-3.1-8b", "Meta-Llama-3.1-8B-Instruct-AWQ-INT4"),
    ("llama-3.1-8b", "bedrock/meta.llama3-1-8b-instruct-v1:0"),
    ("llama-3.2-3b", "ollama_chat/llama3.2"),
    ("gpt-oss-20b", "ollama/gpt-oss:20b"),
    ("qwen-3-8b", "ollama_chat/qwen3:8b-q4_K_M"),
    ("qwen-3-32b", "groq/qwen/qwen3-32b"),
    ("nova-2-lite", "amazon.nova-2-lite-v1:0"),
    ("minimax-m2.5", "fireworks_ai/minimax-m2p5"),
    ("gpt-oss-20b", "bedrock/us-gov-east-1/openai.gpt-oss-20b-1:0"),
    ("deepseek-v3.2", "bedrock/ap-south-1/deepseek.v3.2"),
    ("deepseek-r1", "us.deepseek.r1-v1:0"),
    ("claude-haiku-4.5", "databricks/databricks-claude-haiku-4-5"),
    ("llama-3.3-70b", "databricks/databricks-meta-llama-3-3-70b-instruct"),
    ("gpt-5", "snowflake/openai-gpt-5"),
    ("kimi-k2.5", "azure_ai/FW-Kimi-K2.5"),
]


@pytest.mark.parametrize(("plain", "spelt"), ONE_MODEL)
def test_one_model_has_one_name_however_it_is_spelt(plain, spelt):
    assert plain in spellings(spelt)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("mistral-large-2402", "mistral-large-2411"), ("gpt-4", "gpt-4-turbo"), ("gpt-4o", "gpt-4o-mini"),
        ("deepseek-v3", "deepseek-v3-0324"), ("o3", "o3-mini"), ("gemini-1.5-pro", "gemini-1.5-pro-002"),
        ("llama-3.1-8b", "llama-3.1-70b"), ("qwen3-30b-a3b", "qwen3-30b-a3b-thinking-2507"),
    ],
)  # fmt: skip
def test_other_models_stay_apart(a, b):
    assert plain_name(a) != plain_name(b)


@pytest.mark.parametrize(
    ("model", "maker", "line", "size", "version", "params_b"),
    [
        ("anthropic/claude-haiku-5-5", "anthropic", "claude", "haiku", 5.5, None),
        ("openai/gpt-6-luna", "openai", "gpt", "luna", 6.0, None),
        ("gemini/gemini-3.5-flash-lite", "google", "gemini", "flash-lite", 3.5, None),
        ("gemini/gemini-4-argon", "google", "gemini", "argon", 4.0, None),
        ("xai/grok-4.20-0309-reasoning", "xai", "grok", "", 4.2, None),
        ("o3-mini-2025-01-31", "openai", "o", "mini", 3.0, None),
        ("deepseek/deepseek-v4-pro", "deepseek", "deepseek", "pro", 4.0, None),
        ("together_ai/Qwen/Qwen2.5-72B-Instruct-Turbo", "alibaba", "qwen", "", 2.5, 72.0),
        ("local/smollm2-135m-instruct", "hugging", "smollm", "", 2.0, 0.135),
        ("mixtral-8x7b-instruct-v0.1", "mistral", "mixtral", "", 0.1, 28.0),
        ("", "", "", "", None, None),
    ],
)
def test_a_name_is_read(model, maker, line, size, version, params_b):
    name = parse_name(model)
    assert (name.maker, name.line, name.size, name.version) == (maker, line, size, version)
    assert name.params_b == (None if params_b is None else pytest.approx(params_b))


def test_of_a_mixture_the_active_parameters_count_too():
    assert 3.0 < parse_name("qwen3-30b-a3b").params_b < 30.0


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("o3-mini-high", "high"),
        ("claude-3.7-sonnet:thinking", "high"),
        ("qwen3-8b-nothink", "none"),
        ("gpt-5", None),
        ("xai/grok-4.20-0309-non-reasoning", "none"),
        ("xai/grok-4.20-reasoning", "high"),
    ],
)
def test_an_effort_at_the_end_of_a_name_is_seen(model, effort):
    assert parse_name(model).effort == effort


@given(st.text(max_size=80) | st.text("claudegptx0123456789.-:@/bmkp", max_size=400))
def test_any_text_is_a_name(text):
    name = parse_name(text)
    assert name.params_b is None or 0.0 < name.params_b < 1e5
    assert all(spellings(text))
