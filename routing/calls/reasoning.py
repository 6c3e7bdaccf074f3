"""How many tokens a model may spend on reasoning: what its provider demands of that budget, and what is sent.

Older Claude models and Gemini 2.5 are told how much to reason by a number of tokens, which is part of the output limit.
LiteLLM takes it from the effort alone: with a small limit it is above it, which Anthropic refuses and Gemini answers
with nothing. Newer ones (Claude from 4.6 on, Gemini 3) and OpenAI's are told by a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Room", "no_room", "reasoning_arguments", "reasoning_room", "refuses_thought", "shortened"]

_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16_384}
"""What LiteLLM asks for at each effort, in tokens."""

_CLAUDE_LEAST: Final = 1024
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:[-.](\d)(?!\d))?")
_ADAPTIVE: Final = (4, 6)
_TELLS_CLAUDE: Final = frozenset({"", "anthropic", "bedrock", "vertex_ai", "azure_ai", "databricks"})
_TELLS_GEMINI: Final = frozenset({"", "gemini", "vertex_ai"})


@dataclass(frozen=True, slots=True)
class Room:
    """How much of an arm's output limit its reasoning takes.

    Attributes
    ----------
    least
        The smallest budget that the provider takes, in tokens.
    wanted
        What the arm's effort, or its own `thinking`, asks for.
    ours
        Whether the budget is sent: a provider that makes it from the effort only has to be left enough.
    """

    least: int
    wanted: int
    ours: bool = True


def reasoning_room(model: str, effort: str | None, params: Mapping[str, Any]) -> Room | None:
    """Return the room that reasoning takes; None where the model is told by a word, or does not reason.

    Parameters
    ----------
    model
        LiteLLM's name for it, with its provider's prefix.
    effort, params
        The arm's `reasoning_effort` and `params`; `thinking` in these goes first.

    Examples
    --------
    >>> reasoning_room("anthropic/claude-sonnet-4-5", "medium", {})
    Room(least=1024, wanted=2048, ours=True)
    >>> reasoning_room("anthropic/claude-opus-4-6", "medium", {}) is None
    True
    """
    thinking = params.get("thinking")
    own = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    wanted = own if isinstance(own, int) and own > 0 else None
    if wanted is None and (isinstance(thinking, dict) or effort in (None, "none")):
        return None
    provider, _, name = model.lower().rpartition("/")
    provider = provider.partition("/")[0]
    if _is_budgeted_claude(name):
        if provider in _TELLS_CLAUDE:
            return Room(_CLAUDE_LEAST, max(_CLAUDE_LEAST, wanted or _BUDGETS[effort or "low"]))
        return Room(_CLAUDE_LEAST, _CLAUDE_LEAST, ours=False) if provider == "openrouter" else None
    if "gemini-2.5" in name and provider in _TELLS_GEMINI:
        least = 512 if "lite" in name else 128 if "pro" in name else 1
        return Room(least, max(least, wanted or (least if effort == "minimal" else _BUDGETS[effort or "low"])))
    return None


def _is_budgeted_claude(name: str) -> bool:
    """Tell whether a model is a Claude that is told how much to reason by a number of tokens."""
    version = _VERSION.search(name)
    return version is not None and (int(version[1]), int(version[2] or 0)) < _ADAPTIVE


def refuses_thought(
    model: str,
    effort: str | None,
    params: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    tool_choice: str | Mapping[str, Any] | None,
) -> bool:
    """Return whether a model that is let reason refuses this prompt for it: it is then asked not to.

    Such a Claude goes on from a tool's result only where it is shown the thoughts that led to the call, which most
    programs do not keep; and it does not reason where a tool must be called.

    Parameters
    ----------
    effort, params
        The arm's `reasoning_effort` and `params`.
    messages, tool_choice
        As in `Call`.
    """
    room = reasoning_room(model, effort, params)
    if room is None or not _is_budgeted_claude(model.lower()):
        return False
    last = next((message for message in reversed(messages) if message.get("role") == "assistant"), None)
    unexplained = last is not None and bool(last.get("tool_calls")) and not last.get("thinking_blocks")
    return unexplained or isinstance(tool_choice, dict) or tool_choice == "required"


def shortened(room: Room | None, limit: int) -> int | None:
    """Return the budget to send in the place of the one that is wanted, which leaves no room for an answer.

    It is half of the limit, and no less than the provider takes. None where what is wanted fits.
    """
    if room is None or not room.ours or room.wanted < limit or room.least >= limit:
        return None
    return max(room.least, limit // 2)


def no_room(room: Room | None, limit: int) -> str | None:
    """Return why a call with this output limit would be refused for its reasoning; None where it would not."""
    if room is None or room.least < limit:
        return None
    return f"max_output_tokens {limit:,} leaves no room: its reasoning takes {room.least:,} tokens at least"


def reasoning_arguments(model: str, effort: str | None, params: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return what LiteLLM is told of reasoning, so that the budget it makes of it is below the output limit.

    Parameters
    ----------
    limit
        The most output tokens, reasoning included.
    """
    room = reasoning_room(model, effort, params)
    budget = shortened(room, limit)
    if budget is None and room is not None and room.ours and "thinking" in params:
        budget = room.wanted  # no less than the provider takes, and the effort does not go before it
    if budget is not None:
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    return {} if effort is None else {"reasoning_effort": effort}
