"""One call to a model through LiteLLM: what came, what it used, what failed, and whether it may have been billed.

An attempt is one paid HTTP request: retries and fallbacks are the caller's, since each needs its own reservation;
`Backoff` says when. It ends in a `Reply` or a `CallError`. The caller's `on_send` is called once, just before the first
byte of the request may leave: whatever ends an attempt before that, KeyboardInterrupt and CancelledError included, has
cost nothing.

Names: LiteLLM knows a provider by the model's prefix. A server of one's own that speaks OpenAI's language is
`model = "openai/NAME"` with `api_base`; without the prefix LiteLLM does not know where to send the call.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from scrimp.profiles.addresses import NO_ADDRESS, drop_ignored
from scrimp.profiles.collector import paused

from .call import NO_KEY, Call, Delta, Reply, TextDelta
from .faults import CallError
from .heard import Heard, whole_of
from .learnt import kind_of
from .litellm_setup import prepare, prepared
from .outcome import outcome_of
from .prompt_cache import cached_prompt
from .reasoning import reasoning_arguments, refuses_thought
from .wire import RefusedError, TakenError, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from .litellm_setup import LiteLLM

__all__ = [
    "Attempt",
    "aattempt",
    "aclose",
    "attempt",
    "get_ready",
    "prepare",
    "ready",
    "stream",
    "warm",
    "whole_arguments",
]

_TOOL_PARAMS = ("tools", "tool_choice", "parallel_tool_calls")
_HERE = "local/"
_OPENAI_CHAT = re.compile(r"(openai/)?(ft:)?(gpt-(?!.*instruct)|chatgpt-|o\d)[^/]*")


# ---- litellm


def warm(models: Iterable[str]) -> threading.Thread | None:
    """Begin in the background what calls to some models take, so that it overlaps with other work.

    A later call waits for it. That is `prepare`, unless all of them run in this process: then the one model is loaded.

    It also imports what litellm puts off until its first call, which takes about half a second. The thread is no
    daemon: litellm's finalisers import too, and would wait for ever for a thread that was stopped in mid-import.
    """
    wanted = set(models)
    if wanted and all(model.startswith(_HERE) for model in wanted):
        from .local_call import warm as warm_here

        return warm_here(wanted.pop()) if len(wanted) == 1 else None
    drop_ignored(os.environ)  # here, and not in the thread: whoever reads the environment meanwhile would meet a gap
    thread = threading.Thread(target=_warm, name="scrimp-litellm", daemon=False)
    thread.start()
    return thread


def _warm() -> None:
    import importlib

    with paused(), contextlib.suppress(Exception):  # whoever calls next meets the error, and can say it
        prepare()
        for name in ("httpcore", "openai.resources"):
            if threading.main_thread().is_alive():
                importlib.import_module(name)


def get_ready(model: str) -> None:
    """Do what calls to a model take and takes seconds: `prepare`, or loading a model that runs in this process."""
    if not model.startswith(_HERE):
        prepare()
        return
    from .local_call import load

    load(model)


async def aclose() -> None:
    """Close the connections that `aattempt` keeps open, before their event loop ends."""
    litellm = prepared()
    if litellm is not None:
        await litellm.async_transport.release()


def ready(call: Call) -> None:
    """Do everything that a call needs before it can be sent, and send nothing.

    Raises
    ------
    CallError
        If the call cannot be made: of kind `not_sent` or `bad_request`, and certain to cost nothing.
    """
    _prepared(call, streams=call.stream)


def _prepared(call: Call, *, streams: bool) -> tuple[LiteLLM, dict[str, Any]]:
    """Return litellm and the arguments of its completion, once it is certain that the call has a way out."""
    from .transport import NoWayOutError

    if call.api_base is None and call.model.partition("/")[0] in NO_ADDRESS:
        why = "its provider has no address of its own; the arm needs an api_base"
        raise CallError("not_sent", f"{call.model}: not sent: {why}", billable="no")
    if call.model.startswith("aiohttp_openai/"):
        why = "it is sent past what scrimp watches, and follows redirects with the key: write openai/NAME"
        raise CallError("bad_request", f"{call.model}: not sent: {why}", billable="no")
    try:
        litellm = prepare()
        if call.api_base is not None:
            litellm.transport.check(call.api_base)
    except NoWayOutError as error:
        raise CallError("not_sent", f"{call.model}: not sent: {error}", billable="no") from None
    except Exception as error:
        why = f"litellm cannot be loaded ({type(error).__name__}: {error})"
        raise CallError("not_sent", f"{call.model}: not sent: {why}", billable="no") from error
    return litellm, _arguments(call, streams=streams)


def whole_arguments(call: Call) -> tuple[LiteLLM, dict[str, Any]]:
    """Return litellm and the arguments of a completion that is not streamed.

    Raises
    ------
    CallError
        If the call cannot be made: it is certain to cost nothing.
    """
    return _prepared(call, streams=False)


def _arguments(call: Call, *, streams: bool) -> dict[str, Any]:
    """Return the keyword arguments of litellm's completion for a call."""
    try:
        msgspec.json.encode([call.messages, call.tools])
    except (TypeError, ValueError) as error:  # a lone surrogate, or what is no JSON at all
        raise CallError("bad_request", f"{call.model}: the messages cannot be sent: {error}", billable="no") from None
    timeout_s = min(call.timeout_s, call.deadline_s)
    params, effort = copy.deepcopy(dict(call.params)), call.reasoning_effort
    if refuses_thought(call.model, effort, params, call.messages, call.tool_choice):
        params.pop("thinking", None)
        effort = None
    messages, tools = cached_prompt(call.model, call.messages, call.tools, marks=call.caches)
    arguments: dict[str, Any] = {
        **params,
        "model": call.model,
        "messages": messages,
        "max_tokens": call.max_output_tokens,
        "timeout": timeout_s,
        "max_retries": 0,
        "num_retries": 0,
    }
    if call.api_base is not None:
        arguments["api_base"] = call.api_base
        arguments["api_key"] = call.api_key or NO_KEY
        if call.model.startswith("openai/"):
            # litellm does not know what a server of one's own supports, and must not refuse on its behalf.
            arguments["allowed_openai_params"] = ["reasoning_effort", "response_format", *_TOOL_PARAMS]
    elif call.api_key is not None:
        arguments["api_key"] = call.api_key
    arguments |= reasoning_arguments(call.model, effort, params, call.max_output_tokens)
    if _OPENAI_CHAT.fullmatch(call.model) and _is_openai(call.api_base):
        arguments["service_tier"] = "default"  # else the setting of the account's project holds, and may be dearer
    if call.response_format is not None:
        arguments["response_format"] = copy.deepcopy(dict(call.response_format))
    if tools:
        arguments["tools"] = tools
        arguments["_skip_mcp_handler"] = True  # which needs a package that is not installed, and calls tools by itself
        # What is so anyway is left out: some do not know the words.
        if call.tool_choice not in (None, "auto"):
            arguments["tool_choice"] = copy.deepcopy(call.tool_choice)
        if arguments.get("parallel_tool_calls") is True:
            del arguments["parallel_tool_calls"]
        if call.model.startswith("ollama/"):  # where Ollama only completes text, litellm makes up tool calls of its own
            arguments["model"] = f"ollama_chat/{call.model.removeprefix('ollama/')}"
    if streams:
        arguments["stream"] = True
        arguments["stream_options"] = {"include_usage": True}
    return arguments


