"""What truly goes over the wire in one attempt: one paid request, with a limit, and the bytes that came back.

litellm smooths over what scrimp must know: it reports a missing usage as zero tokens, ends a cut stream with `stop` and
a usage of its own making, calls every end that it does not know `stop`, sends some requests twice, and answers some
errors itself. So the transports that it is given (`transport`) are watched: while an attempt is current, the request
that asks for an answer is held to its rules before it leaves, and what comes back is read here (`reading`), in one way
whether it was streamed or not. Only a reply of a shape that is not known here goes on to litellm.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

from .admission import asked_by, why_unbounded
from .events import TooLongError
from .inflate import CompressedError, Inflate
from .reading import Reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    import httpx

    from .call import Delta
    from .learnt import LearntRequest
    from .tool_calls import Piece

__all__ = ["MAX_REPLY_BYTES", "RefusedError", "TakenError", "Wire", "never_connected"]

MAX_REPLY_BYTES = 64 << 20
"""A reply longer than this, made plain, is broken off: no model writes so much, and memory is finite."""

_MAX_ERROR_BYTES = 1 << 20
_LAST_BYTES_S = 0.02
_CONNECT_S = 15.0
_STREAM_FIELD = ("/completions", "/messages", "/api/chat", "/api/generate", "/v1/chat", "/v2/chat", "/responses")

_current: ContextVar[Wire | None] = ContextVar("scrimp_wire", default=None)


class RefusedError(BaseException):
    """A request that must not leave: without a limit, above what was reserved, a second one, or stopped by the caller.

    No `Exception`, since clients answer those by trying again.
    """


class TakenError(BaseException):
    """The reply has begun, and is read here: who sent the request for it is not told.

    No `Exception`, for the same reason.
    """


def never_connected(error: BaseException) -> bool:
    """Tell whether what a transport gave up with says that no connection was made: then nothing has left."""
    import httpx

    kinds = {kind.__name__ for kind in type(error.__cause__).__mro__}
    if "ClientConnectorError" in kinds:  # aiohttp's own word for it, a certificate's fault among them
        return True
    never = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError | httpx.UnsupportedProtocol
    # litellm calls any of aiohttp's system errors a ConnectError, a connection reset after the request too.
    return isinstance(error, never) and not kinds & {"ClientOSError", "ClientConnectionResetError"}


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
    on_request
        Takes the paid request that litellm made, its body, and whether a stream is asked for, before it leaves.

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
    sent_to
        The host that a redirect names; "" where the reply was none.
    body
        The plain bytes of the reply: all of an error, or of what is no shape that is read here.
    streams
        Whether a stream was asked for.
    ours
        Whether the reply is read here; else litellm reads it.
    incoming, aincoming
        What is left of a stream, to be read, blocking or not: each step feeds the wire. None where nothing is.
    unreadable
        Why the reply cannot be read at all; None when it can.
    held
        A reply to a request that was composed here, which litellm is to read; None where none is.
    reading
        What the reply says.
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
        on_request: Callable[..., object] | None = None,
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
        self.sent_to = ""
        self.body = bytearray()
        self.reading = Reading()
        self.ours = False
        self.incoming: Iterator[bytes] | None = None
        self.aincoming: AsyncIterator[bytes] | None = None
        self.held: httpx.Response | None = None
        self.unreadable: str | None = None
        self.late = False
        self.too_large = False
        self.n_bytes = 0
        self.streams = False
        self._on_send = on_send
        self._on_request = on_request
        self._inflate = Inflate("")
        self._opaque = False
        self._closers: list[Callable[[], object]] = []
        self._aclosers: list[Callable[[], Awaitable[object]]] = []
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
        """Whether nothing could be read of the reply: no watched transport carried it, or it is in frames of AWS's."""
        return self._opaque or not self.watched

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

    def when_aclosed(self, closer: Callable[[], Awaitable[object]]) -> None:
        """Have something closed with the wire, in an event loop."""
        self._aclosers.append(closer)

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        while self._aclosers:
            with contextlib.suppress(Exception):
                await self._aclosers.pop()()

    # ---- before

    def admit(self, request: httpx.Request) -> httpx.Request | None:
        """Return the paid request, made ready to leave; None where this is another request.

        Raises
        ------
        RefusedError
            If it must not leave.
        """
        asked = asked_by(request)
        if asked is None:
            return None
        self._hold_to_rules(asked)
        url = str(request.url).lower()
        self.streams = asked.get("stream") is True or "stream" in url.rpartition("/")[2]
        if not self.streams and "stream" not in asked and request.url.path.endswith(_STREAM_FIELD):
            asked = {**asked, "stream": False}
            request = _saying(request, asked)
        if self._on_request is not None:
            self._on_request(request, asked, streams=self.streams)
        request.extensions = {**request.extensions, "timeout": self.limits_s()}
        self.depart()
        self.watched = True
        return request

    def admit_composed(self, composed: LearntRequest) -> None:
        """Let a request leave that was composed here.

        Raises
        ------
        RefusedError
            If it must not leave.
        """
        self._hold_to_rules(composed.outline)
        self.streams = composed.streams
        self.depart()
        self.watched = True

    def _hold_to_rules(self, asked: Mapping[str, Any]) -> None:
        if self.watched:
            self.refuse("the same request was about to be sent a second time")
        why = why_unbounded(asked, self.output_limit)
        if why is not None:
            self.refuse(why)

    def limits_s(self) -> dict[str, float]:
        """Return how long each step of the request may take, seconds, as httpx names them."""
        silence_s = min(self.timeout_s, self.left_s)
        return {
            "connect": min(_CONNECT_S, silence_s),
            "read": silence_s,
            "write": silence_s,
            "pool": silence_s,
        }

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
        self.failure = error
        self.connected = not never_connected(error)

    # ---- after

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Record the head of the reply."""
        self.connected = True
        self.status = status
        self.headers = {key.lower(): value for key, value in headers.items()}
        self._opaque = "eventstream" in self.headers.get("content-type", "")
        try:
            self._inflate = Inflate(self.headers.get("content-encoding", ""))
        except CompressedError as error:
            self.unreadable = str(error)

    def feed(self, part: bytes) -> bytes:
        """Read a part of the reply, and return it plain where it may yet go to litellm.

        Raises
        ------
        httpx.ReadTimeout
            If the deadline has passed.
        httpx.ReadError
            If the reply is longer than any answer, or cannot be read.
        """
        import httpx

        if time.monotonic() > self.deadline:
            self.late = True
            raise httpx.ReadTimeout("the deadline has passed")
        begin = len(self.body)
        try:
            for plain in self._inflate.steps(part):
                self._read(plain)
                if self.enough:
                    break
        except TooLongError:
            self.too_large = True
            raise httpx.ReadError("the reply is too large") from None
        except CompressedError as error:
            self.unreadable = str(error)
            raise httpx.ReadError("the reply is not what it says") from None
        return bytes(self.body[begin:])

    def _read(self, plain: bytes) -> None:
        self.n_bytes += len(plain)
        if self.n_bytes > MAX_REPLY_BYTES:
            raise TooLongError
        if not (self._opaque or self.refused):
            self.reading.feed(plain)
        if self.ours and self.reading.recognised:
            self.body.clear()
        else:
            self.body += plain

    @property
    def refused(self) -> bool:
        """Whether the status of the reply is that of no answer."""
        return self.status is None or self.status >= 300

    @property
    def enough(self) -> bool:
        """Whether what is still to come does not matter: of an error, the beginning does."""
        return self.unreadable is not None or self.reading.closed or (self.refused and self.n_bytes > _MAX_ERROR_BYTES)

    @property
    def undecided(self) -> bool:
        """Whether more must come to tell who reads the reply."""
        if self._opaque or self.enough:
            return False
        return self.refused or not self.streams or not (self.reading.recognised or self.reading.strange)

    def decide(self) -> bool:
        """Return whether the reply is read here, once all that it takes to tell has come."""
        known = self.reading.recognised or not self.reading.has_values
        self.ours = not self._opaque and (self.refused or self.failure is not None or known)
        if self.ours and self.reading.recognised:
            self.body.clear()
        return self.ours

    def end(self) -> None:
        """Record that the reply ended in good order."""
        if not (self._opaque or self.refused):
            self.reading.end()

    def broke(self, error: BaseException) -> None:
        """Record that the reply did not come to its end."""
        self.failure = error
        if not (self._opaque or self.refused):
            self.reading.broke()

    def deltas(self) -> Iterator[Delta]:
        """Yield the answer and its tool calls piece by piece, as what is left of them comes."""
        more: bytes | None = b""
        while more is not None:
            yield from self.reading.take()
            more = None if self.enough or self.incoming is None else next(self.incoming, None)
        yield from self.reading.last()

    async def more(self) -> bool:
        """Read the next part of the reply without blocking; return whether there was one."""
        import asyncio

        if self.enough:
            return False
        if self.aincoming is not None:
            return await anext(self.aincoming, None) is not None
        if self.incoming is not None:  # of a provider that litellm asks in a thread
            return await asyncio.to_thread(next, self.incoming, None) is not None
        return False

    async def drain(self) -> None:
        """Read the end of a reply that has said all, so that its connection can be used again."""
        import asyncio

        if self.aincoming is not None and self.reading.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_BYTES_S):
                    while await anext(self.aincoming, None) is not None:
                        pass

    def told(self, text: str = "", pieces: Iterable[Piece] = (), *, last: bool = False) -> list[Delta]:
        """Return what a piece adds to the answer that litellm reads."""
        if text:
            self.reading.say(text)
        for piece in pieces:
            self.reading.call(piece)
        return self.reading.last() if last else self.reading.take()

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


def _saying(request: httpx.Request, body: dict[str, object]) -> httpx.Request:
    """Return a request with another body."""
    import httpx

    headers = [(name, value) for name, value in request.headers.multi_items() if name != "content-length"]
    return httpx.Request(
        request.method,
        request.url,
        headers=headers,
        content=msgspec.json.encode(body),
        extensions=request.extensions,
    )
