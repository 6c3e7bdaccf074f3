"""The tool calls in a reply: gathered from the pieces that they come in, whatever the shape of the wire."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from .call import ToolCall, ToolDelta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Piece",
    "ToolCalls",
    "anthropic_piece",
    "as_text",
    "chat_pieces",
    "cohere_pieces",
    "gathered",
    "gemini_piece",
    "what_is_called",
]

_SIGNED: Final = "__thought__"
"""What stands in an id between itself and Gemini's signature of the thought that led to the call: LiteLLM sends the
signature back from there, and Gemini 3 takes no call without it."""


class Piece(NamedTuple):
    """A piece of a tool call, as it stands in a reply.

    Attributes
    ----------
    place
        By which further pieces of the same call are known; None where the provider does not say.
    id, name
        The call's own; None where this piece does not have them.
    arguments
        JSON text, or a part of it.
    """

    place: object
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)
class _Begun:
    """A call, as far as it has come; it has no index before its name is known."""

    id: str | None
    index: int | None = None
    told_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCalls:
    """Puts tool calls together, in the order in which they begin; one that comes without an id is given one.

    Examples
    --------
    >>> calls = ToolCalls()
    >>> calls.add(Piece(0, "a", "weather", ""))
    ToolDelta(index=0, id='a', name='weather', arguments='')
    >>> calls.add(Piece(0, None, None, '{"city": "Bern"}'))
    ToolDelta(index=0, id=None, name=None, arguments='{"city": "Bern"}')
    >>> calls.whole
    (ToolCall(id='a', name='weather', arguments='{"city": "Bern"}'),)
    """

    def __init__(self) -> None:
        self._begun: list[_Begun] = []
        self._places: dict[object, _Begun] = {}
        self._named: list[_Begun] = []

    def add(self, piece: Piece) -> ToolDelta | None:
        """Take a piece, and return what it adds; None before the name of its call is known."""
        call = self._known(piece)
        if call is None:
            call = _Begun(piece.id)
            self._begun.append(call)
            if piece.place is not None:
                self._places[piece.place] = call
        call.id = call.id or piece.id
        call.arguments.append(piece.arguments)
        if call.index is not None:
            return ToolDelta(call.index, arguments=piece.arguments) if piece.arguments else None
        if piece.name is None:
            return None
        call.index, call.name = len(self._named), piece.name
        call.told_id = call.id or f"call_{secrets.token_hex(12)}"
        self._named.append(call)
        return ToolDelta(call.index, call.told_id, call.name, "".join(call.arguments))

    def _known(self, piece: Piece) -> _Begun | None:
        """Return the call that a piece goes on with; None where it begins one."""
        if piece.place is not None:
            call = self._places.get(piece.place)
            # Some number all calls 0, and tell them apart by their ids alone.
            new = call is not None and piece.id is not None and call.id is not None and piece.id != call.id
            return None if new else call
        if piece.id is not None:
            return next((call for call in self._begun if call.id == piece.id), None)
        return self._begun[-1] if self._begun and piece.name is None else None

    def end(self) -> Iterator[ToolDelta]:
        """Yield the arguments of calls that came with none, when no more will come."""
        for index, call in enumerate(self._named):
            if not "".join(call.arguments):
                call.arguments.append("{}")
                yield ToolDelta(index, arguments="{}")

    @property
    def whole(self) -> tuple[ToolCall, ...]:
        """The calls, as far as they have come."""
        return tuple(ToolCall(call.told_id, call.name, "".join(call.arguments)) for call in self._named)


def chat_pieces(calls: Any, *, whole: bool) -> Iterator[Piece]:
    """Yield the pieces in OpenAI's list of `tool_calls`, in a delta or in a whole message; Ollama's too."""
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        named = call.get("function") if isinstance(call, dict) else None
        if isinstance(named, dict):
            place = position if whole else call.get("index")
            yield Piece(place, _text(call.get("id")), _text(named.get("name")), _arguments(named.get("arguments")))


def cohere_pieces(calls: Any, place: object) -> Iterator[Piece]:
    """Yield the pieces in a message of Cohere's: a list where it is whole, one call in an event of a stream."""
    if isinstance(calls, dict):
        yield from (piece._replace(place=place) for piece in chat_pieces([calls], whole=True))
    else:
        yield from chat_pieces(calls, whole=True)


def gemini_piece(part: Any) -> Piece | None:
    """Return the call in a part of Gemini's, which is whole always; None where it has none."""
    call = part.get("functionCall") if isinstance(part, dict) else None
    if not isinstance(call, dict):
        return None
    ident = _text(call.get("id"))
    signature = _text(part.get("thoughtSignature"))
    if signature is not None:
        ident = f"{ident or f'call_{secrets.token_hex(12)}'}{_SIGNED}{signature}"
    return Piece(object(), ident, _text(call.get("name")), _arguments(call.get("args")))


def anthropic_piece(block: dict[str, Any], place: object) -> Piece:
    """Return the call in a block of Anthropic's, whole or its beginning."""
    return Piece(place, _text(block.get("id")), _text(block.get("name")), _arguments(block.get("input")))


def gathered(deltas: Iterable[ToolDelta]) -> tuple[ToolCall, ...]:
    """Return the calls that deltas add up to."""
    calls = ToolCalls()
    for delta in deltas:
        calls.add(Piece(delta.index, delta.id, delta.name, delta.arguments))
    return calls.whole


def as_text(calls: Iterable[ToolCall]) -> str:
    """Return tool calls as compact JSON, as the log keeps an answer that is nothing else; "" for none."""
    told = [call.to_dict() for call in calls]
    return msgspec.json.encode(told).decode() if told else ""


def what_is_called(calls: Iterable[ToolCall]) -> str:
    """Return what tool calls come to, as JSON: the same text for the same tools with the same arguments; "" for none.

    Examples
    --------
    >>> one, other = ToolCall("a", "weather", '{"city": "Oslo"}'), ToolCall("b", "weather", '{"city":"Oslo"}')
    >>> what_is_called([one]) == what_is_called([other])
    True
    """
    told = [[call.name, _read(call.arguments)] for call in calls]
    return json.dumps(told, sort_keys=True) if told else ""


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def _arguments(value: Any) -> str:
    """Return arguments as text; "" where there are none, or none yet."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if value else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