def _is_openai(api_base: str | None) -> bool:
    """Tell whether calls to an address go to OpenAI itself: other servers may not know its parameters."""
    host = "api.openai.com" if api_base is None else urlsplit(api_base).hostname or ""
    return host.endswith(".openai.com")


def _wire(call: Call, on_send: Callable[[], object] | None, on_request: Callable[..., object] | None = None) -> Wire:
    return Wire(
        output_limit=call.max_output_tokens,
        timeout_s=call.timeout_s,
        deadline_s=call.deadline_s,
        on_send=on_send,
        on_request=on_request,
    )


# ---- attempts


def attempt(
    call: Call, on_delta: Callable[[Delta], object] | None = None, on_send: Callable[[], object] | None = None
) -> Reply:
    """Make one call and return its answer.

    Parameters
    ----------
    call
        What to ask.
    on_delta
        Takes each piece of the answer as it comes; None, or `call.stream` False, asks for the answer whole.
    on_send
        Called once, just before the first byte of the paid request may leave (in a local model: before it generates).
        What it raises is raised here, and nothing leaves. An attempt that ends without having called it cost nothing.

    Raises
    ------
    CallError
        If no answer came.
    """
    if call.model.startswith(_HERE):
        from . import local_call

        return local_call.attempt(call, on_delta, on_send)
    if on_delta is None or not call.stream:
        return _raised(_whole(call, on_send))
    with contextlib.closing(stream(call, on_send)) as events:
        for event in events:
            if isinstance(event, Reply):
                return event
            on_delta(event)
    raise AssertionError("a stream ends with a reply")  # pragma: no cover


