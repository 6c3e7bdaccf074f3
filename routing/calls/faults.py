"""What went wrong with a call to a model: its kind, whether it may be billed, and what the user is told."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from scrimp.profiles.credentials import OWN_WAY, how_to_give
from scrimp.profiles.errors import AuthError, ConfigError, ProviderError, RequestRefusedError, TryAgainError
from scrimp.profiles.keys import provider_keys
from scrimp.routing.text.sanitize import sanitize, scrub

from .error_replies import Kind, Lasting, read_error, web_page
from .waits import span_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.errors import ScrimpError

    from .call import Call, Reply
    from .wire import Wire

__all__ = ["CallError", "Kind", "Lasting", "no_connection", "problem", "to_scrimp_error"]

_MAX_MESSAGE: Final = 300
_WORTH_SAYING_S: Final = 60.0
_LASTING: Final[dict[Kind, Lasting]] = {"auth": "key", "not_found": "model"}


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
    lasting
        Why every further call to the arm would fail alike (`error_replies.Lasting`); None where another prompt, or a
        later moment, may do better.
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
        lasting: Lasting | None = None,
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
        self.lasting: Lasting | None = lasting or _LASTING.get(kind)

    def harmless(self) -> CallError:
        """Return the same error where it is certain that nothing is billed for it."""
        return CallError(
            self.kind,
            self.message,
            retryable=self.retryable,
            billable="no",
            retry_after_s=self.retry_after_s,
            status=self.status,
            lasting=self.lasting,
        )


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
        return _empty_problem(error, wire, reply, tools=bool(call.tools))
    reading = wire.reading
    came = status is not None and reading.error is None
    if wire.late or _is_timeout(wire.failure) or (failure is not None and not wire.watched and _is_timeout(failure)):
        if wire.watched and not wire.connected and wire.failure is not None:
            return error("connection", "no connection in time", retryable=True, billable="no")
        what = "the answer stopped" if reply.text or reply.tool_calls else "no answer"
        limit = call.deadline_s if wire.late else min(call.timeout_s, call.deadline_s)
        billable = "maybe" if wire.sent else "no"
        return error("timeout", f"{what} within {limit:g} s", retryable=True, billable=billable, billed=came)
    if wire.too_large:
        return error("bad_reply", "the reply is longer than any answer", billed=True)
    if reading.error is not None:
        return _reported_problem(error, wire, billed=bool(reply.text or reply.tool_calls))
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
    page = web_page(body)
    if page is not None:
        return page
    if body and not wire.reading.malformed and not body.lstrip().startswith((b"{", b"[")):
        return "it is not JSON"
    return "it is malformed, or has no choices"


def _empty_problem(error: Callable[..., CallError], wire: Wire, reply: Reply, *, tools: bool) -> CallError | None:
    """Return the error of an answer without text, unless it calls `tools` it was offered, or says why there is none."""
    if reply.text or (tools and reply.tool_calls) or reply.finish_reason in {"length", "content_filter", "refusal"}:
        return None
    if reply.finish_reason in {"tool_calls", "function_call"}:
        what = "ended as if it had called a tool, and called none" if tools else "called a tool and said nothing"
        return error("bad_reply", f"the model {what}", retryable=tools, billed=True)
    thought = reply.usage is not None and reply.usage.reasoning_tokens
    if wire.reading.reasoned or thought:
        return error("bad_reply", "the model only reasoned, and gave no answer", retryable=True, billed=True)
    return error("bad_reply", "the reply has no text", retryable=True, billed=True)


def _status_problem(error: Callable[..., CallError], wire: Wire, status: int) -> CallError:
    """Return what an HTTP status of no success means."""
    if 300 <= status < 400:
        where = f" to {wire.sent_to}" if wire.sent_to else ""
        why = f"{status}: the server sends callers elsewhere{where}; keys and prompts do not follow"
        return error("bad_request", why, billable="no", lasting="address")
    read = read_error(status, wire.headers, bytes(wire.body), now=time.time())
    text = f"{status} {read.said}".strip()
    if read.wait_s is not None and read.wait_s >= _WORTH_SAYING_S:
        text = f"{text[:_MAX_MESSAGE]} (it asks to wait {span_words(read.wait_s)})"
    return error(
        read.kind,
        text,
        retryable=read.retryable,
        billable=read.billable,
        retry_after_s=read.wait_s,
        lasting=read.lasting,
    )


def _reported_problem(error: Callable[..., CallError], wire: Wire, *, billed: bool) -> CallError:
    """Return what an error object means that came with status 200, whole or in a stream."""
    import json

    told = wire.reading.error if isinstance(wire.reading.error, (dict, list, str)) else str(wire.reading.error)
    read = read_error(None, wire.headers, json.dumps({"error": told}).encode(), now=time.time())
    refused = read.lasting in ("key", "credit") and not billed
    return error(
        read.kind,
        read.said or "an error without a text",
        retryable=read.retryable,
        billable="no" if refused else "maybe",
        retry_after_s=read.wait_s,
        billed=billed,
        lasting=read.lasting,
    )


def _unanswered_problem(error: Callable[..., CallError], wire: Wire, failure: BaseException | None) -> CallError:
    """Return what it means that no reply began."""
    if wire.watched:
        if not wire.connected:
            return error("connection", no_connection(wire.failure), retryable=True, billable="no")
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
    if name == "ContextWindowExceededError":
        return error("context_window", said, billable="no")
    if name == "UnsupportedParamsError":
        # What follows is advice to programmers of LiteLLM's.
        return error("bad_request", re.split(r"\s*To drop (?:these|unsupported)", said)[0], billable="no")
    if not isinstance(code, int) or code < 400 or name == "BadRequestError":
        return error("bad_request", said, billable="no")
    read = read_error(code, {}, said.encode(), now=time.time())
    return error(
        read.kind,
        said,
        retryable=read.retryable and wire.sent,
        billable=read.billable if wire.sent else "no",
        retry_after_s=read.wait_s,
        lasting=read.lasting,
    )


def no_connection(failure: BaseException | None, to: str = "") -> str:
    """Return what is said where no connection was made: why, where that can be told."""
    import socket
    import ssl

    import httpx

    if isinstance(failure, httpx.ProxyError):
        return f"the proxy does not let the request through: {failure}"
    why, cause = "is this machine online, and the server up?", failure
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            why = "is the server running?"
        elif isinstance(cause, socket.gaierror):
            why = "its host's name is not known (is this machine online?)"
        elif isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            why = f"its certificate is not trusted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    return f"no connection{to}: {why}"


def _is_timeout(failure: BaseException | None) -> bool:
    import httpx

    return isinstance(failure, httpx.TimeoutException | TimeoutError) or type(failure).__name__ == "Timeout"


def _told(message: str, call: Call) -> str:
    """Return a provider's text fit for a person: no secret, no control, one line, not long."""
    clean = sanitize(scrub(message[:20_000], (call.api_key,)))
    clean = re.sub(r"\s+", " ", clean).strip()
    return clean if len(clean) <= _MAX_MESSAGE else f"{clean[:_MAX_MESSAGE]}…"


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
        if error.lasting == "credit":
            why = "The account cannot pay, or its key is at its limit: add credit or raise the limit there"
            return AuthError(message, hint=f"{why}, or take another arm with `-m`.")
        provider = arm.model.partition("/")[0]
        if arm.key_env is None and provider in OWN_WAY:
            return AuthError(message, hint=f"Give credentials: {how_to_give(provider)}.")
        name = arm.key_env or _guessed_variable(arm.model)
        return AuthError(message, hint=f"Set a valid key: `scrimp keys set {name}`; `scrimp keys test` tries it.")
    if error.kind == "rate_limited":
        when = _when(error.retry_after_s)
        if error.lasting == "quota":
            return TryAgainError(
                message,
                hint="The provider's quota of the day or month is used up: try again"
                f"{when or ' when it starts anew'}, or take another arm with `-m`.",
            )
        return TryAgainError(message, hint=f"Try again{when}, or take another arm with `-m`.")
    if error.kind == "bad_reply" and error.reply is not None and error.reply.finish_reason is not None:
        return ProviderError(
            message,
            hint=f"Raise `max_output_tokens` or lower `reasoning_effort` of arm {arm.name}, ask in other words, or "
            "take another arm with `-m`. Such replies are billed: one is bought once more at most.",
        )
    kind = RequestRefusedError if error.kind in ("bad_request", "context_window") else ProviderError
    return kind(message, hint=_hint(error, arm))


