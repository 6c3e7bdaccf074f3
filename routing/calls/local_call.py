"""One call to a model that runs in this process, with the contract of `dispatch`: LiteLLM has no part in it."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrimp.profiles.errors import ConfigError
from scrimp.routing.prices.usage import Usage, check_usage
from scrimp.routing.text.sanitize import encodable, sanitize

from .call import Reply
from .faults import CallError
from .local_engine import Finished, LocalError, engine
from .local_weights import PROVIDER
from .reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import ThreadPoolExecutor

    from .call import Call, Delta, UsageStatus
    from .error_replies import Kind
    from .local_engine import LocalEngine

__all__ = ["aattempt", "attempt", "load", "warm"]

_NO_FIELDS: Final = frozenset(
    {"stream", "stream_options", "user", "metadata", "max_retries", "reasoning_effort", "extra_body",
     "max_tokens", "max_completion_tokens", "n_predict", "response_format", "temperature", "seed", "stop"}
)  # fmt: skip
"""Parameters that are no fields of llama.cpp's, or that are set from the call itself."""

_MOST_CALLS: Final = 32
"""Calls in event loops that wait for an engine at once, each in a thread; it answers one at a time anyway."""

_MAX_SAID: Final = 300


def load(model: str) -> None:
    """Load a model's weights. What stands against it is left for the call to say."""
    with contextlib.suppress(ConfigError):
        engine(model).load()


def warm(model: str) -> threading.Thread:
    """Begin `load` in the background."""
    thread = threading.Thread(target=load, args=(model,), name="scrimp-local-load", daemon=True)
    thread.start()
    return thread


def attempt(
    call: Call, on_delta: Callable[[Delta], object] | None = None, on_send: Callable[[], object] | None = None
) -> Reply:
    """Make one call and return its answer, as `dispatch.attempt`; `on_send` is called just before it generates.

    Raises
    ------
    CallError
        If no answer came.
    """
    made = _Attempt(call)
    own = made.load()
    if on_send is not None:
        on_send()
    return made.generate(own, on_delta if call.stream else None)


