"""What truly goes over the wire in one attempt: one paid request, with a limit, and the bytes that came back.

litellm smooths over what scrimp must know: it reports a missing usage as zero tokens, ends a cut stream with `stop` and
a usage of its own making, sends some requests twice, and answers some errors itself. So the transports that it is given
(`transport`) are watched: while an attempt is current, the request that asks for an answer is held to its rules before
it leaves, and what comes back is read alongside litellm.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

__all__ = ["RefusedError", "Wire"]

MAX_REPLY_BYTES = 64 << 20
"""A reply longer than this is broken off: no model writes so much, and memory is finite."""

_CONNECT_S = 15.0
_PROMPT_KEYS = frozenset({"messages", "contents", "prompt", "input", "inputs", "inputText", "message"})
_LIMIT_KEYS = frozenset(
    {
        "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens", "max_new_tokens",
        "num_predict", "n_predict", "max_tokens_to_sample", "maxTokenCount", "max_gen_len", "max_length",
    }
)  # fmt: skip
_COUNT_KEYS = frozenset({"n", "best_of", "candidateCount", "candidate_count", "num_generations"})
_OPTION_KEYS = frozenset(
    {"generationConfig", "generation_config", "inferenceConfig", "options", "parameters", "textGenerationConfig"}
)
_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")

_current: ContextVar[Wire | None] = ContextVar("scrimp_wire", default=None)


class RefusedError(BaseException):
    """A request that must not leave: without a limit, above what was reserved, a second one, or stopped by the caller.

    No `Exception`, since clients answer those by trying again.
    """


class Wire:
    """The record of one attempt, filled while it runs.

    Parameters
    ----------
    output_limit
        The most output tokens that the request may ask for.
    timeout_s
        The longest silence, in seconds.
    deadline_s
        The longest attempt in all, in seconds from now.
    on_send
        Called once, just before the first byte of the paid request may leave; if it raises, nothing leaves.

    Attributes
    ----------
    sent
        Whether the paid request may have left: `on_send` has returned.
    watched
        Whether a watched transport took it; if not, only litellm knows what came back.
    refusal, refused_as
        Why the request was not let out, and as what kind of error that is told; None when it was.
    stopped
        What `on_send` raised.
    connected
        Whether it may have reached the provider: False while no connection was made.
    status, headers
        Of the reply; None and empty before it began.
    body
        The reply when it was not a stream, as bytes.
    streams
        Whether the reply is a stream.
    recognised
        Whether the shape of the stream is one whose end can be told.
    finish_reason, done
        The provider's own word for the end, and whether the stream's closing mark came.
    usage
        The provider's own usage, as it was sent; None when there was none.
    error
        An error object sent in the place of an answer.
    refused_text
        What the model said in refusing, where that is told apart from its answer.
    late, too_large
        Why the attempt was broken off.
    """

    def __init__(
        self,
        *,
        output_limit: int,
        timeout_s: float,
        deadline_s: float,
        on_send: Callable[[], object] | None = None,
    ) -> None:
        self.output_limit = output_limit
        self.timeout_s = timeout_s
        self.started = time.monotonic()
        self.deadline = self.started + deadline_s
        self.sent = False
        self.watched = False
        self.connected = False
        self.refusal: str | None = None
        self.refused_as: Literal["bad_request", "not_sent"] = "bad_request"
        self.stopped: BaseException | None = None
        self.failure: BaseException | None = None
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.recognised = False
        self.finish_reason: str | None = None
        self.done = False
        self.ended = False
        self.model: str | None = None
        self.reply_id: str | None = None
        self.usage: dict[str, Any] | None = None
        self.error: Any = None
        self.refused_text = ""
        self.late = False
        self.too_large = False
        self.n_bytes = 0
        self._on_send = on_send
        self._line = bytearray()
        self.streams = False
        self._blind = False
        self._closers: list[Callable[[], object]] = []
        self._watchdog: threading.Timer | None = None

    @staticmethod
    def now() -> Wire | None:
        """Return the wire that is current in this context."""
        return _current.get()

    @contextlib.contextmanager
    def current(self, *, unwatched: bool = False) -> Iterator[None]:
        """Watch what this context sends; count the request as sent already if it may leave `unwatched`.

        Raises
        ------
        RefusedError
            As `depart`.
        """
        token = _current.set(self)
        try:
            if unwatched:
                self.depart()
            yield
        finally:
            _current.reset(token)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, at least a millisecond."""
        return max(0.001, self.deadline - time.monotonic())

    @property
    def blind(self) -> bool:
        """Whether nothing could be read of the reply: no watched transport carried it, or it came compressed."""
        return self._blind or not self.watched

    def when_closed(self, closer: Callable[[], object]) -> None:
        """Have something closed with the wire."""
        self._closers.append(closer)

    def close(self) -> None:
        """Give up the connection, in whatever state it is."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        for closer in self._closers:
            with contextlib.suppress(Exception):
                closer()
        self._closers.clear()

    # ---- before

    def admit(self, request: httpx.Request) -> bool:
        """Return whether this is the paid request, made ready to leave.

        Raises
        ------
        RefusedError
            If it must not leave.
        """
        asked = _json(request)
        if request.method != "POST" or not isinstance(asked, dict) or not _PROMPT_KEYS & asked.keys():
            return False
        if self.watched:
            self.refuse("the same request was about to be sent a second time")
        limits = list(_numbers(asked, _LIMIT_KEYS))
        if not limits:
            self.refuse("the request carries no output limit that scrimp knows")
        if any(not 0 < limit <= self.output_limit for limit in limits):
            self.refuse(f"the request asks for up to {max(limits)} tokens, and {self.output_limit} are reserved")
        if any(count != 1 for count in _numbers(asked, _COUNT_KEYS)):
            self.refuse("the request asks for more than one answer")
        url = str(request.url).lower()
        self.streams = asked.get("stream") is True or "stream" in url.rpartition("/")[2]
        request.headers["Accept-Encoding"] = "identity"
        silence_s = min(self.timeout_s, self.left_s)
        request.extensions = {
            **request.extensions,
            "timeout": {
                "connect": min(_CONNECT_S, silence_s),
                "read": silence_s,
                "write": silence_s,
                "pool": silence_s,
            },
        }
        self.depart()
        self.watched = True
        return True

    def depart(self) -> None:
        """Tell the caller, once, that the paid request is about to leave.

        Raises
        ------
        RefusedError
            If the caller's `on_send` raised: nothing may leave.
        """
        if self.sent:
            return
        if self._on_send is not None:
            try:
                self._on_send()
            except BaseException as error:  # noqa: BLE001  # the caller gets it back: litellm must not take it for its own
                self.stopped = error
                raise RefusedError("stopped by the caller") from None
        self.sent = True

    def refuse(self, why: str, kind: Literal["bad_request", "not_sent"] = "bad_request") -> NoReturn:
        """Do not let the request out.

        Raises
        ------
        RefusedError
            Always.
        """
        self.refusal, self.refused_as = why, kind
        raise RefusedError(why)

    def failed(self, error: BaseException) -> None:
        """Record that a transport gave up before a reply began."""
        import httpx

        self.failure = error
        never = (
            httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError | httpx.UnsupportedProtocol
        )
        # litellm calls any of aiohttp's system errors a ConnectError, a connection reset after the request too.
        broke = {"ClientOSError", "ClientConnectionResetError"}
        self.connected = not isinstance(error, never) or type(error.__cause__).__name__ in broke

    # ---- after

    def begin(self, response: httpx.Response) -> None:
        """Record the head of the reply."""
        self.connected = True
        self.status = response.status_code
        self.headers = {key.lower(): value for key, value in response.headers.items()}
        kind = self.headers.get("content-type", "")
        plain = "html" in kind or kind.startswith("application/json")
        self.streams = self.streams and self.status == 200 and not plain
        self._blind = self.headers.get("content-encoding", "identity") not in {"", "identity"} or "eventstream" in kind

    def feed(self, part: bytes) -> None:
        """Record a part of the reply.

        Raises
        ------
        httpx.ReadTimeout
            If the deadline has passed.
        httpx.ReadError
            If the reply is longer than any answer.
        """
        import httpx

        self.n_bytes += len(part)
        if self.n_bytes > MAX_REPLY_BYTES:
            self.too_large = True
            raise httpx.ReadError("the reply is too large")
        if time.monotonic() > self.deadline:
            self.late = True
            raise httpx.ReadTimeout("the deadline has passed")
        if self._blind:
            return
        if not self.streams:
            self.body += part
            return
        self._line += part
        if b"\n" in part or b"\r" in part:
            *lines, rest = bytes(self._line).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                self._note_line(line)

    def end(self) -> None:
        """Record that the reply ended in good order."""
        self.ended = True
        if self._blind:
            return
        if self.streams:
            self._note_line(bytes(self._line))
            self._line.clear()
        elif self.body:
            self._note(_decode(bytes(self.body)))

    def _note_line(self, line: bytes) -> None:
        line = line.strip()
        if line.startswith(b"data:"):
            line = line[5:].strip()
        elif not line.startswith(b"{"):  # newline-delimited JSON has no field names
            return
        if line == b"[DONE]":
            self.done = True
        elif line:
            self._note(_decode(line))

    def _note(self, value: Any) -> None:
        """Take from one JSON object, in any of the shapes of the wire, what is said of model, end, usage and errors."""
        if isinstance(value, list):
            for item in value:
                self._note(item)
            return
        if not isinstance(value, dict):
            return
        layers = [
            value,
            *(value[key] for key in ("message", "response", "delta", "x_groq") if _is_dict(value.get(key))),
        ]
        choices = value.get("choices") or value.get("candidates")
        if isinstance(choices, list):
            layers += [choice for choice in choices if _is_dict(choice)]
        kind = value.get("type")
        if "choices" in value or "candidates" in value or kind == "message_start" or _is_bool(value.get("done")):
            self.recognised = True
        if (
            kind in {"message_stop", "response.completed", "response.incomplete", "message-end"}
            or value.get("done") is True
        ):
            self.done = True
        for layer in layers:
            self.model = self.model or _text(layer.get("model")) or _text(layer.get("modelVersion"))
            self.reply_id = self.reply_id or _text(layer.get("id")) or _text(layer.get("responseId"))
            for key in _FINISH_KEYS:
                self.finish_reason = _text(layer.get(key)) or self.finish_reason
            for part in (layer, layer.get("message"), layer.get("delta")):
                if _is_dict(part) and isinstance(part.get("refusal"), str):
                    self.refused_text += part["refusal"]
            for key in ("usage", "usageMetadata"):
                if _is_dict(layer.get(key)) and layer[key]:
                    self.usage = {**(self.usage or {}), **layer[key]}
        if "prompt_eval_count" in value:
            self.usage = {key: value[key] for key in ("prompt_eval_count", "eval_count") if key in value}
        error = value.get("error")
        if error or kind == "error":
            self.error = error or value

    def guard(self, response: httpx.Response) -> None:
        """Break the connection at the deadline: a blocked read would otherwise outlast it by a whole silence."""
        stream = response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is None:
            return

        def bite() -> None:
            self.late = True
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

        self._watchdog = threading.Timer(self.left_s, bite)
        self._watchdog.daemon = True
        self._watchdog.start()


def _decode(data: bytes) -> Any:
    """Decode JSON, forgiving bytes that are not UTF-8; None when it is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(data.decode("utf-8", "replace"))
    except RecursionError:
        pass
    return None


def _json(request: httpx.Request) -> Any:
    """Return the body of a request as JSON; None when it is none, or not in memory."""
    import httpx

    if isinstance(request.stream, httpx.ByteStream):  # as a redirected request's is, unread
        return _decode(request.read())
    return None


def _numbers(asked: dict[str, Any], keys: frozenset[str]) -> Iterator[int]:
    """Yield what the request says under `keys`, at the top and in its nested options."""
    for layer in (asked, *(asked[key] for key in _OPTION_KEYS if _is_dict(asked.get(key)))):
        for key in keys & layer.keys():
            value = layer[key]
            if value is not None:
                yield value if isinstance(value, int) else -1


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
