"""Whether a server reads the whole prompt: what it is told of its length, and what its own count gives away.

Ollama and other servers at home cut a prompt that is longer than their window, and answer as if nothing were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["by_ollama", "cut_prompt", "least_tokens", "window_arguments"]

_PIECE_CHARS: Final = 64
"""A token may be long where a text repeats itself (a line of dashes), but hardly longer than this."""

_UNREAD: Final = 0.5
_FEW: Final = 256
_SMALLEST: Final = 4096


def by_ollama(model: str) -> bool:
    """Return whether a model is asked in Ollama's own way, where the window can be set."""
    return model.partition("/")[0] in ("ollama", "ollama_chat")


def window_arguments(
    model: str, params: Mapping[str, Any], stated: int | None, window: int | None, need: int
) -> dict[str, Any]:
    """Return the parameter that has Ollama read the whole prompt; {} for others, and where nothing is known.

    Parameters
    ----------
    params
        The arm's own: its `num_ctx` stands.
    stated
        The window that the profile states, tokens: it is sent as it is, so that the model is loaded once.
    window
        The model's largest, tokens; None where it is not known.
    need
        What the prompt and its answer are thought to take, tokens: of a large window, no more than this is asked for
        (doubled from 4,096 until it fits), since all of it is kept in memory.
    """
    if not by_ollama(model) or "num_ctx" in params:
        return {}
    if stated is not None:
        return {"num_ctx": stated}
    if window is None:
        return {}
    size = _SMALLEST
    while size < need:
        size *= 2
    return {"num_ctx": min(size, window)}


def least_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return fewer tokens than any tokeniser makes of messages: one for each word, or 64 characters of a long one.

    Examples
    --------
    >>> least_tokens([{"role": "user", "content": "Name three colours"}])
    3
    """
    n = 0
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                words = text.split()
                n += len(words) + sum(len(word) // _PIECE_CHARS for word in words if len(word) >= _PIECE_CHARS)
    return n


def cut_prompt(messages: Sequence[Mapping[str, Any]], n_read: int | None, model: str, arm: str) -> str | None:
    """Return a remark where a server says it read far fewer tokens than it was sent; None where it did not."""
    if n_read is None:
        return None
    n_sent = least_tokens(messages)
    if n_sent < _FEW or n_read >= _UNREAD * n_sent:
        return None
    fix = f"set context_window of arm {arm}" + (" (num_ctx)" if by_ollama(model) else ", and the server's own window")
    return f"the server read {n_read:,} tokens of a prompt of at least {n_sent:,}: it seems to have cut it; {fix}"