async def aattempt(
    call: Call, on_send: Callable[[], object] | None = None, on_delta: Callable[[Delta], object] | None = None
) -> Reply:
    """Make one call without blocking, as `dispatch.aattempt`; what is passed is called in the loop's own thread.

    Raises
    ------
    CallError
        If no answer came.
    asyncio.CancelledError
        If cancelled; the engine stops within a token.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    made = _Attempt(call)
    broke: list[BaseException] = []

    def deliver(delta: Delta) -> None:
        if on_delta is None or broke:
            return
        try:
            on_delta(delta)
        except BaseException as error:  # noqa: BLE001 - raised below, where the caller is
            broke.append(error)
            made.given_up.set()

    def hear(delta: Delta) -> None:
        loop.call_soon_threadsafe(deliver, delta)

    try:
        own = await loop.run_in_executor(_threads(), made.load)
        if on_send is not None:
            on_send()
        hears = hear if call.stream and on_delta is not None else None
        reply = await loop.run_in_executor(_threads(), made.generate, own, hears)
    except CallError:
        if broke:
            raise broke[0] from None
        raise
    finally:
        made.given_up.set()  # cancelled: the thread is still at it
    if broke:
        raise broke[0]
    return reply


@functools.cache
def _threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_MOST_CALLS, "scrimp-local-call")


class _Attempt:
    """One call: what came of it, and how long it may still take."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.given_up = threading.Event()
        self._started = self._heard = time.monotonic()
        self._ttft_s: float | None = None
        self._reading = Reading()
        self._end: Finished | None = None

    def is_set(self) -> bool:
        """Tell the engine whether to stop."""
        return self.given_up.is_set() or self._overdue() is not None

    def load(self) -> LocalEngine:
        """Return the engine, with its weights loaded.

        Raises
        ------
        CallError
            If there is none, or it can never take the call.
        """
        if self.call.tools:
            raise self._error("bad_request", "a local model calls no tools", billable="no")
        try:
            msgspec.json.encode(self.call.messages)
        except (TypeError, ValueError) as error:  # a lone surrogate, or what is no JSON at all
            raise self._error("bad_request", f"the messages cannot be sent: {error}", billable="no") from None
        try:
            own = engine(self.call.model)
            own.load()
        except ConfigError as error:
            said = f"{error.message}; {error.hint}" if error.hint else error.message
            raise self._error("not_found", said, billable="no") from error
        limit = self._overdue()
        if limit is not None:
            raise self._late(limit, billable="no")
        return own

    def generate(self, own: LocalEngine, on_delta: Callable[[Delta], object] | None) -> Reply:
        """Generate the answer.

        Raises
        ------
        CallError
            If there is none, or not the whole of it.
        """
        try:
            with contextlib.closing(self._fresh(own)) as pieces:
                for delta in pieces:
                    self._ttft_s = self._ttft_s or time.monotonic() - self._started
                    if on_delta is not None:
                        on_delta(delta)
        except ConfigError as error:  # its weights were freed
            raise self._error("not_found", error.message, billable="no") from error
        except LocalError as error:
            again = error.kind == "server"
            raise self._error(
                error.kind, error.message, retryable=again, billable="maybe" if again else "no"
            ) from error
        return self._whole(streamed=on_delta is not None)

    def _fresh(self, own: LocalEngine) -> Generator[Delta, None, None]:
        """Yield what each piece adds to the answer: thoughts are no part of it."""
        for event in own.generate(self.call.messages, abort=self, **_arguments(self.call)):
            if isinstance(event, Finished):
                self._end = event
            else:
                self._heard = time.monotonic()
                self._reading.say(event)
                yield from self._reading.take()
        yield from self._reading.last()

    def _whole(self, *, streamed: bool) -> Reply:
        reply = self._reply(streamed=streamed)
        if reply.finish_reason == "abort":
            limit = self._overdue()
            if limit is not None:
                raise self._late(limit, reply=reply)
            raise self._error("cut", "the local engine was stopped in the middle of an answer", reply=reply)
        if not reply.text and reply.finish_reason != "length":
            reasoned = "the model only reasoned, and gave no answer"
            why = reasoned if self._reading.reasoned else "the reply has no text"
            raise self._error("bad_reply", why, reply=reply, retryable=True, billed=True)
        return reply

    def _reply(self, *, streamed: bool = True) -> Reply:
        """Put together what has come."""
        end = self._end
        usage: Usage | None = None
        status: UsageStatus = "missing"
        if end is not None and end.prompt_tokens and end.completion_tokens:
            usage = Usage(end.prompt_tokens, end.completion_tokens)
            status = check_usage(usage, input_bound=1, output_limit=self.call.max_output_tokens, window=None)
        return Reply(
            text=encodable(self._reading.text),
            served_model=sanitize(self.call.model.removeprefix(f"{PROVIDER}/"))[:200],
            usage=usage,
            usage_status=status,
            finish_reason=None if end is None else end.finish_reason,
            latency_s=time.monotonic() - self._started,
            ttft_s=self._ttft_s if streamed else None,
            request_id=None,
        )

    def _overdue(self) -> float | None:
        """Return the limit that has passed, in seconds: that of the whole, or that of a silence."""
        now, call = time.monotonic(), self.call
        if now - self._started > call.deadline_s:
            return call.deadline_s
        return call.timeout_s if now - self._heard > call.timeout_s else None

    def _late(self, limit: float, **more: Any) -> CallError:
        what = "the answer stopped" if self._reading.text else "no answer"
        return self._error("timeout", f"{what} within {limit:g} s", retryable=True, **more)

    def _error(self, kind: Kind, said: str, **more: Any) -> CallError:
        clean = re.sub(r"\s+", " ", sanitize(said)).strip()
        clean = clean if len(clean) <= _MAX_SAID else f"{clean[:_MAX_SAID]}…"
        return CallError(kind, f"{self.call.model}: {clean}", **{"reply": self._reply(), **more})


def _arguments(call: Call) -> dict[str, Any]:
    """Translate a call's parameters to `LocalEngine.generate`'s."""
    params = {key: value for key, value in call.params.items() if value is not None}
    form = call.response_format if call.response_format is not None else params.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    schema = None
    if isinstance(form, dict) and kind == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema")
    elif kind == "json_object":
        schema = {"type": "object"}
    return {
        "max_tokens": call.max_output_tokens,
        "temperature": float(params.get("temperature", 0.0)),
        "seed": params.get("seed"),
        "stop": params.get("stop"),
        "schema": schema,
        "extra": {key: value for key, value in params.items() if key not in _NO_FIELDS},
    }
