"""What is asked of a model once, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from scrimp.routing.prices.stated import Stated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.prices.usage import Usage

__all__ = [
    "NO_KEY",
    "Call",
    "Delta",
    "Reply",
    "TextDelta",
    "ToolCall",
    "ToolDelta",
    "UsageStatus",
    "other_model",
    "served_by_another",
]

NO_KEY = "none"
"""What is sent as the key to a server of one's own that takes none: else one of the environment's would be."""

UsageStatus = Literal["reported", "missing", "implausible"]
"""Whether a provider said what a call used, and whether it can be true."""


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask of a model, once.

    Parameters
    ----------
    model
        LiteLLM's name for the model, with its provider's prefix.
    messages
        In OpenAI's form.
    max_output_tokens
        The enforced limit on output; nothing is sent that asks for more.
    api_base
        The server's base URL; None takes the provider's own.
    api_key
        None with an `api_base` sends no key at all: none is taken from the environment.
    params
        Further parameters, as LiteLLM names them.
    reasoning_effort
        Passed on as it is.
    response_format
        As OpenAI's `response_format`.
    tools, tool_choice
        What the model may call, and whether it must, as OpenAI's fields of those names.
    caches
        Whether the provider is asked to keep the prompt in its cache, where it does so only when told.
    stream
        Whether to ask for the answer as it is written.
    timeout_s
        The longest silence, in seconds.
    deadline_s
        The longest attempt in all, in seconds.
    """

    model: str
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    max_output_tokens: int
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    caches: bool = False
    stream: bool = True
    timeout_s: float = 120.0
    deadline_s: float = 600.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an answer, as it came: not sanitised."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """A piece of a tool call, as it came.

    Attributes
    ----------
    index
        Which of the reply's tool calls, from 0.
    id, name
        The call's own, with its first piece; None in those that follow.
    arguments
        A piece of the JSON text that the tool is called with.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


Delta = TextDelta | ToolDelta
"""A piece of a reply."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks to be run, whole.

    Attributes
    ----------
    id
        By which its result is told to belong to it.
    name
        The tool.
    arguments
        JSON text, as the model wrote it: it may be no JSON at all.
    """

    id: str
    name: str
    arguments: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as it stands in OpenAI's messages."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole.

    Attributes
    ----------
    text
        As it came: not sanitised for a terminal.
    served_model
        The model's name in the reply; None when it gave none.
    usage, usage_status
        What the provider reported; `usage` is None exactly when the status is `missing`. Nothing is estimated here.
    finish_reason
        `stop`, `length`, `content_filter`, `refusal` or a provider's own word; None when it gave none.
    latency_s, ttft_s
        Seconds to the end, and to the first text; the latter is None when the answer was not streamed.
    request_id
        The provider's id for the request.
    reply_id
        The reply's own id, as its body says: exports of usage go by it.
    stated
        What the provider says of its price, besides the usage.
    tool_calls
        What the model asks to be run, in order.
    """

    text: str
    served_model: str | None
    usage: Usage | None
    usage_status: UsageStatus
    finish_reason: str | None
    latency_s: float
    ttft_s: float | None
    request_id: str | None
    reply_id: str | None = None
    stated: Stated = field(default_factory=Stated)
    tool_calls: tuple[ToolCall, ...] = ()


def served_by_another(served: str | None, requested: str) -> bool:
    """Return whether a reply says that another model wrote it; a date or a provider's prefix makes no other model.

    Examples
    --------
    >>> served_by_another("gpt-5-mini-2026-01-01", "openai/gpt-5-mini"), served_by_another(None, "openai/gpt-5-mini")
    (False, False)
    >>> served_by_another("gpt-4o", "openai/gpt-5-mini")
    True
    """
    if not served:
        return False
    asked = requested.rpartition("/")[2]
    return asked not in served and served.rpartition("/")[2] not in asked


def other_model(reply: Reply, asked: str) -> str | None:
    """Return what a reply says of itself when it is not from the model that was asked; None where it is."""
    if served_by_another(reply.served_model, asked):
        return f"served by {reply.served_model}, not {asked}"
    return None
