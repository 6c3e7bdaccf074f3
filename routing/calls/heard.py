"""What litellm says of a reply, where it has to be asked: the reply's shape is none that is read here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .tool_calls import Piece

__all__ = ["Heard", "whole_of"]


@dataclass(slots=True)
class Heard:
    """What litellm says of a reply.

    Attributes
    ----------
    text, calls
        The answer and its tool calls; None and empty where it was streamed, and is in the wire's reading.
    usage
        litellm's own idea of it.
    finish, model
        Its word for the end, and the model's name.
    complete
        Whether the answer came to its end.
    """

    text: str | None = None
    calls: list[Piece] = field(default_factory=list)
    usage: Any = None
    finish: str | None = None
    model: str | None = None
    complete: bool = False

    def note(self, chunk: Any) -> tuple[str, list[Piece]]:
        """Take what a piece of a stream says, and return its text and its pieces of tool calls."""
        self.usage = getattr(chunk, "usage", None) or self.usage
        self.model = getattr(chunk, "model", None) or self.model
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None:
            return "", []
        self.finish = choice.finish_reason or self.finish
        text = getattr(choice.delta, "content", None)
        return text if isinstance(text, str) else "", _pieces_of(choice.delta)


def whole_of(response: Any) -> Heard:
    """Return what litellm says of a reply that came whole."""
    choices = getattr(response, "choices", None) or []
    message = getattr(choices[0], "message", None) if choices else None
    text = getattr(message, "content", None)
    return Heard(
        text=text if isinstance(text, str) else "",
        calls=[piece._replace(place=place) for place, piece in enumerate(_pieces_of(message))],
        usage=getattr(response, "usage", None),
        finish=getattr(choices[0], "finish_reason", None) if choices else None,
        model=getattr(response, "model", None),
        complete=message is not None,
    )


def _pieces_of(message: Any) -> list[Piece]:
    """Return the pieces of tool calls in a message of litellm's, or in a delta."""
    pieces = []
    for call in getattr(message, "tool_calls", None) or ():
        named = getattr(call, "function", None)
        arguments = getattr(named, "arguments", None)
        pieces.append(
            Piece(
                getattr(call, "index", None),
                getattr(call, "id", None) or None,
                getattr(named, "name", None) or None,
                arguments if isinstance(arguments, str) else "",
            )
        )
    return pieces
