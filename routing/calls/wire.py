"""What truly goes over the wire in one attempt: one paid request, with a limit, and the bytes that came back.

litellm smooths over what scrimp must know: it reports a missing usage as zero tokens, ends a cut stream with `stop` and
a usage of its own making, sends some requests twice, and answers some errors itself. So the transports that it is given
(`transport`) are watched: while an attempt is current, the request that asks for an answer is held to its rules before
it leaves, and what comes back is read alongside litellm.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NoReturn

from .admission import asked_by, why_unbounded
from .reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

__all__ = ["RefusedError", "Wire"]

MAX_REPLY_BYTES = 64 << 20
"""A reply longer than this is broken off: no model writes so much, and memory is finite."""

_CONNECT_S = 15.0

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
    sent_to
        The host that a redirect names; "" where the reply was none.
    body
        The reply when it was not a stream, as bytes.
    streams
        Whether the reply is a stream.
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
        self.ended = False
        self.late = False
        self.too_large = False
        self.n_bytes = 0
        self._on_send = on_send
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
        asked = asked_by(request)
        if asked is None:
            return False
        if self.watched:
            self.refuse("the same request was about to be sent a second time")
        why = why_unbounded(asked, self.output_limit)
        if why is not None:
            self.refuse(why)
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
        self.reading.feed(part)

    def end(self) -> None:
        """Record that the reply ended in good order."""
        self.ended = True
        if self._blind:
            return
        if self.streams:
            self.reading.end()
        elif self.body:
            self.reading.whole(bytes(self.body))

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
