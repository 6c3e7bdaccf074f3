"""What a reply says, read from its own bytes: the end, the usage, errors, whatever shape of the wire it has."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec

__all__ = ["Reading", "decode"]

_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")


class Reading:
    """What one reply says, as far as it has been fed.

    Attributes
    ----------
    recognised
        Whether its shape is one whose end can be told.
    finish_reason, done
        The provider's own word for the end, and whether the stream's closing mark came.
    model, reply_id
        What the reply calls its model and itself.
    usage
        The provider's own usage, as it was sent; None when there was none.
    error
        An error object sent in the place of an answer.
    refused_text
        What the model said in refusing, where that is told apart from its answer.
    """

    def __init__(self) -> None:
        self.recognised = False
        self.finish_reason: str | None = None
        self.done = False
        self.model: str | None = None
        self.reply_id: str | None = None
        self.usage: dict[str, Any] | None = None
        self.error: Any = None
        self.refused_text = ""
        self._line = bytearray()

    def feed(self, part: bytes) -> None:
        """Read a part of a stream."""
        self._line += part
        if b"\n" in part or b"\r" in part:
            *lines, rest = bytes(self._line).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                self._note_line(line)

    def end(self) -> None:
        """Read what is left of a stream."""
        self._note_line(bytes(self._line))
        self._line.clear()

    def whole(self, body: bytes) -> None:
        """Read a reply that is no stream."""
        self._note(decode(body))

    def _note_line(self, line: bytes) -> None:
        line = line.strip()
        if line.startswith(b"data:"):
            line = line[5:].strip()
        elif not line.startswith(b"{"):  # newline-delimited JSON has no field names
            return
        if line == b"[DONE]":
            self.done = True
        elif line:
            self._note(decode(line))

    def _note(self, value: Any) -> None:
        """Take from one JSON object, in any of the shapes of the wire, what is said of model, end, usage and errors."""
        if isinstance(value, list):
            for item in value:
                self._note(item)
            return
        if not isinstance(value, dict):
            return
        layers = [
            value,
            *(value[key] for key in ("message", "response", "delta", "x_groq") if _is_dict(value.get(key))),
        ]
        choices = value.get("choices") or value.get("candidates")
        if isinstance(choices, list):
            layers += [choice for choice in choices if _is_dict(choice)]
        kind = value.get("type")
        if "choices" in value or "candidates" in value or kind == "message_start" or _is_bool(value.get("done")):
            self.recognised = True
        if (
            kind in {"message_stop", "response.completed", "response.incomplete", "message-end"}
            or value.get("done") is True
        ):
            self.done = True
        for layer in layers:
            self.model = self.model or _text(layer.get("model")) or _text(layer.get("modelVersion"))
            self.reply_id = self.reply_id or _text(layer.get("id")) or _text(layer.get("responseId"))
            for key in _FINISH_KEYS:
                self.finish_reason = _text(layer.get(key)) or self.finish_reason
            for part in (layer, layer.get("message"), layer.get("delta")):
                if _is_dict(part) and isinstance(part.get("refusal"), str):
                    self.refused_text += part["refusal"]
            for key in ("usage", "usageMetadata"):
                if _is_dict(layer.get(key)) and layer[key]:
                    self.usage = {**(self.usage or {}), **layer[key]}
        if "prompt_eval_count" in value:
            self.usage = {key: value[key] for key in ("prompt_eval_count", "eval_count") if key in value}
        error = value.get("error")
        if error or kind == "error":
            self.error = error or value


def decode(data: bytes) -> Any:
    """Decode JSON, forgiving bytes that are not UTF-8; None when it is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(data.decode("utf-8", "replace"))
    except RecursionError:
        pass
    return None


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
