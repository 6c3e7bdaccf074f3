"""What went wrong with a call to a model: its kind, whether it may be billed, and what the user is told."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

from scrimp.profiles.errors import AuthError, ConfigError, ProviderError, TryAgainError
from scrimp.routing.text.sanitize import sanitize, scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.errors import ScrimpError

    from .call import Call, Reply
    from .wire import Wire

__all__ = ["CallError", "Kind", "problem", "to_scrimp_error"]

Kind = Literal[
    "auth",
    "not_found",
    "rate_limited",
    "bad_request",
    "context_window",
    "server",
    "timeout",
    "connection",
    "bad_reply",
    "cut",
    "not_sent",
]
"""What went wrong with a call."""

_MAX_MESSAGE = 300


class CallError(Exception):
    """A call that brought no answer.

    Attributes
    ----------
    kind
        What went wrong.
    message
        For people: secrets removed, sanitised, one line.
    retryable
        Whether the same call may succeed later.
    billable
        `no` when the call is certain to cost nothing, else `maybe`.
    retry_after_s
        How long the provider asks to wait, in seconds; None when it does not.
    status
        The HTTP status, if there was one.
    reply
        What had come until then; its usage is set when the provider reported it, and can be charged.
    billed
        Whether an answer came, with status 200, and could not be used: the provider charges for it like for any other,
        and the next may be the same. False for errors, refusals and connections that brought no answer.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        retryable: bool = False,
        billable: Literal["no", "maybe"] = "maybe",
        retry_after_s: float | None = None,
        status: int | None = None,
        reply: Reply | None = None,
        billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.retryable = retryable
        self.billable = billable
        self.retry_after_s = retry_after_s
        self.status = status
        self.reply = reply
        self.billed = billed


def problem(  # one return a case
    call: Call, wire: Wire, failure: BaseException | None, reply: Reply, *, complete: bool
) -> CallError | None:
    """Return why an attempt brought no answer, or None when it did.

    The wire is believed before litellm, which turns some errors into answers and names others by words in their text.
    """
    status = wire.status
    who = call.model

    def error(kind: Kind, message: str, **more: Any) -> CallError:
        told = _told(message, call)
        return CallError(kind, f"{who}: {told}", status=status, reply=reply, **more)

    if wire.refusal is not None and status is None:
        return error(wire.refused_as, f"not sent: {wire.refusal}", billable="no")
    if status is not None and status >= 300:
        return _status_problem(error, wire, status)
    if complete and not (wire.late or wire.too_large):
        return _empty_problem(error, wire, reply)
    reading = wire.reading
    came = status is not None and reading.error is None
    if wire.late or _is_timeout(wire.failure) or (failure is not None and not wire.watched and _is_timeout(failure)):
        if wire.watched and not wire.connected and wire.failure is not None:
            return error("connection", "no connection in time", retryable=True, billable="no")
        what = "no answer" if not reply.text else "the answer stopped"
        limit = call.deadline_s if wire.late else min(call.timeout_s, call.deadline_s)
        billable = "maybe" if wire.sent else "no"
        return error("timeout", f"{what} within {limit:g} s", retryable=True, billable=billable, billed=came)
    if wire.too_large:
        return error("bad_reply", "the reply is longer than any answer", billed=True)
    if reading.error is not None:
        return _reported_problem(error, wire, billed=bool(reply.text))
    if status is None:
        return _unanswered_problem(error, wire, failure)
    if wire.unreadable is not None:
        return error("bad_reply", f"the reply cannot be read: {wire.unreadable}", billed=True)
    if reading.broken_off:
        why = f'the provider broke the answer off (its finish reason is "{reading.word}")'
        return error("cut", why, retryable=True, billed=True)
    if wire.failure is not None:
        return error("cut", "the connection broke in the middle of the answer", retryable=True, billed=True)
    if reading.answered and not (reading.over or reading.malformed):
        return error("cut", "the reply ended before the answer did", retryable=True, billed=True)
    return error("bad_reply", f"the reply is no chat completion ({_shape(wire)})", retryable=True, billed=True)


def _shape(wire: Wire) -> str:
    """Return what kind of thing came in the place of an answer; not its text, which may be the user's."""
    body = bytes(wire.body)
    if wire.n_bytes == 0:
        return "it is empty"
    if _web_page(body) is not None:
        return str(_web_page(body))
    if body and not body.lstrip().startswith((b"{", b"[")):
        return "it is not JSON"
    return "it is malformed, or has no choices"


