"""What a provider says a call used, in the shapes providers say it, and whether it can be true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Usage", "UsageStatus", "check_usage", "counts_tokens", "usage_from_litellm"]

UsageStatus = Literal["reported", "implausible"]

_ANTHROPIC: Final = ("input_tokens", "output_tokens")
_GEMINI: Final = ("promptTokenCount", "candidatesTokenCount")
_SPELLINGS: Final = (("prompt_tokens", "completion_tokens"), _ANTHROPIC, _GEMINI, ("prompt_eval_count", "eval_count"))

_PLAUSIBLE_WINDOW: Final = 2_000_000
_IMPLAUSIBLE_FACTOR: Final = 10


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider says a call used, in tokens.

    Parameters
    ----------
    input_tokens
        All tokens read: those from a cache and those written to one are part of it.
    output_tokens
        All tokens produced: reasoning is part of it.
    cached_tokens
        Input tokens read from the provider's cache; None when it does not say.
    cache_write_tokens
        Input tokens written to the provider's cache; None when it does not say.
    reasoning_tokens
        Output tokens spent on reasoning; None when it does not say.
    cache_write_1h_tokens
        The part of `cache_write_tokens` that is kept for an hour, at its own price; None when it does not say.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_1h_tokens: int | None = None


def check_usage(usage: Usage, *, input_bound: int, output_limit: int, window: int | None) -> UsageStatus:
    """Return whether a provider's usage can be true.

    Above the bound is believed, up to ten times what the model could read or write at all: such a call is charged in
    full and flagged. What no call could have used is charged at the bound instead.

    Parameters
    ----------
    usage
        What the provider reported.
    input_bound
        The over-count of input that was reserved, in tokens.
    output_limit
        The limit on output that was sent, in tokens.
    window
        The model's context window in tokens; None when unknown.
    """
    parts = (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens, usage.cache_write_1h_tokens)
    if usage.input_tokens <= 0 or usage.output_tokens < 0 or any(part is not None and part < 0 for part in parts):
        return "implausible"
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    if cached + written > usage.input_tokens or (usage.cache_write_1h_tokens or 0) > written:
        return "implausible"
    if (usage.reasoning_tokens or 0) > usage.output_tokens:
        return "implausible"
    size = window or _PLAUSIBLE_WINDOW
    if usage.input_tokens > _IMPLAUSIBLE_FACTOR * max(size, input_bound):
        return "implausible"
    if usage.output_tokens > _IMPLAUSIBLE_FACTOR * max(size, output_limit):
        return "implausible"
    return "reported"


def usage_from_litellm(usage: object) -> Usage | None:
    """Return the usage in a reply of a provider's own or of LiteLLM's, or None when it says nothing.

    Two zeros say nothing: that is what LiteLLM reports for a provider that sent no usage. What a total has beyond its
    parts is charged as output, since thinking is what providers leave out of them, unless it is what was cached.

    Parameters
    ----------
    usage
        LiteLLM's Usage object, or a mapping with the same keys. Also understood: the mappings of Anthropic, where
        `input_tokens` leaves cached and written tokens out, of OpenAI's Responses, Gemini, Ollama and Cohere.
    """
    if isinstance(usage, dict) and isinstance(usage.get("billed_units"), dict):
        usage = usage["billed_units"]  # Cohere: the other counts have its own preamble in them
    names = next((names for names in _SPELLINGS if any(_get(usage, name) is not None for name in names)), None)
    if names is None:
        return None
    prompt, completion = (_int(_get(usage, name)) for name in names)
    total = _first(_get(usage, "total_tokens"), _get(usage, "totalTokenCount"))
    if names is _GEMINI and prompt is not None:
        prompt += _int(_get(usage, "toolUsePromptTokenCount")) or 0
        completion = completion or 0
        thought = _int(_get(usage, "thoughtsTokenCount")) or 0
        if thought > completion or prompt + completion != total:  # some servers count thoughts within the candidates
            completion += thought
    if prompt is None or completion is None or (prompt == 0 and completion == 0):
        return None
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    produced = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    cached = _first(
        _get(usage, "cache_read_input_tokens"),
        _get(details, "cached_tokens"),
        _get(usage, "prompt_cache_hit_tokens"),
        _get(usage, "cachedContentTokenCount"),
    )
    written = _first(
        _get(usage, "cache_creation_input_tokens"),
        _get(details, "cache_write_tokens"),
        _get(details, "cache_creation_tokens"),
    )
    written_details = _get(details, "cache_creation_token_details") or _get(usage, "cache_creation")
    written_1h = _int(_get(written_details, "ephemeral_1h_input_tokens"))
    reasoned = _first(
        _get(produced, "reasoning_tokens"), _get(usage, "reasoning_tokens"), _get(usage, "thoughtsTokenCount")
    )
    beside_the_input = max(cached or 0, 0) + max(written or 0, 0)
    if names is _ANTHROPIC and details is None:
        prompt += beside_the_input
    beyond = (total or 0) - prompt - completion if min(prompt, completion) >= 0 else 0
    if beyond > 0 and beyond == beside_the_input and beyond != reasoned:
        prompt += beyond
    elif beyond > 0:
        completion += beyond
    return Usage(prompt, completion, cached, written, reasoned, written_1h)


def counts_tokens(usage: Mapping[str, Any]) -> bool:
    """Return whether a provider's own usage is in a form that `usage_from_litellm` knows."""
    return "billed_units" in usage or any(name in usage for names in _SPELLINGS for name in names)


def _get(holder: object, name: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)


def _int(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value == value and abs(value) != float("inf") and int(value) == value else None  # noqa: PLR0124 - false for NaN only


def _first(*values: object) -> int | None:
    """Return the first count above 0, else the first count at all."""
    counts = [count for count in map(_int, values) if count is not None]
    return next((count for count in counts if count), counts[0] if counts else None)
