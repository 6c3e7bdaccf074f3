"""What is asked of a model once, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from scrimp.routing.prices.stated import Stated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.prices.usage import Usage

__all__ = ["Call", "Reply", "TextDelta", "UsageStatus", "other_model", "served_by_another"]

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
    stream: bool = True
    timeout_s: float = 120.0
    deadline_s: float = 600.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an answer, as it came: not sanitised."""

    text: str


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
