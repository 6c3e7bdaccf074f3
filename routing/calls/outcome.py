"""What an attempt came to: the reply, or what came in its place; nothing of it is estimated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrimp.routing.prices.stated import stated_in
from scrimp.routing.prices.usage import Usage, check_usage, counts_tokens, usage_from_litellm
from scrimp.routing.text.sanitize import encodable, sanitize

from .call import Call, Reply, ToolCall, UsageStatus
from .faults import problem
from .heard import Heard

if TYPE_CHECKING:
    from .wire import Wire

__all__ = ["outcome_of"]


def outcome_of(
    call: Call, wire: Wire, heard: Heard | None, failure: BaseException | None, ttft_s: float | None = None
) -> Reply | BaseException:
    """Return the answer that came, or what came instead."""
    reading = wire.reading
    heard = heard or Heard()
    if wire.ours:
        list(wire.deltas())
        over, complete = reading.over, reading.complete
    else:
        if heard.text is not None:
            wire.told(heard.text, heard.calls, last=True)
        over = complete = failure is None and heard.complete and reading.error is None
    reply = _reply(wire, heard, ttft_s, over=over, call=call)
    return _stopped(wire) or problem(call, wire, failure, reply, complete=complete) or reply


def _reply(wire: Wire, heard: Heard, ttft_s: float | None, *, over: bool, call: Call) -> Reply:
    """Put together what came; usage counts only where the provider itself sent it, and the reply is over."""
    reading = wire.reading
    text = reading.text
    calls = tuple(ToolCall(encodable(c.id), encodable(c.name), encodable(c.arguments)) for c in reading.tool_calls)
    finish = heard.finish if wire.blind else reading.finish_reason
    if calls and over and finish in (None, "stop"):
        finish = "tool_calls"
    found: Usage | None = None
    if over and wire.blind:
        found = usage_from_litellm(heard.usage)
    elif over and reading.usage is not None:
        found = usage_from_litellm(reading.usage if counts_tokens(reading.usage) else heard.usage)
    if found is not None and (found.input_tokens == 0 or (found.output_tokens == 0 and (text or calls))):
        found = None  # no input, or text without output: the provider did not count
    status: UsageStatus = "missing"
    if found is not None:
        status = check_usage(found, input_bound=1, output_limit=call.max_output_tokens, window=None)
    return Reply(
        text=encodable(text),
        served_model=_short(reading.model if reading.model is not None else heard.model if wire.blind else None),
        usage=found,
        usage_status=status,
        finish_reason=_short(finish),
        latency_s=time.monotonic() - wire.started,
        ttft_s=ttft_s,
        request_id=_short(_request_id(wire)),
        reply_id=_short(wire.reading.reply_id),
        stated=stated_in(heard.usage if wire.blind else reading.usage, reading.tier, wire.headers),
        tool_calls=calls,
    )


def _short(text: str | None) -> str | None:
    return None if text is None else sanitize(text)[:200]


def _request_id(wire: Wire) -> str | None:
    for name in ("x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id"):
        if wire.headers.get(name):
            return wire.headers[name]
    return wire.reading.reply_id


def _stopped(wire: Wire) -> BaseException | None:
    """Return what the caller's `on_send` raised, without the frames that hold the key."""
    return None if wire.stopped is None else wire.stopped.with_traceback(None)
