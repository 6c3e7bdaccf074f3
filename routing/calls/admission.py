"""What a request must say before it may be paid for: one answer, and a limit on it that was reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .events import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

__all__ = ["asked_by", "why_unbounded"]

_PROMPT_KEYS = frozenset({"messages", "contents", "prompt", "input", "inputs", "inputText", "message"})
_LIMIT_KEYS = frozenset(
    {
        "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens", "max_new_tokens",
        "num_predict", "n_predict", "max_tokens_to_sample", "maxTokenCount", "max_gen_len", "max_length",
    }
)  # fmt: skip
_COUNT_KEYS = frozenset({"n", "best_of", "candidateCount", "candidate_count", "num_generations"})
_OWN_TOOLS = frozenset({"function", "custom"})
_OWN_TOOL_STEMS = ("bash_", "text_editor_", "computer_", "memory_")  # of Anthropic's making, run by whoever asks
_DECLARED = frozenset({"name", "function", "functionDeclarations", "function_declarations", "toolSpec"})
_OPTION_KEYS = frozenset(
    {"generationConfig", "generation_config", "inferenceConfig", "options", "parameters", "textGenerationConfig"}
)


def asked_by(request: httpx.Request) -> dict[str, Any] | None:
    """Return the body of a request that asks for an answer; None for any other request."""
    import httpx

    # As a redirected request's is, unread.
    if request.method != "POST" or not isinstance(request.stream, httpx.ByteStream):
        return None
    asked = decode(request.read())
    return asked if isinstance(asked, dict) and _PROMPT_KEYS & asked.keys() else None


def why_unbounded(asked: Mapping[str, Any], output_limit: int) -> str | None:
    """Return why a request could cost more than an answer of `output_limit` tokens; None when it cannot."""
    limits = list(_numbers(asked, _LIMIT_KEYS))
    if not limits:
        return "the request carries no output limit that scrimp knows"
    if any(not 0 < limit <= output_limit for limit in limits):
        return f"the request asks for up to {max(limits)} tokens, and {output_limit} are reserved"
    if any(count != 1 for count in _numbers(asked, _COUNT_KEYS)):
        return "the request asks for more than one answer"
    tool = next(filter(None, map(_run_elsewhere, _tools(asked))), None)
    if tool is not None:
        return f"the provider would run {tool} itself, and nothing bounds what that costs"
    if any(budget >= min(limits) for budget in _budgets(asked)):
        return f"the request asks to reason with more tokens than its limit of {min(limits)}, which is refused"
    return None


def _budgets(asked: Mapping[str, Any]) -> Iterator[int]:
    """Yield the budgets of reasoning that have to be below the output limit: Anthropic's, wherever its models run."""
    for layer in (asked, asked.get("additionalModelRequestFields")):
        thinking = layer.get("thinking") if isinstance(layer, dict) else None
        if isinstance(thinking, dict) and isinstance(thinking.get("budget_tokens"), int):
            yield thinking["budget_tokens"]


def _tools(asked: Mapping[str, Any]) -> list[Any]:
    tools = asked.get("tools")
    return tools if isinstance(tools, list) else []


def _run_elsewhere(tool: Any) -> str | None:
    """Return the name of a tool that the provider runs (a search of the web, code); None for one of the caller's."""
    if not isinstance(tool, dict):
        return None
    kind = tool.get("type")
    if isinstance(kind, str):
        return None if kind in _OWN_TOOLS or kind.startswith(_OWN_TOOL_STEMS) else kind
    return None if _DECLARED & tool.keys() else ", ".join(map(str, tool)) or None


def _numbers(asked: Mapping[str, Any], keys: frozenset[str]) -> Iterator[int]:
    """Yield what the request says under `keys`, at the top and in its nested options."""
    for layer in (asked, *(asked[key] for key in _OPTION_KEYS if isinstance(asked.get(key), dict))):
        for key in keys & layer.keys():
            value = layer[key]
            if value is not None:
                yield value if isinstance(value, int) else -1
