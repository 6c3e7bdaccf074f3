"""A conversation as a program holds it: its messages go to the model as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Chat"]


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages and tools, in OpenAI's form.

    Attributes
    ----------
    messages
        Of the roles system, user, assistant and tool. A content is a string or a list of parts (text, image_url,
        file), which may carry `cache_control`; an assistant's may have `tool_calls`, a tool's has a `tool_call_id`.
    tools
        What the model may call: `{"type": "function", "function": {"name", "description", "parameters"}}`.
    tool_choice
        `auto`, `none`, `required`, or the one that must be called, as OpenAI spells it; None leaves it to the provider.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None

    @property
    def asked(self) -> str:
        """The text of the newest user message: what is embedded and scored."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message.get("content"))
        return ""

    @property
    def in_tool_loop(self) -> bool:
        """Whether the newest message is a tool's result: the model that called it goes on."""
        return bool(self.messages) and self.messages[-1].get("role") == "tool"


def text_of(content: Any) -> str:
    """Return the text of a message's content, its text parts joined by empty lines."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "\n\n".join(part for part in parts if isinstance(part, str))