def _empty_problem(error: Callable[..., CallError], wire: Wire, reply: Reply) -> CallError | None:
    """Return the error of an answer without text, unless the model says why there is none."""
    if reply.text or reply.finish_reason in {"length", "content_filter", "refusal"}:
        return None
    if reply.finish_reason in {"tool_calls", "function_call"}:
        return error("bad_reply", "the model called a tool and said nothing", billed=True)
    thought = reply.usage is not None and reply.usage.reasoning_tokens
    if wire.reading.reasoned or thought:
        return error("bad_reply", "the model only reasoned, and gave no answer", retryable=True, billed=True)
    return error("bad_reply", "the reply has no text", retryable=True, billed=True)


def _status_problem(  # one return a status
    error: Callable[..., CallError], wire: Wire, status: int
) -> CallError:
    """Return what an HTTP status means."""
    said = _gist(bytes(wire.body))
    text = f"{status} {said}".strip()
    low = bytes(wire.body[:20_000]).decode("utf-8", "replace").lower()
    if status in {301, 302, 303, 307, 308}:
        return error("bad_request", f"{status}: the server sends callers elsewhere; correct api_base", billable="no")
    if status in {401, 403}:
        return error("auth", text, billable="no")
    if status == 402 or (status == 429 and '"insufficient_quota"' in low):
        return error("auth", f"{text} (the account cannot pay)", billable="no")
    if status == 404:
        return error("not_found", text, billable="no")
    if status in {425, 429}:
        return error("rate_limited", text, retryable=True, billable="no", retry_after_s=_retry_after_s(wire))
    if status == 408:
        return error("timeout", text, retryable=True)
    if status == 413 or (status in {400, 422} and _is_context_window(low)):
        return error("context_window", text, billable="no")
    if status < 500:
        return error("bad_request", text, billable="no", retryable=status == 409)
    return error("server", text, retryable=True, retry_after_s=_retry_after_s(wire))


def _reported_problem(error: Callable[..., CallError], wire: Wire, *, billed: bool) -> CallError:
    """Return what an error object means that came with status 200, whole or in a stream."""
    said = _error_text(wire.reading.error) or "an error without a text"
    low = str(wire.reading.error).lower()
    if "rate_limit" in low or "too many requests" in low:
        return error("rate_limited", said, retryable=True, retry_after_s=_retry_after_s(wire), billed=billed)
    if _is_context_window(low):
        return error("context_window", said, billed=billed)
    return error("server", said, retryable=True, billed=billed)


def _unanswered_problem(error: Callable[..., CallError], wire: Wire, failure: BaseException | None) -> CallError:
    """Return what it means that no reply began."""
    if wire.watched:
        if not wire.connected:
            return error("connection", _no_connection(wire), retryable=True, billable="no")
        return error("connection", "the connection broke before an answer came", retryable=True)
    name = type(failure).__name__ if failure is not None else ""
    said = re.sub(
        r"^((litellm\.)?\w+(Error|Exception)(: | - ))+",
        "",
        str(getattr(failure, "message", "") or failure or "no answer"),
    )
    code = getattr(failure, "status_code", None)
    missing = re.search(r"No module named '([\w.]+)'", said)
    if missing:
        return error("bad_request", f"litellm needs the Python package {missing[1]} for this model", billable="no")
    if name == "AuthenticationError":
        return error("auth", said, billable="no")
    if name == "NotFoundError":
        return error("not_found", said, billable="no")
    if name == "ContextWindowExceededError":
        return error("context_window", said, billable="no")
    if isinstance(code, int) and code >= 500 and name not in {"UnsupportedParamsError", "BadRequestError"}:
        return error("server", said, billable="maybe" if wire.sent else "no")
    return error("bad_request", said, billable="no")


def _no_connection(wire: Wire) -> str:
    """Return why no connection was made, where that can be told."""
    import httpx

    if isinstance(wire.failure, httpx.ProxyError):
        return f"the proxy does not let the request through: {wire.failure}"
    return "no connection: is the server running?"


def _is_timeout(failure: BaseException | None) -> bool:
    import httpx

    return isinstance(failure, httpx.TimeoutException | TimeoutError) or type(failure).__name__ == "Timeout"


def _is_context_window(low: str) -> bool:
    return any(
        mark in low
        for mark in (
            "context_length_exceeded",
            "maximum context length",
            "context window",
            "prompt is too long",
            "input token count",
            "exceeds the available context size",
        )
    )


def _told(message: str, call: Call) -> str:
    """Return a provider's text fit for a person: no secret, no control, one line, not long."""
    clean = sanitize(scrub(message[:20_000], (call.api_key,)))
    clean = re.sub(r"\s+", " ", clean).strip()
    return clean if len(clean) <= _MAX_MESSAGE else f"{clean[:_MAX_MESSAGE]}…"


