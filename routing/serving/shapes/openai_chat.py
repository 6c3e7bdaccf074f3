"""OpenAI's Chat Completions: POST /v1/chat/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from scrimp.routing.prompts.call_fields import AS_WE_DO, LIMITS, PARAMS, WITHOUT_EFFECT
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.text.sanitize import encodable

from .encoder import Encoder, event
from .openai_errors import error_body
from .reading import (
    FORMATS,
    field_object,
    flag,
    image_part,
    kept,
    named_schema,
    needs_of,
    number_param,
    obj,
    objects,
    pdf_part,
    plain,
    put_limit,
    refuse,
    refuse_set,
    session_of,
    stops,
    string,
    string_if,
    text,
    text_from_tool,
    word,
)
from .shape import Wanted
from .tools import Calls, function_tool, openai_choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.prices.usage import Usage

    from .shape import Kind, Sent

__all__ = ["OpenAIChat"]

_READ: Final = (
    LIMITS
    | PARAMS
    | {"messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "stream", "reasoning_effort"}
    | (WITHOUT_EFFECT - {"service_tier"})
)

_REFUSED: Final[Mapping[str, tuple[Any, ...]]] = {
    **{key: (same,) for key, same in AS_WE_DO.items() if key != "stream"},
    "top_logprobs": (0,),
    "service_tier": ("auto", "default"),
    "logit_bias": ({},),
    "audio": (),
    "prediction": (),
    "functions": ([],),
    "function_call": (),
    "web_search_options": (),
    "moderation": (),
}
"""What would change the price or the answer and is not done, with the values that say nothing."""

_ENDED: Final = {"stop": "stop", "length": "length", "filtered": "content_filter", "tools": "tool_calls"}

_READ_IN_MESSAGES: Final = {"role", "content", "refusal", "name", "tool_calls", "tool_call_id", "cache_control"}
_REFUSED_IN_MESSAGES: Final[Mapping[str, tuple[Any, ...]]] = {"function_call": (), "audio": (), "prefix": (False,)}

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text", "image_url"),
}
"""What a content may be made of, by role."""


class OpenAIChat:
    """Chat Completions, in and out."""

    name = "openai-chat"

    def read(self, body: Any, headers: Mapping[str, str]) -> Wanted:
        """Return what a request asks for."""
        body = obj(body, "body")
        refuse_set(body, _REFUSED)
        ignored = [key for key in body if key not in _READ and key not in _REFUSED]
        limit: int | None = None
        params: dict[str, Any] = {}
        for key in sorted(LIMITS):
            limit = put_limit(limit, body.get(key), key)
        for key in sorted(PARAMS - {"stop"}):
            number_param(params, key, body.get(key))
        stops(params, "stop", body.get("stop"))
        if body.get("parallel_tool_calls") is not None:
            params["parallel_tool_calls"] = flag(body["parallel_tool_calls"], "parallel_tool_calls")
        tools = _tools(body.get("tools"))
        if not tools:
            params.pop("parallel_tool_calls", None)  # providers refuse it alone
        choice = openai_choice(body.get("tool_choice"), tools, inside="function")
        chat = Chat(_messages(body.get("messages"), ignored), tools, choice)
        response_format = _response_format(body.get("response_format"))
        options = field_object(body, "stream_options")
        return Wanted(
            chat,
            string(body.get("model"), "model"),
            limit,
            params,
            response_format,
            needs_of(chat, response_format),
            effort=string_if(body, "reasoning_effort"),
            stream=flag(body.get("stream"), "stream"),
            include_usage=flag(options.get("include_usage"), "stream_options.include_usage"),
            session=session_of(headers, body),
            ignored=tuple(dict.fromkeys(ignored)),
        )

    def whole(self, wanted: Wanted, sent: Sent) -> dict[str, Any]:  # noqa: ARG002 - others repeat what was asked
        """Return the body of an answer that is sent at once."""
        message: dict[str, Any] = {"role": "assistant", "content": encodable(sent.text), "refusal": None}
        if sent.tool_calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [plain(call.to_dict(), "tool_calls") for call in sent.tool_calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _ENDED[sent.ended]}
        body = _head(sent.id, sent.model, sent.created, "chat.completion") | {"choices": [choice], "scrimp": sent.ours}
        if sent.usage is not None:
            body["usage"] = _usage(sent.usage, sent.charged_usd)
        return body

    def stream(self, wanted: Wanted, *, id: str, model: str, created: int) -> Encoder:  # noqa: A002 - the field's name
        """Return what writes an answer as it comes."""
        return _Stream(_head(id, model, created, "chat.completion.chunk"), include_usage=wanted.include_usage)

    def error(self, kind: Kind, message: str, *, param: str | None = None, id: str | None = None) -> dict[str, Any]:  # noqa: A002, ARG002
        """Return the body of an error."""
        return error_body(kind, message, param)


class _Stream(Encoder):
    """Chunks: pieces of several tool calls may be mixed, told apart by their index."""

    one_at_a_time: ClassVar[bool] = False

    def __init__(self, head: Mapping[str, Any], *, include_usage: bool) -> None:
        super().__init__()
        self._head = head
        self._include_usage = include_usage

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def error(self, kind: Kind, message: str) -> bytes:
        return event(error_body(kind, message, None))

    def _chunk(self, delta: Mapping[str, Any], ended: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
        return event({**self._head, "choices": [choice], **({"usage": None} if self._include_usage else {}), **more})

    def _write_text(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def _open_tool(self, place: int, id: str, name: str) -> bytes:  # noqa: A002 - the field's name
        call = {"index": place, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        return self._chunk({"tool_calls": [call]})

    def _write_arguments(self, place: int, text: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": place, "function": {"arguments": text}}]})

    def _finish(self, sent: Sent) -> bytes:
        out = self._chunk({}, _ENDED[sent.ended], scrimp=sent.ours)
        if self._include_usage and sent.usage is not None:
            out += event({**self._head, "choices": [], "usage": _usage(sent.usage, sent.charged_usd)})
        return out + b"data: [DONE]\n\n"


def _head(id: str, model: str, created: int, what: str) -> dict[str, Any]:  # noqa: A002 - the field's name
    return {"id": f"chatcmpl-{id}", "object": what, "created": created, "model": model}


def _usage(usage: Usage, charged_usd: str) -> dict[str, Any]:
    """Return what was used, and what it cost in the field by which gateways know it."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "cost": float(charged_usd),
    }
    if usage.cached_tokens is not None:
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


