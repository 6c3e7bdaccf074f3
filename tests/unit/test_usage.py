"""Usage in the shapes that providers report it, and what cannot be true."""

from types import SimpleNamespace

import pytest

from scrimp.routing.prices.usage import Usage, check_usage, usage_from_litellm


def test_openai():
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 150},
    }
    assert usage_from_litellm(usage) == Usage(1000, 200, 600, None, 150)


def test_openai_responses():
    usage = {
        "input_tokens": 1000,
        "output_tokens": 200,
        "total_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 600},
        "output_tokens_details": {"reasoning_tokens": 150},
    }
    assert usage_from_litellm(usage) == Usage(1000, 200, 600, None, 150)


def test_anthropic_as_litellm_reports_it():
    """LiteLLM has added cached and written tokens to prompt_tokens already."""
    usage = SimpleNamespace(
        prompt_tokens=10_000,
        completion_tokens=500,
        total_tokens=10_500,
        cache_creation_input_tokens=3000,
        cache_read_input_tokens=6000,
        completion_tokens_details=None,
        prompt_tokens_details=SimpleNamespace(
            cached_tokens=6000,
            cache_write_tokens=3000,
            cache_creation_token_details=SimpleNamespace(
                ephemeral_5m_input_tokens=2000, ephemeral_1h_input_tokens=1000
            ),
        ),
    )
    assert usage_from_litellm(usage) == Usage(10_000, 500, 6000, 3000, None, 1000)


def test_anthropic_itself():
    usage = {
        "input_tokens": 1000,
        "output_tokens": 500,
        "cache_read_input_tokens": 6000,
        "cache_creation_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 1000},
    }
    assert usage_from_litellm(usage) == Usage(10_000, 500, 6000, 3000, None, 1000)


def test_deepseek():
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "prompt_cache_hit_tokens": 900,
        "prompt_cache_miss_tokens": 100,
    }
    assert usage_from_litellm(usage) == Usage(1000, 50, 900)


def test_gemini():
    usage = SimpleNamespace(
        prompt_tokens=100,
        completion_tokens=80,
        total_tokens=180,
        prompt_tokens_details=SimpleNamespace(cached_tokens=None, text_tokens=100),
        completion_tokens_details=SimpleNamespace(reasoning_tokens=60, text_tokens=20),
    )
    assert usage_from_litellm(usage) == Usage(100, 80, None, None, 60)


def test_reasoning_counted_beside_the_output_is_added():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 180,
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    assert usage_from_litellm(usage) == Usage(100, 80, None, None, 60)


def test_zeros_beside_a_count_do_not_hide_it():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 1,
        "cache_read_input_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert usage_from_litellm(usage) == Usage(10, 1, 4)


def test_a_cache_that_was_not_used_is_zero_and_one_not_mentioned_unknown():
    assert (
        usage_from_litellm({"prompt_tokens": 1, "completion_tokens": 1, "prompt_cache_hit_tokens": 0}).cached_tokens
        == 0
    )
    assert usage_from_litellm({"prompt_tokens": 1, "completion_tokens": 1}).cached_tokens is None


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 5},
        {"completion_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": "6"},
        {"prompt_tokens": True, "completion_tokens": True},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {"prompt_tokens": float("inf"), "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": None},
        "usage",
        7,
    ],
)
def test_nothing_said(usage):
    assert usage_from_litellm(usage) is None


def test_whole_floats_count():
    assert usage_from_litellm({"prompt_tokens": 5.0, "completion_tokens": 6.0}) == Usage(5, 6)


def test_nonsense_in_the_details_is_not_said():
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 6,
        "prompt_tokens_details": "many",
        "completion_tokens_details": [1],
    }
    assert usage_from_litellm(usage) == Usage(5, 6)


BOUNDS = {"input_bound": 1000, "output_limit": 100, "window": 8000}


@pytest.mark.parametrize(
    "usage",
    [
        Usage(500, 50),
        Usage(500, 0),
        Usage(1, 1, 0, 0, 0),
        Usage(1000, 100, 500, 500, 100, 500),
        Usage(1001, 101),
        Usage(5000, 2000),  # above the bound: believed, charged and flagged
    ],
)
def test_what_can_be_true(usage):
    assert check_usage(usage, **BOUNDS) == "reported"


@pytest.mark.parametrize(
    "usage",
    [
        Usage(-1, 5),
        Usage(5, -1),
        Usage(0, 5),
        Usage(5, 5, cached_tokens=-1),
        Usage(5, 5, cache_write_tokens=-1),
        Usage(5, 5, reasoning_tokens=-1),
        Usage(5, 5, cache_write_1h_tokens=1),
        Usage(5, 5, cached_tokens=6),
        Usage(5, 5, cached_tokens=3, cache_write_tokens=3),
        Usage(5, 5, reasoning_tokens=6),
        Usage(10**12, 5),
        Usage(5, 10**12),
        Usage(80_001, 5),
        Usage(5, 80_001),
    ],
)
def test_what_cannot_be_true(usage):
    assert check_usage(usage, **BOUNDS) == "implausible"


def test_without_a_window():
    assert check_usage(Usage(10**6, 5), input_bound=10, output_limit=10, window=None) == "reported"
    assert check_usage(Usage(10**8, 5), input_bound=10, output_limit=10, window=None) == "implausible"