def _gist(body: bytes) -> str:
    """Return what the body of an error says."""
    import json

    text = body[:20_000].decode("utf-8", "replace")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if value is not None:
        return _error_text(value) or text[:_MAX_MESSAGE]
    return _web_page(body) or text


def _web_page(body: bytes) -> str | None:
    """Return the title of a web page, or None for anything else."""
    text = body[:20_000].decode("utf-8", "replace")
    if "<html" not in text.lower():
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return f"a web page: {title[1]}" if title else "a web page"


def _error_text(value: Any) -> str | None:
    """Return the message inside an error object of any provider's shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _error_text(value[0]) if value else None
    if isinstance(value, dict):
        for key in ("error", "message", "detail", "error_message", "msg"):
            if value.get(key):
                return _error_text(value[key])
    return None


def _retry_after_s(wire: Wire) -> float | None:
    """Return how long the provider asks to wait, in seconds; None when it does not say, or says nonsense."""
    milliseconds = _number(wire.headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    after = wire.headers.get("retry-after")
    if after is not None:
        seconds = _number(after)
        if seconds is not None:
            return seconds
        with contextlib.suppress(ValueError, TypeError):
            when = email.utils.parsedate_to_datetime(after).timestamp()
            now = time.time()
            with contextlib.suppress(ValueError, TypeError):  # the server's own clock, where it tells it
                now = (
                    email.utils.parsedate_to_datetime(wire.headers["date"]).timestamp()
                    if "date" in wire.headers
                    else now
                )
            return max(0.0, when - now)
    match = re.search(rb'"retryDelay"\s*:\s*"([0-9.]+)s"', bytes(wire.body[:20_000]))
    return _number(match[1].decode()) if match else None


def _number(text: str | None) -> float | None:
    """Return a finite number of at least 0, or None."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 <= value < 1e9:
            return value
    return None


class _NamedArm(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def api_base(self) -> str | None: ...
    @property
    def key_env(self) -> str | None: ...


def to_scrimp_error(error: CallError, arm: _NamedArm) -> ScrimpError:
    """Return the error a user sees when an arm has failed for good, with what to do next."""
    message = f"arm {arm.name}: {error.message}"
    if error.kind == "not_sent":
        return ConfigError(
            message, hint="Nothing was sent, and nothing is charged. Correct or unset what is named here."
        )
    if error.kind == "auth":
        if error.status == 402 or "cannot pay" in error.message:
            return AuthError(message, hint="Add credit to the account, or take another arm with `-m`.")
        name = arm.key_env or _guessed_variable(arm.model)
        return AuthError(message, hint=f"Set a valid key: `scrimp keys set {name}`; `scrimp keys test` tries it.")
    if error.kind == "rate_limited":
        wait = "" if error.retry_after_s is None else f" in {error.retry_after_s:.0f} s"
        return TryAgainError(message, hint=f"Try again{wait}, or take another arm with `-m`.")
    if error.kind == "bad_reply" and error.reply is not None and error.reply.finish_reason is not None:
        return ProviderError(
            message,
            hint=f"Raise `max_output_tokens` or lower `reasoning_effort` of arm {arm.name}, ask in other words, or "
            "take another arm with `-m`. Such replies are billed: one is bought once more at most.",
        )
    return ProviderError(message, hint=_hint(error.kind, arm))


def _hint(kind: Kind, arm: _NamedArm) -> str | None:
    """Return what a user can do about a failure."""
    where = f"the server at {arm.api_base}" if arm.api_base else "the provider"
    return {
        "not_found": f"Check the arm's `model` ({arm.model}){' and `api_base`' if arm.api_base else ''}; "
        "`scrimp profile check` names models that are gone.",
        "bad_request": f"Check `params`, `reasoning_effort` and `model` of arm {arm.name} in the profile.",
        "context_window": "Shorten the prompt, or take an arm with a larger window: `scrimp models` lists them.",
        "server": f"Try again later, or take another arm with `-m`; {where} is at fault.",
        "timeout": f"Raise `timeout_s` of arm {arm.name}, or take a faster arm with `-m`.",
        "connection": f"Check the network, and that {where} is up; `scrimp doctor` helps.",
        "bad_reply": f"Check that {where} speaks OpenAI's chat completions, or take another arm with `-m`.",
        "cut": "Try again: what came was not the whole answer. It may have been billed, and is counted as spent.",
    }.get(kind)


def _guessed_variable(model: str) -> str:
    provider = model.partition("/")[0] if "/" in model else "openai"
    return re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_API_KEY"