def _messages(value: Any, ignored: list[str]) -> tuple[dict[str, Any], ...]:
    calls = Calls()
    read = tuple(_message(message, at, calls, ignored) for at, message in objects(value, "messages"))
    if not read:
        raise refuse("messages", "is empty")
    if not any(message["role"] == "user" for message in read):
        raise refuse("messages", "has no message of the user's")
    return read


def _message(message: Mapping[str, Any], at: str, calls: Calls, ignored: list[str]) -> dict[str, Any]:
    role = word(message.get("role"), f"{at}.role", ("system", "developer", "user", "assistant", "tool"))
    refuse_set(message, _REFUSED_IN_MESSAGES, f"{at}.")
    ignored += [
        f"messages[].{key}"
        for key, item in message.items()
        if key not in _READ_IN_MESSAGES and key not in _REFUSED_IN_MESSAGES and item not in (None, [], {})
    ]
    read: dict[str, Any] = {"role": "system" if role == "developer" else role}
    content = _content(message, role, f"{at}.content")
    if content is not None and message.get("cache_control") is not None:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts[-1] = kept(parts[-1], message, at)
        content = parts
    made = message.get("tool_calls") or []
    if role == "assistant" and made:
        read["tool_calls"] = [_tool_call(call, place, calls) for place, call in objects(made, f"{at}.tool_calls")]
    elif made:
        raise refuse(f"{at}.tool_calls", "stands in a message that is not the assistant's")
    elif content is None:
        if role != "assistant":
            raise refuse(f"{at}.content", "is missing")
        content = ""  # an answer of nothing, or of thoughts alone
    read["content"] = content
    if role == "tool":
        read["tool_call_id"] = calls.answered(message.get("tool_call_id"), f"{at}.tool_call_id")
    if message.get("name") is not None and role != "tool":
        read["name"] = string(message["name"], f"{at}.name")
    return read


def _content(message: Mapping[str, Any], role: str, at: str) -> str | list[dict[str, Any]] | None:
    content = message.get("content")
    if content is None or content == []:
        refused = message.get("refusal") if role == "assistant" else None
        return None if refused is None else text(refused, at.replace("content", "refusal"))
    clean = text_from_tool if role == "tool" else text
    if isinstance(content, list):
        return [_part(part, role, place) for place, part in objects(content, at)]
    return clean(content, at)


def _part(part: Mapping[str, Any], role: str, at: str) -> dict[str, Any]:
    kind = word(part.get("type"), f"{at}.type", _PARTS[role])
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else obj(image, f"{at}.image_url")
        read = image_part(image.get("url"), f"{at}.image_url.url", detail=image.get("detail"))
    elif kind == "file":
        file = obj(part.get("file"), f"{at}.file")
        refuse_set(file, {"file_id": ()}, f"{at}.file.")
        name = string_if(file, "filename", f"{at}.file.")
        read = pdf_part(file.get("file_data"), f"{at}.file.file_data", filename=name)
    else:
        clean = text_from_tool if role == "tool" else text
        read = {"type": "text", "text": clean(part.get(kind), f"{at}.{kind}")}
    return kept(read, part, at)


def _tool_call(call: Mapping[str, Any], at: str, calls: Calls) -> dict[str, Any]:
    word(call.get("type", "function"), f"{at}.type", ("function",))
    function = obj(call.get("function"), f"{at}.function")
    ats = (f"{at}.id", f"{at}.function.name", f"{at}.function.arguments")
    return calls.call(call.get("id"), function.get("name"), function.get("arguments"), ats)


def _tools(value: Any) -> tuple[dict[str, Any], ...]:
    tools: list[dict[str, Any]] = []
    for at, tool in objects([] if value is None else value, "tools"):
        word(tool.get("type"), f"{at}.type", ("function",))
        tools.append(kept(function_tool(obj(tool.get("function"), f"{at}.function"), f"{at}.function"), tool, at))
    return tuple(tools)


def _response_format(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = word(obj(value, "response_format").get("type"), "response_format.type", FORMATS)
    if kind != "json_schema":
        return None if kind == "text" else {"type": "json_object"}
    at = "response_format.json_schema"
    return named_schema(obj(value.get("json_schema"), at), at)
