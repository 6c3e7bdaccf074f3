"""Anthropic's Messages: POST /v1/messages, and /v1/messages/count_tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.prompts.chat import Chat
from scrimp.routing.text.sanitize import encodable

from .anthropic_blocks import messages_of, referenced, system_of
from .anthropic_stream import AnthropicStream, arguments_of, error_body, message_head, stop_of, usage_of
from .reading import (
    field_object,
    flag,
    kept,
    named_schema,
    needs_of,
    number_param,
    obj,
    objects,
    put_limit,
    refuse,
    refuse_set,
    session_of,
    shown,
    stops,
    string,
    string_if,
    word,
)
from .shape import Wanted
from .tools import chosen, function_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .encoder import Encoder
    from .shape import Kind, Sent

__all__ = ["Anthropic"]

_READ: Final = {
    "model",
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "metadata",
    "cache_control",
}

_WISHES: Final = {"output_config", "output_format"}
"""Read in part: the effort, and the form of the answer."""

_REFUSED: Final[Mapping[str, tuple[Any, ...]]] = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
    "inference_geo": (),
    "container": (),
    "mcp_servers": ([],),
    "thread": (),
}
"""What would change the price or the answer and is not done, with the values that say nothing."""

_READ_IN_TOOLS: Final = {"name", "description", "input_schema", "strict", "cache_control", "type"}

_RUN_THERE: Final = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "advisor_")
"""Tools that the provider runs itself, by how their types begin."""

_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


class Anthropic:
    """Messages, in and out."""

    name = "anthropic"

    def read(self, body: Any, headers: Mapping[str, str]) -> Wanted:
        """Return what a request asks for.

        `thinking` and its like are among what is ignored: an arm has an effort of its own.
        """
        if obj(body, "body").get("max_tokens") is None:
            raise refuse("max_tokens", "is missing")
        return self.read_count(body, headers)

    def read_count(self, body: Any, headers: Mapping[str, str]) -> Wanted:
        """Return what is to be counted: a request that need not say how long its answer may be.

        Raises
        ------
        ShapeError
            If it cannot be kept to.
        """
        body = obj(body, "body")
        refuse_set(body, _REFUSED)
        ignored = [key for key in body if key not in _READ and key not in _WISHES and key not in _REFUSED]
        params: dict[str, Any] = {}
        for key in ("temperature", "top_p", "top_k"):
            number_param(params, key, body.get(key))
        stops(params, "stop_sequences", body.get("stop_sequences"))
        messages = messages_of(body.get("messages"), ignored)
        system = system_of(body.get("system"), "system")
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        _cache_to_the_end(body, messages)
        tools = _tools(body.get("tools"), referenced(body["messages"]), ignored)
        chat = Chat(tuple(messages), tools, _tool_choice(body.get("tool_choice"), tools, params))
        effort, response_format = _output(body, ignored)
        return Wanted(
            chat,
            string(body.get("model"), "model"),
            put_limit(None, body.get("max_tokens"), "max_tokens"),
            params,
            response_format,
            needs_of(chat, response_format),
            effort=effort,
            stream=flag(body.get("stream"), "stream"),
            include_usage=True,
            session=session_of(headers, body),
            ignored=tuple(dict.fromkeys(ignored)),
        )

    def count(self, n_tokens: int) -> dict[str, Any]:
        """Return the body that tells how many tokens were counted."""
        return {"input_tokens": n_tokens}

    def whole(self, wanted: Wanted, sent: Sent) -> dict[str, Any]:  # noqa: ARG002 - others repeat what was asked
        """Return the body of an answer that is sent at once."""
        content: list[dict[str, Any]] = [{"type": "text", "text": encodable(sent.text)}] if sent.text else []
        for call in sent.tool_calls:
            name, given = encodable(call.name), arguments_of(call.arguments)
            content.append({"type": "tool_use", "id": encodable(call.id), "name": name, "input": given})
        return {
            **message_head(sent.id, sent.model),
            "content": content,
            **stop_of(sent),
            "usage": usage_of(sent.usage),
            "scrimp": sent.ours,
        }

    def stream(self, wanted: Wanted, *, id: str, model: str, created: int) -> Encoder:  # noqa: A002, ARG002
        """Return what writes an answer as it comes."""
        return AnthropicStream(id, model)

    def error(self, kind: Kind, message: str, *, param: str | None = None, id: str | None = None) -> dict[str, Any]:  # noqa: A002, ARG002
        """Return the body of an error."""
        return error_body(kind, message, id)


def _cache_to_the_end(body: Mapping[str, Any], messages: list[dict[str, Any]]) -> None:
    """Put a mark that stands for the whole request where its last part ends."""
    last = messages[-1]
    if body.get("cache_control") is None or not last["content"]:
        return
    content = last["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts[-1] = kept(dict(parts[-1]), body, "body")
    last["content"] = parts


def _tools(value: Any, found: set[str], ignored: list[str]) -> tuple[dict[str, Any], ...]:
    """Return the tools as functions.

    Two kinds are left out where there are others, as agents offer them with each request: those that the provider
    itself would run, which no other has, and those whose definition is deferred (`defer_loading`) until a search of the
    program's own has found them.

    Parameters
    ----------
    found
        Names of deferred tools that have been found.
    """
    tools: list[dict[str, Any]] = []
    deferred: list[dict[str, Any]] = []
    run_there: list[tuple[str, str]] = []
    for at, tool in objects([] if value is None else value, "tools"):
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(_RUN_THERE):
            run_there.append((at, kind))
            continue
        if kind not in (None, "custom"):
            raise refuse(f"{at}.type", f"is {shown(kind)}: only tools with a schema of their own are supported")
        ignored += [f"tools[].{key}" for key in tool if key not in _READ_IN_TOOLS]
        if tool.get("input_schema") is None:
            raise refuse(f"{at}.input_schema", "is missing")
        function = function_tool(tool, at, schema="input_schema")
        waits = flag(tool.get("defer_loading"), f"{at}.defer_loading") and function["function"]["name"] not in found
        (deferred if waits else tools).append(kept(function, tool, at))
    tools = tools or deferred
    if run_there and not tools:
        at, kind = run_there[0]
        raise refuse(f"{at}.type", f"is {shown(kind)}, which only its own provider runs, and no other tool is offered")
    ignored += [f"tools[].{kind}" for _, kind in run_there]
    return tuple(tools)


def _tool_choice(value: Any, tools: tuple[dict[str, Any], ...], params: dict[str, Any]) -> str | dict[str, Any] | None:
    if value is None:
        return None
    choice = obj(value, "tool_choice")
    kind = word(choice.get("type"), "tool_choice.type", (*_CHOICES, "tool"))
    if flag(choice.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use") and tools:
        params["parallel_tool_calls"] = False
    if kind == "tool":
        return chosen(None, choice.get("name"), tools, "tool_choice.name")
    return chosen(_CHOICES[kind], None, tools, "tool_choice.type")


def _output(body: Mapping[str, Any], ignored: list[str]) -> tuple[str | None, dict[str, Any] | None]:
    """Return the effort that is wished for, and the form of the answer."""
    config = field_object(body, "output_config")
    ignored += [f"output_config.{key}" for key in config if key not in ("effort", "format")]
    at = "output_config.format" if config.get("format") is not None else "output_format"
    form = config.get("format") if config.get("format") is not None else body.get("output_format")
    if form is not None:
        word(obj(form, at).get("type"), f"{at}.type", ("json_schema",))
        form = named_schema({"schema": form.get("schema"), "strict": True}, at)
    return string_if(config, "effort", "output_config."), form
