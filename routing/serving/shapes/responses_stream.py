"""Answers in the form of OpenAI's Responses: their fields, and their events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.text.sanitize import encodable

from .encoder import Encoder, event
from .offered import Offered
from .openai_errors import CODES
from .responses_tools import input_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.prices.usage import Usage

    from .shape import Kind, Sent

__all__ = ["ResponsesStream", "ended_body", "items_of", "response_head"]


def response_head(id: str, model: str, created: int, echo: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Return a response of which nothing is written yet."""
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        **echo,
    }


def ended_body(head: Mapping[str, Any], sent: Sent, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the response of an answer that has ended."""
    why = {"length": "max_output_tokens", "filtered": "content_filter"}.get(sent.ended)
    return {
        **head,
        "status": "completed" if why is None else "incomplete",
        "incomplete_details": None if why is None else {"reason": why},
        "output": list(items),
        "usage": None if sent.usage is None else _usage(sent.usage),
        "scrimp": sent.ours,
    }


def items_of(sent: Sent, offered: Mapping[str, Offered]) -> list[dict[str, Any]]:
    """Return the items of an answer: its text, then its tool calls."""
    items = [_message(sent.id, 0, sent.text, "completed")] if sent.text else []
    for n, call in enumerate(sent.tool_calls, start=len(items)):
        items.append(_call(sent.id, n, call.id, _own(call.name, offered), call.arguments, "completed"))
    if items:
        items[-1]["status"] = _status(sent)
    return items


def _status(sent: Sent) -> str:
    return "incomplete" if sent.ended in ("length", "filtered") else "completed"


def _usage(usage: Usage) -> dict[str, Any]:
    """Return what was used; details that are not known are 0, since the interface has no other way to say so."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": encodable(text), "annotations": [], "logprobs": []}


def _message(id: str, place: int, text: str | None, status: str) -> dict[str, Any]:  # noqa: A002
    return {
        "id": f"msg_{id}_{place}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if text is None else [_part(text)],
    }


def _own(name: str, offered: Mapping[str, Offered]) -> Offered:
    """Return the tool that a model calls by this name, as the program offered it."""
    return offered.get(name) or Offered(name)


def _call(id: str, place: int, call_id: str, tool: Offered, arguments: str, status: str) -> dict[str, Any]:  # noqa: A002
    call = {"call_id": encodable(call_id), "name": encodable(tool.name)}
    if tool.namespace is not None:
        call["namespace"] = encodable(tool.namespace)
    if tool.custom:
        said = encodable(input_of(arguments))
        return {"id": f"ctc_{id}_{place}", "type": "custom_tool_call", **call, "input": said, "status": status}
    said = encodable(arguments)
    return {"id": f"fc_{id}_{place}", "type": "function_call", **call, "arguments": said, "status": status}


class ResponsesStream(Encoder):
    """Events, numbered: one item at a time."""

    def __init__(self, id: str, head: Mapping[str, Any], offered: Mapping[str, Offered]) -> None:  # noqa: A002
        super().__init__()
        self._id = id
        self._head = head
        self._n_events = 0
        self._items: list[dict[str, Any]] = []
        self._offered = offered
        self._tool: tuple[str, Offered] | None = None
        self._open = False
        self._written: list[str] = []

    def begin(self) -> bytes:
        """Return what stands before the first piece."""
        return self._event("response.created", response=self._head) + self._event(
            "response.in_progress", response=self._head
        )

    def error(self, kind: Kind, message: str) -> bytes:
        """Return what tells that the answer broke off."""
        code, said = CODES[kind] or "invalid_prompt", encodable(message)
        failed = {**self._head, "status": "failed", "output": self._items, "error": {"code": code, "message": said}}
        return self._event("error", code=code, message=said, param=None) + self._event(
            "response.failed", response=failed
        )

    def _event(self, kind: str, /, **data: Any) -> bytes:
        self._n_events += 1
        return event({"type": kind, "sequence_number": self._n_events - 1, **data}, kind)

    def _of_item(self, kind: str, /, **data: Any) -> bytes:
        """Return an event of the item that is open."""
        prefix = "msg" if self._tool is None else "ctc" if self._tool[1].custom else "fc"
        place = len(self._items)
        return self._event(kind, item_id=f"{prefix}_{self._id}_{place}", output_index=place, **data)

    def _item(self, name: str, item: Mapping[str, Any]) -> bytes:
        return self._event(f"response.output_item.{name}", output_index=len(self._items), item=item)

    def _write_text(self, text: str) -> bytes:
        out = b""
        if self._tool or not self._open:
            out = self._close("completed")
            self._open = True
            out += self._item("added", _message(self._id, len(self._items), None, "in_progress"))
            out += self._of_item("response.content_part.added", content_index=0, part=_part(""))
        self._written.append(text)
        return out + self._of_item("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _open_tool(self, place: int, id: str, name: str) -> bytes:  # noqa: A002, ARG002
        out = self._close("completed")
        self._open, self._tool = True, (id, _own(name, self._offered))
        return out + self._item("added", _call(self._id, len(self._items), *self._tool, "", "in_progress"))

    def _write_arguments(self, place: int, text: str) -> bytes:  # noqa: ARG002 - it is the one that is open
        assert self._tool is not None  # noqa: S101 - arguments come after their call
        self._written.append(text)
        if self._tool[1].custom:
            return b""  # its text is read out of the JSON, which must be whole
        return self._of_item("response.function_call_arguments.delta", delta=text)

    def _close(self, status: str) -> bytes:
        """Return the end of the item that is open."""
        if not self._open:
            return b""
        written, place = "".join(self._written), len(self._items)
        if self._tool:
            item = _call(self._id, place, *self._tool, written, status)
            if self._tool[1].custom:
                said = item["input"]
                out = self._of_item("response.custom_tool_call_input.delta", delta=said)
                out += self._of_item("response.custom_tool_call_input.done", input=said)
            else:
                said = item["arguments"]
                out = self._of_item("response.function_call_arguments.done", name=item["name"], arguments=said)
        else:
            item = _message(self._id, place, written, status)
            part = item["content"][0]
            out = self._of_item("response.output_text.done", content_index=0, text=part["text"], logprobs=[])
            out += self._of_item("response.content_part.done", content_index=0, part=part)
        out += self._item("done", item)
        self._items.append(item)
        self._open, self._tool, self._written = False, None, []
        return out

    def _finish(self, sent: Sent) -> bytes:
        status = _status(sent)
        out = self._close(status)
        return out + self._event(f"response.{status}", response=ended_body(self._head, sent, self._items))
