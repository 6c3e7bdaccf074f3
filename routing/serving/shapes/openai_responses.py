"""OpenAI's Responses: POST /v1/responses. Nothing is kept for a later request: its whole input comes with each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.prompts.chat import Chat

from .openai_errors import error_body
from .reading import (
    FORMATS,
    field_object,
    flag,
    listed,
    named_schema,
    needs_of,
    number_param,
    obj,
    plain,
    put_limit,
    refuse,
    refuse_set,
    session_of,
    string,
    string_if,
    text,
    word,
)
from .responses_items import messages_of
from .responses_stream import ResponsesStream, ended_body, items_of, response_head
from .responses_tools import Toolbox
from .shape import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .encoder import Encoder
    from .shape import Kind, Sent

__all__ = ["OpenAIResponses"]

_READ: Final = {
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "temperature",
    "top_p",
    "text",
    "reasoning",
    "stream",
    "metadata",
    "user",
    "prompt_cache_key",
    "safety_identifier",
    "stream_options",
}

_REFUSED: Final[Mapping[str, tuple[Any, ...]]] = {
    "previous_response_id": (),
    "conversation": (),
    "store": (False,),
    "background": (False,),
    "prompt": (),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "moderation": (),
}
"""What would change the price or the answer and is not done, with the values that say nothing."""

_ECHOED: Final = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
)


class OpenAIResponses:
    """Responses, in and out."""

    name = "openai-responses"

    def read(self, body: Any, headers: Mapping[str, str]) -> Wanted:
        """Return what a request asks for."""
        body = obj(body, "body")
        refuse_set(body, _REFUSED)
        ignored = [key for key in body if key not in _READ and key not in _REFUSED]
        _refuse_logprobs(body)
        params: dict[str, Any] = {}
        for key in ("temperature", "top_p"):
            number_param(params, key, body.get(key))
        toolbox = Toolbox(ignored)
        toolbox.add(body.get("tools"), "tools")
        messages = messages_of(body.get("input"), ignored, toolbox)
        tools = toolbox.functions()
        parallel = body.get("parallel_tool_calls")
        if parallel is not None:
            flag(parallel, "parallel_tool_calls")
            params |= {"parallel_tool_calls": parallel} if tools else {}
        if body.get("instructions"):
            messages.insert(0, {"role": "system", "content": text(body["instructions"], "instructions")})
        chat = Chat(tuple(messages), tools, toolbox.choice(body.get("tool_choice")))
        config, reasoning = field_object(body, "text"), field_object(body, "reasoning")
        ignored += [f"text.{key}" for key in config if key != "format"]
        ignored += [f"reasoning.{key}" for key, item in reasoning.items() if key != "effort" and item is not None]
        response_format = _format(config.get("format"))
        return Wanted(
            chat,
            string(body.get("model"), "model"),
            put_limit(None, body.get("max_output_tokens"), "max_output_tokens"),
            params,
            response_format,
            needs_of(chat, response_format),
            effort=string_if(reasoning, "effort", "reasoning."),
            stream=flag(body.get("stream"), "stream"),
            include_usage=True,
            session=session_of(headers, body),
            ignored=tuple(dict.fromkeys(ignored)),
            offered=toolbox.offered,
            echo={key: plain(body[key], key) for key in _ECHOED if body.get(key) is not None}
            | {"parallel_tool_calls": parallel is not False},
        )

    def whole(self, wanted: Wanted, sent: Sent) -> dict[str, Any]:
        """Return the body of an answer that is sent at once."""
        head = response_head(sent.id, sent.model, sent.created, wanted.echo)
        return ended_body(head, sent, items_of(sent, wanted.offered))

    def stream(self, wanted: Wanted, *, id: str, model: str, created: int) -> Encoder:  # noqa: A002 - the field's name
        """Return what writes an answer as it comes."""
        return ResponsesStream(id, response_head(id, model, created, wanted.echo), wanted.offered)

    def error(self, kind: Kind, message: str, *, param: str | None = None, id: str | None = None) -> dict[str, Any]:  # noqa: A002, ARG002
        """Return the body of an error."""
        return error_body(kind, message, param)


def _refuse_logprobs(body: Mapping[str, Any]) -> None:
    """Refuse what is to be included beside the answer, where it could be: the rest is of tools that are not run."""
    for n, each in enumerate(listed([] if body.get("include") is None else body["include"], "include")):
        if isinstance(each, str) and each.endswith("logprobs"):
            raise refuse(f"include[{n}]")


def _format(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = word(obj(value, "text.format").get("type"), "text.format.type", FORMATS)
    if kind == "json_schema":
        return named_schema(value, "text.format")
    return None if kind == "text" else {"type": "json_object"}
