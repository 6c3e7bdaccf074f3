"""What programs ask of an endpoint and are told by it, whatever interface they speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.calls.call import ToolCall
    from scrimp.routing.prices.usage import Usage
    from scrimp.routing.prompts.chat import Chat

    from .offered import Offered

__all__ = ["STATUS", "Kind", "Sent", "ShapeError", "Wanted"]

Kind = Literal[
    "invalid_request",
    "authentication",
    "budget",
    "permission",
    "not_found",
    "too_large",
    "too_long",
    "rate_limit",
    "api",
    "overloaded",
    "timeout",
]
"""What went wrong, as every interface tells it apart."""

STATUS: Final[Mapping[Kind, int]] = {
    "invalid_request": 400,
    "authentication": 401,
    "budget": 402,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "too_long": 400,
    "rate_limit": 429,
    "api": 500,
    "overloaded": 503,
    "timeout": 504,
}
"""The HTTP status of each kind. Clients try again at 429 and above, and not at 402: a cap does not give way to that."""


class ShapeError(UsageError):
    """A request that cannot be kept to.

    Attributes
    ----------
    param
        The field, as a path: `messages[3].content[0].type`; None where it is the body as a whole.
    kind
        What went wrong.
    """

    def __init__(self, message: str, *, param: str | None = None, kind: Kind = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.kind: Kind = kind

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.kind]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program asks for.

    Attributes
    ----------
    chat
        The conversation, in OpenAI's form.
    model
        As the program names it: not resolved here.
    limit
        The most output tokens; None leaves it to the arm.
    params
        Further parameters of the call, as LiteLLM names them.
    response_format
        As OpenAI's `response_format`; None where the answer is plain text.
    needs
        What an arm must be able to do: json, tools, vision, pdf.
    effort
        The reasoning effort that is wished for; an arm has its own.
    stream, include_usage
        Whether the answer is sent as it is written, and whether what it used is told at its end.
    session
        A word that is the same throughout a conversation, or for one user; None where the program gives none.
    ignored
        Fields that were left out, by path: none changes the answer's price, or each is a wish that an arm has its own
        setting for.
    echo
        What the answer repeats of the request.
    offered
        Tools that are no plain functions to the program, by the names that the model calls them by.
    """

    chat: Chat
    model: str
    limit: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    needs: frozenset[str] = frozenset()
    effort: str | None = None
    stream: bool = False
    include_usage: bool = False
    session: str | None = None
    ignored: tuple[str, ...] = ()
    echo: Mapping[str, Any] = field(default_factory=dict)
    offered: Mapping[str, Offered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer, as far as a program is told of it.

    Attributes
    ----------
    id
        The request's, in the log.
    model
        The model that is named: the arm's name.
    created
        When it was asked, Unix seconds.
    finish_reason
        `stop`, `length`, `content_filter`, `refusal`, `tool_calls`, a provider's own word, or None.
    usage
        What all was used; None where it is not known.
    cost_usd
        As a decimal number; None where it is not known.
    charged_usd
        What the caps are charged for the request with all its calls, as a decimal number.
    """

    id: str
    model: str
    created: int
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost_usd: str | None = None
    charged_usd: str = "0"

    @property
    def ours(self) -> dict[str, Any]:
        """What stands under `scrimp` beside the interface's own fields, which have no place for it."""
        return {"id": self.id, "arm": self.model, "cost_usd": self.cost_usd}

    @property
    def ended(self) -> Literal["stop", "length", "filtered", "tools"]:
        """Why it ended, by what interfaces tell apart; some providers say `stop` where tools are called."""
        if self.finish_reason == "length":
            return "length"
        if self.finish_reason in ("content_filter", "refusal"):
            return "filtered"
        return "tools" if self.tool_calls else "stop"
