"""The JSON values in a reply, whatever carries them: server-sent events, one value a line, or one value in all.

What a reply is, is told by how it begins, and not by its content type or by what was asked for: servers stream when
they were not asked to, and do not when they were.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_VALUE_BYTES", "Events", "TooLongError", "decode"]

MAX_VALUE_BYTES = 16 << 20
"""The longest value: a line, an event, or a reply that is one value. The longest answers are a quarter of that."""

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class TooLongError(Exception):
    """A value is longer than any answer."""


class Events:
    """Cuts a reply into its values, as far as it has been fed.

    Attributes
    ----------
    name
        The name of the event that the last value came in; "" where it has none.
    closed
        Whether `[DONE]` came, which closes a stream of OpenAI's.
    malformed
        Whether an event came that begins as an object, and is none.
    document
        Whether the reply was one value, to its end.
    begun
        What there is of a value that the reply broke off in; None when it ended with a whole one.
    """

    def __init__(self) -> None:
        self.name = ""
        self.closed = False
        self.malformed = False
        self.document = False
        self.begun: Any = None
        self._line = bytearray()
        self._held = bytearray()
        self._in_events: bool | None = None
        self._n_values = 0

    def feed(self, part: bytes) -> Iterator[Any]:
        """Yield the values that a part completes.

        Raises
        ------
        TooLongError
            If a value is longer than any answer.
        """
        self._line += part
        if b"\n" in part or b"\r" in part:
            text = bytes(self._line)
            late = text.endswith(b"\r")  # its newline may be on the way
            *lines, rest = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._line = bytearray(rest + b"\r" * late)
            for line in lines:
                if line or self._held:  # most lines are empty
                    yield from self._take(line)
                else:
                    self.name = ""
        if len(self._line) + len(self._held) > MAX_VALUE_BYTES:
            raise TooLongError

    def end(self) -> Iterator[Any]:
        """Yield what the end of the reply completes."""
        yield from self._take(bytes(self._line))
        self._line.clear()
        held = bytes(self._held)
        value = self._release()
        if held and value is None:
            self.begun = _begun(held)
        self.document = not self._in_events and self._n_values == 1
        if value is not None:
            yield value

    def _take(self, line: bytes) -> Iterator[Any]:
        if self._in_events is None:
            line = line.removeprefix(b"\xef\xbb\xbf")
        word = line.strip()
        if self._in_events is None and word:
            self._in_events = word.startswith(_FIELDS)
        value = self._in_event(word) if self._in_events else self._in_text(line, word)
        if value is not None:
            yield value

    def _in_event(self, word: bytes) -> Any:
        """Return the value that a line of server-sent events completes; None when it completes none."""
        if not word:
            value = self._release()
            self.name = ""
            return value
        field, _, data = word.partition(b":")
        if not field:  # a comment, as many send to show that they are alive
            return None
        data = data.strip()
        if field == b"event":
            self.name = data.decode("latin-1")
        elif field == b"data" and data == b"[DONE]":
            self.closed = True
        elif field == b"data" and self._held:
            self._held += b"\n" + data
        elif field == b"data" or word.startswith(b"{"):  # some put an error between events, bare
            return self._value(data if field == b"data" else word)
        return None

    def _in_text(self, line: bytes, word: bytes) -> Any:
        """Return the value on a line of its own; a value over many lines is put together until the end."""
        if self._held:
            self._held += b"\n" + line
            return None
        return self._value(word) if word.startswith((b"{", b"[")) else None

    def _value(self, data: bytes) -> Any:
        value = decode(data)
        if value is not None:
            self._n_values += 1
        elif data.startswith((b"{", b"[")) and (self._in_events or not self._n_values):
            self._held += data
        return value

    def _release(self) -> Any:
        """Return the value of the lines that were held together; None when they are none."""
        if not self._held:
            return None
        value = decode(bytes(self._held))
        self._held.clear()
        if value is None:
            self.malformed = True
        else:
            self._n_values += 1
        return value


def _begun(data: bytes) -> Any:
    """Return as much of JSON as there is, a string that breaks off included; None when it does not begin as JSON."""
    import jiter

    with contextlib.suppress(ValueError, RecursionError):
        return jiter.from_json(data, partial_mode="trailing-strings")
    return None


def decode(data: bytes) -> Any:
    """Return JSON as a value, forgiving lone halves of surrogate pairs; None when it is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(data)
    except RecursionError:
        pass
    return None