def _when(wait_s: float | None) -> str:
    """Return from when on another try makes sense, by this machine's clock; "" where that is not known."""
    if wait_s is None:
        return ""
    if wait_s < _WORTH_SAYING_S:
        return f" in {span_words(wait_s)}"
    moment = datetime.now().astimezone() + timedelta(seconds=wait_s + 60)
    return f" in {span_words(wait_s)}, after {moment:{'%H:%M' if wait_s < 43_200 else '%d %B %H:%M'}}"


def _hint(error: CallError, arm: _NamedArm) -> str | None:
    """Return what a user can do about a failure."""
    if error.lasting == "address":
        return f"Set `api_base` of arm {arm.name} to the server's own address. Nothing is charged."
    where = f"the server at {arm.api_base}" if arm.api_base else "the provider"
    return {
        "not_found": f"Check the arm's `model` ({arm.model}){' and `api_base`' if arm.api_base else ''}; "
        "`scrimp profile check` names models that are gone.",
        "bad_request": f"Check the options given (-o), and `params`, `reasoning_effort` and `model` of arm {arm.name}.",
        "content_filter": "The provider's filter refused the prompt: reword it, or take another arm with `-m`.",
        "context_window": "Shorten the prompt, or take an arm with a larger window: `scrimp models` lists them.",
        "server": f"Try again{_when(error.retry_after_s) or ' later'}, or take another arm with `-m`; {where} fails.",
        "timeout": f"Raise `timeout_s` of arm {arm.name}, or take a faster arm with `-m`.",
        "connection": f"Check the network, and that {where} is up; `scrimp doctor` helps.",
        "bad_reply": f"Check that {where} speaks OpenAI's chat completions, or take another arm with `-m`.",
        "cut": "Try again: what came was not the whole answer. It may have been billed, and is counted as spent.",
    }.get(error.kind)


def _guessed_variable(model: str) -> str:
    return provider_keys(model.partition("/")[0] if "/" in model else "openai")[0]