async def aattempt(
    call: Call, on_send: Callable[[], object] | None = None, on_delta: Callable[[Delta], object] | None = None
) -> Reply:
    """Make one call, without blocking; as `attempt`.

    Both functions are plain, and must not block for long. Whatever ends the attempt, its connection is closed.

    Raises
    ------
    CallError
        If no answer came.
    asyncio.CancelledError
        If cancelled; the call may have been billed if `on_send` was called.
    """
    if call.model.startswith(_HERE):
        from . import local_call

        return await local_call.aattempt(call, on_send, on_delta)
    try:
        outcome = await _answered(call, on_send, on_delta if call.stream else None)
    except _DeafError as deaf:
        outcome = deaf.error
    return _raised(outcome)


class _DeafError(BaseException):
    """What takes the pieces raised an error: it is the caller's, and no failure of the call's."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


async def _answered(
    call: Call, on_send: Callable[[], object] | None, on_delta: Callable[[Delta], object] | None
) -> Reply | BaseException:
    """Make one call without blocking: whole, or streamed to `on_delta`."""
    import asyncio

    streams = on_delta is not None
    kind, litellm, composed = kind_of(call, streams=streams), prepared(), None
    if kind is not None and litellm is not None:
        composed = litellm.learnt.compose(kind)
    if composed is None or litellm is None:
        litellm, arguments = _prepared(call, streams=streams)
    else:
        arguments = {}
    wire = _wire(call, on_send, None if kind is None else partial(litellm.learnt.note, kind))
    heard = Heard()
    failure: BaseException | None = None
    ttft_s: float | None = None

    def hear(deltas: Iterable[Delta]) -> None:
        nonlocal ttft_s
        for delta in deltas:
            if ttft_s is None:
                ttft_s = time.monotonic() - wire.started
            if on_delta is not None:
                try:
                    on_delta(delta)
                except BaseException as error:  # noqa: BLE001  # it is raised again
                    raise _DeafError(error) from None

    limit = asyncio.timeout(call.deadline_s)
    try:
        async with limit:
            try:
                if composed is not None:
                    # A reply that is not read here is litellm's to read: it asks, and is given it.
                    wire.held = await litellm.async_transport.post(composed, wire)
                    _, arguments = _prepared(call, streams=streams)
                with wire.current(unwatched=not litellm.watches(arguments)):
                    response = await litellm.module.acompletion(**litellm.unlogged(arguments, is_async=True))
                if on_delta is None:
                    heard = whole_of(response)
                else:
                    await _aread(response, wire, heard, hear)
            except TakenError:
                if on_delta is not None:
                    await _ahear(wire, hear)
    except (Exception, RefusedError) as error:  # noqa: BLE001  # litellm raises what it likes
        wire.late = wire.late or limit.expired()
        failure = error
    finally:
        await wire.aclose()
    return outcome_of(call, wire, heard, failure, ttft_s)


async def _ahear(wire: Wire, hear: Callable[[Iterable[Delta]], None]) -> None:
    """Read what is left of a reply, and have it heard as it comes."""
    going = True
    while going:
        hear(wire.reading.take())
        going = await wire.more()
    hear(wire.reading.last())
    await wire.drain()


async def _aread(response: Any, wire: Wire, heard: Heard, hear: Callable[[Iterable[Delta]], None]) -> None:
    """Have the pieces heard that litellm reads; some providers are asked only when the first is wanted."""
    chunks = aiter(response)
    while True:
        with wire.current():
            chunk = await anext(chunks, None)
        if chunk is None:
            break
        hear(wire.told(*heard.note(chunk)))
    heard.complete = getattr(response, "received_finish_reason", None) is not None
    hear(wire.told(last=True))


def stream(call: Call, on_send: Callable[[], object] | None = None) -> Attempt:
    """Return an attempt at a call, to be iterated: pieces of the reply, then exactly one `Reply`."""
    return Attempt(call, on_send)


class Attempt(Iterator["Delta | Reply"]):
    """One streamed call: nothing is sent before the first `next`.

    Whatever ends it (an error, KeyboardInterrupt, `close`), the connection is closed and what had come stays readable.

    Attributes
    ----------
    text_so_far
        The pieces of the answer until now.

    Raises
    ------
    CallError
        From `next`, if no answer came, or not all of it.
    """

    def __init__(self, call: Call, on_send: Callable[[], object] | None = None) -> None:
        self.call = call
        self._on_send = on_send
        self._wire = _wire(call, on_send)
        self._pieces: list[str] = []
        self._ttft_s: float | None = None
        self._events = self._run()

    @property
    def text_so_far(self) -> str:
        """The pieces of the answer until now, joined."""
        return "".join(self._pieces)

    def __iter__(self) -> Attempt:
        return self

    def __next__(self) -> Delta | Reply:
        return next(self._events)

    def close(self) -> None:
        """Give up: close the connection."""
        self._events.close()
        self._wire.close()

    def _run(self) -> Generator[Delta | Reply, None, None]:
        call = self.call
        litellm, arguments = _prepared(call, streams=True)
        wire = self._wire = _wire(call, self._on_send)
        heard = Heard()
        failure: BaseException | None = None
        try:
            for delta in _spoken(litellm, arguments, wire, heard):
                if self._ttft_s is None:
                    self._ttft_s = time.monotonic() - wire.started
                if isinstance(delta, TextDelta):
                    self._pieces.append(delta.text)
                yield delta
        except (Exception, RefusedError) as error:  # noqa: BLE001  # litellm raises what it likes
            failure = error
        finally:
            wire.close()
        outcome = outcome_of(call, wire, heard, failure, self._ttft_s)
        arguments, failure = {}, None  # they hold the key, and a traceback holds them
        yield _raised(outcome)


def _raised(outcome: Reply | BaseException) -> Reply:
    """Raise the error, from a frame that holds no key."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _whole(call: Call, on_send: Callable[[], object] | None) -> Reply | BaseException:
    """Make one call that is not streamed."""
    litellm, arguments = _prepared(call, streams=False)
    wire = _wire(call, on_send)
    heard: Heard | None = None
    failure: BaseException | None = None
    try:
        with wire.current(unwatched=not litellm.watches(arguments)):
            heard = whole_of(litellm.module.completion(**litellm.unlogged(arguments, is_async=False)))
    except TakenError:
        pass
    except (Exception, RefusedError) as error:  # noqa: BLE001  # litellm raises what it likes
        failure = error
    finally:
        wire.close()
    return outcome_of(call, wire, heard, failure)


def _spoken(litellm: LiteLLM, arguments: dict[str, Any], wire: Wire, heard: Heard) -> Iterator[Delta]:
    """Yield the pieces of an answer as they come, whoever reads them."""
    try:
        with wire.current(unwatched=not litellm.watches(arguments)):
            response = litellm.module.completion(**litellm.unlogged(arguments, is_async=False))
        chunks = iter(response)
        while True:
            with wire.current():  # some send the request only now
                chunk = next(chunks, None)
            if chunk is None:
                break
            yield from wire.told(*heard.note(chunk))
    except TakenError:
        yield from wire.deltas()
        return
    heard.complete = getattr(response, "received_finish_reason", None) is not None
    yield from wire.told(last=True)
