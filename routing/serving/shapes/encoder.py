"""An answer on its way as server-sent events: what every interface's own way of writing them stands on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from scrimp.routing.calls.call import TextDelta, ToolDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.routing.calls.call import Delta, ToolCall

    from .shape import Kind, Sent

__all__ = ["Encoder", "event"]


def event(data: Any, name: str | None = None) -> bytes:
    """Return one server-sent event: ASCII, since some clients take U+2028 for the end of a line."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")


class _Tool:
    """A tool call that has been opened."""

    __slots__ = ("arguments", "id", "place")

    def __init__(self, place: int, id: str) -> None:  # noqa: A002 - the field's name
        self.place = place
        self.id = id
        self.arguments: list[str] = []


class Encoder(ABC):
    """Writes one answer: `begin`, then `delta` by piece, then `end` or `error`; each returns bytes to send.

    What is held back of the pieces, or was never streamed, is sent by `end`, which is given the answer whole: a tool
    call without a name yet, and, where an interface has one thing open at a time, all that comes after the first call.
    """

    one_at_a_time: ClassVar[bool] = True

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tools: dict[int, _Tool] = {}

    @abstractmethod
    def begin(self) -> bytes:
        """Return what stands before the first piece."""

    def delta(self, piece: Delta) -> bytes:
        """Return what tells of a piece."""
        if isinstance(piece, TextDelta):
            if not piece.text or (self._tools and self.one_at_a_time):
                return b""
            self._text.append(piece.text)
            return self._write_text(piece.text)
        return self._tool_piece(piece, held=self.one_at_a_time)

    def ping(self) -> bytes:
        """Return what tells a client that waits that the answer is being worked on: a comment."""
        return b": ping\n\n"

    def end(self, sent: Sent) -> bytes:
        """Return what is still to be sent of the answer, and its end."""
        return b"".join(self._rest(sent)) + self._finish(sent)

    @abstractmethod
    def error(self, kind: Kind, message: str) -> bytes:
        """Return what tells that the answer broke off."""

    @abstractmethod
    def _write_text(self, text: str) -> bytes: ...

    @abstractmethod
    def _open_tool(self, place: int, id: str, name: str) -> bytes:  # noqa: A002
        """Return what begins a tool call; `place` counts those opened, from 0."""

    @abstractmethod
    def _write_arguments(self, place: int, text: str) -> bytes: ...

    @abstractmethod
    def _finish(self, sent: Sent) -> bytes: ...

    def _tool_piece(self, piece: ToolDelta, *, held: bool) -> bytes:
        out = b""
        tool = self._tools.get(piece.index)
        if tool is None:
            if not piece.id or not piece.name or (held and self._tools):
                return b""
            tool = self._tools[piece.index] = _Tool(len(self._tools), piece.id)
            out = self._open_tool(tool.place, piece.id, piece.name)
        if piece.arguments:
            tool.arguments.append(piece.arguments)
            out += self._write_arguments(tool.place, piece.arguments)
        return out

    def _rest(self, sent: Sent) -> Iterator[bytes]:
        """Yield what of an answer has not been sent; what went out cannot be taken back where the two differ."""
        opened = {tool.id: index for index, tool in self._tools.items()}
        unopened: list[ToolCall] = []
        for call in sent.tool_calls:
            index = opened.pop(call.id, None)
            if index is None:
                unopened.append(call)
            else:
                rest = _after("".join(self._tools[index].arguments), call.arguments)
                yield self._tool_piece(ToolDelta(index, arguments=rest), held=False)
        if text := _after("".join(self._text), sent.text):
            self._text.append(text)
            yield self._write_text(text)
        free = max(self._tools, default=-1) + 1
        for n, call in enumerate(unopened):
            yield self._tool_piece(ToolDelta(free + n, call.id, call.name, call.arguments), held=False)


def _after(begun: str, whole: str) -> str:
    return whole[len(begun) :] if whole.startswith(begun) else ""
