"""The local engine as a provider of LiteLLM's."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

from .local_engine import CONTEXT_TOKENS, PROVIDER, Finished, LocalError, engine
from .wire import Wire

__all__ = ["register"]


def register() -> Any:
    """Register the provider `local` with LiteLLM, once, and return its handler.

    Environment that LiteLLM reads at import must be set before: this imports it.
    """
    import litellm as typed

    litellm: Any = typed  # its stubs do not know what it exports
    for item in litellm.custom_provider_map:
        if item["provider"] == PROVIDER:
            return item["custom_handler"]

    class LocalLLM(litellm.CustomLLM):  # type: ignore[misc]  # a class only known at run time
        """Answers LiteLLM's calls for `local/...` from the engine in this process."""

        def completion(self, model: str, messages: list[Any], *_: Any, **call: Any) -> Any:
            return self._whole(model, messages, call, threading.Event())

        async def acompletion(self, model: str, messages: list[Any], *_: Any, **call: Any) -> Any:
            abort = threading.Event()
            try:
                return await asyncio.to_thread(self._whole, model, messages, call, abort)
            finally:
                abort.set()  # cancelled: the thread is still at it

        def _whole(self, model: str, messages: list[Any], call: Mapping[str, Any], abort: threading.Event) -> Any:
            text: list[str] = []
            end: Finished | None = None
            for event in _answer(litellm, model, messages, call, abort):
                if isinstance(event, Finished):
                    end = event
                else:
                    text.append(event)
            response = litellm.ModelResponse(
                model=model,
                choices=[
                    {
                        "index": 0,
                        "finish_reason": end.finish_reason if end else "stop",
                        "message": {"role": "assistant", "content": "".join(text)},
                    }
                ],
            )
            usage = _usage(end)
            if usage is not None:
                response.usage = litellm.Usage(**usage)
            return response

        def streaming(self, model: str, messages: list[Any], *_: Any, **call: Any) -> Iterator[dict[str, Any]]:
            for event in _answer(litellm, model, messages, call, threading.Event()):
                if isinstance(event, Finished):
                    yield {
                        "text": "",
                        "is_finished": True,
                        "finish_reason": event.finish_reason,
                        "usage": _usage(event),
                        "index": 0,
                    }
                else:
                    yield {"text": event, "is_finished": False, "finish_reason": "", "usage": None, "index": 0}

    handler = LocalLLM()
    litellm.custom_provider_map.append({"provider": PROVIDER, "custom_handler": handler})
    litellm.utils.custom_llm_setup()
    return handler


def _answer(
    litellm: Any, model: str, messages: Sequence[Mapping[str, Any]], call: Mapping[str, Any], abort: threading.Event
) -> Iterator[str | Finished]:
    """Run one LiteLLM call on the engine, with failures in LiteLLM's own error tree."""
    where = {"model": model, "llm_provider": PROVIDER}
    late = threading.Event()

    def expire() -> None:
        late.set()
        abort.set()

    timer: threading.Timer | None = None
    timeout_s = call.get("timeout")
    if isinstance(timeout_s, (int, float)):
        timer = threading.Timer(timeout_s, expire)
        timer.daemon = True
        timer.start()
    try:
        own = engine(model)
        own.load()
        wire = Wire.now()
        if wire is not None:
            wire.depart()
        for event in own.generate(messages, abort=abort, **_arguments(call.get("optional_params") or {})):
            if late.is_set() and isinstance(event, Finished) and event.finish_reason == "abort":
                raise litellm.Timeout(message=f"the local model took longer than {timeout_s} s", **where)
            yield event
    except ConfigError as error:
        message = f"{error.message}; {error.hint}" if error.hint else error.message
        raise litellm.NotFoundError(message=message, **where) from error
    except LocalError as error:
        if error.kind == "context_window":
            raise litellm.ContextWindowExceededError(message=error.message, **where) from error
        if error.kind == "bad_request":
            raise litellm.BadRequestError(message=error.message, **where) from error
        raise litellm.InternalServerError(message=error.message, **where) from error
    finally:
        if timer is not None:
            timer.cancel()


def _arguments(optional_params: Mapping[str, Any]) -> dict[str, Any]:
    """Translate LiteLLM's parameters to `LocalEngine.generate`'s."""
    params = {key: value for key, value in optional_params.items() if value is not None}
    for ignored in ("stream", "stream_options", "user", "metadata", "max_retries", "reasoning_effort", "extra_body"):
        params.pop(ignored, None)
    limits = (params.pop("max_tokens", None), params.pop("max_completion_tokens", None))
    response_format = params.pop("response_format", None)
    schema = None
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        schema = (response_format.get("json_schema") or {}).get("schema")
    elif isinstance(response_format, dict) and response_format.get("type") == "json_object":
        schema = {"type": "object"}
    return {
        "max_tokens": int(next((limit for limit in limits if limit), CONTEXT_TOKENS)),
        "temperature": float(params.pop("temperature", 0.0)),
        "seed": params.pop("seed", None),
        "stop": params.pop("stop", None),
        "schema": schema,
        "extra": params,
    }


def _usage(end: Finished | None) -> dict[str, int] | None:
    if end is None or end.prompt_tokens is None or end.completion_tokens is None:
        return None
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
    }
