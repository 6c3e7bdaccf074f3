"""Answers in Anthropic's form: their fields, and their events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.text.sanitize import encodable

from .encoder import Encoder, event
from .reading import plain
from .shape import ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.prices.usage import Usage

    from .shape import Kind, Sent

__all__ = ["AnthropicStream", "arguments_of", "error_body", "message_head", "stop_of", "usage_of"]

_ENDED: Final = {"stop": "end_turn", "length": "max_tokens", "filtered": "refusal", "tools": "tool_use"}

_TYPES: Final[Mapping[Kind, str]] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "budget": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "too_long": "invalid_request_error",
    "rate_limit": "rate_limit_error",
    "api": "api_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
}


def error_body(kind: Kind, message: str, id: str | None) -> dict[str, Any]:  # noqa: A002 - the field's name
    """Return the body of an error; that a conversation is too long, programs tell by how the message begins."""
    if kind == "too_long":
        message = f"prompt is too long: {message}"
    return {"type": "error", "error": {"type": _TYPES[kind], "message": encodable(message)}, "request_id": id}


def message_head(id: str, model: str) -> dict[str, Any]:  # noqa: A002 - the field's name
    """Return what a message begins with."""
    return {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": model}


def stop_of(sent: Sent) -> dict[str, Any]:
    """Return why it ended; by which stop sequence is not known: no interface but this one tells it."""
    return {"stop_reason": _ENDED[sent.ended], "stop_sequence": None}


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """Return what was used: two zeros where it is not known, since the interface has no other way to say so."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    told: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - (cached or 0) - (written or 0)),
        "output_tokens": usage.output_tokens,
    }
    if cached is not None:
        told["cache_read_input_tokens"] = cached
    if written is not None:
        told["cache_creation_input_tokens"] = written
    if usage.reasoning_tokens is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def arguments_of(text: str) -> dict[str, Any]:
    """Return the object that a tool is called with; as much of it as there is where the answer broke off."""
    from jiter import from_json

    try:
        raw = encodable(text).encode()
        value = plain(from_json(raw, partial_mode=True, allow_inf_nan=False) if raw else {}, "input")
    except (ValueError, ShapeError):  # no JSON, or nested too deeply
        value = None
    return value if isinstance(value, dict) else {"invalid_json": encodable(text)}


class AnthropicStream(Encoder):
    """Events: one block at a time."""

    def __init__(self, id: str, model: str) -> None:  # noqa: A002 - the field's name
        super().__init__()
        self._id = id
        self._model = model
        self._n_blocks = 0
        self._open: str | None = None

    def begin(self) -> bytes:
        """Return what stands before the first piece: what was used is told at the end."""
        head = {**message_head(self._id, self._model), "content": [], "stop_reason": None, "stop_sequence": None}
        return _event("message_start", message={**head, "usage": usage_of(None)}) + self.ping()

    def ping(self) -> bytes:
        """Return what tells a client that waits that the answer is being worked on."""
        return _event("ping")

    def error(self, kind: Kind, message: str) -> bytes:
        """Return what tells that the answer broke off."""
        return event(error_body(kind, message, self._id), "error")

    def _start(self, kind: str, **block: Any) -> bytes:
        out = self._stop()
        self._open = kind
        self._n_blocks += 1
        return out + _event("content_block_start", index=self._n_blocks - 1, content_block={"type": kind, **block})

    def _stop(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", index=self._n_blocks - 1)

    def _delta(self, **delta: Any) -> bytes:
        return _event("content_block_delta", index=self._n_blocks - 1, delta=delta)

    def _write_text(self, text: str) -> bytes:
        out = b"" if self._open == "text" else self._start("text", text="")
        return out + self._delta(type="text_delta", text=text)

    def _open_tool(self, place: int, id: str, name: str) -> bytes:  # noqa: A002, ARG002
        return self._start("tool_use", id=id, name=name, input={})

    def _write_arguments(self, place: int, text: str) -> bytes:  # noqa: ARG002 - it is the one that is open
        return self._delta(type="input_json_delta", partial_json=text)

    def _finish(self, sent: Sent) -> bytes:
        told = _event("message_delta", delta=stop_of(sent), usage=usage_of(sent.usage), scrimp=sent.ours)
        return self._stop() + told + _event("message_stop")


def _event(name: str, **data: Any) -> bytes:
    return event({"type": name, **data}, name)
