"""A turn of a conversation that says little by itself, with what it goes on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.routing.prompts.chat import speech

if TYPE_CHECKING:
    from scrimp.routing.prompts.context import Context, TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt

    from .nearest import Nearest, One

__all__ = ["nearest_of"]

_FEW: Final = 8
"""A turn of so many words or fewer is judged with the one before: "and for two people?" is of no domain by itself."""


def nearest_of(prompt: Prompt, context: Context, nearest: Nearest, embedder: TextEmbedder) -> One:
    """Return what a prompt is nearest to: by itself or, where it is like nothing and short, with the turn before it."""
    found = nearest.one(context.embedding)
    if not found.like and (whole := _with_what_went_before(prompt)) is not None:
        return max(found, nearest.one(embedder.embed([whole])[0]), key=lambda each: each.score)
    return found


def _with_what_went_before(prompt: Prompt) -> str | None:
    """Return a short turn behind the user's last one; None where it is long enough, or begins the conversation."""
    if len(prompt.text.split()) > _FEW:
        return None
    before = [turn.prompt for turn in prompt.history]
    if prompt.chat is not None:
        end = prompt.chat.turn
        before = [
            speech(message.get("content")) for message in prompt.chat.messages[:end] if message.get("role") == "user"
        ]
    said = next((text for text in reversed(before) if text.strip()), None)
    return None if said is None else f"{said}\n{prompt.text}"
